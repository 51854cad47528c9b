"""The small widgets without a browser: change an input, see what follows, and nothing stale beside an error."""

from __future__ import annotations

import hashlib
import hmac
import re

import ipywidgets
import pytest

import sevlab
from sevlab.labs import samples, show_measures
from sevlab.layout.views import Paragraph, View
from sevlab.widgets import FieldBox, Trial
from sevlab.widgets.boxes import NumberBox
from tests.labs.test_ribbon import ribbons
from tests.widgets.views import assert_static, is_dimmed

MESSAGE, REPORTED = samples.message().to_bytes(), samples.measurement()[:32]
FIRMWARE = samples.firmware()


def mac(message: bytes) -> bytes:
    return hmac.digest(samples.TIK, message, "sha256")


def field_box(field: str, firmware: bytes = b"") -> FieldBox:
    return FieldBox(MESSAGE, samples.TIK, REPORTED, field, firmware)


def flipped(raw: bytes, offset: int, bit: int) -> bytes:
    return raw[:offset] + bytes([raw[offset] ^ 1 << bit]) + raw[offset + 1 :]


@pytest.mark.parametrize("field", [one.name for one in sevlab.MeasureMessage.rows])
def test_every_field_starts_with_a_match(field: str) -> None:
    box = field_box(field)
    assert box.message is not None
    assert box.message.to_bytes() == MESSAGE
    assert box.computed == REPORTED
    assert "MATCH: all 256 bits are equal. No bytes of the message changed." in repr(box)
    assert "*" not in "".join(ribbons(repr(box))[0])
    assert_static(box)


@pytest.mark.parametrize(
    ("field", "typed", "expected"),
    [
        ("context", "1", b"\x01" + MESSAGE[1:]),
        ("api_major", "0x1", MESSAGE[:1] + b"\x01" + MESSAGE[2:]),
        ("api_minor", " 16 ", MESSAGE[:2] + b"\x10" + MESSAGE[3:]),
        ("build_id", "255", MESSAGE[:3] + b"\xff" + MESSAGE[4:]),
        ("policy", "0x17000001", MESSAGE[:7] + b"\x17" + MESSAGE[8:]),
        ("policy", "0", MESSAGE[:4] + bytes(4) + MESSAGE[8:]),
        ("mnonce", "FF" * 16, MESSAGE[:40] + b"\xff" * 16),
        ("mnonce", "0a " * 16, MESSAGE[:40] + b"\n" * 16),
    ],
)
def test_a_typed_value_changes_its_bytes_and_the_measure(field: str, typed: str, expected: bytes) -> None:
    box = field_box(field)
    if field == "policy":
        box.boxes[field].number.value = typed
    else:
        box.boxes[field].value = typed
    _assert_shows(box, expected)
    assert_static(box)


@pytest.mark.parametrize("firmware", [b"", FIRMWARE], ids=["digest", "firmware"])
@pytest.mark.parametrize(("offset", "bit"), [(0, 0), (31, 7), (17, 3)])
def test_a_bit_of_the_digest_or_of_the_firmware_is_flipped(firmware: bytes, offset: int, bit: int) -> None:
    box = field_box("digest", firmware)
    box.boxes["bit"].value = str(bit)
    box.boxes["offset"].value = hex(offset)
    digest = flipped(MESSAGE[8:40], offset, bit)
    if firmware:
        digest = hashlib.sha256(flipped(firmware, offset, bit)).digest()
    _assert_shows(box, MESSAGE[:8] + digest + MESSAGE[40:])
    box.boxes["offset"].value = ""
    _assert_shows(box, MESSAGE)


def _assert_shows(box: FieldBox, expected: bytes) -> None:
    assert box.error == ""
    assert box.message is not None
    assert box.message.to_bytes() == expected
    assert box.computed == mac(expected)
    stars = ["*" * (one != other) for one, other in zip(MESSAGE, expected, strict=True)]
    assert ribbons(repr(box)) == [[f"{byte:02x}{star}" for byte, star in zip(expected, stars, strict=True)]]
    assert str(show_measures(REPORTED, mac(expected))) in repr(box)
    assert len(re.findall("outline:3px", box.bytes.value)) == stars.count("*")
    assert ("MISMATCH" in box.banner.value) == (expected != MESSAGE)


def test_a_flag_of_the_policy_is_ticked() -> None:
    box = field_box("policy")
    box.boxes["policy"].boxes["nodbg"].value = False
    _assert_shows(box, MESSAGE[:4] + bytes(4) + MESSAGE[8:])


@pytest.mark.parametrize(
    ("field", "name", "typed"),
    [
        *(
            (field, field, text)
            for field in ("context", "api_major", "api_minor", "build_id")
            for text in ("256", "-1", "")
        ),
        *(("policy", "policy", text) for text in ("-1", "NODBG", "")),
        *(("mnonce", "mnonce", text) for text in ("", "ff", "g" * 32, "0" * 33, "<b>" * 11)),
        *(("digest", name, text) for name, text in (("offset", "32"), ("offset", "x"), ("bit", "8"), ("bit", ""))),
    ],
)
def test_what_cannot_be_read_leaves_one_clear_line_and_nothing_stale(field: str, name: str, typed: str) -> None:
    box = field_box(field)
    target = box.boxes[name].number if field == "policy" else box.boxes[name]
    start = target.value
    target.value = typed
    assert "needed" in box.error
    assert box.alert.value.count('role="alert"') == 1
    assert "<b><b>" not in box.alert.value
    assert is_dimmed(box.bytes)
    assert (box.message, box.computed) == (None, None)
    assert "CANNOT TELL" in box.banner.value
    assert repr(box).splitlines()[-1].strip().startswith("CANNOT TELL")
    assert_static(box)
    target.value = start
    _assert_shows(box, MESSAGE)
    assert not is_dimmed(box.bytes)
    assert box.alert.value == ""
    target.value = typed
    box.undo.click()
    _assert_shows(box, MESSAGE)


def test_what_a_field_box_is_not_made_of() -> None:
    with pytest.raises(sevlab.InputError, match="field: received 'tik'; needed one of context, "):
        field_box("tik")
    with pytest.raises(sevlab.InputError, match="firmware: "):
        field_box("digest", FIRMWARE[:-1])
    with pytest.raises(sevlab.LayoutError):
        FieldBox(MESSAGE[:-1], samples.TIK, REPORTED, "context")
    with pytest.raises(sevlab.InputError, match="32 bytes each"):
        FieldBox(MESSAGE, samples.TIK, REPORTED[:-1], "context")
    with pytest.raises(sevlab.InputError, match="tik: received a key of 15 bytes") as caught:
        FieldBox(MESSAGE, samples.TIK[1:], REPORTED, "context")
    told = str(caught.getrepr(showlocals=True))
    assert samples.TIK[1:].decode() not in told


def test_each_kind_of_start_has_its_box() -> None:
    seen: dict[str, object] = {}

    def run(**inputs: object) -> View:
        seen.update(inputs)
        return View(Paragraph(" ".join(map(str, inputs.values()))))

    trial = Trial(run, switch=True, number=3, inside=range(2, 5), choice=["one", "two"], some_text="word")
    assert seen == {"switch": True, "number": 3, "inside": 2, "choice": "one", "some_text": "word"}
    assert repr(trial) == "True 3 2 one word"
    kinds = [type(box) for box in trial.boxes.values()]
    assert kinds == [
        *(ipywidgets.Checkbox, NumberBox, NumberBox),
        *(ipywidgets.Dropdown, ipywidgets.Text),
    ]
    assert trial.boxes["some_text"].description == "some text"
    for name, value in {"switch": False, "number": -7, "inside": 4, "choice": "two", "some_text": "<b>"}.items():
        trial.boxes[name].value = value
        assert seen[name] == value
    assert repr(trial) == "False -7 4 two <b>"
    assert "&lt;b&gt;" in trial.banner.value
    assert_static(trial)
    for name, text in (("inside", "1"), ("inside", "5"), ("inside", ""), ("number", "-"), ("number", "9" * 30)):
        trial.boxes[name].value = text
        assert trial.error.startswith(f"{name}: received {repr(text[:20])[:-1] if text else 'nothing'}")
        assert trial.frame.wrong == name
        trial.undo.click()
        assert repr(trial) == "True 3 2 one word"


def test_a_trial_that_cannot_be_run_shows_why_and_nothing_stale() -> None:
    def run(policy: str) -> View:
        return sevlab.explain(sevlab.launch.values.parse_policy(policy))

    trial = Trial(run, policy="0x1")
    good = repr(trial)
    trial.boxes["policy"].value = "zz"
    assert trial.error.startswith("policy: received 'zz'")
    assert 'role="alert"' in trial.alert.value
    assert trial.shown is None
    assert "CANNOT TELL" in trial.banner.value
    assert "NODBG" not in repr(trial) + trial.banner.value
    assert_static(trial)
    trial.boxes["policy"].value = "1"
    assert (repr(trial), trial.alert.value) == (good, "")
