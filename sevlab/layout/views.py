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

        def text(self, paint: Paint = ..., width: int = ...) -> str: ...
        def html(self) -> str: ...


#: Width of text that is on no terminal, and of a bar in it without its ends. Only what is copied is longer.
WIDTH, BAR_WIDTH = 100, 80
MONO = "font-family:monospace"
CELL = "text-align:left;vertical-align:top;padding:2px 8px"
#: First words of answers. No row of a table and no continued line begins with one.
VERDICTS = (
    *("OK", "ERROR", "WARNING", "NOTE", "MATCH", "MISMATCH", "EXPLAINED", "UNEXPLAINED", "THE EXPLANATION"),
    *("NOTHING IS WRONG", "CHANGED", "NOT ASKED", "NOT CHECKED", "NOT DECIDED", "NOT VALIDATED", "CANNOT TELL"),
    *("CAUGHT", "REFUSED", "FOOLED", "FOUND", "NOT FOUND", "FINDING", "ODD", "UNUSABLE"),
)
#: A word of hex, which is broken between bytes, and a line of :func:`hex_lines`.
_HEX, _DUMP = r"(?:0x)?(?:[0-9a-f]{2}){8,}\W*$", r"(?:(?:[0-9a-f]{2} ){3}[0-9a-f]{2}  )*(?:[0-9a-f]{2} ?){1,4}"
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


def _parted(word: str, width: int) -> str:
    """Return a word that is too long with a space where a line ends: between bytes of hex, after a sign of a path."""
    size = 32 if width >= 32 else 16 if width >= 16 else 2
    lines = [""]
    for part in re.findall(f".{{1,{size}}}" if re.match(_HEX, word) else "[^-/_.,:=&]*[-/_.,:=&]?", word):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return " ".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Return lines of at most *width*: four bytes of a dump stay together, and so does a word that fits."""
    lines, given = [], text.split("\n")
    if any(len(line) > width for line in given) and all(re.fullmatch(_DUMP, line) for line in given):
        given = ["  ".join(given)]  # the lines of one dump
    for line in given:
        if re.fullmatch(_DUMP, line) and width > 10:
            step = (width + 2) // 13 * 13
            lines += [line[at : at + step].rstrip() for at in range(0, len(line), step)]
        else:
            line = re.sub(rf"\S{{{width + 1},}}", lambda word: _parted(word[0], width), line)
            lines += textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    return lines


def _marked(line: str) -> str:
    """Return a line with a mark if it begins like an answer, so that it cannot pass for one."""
    return f"... {line}" if _VERDICT.match(line) else line


def filled(words: str, width: int = 0, whole: bool = True) -> list[str]:
    """Return *words* in lines, of which only the first may begin as an answer; *whole* keeps long words."""
    width = width or WIDTH
    lines = textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False) if whole else []
    first, *rest = lines or _wrapped(words, width)
    return [first, *map(_marked, rest)]


class Heading:
    """A section's title."""

    def __init__(self, title: str) -> None:
        self.title = escaped(title, "\n")

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        lines = filled(self.title, width, whole=False)
        return "\n".join([*lines, "-" * max(map(len, lines))])

    def html(self) -> str:
        return f"<p><b>{escape(self.title)}</b></p>"


class Paragraph:
    """Sentences."""

    def __init__(self, words: str) -> None:
        self.words = escaped(words, "\n")

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        return "\n".join(filled(self.words, width))

    def html(self) -> str:
        return f'<p style="max-width:60em">{escape(self.words)}</p>'


class Quote:
    """Somebody else's words, each line marked, below a *label* that says whose they are."""

    def __init__(self, label: str, words: str) -> None:
        self.label, self.words = escaped(label), escaped(words, "\n")

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        mark = "    > "
        lines = _wrapped(self.words, (width or WIDTH) - len(mark))
        return "\n".join([self.label, *(f"{mark}{line}".rstrip() for line in lines)])

    def html(self) -> str:
        style = "border-left:3px solid;margin-left:1em;padding-left:10px;max-width:58em;overflow-wrap:anywhere"
        body = escape(self.words).replace("\n", "<br>")
        return f'<p style="max-width:60em">{escape(self.label)}</p>\n<div style="{style}">{body}</div>'


class Code:
    """Lines to copy and run elsewhere."""

    def __init__(self, lines: str) -> None:
        self.lines = escaped(lines, "\n")

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        return textwrap.indent(self.lines, "    ")

    def html(self) -> str:
        return f'<pre style="{MONO};white-space:pre-wrap;overflow-wrap:anywhere">{escape(self.lines)}</pre>'


class Banner:
    """The answer in words: green for good, pink for bad, grey for anything else. In a pipe it is one line."""

    def __init__(self, words: str, colour: str) -> None:
        self.words, self.colour = escaped(words), colour

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        lines = filled(self.words, width - 2, whole=False) if width else [self.words]
        return "\n".join(paint(f" {line} ", self.colour) for line in lines)

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

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        grid = [
            [_wrapped(cell, self.wrapped[i]) if i in self.wrapped else cell.split("\n") for i, cell in enumerate(row)]
            for row in (self.header, *self.rows)
        ]
        room = (width or WIDTH) - 2 * (len(self.header) - 1)
        widths = _widths(list(zip(*grid, strict=True)), room, room * 2 // 5 if width else 20)
        lines = []
        for number, row in enumerate(grid):
            cells = [_wrapped("\n".join(cell), width) for cell, width in zip(row, widths, strict=True)]
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


def _widths(columns: Sequence[Sequence[Sequence[str]]], room: int, last: int) -> list[int]:
    """Return how wide columns of cells are, to fit in *room*: as they are if *last* is left for the last, or less."""
    lines = [[line for cell in column for line in cell] for column in columns]
    words = [[one for line in c for one in line.split("  " if re.fullmatch(_DUMP, line) else " ")] for c in lines]
    for four in (4, 2, 1):  # how many times four bytes a dump has in a line: in all columns alike
        lengths = [[min(len(one), 13 * four - 2) if re.fullmatch(_DUMP, one) else len(one) for one in c] for c in lines]
        most = [max(1, *column) for column in lengths]
        if (rest := room - sum(most[:-1])) >= min(max(last, 1, *(len(w) for w in words[-1] if len(w) <= 40)), most[-1]):
            return [*most[:-1], max(rest, 1)]
    for limit in (64, 40, 20, 10, 5, 1):  # no word up to this long is broken
        widths = [max(1, *(min(len(word), limit) for word in column)) for column in words]
        if sum(widths) <= room:
            break
    sizes = [sum(map(len, column)) for column in lines]
    for _ in range(room - sum(widths)):
        widths[max(range(len(widths)), key=lambda i: (widths[i] < most[i], sizes[i] / widths[i]))] += 1
    wrapped = ([part for line in column for part in _wrapped(line, w)] for column, w in zip(lines, widths, strict=True))
    used = [max(1, *map(len, column)) for column in wrapped]
    return [*used[:-1], room - sum(used[:-1])]


class Bar:
    """Parts (name, size, colour) side by side, labelled A, B, ...: as wide as their shares, none too small to see."""

    def __init__(self, parts: Sequence[tuple[str, int, str]]) -> None:
        self.parts = [(label, *part) for label, part in zip(letters(len(parts)), parts, strict=True)]
        self.sizes = [size for _, size, _ in parts]

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        wide = shares(self.sizes, min(BAR_WIDTH, (width or WIDTH) - 1 - len(self.parts)))
        drawn = [paint((part[0] * n)[:n], part[-1]) for part, n in zip(self.parts, wide, strict=True)]
        return f"[{'|'.join(drawn)}]"

    def html(self) -> str:
        wide = shares(self.sizes, BAR_WIDTH)
        whole = sum(wide) or 1
        cells = []
        for width, (label, name, size, colour) in zip(wide, self.parts, strict=True):
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

    def text(self, paint: Paint = plain, width: int = 0) -> str:
        """Return the view as text for a terminal of *width* columns; without, for a pipe or a document."""
        return "\n\n".join(block.text(paint, width) for block in self.blocks)

    def html(self) -> str:
        return "\n".join(block.html() for block in self.blocks)

    def flat(self) -> list[Block]:
        """Return the blocks, with those of views among them in their place."""
        return [one for block in self.blocks for one in (block.flat() if isinstance(block, View) else [block])]

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__
    _repr_html_ = html
