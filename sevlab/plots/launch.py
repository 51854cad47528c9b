"""The chain of a launch as a figure: what is loaded, and the launch digest after it."""

from __future__ import annotations

from ..launch import Launch, LaunchComparison
from ..layout.span import COLOURS
from ..snp import SnpComparison, SnpLaunch
from .column import (
    EDGE,
    GAP,
    LINE,
    PAD,
    TITLE,
    WIDTH,
    Column,
    drawn_rows,
    fit,
    judge,
    paper,
    write,
)
from .links import plot_links, plot_two_links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..launch import Run
    from .picture import Picture

UNKNOWN = "What was loaded is not known: only the launch digest was given."


def plot_launch(
    launch: Launch | LaunchComparison | SnpLaunch | SnpComparison, computed: Launch | SnpLaunch | None = None
) -> Picture:
    """Draw a launch as a chain: what is loaded, and the launch digest after it.

    Of SEV and SEV-ES that is each step with its size and its own SHA-256, of SEV-SNP each region of pages with its
    type and guest addresses. With *computed*, or for a comparison, two chains are drawn beside each other (*launch* is
    then the reported one), and the first step, or link, that differs is marked. Steps are grouped and coloured as
    ``explain`` does.
    """
    if isinstance(launch, Launch) and isinstance(computed, Launch):
        launch = LaunchComparison(launch, computed)
    elif isinstance(launch, SnpLaunch) and isinstance(computed, SnpLaunch):
        launch = SnpComparison(launch, computed)
    elif computed is not None:
        sides = f"a {type(computed).__name__} beside a {type(launch).__name__}"
        raise TypeError(f"plot_launch takes two launches of one kind, not {sides}")
    if isinstance(launch, LaunchComparison):
        return _plot_pairs(launch)
    if isinstance(launch, SnpComparison):
        return plot_two_links(launch)
    if isinstance(launch, Launch):
        return _plot_chain(launch)
    if isinstance(launch, SnpLaunch):
        return plot_links(launch)
    raise TypeError(f"plot_launch takes a launch or a comparison of two, not {type(launch).__name__}")


class _Chain(Column):
    """A chain of runs of equal steps."""

    def draw(self, top: float, run: Run, *, wordy: bool = False, mark: bool = False) -> None:
        """Draw a run of equal steps, and the digest after it; *wordy* says what they are."""
        left, line = self.left + PAD, top + 2.1 * LINE
        self.box(self.left, top, self.step, COLOURS[run.colour], mark=mark)
        write(self.axes, left, top + LINE, **fit(run.name, self.step - 2 * PAD, size=9, weight="bold"))
        doc = f"{run.amount} bytes" + (f". {run.first.doc}" if wordy else "")
        write(self.axes, left, line, **fit(doc, self.step - 2 * PAD, size=7.5))
        write(self.axes, left, line + LINE, f"SHA-256 of {'it' if run.count == 1 else 'one'} alone")
        self.hex(left, line + 2 * LINE, run.first.digest)
        self.across(top, f"{run.count} x" if run.count > 1 else "")
        self.digest(top, run.after, "launch digest after it", mark=mark)


def _plot_chain(launch: Launch) -> Picture:
    runs, height = launch.runs(), 1.0
    rows = drawn_rows(len(runs))
    count = len(launch.steps)
    title = f"A launch of {count} step{'s' * (count != 1)}, and the launch digest after each" if count else UNKNOWN
    figure, axes = paper(str(launch), title, TITLE + max(1, len(rows)) * (height + GAP))
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
    rows, start = drawn_rows(len(pairs), parting), TITLE + 0.25
    figure, axes = paper(str(comparison), comparison.words, start + max(1, len(rows)) * (height + GAP))
    widths = (2.15, 0.32, 1.66)
    for side, place in ("reported", EDGE), ("computed", WIDTH - EDGE - sum(widths)):
        write(axes, place, TITLE + 0.08, side, size=9.5, weight="bold")
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
                judge(axes, start + number * (height + GAP) + height / 2, pairs[row], first=row == parting)
    return figure


def _skipped(runs: Sequence[Run]) -> str:
    return f"{sum(run.count for run in runs)} more, not drawn"
