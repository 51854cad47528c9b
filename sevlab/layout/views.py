"""Views: blocks that print as text and show as HTML.

Every explanation in sevlab is a :class:`View`, a list of blocks. A block renders itself twice, as plain text and as
HTML, from the same data, so the two can't drift apart. The text is complete by itself; HTML decorates.

The HTML is deterministic and has no script, no ids and no style sheet: each cell has its colours, because notebook
viewers strip the rest, and the outputs stored in notebooks are compared by the tests. Only coloured cells fix their
text colour; everything else inherits the reader's light or dark theme.

Words may come from strangers, so every block escapes characters that cannot be seen: neither the text nor the HTML of a
view holds a control character. Whole passages by a stranger are a :class:`Quote`, set apart from our own words.
"""

from __future__ import annotations

import re
import textwrap
from html import escape

from ..errors import escaped
from .span import COLOURS, INK, Hidden, letters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    Paint = Callable[[str, str], str]

    class Block(Protocol):
        """Anything that renders as text and as HTML."""

        def text(self, paint: Paint = ...) -> str: ...
        def html(self) -> str: ...


#: Width of text output, and of a bar in it without its two ends, in characters.
WIDTH, BAR_WIDTH = 100, 80
MONO = "font-family:monospace"
CELL = "text-align:left;vertical-align:top;padding:2px 8px"
#: First words of answers. No row of a table and no continued line begins with one.
VERDICTS = (
    *("OK", "ERROR", "WARNING", "NOTE", "MATCH", "MISMATCH", "EXPLAINED", "UNEXPLAINED", "THE EXPLANATION"),
    *("NOTHING IS WRONG", "CHANGED", "NOT ASKED", "NOT CHECKED", "NOT DECIDED", "NOT VALIDATED", "CANNOT TELL"),
    *("CAUGHT", "REFUSED", "FOOLED", "FOUND", "NOT FOUND", "FINDING", "ODD", "UNUSABLE"),
)
_VERDICT = re.compile(rf" *(?:{'|'.join(VERDICTS)})\b")


def plain(text: str, colour: str) -> str:
    return text


def coloured(colour: str) -> str:
    return f"background:{COLOURS[colour]};color:{INK}"


def hex_lines(raw: bytes, per_line: int = 16) -> str:
    """Return bytes as hex pairs, *per_line* to a line, with a wider gap after every fourth byte."""
    if isinstance(raw, Hidden):
        return raw.text
    chunks = (raw[start : start + per_line] for start in range(0, len(raw), per_line))
    return "\n".join("  ".join(chunk[i : i + 4].hex(" ") for i in range(0, len(chunk), 4)) for chunk in chunks)


def narrow(text: str, width: int = 26) -> str:
    """Return a value's text for a narrow column, in lines of *width*; what is in brackets begins a line."""
    return "\n".join(_wrapped(text.replace(" (", "\n(", 1), width))


def _wrapped(text: str, width: int) -> list[str]:
    return [part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""]]


def _marked(line: str) -> str:
    """Return a line with a mark if it begins like an answer, so that it cannot pass for one."""
    return f"... {line}" if _VERDICT.match(line) else line


def _filled(words: str, whole: bool = False) -> list[str]:
    """Return *words* in lines, of which only the first may begin as an answer; *whole* keeps long words."""
    first, *rest = textwrap.wrap(words, WIDTH, break_long_words=not whole, break_on_hyphens=not whole) or [""]
    return [first, *map(_marked, rest)]


class Heading:
    """A section's title."""

    def __init__(self, title: str) -> None:
        self.title = escaped(title, "\n")

    def text(self, paint: Paint = plain) -> str:
        lines = _filled(self.title)
        return "\n".join([*lines, "-" * max(map(len, lines))])

    def html(self) -> str:
        return f"<p><b>{escape(self.title)}</b></p>"


class Paragraph:
    """Sentences."""

    def __init__(self, words: str) -> None:
        self.words = escaped(words, "\n")

    def text(self, paint: Paint = plain) -> str:
        return "\n".join(_filled(self.words, whole=True))

    def html(self) -> str:
        return f'<p style="max-width:60em">{escape(self.words)}</p>'


class Quote:
    """Somebody else's words, each line marked, below a *label* that says whose they are."""

    def __init__(self, label: str, words: str) -> None:
        self.label, self.words = escaped(label), escaped(words, "\n")

    def text(self, paint: Paint = plain) -> str:
        mark = "    > "
        lines = _wrapped(self.words, WIDTH - len(mark))
        return "\n".join([self.label, *(f"{mark}{line}".rstrip() for line in lines)])

    def html(self) -> str:
        style = "border-left:3px solid;margin-left:1em;padding-left:10px;max-width:58em;overflow-wrap:anywhere"
        body = escape(self.words).replace("\n", "<br>")
        return f'<p style="max-width:60em">{escape(self.label)}</p>\n<div style="{style}">{body}</div>'


class Code:
    """Lines to copy and run elsewhere."""

    def __init__(self, lines: str) -> None:
        self.lines = escaped(lines, "\n")

    def text(self, paint: Paint = plain) -> str:
        return textwrap.indent(self.lines, "    ")

    def html(self) -> str:
        return f'<pre style="{MONO};white-space:pre-wrap;overflow-wrap:anywhere">{escape(self.lines)}</pre>'


class Banner:
    """The answer in words: green for good, pink for bad, grey for anything else."""

    def __init__(self, words: str, colour: str) -> None:
        self.words, self.colour = escaped(words), colour

    def text(self, paint: Paint = plain) -> str:
        return paint(f" {self.words} ", self.colour)

    def html(self) -> str:
        style = f"{coloured(self.colour)};border-left:6px solid {INK};padding:8px 12px;max-width:58em"
        return f'<div style="{style}"><b>{escape(self.words)}</b></div>'


class Table:
    """Cells may hold line breaks; *colours* are the rows' ("" for none), *wrapped* maps further columns to widths."""

    def __init__(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        colours: Sequence[str] = (),
        mono: Sequence[int] = (),
        wrapped: Mapping[int, int] | None = None,
    ) -> None:
        self.header, *self.rows = ([escaped(cell, "\n") for cell in row] for row in (header, *rows))
        self.colours = list(colours) or [""] * len(self.rows)
        self.mono, self.wrapped = set(mono), dict(wrapped or {})

    def text(self, paint: Paint = plain) -> str:
        grid = [
            [_wrapped(cell, self.wrapped[i]) if i in self.wrapped else cell.split("\n") for i, cell in enumerate(row)]
            for row in (self.header, *self.rows)
        ]
        widths = [max(len(line) for row in grid for line in row[i]) for i in range(len(self.header))]
        widths[-1] = max(20, WIDTH - sum(widths[:-1]) - 2 * (len(widths) - 1))
        lines = []
        for number, row in enumerate(grid):
            cells = [*row[:-1], _wrapped("\n".join(row[-1]), widths[-1])]
            colour = self.colours[number - 1] if number else ""
            for i in range(max(map(len, cells))):
                parts = [(cell[i] if i < len(cell) else "").ljust(w) for cell, w in zip(cells, widths, strict=True)]
                parts[0] = _marked(parts[0])
                if colour and i == 0 and parts[0].strip():
                    parts[0] = paint(parts[0], colour)
                lines.append("  ".join(parts).rstrip())
        return "\n".join(lines)

    def html(self) -> str:
        def line(row: Sequence[str], colour: str, bold: bool) -> str:
            cells = []
            for i, cell in enumerate(row):
                style = CELL + (f";{MONO};white-space:pre" if i in self.mono and not bold else "")
                style += f";{coloured(colour)}" if colour and i == 0 else ""
                body = escape(cell).replace("\n", "<br>")
                cells.append(f'<td style="{style}">{f"<b>{body}</b>" if bold else body}</td>')
            return f"<tr>{''.join(cells)}</tr>"

        rows = [line(self.header, "", True)]
        rows += [line(row, colour, False) for row, colour in zip(self.rows, self.colours, strict=True)]
        return f'<table style="border-collapse:collapse;line-height:1.4"><tbody>{"".join(rows)}</tbody></table>'


class Bar:
    """Parts (name, size, colour) side by side, labelled A, B, ...: as wide as their shares, none too small to see."""

    def __init__(self, parts: Sequence[tuple[str, int, str]]) -> None:
        widths = shares([size for _, size, _ in parts], BAR_WIDTH)
        self.parts = [(a, width, *part) for a, width, part in zip(letters(len(parts)), widths, parts, strict=True)]

    def text(self, paint: Paint = plain) -> str:
        drawn = [paint((label * width)[:width], colour) for label, width, _, _, colour in self.parts]
        return f"[{'|'.join(drawn)}]"

    def html(self) -> str:
        whole = sum(width for _, width, *_ in self.parts) or 1
        cells = []
        for label, width, name, size, colour in self.parts:
            share = f"width:{100 * width / whole:.2f}%"
            style = f"{coloured(colour)};{share};border:1px solid {INK};text-align:center;padding:6px 0"
            title = escape(escaped(f"{label}: {name}, {size} bytes"))
            cells.append(f'<td style="{style}" title="{title}">{label}</td>')
        style = "border-collapse:collapse;table-layout:fixed;width:100%;max-width:60em"
        return f'<table style="{style}"><tbody><tr>{"".join(cells)}</tr></tbody></table>'


def shares(sizes: Sequence[int], width: int) -> list[int]:
    """Divide *width*, or 1 for each if that is more, in proportion to *sizes*: whole numbers, by largest remainder."""
    spare, whole = max(width - len(sizes), 0), sum(sizes) or 1
    parts = [divmod(spare * size, whole) for size in sizes]
    order = sorted(range(len(sizes)), key=lambda i: (-parts[i][1], i))
    extra = set(order[: spare - sum(part for part, _ in parts)])
    return [1 + part + (i in extra) for i, (part, _) in enumerate(parts)]


class View:
    """What is shown: a list of blocks. ``print(view)`` shows it as text, a notebook shows it as HTML."""

    def __init__(self, *blocks: Block) -> None:
        self.blocks = blocks

    def text(self, paint: Paint = plain) -> str:
        """Return the view as text, at most about 100 columns wide."""
        return "\n\n".join(block.text(paint) for block in self.blocks)

    def html(self) -> str:
        return "\n".join(block.html() for block in self.blocks)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__
    _repr_html_ = html
