"""A picture that can also be read."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from PIL import Image

from ..errors import escaped
from ..launch.compare import Pair
from ..layout.span import COLOURS, INK
from ..layout.views import hex_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: The width of a picture, its margin, the place of its title; between lines; between boxes; within a box. In inches.
WIDTH, EDGE, TITLE, LINE, GAP, PAD = 9.6, 0.2, 0.5, 0.15, 0.26, 0.08
#: The border of the first step that differs; words say so too.
MARK = "#b00020"
#: Colours of a stored picture: few enough that a notebook stays small, enough that no colour changes.
PALETTE = 256
#: Steps in which a bar is divided; each region gets at least one.
STEPS = 60
#: Rows drawn at most: the beginning, the surroundings of the first difference, the end.
ROW_LIMIT = 24
#: Characters of a line that are looked at; more never fit.
CUT = 200
SAME, FIRST, DIFFERS = "same", "FIRST DIFFERENCE", "differs too"
FOLLOWS = "differs because an earlier step differs"


class Picture(Figure):
    """A matplotlib figure with a sentence that says what it shows.

    A notebook shows the picture; where none can be shown, and in ``print``, the sentence is shown. The bytes are the
    same each time. ``savefig`` works as for every figure.
    """

    def __init__(self, words: str, **options: Any) -> None:
        super().__init__(facecolor="white", **options)
        self.words = escaped(words, "\n")

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        """Return it with its alternative text, which nbconvert's and Voila's template "classic" shows, and no other."""
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
        small = BytesIO()
        with Image.open(buffer) as picture:
            picture.convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        return small.getvalue(), {"alt": self.words.strip().partition("\n")[0].strip()}

    def __repr__(self) -> str:
        return self.words

    __str__ = __repr__


@dataclass(frozen=True)
class Size:
    """How wide the boxes of a chain are (step, arrow, digest), how high, and how much of a digest fits in a line."""

    step: float
    arrow: float
    digest: float
    height: float
    per_line: int
    gap: float = GAP

    @property
    def width(self) -> float:
        return self.step + self.arrow + self.digest

    @property
    def pitch(self) -> float:
        """From one row to the next, in inches."""
        return self.height + self.gap


class Column(ABC):
    """A chain drawn downwards: boxes of steps, and beside each the digest after it.

    Its sizes alone and beside another chain, and what is drawn for a lack of steps.
    """

    alone: ClassVar[Size]
    beside: ClassVar[Size]
    missing: ClassVar[str]

    def __init__(self, axes: Axes, left: float, size: Size) -> None:
        self.axes, self.left, self.size = axes, left, size
        self.right = left + size.step + size.arrow
        self.inner, self.wide = left + PAD, size.step - 2 * PAD

    @abstractmethod
    def draw(self, top: float, run: Any, *, wordy: bool, mark: bool) -> None:
        """Draw what was loaded, and the digest after it; *wordy* says what it is."""

    @abstractmethod
    def skipped(self, runs: Sequence[Any]) -> str:
        """Return how many steps are not drawn."""

    def draw_all(
        self, start: float, rows: Sequence[int | range], runs: Sequence[Any], *, wordy: bool, mark: int | None = None
    ) -> None:
        """Draw the chain from *start* down; a run is None where this launch has none."""
        for place, row in enumerate(rows):
            top = start + place * self.size.pitch
            there = [run for number in (row if isinstance(row, range) else [row]) if (run := runs[number])]
            if place and there:
                self.lead(top)
            if not there:
                self.lack(top, self.missing)
            elif isinstance(row, range):
                self.lack(top, self.skipped(there))
            else:
                self.draw(top, there[0], wordy=wordy, mark=row == mark)

    def digest(self, top: float, raw: bytes, words: str, *, mark: bool = False, more: str = "") -> None:
        """Draw a launch digest; *more* says that it goes on."""
        self.box(self.right, top, self.size.digest, mark=mark)
        lines = f"{hex_lines(raw, self.size.per_line)}{more}".split("\n")
        line = top + (self.size.height - LINE * len(lines)) / 2
        write(self.axes, self.right + PAD, line, words)
        self.lines(self.right + PAD, line + LINE, lines)

    def lack(self, top: float, words: str) -> None:
        """Draw a place without a step, and say why."""
        self.box(self.left, top, self.size.step, linestyle="--")
        lines = textwrap.fill(words, int(13 * self.size.step))
        write(self.axes, self.left + self.size.step / 2, top + self.size.height / 2, lines, ha="center")

    def lead(self, top: float) -> None:
        """Lead from one digest to the next below it."""
        place = self.right + self.size.digest / 2
        self.point((place, top - self.size.gap), (place, top))

    def across(self, top: float, count: int) -> None:
        """Lead from *count* equal steps to the digest after them."""
        middle = top + self.size.height / 2
        self.point((self.right - self.size.arrow, middle), (self.right, middle))
        if count > 1:
            write(self.axes, self.right - self.size.arrow / 2, middle - 0.12, f"{count} x", size=6.5, ha="center")

    def box(self, left: float, top: float, width: float, *, mark: bool = False, **look: Any) -> None:
        """Draw a box; a marked one has a thick border."""
        look = {"facecolor": "white", "edgecolor": MARK if mark else INK, "linewidth": 3 if mark else 1, **look}
        self.axes.add_patch(Rectangle((left, top), width, self.size.height, **look))

    def point(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        look = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0, "linewidth": 1}
        self.axes.annotate("", xy=end, xytext=start, arrowprops=look)

    def lines(self, left: float, line: float, lines: Sequence[str]) -> None:
        for number, row in enumerate(lines):
            write(self.axes, left, line + number * LINE, row, size=7, family="monospace")


def judge(axes: Axes, line: float, pair: Pair, *, first: bool) -> None:
    """Label the gap between two steps "same" or "different"."""
    words = SAME if pair.same else FIRST if first else FOLLOWS if pair.kept else DIFFERS
    look = {"color": MARK, "weight": "bold", "size": 8} if words == FIRST else {}
    write(axes, WIDTH / 2, line, textwrap.fill(words, 14), ha="center", **look)


def drawn_rows(count: int, parting: int = 0) -> list[int | range]:
    """Return what is drawn of *count* rows: their numbers, and ranges of those left out because there are too many."""
    if count <= ROW_LIMIT:
        return list(range(count))
    rows: list[int | range] = []
    last = -1
    for row in sorted({*range(10), *range(max(0, parting - 2), min(count, parting + 3)), *range(count - 5, count)}):
        rows += [range(last + 1, row), row] if row > last + 1 else [row]
        last = row
    return rows


def sheet(words: str, height: float) -> tuple[Picture, Axes]:
    """Return an empty picture, and axes in inches from its top left corner."""
    figure = Picture(words, figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    return figure, axes


def paper(words: str, title: str, height: float) -> tuple[Picture, Axes]:
    """Return a picture with a title, and axes in inches from its top left corner."""
    figure, axes = sheet(words, height)
    write_line(axes, EDGE, 0.26, title, WIDTH - 2 * EDGE, 10.5, "bold")
    return figure, axes


def block(axes: Axes, left: float, top: float, width: float, height: float, colour: str, **look: Any) -> None:
    """Draw a box; *colour* is the name of a tint."""
    look = {"facecolor": COLOURS[colour], "edgecolor": INK, "linewidth": 1, **look}
    axes.add_patch(Rectangle((left, top), width, height, **look))


def note(axes: Axes, line: float, name: str, words: str, *, left: float = EDGE, indent: float, size: float) -> None:
    """Write one line of a legend: a name, and what it means, *indent* inches from the picture's edge."""
    write(axes, left, line, name, size=size, weight="bold")
    write_line(axes, EDGE + indent, line, words, WIDTH - 2 * EDGE - indent, size)


def write(axes: Axes, left: float, line: float, words: str, **look: Any) -> None:
    """Write words; a step's name is not a formula, whatever signs are in it."""
    look = {"color": INK, "size": 7.5, "va": "center", "parse_math": False, **look}
    axes.text(left, line, escaped(words, "\n"), **look)


def write_line(
    axes: Axes, left: float, line: float, words: str, wide: float, size: float, weight: str = "normal", **look: Any
) -> None:
    """Write words, cut to one line of at most *wide* inches."""
    font = FontProperties(size=size, weight=weight)
    shown = kept = escaped(" ".join(words.split()))[:CUT]
    # An inch has 72 points; drawn on whole pixels, letters are a little wider than they are by themselves.
    while text_to_path.get_text_width_height_descent(shown, font, ismath=False)[0] > 69 * wide:
        kept = kept[:-1]
        shown = f"{kept}..."
    write(axes, left, line, shown, size=size, weight=weight, **look)
