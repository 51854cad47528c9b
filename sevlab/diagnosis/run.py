"""Run the search: single changes, then pairs, then larger combinations, until one reproduces the reported value or the
budget is spent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from ..arguments import checked
from ..case import Case
from ..errors import ArgumentError, InputError, escaped
from ..evidence import Evidence, as_written, takes_keys
from ..keys import Secret
from ..outcome import MATCH, NOT_DECIDED
from ..reading import opened_once, watched
from ..verify import Verdict
from .engine import Engine, Stopped, try_box
from .hypotheses_sev import COUNT_LIMIT
from .inputs import inputs_of, is_zero, read_sev_inputs, read_snp_inputs
from .model import MISSING, Space
from .result import EXPLAINED, UNCHECKED, UNEXPLAINED, Cause, Diagnosis, Explanation, RuledOut, report_alarms
from .sev import BOX, SevSpace
from .snp import SnpSpace
from .start import Candidate, read_candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor
    from typing import Any

    from ..formats.report import Report
    from ..outcome import Trust
    from .engine import Hit, Progress
    from .model import Choice, Combination

#: Seconds, by default.
BUDGET = 60.0
MOST_CHANGES = 4
#: How many changes at once, and whether only likely values are combined: what is searched, in this order.
STAGES = ((1, False), (2, False), (3, True), (3, False), (4, True))
_NUMBERS = {2: "any two of these", 3: "any three of these", 4: "any four of these"}
#: A search shorter than this, in seconds, shows no bar.
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
    given: Evidence | Verdict | Case | Mapping[str, Any],
    reported: bytes | str | Report | None = None,
    *,
    candidates: str | None = None,
    budget: float = BUDGET,
    max_changes: int = 3,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[Progress], object] | bool | None = None,
    names: Callable[[str], str] = as_written,
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
    replaces them for all large work; the TIK is part of what it is sent. *progress* is called about ten times a second;
    True shows a bar, for notebooks. *names* turns an input's name into what its user calls it. *trust* is what inputs
    by name took from a case (:meth:`sevlab.Case.trust`).

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    task: _SevTask | _SnpTask
    if isinstance(given, Case) and given.is_snp:
        reported = _reported(given, names) if reported is None else reported
        given = given.snp_launch
    if reported is None:
        task = _SevTask(given, candidates, names, trust)
    elif isinstance(given, Mapping):
        task = _SnpTask(given, reported, candidates, names)
    else:
        raise ArgumentError("given", type(given).__name__, "the inputs of a SEV-SNP launch, to go with reported")
    return task.finished(search(task, budget, max_changes, progress, jobs, executor))


def _reported(case: Case, names: Callable[[str], str]) -> bytes | Report:
    """Return what a case of SEV-SNP says was reported: a report, or only its launch digest."""
    if "report" in case.inputs:
        from ..report import load_report

        return load_report(case.inputs["report"], names("report"))
    if "reported_measurement" not in case.inputs:
        raise InputError(names("report"), "nothing", "a report, or its measurement", "what is to be explained?")
    return bytes(case.inputs["reported_measurement"])


class Task(ABC):
    """What is searched: how its inputs are read, and how a combination is tried."""

    is_snp = False

    def __init__(self, candidates: str | None, names: Callable[[str], str]) -> None:
        self.candidates, self.names = candidates, names

    @abstractmethod
    def open(self, engine: Engine, not_tried: list[str]) -> Space:
        """Read everything that was given; add to *not_tried* what could not be read."""

    @abstractmethod
    def matches(self) -> bool:
        """Whether nothing is wrong."""

    @abstractmethod
    def impossible(self) -> list[str]:
        """Return what cannot be tried with what is given, and what would help."""

    @abstractmethod
    def explain(self, combination: Combination, engine: Engine) -> Explanation | None:
        """Try a combination; return the first explanation. A hash fits one launch only: others would say the same."""

    @abstractmethod
    def finished(self, found: Diagnosis) -> Diagnosis:
        """Add to the outcome what follows from the inputs alone."""

    def read_candidates(self, engine: Engine, not_tried: list[str]) -> list[Candidate]:
        """Read the folder of candidates in at most half of the budget."""
        if self.candidates is None:
            return []

        def enough(file: str) -> bool:
            engine.now = f"reading candidate {file}"
            try:
                engine.check()
            except Stopped:
                return True
            return engine.seconds > engine.budget / 2

        files, unread = read_candidates(self.candidates, self.names("candidates"), enough, snp=self.is_snp)
        not_tried += unread
        return files

    def explanation(self, chosen: Iterable[Choice]) -> Explanation:
        """Return the explanation that consists of these choices."""
        causes, tik = [], None
        for choice in chosen:
            if choice.hypothesis is not None:
                causes.append(Cause(choice.hypothesis, choice.changes))
                tik = Secret(choice.value) if choice.hypothesis.parameter == "key" else tik
        return Explanation(tuple(causes), tik, self.is_snp)


class _SevTask(Task):
    """A measurement of SEV or SEV-ES: an HMAC, one for every candidate."""

    space: SevSpace

    def __init__(self, given: Any, candidates: str | None, names: Callable[[str], str], trust: Trust | None) -> None:
        super().__init__(candidates, names)
        self.given = given.evidence if isinstance(given, Verdict) else given
        self.trust = given.trust() if isinstance(given, Case) else getattr(self.given, "trust", trust)

    def open(self, engine: Engine, not_tried: list[str]) -> Space:
        given = self.given.part() if isinstance(self.given, Case) else self.given
        inputs = inputs_of(given) if isinstance(given, Evidence) else read_sev_inputs(given, self.names)
        self.space = SevSpace(inputs, self.read_candidates(engine, not_tried))
        return self.space

    def matches(self) -> bool:
        context, inputs = self.space.base_context, self.space.inputs
        if context is None:
            return False
        major, minor, build = inputs.numbers
        return bool(try_box([context], ((major,), (minor,), (build,), (int(inputs.policy),))))

    def explain(self, combination: Combination, engine: Engine) -> Explanation | None:
        found = engine.run(self.space.contexts(combination), self.space.box(combination), combination.size)
        for _, choices, hit in found:
            return self.explanation(_chosen(combination, choices, hit))
        return None

    def impossible(self) -> list[str]:
        start, inputs = self.space.start, self.space.inputs
        if not inputs.launch:
            return ["What was loaded: only its digest was given; with the firmware file its parts can be tried."]
        sentences = []
        if self.candidates is None:
            sentences.append("Other firmware, kernel and initrd files: no folder of candidates was named.")
        if "kernel" not in inputs.launch:
            sentences.append("Kernel hashes: no kernel was given; if the host loads one, name it.")
        elif "cmdline" not in inputs.launch:
            sentences.append("Other command lines: none was given to start from.")
        if not inputs.policy.es:
            sentences.append("Registers and number of virtual CPUs: plain SEV does not measure them.")
        else:
            sentences.append(f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends.")
        if start.ovmf is not None and start.ovmf.reset_address is None and "vmsa_cpu0" not in inputs.launch:
            sentences.append("More than one virtual CPU: this firmware does not say where further ones start.")
        return [*sentences, "Changed bytes in a file, and keys of somebody else: no search can find these."]

    def finished(self, found: Diagnosis) -> Diagnosis:
        is_doubtful = found.status == MATCH and self.trust is not None and self.trust.is_doubtful
        return replace(found, trust=self.trust, status=NOT_DECIDED if is_doubtful else found.status)


def _chosen(combination: Combination, choices: tuple[Choice, ...], hit: Hit) -> Iterable[Choice]:
    """Yield the choices of a hit: those of its context, and those of the box by their values."""
    rest = iter(choices)
    for name, options in zip(combination.names, combination.lists, strict=True):
        if name in BOX:
            yield next(option for option in options if int(option.value) == getattr(hit, name))
        else:
            yield next(rest)


class _SnpTask(Task):
    """A launch digest of SEV-SNP: a chain of hashes, of which a candidate costs those after the first change."""

    is_snp = True
    space: SnpSpace

    def __init__(
        self,
        given: Mapping[str, Any],
        reported: bytes | str | Report,
        candidates: str | None,
        names: Callable[[str], str],
    ) -> None:
        super().__init__(candidates, names)
        self.given, self.reported = given, reported

    def open(self, engine: Engine, not_tried: list[str]) -> Space:
        inputs = read_snp_inputs(self.given, self.reported, self.names)
        self.space = SnpSpace(inputs, self.read_candidates(engine, not_tried))
        return self.space

    def matches(self) -> bool:
        return self.space.matches()

    def explain(self, combination: Combination, engine: Engine) -> Explanation | None:
        return next(map(self.explanation, self.space.hits(combination, engine)), None)

    def impossible(self) -> list[str]:
        start, launch = self.space.start, self.space.inputs.launch
        sentences = []
        if is_zero(self.space.inputs):
            sentences.append(
                "A digest of zeros: no launch has it; it is what a report holds before anything is loaded."
            )
        if self.candidates is None:
            sentences.append("Other firmware, kernel and initrd files: no folder of candidates was named.")
        if start.svsm is not None:
            sentences.append(
                "Kernel hashes, other profiles: with an SVSM there is one profile, and no kernel is measured."
            )
        elif "kernel" not in launch:
            why = "no kernel was given; if the host loads one, name it"
            if not start.base_image.has_hashes:
                why = "no kernel was given, and this firmware has no section for the hashes of one"
            sentences.append(f"Kernel hashes: {why}.")
        elif "cmdline" not in launch:
            sentences.append("Other command lines: none was given to start from.")
        if start.svsm is None and start.base_image.reset_address is None and "vmsa_cpu0" not in launch:
            sentences.append("More than one virtual CPU: this firmware does not say where further ones start.")
        if "vmsa_cpu0" in launch and "vmsa_cpu1" not in launch:
            sentences.append(f"More than one virtual CPU: {self.names('vmsa_cpu1')} was not given.")
        sentences.append(f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends.")
        return [*sentences, "Changed bytes in a file: no search can find these."]

    def finished(self, found: Diagnosis) -> Diagnosis:
        if not hasattr(self, "space"):  # the budget was spent while the inputs were read
            return found
        report, remarks = self.space.inputs.report, self.space.inputs.remarks
        if report is None:
            return replace(found, notes=remarks)
        return replace(found, notes=(*remarks, UNCHECKED), alarms=tuple(report_alarms(report)))


def search(
    task: Task,
    budget: float,
    max_changes: int,
    progress: Callable[[Progress], object] | bool | None,
    jobs: int | None = None,
    executor: Executor | None = None,
) -> Diagnosis:
    """Search for the fewest changes that explain the report; the arguments are those of :func:`diagnose`."""
    if not 1 <= max_changes <= MOST_CHANGES:
        raise InputError(task.names("max_changes"), str(max_changes), f"1 to {MOST_CHANGES}")
    if not budget > 0:
        raise InputError(task.names("budget"), str(budget), "seconds, more than 0")
    bar = Bar(budget) if progress is True else None
    engine = Engine(budget, jobs, executor, bar or (None if isinstance(progress, bool) else progress))
    not_tried: list[str] = []
    searched: list[RuledOut] = []
    found, stopped = None, ""
    engine.now = "the inputs"
    try:
        with watched(engine.check):
            space = task.open(engine, not_tried)
        if task.matches():
            return Diagnosis(MATCH, tried=1, seconds=engine.seconds, is_snp=task.is_snp)
        not_tried += task.impossible()
        for changes, likely in STAGES:
            if changes > max_changes:
                continue
            found = _try_stage(task, space, engine, changes, likely)
            if found is not None:
                break
            searched += _ruled_out(space, changes, likely)
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
    return Diagnosis(
        UNEXPLAINED if found is None else EXPLAINED,
        () if found is None else (found,),
        engine.tried,
        engine.seconds,
        tuple(searched),
        tuple(not_tried),
        stopped,
        task.is_snp,
    )


def _try_stage(task: Task, space: Space, engine: Engine, changes: int, likely: bool) -> Explanation | None:
    """Search one stage, combination by combination; return the first explanation."""
    for combination in space.combinations(changes, likely=likely):
        engine.now = " and ".join(space.ABOUT[name].words for name in combination.names)
        engine.check()
        if found := task.explain(combination, engine):
            return found
    return None


def _ruled_out(space: Space, changes: int, likely: bool) -> list[RuledOut]:
    """Return what a stage that found nothing has ruled out."""
    singles = space.combinations(1, likely=False)
    if changes == 1:
        sizes = {name: sum(one.size for one in singles if one.names == (name,)) for name in space.ABOUT}
        return [_row(space, name, size) for name, size in sizes.items() if size]
    rows = []
    if changes == 2 and any(parameter.base.value is MISSING for parameter in space.parameters.values()):
        # Without what was not given, no other change can be tried alone.
        alone = {name for one in singles for name in one.names}
        paired = {name for one in space.combinations(2, likely=False) for name in one.names} - alone
        rows = [_row(space, name, len(one.choices)) for name, one in space.parameters.items() if name in paired]
    return [*rows, RuledOut(_NUMBERS[changes], "their likely values" if likely else "all their values")]


def _row(space: Space, name: str, size: int) -> RuledOut:
    mistakes = dict.fromkeys(one.hypothesis.name for one in space.parameters[name].choices if one.hypothesis)
    return RuledOut(space.ABOUT[name].words, str(size), "; ".join(mistakes))


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
