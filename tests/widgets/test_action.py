"""Actions carry the state they act on: whatever became of the messages before, a press acts on what the page showed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.labs import sample_files
from sevlab.labs import snp_samples as snp
from sevlab.widgets.action import Button
from sevlab.widgets.boxes import NumberBox
from sevlab.widgets.debugger import debugger
from tests.widgets.views import type_in

WIDGETS = Path(sevlab.__file__).parent / "widgets"


def shown(action: Button, **seen: Any) -> list[Any]:
    """What the boxes beside an action show: what the kernel holds, but for those named by their label."""
    labels = [getattr(box, "description", "") or getattr(box, "label", "") for box in action.beside]
    assert set(seen) <= set(labels)
    held = [box.label if isinstance(box, ipywidgets.Dropdown) else box.value for box in action.beside]
    return [seen.get(label, value) for label, value in zip(labels, held, strict=True)]


def press(action: Button, content: dict[str, Any] | None = None, **seen: Any) -> None:
    """The message of a press, alone: the page showed what is *seen*, and no other message has arrived."""
    action._handle_custom_msg({**(content or {}), "state": shown(action, **seen)}, [])


def test_a_paste_is_read_though_only_the_press_arrives() -> None:
    page = debugger({})
    press(page.read, **{"What you have": "sev-policy: 0x5", "Build": "19"})
    assert "Understood" in page.understood.value
    assert page.inputs == {"policy": "0x5", "build_id": "19"}
    press(page.read, **{"What you have": ""})
    assert "received nothing" in page.understood.value


def test_a_search_is_for_what_the_page_shows(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    page = debugger({"firmware": str(tmp_path / "firmware.fd"), "tk": str(tmp_path / "tk.bin")})
    page.paste.value = (tmp_path / "launch.txt").read_text()
    page.read.click()
    press(page.why, Build="19", Seconds="30")
    page.wait(300)
    assert page.diagnosis is not None
    assert [change.input for change in page.diagnosis.explanations[0].changes] == ["build_id"]
    assert page.budget.number == 30
    page.clear.click()
    assert page.inputs == {}


def test_an_edit_is_of_the_byte_and_the_field_that_the_page_shows() -> None:
    explorer = sevlab.explore(snp.snp_report(), at="2026-01-01")
    raw = explorer.start.to_bytes()
    type_in(explorer.map, 0x1A1, "0")  # each message says itself what it is an edit of
    assert explorer.report.to_bytes() == raw[:0x1A1] + b"\0" + raw[0x1A2:]
    type_in(explorer.map, "vmpl", "3")
    assert explorer.report.vmpl == 3
    assert explorer.report.to_bytes()[0x1A1] == 0
    press(explorer.undo)
    assert explorer.report.to_bytes() == raw
    vmsa = sevlab.explore(sevlab.build_vmsa("qemu", signature=0xA00F11))
    type_in(vmsa.map, "r8", "7")
    assert vmsa.page.r8 == 7


def test_a_file_is_removed_whatever_path_was_typed_last(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    policy, firmware = sevlab.Policy(1), str(tmp_path / "firmware-kernel.fd")
    launch = sevlab.load_launch(policy, firmware=firmware, kernel=str(tmp_path / "kernel.bin"))
    assert len(launch.steps) == 2
    explorer = sevlab.explore(
        sevlab.load_evidence(
            measurement="A" * 64,
            api_major=0,
            api_minor=22,
            build_id=13,
            policy=1,
            firmware=firmware,
            tk=str(tmp_path / "tk.bin"),
            kernel=str(tmp_path / "kernel.bin"),
        )
    )
    press(explorer.loaded.files["kernel"].remove, Kernel="no such file")
    assert explorer.error == ""
    assert len(explorer.evidence.launch.steps) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=9,
    )
)
def test_no_message_raises(content: Any) -> None:
    acted: list[str] = []
    beside = [ipywidgets.Text(), ipywidgets.Dropdown(options=["a", "b"], value="a"), NumberBox("Number", 1, 1, 9)]
    button = Button("Press", lambda: acted.append("pressed"), beside)
    for message in (content, {"state": content}, {"state": [content, content, content]}):
        button._handle_custom_msg(message, [])
    assert beside[1].label in ("a", "b")
    ipywidgets.Widget.close_all()


def test_a_button_that_is_off_does_nothing() -> None:
    acted: list[str] = []
    button = Button("Press", lambda: acted.append("pressed"))
    button.disabled = True
    press(button)
    assert acted == []
    button.disabled = False
    press(button)
    assert acted == ["pressed"]


def test_every_button_is_one_that_carries_its_state() -> None:
    """ipywidgets' own button sends a press that may overtake what was typed before it."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in WIDGETS.glob("*.py")}
    assert "Button(" in sources["debugger.py"]
    assert [name for name, source in sources.items() if "w.Button" in source or "on_click" in source] == []
