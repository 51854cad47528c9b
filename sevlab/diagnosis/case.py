"""``judge_case``: whatever a case is about, what comes of it, and what explains it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..bundle import open_case, verify_case
from ..case import Case
from ..errors import InputError, UnsupportedError
from ..evidence import as_written, load_evidence, takes_keys
from ..formats.vcek import ROOTS
from ..incidents import INCIDENTS
from ..layout.page import Banner, Heading, Paragraph, Table, View
from ..layout.shown import Shown
from ..outcome import MATCH, NOT_DECIDED
from ..reading import opened_once
from ..report.check import FAIL
from ..snp import compare_snp_launch, load_snp_launch
from .result import EXPLAINED, UNCHECKED, SnpDiagnosis
from .run import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import Any

    from ..bundle import CaseVerdict
    from ..layout.diff import Comparison
    from ..report.check import Check
    from ..snp import SnpComparison
    from .result import Diagnosis, Explanation

#: What can be said of a case beside a match and what is not decided: what is wrong with it, or that nobody knows.
FOUND, UNKNOWN = "found", "unknown"


class Judgement(Shown):
    """What comes of a case. Made by :func:`judge_case`.

    ``verdict`` is that of :func:`sevlab.verify_case`, None where there was nothing to compute from. ``refusal`` says
    why the launch cannot be computed with what was given, "" where it can. ``diagnosis`` is the outcome of the search,
    None where there was nothing to search for. ``comparison`` shows what is different with the values found: two
    launches of SEV-SNP or two measured messages, None without such an explanation.
    """

    def __init__(
        self,
        verdict: CaseVerdict | None,
        refusal: str,
        diagnosis: Diagnosis | None,
        comparison: SnpComparison | Comparison | None,
    ) -> None:
        self.verdict, self.refusal, self.diagnosis, self.comparison = verdict, refusal, diagnosis, comparison

    @property
    def explanation(self) -> Explanation | None:
        """The explanation with the fewest changes; None when the search found none."""
        found = self.diagnosis.explanations if self.diagnosis is not None else ()
        return found[0] if found else None

    @property
    def incidents(self) -> tuple[str, ...]:
        """Keys of the public incidents (:data:`sevlab.INCIDENTS`) that this resembles, the nearest first."""
        keys = list(self.explanation.incidents) if self.explanation is not None else []
        keys += [check.incident for check in self._told if check.incident]
        if self.wrong_block:
            keys.append("F46")
        return tuple(dict.fromkeys(keys))

    @property
    def _told(self) -> list[Check]:
        """The checks of the report that fail, or resemble an incident; its digest where a launch was not compared."""
        report = self.verdict.report if self.verdict is not None else None
        checks = [] if report is None else [check for check in report.checks if check.state == FAIL or check.incident]
        is_told = bool(self.refusal) or (self.verdict is not None and self.verdict.digest is not None)
        return [check for check in checks if not (is_told and check.name == "measurement")]

    @property
    def wrong_block(self) -> list[str]:
        """What is wrong with the ID block itself, by the names of its checks; another launch is not its fault."""
        block = self.verdict.id_block if self.verdict is not None else None
        return [name for name in block.failed if name != "launch digest"] if block is not None else []

    @property
    def status(self) -> str:
        """ "match", "found", "not_decided" or "unknown"."""
        if self.verdict is not None and self.verdict.matches and not self.refusal:
            return MATCH
        if self.incidents or self.explanation is not None:
            return FOUND
        undecided = self.verdict is not None and self.verdict.status == NOT_DECIDED and not self.refusal
        return NOT_DECIDED if undecided else UNKNOWN

    def as_dict(self) -> dict[str, Any]:
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
        tint = {MATCH: "green", FOUND: "orange"}.get(self.status, "pink")
        blocks: list[Any] = [Banner(self._words(), tint)]
        if self.refusal:
            blocks.append(Paragraph(f"With what was given there is no launch. {self.refusal}"))
        rows = [[what, state, note] for what, state, note in self._rows()]
        if rows:
            blocks.append(Table(["what is wrong", "state", "note"], rows, mono=[1]))
        if self.diagnosis is not None:
            blocks += [Heading("What explains it"), *self.diagnosis.explain().blocks]
        if self.incidents:
            told = [[key, INCIDENTS[key].title, INCIDENTS[key].lesson] for key in self.incidents]
            blocks += [Heading("Public incidents that this resembles"), Table(["", "title", "lesson"], told)]
        return View(*blocks)

    def _rows(self) -> list[tuple[str, str, str]]:
        """Return the checks that fail, and those that resemble an incident."""
        rows: list[tuple[str, str, str]] = []
        verdict = self.verdict
        if verdict is None:
            return rows
        rows += [(change.name, "changed", str(change)) for change in verdict.changed]
        if verdict.measure is not None and not verdict.measure.matches:
            rows.append(("measurement", "mismatch", "the computed measure is not the reported one"))
        if verdict.digest is not None and not verdict.digest.matches:
            both = (verdict.digest.reported, verdict.digest.computed)
            words = " is not ".join(f"{raw.hex()[:24]}..." for raw in both)
            rows.append(("launch digest", "mismatch", f"reported {words} computed"))
        rows += [(f"report: {check.name}", check.state, str(check.note)) for check in self._told]
        if verdict.id_block is not None:
            rows += [
                (f"ID block: {check.name}", f"fail: {check.status}" if check.status else "fail", check.note)
                for check in verdict.id_block.checks
                if check.name in verdict.id_block.failed
            ]
        return rows

    @property
    def answer(self) -> str:
        """What explains it, in a line; or else the checks that resemble an incident, or whatever is wrong."""
        if self.explanation is not None:
            return "; ".join(one.name for one in self.explanation.hypotheses)
        named = [f"report: {check.name}" for check in self._told if check.incident]
        return "; ".join(named or [what for what, _, _ in self._rows()])

    def _words(self) -> str:
        if self.status == MATCH:
            return "NOTHING IS WRONG: all that this case has was checked, and is as it must be"
        if self.status == FOUND:
            return f"FOUND: {self.answer}"
        if self.status == NOT_DECIDED and self.verdict is not None:
            return self.verdict.words
        return "NOT FOUND: this case does not validate, and nothing that was tried explains it"


@takes_keys
@opened_once()
def judge_case(
    given: str | Case,
    *,
    roots: Mapping[str, str] = ROOTS,
    at: datetime | str | None = None,
    keys: Mapping[str, str] | None = None,
    own: bool = False,
    names: Callable[[str], str] = as_written,
    **search: Any,
) -> Judgement:
    """Say what comes of a case, whatever it is about, and search for what explains it. Never raises on a mismatch.

    *given* is a case, or the path of a case file, a folder or a bundle. *roots* and *at* are those of
    :func:`sevlab.verify_report`. *keys* are the paths of ``tik`` and ``tek``, or ``tk``, where they are not in the
    case. *own* says that the case at a path is its user's own (see :class:`sevlab.Case`). *search* are options of
    :func:`sevlab.diagnose`: ``candidates``, ``budget``, ``max_changes``, ``progress``.

    Raises :class:`~sevlab.errors.InputError` for a case that cannot be used at all.
    """
    if isinstance(given, str):
        with open_case(given, own=own) as case:
            found = judge_case(case, roots=roots, at=at, keys=keys, names=names, **search)
            return _portable(found, case)
    case, refusal = given.replace(inputs={**given.inputs, **(keys or {})}), ""
    try:
        verdict: CaseVerdict | None = verify_case(given, roots=roots, at=at, names=names, **(keys or {}))
    except InputError as error:
        if not (case.is_snp and "firmware" in case.inputs):
            raise
        refusal = str(error)
        verdict = _without_launch(case, roots, at, names)
    if not refusal and (verdict is None or _is_right(verdict)):
        return Judgement(verdict, refusal, None, None)
    diagnosis = diagnose(case, names=names, **search)
    if isinstance(diagnosis, SnpDiagnosis) and verdict is not None and verdict.report is not None:
        diagnosis.notes = tuple(note for note in diagnosis.notes if note != UNCHECKED)  # it was checked above
    comparison = _compare(case, diagnosis.explanations[0]) if diagnosis.status == EXPLAINED else None
    return Judgement(verdict, refusal, diagnosis, comparison)


def _is_right(verdict: CaseVerdict) -> bool:
    """Say whether nothing was computed, or what was computed is what was reported."""
    return all(part is None or part.matches for part in (verdict.measure, verdict.digest))


def _without_launch(case: Case, roots: Any, at: Any, names: Callable[[str], str]) -> CaseVerdict | None:
    """Say what comes of the report alone, where no launch can be computed."""
    if "report" not in case.inputs:
        return None
    kept = {name: value for name, value in case.inputs.items() if name not in ("firmware", "id_block")}
    return verify_case(case.replace(inputs=kept, hashes={}), roots=roots, at=at, names=names)


def _compare(case: Case, explanation: Explanation) -> SnpComparison | Comparison | None:
    """Return what differs between the launch as it was given and the one that was found."""
    try:
        found = explanation.inputs
        if not case.is_snp:
            evidence = load_evidence(**case.part())
            return evidence.replace(**found).message.compare(evidence.message)
        return compare_snp_launch(*(load_snp_launch(**inputs) for inputs in (case.snp_launch | found, case.snp_launch)))
    except (UnsupportedError, InputError):
        return None  # what was found, or what was given, is no launch that inputs can say


def _portable(found: Judgement, case: Case) -> Judgement:
    """Name files as whoever made the case did: the folder into which a bundle was unpacked is gone."""
    if found.diagnosis is None:
        return found
    paths = {str(case.inputs[name]): _file_name(case, name) for name in case.hashes if name in case.inputs}

    def told(value: Any) -> Any:
        for path, name in paths.items():
            value = value.replace(path, name) if isinstance(value, str) else value
        return value

    diagnosis = found.diagnosis
    diagnosis.explanations = tuple(
        one._replace(
            changes=tuple(change._replace(given=told(change.given), found=told(change.found)) for change in one.changes)
        )
        for one in diagnosis.explanations
    )
    return found


def _file_name(case: Case, name: str) -> str:
    """Return what a file was called before it was packed, or else its path within the bundle."""
    words = case.origin.get(name, "")
    if words.startswith("the file "):
        return words.removeprefix("the file ")
    return os.path.basename(str(case.inputs[name]))
