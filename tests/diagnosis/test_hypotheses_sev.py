"""Every mistake of SEV and SEV-ES: found by its name, alone, with the incidents that it resembles."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.diagnosis.hypotheses_sev import HYPOTHESES
from sevlab.diagnosis.sev import PARAMETERS
from sevlab.labs import samples
from tests.diagnosis.sev_cases import (
    ES,
    KERNEL,
    PLAIN,
    SPACES,
    diagnose,
    only,
    report,
    reported_text,
    space_of,
    true_values,
    with_report,
)

TIK, TEK = samples.TIK, samples.TEK


@pytest.mark.parametrize("hypothesis", HYPOTHESES, ids=[hypothesis.name for hypothesis in HYPOTHESES])
def test_every_hypothesis_is_found_by_its_own_name(hypothesis: Any, tmp_path: Path) -> None:
    """For each mistake: a launch in which it was made, and the search names it and the value."""
    space, given = SPACES["es"], {**ES}
    if hypothesis.name in NEEDS:
        given |= NEEDS[hypothesis.name]
        space = space_of(given)
    if hypothesis.name in BY_HAND:
        pytest.skip("files or forms of its own: tested by hand below")
    choices = [choice for choice in space.parameters[hypothesis.parameter].choices if choice.hypothesis is hypothesis]
    assert choices
    for choice in choices[:: max(1, len(choices) // 5)]:
        flips = hypothesis.parameter == "policy" and not choice.value.es
        if flips:
            continue  # the digest changes too: covered by the generated cases
        chosen = {hypothesis.parameter: choice}
        text = reported_text(space, chosen)
        diagnosis = diagnose({**given, "measurement": text}, max_changes=1)
        assert diagnosis.status == "explained"
        (explanation,) = diagnosis.explanations
        assert explanation.hypotheses == (hypothesis,)
        assert explanation.changes == choice.changes
        assert hypothesis.how in explanation.sentence
        assert str(explanation.as_dict())


NEEDS: dict[str, dict[str, Any]] = {
    "API major in decimal, read as hex": {"api_major": 16},
    "API major in hex, read as decimal": {"api_major": 10},
    "API minor in decimal, read as hex": {"api_minor": 0x25},
    "build in decimal, read as hex": {"build_id": 0x25},
    "policy in the wrong base": {"policy": 0x15},
    "policy with its bytes reversed": {"policy": 0x04000005},
    "command line in other bytes": {"cmdline": "caf\u00e9 console=ttyS0"},
}
BY_HAND = {
    "measurement in another form",
    "keys exchanged",
    "key file in another form",
    "another part of the firmware file",
    "padded firmware",
    "another firmware file",
    "another kernel",
    "another initrd",
}


def test_hypotheses_are_declared_whole() -> None:
    assert len({hypothesis.name for hypothesis in HYPOTHESES}) == len(HYPOTHESES)
    for hypothesis in HYPOTHESES:
        assert hypothesis.parameter in PARAMETERS
        assert 0 < hypothesis.prior < 1
        assert hypothesis.how.endswith(".")
        assert set(hypothesis.incidents) <= set(sevlab.data.INCIDENTS)


def test_f27_decimal_versus_hex() -> None:
    """AMDESE/sev-tool#44: status prints 22 in decimal; 0x22 and 0x16 are what people made of it."""
    hexed = only(diagnose(with_report({**PLAIN, "api_minor": 0x22}, api_minor=22)))
    assert (hexed.found, "F27" in hexed.incidents) == ({"api_minor": 22}, True)
    assert "Decimal versus hex" in hexed.sentence
    other = only(diagnose(with_report({**PLAIN, "build_id": 16}, build_id=22)))
    assert (other.found, "F27" in other.incidents) == ({"build_id": 22}, True)


def test_f28_another_platform_s_version_and_the_old_message() -> None:
    """AMDSEV#41: the update from 0.16 build 12 to 0.17 build 22; before it the message is another one."""
    update = only(diagnose(with_report({**PLAIN, "api_minor": 16, "build_id": 12}, api_minor=17, build_id=22)))
    assert update.found == {"api_minor": 17, "build_id": 22}
    assert "F28" in update.incidents
    old = only(diagnose(with_report({**PLAIN, "api_minor": 16, "build_id": 5}, message=True)))
    assert list(old.found) == ["message"]
    assert "F28" in old.incidents


def test_f30_keys_all_zero_are_said_loudly() -> None:
    zero = only(diagnose(with_report(PLAIN, key=bytes(16))))
    assert zero.found == {"tk": "all zero"}
    assert "F30" in zero.incidents
    assert any("anyone can make this measurement" in alarm for alarm in zero.alarms)
    assert "ANYONE CAN MAKE THIS MEASUREMENT" in zero.sentence


def test_a_policy_that_allows_debugging_is_an_alarm() -> None:
    found = only(diagnose(with_report(PLAIN, policy=sevlab.Policy(0))))
    assert found.found == {"policy": 0}
    assert any("allows debugging" in alarm and "read and change" in alarm for alarm in found.alarms)
    page = diagnose(with_report(PLAIN, policy=sevlab.Policy(0))).explain()
    assert "does not make the guest trustworthy" in page.text()
    assert page.html().count("allows debugging") == 1
    assert "trustworthy." not in page.text().replace("does not make the guest trustworthy.", "")


def test_a_forgotten_sev_es_bit_is_one_change() -> None:
    found = only(diagnose(with_report({**ES, "policy": 1}, policy=sevlab.Policy(5))))
    assert found.found == {"policy": 5}
    bare = {**{name: value for name, value in ES.items() if "cpu" not in name}, "policy": 1}
    values = true_values(SPACES["es"], {})
    text = base64.b64encode(report(values)).decode()
    found = only(diagnose({**bare, "measurement": text}))
    assert found.found == {"policy": 5, "num_cpus": 4, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}


def test_kernel_hashes_off_is_one_change_of_kernel_to_null() -> None:
    found = only(diagnose(with_report(KERNEL, kernel=None))).as_dict()
    assert found["changes"] == [{"input": "kernel", "given": KERNEL["kernel"], "found": None}]
    assert any("No kernel was measured" in alarm for alarm in found["alarms"])


def reported_for(image: bytes, **values: Any) -> str:
    running = hashlib.sha256(image)
    base = true_values(SPACES["plain"], {})
    return base64.b64encode(report({**base, "firmware": replace(base["firmware"], running=running), **values})).decode()


def test_other_firmware_and_kernels_are_found_among_the_candidates(tmp_path: Path) -> None:
    for name in ("a.fd", "b.fd", "kernel", "initrd"):
        (tmp_path / name).write_bytes(hashlib.sha256(name.encode()).digest() * 100)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "none").symlink_to(tmp_path / "nothing")
    text = reported_for((tmp_path / "b.fd").read_bytes())
    found = diagnose({**PLAIN, "measurement": text}, candidates=str(tmp_path))
    assert only(found).found == {"firmware": str(tmp_path / "b.fd")}
    assert any("folder" in sentence or "none" in sentence for sentence in found.not_tried)
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("kernel", "initrd")}
    both = with_report(KERNEL, **hashes)
    found = diagnose(both, candidates=str(tmp_path))
    assert only(found).found == {name: str(tmp_path / name) for name in ("kernel", "initrd")}


def test_a_half_of_the_image_and_its_padding_are_found(tmp_path: Path) -> None:
    images = [path for path in (Path("/usr/share/ovmf/OVMF.fd"),) if path.is_file()]
    if not images:
        pytest.skip("Debian's package ovmf is missing: apt-get install ovmf")
    image = images[0].read_bytes()
    split = sevlab.load_ovmf(str(images[0])).volumes[0].end
    given = {**PLAIN, "firmware": str(images[0])}
    found = only(diagnose({**given, "measurement": reported_for(image[split:])}))
    assert "CODE half" in found.found["firmware"]
    padded = tmp_path / "padded.fd"
    padded.write_bytes(image + bytes(4096))
    found = only(diagnose({**given, "firmware": str(padded), "measurement": reported_for(image)}))
    assert "without the 4096 bytes" in found.found["firmware"]
    (tmp_path / "code.fd").write_bytes(image[split:])
    (tmp_path / "vars").mkdir()
    (tmp_path / "vars" / "OVMF_VARS.fd").write_bytes(image[:split])
    given = {**given, "firmware": str(tmp_path / "code.fd"), "measurement": reported_for(image)}
    found = only(diagnose(given, candidates=str(tmp_path / "vars")))
    assert "OVMF_VARS.fd, then" in found.found["firmware"]


def test_padding_of_a_small_image_is_found(tmp_path: Path) -> None:
    image = hashlib.sha256(b"image").digest() * 200
    (tmp_path / "image.fd").write_bytes(image)
    given = {**PLAIN, "firmware": str(tmp_path / "image.fd")}
    found = only(diagnose({**given, "measurement": reported_for(image.ljust(8192, b"\xff"))}))
    assert "padded by 1792 bytes of 0xff" in found.found["firmware"]


def test_ten_thousand_candidates_and_an_unreadable_one(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}").write_bytes(number.to_bytes(4, "big") * 8)
    os.mkfifo(tmp_path / "pipe")
    image = (tmp_path / "09876").read_bytes()
    start = time.monotonic()
    found = diagnose({**PLAIN, "measurement": reported_for(image)}, candidates=str(tmp_path))
    assert only(found).found == {"firmware": str(tmp_path / "09876")}
    assert time.monotonic() - start < 30


def test_candidates_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(sevlab.InputError, match=r"candidates: received .*no such file.*needed a folder"):
        diagnose(with_report(PLAIN), candidates=str(tmp_path / "nowhere"))


def test_save_areas_from_files_are_searched_too(tmp_path: Path) -> None:
    signature, start = sevlab.launch.vmm.cpu_signature(25, 1, 1), sevlab.load_ovmf(ES["firmware"]).reset_address
    for cpu in (0, 1):
        page = sevlab.build_vmsa("qemu-legacy", cpu=cpu, signature=signature, reset_address=start)
        (tmp_path / f"vmsa{cpu}").write_bytes(page.to_bytes())
    given = {**{name: value for name, value in ES.items() if not name.startswith("cpu_")}}
    given |= {"vmsa_cpu0": str(tmp_path / "vmsa0"), "vmsa_cpu1": str(tmp_path / "vmsa1")}

    def reported(**values: Any) -> dict[str, Any]:
        return {**given, "measurement": with_report(ES, **values)["measurement"]}

    assert diagnose(reported()).status == "match"
    assert only(diagnose(reported(count=7))).found == {"num_cpus": 7}
    assert only(diagnose(reported(profile="qemu"))).found == {"profile": "qemu"}
    assert only(diagnose(reported(features=0x21))).found == {"guest_features": 0x21}
    model = only(diagnose(reported(model=sevlab.launch.vmm.CPU_MODELS["EPYC-Genoa"].signature))).found
    assert model == {"cpu_family": 25, "cpu_model": 17, "cpu_stepping": 0}
