"""``diagnose``: from a measurement that does not match to the input that explains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..case import Case
from ..errors import InputError
from ..evidence import Evidence, takes_keys
from ..keys import Secret
from ..outcome import MATCH, NOT_DECIDED
from ..reading import opened_once
from ..verify import Verdict
from .course import BUDGET, Task, search
from .diagnosis import Explanation
from .engine import try_box
from .given import Given, given_of, read_given
from .mistakes.cpus import COUNT_LIMIT
from .space import BOX, Space

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any

    from ..formats.report import Report
    from ..outcome import Trust
    from .axis import Choice, Subset
    from .diagnosis import Diagnosis
    from .engine import Engine, Hit, Progress


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
    trust: Trust | None = None,
) -> Diagnosis:
    """Find the fewest changes of inputs under which the computed measure equals the reported one.

    *given* is evidence, its verdict, a case (of SEV-SNP too: see :func:`sevlab.diagnose_snp`), or the inputs by name as
    in :func:`sevlab.load_evidence`; the measurement and key files may be in forms that are refused there. *candidates*
    is a folder of files that may have been loaded. *budget* is in seconds, *max_changes* 1 to 4, *jobs* how many
    workers to start (default: one for each core). A ``concurrent.futures`` *executor* is used in place of own workers
    for all large work; the TIK is part of what it is sent. *progress* is called about ten times a second; True shows a
    bar, for notebooks. *trust* is what
    inputs by name took from a case (:meth:`sevlab.Case.trust`).

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    if isinstance(given, Case) and given.is_snp:
        from .snp import diagnose_snp

        options: dict[str, Any] = {"candidates": candidates, "budget": budget, "max_changes": max_changes}
        return diagnose_snp(given.snp_launch, _reported(given), progress=progress, **options)
    diagnosis = search(_Measured(given, candidates), budget, max_changes, progress, jobs, executor)
    evidence = given.evidence if isinstance(given, Verdict) else given
    diagnosis.trust = given.trust() if isinstance(given, Case) else getattr(evidence, "trust", trust)
    if diagnosis.status == MATCH and diagnosis.trust is not None and diagnosis.trust.is_doubtful:
        diagnosis.status = NOT_DECIDED
    return diagnosis


class _Measured(Task):
    """A measurement of SEV or SEV-ES: an HMAC, of which every candidate costs one."""

    space: Space

    def __init__(self, given: Any, candidates: str | None) -> None:
        super().__init__(candidates)
        self.given = given

    def open(self, engine: Engine, not_tried: list[str]) -> Space:
        given = _given(self.given)
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


def _reported(case: Case) -> bytes | Report:
    """Return what a case of SEV-SNP says was reported: a report, or its launch digest alone."""
    if "report" in case.inputs:
        from ..report import load_report

        return load_report(str(case.inputs["report"]), "report")
    if case.reported_measurement is None:
        raise InputError("report", "nothing", "a report, or its measurement", "what is to be explained?")
    return case.reported_measurement


def _given(given: Evidence | Verdict | Case | Mapping[str, Any]) -> Given:
    if isinstance(given, Verdict):
        given = given.evidence
    if isinstance(given, Evidence):
        return given_of(given)
    return read_given(given.part() if isinstance(given, Case) else given)


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
