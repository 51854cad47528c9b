"""Verify a case, whatever it is about, and diagnose what does not match."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from ..attestation.id_block import STAGES
from ..cases.bundle import open_case
from ..cases.case import Case, with_registers
from ..cases.verify import CaseVerdict, verify_case
from ..data import INCIDENTS
from ..errors import InputError, UnsupportedError
from ..formats.vcek import ROOTS
from ..launch.compare import LaunchComparison, compare_launch
from ..launch.evidence import load_evidence, takes_keys
from ..launch.reading import opened_once
from ..launch.snp import load_snp_launch
from ..launch.verify import MATCH, NOT_DECIDED, Check
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Paragraph, Table, View
from .result import EXPLAINED, UNCHECKED, Cause, Diagnosis, Explanation
from .run import SearchOptions, diagnose

if TYPE_CHECKING:
    from ..layout.compare import Comparison
    from ..layout.views import Block


#: The states of a case besides a match and not decided: it is known what is wrong, or it is not.
FOUND, UNKNOWN = "found", "unknown"


@dataclass(frozen=True, repr=False)
class CaseDiagnosis(Explainable):
    """The result of :func:`diagnose_case`.

    ``verdict`` is that of :func:`sevlab.verify_case`, None if there was nothing to compute from. ``refusal`` says why
    the launch cannot be computed with what was given, "" if it can. ``diagnosis`` is the outcome of the search, None
    if there was nothing to search for. ``comparison`` shows what differs with the values found: two launches of
    SEV-SNP or two measured messages, None without such an explanation.
    """

    verdict: CaseVerdict | None
    refusal: str = ""
    diagnosis: Diagnosis | None = None
    comparison: LaunchComparison | Comparison | None = None

    @property
    def explanation(self) -> Explanation | None:
        """The explanation with the fewest changes; None when the search found none."""
        found = self.diagnosis.explanations if self.diagnosis is not None else ()
        return found[0] if found else None

    @property
    def incidents(self) -> tuple[str, ...]:
        """Keys of the public incidents (:data:`sevlab.data.INCIDENTS`) that this resembles, the nearest first."""
        keys = list(self.explanation.incidents) if self.explanation is not None else []
        keys += [check.incident for check in self._report_checks if check.incident]
        return tuple(dict.fromkeys([*keys, *(["F46"] if self.wrong_block else [])]))

    @property
    def _report_checks(self) -> list[Check]:
        """The checks of the report that fail, or resemble an incident; its digest only if no launch was compared."""
        report = self.verdict.report if self.verdict is not None else None
        checks = [] if report is None else [one for one in report.checks if one in report.failed or one.incident]
        is_compared = bool(self.refusal) or (self.verdict is not None and self.verdict.digest is not None)
        return [check for check in checks if not (is_compared and check.name == "measurement")]

    @property
    def wrong_block(self) -> list[str]:
        """What is wrong with the ID block itself, by the names of its checks; another launch is not its fault."""
        block = self.verdict.id_block if self.verdict is not None else None
        return [one.name for one in block.failed if one.name != "launch digest"] if block is not None else []

    @property
    def status(self) -> str:
        """ "match", "found", "not_decided" or "unknown"."""
        if self.verdict is not None and self.verdict.matches and not self.refusal:
            return MATCH
        if self.incidents or self.explanation is not None:
            return FOUND
        undecided = self.verdict is not None and self.verdict.status == NOT_DECIDED and not self.refusal
        return NOT_DECIDED if undecided else UNKNOWN

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-ready data."""
        return {
            "status": self.status,
            "incidents": list(self.incidents),
            "refusal": self.refusal,
            "verdict": None if self.verdict is None else self.verdict.as_dict(),
            "diagnosis": None if self.diagnosis is None else self.diagnosis.as_dict(),
        }

    def explain(self) -> View:
        """Show the answer first: what is wrong, what explains it, and what it resembles."""
        blocks: list[Block] = [Banner(self._words(), {MATCH: "green", FOUND: "orange"}.get(self.status, "pink"))]
        if self.refusal:
            blocks.append(Paragraph(f"With what was given there is no launch. {self.refusal}"))
        if rows := self._rows():
            blocks.append(Table(["what is wrong", "state", "note"], rows, mono=[1]))
        if self.diagnosis is not None:
            blocks += [Heading("What explains it"), *self.diagnosis.explain().blocks]
        known = () if self.explanation is None else self.explanation.incidents  # which are above already
        if rows := [[key, INCIDENTS[key].title, INCIDENTS[key].lesson] for key in self.incidents if key not in known]:
            blocks += [Heading("Public incidents that this resembles"), Table(["", "title", "lesson"], rows)]
        return View(*blocks)

    def _rows(self) -> list[list[str]]:
        """Return the checks that fail, and those that resemble an incident: name, state, note."""
        verdict = self.verdict
        if verdict is None:
            return []
        rows = [[change.name, "changed", str(change)] for change in verdict.changed]
        if verdict.measure is not None and not verdict.measure.matches:
            rows.append(["measurement", "mismatch", "the computed measure is not the reported one"])
        if verdict.digest is not None and not verdict.digest.matches:
            reported, computed = verdict.digest.reported.hex()[:24], verdict.digest.computed.hex()[:24]
            rows.append(["launch digest", "mismatch", f"reported {reported}... is not {computed}... computed"])
        rows += [[f"report: {check.name}", check.state, str(check.note)] for check in self._report_checks]
        block = verdict.id_block
        for check in () if block is None else block.failed:
            state = ": ".join(filter(None, (check.state, STAGES[check.name])))
            rows.append([f"ID block: {check.name}", state, check.note])
        return rows

    @property
    def answer(self) -> str:
        """What explains it, in a line; or else the checks that resemble an incident, or whatever is wrong."""
        if self.explanation is not None:
            return "; ".join(one.name for one in self.explanation.hypotheses)
        named = [f"report: {check.name}" for check in self._report_checks if check.incident]
        return "; ".join(named or [row[0] for row in self._rows()])

    def _words(self) -> str:
        if self.status == MATCH:
            return "OK: every check in this case passed"
        if self.status == FOUND:
            return f"FOUND: {self.answer}"
        if self.status == NOT_DECIDED and self.verdict is not None:
            return self.verdict.words
        return "NOT FOUND: this case does not validate, and nothing that was tried explains it"


@takes_keys
@opened_once()
def diagnose_case(
    given: str | Case,
    *,
    roots: Mapping[str, str] = ROOTS,
    at: datetime | str | None = None,
    keys: Mapping[str, str] | None = None,
    own: bool = False,
    **search: Unpack[SearchOptions],
) -> CaseDiagnosis:
    """Verify a case, whatever it is about, and search for what explains a mismatch. Never raises on a mismatch.

    *given* is a case, or the path of a case file, a folder or a bundle. *roots* and *at* are those of
    :func:`sevlab.verify_report`. *keys* are the paths of ``tik`` and ``tek``, or ``tk``, if they are not in the case.
    *own* says that the case at a path is its user's own (see :class:`sevlab.cases.case.Case`). *search* are
    ``candidates``, ``budget``, ``max_changes`` and ``progress`` as in :func:`sevlab.diagnose`.

    Raises :class:`~sevlab.errors.InputError` for a case that cannot be used at all.
    """
    if isinstance(given, str):
        with open_case(given, own=own) as case:
            found = diagnose_case(case, roots=roots, at=at, keys=keys, **search)
            return replace(found, diagnosis=found.diagnosis and portable(found.diagnosis, case))
    case, refusal = given.replace(inputs={**given.inputs, **(keys or {})}), ""
    try:
        verdict: CaseVerdict | None = verify_case(given, roots=roots, at=at, **(keys or {}))
    except InputError as error:
        if not (case.is_snp and "firmware" in case.inputs):
            raise
        refusal = str(error)
        verdict = _without_launch(case, roots, at)
    computed = () if verdict is None else (verdict.measure, verdict.digest)
    if not refusal and all(part is None or part.matches for part in computed):
        return CaseDiagnosis(verdict)
    diagnosis = diagnose(case, **search)
    if verdict is not None and verdict.report is not None:  # its signature was checked above
        diagnosis = replace(diagnosis, notes=tuple(note for note in diagnosis.notes if note != UNCHECKED))
    comparison = _compare(case, diagnosis.explanations[0]) if diagnosis.status == EXPLAINED else None
    return CaseDiagnosis(verdict, refusal, diagnosis, comparison)


def _without_launch(case: Case, roots: Mapping[str, str], at: datetime | str | None) -> CaseVerdict | None:
    if "report" not in case.inputs:
        return None
    kept = {name: value for name, value in case.inputs.items() if name not in ("firmware", "id_block")}
    return verify_case(case.replace(inputs=kept, hashes={}), roots=roots, at=at)


def _compare(case: Case, explanation: Explanation) -> LaunchComparison | Comparison | None:
    try:
        found = explanation.inputs
        if not case.is_snp:
            evidence = load_evidence(**with_registers(case.part()))
            return evidence.replace(**found).message.compare(evidence.message)
        return compare_launch(*(load_snp_launch(**inputs) for inputs in (case.snp_launch | found, case.snp_launch)))
    except (UnsupportedError, InputError):
        return None  # what was found, or what was given, is no launch that inputs can say


def portable(found: Diagnosis, case: Case) -> Diagnosis:
    """Name files as the case's author did, because the folder into which a bundle was unpacked is gone."""
    paths = {}
    for name in case.hashes:
        if name in case.inputs:
            path, origin = str(case.inputs[name]), case.origin.get(name, "")
            is_file = origin.startswith("the file ")  # what it was called before it was packed
            paths[path] = origin.removeprefix("the file ") if is_file else os.path.basename(path)

    def renamed(value: Any) -> Any:
        for path, name in paths.items():
            value = value.replace(path, name) if isinstance(value, str) else value
        return value

    def renamed_cause(cause: Cause) -> Cause:
        changes = (replace(one, given=renamed(one.given), found=renamed(one.found)) for one in cause.changes)
        return replace(cause, changes=tuple(changes))

    explanations = (replace(one, causes=tuple(map(renamed_cause, one.causes))) for one in found.explanations)
    return replace(found, explanations=tuple(explanations))
