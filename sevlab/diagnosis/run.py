"""The course of a search: one change, then two, then more, until something explains the report or time is up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..arguments import checked
from ..case import Case
from ..errors import InputError, escaped
from ..evidence import Evidence, as_written, takes_keys
from ..keys import Secret
from ..outcome import MATCH, NOT_DECIDED
from ..reading import opened_once, watched
from ..snp.order import has_hashes
from ..verify import Verdict
from .digests import measure_firmware
from .engine import Engine, Stopped, try_box
from .hypotheses_sev import COUNT_LIMIT
from .inputs import Given, given_of, is_zero, read_given, read_snp_given
from .model import MISSING
from .result import (
    EXPLAINED,
    UNCHECKED,
    UNEXPLAINED,
    Diagnosis,
    Explanation,
    RuledOut,
    SnpDiagnosis,
    SnpExplanation,
    report_alarms,
)
from .sev import BOX, Space
from .snp import SnpSpace
from .start import read_candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor
    from typing import Any

    from ..formats.report import Report
    from ..outcome import Trust
    from .engine import Engine, Hit, Progress
    from .model import Axes, Choice, Subset
    from .result import Diagnosis, Explanation
    from .start import Candidate

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

    def __init__(self, candidates: str | None, names: Callable[[str], str]) -> None:
        self.candidates, self.names = candidates, names

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

        files, unread = read_candidates(self.candidates, self.names("candidates"), enough, **options)
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
        raise InputError(task.names("max_changes"), str(max_changes), f"1 to {MOST_CHANGES}")
    if not budget > 0:
        raise InputError(task.names("budget"), str(budget), "seconds, more than 0")
    bar = None
    if progress is True:
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


#: A search shorter than this, in seconds, shows no bar.
DELAY = 1.0


class Bar:
    """Shows how much of the budget (seconds) is spent, what is tried now, and how fast."""

    def __init__(self, budget: float) -> None:
        from tqdm.auto import tqdm

        form = "{l_bar}{bar}| {n:.0f} of {total:.0f} s{postfix}"
        self._bar = tqdm(total=budget, bar_format=form, delay=DELAY, leave=False)

    def __call__(self, progress: Progress) -> None:
        """Show how far the search is."""
        words = f"{progress.tried:,} tried, {progress.rate:,.0f}/s, now {progress.now}"
        self._bar.set_postfix_str(escaped(words), refresh=False)
        self._bar.update(progress.seconds - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


@takes_keys
@opened_once()
def diagnose(
    given: Evidence | Verdict | Case | Mapping[str, Any],
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
    """Find the fewest changes of inputs under which the computed measure equals the reported one.

    *given* is evidence, its verdict, a case (of SEV-SNP too: see :func:`sevlab.diagnose_snp`), or the inputs by name as
    in :func:`sevlab.load_evidence`; the measurement and key files may be in forms that are refused there. *candidates*
    is a folder of files that may have been loaded. *budget* is in seconds, *max_changes* 1 to 4, *jobs* how many
    workers to start (default: one for each core). A ``concurrent.futures`` *executor* is used in place of own workers
    for all large work; the TIK is part of what it is sent. *progress* is called about ten times a second; True shows a
    bar, for notebooks. *names* turns an input's name into what its user calls it. *trust* is what
    inputs by name took from a case (:meth:`sevlab.Case.trust`).

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    if isinstance(given, Case) and given.is_snp:
        options: dict[str, Any] = {"candidates": candidates, "budget": budget, "max_changes": max_changes}
        return diagnose_snp(given.snp_launch, _reported(given, names), progress=progress, names=names, **options)
    diagnosis = search(_Measured(given, candidates, names), budget, max_changes, progress, jobs, executor)
    evidence = given.evidence if isinstance(given, Verdict) else given
    diagnosis.trust = given.trust() if isinstance(given, Case) else getattr(evidence, "trust", trust)
    if diagnosis.status == MATCH and diagnosis.trust is not None and diagnosis.trust.is_doubtful:
        diagnosis.status = NOT_DECIDED
    return diagnosis


class _Measured(Task):
    """A measurement of SEV or SEV-ES: an HMAC, of which every candidate costs one."""

    space: Space

    def __init__(self, given: Any, candidates: str | None, names: Callable[[str], str]) -> None:
        super().__init__(candidates, names)
        self.given = given

    def open(self, engine: Engine, not_tried: list[str]) -> Space:
        given = _given(self.given, self.names)
        self.space = Space(given, self.read_candidates(engine, not_tried))
        return self.space

    def matches(self) -> bool:
        context, given = self.space.base_context, self.space.given
        if context is None:
            return False
        major, minor, build = given.numbers
        return bool(try_box([context], ((major,), (minor,), (build,), (int(given.policy),))))

    def explanations(self, subset: Subset, engine: Engine) -> list[Explanation]:
        box = self.space.box(subset)
        for _, choices, hit in engine.run(self.space.contexts(subset), box, subset.size):
            chosen = _chosen(subset, choices, hit)
            changes = tuple(change for choice in chosen for change in choice.changes)
            tik = next((Secret(choice.value) for choice in chosen if choice.hypothesis.axis == "key"), None)
            # An HMAC fits one message only: what else would be found says the same.
            return [Explanation(changes, tuple(choice.hypothesis for choice in chosen), tik)]
        return []

    def impossible(self) -> list[str]:
        space, candidates = self.space, self.candidates
        launch, given = space.given.launch, space.given
        sentences = []
        if not launch:
            return ["What was loaded: only its digest was given; with the firmware file its parts can be tried."]
        if candidates is None:
            sentences.append("Other firmware, kernel and initrd files: no folder of candidates was named.")
        if "kernel" not in launch:
            sentences.append("Kernel hashes: no kernel was given; if the host loads one, name it.")
        elif "cmdline" not in launch:
            sentences.append("Other command lines: none was given to start from.")
        if not given.policy.es:
            sentences.append("Registers and number of virtual CPUs: plain SEV does not measure them.")
        else:
            sentences.append(f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends.")
        if space.start.ovmf is not None and space.start.ovmf.reset_address is None and "vmsa_cpu0" not in launch:
            sentences.append("More than one virtual CPU: this firmware does not say where further ones start.")
        sentences.append("Changed bytes in a file, and keys of somebody else: no search can find these.")
        return sentences


def _reported(case: Case, names: Callable[[str], str]) -> bytes | Report:
    """Return what a case of SEV-SNP says was reported: a report, or its launch digest alone."""
    if "report" in case.inputs:
        from ..report import load_report

        return load_report(case.inputs["report"], names("report"))
    if "reported_measurement" not in case.inputs:
        raise InputError(names("report"), "nothing", "a report, or its measurement", "what is to be explained?")
    return bytes(case.inputs["reported_measurement"])


def _given(given: Evidence | Verdict | Case | Mapping[str, Any], names: Callable[[str], str]) -> Given:
    if isinstance(given, Verdict):
        given = given.evidence
    if isinstance(given, Evidence):
        return given_of(given)
    return read_given(given.part() if isinstance(given, Case) else given, names)


def _chosen(subset: Subset, choices: tuple[Choice, ...], hit: Hit) -> list[Choice]:
    """Return the choices that a hit stands for: those of its context, and those of the box by their values."""
    rest = iter(choices)
    chosen = []
    for name, options in zip(subset.names, subset.lists, strict=True):
        if name in BOX:
            value = getattr(hit, name)
            chosen.append(next(option for option in options if int(option.value) == value))
        else:
            chosen.append(next(rest))
    return chosen


@opened_once()
@checked
def diagnose_snp(
    inputs: Mapping[str, Any],
    measurement: bytes | str | Report,
    *,
    candidates: str | None = None,
    budget: float = BUDGET,
    max_changes: int = 3,
    progress: Callable[[Progress], object] | bool | None = None,
    names: Callable[[str], str] = as_written,
) -> SnpDiagnosis:
    """Find the fewest changes of inputs under which the computed launch digest of SEV-SNP equals the reported one.

    *inputs* are those of :func:`sevlab.load_snp_launch`, as a dictionary; the number of virtual CPUs and the CPU's
    signature may be left out, and are then searched. *measurement* is the reported launch digest: 48 bytes, or their
    hex or base64 text, or a whole report, whose signature is not checked. *candidates* is a folder of files that may
    have been loaded. *budget* is in seconds, *max_changes* 1 to 4. *progress* is called about ten times a second; True
    shows a bar, for notebooks. *names* turns an input's name into what its user calls it.

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    task = _Chained(inputs, measurement, candidates, names)
    found = search(task, budget, max_changes, progress, jobs=1)
    assert isinstance(found, SnpDiagnosis)
    if task.space is not None:
        given = task.space.given
        found.notes = (
            *given.remarks,
            *([UNCHECKED] if given.report is not None else []),
        )
        found.alarms = () if given.report is None else tuple(report_alarms(given.report))
    return found


class _Chained(Task):
    """A launch digest of SEV-SNP: a chain of hashes, of which a candidate costs those after the first change."""

    outcome = SnpDiagnosis
    space: SnpSpace | None = None

    def __init__(
        self,
        inputs: Mapping[str, Any],
        measurement: bytes | str | Report,
        candidates: str | None,
        names: Callable[[str], str],
    ) -> None:
        super().__init__(candidates, names)
        self.inputs, self.measurement = inputs, measurement

    def open(self, engine: Engine, not_tried: list[str]) -> SnpSpace:
        given = read_snp_given(self.inputs, self.measurement, self.names)
        self.space = SnpSpace(given, self.read_candidates(engine, not_tried, measure=measure_firmware))
        return self.space

    @property
    def _space(self) -> SnpSpace:
        assert self.space is not None
        return self.space

    def matches(self) -> bool:
        return self._space.matches()

    def explanations(self, subset: Subset, engine: Engine) -> list[Explanation]:
        for chosen in self._space.hits(subset, engine):
            changes = tuple(change for choice in chosen for change in choice.changes)
            # A digest fits one chain only: what else would be found says the same.
            return [SnpExplanation(changes, tuple(choice.hypothesis for choice in chosen), None)]
        return []

    def impossible(self) -> list[str]:
        start, names = self._space.start, self.names
        launch = self._space.given.launch
        sentences = []
        if is_zero(self._space.given):
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
            if not has_hashes(start.base_image):
                why = "no kernel was given, and this firmware has no section for the hashes of one"
            sentences.append(f"Kernel hashes: {why}.")
        elif "cmdline" not in launch:
            sentences.append("Other command lines: none was given to start from.")
        if start.svsm is None and start.base_image.reset_address is None and "vmsa_cpu0" not in launch:
            sentences.append("More than one virtual CPU: this firmware does not say where further ones start.")
        if "vmsa_cpu0" in launch and "vmsa_cpu1" not in launch:
            sentences.append(f"More than one virtual CPU: {names('vmsa_cpu1')} was not given.")
        sentences.append(f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends.")
        sentences.append("Changed bytes in a file: no search can find these.")
        return sentences
