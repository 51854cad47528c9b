"""The widgets of a simulated launch and of coverage, without a kernel."""

from __future__ import annotations

import ipywidgets

import sevlab
from sevlab.widgets.simulation import CoverageBox, TranscriptExplorer
from tests.paths import SAMPLES

CONFIGURATION = (
    "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s,policy=0x1 "
    "-drive if=pflash,unit=0,readonly=on,file=OVMF.fd -kernel k"
)


def test_a_configuration_is_labelled_as_it_is_typed() -> None:
    box = sevlab.explore(CONFIGURATION)
    assert isinstance(box, CoverageBox)
    assert any("kernel-hashes=on" in line.words for line in box.coverage.broken)
    assert "kernel-hashes=on" in box.banner.value
    box.text.value = box.text.value.replace("policy=0x1", "policy=0x1,kernel-hashes=on")
    assert not any("kernel-hashes=on" in line.words for line in box.coverage.broken)
    box.text.value = "<domain><b>"
    assert box.coverage is None
    assert 'role="alert"' in box.alert.value
    ipywidgets.Widget.close_all()


def test_the_last_message_stays_the_last_when_a_launch_ends_earlier() -> None:
    shown = sevlab.explore(sevlab.simulate_launch({"firmware": str(SAMPLES / "firmware.fd")}, policy=1, seed=b"test"))
    assert isinstance(shown, TranscriptExplorer)
    shown.step.value, most = shown.step.max, shown.step.max
    shown.target.value = "session"
    assert shown.run.caught
    assert int(shown.step.value) == len(shown.run.transcript.entries) < most
    assert "alert" not in shown.message.value
    shown.step.value = most  # typed: that is an error at its box
    assert f"received &#x27;{most}&#x27;" in shown.message.value
    ipywidgets.Widget.close_all()
