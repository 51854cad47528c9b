"""The chain of a launch as a figure: what is loaded, and the launch digest after it."""

from __future__ import annotations

import textwrap

from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from ..launch import Launch, LaunchComparison
from ..layout.page import hex_lines
from ..layout.span import INK, TINTS
from .picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from ..launch import Pair, Run

# All measures are in inches.
WIDTH, EDGE, TITLE, LINE, GAP, PAD = 9.6, 0.2, 0.5, 0.15, 0.26, 0.08
#: The border of the first step that differs, which is also told in words.
MARK = "#b00020"
#: Rows drawn at most: the beginning, the surroundings of the first difference, the end.
ROW_LIMIT = 24
#: Characters that are looked at of a line; more never fit.
CUT = 200
UNKNOWN = "What was loaded is not known: only the launch digest was given."
SAME, FIRST, FOLLOWS, DIFFERS = "same", "FIRST DIFFERENCE", "differs, for a step before it does", "differs too"


def plot_launch(launch: Launch | LaunchComparison, computed: Launch | None = None) -> Picture:
    """Draw a launch as a chain: each step with its size and its own SHA-256, and the launch digest after it.

    With *computed*, or for a comparison, two chains are drawn beside each other (*launch* is then the reported one),
    and the first step that differs is marked. Steps are grouped and coloured as ``explain`` does.
    """
    if computed is not None:
        if not isinstance(launch, Launch):
            raise TypeError(f"plot_launch takes a second launch beside a launch, not beside a {type(launch).__name__}")
        launch = LaunchComparison(launch, computed)
    if isinstance(launch, LaunchComparison):
        return _plot_pairs(launch)
    if isinstance(launch, Launch):
        return _plot_chain(launch)
    raise TypeError(f"plot_launch takes a launch or a comparison of two, not {type(launch).__name__}")


class _Chain:
    """A column of the drawing: where it stands, how wide its boxes are, and how much of a digest fits in a line."""

    def __init__(
        self, axes: Axes, left: float, widths: tuple[float, float, float], height: float, per_line: int
    ) -> None:
        self.axes, self.left, self.height, self.per_line = axes, left, height, per_line
        self.step, self.arrow, self.after = widths
        self.right = left + self.step + self.arrow

    def draw(self, top: float, run: Run, *, wordy: bool = False, mark: bool = False) -> None:
        """Draw a run of equal steps, and the digest after it; *wordy* says what they are."""
        left, line, middle = self.left + PAD, top + 2.1 * LINE, top + self.height / 2
        self._box(self.left, top, self.step, TINTS[run.tint], mark=mark)
        _write(self.axes, left, top + LINE, **_fit(run.name, self.step - 2 * PAD, size=9, weight="bold"))
        doc = f"{run.amount} bytes" + (f". {run.first.doc}" if wordy else "")
        _write(self.axes, left, line, **_fit(doc, self.step - 2 * PAD, size=7.5))
        _write(self.axes, left, line + LINE, f"SHA-256 of {'it' if run.count == 1 else 'one'} alone")
        self._hex(left, line + 2 * LINE, run.first.digest)
        self._arrow((self.left + self.step, middle), (self.right, middle))
        if run.count > 1:
            place = self.left + self.step + self.arrow / 2
            _write(self.axes, place, middle - 0.12, f"{run.count} x", size=6.5, ha="center")
        self.digest(top, run.after, "launch digest after it", mark=mark)

    def digest(self, top: float, raw: bytes, words: str, *, mark: bool = False) -> None:
        """Draw a launch digest."""
        self._box(self.right, top, self.after, "white", mark=mark)
        line = top + (self.height - LINE * 32 / self.per_line) / 2
        _write(self.axes, self.right + PAD, line, words)
        self._hex(self.right + PAD, line + LINE, raw)

    def lack(self, top: float, words: str) -> None:
        """Draw a place without a step, and say why there is none."""
        self._box(self.left, top, self.step, "white", style="--")
        lines = textwrap.fill(words, int(13 * self.step))
        _write(self.axes, self.left + self.step / 2, top + self.height / 2, lines, ha="center")

    def lead(self, top: float) -> None:
        """Lead from one digest to the next below it."""
        place = self.right + self.after / 2
        self._arrow((place, top - GAP), (place, top))

    def _box(self, left: float, top: float, width: float, colour: str, *, mark: bool = False, style: str = "-") -> None:
        look: dict[str, Any] = {"edgecolor": MARK, "linewidth": 3} if mark else {"edgecolor": INK, "linewidth": 1}
        self.axes.add_patch(Rectangle((left, top), width, self.height, facecolor=colour, linestyle=style, **look))

    def _arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        look = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0, "linewidth": 1}
        self.axes.annotate("", xy=end, xytext=start, arrowprops=look)

    def _hex(self, left: float, line: float, raw: bytes) -> None:
        for number, row in enumerate(hex_lines(raw, self.per_line).split("\n")):
            _write(self.axes, left, line + number * LINE, row, size=7, family="monospace")


def _plot_chain(launch: Launch) -> Picture:
    runs, height = launch.runs(), 1.0
    rows = _rows(len(runs))
    count = len(launch.steps)
    title = f"A launch of {count} step{'s' * (count != 1)}, and the launch digest after each" if count else UNKNOWN
    figure, axes = _paper(str(launch), title, TITLE + max(1, len(rows)) * (height + GAP))
    chain = _Chain(axes, EDGE, (5.0, 0.5, 3.7), height, 16)
    if not runs:
        chain.lack(TITLE, UNKNOWN)
        chain.digest(TITLE, launch.digest, "launch digest, as given")
    for place, row in enumerate(rows):
        top = TITLE + place * (height + GAP)
        if place:
            chain.lead(top)
        if isinstance(row, range):
            chain.lack(top, _skipped([runs[number] for number in row]))
        else:
            chain.draw(top, runs[row], wordy=True)
    return figure


def _plot_pairs(comparison: LaunchComparison) -> Picture:
    pairs, height = comparison.pairs(), 1.2
    parting = next((number for number, pair in enumerate(pairs) if not pair.same), 0)
    rows, start = _rows(len(pairs), parting), TITLE + 0.25
    figure, axes = _paper(str(comparison), comparison.words, start + max(1, len(rows)) * (height + GAP))
    widths = (2.15, 0.32, 1.66)
    for side, place in ("reported", EDGE), ("computed", WIDTH - EDGE - sum(widths)):
        _write(axes, place, TITLE + 0.08, side, size=9.5, weight="bold")
        chain, launch = _Chain(axes, place, widths, height, 8), getattr(comparison, side)
        if not launch.steps:
            chain.lack(start, UNKNOWN)
            chain.digest(start, launch.digest, "launch digest, as given")
            continue
        for number, row in enumerate(rows):
            top = start + number * (height + GAP)
            runs = [getattr(pairs[i], side) for i in (row if isinstance(row, range) else [row])]
            there = [run for run in runs if run]
            if number and there:
                chain.lead(top)
            if not there:
                chain.lack(top, "no such step")
            elif isinstance(row, range):
                chain.lack(top, _skipped(there))
            else:
                chain.draw(top, there[0], mark=comparison.is_known and row == parting and not pairs[row].same)
    if comparison.is_known:
        for number, row in enumerate(rows):
            if not isinstance(row, range):
                _judge(axes, start + number * (height + GAP) + height / 2, pairs[row], first=row == parting)
    return figure


def _judge(axes: Axes, line: float, pair: Pair, *, first: bool) -> None:
    """Say between two steps whether they differ."""
    words = SAME if pair.same else FIRST if first else FOLLOWS if pair.kept else DIFFERS
    look = {"color": MARK, "weight": "bold", "size": 8} if words == FIRST else {}
    _write(axes, WIDTH / 2, line, textwrap.fill(words, 14), ha="center", **look)


def _rows(count: int, parting: int = 0) -> list[int | range]:
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


def _skipped(runs: Sequence[Run]) -> str:
    return f"{sum(run.count for run in runs)} more, not drawn"


def _paper(words: str, title: str, height: float) -> tuple[Picture, Axes]:
    """Return an empty picture with a title, and axes in inches from its top left corner."""
    figure = Picture(words, figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    _write(axes, EDGE, 0.26, **_fit(title, WIDTH - 2 * EDGE, size=10.5, weight="bold"))
    return figure, axes


def _write(axes: Axes, left: float, line: float, words: str, **look: Any) -> None:
    """Write words; a step's name is no formula, whatever signs are in it."""
    axes.text(left, line, words, **{"color": INK, "size": 7.5, "va": "center", "parse_math": False, **look})


def _fit(words: str, wide: float, **look: Any) -> dict[str, Any]:
    """Return words, cut to one line of at most *wide* inches, with their looks."""
    font = FontProperties(size=look["size"], weight=look.get("weight", "normal"))
    line = " ".join(words.split())[:CUT]
    shown = line
    # An inch has 72 points; drawn on whole pixels, letters are a little wider than they are by themselves.
    while text_to_path.get_text_width_height_descent(shown, font, ismath=False)[0] > 69 * wide:
        line = line[:-1]
        shown = f"{line}..."
    return {"words": shown, **look}
