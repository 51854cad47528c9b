"""The ribbon: the message of the measure byte by byte, as it grows or changes; and two measures side by side.

Both are text first, with a star at every byte that changed, so they can be read without colours and without a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from ..errors import InputError
from ..formats.launch_measure import MeasureMessage, OldMeasureMessage
from ..layout.bytemap import NOT_COPIED, ByteMap
from ..layout.span import INK, Span, letters
from ..layout.views import MONO, Heading, Paragraph, View, coloured, plain

if TYPE_CHECKING:
    from ..layout.views import Block, Paint

#: What stands where a byte has not been made yet.
EMPTY = ".."
#: The outline of a byte that changed.
MARK = "#b3003b"
#: The letter of each field.
LETTERS = dict(zip((row.name for row in MeasureMessage.rows), letters(len(MeasureMessage.rows)), strict=True))
#: Bytes of a measure, and of one row of it or of a message.
MEASURE, ROW = 32, 16


class Ribbon(ByteMap):
    """The cells of a message of which the first bytes, *raw*, are there. Marked bytes carry a star.

    The letters are those of the 56 bytes, so that a field of the older message keeps its letter.
    """

    def __init__(
        self, raw: bytes, marked: Sequence[int] = (), form: type[MeasureMessage | OldMeasureMessage] = MeasureMessage
    ) -> None:
        if len(raw) > form.size:
            raise InputError("raw", f"{len(raw)} bytes", f"at most {form.size}, the size of the message")
        super().__init__(form.from_bytes(raw.ljust(form.size, b"\0")).spans(), marked)
        waiting = Span("nothing yet", len(raw), form.size - len(raw), b"", b"", "", "This byte has not been made yet.")
        self.cells = [(byte, span, LETTERS[span.name]) for byte, span, _ in self.cells[: len(raw)]]
        self.cells += [(EMPTY, waiting, "")] * (form.size - len(raw))

    def html(self) -> str:
        rows = [f'<tr style="{NOT_COPIED}"><td></td>{"".join(f"<td>+{i:x}</td>" for i in range(ROW))}</tr>']
        for start in range(0, len(self.cells), ROW):
            cells = "".join(self._cell(i) for i in range(start, min(start + ROW, len(self.cells))))
            rows.append(f'<tr><td style="padding:2px 8px;{NOT_COPIED}">0x{start:02x}</td>{cells}</tr>')
            cells = ""
            there = (cell for cell in self.cells[start : start + ROW] if cell[0] != EMPTY)
            for (span, label), run in groupby(there, key=lambda cell: cell[1:]):
                style = f"{coloured(span.colour)};border:1px solid;text-align:center;padding:0"
                cells += f'<td colspan="{len(list(run))}" style="{style}">{label}</td>'
            rows.append(f'<tr style="{NOT_COPIED}"><td></td>{cells}</tr>')
        style = f"border-collapse:collapse;line-height:1.4;{MONO}"
        return f'<table style="{style}"><tbody>{"".join(rows)}</tbody></table>'

    def _cell(self, i: int) -> str:
        byte, span, _ = self.cells[i]
        if byte == EMPTY:
            return '<td style="border:1px dashed"></td>'
        style = f"{coloured(span.colour)};padding:2px 4px;border:1px solid"
        style += ";border-left:3px solid" if i == span.offset else ""
        if i in self.marked:
            style = f"{style};outline:3px solid {MARK};outline-offset:-3px"
            byte = f'<b>{byte}</b><b style="{NOT_COPIED}">*</b>'
        return f'<td style="{style}">{byte}</td>'


class Letters:
    """One line that says which letter is which field."""

    def __init__(self, form: type[MeasureMessage | OldMeasureMessage] = MeasureMessage) -> None:
        self.names = [(f"{LETTERS[row.name]} {row.name}", row.colour) for row in form.rows]

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        return "   ".join(paint(name, colour) for name, colour in self.names)

    def html(self) -> str:
        style = f"{MONO};padding:1px 6px;border:1px solid {INK};margin-right:4px;display:inline-block"
        chips = (f'<span style="{coloured(colour)};{style}">{name}</span>' for name, colour in self.names)
        return f'<p style="line-height:1.9;margin:4px 0">{"".join(chips)}</p>'


class Measures:
    """Two measures (32 bytes each), *reported* above *computed*, with a star at each byte that differs."""

    def __init__(self, reported: bytes, computed: bytes) -> None:
        if len(reported) != MEASURE or len(computed) != MEASURE:
            raise InputError("measures", f"{len(reported)} and {len(computed)} bytes", f"{MEASURE} bytes each")
        self.both = {"reported": reported, "computed": computed}
        self.bits = (int.from_bytes(reported) ^ int.from_bytes(computed)).bit_count()

    @property
    def words(self) -> str:
        if not self.bits:
            return "MATCH: all 256 bits are equal"
        return f"MISMATCH: {self.bits} of 256 bits differ"

    def _cells(self, raw: bytes, start: int) -> list[str]:
        one, other = self.both.values()
        return [f"{raw[i]:02x}{'*' if one[i] != other[i] else ' '}" for i in range(start, start + ROW)]

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        lines = []
        for start in range(0, MEASURE, ROW):
            for name, raw in self.both.items():
                cells = self._cells(raw, start)
                groups = "  ".join(" ".join(cells[i : i + 4]) for i in range(0, ROW, 4))
                lines.append(f"{name:<10}{groups}".rstrip())
            lines.append("")
        return "\n".join([*lines, self.words])

    def html(self) -> str:
        rows = []
        for start in range(0, MEASURE, ROW):
            for name, raw in self.both.items():
                style = (
                    f"padding:2px 8px 2px 0;border-top:{8 if start and name == 'reported' else 0}px solid transparent"
                )
                cells = [f'<td style="{style}">{name}</td>']
                for i in range(0, ROW, 4):
                    four = self._cells(raw, start)[i : i + 4]
                    look, body = "green", "".join(four).strip()
                    if "*" in body:
                        look, body = "pink", " ".join(f"<b>{cell}</b>" if cell[2] == "*" else cell for cell in four)
                    cells.append(
                        f'<td style="{coloured(look)};padding:2px 6px;border:1px solid;white-space:pre">{body}</td>'
                    )
                rows.append(f"<tr>{''.join(cells)}</tr>")
        style = f"border-collapse:collapse;line-height:1.4;{MONO}"
        table = f'<table style="{style}"><tbody>{"".join(rows)}</tbody></table>'
        return f"{table}\n<p><b>{escape(self.words)}</b></p>"


def show_message(
    raw: bytes, before: bytes | None = None, form: type[MeasureMessage | OldMeasureMessage] = MeasureMessage
) -> View:
    """Show the message made so far: the first bytes of 56 (or of 52, with ``form=OldMeasureMessage``).

    With *before*, a whole message, show it too, and mark in both what changed. Raises
    :class:`~sevlab.errors.InputError` for too many bytes.
    """
    if before is None:
        return View(Ribbon(raw, form=form), Letters(form), Paragraph(f"{len(raw)} of {form.size} bytes"))
    marked = [i for i, (one, other) in enumerate(zip(before, raw, strict=False)) if one != other]
    marked += range(min(len(before), len(raw)), max(len(before), len(raw)))
    blocks: list[Block] = []
    for title, bytes_ in (("before", before), ("after (* marks a byte that changed)", raw)):
        blocks += [Heading(title), Ribbon(bytes_, [i for i in marked if i < len(bytes_)], form)]
    return View(*blocks, Letters(form), Paragraph(f"Bytes that changed: {len(marked)} of {form.size}."))


def show_measures(reported: bytes, computed: bytes) -> View:
    """Show two measures (32 bytes each; else InputError) byte by byte, and how many of their 256 bits differ."""
    return View(Measures(reported, computed))
