"""A picture that can also be read."""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from PIL import Image

from ..errors import escaped
from ..layout.span import INK
from ..layout.views import hex_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..launch.compare import Pair


# Pillow comes with matplotlib, which itself writes pictures with it.
#: Colours of a stored picture: few enough that a notebook stays small, enough that no colour changes.
COLOURS = 256


class Picture(Figure):
    """A matplotlib figure with a sentence that says what it shows.

    A notebook shows the picture; where none can be shown, and in ``print``, the sentence stands. The bytes are the same
    each time. ``savefig`` works as for every figure.
    """

    def __init__(self, words: str, **options: Any) -> None:
        super().__init__(facecolor="white", **options)
        self.words = escaped(words, "\n")

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
        small = BytesIO()
        with Image.open(buffer) as picture:
            picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        return small.getvalue()

    def __repr__(self) -> str:
        return self.words

    __str__ = __repr__


WIDTH, EDGE, TITLE, LINE, GAP, PAD = 9.6, 0.2, 0.5, 0.15, 0.26, 0.08

#: The border of the first step that differs, which is also told in words.
MARK = "#b00020"

#: Rows drawn at most: the beginning, the surroundings of the first difference, the end.
ROW_LIMIT = 24

#: Characters that are looked at of a line; more never fit.
CUT = 200

SAME, FIRST, DIFFERS = "same", "FIRST DIFFERENCE", "differs too"

FOLLOWS = "differs because an earlier step differs"


class Column:
    """Where a chain stands, how wide its boxes are (step, arrow, digest), and how much of a digest fits in a line."""

    def __init__(
        self, axes: Axes, left: float, widths: tuple[float, float, float], height: float, per_line: int
    ) -> None:
        self.axes, self.left, self.height, self.per_line = axes, left, height, per_line
        self.step, self.arrow, self.after = widths
        self.right = left + self.step + self.arrow

    def digest(self, top: float, raw: bytes, words: str, *, mark: bool = False) -> None:
        """Draw a launch digest."""
        self.box(self.right, top, self.after, "white", mark=mark)
        line = top + (self.height - LINE * len(raw) / self.per_line) / 2
        write(self.axes, self.right + PAD, line, words)
        self.hex(self.right + PAD, line + LINE, raw)

    def lack(self, top: float, words: str) -> None:
        """Draw a place without a step, and say why there is none."""
        self.box(self.left, top, self.step, "white", style="--")
        lines = textwrap.fill(words, int(13 * self.step))
        write(self.axes, self.left + self.step / 2, top + self.height / 2, lines, ha="center")

    def lead(self, top: float, gap: float = GAP) -> None:
        """Lead from one digest to the next below it."""
        place = self.right + self.after / 2
        self.point((place, top - gap), (place, top))

    def across(self, top: float, words: str = "") -> None:
        """Lead from a step to the digest after it; *words* stand above the arrow."""
        middle = top + self.height / 2
        self.point((self.left + self.step, middle), (self.right, middle))
        if words:
            write(self.axes, self.left + self.step + self.arrow / 2, middle - 0.12, words, size=6.5, ha="center")

    def box(self, left: float, top: float, width: float, colour: str, *, mark: bool = False, style: str = "-") -> None:
        """Draw a box; a marked one has a thick border."""
        look: dict[str, Any] = {"edgecolor": MARK, "linewidth": 3} if mark else {"edgecolor": INK, "linewidth": 1}
        self.axes.add_patch(Rectangle((left, top), width, self.height, facecolor=colour, linestyle=style, **look))

    def point(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw an arrow."""
        look = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0, "linewidth": 1}
        self.axes.annotate("", xy=end, xytext=start, arrowprops=look)

    def hex(self, left: float, line: float, raw: bytes) -> None:
        """Write bytes."""
        for number, row in enumerate(hex_lines(raw, self.per_line).split("\n")):
            write(self.axes, left, line + number * LINE, row, size=7, family="monospace")


def judge(axes: Axes, line: float, pair: Pair, *, first: bool) -> None:
    """Say between two steps whether they differ."""
    words = SAME if pair.same else FIRST if first else FOLLOWS if pair.kept else DIFFERS
    look: dict[str, Any] = {"color": MARK, "weight": "bold", "size": 8} if words == FIRST else {}
    write(axes, WIDTH / 2, line, textwrap.fill(words, 14), ha="center", **look)


def drawn_rows(count: int, parting: int = 0) -> list[int | range]:
    """Return what is drawn of *count* rows: their numbers, and ranges of those left out for there are too many."""
    if count <= ROW_LIMIT:
        return list(range(count))
    kept = sorted({*range(10), *range(max(0, parting - 2), min(count, parting + 3)), *range(count - 5, count)})
    rows: list[int | range] = []
    for number, row in enumerate(kept):
        if number and row > kept[number - 1] + 1:
            rows.append(range(kept[number - 1] + 1, row))
        rows.append(row)
    return rows


def paper(words: str, title: str, height: float) -> tuple[Picture, Axes]:
    """Return an empty picture with a title, and axes in inches from its top left corner."""
    figure = Picture(words, figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    write(axes, EDGE, 0.26, **fit(title, WIDTH - 2 * EDGE, size=10.5, weight="bold"))
    return figure, axes


def write(axes: Axes, left: float, line: float, words: str, **look: Any) -> None:
    """Write words; a step's name is no formula, whatever signs are in it."""
    axes.text(
        left, line, escaped(words, "\n"), **{"color": INK, "size": 7.5, "va": "center", "parse_math": False, **look}
    )


def fit(words: str, wide: float, **look: Any) -> dict[str, Any]:
    """Return words, cut to one line of at most *wide* inches, with their looks."""
    font = FontProperties(size=look["size"], weight=look.get("weight", "normal"))
    line = escaped(" ".join(words.split()))[:CUT]
    shown = line
    # An inch has 72 points; drawn on whole pixels, letters are a little wider than they are by themselves.
    while text_to_path.get_text_width_height_descent(shown, font, ismath=False)[0] > 69 * wide:
        line = line[:-1]
        shown = f"{line}..."
    return {"words": shown, **look}
