"""A bar: parts of a whole, each as wide as its share, none too small to be seen."""

from __future__ import annotations

from html import escape

from ..errors import escaped
from .page import plain, tinted
from .span import INK, letters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .page import Paint

#: Width of the bar in text, in characters, its two ends aside.
COLUMNS = 80


class Bar:
    """Parts side by side, labelled A, B, ... *parts* are (name, size, tint), in order."""

    def __init__(self, parts: Sequence[tuple[str, int, str]]) -> None:
        self.parts = list(parts)

    def text(self, paint: Paint = plain) -> str:
        widths = shares([size for _, size, _ in self.parts], COLUMNS)
        labels = letters(len(self.parts))
        drawn = [
            paint((label * width)[:width], tint)
            for label, width, (_, _, tint) in zip(labels, widths, self.parts, strict=True)
        ]
        return f"[{'|'.join(drawn)}]"

    def html(self) -> str:
        widths = shares([size for _, size, _ in self.parts], COLUMNS)
        whole, cells = sum(widths) or 1, []
        for label, width, (name, size, tint) in zip(letters(len(self.parts)), widths, self.parts, strict=True):
            share = f"width:{100 * width / whole:.2f}%"
            style = f"{tinted(tint)};{share};border:1px solid {INK};text-align:center;padding:6px 0"
            cells.append(
                f'<td style="{style}" title="{escape(escaped(f"{label}: {name}, {size} bytes"))}">{label}</td>'
            )
        style = "border-collapse:collapse;table-layout:fixed;width:100%;max-width:60em"
        return f'<table style="{style}"><tbody><tr>{"".join(cells)}</tr></tbody></table>'


def shares(sizes: Sequence[int], width: int) -> list[int]:
    """Divide *width* in proportion to *sizes*, in whole numbers of at least 1.

    The result adds up to *width*, or to the number of sizes where that is more. What rounding leaves over goes to the
    largest remainders, the first of equal ones first.
    """
    spare, whole = max(width - len(sizes), 0), sum(sizes) or 1
    parts = [divmod(spare * size, whole) for size in sizes]
    left = spare - sum(part for part, _ in parts)
    order = sorted(range(len(sizes)), key=lambda i: (-parts[i][1], i))
    extra = set(order[:left])
    return [1 + part + (i in extra) for i, (part, _) in enumerate(parts)]
