"""The ladder of a platform's TCBs as a figure: how new each part is, and for which state the signing key was made."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from ..errors import InputError
from ..formats.report import PART_DOCS, PARTS, Tcb
from ..layout.span import COLOURS, INK
from ..layout.views import View
from ..report.show import LADDER, explain_ladder, tcb_ladder
from .column import EDGE, MARK, TITLE, WIDTH, fit, paper, write
from .picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..formats.report import Report

#: The TCB that the signing key is made from, and which its certificate names.
SIGNS = "reported_tcb"
#: Letter, colour and meaning of each TCB, the highest first.
TAGS = {
    "current_tcb": ("C", "orange", "current: what runs now"),
    "committed_tcb": ("K", "teal", "committed: the platform cannot go back below it"),
    "launch_tcb": ("L", "purple", "launch: what ran when the guest was launched"),
    SIGNS: ("R", "yellow", "reported: the key that signs is made from it, and its certificate names it"),
}
assert set(TAGS) == set(LADDER)
#: Heights: a rung, the head with the parts' names, a line of the legend. All in inches.
RUNG, HEAD, ROW = 0.4, 0.36, 0.22
#: Widths: from a column's edge to the ladder, the ladder, a tag, from one tag to the next.
RAIL, SPAN, TAG, STEP = 0.42, 0.22, 0.22, 0.27


def plot_tcb(report: Report) -> Picture:
    """Draw the four TCBs of a report as ladders, one for each part: a rung for each number, the higher the newer.

    The tags on a rung say which TCB has this number; the one with the thick border is the one whose key signs. Only
    the order of the numbers is drawn, not how far they are apart. Raises :class:`~sevlab.errors.InputError` for a
    report of which it is not known which byte is which part.
    """
    tcbs = {name: getattr(report, name) for name in TAGS}
    if not all(isinstance(one, Tcb) for one in tcbs.values()):
        needed = "one whose product is known: it says which byte of a TCB is which part"
        raise InputError("report", f"a report of version {report.version}", needed, "give load_report the product")
    parts = [part for part in PARTS if part in tcbs[SIGNS].parts]
    most = max(len({one.parts[part] for one in tcbs.values()}) for part in parts)
    odd = tcb_ladder(report)
    height = TITLE + HEAD + RUNG * most + 0.25 + ROW * (len(TAGS) + len(parts) + len(odd) + 1)
    title = "How new each part of the platform is: a higher rung is newer"
    figure, axes = paper(View(*explain_ladder(report)).text(), title, height)
    wide = (WIDTH - 2 * EDGE) / len(parts)
    for number, part in enumerate(parts):
        left, base = EDGE + number * wide, TITLE + HEAD + RUNG * most
        write(axes, left + RAIL + SPAN / 2, TITLE + 0.12, part, size=10, weight="bold", ha="center")
        _ladder(axes, left, base, {name: one.parts[part] for name, one in tcbs.items()})
    line = TITLE + HEAD + RUNG * most + 0.3
    for words in odd:
        write(axes, EDGE, line, **fit(f"ODD: {words}", WIDTH - 2 * EDGE, size=8.5, weight="bold"), color=MARK)
        line += ROW
    for name, (_, _, meaning) in TAGS.items():
        _tag(axes, EDGE, line, name)
        write(axes, EDGE + 0.4, line, **fit(meaning, WIDTH - 2 * EDGE - 0.4, size=8.5))
        line += ROW
    line += ROW / 2
    for part in parts:
        write(axes, EDGE, line, part, size=8.5, weight="bold")
        write(axes, EDGE + 0.6, line, **fit(PART_DOCS[part], WIDTH - 2 * EDGE - 0.6, size=8.5))
        line += ROW
    return figure


def _ladder(axes: Axes, left: float, base: float, values: dict[str, int]) -> None:
    """Draw one part's ladder, upwards from *base*: a rung for each number, and the tags of the TCBs that have it."""
    rungs = sorted(set(values.values()))
    rail = left + RAIL
    top = base - RUNG * len(rungs)
    for x in (rail, rail + SPAN):
        axes.plot([x, x], [top, base], color=INK, linewidth=2.5)
    for number, value in enumerate(rungs):
        line = base - RUNG * (number + 0.5)
        axes.plot([rail, rail + SPAN], [line, line], color=INK, linewidth=2.5)
        write(axes, rail - 0.1, line, str(value), size=9.5, ha="right", family="monospace")
        place = rail + SPAN + 0.1
        for name in (name for name in TAGS if values[name] == value):
            _tag(axes, place, line, name)
            place += STEP


def _tag(axes: Axes, left: float, line: float, name: str) -> None:
    """Draw a TCB's letter in its box."""
    letter, colour, _ = TAGS[name]
    edge, thick = (MARK, 2.5) if name == SIGNS else (INK, 1)
    box = Rectangle(
        (left, line - 0.09), TAG, 0.18, facecolor=COLOURS[colour], edgecolor=edge, linewidth=thick, zorder=3
    )
    axes.add_patch(box)
    write(axes, left + TAG / 2, line, letter, size=8.5, weight="bold", ha="center", zorder=4)
