"""The widgets without a kernel: change an input, break one, upload a key, and see what follows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest

import sevlab
from sevlab import samples
from sevlab.widgets import ByteMap, CoverageBox, Explorer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples.write_samples(tmp_path)
    return tmp_path


@pytest.fixture
def evidence(folder: Path) -> sevlab.Evidence:
    return sevlab.load_evidence(
        measurement=base64.b64encode(samples.measurement()).decode(),
        api_major=samples.API_MAJOR,
        api_minor=samples.API_MINOR,
        build_id=samples.BUILD_ID,
        policy=samples.POLICY,
        firmware=str(folder / "firmware.fd"),
        tk=str(folder / "tk.bin"),
    )


@pytest.fixture
def explorer(evidence: sevlab.Evidence) -> Iterator[Explorer]:
    yield sevlab.explore(evidence)
    ipywidgets.Widget.close_all()


def upload(box: ipywidgets.FileUpload, content: bytes) -> None:
    """Do what the page does when a file is chosen."""
    item = {"name": "given", "type": "", "size": len(content), "content": memoryview(content), "last_modified": 0}
    box.set_state({"value": [item]})


def family(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    """A widget and all that it shows."""
    return [widget, *(one for child in getattr(widget, "children", ()) for one in family(child))]


def marks(byte_map: ByteMap) -> list[int]:
    return [offset for span in byte_map.spans for offset in span["marked"]]


def test_a_checkbox_turns_the_verdict_and_back(explorer: Explorer) -> None:
    good = explorer.verdict.computed
    explorer.policy.boxes["nodbg"].value = False
    assert not explorer.verdict.matches
    assert explorer.policy.value == "0x0"
    assert explorer.verdict.computed != good
    assert marks(explorer.message) == [4]
    assert sevlab.BAD in explorer.banner.value
    explorer.policy.boxes["nodbg"].value = True
    assert explorer.verdict.computed == good
    assert marks(explorer.message) == []
    assert sevlab.GOOD in explorer.banner.value


def test_the_number_and_the_checkboxes_follow_each_other(explorer: Explorer) -> None:
    explorer.policy.number.value = "41"  # 0x29: NODBG, NOSEND, SEV
    ticked = [name for name, box in explorer.policy.boxes.items() if box.value]
    assert ticked == ["nodbg", "nosend", "sev"]
    explorer.policy.boxes["noks"].value = True
    assert explorer.policy.value == "0x2b"
    assert int(explorer.evidence.policy) == 0x2B


@pytest.mark.parametrize("form", ["hex", "lines", "spaces"])
def test_forms_of_a_measurement(explorer: Explorer, form: str) -> None:
    text = base64.b64encode(samples.measurement()).decode()
    given = {"hex": samples.measurement().hex(), "lines": f"{text[:20]}\r\n{text[20:]}\n", "spaces": " ".join(text)}
    explorer.measurement.value = given[form]
    assert explorer.error == ""
    assert explorer.verdict.matches


BAD_INPUTS = [
    (lambda e: e.numbers["api_minor"], "256", "API minor: received '256'"),
    (lambda e: e.numbers["build_id"], "<b>", "Build: received"),
    (lambda e: e.policy.number, "0x1ffffffff", "Policy: received"),
    (lambda e: e.measurement, base64.b64encode(bytes(47)).decode(), "Measurement: received 47 bytes"),
    (lambda e: e.paths["firmware"], "none.fd", "Firmware: received"),
    (lambda e: e.paths["firmware"], "-", "Firmware: received"),
    (lambda e: e.paths["tik"], "none.bin", "Key file: received"),
]


@pytest.mark.parametrize(("box", "wrong", "told"), BAD_INPUTS, ids=[told for _, _, told in BAD_INPUTS])
def test_a_wrong_input_is_told_and_takes_the_verdict_away(explorer: Explorer, box: Any, wrong: str, told: str) -> None:
    right = box(explorer).value
    box(explorer).value = wrong
    assert explorer.error.startswith(told)
    assert 'role="alert"' in explorer.alert.value
    assert "<b>'<b>" not in explorer.alert.value
    assert explorer.verdict is None
    assert "CANNOT TELL" in explorer.banner.value
    assert sevlab.GOOD not in explorer.banner.value + explorer.comparison.value
    box(explorer).value = right
    assert (explorer.error, explorer.alert.value) == ("", "")
    assert explorer.verdict.matches


def test_uploads_are_used_and_then_emptied(explorer: Explorer) -> None:
    upload(explorer.uploads["firmware"], samples.firmware()[:-1] + b"!")
    assert not explorer.verdict.matches
    upload(explorer.uploads["firmware"], samples.firmware())
    assert explorer.verdict.matches
    upload(explorer.uploads["tik"], samples.TEK)
    assert not explorer.verdict.matches
    for key in (samples.TIK, samples.TEK + samples.TIK):
        upload(explorer.uploads["tik"], key)
        assert explorer.verdict.matches
    assert [box.value for box in explorer.uploads.values()] == [(), ()]


@pytest.mark.parametrize("size", [0, 15, 17, 31, 33])
def test_an_uploaded_key_of_another_size_is_told(explorer: Explorer, size: int) -> None:
    upload(explorer.uploads["tik"], bytes(size))
    if size:
        assert f"an upload of {size} bytes" in explorer.error
    assert explorer.uploads["tik"].value == ()


def test_keys_are_in_no_widget(explorer: Explorer) -> None:
    upload(explorer.uploads["tik"], samples.TIK)
    states = json.dumps([widget.get_state() for widget in family(explorer)], default=repr)
    for form in (samples.TIK.hex(), base64.b64encode(samples.TIK).decode(), repr(samples.TIK)):
        assert form not in states
    assert samples.MNONCE.hex() in states  # so a key would have been found


def test_what_stands_where_no_widget_runs(explorer: Explorer) -> None:
    bundle = explorer._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert sevlab.GOOD in data["text/plain"]
    assert sevlab.GOOD in data["text/html"]
    assert "C: api_minor" in data["text/html"]


def test_a_selection_stays_while_its_field_is_there(explorer: Explorer) -> None:
    explorer.message.field = "policy"
    explorer.policy.boxes["noks"].value = True
    assert explorer.message.field == "policy"
    explorer.message.show(explorer.evidence.measurement.spans())
    assert explorer.message.field == ""


def test_explore_takes_what_it_can_show(evidence: sevlab.Evidence) -> None:
    assert isinstance(sevlab.explore(sevlab.compare_measure(evidence)), Explorer)
    assert isinstance(sevlab.explore(evidence.measurement), ByteMap)
    with pytest.raises(TypeError, match="not int"):
        sevlab.explore(1)
    ipywidgets.Widget.close_all()


CONFIGURATION = (
    "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s,policy=0x1 "
    "-drive if=pflash,unit=0,readonly=on,file=OVMF.fd -kernel k"
)


def test_a_configuration_is_labelled_as_it_is_typed() -> None:
    box = sevlab.explore(CONFIGURATION)
    assert isinstance(box, CoverageBox)
    assert any("kernel-hashes=on" in line.words for line in box.coverage.broken)
    assert "kernel-hashes=on" in box.result.value
    box.text.value = box.text.value.replace("policy=0x1", "policy=0x1,kernel-hashes=on")
    assert not any("kernel-hashes=on" in line.words for line in box.coverage.broken)
    box.text.value = "<domain><b>"
    assert box.coverage is None
    assert 'role="alert"' in box.result.value
    ipywidgets.Widget.close_all()
