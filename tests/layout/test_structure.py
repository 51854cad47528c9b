"""The engine: what a declaration promises, for any bytes, in every layout that sevlab declares."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.formats.launch_measure import Measurement, MeasureMessage, OldMeasureMessage
from sevlab.layout.span import COLOURS, INK, letters
from sevlab.layout.structure import Layout, at, reserved
from tests.make_docs import declared

#: Every layout that sevlab documents.
LAYOUTS: list[type[Layout]] = sorted(declared(Layout), key=lambda layout: layout.__name__)
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)


class Sample(Layout, size=16, spec="a test"):
    """A structure with one row of each kind."""

    magic: int = at(0, 2, "Two bytes that never change.", const=0x5AA5)
    count: int = at(2, 4, "A number.")
    zero: bytes = reserved(6, 2)
    body: bytes = at(8, 8, "Eight bytes.", type=bytes, colour="teal")


def test_the_three_structures_of_a_measurement_are_among_the_layouts() -> None:
    assert {MeasureMessage, OldMeasureMessage, Measurement} <= set(LAYOUTS)


@EACH_LAYOUT
@given(data=st.data())
def test_any_bytes_parse_and_build_back(layout: type[Layout], data: st.DataObject) -> None:
    if layout.size <= 256:
        raw = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    else:  # more than Hypothesis likes to make: short pieces at any place, random bytes or zeros between them
        raw = (
            random.Random(data.draw(st.integers())).randbytes(layout.size)
            if data.draw(st.booleans())
            else bytes(layout.size)
        )
        piece, place = data.draw(st.binary(max_size=64)), data.draw(st.integers(0, layout.size - 64))
        raw = raw[:place] + piece + raw[place + len(piece) :]
    parsed = layout.from_bytes(raw)
    assert parsed.to_bytes() == raw
    assert b"".join(span.raw for span in parsed.spans()) == raw
    rebuilt = layout(**{row.name: getattr(parsed, row.name) for row in layout.rows})
    assert rebuilt == parsed
    assert rebuilt.to_bytes() == raw


@EACH_LAYOUT
def test_rows_follow_each_other_and_fill_the_structure(layout: type[Layout]) -> None:
    position = 0
    for span in layout.from_bytes(bytes(layout.size)).spans():
        assert span.offset == position
        assert span.size > 0
        assert span.doc
        assert span.colour in COLOURS
        position += span.size
    assert position == layout.size


@EACH_LAYOUT
def test_a_wrong_length_is_refused_with_both_lengths(layout: type[Layout]) -> None:
    for size in (0, layout.size - 1, layout.size + 1):
        with pytest.raises(sevlab.LayoutError) as caught:
            layout.from_bytes(bytes(size))
        assert (caught.value.received, caught.value.needed) == (f"{size} bytes", f"{layout.size} bytes")


@pytest.mark.parametrize(
    ("rows", "size", "told"),
    [
        ({"a": at(0, 4, ""), "b": at(8, 4, "")}, 12, "b is at 0x8, but 0x4 is next"),
        ({"a": at(0, 4, ""), "b": at(2, 4, "")}, 6, "b is at 0x2, but 0x4 is next"),
        ({"a": at(1, 4, "")}, 5, "a is at 0x1, but 0x0 is next"),
        ({"a": at(0, 4, "")}, 8, "declares 4 bytes of 8"),
        ({"a": at(0, 8, "")}, 4, "declares 8 bytes of 4"),
        ({}, 4, "declares 0 bytes of 4"),
        ({"a": at(0, 4, "", colour="mauve")}, 4, "no such colour: mauve"),
    ],
    ids=["gap", "overlap", "late start", "too small", "too large", "empty", "colour"],
)
def test_a_wrong_declaration_fails_where_it_is_made(rows: dict[str, object], size: int, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        type("Wrong", (Layout,), rows, size=size, spec="")


def test_a_later_version_replaces_the_rows_that_its_own_overlap() -> None:
    class Later(Sample, size=16, spec="a test, version 2"):
        half: int = at(8, 4, "Half of the eight bytes.")
        rest: bytes = reserved(12, 4)

    class Again(Later, size=16, spec="a test, version 3"):
        count: int = at(2, 4, "Another meaning.", const=3)

    assert [row.name for row in Later.rows] == ["magic", "count", "zero", "half", "rest"]
    assert [row.name for row in Again.rows] == [row.name for row in Later.rows]
    assert [row.name for row in Sample.rows] == ["magic", "count", "zero", "body"]
    assert Again(half=1).to_bytes() == Later(count=3, half=1).to_bytes() == struct.pack("<HIHII", 0x5AA5, 3, 0, 1, 0)
    assert Later(count=2, half=1).findings() == []
    assert Again.from_bytes(Later(count=2, half=1).to_bytes()).findings() == ["count: must be 0x00000003"]


def test_a_version_that_leaves_a_gap_fails_where_it_is_declared() -> None:
    with pytest.raises(TypeError, match="declares 12 bytes of 16"):
        type("Wrong", (Sample,), {"half": at(8, 4, "")}, size=16, spec="")


def test_building_fills_in_constants_and_zeros() -> None:
    built = Sample(count=0x01020304, body=b"12345678")
    assert built.to_bytes() == b"\xa5\x5a" + b"\x04\x03\x02\x01" + b"\0\0" + b"12345678"
    assert (built.magic, built.count, built.body) == (0x5AA5, 0x01020304, b"12345678")


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"count": 1}, TypeError, "Sample needs body"),
        ({"count": 1, "body": bytes(8), "more": 1}, TypeError, "no field named 'more'"),
        (
            {"count": 1 << 32, "body": bytes(8)},
            sevlab.LayoutError,
            "count: received 4294967296; needed 0 to 4294967295",
        ),
        ({"count": -1, "body": bytes(8)}, sevlab.LayoutError, "count: received -1"),
        ({"count": "1", "body": bytes(8)}, sevlab.LayoutError, "count: received str; needed a whole number"),
        ({"count": 1, "body": bytes(7)}, sevlab.LayoutError, "body: received 7 bytes; needed 8 bytes"),
        ({"count": 1, "body": "12345678"}, sevlab.LayoutError, "body: received str; needed 8 bytes"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Sample(**values)


def test_odd_values_are_findings_and_are_kept() -> None:
    raw = b"\x00\x00" + bytes(4) + b"\x00\x80" + bytes(8)
    odd = Sample.from_bytes(raw)
    assert odd.findings() == ["magic: must be 0x5aa5", "zero: not 0, and not known to sevlab"]
    assert odd.to_bytes() == raw
    assert odd.replace(count=7).to_bytes() == raw[:2] + b"\x07\0\0\0" + raw[6:]
    assert Sample(count=1, body=bytes(8)).findings() == []


@EACH_LAYOUT
def test_nothing_of_a_layout_can_be_set(layout: type[Layout]) -> None:
    thing = layout.from_bytes(bytes(layout.size))
    for name in (layout.rows[0].name, "_raw", "another"):
        with pytest.raises(AttributeError, match="does not change"):
            setattr(thing, name, b"")
    assert thing.to_bytes() == bytes(layout.size)


def test_a_layout_keeps_its_bytes_when_its_source_changes() -> None:
    source = bytearray(Sample.size)
    parsed = Sample.from_bytes(source)
    source[0] = 0xFF
    assert parsed.to_bytes() == bytes(Sample.size)


def test_equal_bytes_of_the_same_kind_are_equal() -> None:
    class Other(Layout, size=16, spec=""):
        all: bytes = at(0, 16, "", type=bytes)

    one, same = Sample.from_bytes(bytes(16)), Sample.from_bytes(bytes(16))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Sample.from_bytes(b"\1" + bytes(15))
    assert one != Other.from_bytes(bytes(16))
    assert one != bytes(16)


def test_a_repr_builds_the_same_again() -> None:
    message = MeasureMessage.from_bytes(bytes(range(56)))
    assert eval(repr(message), {"MeasureMessage": MeasureMessage}) == message


@pytest.mark.parametrize("name", ["measure", "mnonce", "digest", "policy"])
def test_a_field_has_one_colour_in_every_layout(name: str) -> None:
    owners = {layout.__name__: row.colour for layout in LAYOUTS for row in layout.rows if row.name == name}
    assert owners
    assert len(set(owners.values())) == 1, owners


def test_fields_of_one_view_are_told_apart_by_colour() -> None:
    for layout in (MeasureMessage, OldMeasureMessage, Measurement):
        colours = [row.colour for row in layout.rows]
        assert len(set(colours)) == len(colours)


def relative_luminance(colour: str) -> float:
    """Relative luminance of a colour #rrggbb, as WCAG 2.1 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_contrast_formula_agrees_with_known_pairs() -> None:
    assert (relative_luminance("#ffffff") + 0.05) / (relative_luminance("#000000") + 0.05) == pytest.approx(21)
    assert (relative_luminance("#ffffff") + 0.05) / (relative_luminance("#767676") + 0.05) == pytest.approx(
        4.54, abs=0.01
    )


@pytest.mark.parametrize("colour", COLOURS)
def test_text_on_a_colour_can_be_read(colour: str) -> None:
    assert (relative_luminance(COLOURS[colour]) + 0.05) / (relative_luminance(INK) + 0.05) >= 7


def test_letters_go_on_after_z() -> None:
    assert letters(3) == ["A", "B", "C"]
    many = letters(800)
    assert many[25:28] == ["Z", "AA", "AB"]
    assert many[701:703] == ["ZZ", "AAA"]
    assert len(set(many)) == 800
