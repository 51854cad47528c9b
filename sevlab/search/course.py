"""The course of a search: one change, then two, then more, until something explains the report or time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..outcome import MATCH
from ..reading import watched
from .axis import MISSING
from .candidates import read_candidates
from .diagnosis import EXPLAINED, UNEXPLAINED, Diagnosis, RuledOut
from .engine import Engine, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any

    from .axis import Axes, Subset
    from .candidates import Candidate
    from .diagnosis import Explanation
    from .engine import Progress

#: Seconds, unless told otherwise.
BUDGET = 60.0
MOST_CHANGES = 4
#: How many changes at once, and whether only likely values are combined: what is searched, in this order.
STAGES = ((1, False), (2, False), (3, True), (3, False), (4, True))
_NUMBERS = {2: "any two of these", 3: "any three of these", 4: "any four of these"}


class Task:
    """What is searched: how its inputs are read, and how a kind of explanation is tried. Subclasses fill it."""

    #: What the search returns.
    outcome: type[Diagnosis] = Diagnosis
    #: A folder of files that may have been loaded, None without one.
    candidates: str | None

    def __init__(self, candidates: str | None) -> None:
        self.candidates = candidates

    def open(self, engine: Engine, not_tried: list[str]) -> Axes:
        """Read everything that was given; add to *not_tried* what could not be read."""
        raise TypeError(f"{type(self).__name__} reads nothing")

    def matches(self) -> bool:
        """Say whether nothing is wrong."""
        raise TypeError(f"{type(self).__name__} compares nothing")

    def impossible(self) -> list[str]:
        """Say what cannot be tried with what is given, and what would help."""
        raise TypeError(f"{type(self).__name__} tries nothing")

    def explanations(self, subset: Subset, engine: Engine) -> list[Explanation]:
        """Try a kind of explanation to its end; return those that were found."""
        raise TypeError(f"{type(self).__name__} tries nothing")

    def read_candidates(self, engine: Engine, not_tried: list[str], **options: Any) -> list[Candidate]:
        """Read the folder of candidates in at most half of the budget; *options* as for :func:`read_candidates`."""
        if self.candidates is None:
            return []

        def enough(file: str) -> bool:
            engine.now = f"reading candidate {file}"
            try:
                engine.check()
            except Stopped:
                return True
            return engine.seconds > engine.budget / 2

        files, unread = read_candidates(self.candidates, "candidates", enough, **options)
        not_tried += unread
        return files


def search(
    task: Task,
    budget: float,
    max_changes: int,
    progress: Callable[[Progress], object] | bool | None,
    jobs: int | None = None,
    executor: Executor | None = None,
) -> Diagnosis:
    """Search for the fewest changes that explain the report; see :func:`sevlab.diagnose` for what is given."""
    if not 1 <= max_changes <= MOST_CHANGES:
        raise InputError("max_changes", str(max_changes), f"1 to {MOST_CHANGES}")
    if not budget > 0:
        raise InputError("budget", str(budget), "seconds, more than 0")
    bar = None
    if progress is True:
        from .bar import Bar

        progress = bar = Bar(budget)
    engine = Engine(budget, jobs, executor, progress or None)
    not_tried: list[str] = []
    searched: list[RuledOut] = []
    stopped = ""
    engine.now = "the inputs"
    try:
        with watched(engine.check):
            axes = task.open(engine, not_tried)
        if task.matches():
            return task.outcome(MATCH, tried=1, seconds=engine.seconds)
        not_tried += task.impossible()
        for changes, likely in STAGES:
            if changes > max_changes:
                continue
            found = _stage(task, axes, engine, changes, likely)
            if found:
                return task.outcome(EXPLAINED, found, engine.tried, engine.seconds, searched, not_tried)
            searched += _ruled_out(axes, changes, likely)
    except Stopped as reason:
        stopped = str(reason)
    except KeyboardInterrupt:
        stopped = "it was interrupted"
    finally:
        engine.close()
        if bar is not None:
            bar.close()
    if stopped:
        not_tried.append(f"Everything from {engine.now} on: the search ended early.")
    return task.outcome(UNEXPLAINED, (), engine.tried, engine.seconds, searched, not_tried, stopped)


def _stage(task: Task, axes: Axes, engine: Engine, changes: int, likely: bool) -> list[Explanation]:
    """Search one stage, kind by kind; return the explanations of the first kind that has any."""
    for subset in axes.subsets(changes, likely=likely):
        engine.now = " and ".join(axes.WORDS[name] for name in subset.names)
        engine.check()
        if found := task.explanations(subset, engine):
            return found
    return []


def _ruled_out(axes: Axes, changes: int, likely: bool) -> list[RuledOut]:
    """Say what a stage that found nothing has ruled out."""
    singles = axes.subsets(1, likely=False)
    alone = {name for subset in singles for name in subset.names}
    if changes > 1:
        rows = []
        if changes == 2 and any(axis.base.value is MISSING for axis in axes.axes.values()):
            # Beside what was not given, no other change can be tried alone.
            paired = {name for subset in axes.subsets(2, likely=False) for name in subset.names}
            rows = [_row(axes, name, len(axes.axes[name].choices)) for name in axes.axes if name in paired - alone]
        return [*rows, RuledOut(_NUMBERS[changes], "their likely values" if likely else "all their values", "")]
    sizes = {name: sum(subset.size for subset in singles if subset.names == (name,)) for name in axes.axes}
    return [_row(axes, name, size) for name, size in sizes.items() if size]


def _row(axes: Axes, name: str, size: int) -> RuledOut:
    mistakes = "; ".join(dict.fromkeys(choice.hypothesis.name for choice in axes.axes[name].choices))
    return RuledOut(axes.WORDS[name], str(size), mistakes)
