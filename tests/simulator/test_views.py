"""What people see of a simulated launch and of a session: picture, explorers, static twins."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.widgets.simulation import NOTHING, TranscriptExplorer
from sevlab.widgets.structure_explorers import SessionExplorer

FIRMWARE = str(Path(__file__).parent.parent.parent / "notebooks" / "samples" / "firmware-kernel.fd")


@pytest.fixture(scope="module")
def run() -> Any:
    return sevlab.simulate_launch({"firmware": FIRMWARE}, 1, seed=b"views")


def test_the_picture_has_an_arrow_for_each_message_and_speaks(run: Any) -> None:
    picture = sevlab.plots.charts.plot_transcript(run.transcript)
    (axes,) = picture.axes
    words = [text.get_text() for text in axes.texts]
    for entry in run.transcript.messages:
        assert f"{entry.name}, {entry.size:,} bytes" in words
    assert {"owner", "host", "secure processor"} <= set(words)
    assert str(picture) == str(run.transcript)
    assert picture._repr_png_()[0] == sevlab.plots.charts.plot_transcript(run.transcript)._repr_png_()[0]
    assert len(picture._repr_png_()[0]) < 100_000


def test_the_explorer_shows_who_notices(run: Any) -> None:
    box = sevlab.explore(run)
    assert isinstance(box, TranscriptExplorer)
    assert "has its secret" in box.banner.value
    box.target.value = "firmware"
    assert "CAUGHT by the owner" in box.banner.value
    box.offset.value = 65535
    assert box.run.caught[0] == "owner"
    box.target.value = "session"
    assert box.offset.max == 127
    assert box.error == "byte: received '65535'; needed a whole number from 0 to 127"
    box.offset.value = 127
    assert box.run.caught[0] == "secure processor"
    box.target.value = "godh"
    box.offset.value = 2083
    assert "Nobody noticed" in box.banner.value
    box.target.value = NOTHING
    assert box.run is run
    assert box.step.max == len(run.transcript.entries)
    for number in range(1, box.step.max + 1):
        box.step.value = number
        assert run.transcript.entries[number - 1].name in box.message.value
    box.step.value = number + 1
    assert f"Message: received {str(number + 1)!r}" in unescape(box.message.value)
    assert box.frame.wrong == "Message"
    box.step.value = 1
    assert run.transcript.entries[0].name in box.message.value
    assert (box.error, box.frame.wrong) == ("", "")
    assert run.owner.session.tik.reveal().hex(" ") not in box.message.value + box.record.value


@pytest.mark.parametrize("name", ["firmware", "godh", "session", "measurement", "secret header", "secret payload"])
def test_every_change_has_an_end(run: Any, name: str) -> None:
    box = sevlab.explore(run)
    box.target.value = name
    assert box.run.caught is not None
    assert "CAUGHT" in repr(box)


@pytest.fixture
def opened() -> Any:
    random = sevlab.attestation.session.seeded(b"session views")
    private = sevlab.attestation.session.make_private(random)
    session = sevlab.attestation.session.make_session(
        sevlab.attestation.session.godh_certificate(private), 5, random=random
    )
    return sevlab.attestation.session.open_session(session.blob, session.godh, private, 5)


def test_every_part_of_a_session_can_be_edited(opened: Any) -> None:
    box = sevlab.explore(opened)
    assert isinstance(box, SessionExplorer)
    assert box.opened.matches
    for name, expected in (
        ("nonce", "wrap_mac"),
        ("wrap_tk", "wrap_mac"),
        ("wrap_iv", "policy_mac"),
        ("wrap_mac", "wrap_mac"),
        ("policy_mac", "policy_mac"),
    ):
        before = box.boxes[name].value
        box.boxes[name].value = ("0" if before[0] != "0" else "1") + before[1:]
        assert [step.name for step in box.opened.checks if step.state == "mismatch"] == [expected]
        box.boxes[name].value = before
        assert box.opened.matches
    box.policy.value = "4"
    assert not box.opened.matches
    box.policy.value = ""
    assert box.opened.checks[-1].state == "not checked"


@pytest.mark.parametrize("text", ["", "xyz", "00", "<script>", "0" * 10_000])
def test_a_bad_part_is_one_line_and_takes_the_result_back(opened: Any, text: str) -> None:
    box = sevlab.explore(opened)
    box.boxes["nonce"].value = text
    assert box.opened is None
    assert box.error.startswith("nonce: received")
    assert "CANNOT TELL" in box.banner.value
    assert "<script>" not in box.alert.value
    assert "nonce" in repr(box)


def test_static_twins_are_whole(run: Any, opened: Any) -> None:
    for thing in (run, opened):
        bundle = sevlab.explore(thing)._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        assert data["text/plain"].strip()
        assert data["text/html"].startswith("<")
