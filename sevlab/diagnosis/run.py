"""Run the search: single changes, then pairs, then larger combinations, until one reproduces the reported value or the
budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from ..cases.case import Case, with_registers
from ..errors import ArgumentError, InputError, checked, escaped
from ..launch.evidence import Evidence, takes_keys
from ..launch.inputs import Trust
from ..launch.keys import SecretBytes
from ..launch.reading import opened_once, watched
from ..launch.verify import MATCH, NOT_DECIDED, Verdict
from .engine import Engine, Progress, Stopped
from .inputs import inputs_of, read_sev_inputs, read_snp_inputs
from .model import MISSING, Choice
from .result import EXPLAINED, UNEXPLAINED, Cause, Diagnosis, Explanation, RuledOut
from .sev import SevSpace
from .snp import SnpSpace
from .space import Space
from .start import Candidate, read_candidates

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..formats.report import Report


#: Seconds, by default.
BUDGET = 60.0
MOST_CHANGES = 4
#: How many changes at once, and whether only likely values are combined: what is searched, in this order.
STAGES = ((1, False), (2, False), (3, True), (3, False), (4, True))
_NUMBERS = {2: "any two of these", 3: "any three of these", 4: "any four of these"}
#: Seconds before a bar is shown.
_DELAY = 1.0


class SearchOptions(TypedDict, total=False):
    """Options of every search; see :func:`diagnose`."""

    candidates: str | None
    budget: float
    max_changes: int
    progress: Callable[[Progress], object] | bool | None


@takes_keys
@opened_once()
@checked
def diagnose(
    given: Evidence | Verdict | Case | Mapping[str, object],
    reported: bytes | str | Report | None = None,
    *,
    candidates: str | None = None,
    budget: float = BUDGET,
    max_changes: int = 3,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[Progress], object] | bool | None = None,
    trust: Trust | None = None,
) -> Diagnosis:
    """Find the fewest changes of inputs under which the computed value equals the reported one.

    *given* is evidence, its verdict, a case, or the inputs by name as in :func:`sevlab.load_evidence`; the measurement
    and key files may be in forms that are refused there. For SEV-SNP it is a case, or the inputs of
    :func:`sevlab.load_snp_launch` by name together with *reported*: the launch digest (48 bytes, or their hex or base64
    text), or the whole report, whose signature is not checked. The number of virtual CPUs and the CPU's signature may
    be left out there, and are then searched.

    *candidates* is a folder of files that may have been loaded. *budget* is in seconds, *max_changes* 1 to 4, *jobs*
    the number of workers to start (default: one for each core; SEV-SNP needs none). A ``concurrent.futures`` *executor*
    replaces them for large work, and is sent the TIK. *progress* is called about ten times a second; True shows a bar,
    for notebooks. *trust* is what inputs by name took from a case (:meth:`sevlab.cases.case.Case.trust`).

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    if isinstance(given, Case) and given.is_snp:
        reported = _reported(given) if reported is None else reported
        given = given.snp_launch
    if reported is not None and not isinstance(given, Mapping):
        raise ArgumentError("given", type(given).__name__, "the inputs of a SEV-SNP launch, to go with reported")
    if isinstance(given, Verdict):
        given = given.evidence
    if not 1 <= max_changes <= MOST_CHANGES:
        raise InputError("max_changes", str(max_changes), f"1 to {MOST_CHANGES}")
    if not budget > 0:
        raise InputError("budget", str(budget), "seconds, more than 0")
    bar = Bar(budget) if progress is True else None
    engine = Engine(budget, jobs, executor, bar or (None if isinstance(progress, bool) else progress))
    search = _Search(engine, candidates)
    try:
        found = search.run(given, reported, max_changes)
    finally:
        engine.close()
        if bar is not None:
            bar.close()
    if reported is not None:
        return found
    trust = given.trust() if isinstance(given, Case) else getattr(given, "trust", trust)
    is_doubtful = found.status == MATCH and trust is not None and trust.is_doubtful
    return replace(found, trust=trust, status=NOT_DECIDED if is_doubtful else found.status)


def _reported(case: Case) -> bytes | Report:
    if "report" in case.inputs:
        from ..attestation.report import load_report

        return load_report(str(case.inputs["report"]), "report")
    if case.reported_measurement is None:
        raise InputError("report", "nothing", "a report, or its measurement", "what is to be explained?")
    return case.reported_measurement


class _Search:
    """One search: the space once it is read, and what was ruled out and not tried so far."""

    def __init__(self, engine: Engine, candidates: str | None) -> None:
        self.engine, self.candidates = engine, candidates
        self.searched: list[RuledOut] = []
        self.not_tried: list[str] = []

    def run(self, given: Any, reported: bytes | str | Report | None, max_changes: int) -> Diagnosis:
        engine, status, stopped = self.engine, UNEXPLAINED, ""
        space: SevSpace | SnpSpace | None = None
        found: list[Explanation] = []
        engine.now = "the inputs"
        try:
            with watched(engine.check):
                space = self._open(given, reported)
            if space.matches():
                status, engine.tried, self.not_tried = MATCH, 1, []
            else:
                self.not_tried += space.impossible(self.candidates is not None)
                found = self._try_stages(space, max_changes)
                status = EXPLAINED if found else UNEXPLAINED
        except Stopped as reason:
            stopped = str(reason)
        except KeyboardInterrupt:
            stopped = "it was interrupted"
        if stopped:
            self.not_tried.append(f"Everything from {engine.now} on: the search ended early.")
        return Diagnosis(
            status=status,
            explanations=tuple(found),
            tried=engine.tried,
            seconds=engine.seconds,
            searched=tuple(self.searched),
            not_tried=tuple(self.not_tried),
            stopped=stopped,
            is_snp=reported is not None,
            alarms=() if space is None else space.alarms,
            notes=() if space is None else space.notes,
        )

    def _open(self, given: Any, reported: bytes | str | Report | None) -> SevSpace | SnpSpace:
        if reported is not None:
            return SnpSpace(read_snp_inputs(given, reported), self._read_candidates(snp=True))
        given = with_registers(given.part()) if isinstance(given, Case) else given
        inputs = inputs_of(given) if isinstance(given, Evidence) else read_sev_inputs(given)
        return SevSpace(inputs, self._read_candidates(snp=False))

    def _read_candidates(self, *, snp: bool) -> list[Candidate]:
        if self.candidates is None:
            return []
        engine = self.engine

        def enough(file: str) -> bool:
            engine.now = f"reading candidate {file}"
            try:
                engine.check()
            except Stopped:
                return True
            return engine.seconds > engine.budget / 2

        files, unread = read_candidates(self.candidates, "candidates", enough, snp=snp)
        self.not_tried += unread
        return files

    def _try_stages(self, space: SevSpace | SnpSpace, max_changes: int) -> list[Explanation]:
        for changes, likely in STAGES:
            for combination in space.combinations(changes, likely=likely) if changes <= max_changes else ():
                self.engine.now = " and ".join(space.about[name].words for name in combination.lists)
                self.engine.check()
                for chosen in space.hits(combination, self.engine):
                    # A hash fits one launch only: any other explanation would mean the same.
                    return [_explanation(chosen, isinstance(space, SnpSpace))]
            if changes <= max_changes:
                self.searched += _ruled_out(space, changes, likely)
        return []


def _explanation(chosen: Iterable[Choice], is_snp: bool) -> Explanation:
    causes, tik = [], None
    for choice in chosen:
        if choice.hypothesis is not None:
            causes.append(Cause(choice.hypothesis, choice.changes))
            tik = SecretBytes(choice.value) if choice.hypothesis.parameter == "key" else tik
    return Explanation(tuple(causes), tik, is_snp)


def _ruled_out(space: Space, changes: int, likely: bool) -> list[RuledOut]:
    singles = space.combinations(1, likely=False)
    if changes == 1:
        sizes = {name: sum(one.size for one in singles if name in one.lists) for name in space.about}
        return [_row(space, name, size) for name, size in sizes.items() if size]
    rows = []
    if changes == 2 and any(parameter.base.value is MISSING for parameter in space.parameters.values()):
        # Without what was not given, no other change can be tried alone.
        alone = {name for one in singles for name in one.lists}
        paired = {name for one in space.combinations(2, likely=False) for name in one.lists} - alone
        rows = [_row(space, name, len(one.choices)) for name, one in space.parameters.items() if name in paired]
    return [*rows, RuledOut(_NUMBERS[changes], "their likely values" if likely else "all their values")]


def _row(space: Space, name: str, size: int) -> RuledOut:
    mistakes = dict.fromkeys(one.hypothesis.name for one in space.parameters[name].choices if one.hypothesis)
    return RuledOut(space.about[name].words, str(size), "; ".join(mistakes))


class Bar:
    """A progress bar for notebooks: how much of the budget (seconds) is spent, what is tried now, and how fast."""

    def __init__(self, budget: float) -> None:
        from tqdm.auto import tqdm

        form = "{l_bar}{bar}| {n:.0f} of {total:.0f} s{postfix}"
        self._bar = tqdm(total=budget, bar_format=form, delay=_DELAY, leave=False)

    def __call__(self, progress: Progress) -> None:
        """Show how far the search is."""
        words = f"{progress.tried:,} tried, {progress.rate:,.0f}/s, now {progress.now}"
        self._bar.set_postfix_str(escaped(words), refresh=False)
        self._bar.update(progress.seconds - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
