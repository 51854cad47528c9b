"""The 56-, 52- and 48-byte structures: the published numbers, and bit for bit the facts (sev-launch 7.2 to 7.4)."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.formats.launch_measure import Measurement, MeasureMessage, OldMeasureMessage
from sevlab.layout.structure import Layout

#: First offset of each field, and the end: written down from the facts, not from the declarations.
STARTS = {
    MeasureMessage: {
        "context": 0x00,
        "api_major": 0x01,
        "api_minor": 0x02,
        "build_id": 0x03,
        "policy": 0x04,
        "digest": 0x08,
        "mnonce": 0x28,
        "": 0x38,
    },
    OldMeasureMessage: {"policy": 0, "digest": 4, "mnonce": 36, "": 52},
    Measurement: {"measure": 0x00, "mnonce": 0x20, "": 0x30},
}
EACH = pytest.mark.parametrize("layout", STARTS, ids=lambda layout: layout.__name__)


def field_at(layout: type[Layout], offset: int) -> str:
    """The field that holds a byte: the last one that starts at or before it."""
    return [name for name, start in STARTS[layout].items() if start <= offset][-1]


@EACH
def test_every_single_bit_belongs_to_the_right_field(layout: type[Layout]) -> None:
    raw = hashlib.shake_128(layout.__name__.encode()).digest(layout.size)
    whole = layout.from_bytes(raw)
    for position in range(8 * layout.size):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        comparison = sevlab.compare(whole, layout.from_bytes(bytes(flipped)))
        assert comparison.differing == [field_at(layout, position // 8)]
        assert comparison.marked == [position // 8]


@EACH
@given(data=st.data())
def test_two_structures_differ_where_their_bytes_do(layout: type[Layout], data: st.DataObject) -> None:
    size = STARTS[layout][""]
    one, two = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    comparison = sevlab.compare(layout.from_bytes(one), layout.from_bytes(two))
    offsets = [i for i in range(size) if one[i] != two[i]]
    assert comparison.marked == offsets
    assert comparison.differing == list(dict.fromkeys(field_at(layout, i) for i in offsets))
    assert comparison.matches == (one == two)


@pytest.mark.parametrize("other", [Measurement, OldMeasureMessage, sevlab.KernelHashes])
def test_structures_of_two_kinds_are_not_compared(other: type[Layout]) -> None:
    with pytest.raises(sevlab.LayoutError, match="needed MeasureMessage on both sides"):
        sevlab.compare(MeasureMessage.from_bytes(bytes(56)), other.from_bytes(bytes(other.size)))


@given(
    head=st.tuples(*[st.integers(0, 255)] * 3),
    policy=st.integers(0, 0xFFFFFFFF),
    digest=st.binary(min_size=32, max_size=32),
    mnonce=st.binary(min_size=16, max_size=16),
)
def test_messages_are_what_struct_makes(head: tuple[int, int, int], policy: int, digest: bytes, mnonce: bytes) -> None:
    tail = {"policy": sevlab.Policy(policy), "digest": digest, "mnonce": mnonce}
    new = MeasureMessage(api_major=head[0], api_minor=head[1], build_id=head[2], **tail)
    assert new.to_bytes() == struct.pack("<4BI32s16s", 4, *head, policy, digest, mnonce)
    assert OldMeasureMessage(**tail).to_bytes() == struct.pack("<I32s16s", policy, digest, mnonce)


@pytest.mark.parametrize("context", [0, 3, 5, 255])
def test_another_context_byte_is_a_finding(context: int) -> None:
    assert MeasureMessage.from_bytes(bytes([context]) + bytes(55)).findings() == ["context: must be 0x04"]


def test_the_right_context_byte_is_none() -> None:
    assert MeasureMessage.from_bytes(b"\4" + bytes(55)).findings() == []


def test_a_comparison_says_in_words_what_differs() -> None:
    message = MeasureMessage.from_bytes(b"\4" + bytes(55))
    same, other = sevlab.compare(message, message), sevlab.compare(message, message.replace(build_id=9, policy=1))
    assert "All fields match" in str(same)
    assert "MISMATCH" not in str(same)
    assert "Fields that differ: build_id, policy" in str(other)
    assert str(other).count("MISMATCH *") == 2
    assert "09*" in str(other)
    assert {"reported", "computed"} <= set(str(other).split())


def test_the_published_example_of_sev_tool() -> None:
    message = MeasureMessage(
        api_major=0,
        api_minor=18,
        build_id=15,
        policy=0,
        digest=hashlib.sha256().digest(),
        mnonce=bytes.fromhex("4fbe0bedbad6c86ae8f68971d103e554"),
    )
    tik = bytes.fromhex("66320db73158a35a255d051758e95ed4")
    measure = bytes.fromhex("6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea")
    assert message.to_bytes()[:8] == bytes.fromhex("0400120f00000000")
    assert sevlab.compute_measure(message, tik) == measure
    assert sevlab.launch.measure.HmacSteps(message.to_bytes(), tik).measure == measure


def test_the_worked_example_with_a_policy_and_a_build() -> None:
    message = MeasureMessage(
        api_major=1,
        api_minor=55,
        build_id=25,
        policy=sevlab.Policy(0x11000005),
        digest=sevlab.compute_digest([b"sev", b"lab"]),
        mnonce=bytes(range(0xE0, 0xF0)),
    )
    assert message.digest.hex() == "fc62724f1358b968902e70c8821040fe459c7b03f1c4e11b5e4c119f7df2c90e"
    assert message.to_bytes()[:8].hex() == "0401371905000011"
    measure = sevlab.compute_measure(message, bytes(range(0x70, 0x80)))
    assert measure.hex() == "215fa8ac20557a2092339434598120c739e150f8ff3235aeb5529cfdb62acc49"
