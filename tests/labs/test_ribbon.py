"""The ribbon and the two measures: a star exactly where bytes differ, in text and in HTML."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.formats.launch_measure import MeasureMessage, OldMeasureMessage
from sevlab.labs import samples, show_measures, show_message
from sevlab.labs.ribbon import Ribbon
from tests.test_lessons import Balanced

MESSAGE = samples.message().to_bytes()
whole, measures = st.binary(min_size=56, max_size=56), st.binary(min_size=32, max_size=32)


def cells(text: str) -> list[str]:
    """The bytes of a ribbon or a measure in text, each with the star that it may carry."""
    return re.findall(r"\b[0-9a-f]{2}(?:\*|(?=\s|$))|\.\.", text, re.MULTILINE)


def ribbons(text: str) -> list[list[str]]:
    """The cells of each ribbon in a view's text: its rows begin with an offset."""
    rows = [(line[:4], cells(line[6:])) for line in text.splitlines() if re.match(r"0x[0-9a-f]0  ", line)]
    found: list[list[str]] = []
    for offset, row in rows:
        if offset == "0x00":
            found.append([])
        found[-1] += row
    return found


def assert_html_is_plain(view: sevlab.layout.views.View) -> None:
    checker = Balanced()
    checker.feed(view.html())
    assert checker.open == []
    assert view.html() == view.html()


@given(st.integers(0, 56), whole)
def test_a_message_grows_byte_by_byte(count: int, raw: bytes) -> None:
    view = show_message(raw[:count])
    (shown,) = ribbons(str(view))
    assert shown == [f"{byte:02x}" for byte in raw[:count]] + [".."] * (56 - count)
    assert f"{count} of 56 bytes" in str(view)
    assert view.html().count("border:1px dashed") == 56 - count


@given(whole, st.sets(st.integers(0, 55)))
def test_stars_are_exactly_at_the_bytes_that_differ(raw: bytes, places: set[int]) -> None:
    changed = bytes(byte ^ 0x80 * (place in places) for place, byte in enumerate(raw))
    view = show_message(changed, raw)
    for shown, bytes_ in zip(ribbons(str(view)), (raw, changed), strict=True):
        assert shown == [f"{byte:02x}{'*' * (place in places)}" for place, byte in enumerate(bytes_)]
    assert f"Bytes that changed: {len(places)} of 56." in str(view)
    assert view.html().count("outline:3px") == 2 * len(places)
    assert_html_is_plain(view)


def test_bytes_that_only_one_message_has_are_marked() -> None:
    before, after = ribbons(str(show_message(MESSAGE[:8], MESSAGE[:4])))
    assert before == ["04", "00", "16", "0d", *[".."] * 52]
    assert after[:9] == ["04", "00", "16", "0d", "01*", "00*", "00*", "00*", ".."]


@pytest.mark.parametrize(("form", "names"), [(MeasureMessage, "ABCDEFG"), (OldMeasureMessage, "EFG")])
def test_the_older_message_keeps_its_letters(form: type[MeasureMessage | OldMeasureMessage], names: str) -> None:
    text = str(show_message(MESSAGE[-form.size :], form=form))
    rows = text.splitlines()
    letters = "".join(line.replace(" ", "") for line in rows if re.fullmatch(r"[A-G ]+", line) and line.strip())
    sizes = dict(zip("ABCDEFG", (1, 1, 1, 1, 4, 32, 16), strict=True))
    assert letters == "".join(letter * sizes[letter] for letter in names)
    assert [one.split()[0] for one in re.findall(r"\b[A-G] \w{3,}", text)] == list(names)


@given(measures, measures)
def test_measures_are_starred_where_they_differ_and_their_bits_counted(one: bytes, other: bytes) -> None:
    view = show_measures(one, other)
    rows = [line for line in str(view).splitlines() if line.startswith(("reported", "computed"))]
    for name, raw in (("reported", one), ("computed", other)):
        shown = [cell for line in rows if line.startswith(name) for cell in cells(line[10:])]
        assert shown == [f"{byte:02x}{'*' * (one[i] != other[i])}" for i, byte in enumerate(raw)]
    bits = sum(bin(a ^ b).count("1") for a, b in zip(one, other, strict=True))
    assert str(view).splitlines()[-1].startswith(f"MISMATCH: {bits} of 256" if bits else "MATCH")
    assert view.html().count("*</b>") == 2 * sum(a != b for a, b in zip(one, other, strict=True))
    assert_html_is_plain(view)


def test_equal_measures_match() -> None:
    assert str(show_measures(bytes(32), bytes(32))).endswith("MATCH: all 256 bits are equal")


def test_bytes_that_are_no_message_and_no_measure_are_refused() -> None:
    with pytest.raises(sevlab.InputError, match="raw: received 57 bytes; needed at most 56"):
        show_message(bytes(57))
    with pytest.raises(sevlab.InputError, match="raw: received 53 bytes; needed at most 52"):
        Ribbon(bytes(53), form=OldMeasureMessage)
    for pair in ((bytes(31), bytes(32)), (bytes(32), bytes(48))):
        with pytest.raises(sevlab.InputError, match="32 bytes each"):
            show_measures(*pair)
