"""What comes of a case: its files, its launch, its report, and the explanation that it carries, each by itself."""

from __future__ import annotations

from collections import namedtuple

from ..arguments import checked
from ..errors import InputError, SevlabError
from ..evidence import KEYS, as_written, load_evidence
from ..formats.vcek import ROOTS
from ..layout.page import Banner, Heading, Paragraph, Table, View, hex_lines
from ..layout.shown import Shown
from ..report import FILES, load_certificates, load_report, verify_report
from ..snp import load_snp_launch
from ..verify import BAD, GOOD, compare_measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from ..case import Case, Change
    from ..idblock import IdBlockVerdict
    from ..layout.page import Block
    from ..report import ReportVerdict
    from ..verify import Verdict

MATCH, MISMATCH = "match", "mismatch"
#: What can be said of the explanation in a case.
HOLDS, FAILS, UNUSABLE, WORDS, NONE = "holds", "does not hold", "cannot be computed", "in words only", "none"
#: How the sentence about an explanation goes.
_EXPLAINED = {
    HOLDS: "THE EXPLANATION HOLDS: with the inputs found, the computed value is the reported one",
    FAILS: "THE EXPLANATION DOES NOT HOLD: with the inputs found, the computed value is still not the reported one",
    UNUSABLE: "THE EXPLANATION CANNOT BE COMPUTED",
    WORDS: "The explanation is in words only, so it was not computed",
}


class DigestCheck(namedtuple("DigestCheck", "reported computed warnings")):
    """The launch digest of SEV-SNP (48 bytes), as a report tells it, and as it follows from the inputs."""

    __slots__ = ()

    @property
    def matches(self) -> bool:
        """Whether both are the same."""
        return bool(self.reported == self.computed)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        status = MATCH if self.matches else MISMATCH
        both = {"reported": self.reported.hex(), "computed": self.computed.hex()}
        return {"status": status, **both, "warnings": list(self.warnings)}

    def explain(self) -> View:
        """Show both."""
        words = "OK: the computed launch digest is the reported one"
        if not self.matches:
            words = "ERROR: the computed launch digest is not the reported one"
        rows = [["reported", hex_lines(self.reported)], ["computed", hex_lines(self.computed)]]
        return View(
            Banner(words, "green" if self.matches else "pink"),
            Table(["launch digest", "48 bytes"], rows, mono=[1]),
            *(Paragraph(f"WARNING: {warning}.") for warning in self.warnings),
        )


class CaseVerdict(Shown):
    """What comes of a case. Made by :func:`verify_case`.

    ``changed`` are files that are not the recorded ones. ``measure`` is the verdict about a measurement of SEV or
    SEV-ES, ``digest`` the comparison of launch digests of SEV-SNP, ``report`` the verdict about a report, ``id_block``
    that about an ID block; each is None where the case is not about it. ``explanation`` is "holds", "does not hold",
    "cannot be computed", "in words only" or "none", ``why`` says more. ``notes`` are what was not checked.
    """

    def __init__(
        self,
        case: Case,
        changed: Sequence[Change],
        measure: Verdict | None,
        digest: DigestCheck | None,
        report: ReportVerdict | None,
        explanation: str,
        why: str,
        notes: Sequence[str],
        id_block: IdBlockVerdict | None = None,
    ) -> None:
        self.case, self.changed, self.measure, self.digest, self.report = case, tuple(changed), measure, digest, report
        self.explanation, self.why, self.notes = explanation, why, tuple(notes)
        self.id_block = id_block

    @property
    def parts(self) -> list[Any]:
        """The verdicts that there are."""
        return [part for part in (self.measure, self.digest, self.report, self.id_block) if part is not None]

    @property
    def matches(self) -> bool:
        """True when no file has changed and everything that was checked is as it must be."""
        return not self.changed and all(part.matches for part in self.parts)

    @property
    def status(self) -> str:
        """ "match" or "mismatch"."""
        return MATCH if self.matches else MISMATCH

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data; keys never appear."""

        def data(part: Any) -> Any:
            return None if part is None else part.as_dict()

        return {
            "status": self.status,
            "mode": self.case.mode,
            "changed": [str(change) for change in self.changed],
            "measure": data(self.measure),
            "digest": data(self.digest),
            "report": data(self.report),
            "id-block": data(self.id_block),
            "explanation": {"status": self.explanation, "why": self.why},
            "notes": list(self.notes),
        }

    def explain(self) -> View:
        """Show the answer first, then each part of it."""
        blocks: list[Block] = [Banner(self._words(), "green" if self.matches else "pink")]
        if self.explanation != NONE:
            tint = {HOLDS: "orange", WORDS: "grey"}.get(self.explanation, "pink")
            blocks.append(Banner(_EXPLAINED[self.explanation], tint))
            blocks.append(Paragraph(self.why))
        blocks += [Paragraph(f"CHANGED: {change}.") for change in self.changed]
        blocks += [Paragraph(f"NOT CHECKED: {note}.") for note in self.notes]
        for part in self.parts:
            banner, *rest = part.explain().blocks
            blocks += [Heading(_title(part)), *([] if part is self.measure and not self.changed else [banner]), *rest]
        return View(*blocks)

    def _words(self) -> str:
        if self.changed:
            return f"ERROR: {len(self.changed)} files of this case are not the recorded ones"
        if self.measure is not None:
            return GOOD if self.matches else BAD
        if not self.matches:
            return "ERROR: this case does not validate"
        if self.digest is None and self.report is None:
            return "OK: the firmware would take this ID block"
        if self.report is None:
            return "OK: the computed launch digest is the reported one, whoever reported it"
        return "OK: the report is genuine, and says what it must"


@checked
def verify_case(
    case: Case,
    *,
    roots: Mapping[str, str] = ROOTS,
    at: datetime | str | None = None,
    names: Callable[[str], str] = as_written,
    **keys: Any,
) -> CaseVerdict:
    """Say what comes of a case, with its files as they are now. Never raises on what does not match.

    A case of SEV or SEV-ES is validated; *keys* are ``tik`` and ``tek``, or ``tk``, where they are not in it. Of a case
    of SEV-SNP the launch digest is computed and compared, its report is verified, and its ID block, as far as it has
    them; *roots*
    and *at* are those of :func:`sevlab.verify_report`. Last, the explanation in the case is computed again. *names*
    turns an input's name into what its user calls it.

    Raises :class:`~sevlab.errors.InputError` for inputs that cannot be used, and for a case without anything to check.
    """
    notes: list[str] = []
    changed = case.changed
    measure = digest = report = id_block = None
    if case.is_snp:
        digest = _compare_digest(case, names)
        report = _verify_report(case, digest, roots, at, names, notes)
        id_block = _verify_id_block(case, digest, names)
        if digest is None and report is None and id_block is None:
            needed = "a launch, and a report or its measurement, or an ID block"
            raise InputError("case", f"no {needed}", needed, "sevlab case show tells what is in it")
    else:
        measure = _compare_measure(case, names, keys)
    return CaseVerdict(case, changed, measure, digest, report, *_check_explanation(case, names, keys), notes, id_block)


def _compare_measure(case: Case, names: Callable[[str], str], keys: Mapping[str, Any]) -> Verdict:
    inputs, _ = case.merged(keys)
    if not set(KEYS) & set(inputs):
        needed = f"{names('tk')}, or {names('tik')} and {names('tek')}, since the case comes without keys"
        raise InputError(names("tk"), "nothing", needed)
    return compare_measure(load_evidence(names=names, **inputs))


def _compare_digest(case: Case, names: Callable[[str], str]) -> DigestCheck | None:
    reported = case.inputs.get("reported_measurement")
    if "report" in case.inputs:
        reported = load_report(case.inputs["report"], names("report")).measurement
    if reported is None:
        return None
    if "firmware" in case.inputs:
        launch = load_snp_launch(names, **case.snp_launch)
        return DigestCheck(reported, launch.digest, launch.warnings)
    if "snp_measurement" in case.inputs and "report" not in case.inputs:
        from ..report import parse_wanted

        return DigestCheck(reported, parse_wanted(measurement=case.inputs["snp_measurement"]).measurement, ())
    return None


def _verify_report(
    case: Case,
    digest: DigestCheck | None,
    roots: Mapping[str, str],
    at: datetime | str | None,
    names: Callable[[str], str],
    notes: list[str],
) -> ReportVerdict | None:
    from ..case import SNP

    given = {name.removeprefix("snp_"): value for name, value in case.part(SNP).items()}
    path = given.pop("report", None)
    if path is None and digest is None:
        return None
    if path is None:
        notes.append("who says so: the case has no report, only a measurement without a signature")
        return None
    files = {name: given.pop(name) for name in FILES if name in given}
    if not files:
        notes.append("who made the report: the case has no certificates")
        if digest is not None and not given:
            return None
    if digest is not None:
        given.setdefault("measurement", digest.computed)
    report = load_report(path, names("report"))
    return verify_report(report, load_certificates(names, **files), roots=roots, at=at, names=names, **given)


def _verify_id_block(case: Case, digest: DigestCheck | None, names: Callable[[str], str]) -> IdBlockVerdict | None:
    """Check an ID block against the launch that was reported, or else against the one that is computed."""
    if "id_block" not in case.inputs:
        return None
    from ..idblock import load_id_block, verify_id_block

    measurement = None if digest is None else digest.reported
    if measurement is None and "firmware" in case.inputs:
        measurement = load_snp_launch(names, **case.snp_launch).digest
    policy = case.inputs.get("snp_policy")
    if policy is None and "report" in case.inputs:
        policy = int(load_report(case.inputs["report"], names("report")).policy)
    signed = load_id_block(str(case.inputs["id_block"]), name=names("id_block"))
    return verify_id_block(signed, measurement, policy)


def _check_explanation(case: Case, names: Callable[[str], str], keys: Mapping[str, Any]) -> tuple[str, str]:
    """Compute the explanation again; return what comes of it, and a sentence more."""
    told = case.about.get("explanation", "")
    if not case.found:
        return (WORDS, told) if told else (NONE, "")
    explained = case.explained
    try:
        found = _compare_digest(explained, names) if case.is_snp else _compare_measure(explained, names, keys)
    except SevlabError as error:
        return UNUSABLE, str(error)
    if found is None:
        return UNUSABLE, "The case has nothing that was reported, or nothing to compute from."
    return (HOLDS if found.matches else FAILS), told or "It is told in inputs only."


def _title(part: Any) -> str:
    if isinstance(part, DigestCheck):
        return "The launch digest"
    if hasattr(part, "refusal"):
        return "The ID block"
    return "The report" if hasattr(part, "genuine") else "The measurement"
