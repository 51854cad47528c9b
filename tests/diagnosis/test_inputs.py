"""Every form in which measurements and keys are read."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import sevlab
from sevlab.labs import samples
from sevlab.launch.inputs import SKU, Sha256
from tests.diagnosis.sev_cases import (
    ES,
    KERNEL,
    PLAIN,
    SPACES,
    diagnose,
    only,
    report,
    true_values,
    with_report,
)
from tests.soak import many

TIK, TEK = samples.TIK, samples.TEK


@pytest.mark.parametrize(
    ("form", "word"),
    [
        (lambda raw: raw.hex(), "hex"),
        (lambda raw: raw.hex().upper(), "hex"),
        (lambda raw: "0x" + raw.hex(), "hex"),
        (lambda raw: base64.b64encode(raw.hex().encode()).decode(), "hex"),
        (lambda raw: base64.b64encode(base64.b64encode(raw)).decode(), "twice"),
        (lambda raw: base64.b64encode(raw[32:] + raw[:32]).decode(), "nonce first"),
        (lambda raw: (raw[32:] + raw[:32]).hex(), "nonce first"),
    ],
)
def test_a_measurement_is_read_in_every_form(form: Any, word: str) -> None:
    raw = report(true_values(SPACES["plain"], {}))
    found = only(diagnose({**PLAIN, "measurement": form(raw)}))
    assert found.found == {"measurement": base64.b64encode(raw).decode()}
    assert found.as_dict()["changes"][0]["given"] == form(raw)


def test_url_safe_base64_is_read() -> None:
    for build in range(256):
        raw = report({**true_values(SPACES["plain"], {}), "build_id": build})
        text = base64.urlsafe_b64encode(raw).decode()
        if {"-", "_"} & set(text):
            found = only(diagnose({**PLAIN, "build_id": build, "measurement": text}))
            assert list(found.found) == ["measurement"]
            return
    pytest.fail("no measurement with a URL-safe letter")


@pytest.mark.parametrize("text", ["", "hello", "ab" * 40, "A" * 10_000_000, "\0" * 64])
def test_a_measurement_in_no_form_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(sevlab.InputError) as caught:
        diagnose({**PLAIN, "measurement": text})
    assert len(str(caught.value)) < 500
    assert "measurement" in str(caught.value)


BOTH = TEK + TIK


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (TIK + TEK, "halves swapped"),
        (BOTH.hex().encode(), "hex text"),
        (BOTH.hex().encode() + b"\n", "hex text"),
        (base64.b64encode(BOTH) + b"\n", "base64 text"),
        (BOTH + b"\n", "a line break at its end"),
        (TIK, "a single key"),
        ((TIK + TEK).hex().encode(), "hex text, halves swapped"),
    ],
)
def test_a_key_file_is_read_in_every_form(content: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "tk").write_bytes(content)
    given = {**PLAIN, "tk": str(tmp_path / "tk")}
    text = base64.b64encode(report(true_values(SPACES["plain"], {}))).decode()
    found = only(diagnose({**given, "measurement": text}))
    assert found.found == {"tk": word}
    assert TIK.hex() not in str(found.as_dict())


@pytest.mark.parametrize(
    ("tik", "tek", "word"),
    [
        (TEK, TIK, "halves swapped"),
        (TIK.hex().encode(), TEK, "hex text"),
        (BOTH, TEK, "second half of a file with both keys"),
        (TIK + b"\r\n", TEK, "a line break at its end"),
    ],
)
def test_keys_in_two_files_are_read_in_every_form(tik: bytes, tek: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "tik").write_bytes(tik)
    (tmp_path / "tek").write_bytes(tek)
    given = {name: value for name, value in PLAIN.items() if name != "tk"}
    given |= {"tik": str(tmp_path / "tik"), "tek": str(tmp_path / "tek")}
    text = base64.b64encode(report(true_values(SPACES["plain"], {}))).decode()
    assert only(diagnose({**given, "measurement": text})).found == {"tik": word}


@settings(max_examples=many(60, 12))
@drawn(content=st.binary(max_size=80))
def test_any_key_file_ends_in_an_answer(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("keys") / "tk"
    path.write_bytes(content)
    given = {**PLAIN, "tk": str(path), "measurement": base64.b64encode(bytes(48)).decode()}
    assert diagnose(given, max_changes=1).status == "unexplained"


@pytest.mark.parametrize(
    "name", ["num_cpus", "cpu_family", "cpu_model", "cpu_stepping", "guest_features", "api_major", "build_id", "policy"]
)
def test_a_number_is_the_same_in_every_way_to_write_it(name: str) -> None:
    """As a number, in hex, and with zeros before it."""
    given = {"guest_features": 0, **with_report(ES, build_id=22, count=7)}
    number = int(given[name])
    said = [diagnose({**given, name: value}).as_dict() for value in (number, str(number), hex(number), f"00{number}")]
    assert [one["status"] for one in said] == ["explained"] * 4
    assert all(one["explanations"] == said[0]["explanations"] for one in said)


def test_a_kernel_known_by_its_hash_is_named_as_json_too() -> None:
    """Kernel and initrd were exchanged: what is found is a hash, given for the other one."""
    files = {name: Path(str(KERNEL[name])).read_bytes() for name in ("kernel", "initrd")}
    hashes = {name: Sha256(hashlib.sha256(raw).digest()) for name, raw in files.items()}
    given = {**with_report(KERNEL, kernel=bytes(hashes["initrd"])), **hashes}
    (change,) = json.loads(json.dumps(diagnose(given).as_dict()))["explanations"][0]["changes"]
    assert change == {"input": "kernel", "given": str(hashes["kernel"]), "found": str(hashes["initrd"])}


def test_the_signature_of_a_cpu_can_be_given_for_sev_es() -> None:
    """What is found can be applied: a signature does not go with a family."""
    numbers = dict.fromkeys(SKU)
    given = {**with_report(ES, model=0x800F12), "cpu_signature": 0xA00F11}
    given = {name: value for name, value in given.items() if name not in numbers}
    for one in (given, sevlab.load_evidence(**given)):
        found = only(diagnose(one))
        assert found.found == {"cpu_signature": 0x800F12}
        assert sevlab.compare_measure(sevlab.load_evidence(**given).replace(**found.inputs)).matches


@pytest.mark.parametrize(("parameter", "value"), [("profile", "qemu"), ("signature", 0x800F12), ("sev_features", 0x20)])
def test_no_input_says_what_differs_in_registers_from_files(parameter: str, value: object, tmp_path: Path) -> None:
    """An option beside VMSA files is refused, so it is not offered as an input."""
    numbers = dict.fromkeys((*SKU, "profile", "guest_features"))
    base: dict[str, Any] = {"profile": "qemu-legacy", "signature": 0xA00F11, "sev_features": 0}
    pages = {}
    for where, changes in (("given", {}), ("host", {parameter: value})):
        for cpu, reset in enumerate((None, sevlab.load_ovmf(ES["firmware"]).reset_address)):
            path = tmp_path / f"{where}{cpu}"
            path.write_bytes(sevlab.build_vmsa(cpu=cpu, reset_address=reset, **(base | changes)).to_bytes())
            pages[where, f"vmsa_cpu{cpu}"] = str(path)
    given = {name: one for name, one in with_report(ES).items() if name not in numbers}
    host, mine = ({name: path for (one, name), path in pages.items() if one == where} for where in ("host", "given"))
    evidence = sevlab.load_evidence(**given, **host)
    measure = sevlab.compare_measure(evidence).computed
    reported = base64.b64encode(measure + evidence.measurement.mnonce).decode()
    found = only(diagnose({**given, **mine, "measurement": reported}))
    assert [change.given for change in found.changes] == ["as in the VMSA files"] * len(found.changes)
    with pytest.raises(sevlab.UnsupportedError):
        found.inputs  # noqa: B018
