"""The measured message and the measurement: any bytes, every bit, and the published numbers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.formats.message import Measurement, MeasureMessage, OldMeasureMessage
from sevlab.layout.rows import Layout

#: Offsets and sizes as the specification's table has them, apart from the declaration.
FIELDS = {
    MeasureMessage: [
        ("context", 0, 1),
        ("api_major", 1, 1),
        ("api_minor", 2, 1),
        ("build_id", 3, 1),
        ("policy", 4, 4),
        ("digest", 8, 32),
        ("mnonce", 40, 16),
    ],
    OldMeasureMessage: [("policy", 0, 4), ("digest", 4, 32), ("mnonce", 36, 16)],
    Measurement: [("measure", 0, 32), ("mnonce", 32, 16)],
}
SIZES = {MeasureMessage: 56, OldMeasureMessage: 52, Measurement: 48}
KINDS = pytest.mark.parametrize("kind", list(FIELDS), ids=lambda kind: kind.__name__)


@KINDS
@given(data=st.data())
def test_any_bytes_parse_and_build_back(kind: type[Layout], data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=SIZES[kind], max_size=SIZES[kind]))
    parsed = kind.from_bytes(raw)
    assert parsed.to_bytes() == raw
    assert kind(**{name: getattr(parsed, name) for name, _, _ in FIELDS[kind]}).to_bytes() == raw
    assert b"".join(span.raw for span in parsed.spans()) == raw


@KINDS
@given(data=st.data())
def test_a_flipped_bit_gives_exactly_one_differing_field_the_right_one(kind: type[Layout], data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=SIZES[kind], max_size=SIZES[kind]))
    position = data.draw(st.integers(0, 8 * SIZES[kind] - 1))
    flipped = bytearray(raw)
    flipped[position // 8] ^= 1 << position % 8
    comparison = sevlab.compare(kind.from_bytes(raw), kind.from_bytes(bytes(flipped)))
    right = [name for name, offset, size in FIELDS[kind] if offset <= position // 8 < offset + size]
    assert comparison.differing == right
    assert comparison.marked == [position // 8]
    assert not comparison.matches


@KINDS
@given(size=st.integers(0, 200))
def test_another_length_is_refused(kind: type[Layout], size: int) -> None:
    if size == SIZES[kind]:
        assert kind.from_bytes(bytes(size)).size == size
    else:
        with pytest.raises(sevlab.LayoutError, match=f"received {size} bytes; needed {SIZES[kind]} bytes"):
            kind.from_bytes(bytes(size))


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
    assert sevlab.HmacSteps(message, tik).measure == measure


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


def test_policy_bits_are_where_the_specification_has_them() -> None:
    for bit, name in enumerate(["nodbg", "noks", "es", "nosend", "domain", "sev"]):
        assert int(sevlab.Policy().replace(**{name: 1})) == 1 << bit
        assert getattr(sevlab.Policy(1 << bit), name) == 1
    policy = sevlab.Policy(0x16010000)
    assert (policy.api_major, policy.api_minor) == (1, 22)
    assert sevlab.Policy(0x40).findings() == ["reserved bits 15:6 hold 0x1, must be 0"]
    with pytest.raises(sevlab.LayoutError):
        sevlab.Policy(1 << 32)


@given(value=st.integers(0, 0xFFFFFFFF))
def test_any_policy_is_kept_and_shown(value: int) -> None:
    policy = sevlab.Policy(value)
    assert int(policy) == value
    assert sum(row.limit and (part << row.low) for row, part in policy.items()) == value
    assert f"0x{value:08x}" in str(policy)


def test_a_wrong_declaration_fails_when_it_is_made() -> None:
    from sevlab.layout.bits import Bits, bit
    from sevlab.layout.rows import at

    with pytest.raises(TypeError, match="0x1 is next"):
        type("Gap", (Layout,), {"a": at(0, 1, ""), "b": at(2, 1, "")}, size=3, spec="")
    with pytest.raises(TypeError, match="is at 0x0"):
        type("Overlap", (Layout,), {"a": at(0, 1, ""), "b": at(0, 1, "")}, size=2, spec="")
    with pytest.raises(TypeError, match="declares 1 bytes of 2"):
        type("Short", (Layout,), {"a": at(0, 1, "")}, size=2, spec="")
    with pytest.raises(TypeError, match="declares 1 bits"):
        type("Few", (Bits,), {"a": bit(0, "")}, size=1, spec="")


def test_a_layout_does_not_change() -> None:
    message = MeasureMessage.from_bytes(bytes(56))
    with pytest.raises(AttributeError, match="use replace"):
        message.policy = sevlab.Policy(1)
    with pytest.raises(sevlab.LayoutError, match="0 to 255"):
        message.replace(build_id=256)
    assert message.findings() == ["context: must be 0x04"]


def test_one_field_has_one_tint_everywhere() -> None:
    tints: dict[str, set[str]] = {}
    for kind in FIELDS:
        for row in kind.rows:
            tints.setdefault(row.name, set()).add(row.tint)
    assert all(len(found) == 1 for found in tints.values())
    assert len({row.tint for row in MeasureMessage.rows}) == len(MeasureMessage.rows)
