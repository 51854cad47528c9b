"""The byte map: every byte of a structure in its place, labelled with the field it belongs to."""

from __future__ import annotations

from html import escape

from ..errors import escaped
from .span import INK, Hidden, Span, letters
from .views import CELL, MONO, Paragraph, Table, View, coloured, hex_lines, narrow, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .views import Paint

#: Bytes in one row of the map.
ROW = 16
#: Largest structure shown byte by byte, in bytes. Of a larger one, the fields that are not zero are listed.
LARGE = 256
#: The style of what a selection does not copy, so that bytes are copied as hex and nothing else.
NOT_COPIED = "user-select:none"


class ByteMap:
    """Sixteen bytes a row, each above its field's letter, marked ones with ``*``. Spans begin at 0, without gaps."""

    def __init__(self, spans: Sequence[Span], marked: Sequence[int] = ()) -> None:
        self.spans, self.marked = list(spans), set(marked)
        #: For every byte: its value in hex (## when hidden), its span, the span's letter.
        self.cells = [
            ("##" if isinstance(span.raw, Hidden) else f"{byte:02x}", span, label)
            for span, label in zip(self.spans, letters(len(self.spans)), strict=True)
            for byte in span.raw
        ]

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        wide = ROW // 2 if 0 < width < 75 else ROW
        lines = ["      " + "  ".join(" ".join(f"+{i + j:x} " for j in range(4)) for i in range(0, wide, 4)).rstrip()]
        for start in range(0, len(self.cells), wide):
            bytes_, names = f"0x{start:02x}  ", "      "
            for i, (byte, span, label) in enumerate(self.cells[start : start + wide], start):
                gap = "" if i == start else "  " if i % 4 == 0 else " "
                bytes_ += gap + paint(f"{byte}{'*' if i in self.marked else ' '}", span.colour)
                names += gap + paint(label.ljust(3), span.colour)
            lines += [bytes_.rstrip(), names.rstrip()]
        return "\n".join(lines)

    def html(self) -> str:
        rows = [f'<tr style="{NOT_COPIED}"><td></td>{"".join(f"<td>+{i:x}</td>" for i in range(ROW))}</tr>']
        for start in range(0, len(self.cells), ROW):
            cells = [f'<td style="{CELL};{NOT_COPIED}">0x{start:02x}</td>']
            for i, (byte, span, label) in enumerate(self.cells[start : start + ROW], start):
                title = f"{label}: {span.name}, byte {i - span.offset + 1} of {span.size}. {span.doc}"
                style = f"{coloured(span.colour)};text-align:center;padding:2px 4px;border:1px solid {INK}"
                style += f";border-left:3px solid {INK}" if i == span.offset else ""
                body = f'<b>{byte}</b><b style="{NOT_COPIED}">*</b>' if i in self.marked else byte
                body += f'<span style="{NOT_COPIED}"><br>{label}</span>'
                cells.append(f'<td style="{style}" title="{escape(escaped(title))}">{body}</td>')
            rows.append(f"<tr>{''.join(cells)}</tr>")
        return f'<table style="border-collapse:collapse;line-height:1.4;{MONO}"><tbody>{"".join(rows)}</tbody></table>'


def legend(spans: Sequence[Span]) -> Table:
    """Return the table beside a byte map: letter, field, offset, size, bytes, value, meaning."""
    rows = []
    for label, span in zip(letters(len(spans)), spans, strict=True):
        if isinstance(span.value, int | Hidden):
            value = span.text
        elif hasattr(span.value, "text"):  # a GUID and its name, too long for one line
            value = span.text.replace(" (", "\n(", 1)
        else:
            value = "" if any(span.raw) else "zero"
        offset, size = f"0x{span.offset:02x}", str(span.size)
        rows.append([label, span.name, offset, size, hex_lines(span.raw, 8), value, _note(span)])
    header = ["", "field", "offset", "size", "bytes", "value", "meaning"]
    return Table(header, rows, colours=[span.colour for span in spans], mono=[0, 1, 2, 3, 4])


def short_legend(spans: Sequence[Span]) -> Table:
    """Return a table of the fields that are not zero, for structures too large for a byte map."""
    shown = [span for span in spans if any(span.raw)]
    rows = [[span.name, f"0x{span.offset:03x}", *_bytes_and_value(span), _note(span)] for span in shown]
    header = ["field", "offset", "bytes", "value", "meaning"]
    return Table(header, rows, colours=[span.colour for span in shown], mono=[0, 1, 2, 3])


def _bytes_and_value(span: Span) -> tuple[str, str]:
    """Return a field's bytes, four to a line, and its value; of a long field, where its bytes are not zero."""
    if isinstance(span.value, int) or span.size <= ROW:
        return hex_lines(span.raw, 4), narrow(span.text)
    first = next(i for i, byte in enumerate(span.raw) if byte)
    dots = "\n..." if span.size - first > ROW else ""
    count = span.size - span.raw.count(0)
    where = f"{count} of {span.size} bytes\nare not zero;\nthe first is\nat 0x{span.offset + first:03x}"
    return hex_lines(span.raw[first : first + ROW], 4) + dots, where


def _note(span: Span) -> str:
    return f"{span.doc} FINDING: {span.finding}." if span.finding else span.doc


def explain_spans(spans: Sequence[Span], marked: Sequence[int] = ()) -> View:
    """Show fields as a byte map and a table. *marked* are byte offsets to point out with ``*``.

    More than :data:`LARGE` bytes have no byte map; then the table holds only the fields that are not zero.
    """
    raw = b"".join(span.raw for span in spans)
    if len(raw) <= LARGE:
        return View(ByteMap(spans, marked), legend(spans))
    words = f"{raw.count(0)} of {len(raw)} bytes are zero."
    if not any(raw):
        return View(Paragraph(words))
    return View(Paragraph(f"{words} These fields are not; fields that are not listed are zero."), short_legend(spans))
