"""Verify a case: its files, its launch, its report, its ID block, and the explanation that it carries."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..attestation.advisories import (
    Advice,
    judge,
    likely_product,
    platform_of_launch,
    platform_of_numbers,
    platform_of_report,
)
from ..attestation.certificates import FILES, load_certificates
from ..attestation.id_block import IdBlockVerdict, load_id_block, verify_id_block
from ..attestation.report import ReportVerdict, load_report, verify_report
from ..attestation.requirements import parse_requirements
from ..errors import InputError, SevlabError, checked, named
from ..formats.policy import Policy
from ..formats.vcek import ROOTS
from ..launch.evidence import load_evidence, takes_keys
from ..launch.inputs import KEYS, REPORTED, Sha256, Trust
from ..launch.keys import SecretBytes
from ..launch.reading import opened_once
from ..launch.snp import load_snp_launch
from ..launch.verify import MATCH, MISMATCH, NOT_DECIDED, UNUSABLE, Check, Verdict, compare_measure
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Paragraph, Quote, Table, View, hex_lines
from .capture import in_cell
from .case import ABOUT, BY_NAME, BYTES, FILE, KEY, LOADED, MODES, SNP, Case, Change, Row, with_registers

if TYPE_CHECKING:
    from ..formats.report import Report
    from ..layout.views import Block
    from .case import Value

#: The outcomes of checking the explanation in a case, and how to say them.
HOLDS, FAILS, NOT_COMPUTED, WORDS, NONE = "holds", "does not hold", "cannot be computed", "in words only", "none"
_EXPLAINED = {
    HOLDS: ("orange", "THE EXPLANATION HOLDS: with the inputs found, the computed value is the reported one"),
    FAILS: ("pink", "THE EXPLANATION DOES NOT HOLD: with the inputs found, the computed value still differs"),
    NOT_COMPUTED: ("pink", "THE EXPLANATION CANNOT BE COMPUTED"),
    WORDS: ("grey", "The explanation is in words only, so it was not computed"),
}
#: The name of a file in a bundle, and how many characters of it are shown beside a list of the whole names.
_IN_BUNDLE, _BLOB = re.compile("blobs/[0-9a-f]{64}"), 18


@dataclass(frozen=True)
class DigestCheck:
    """The launch digest of SEV-SNP (48 bytes), reported and computed."""

    reported: bytes
    computed: bytes
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def matches(self) -> bool:
        return self.reported == self.computed

    @property
    def status(self) -> str:
        """ "match" or "mismatch", of the two digests alone: who reported the one is not checked here."""
        return MATCH if self.matches else MISMATCH

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-ready data."""
        both = {"reported": self.reported.hex(), "computed": self.computed.hex()}
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {"status": self.status, **both, "warnings": list(self.warnings), **notes}

    def explain(self) -> View:
        """Show both."""
        words = f"{'OK' if self.matches else 'ERROR'}: the computed launch digest is {'' if self.matches else 'not '}"
        rows = [["reported", hex_lines(self.reported)], ["computed", hex_lines(self.computed)]]
        return View(
            Banner(f"{words}the reported one", "green" if self.matches else "pink"),
            Table(["launch digest", "48 bytes"], rows, mono=[1]),
            *(Paragraph(f"WARNING: {warning}.") for warning in self.warnings),
            *(Paragraph(f"NOTE: {note}.") for note in self.notes),
        )


@dataclass(frozen=True, eq=False, repr=False)
class CaseVerdict(Explainable):
    """The result of :func:`verify_case`. A part is None where the case is not about it."""

    case: Case
    #: Files that are not the recorded ones.
    changed: Sequence[Change]
    #: What is taken on the case's own word.
    trust: Trust
    #: The verdict about a measurement of SEV or SEV-ES.
    measure: Verdict | None = None
    #: The comparison of launch digests of SEV-SNP.
    digest: DigestCheck | None = None
    report: ReportVerdict | None = None
    id_block: IdBlockVerdict | None = None
    #: "holds", "does not hold", "cannot be computed", "in words only" or "none"; ``why`` says more.
    explanation: str = NONE
    why: str = ""
    #: What was not checked.
    notes: Sequence[str] = ()
    #: The evidence without which nothing is decided.
    missing: Sequence[str] = ()

    @property
    def parts(self) -> dict[str, Verdict | DigestCheck | ReportVerdict | IdBlockVerdict]:
        """The verdicts that there are, by their headings."""
        parts = {
            "The measurement": self.measure,
            "The launch digest": self.digest,
            "The report": self.report,
            "The ID block": self.id_block,
        }
        return {title: part for title, part in parts.items() if part is not None}

    @property
    def matches(self) -> bool:
        """True when no file has changed, nothing is missing, and every check passed."""
        return self.status == MATCH

    @property
    def status(self) -> str:
        """ "match", "mismatch", "not_decided", or "unusable": a genuine report, and the ID block of another launch.

        That contradicts itself: the report shows that the launch went through, and this block would have stopped it. It
        is no mismatch, because without the block nothing would be wrong.
        """
        block, changed = None, [change.name for change in self.changed]
        genuine = self.report is not None and self.report.matches
        if genuine and self.id_block is not None and (self.id_block.failed or "id_block" in changed):
            block, changed = self.id_block, [name for name in changed if name != "id_block"]
        states = [part.status for part in self.parts.values() if part is not block]
        if changed or MISMATCH in states:
            return MISMATCH
        if block is not None:
            return UNUSABLE
        return NOT_DECIDED if self.missing or NOT_DECIDED in states else MATCH

    @property
    def not_asked(self) -> list[str]:
        """Possible requirements of the report that nobody gave."""
        return self.report.not_asked if self.report is not None else []

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-ready data; keys never appear."""
        parts = {"measure": self.measure, "digest": self.digest, "report": self.report, "id-block": self.id_block}
        return {
            "status": self.status,
            "mode": self.case.mode,
            "changed": [str(change) for change in self.changed],
            **{name: None if part is None else part.as_dict() for name, part in parts.items()},
            "explanation": {"status": self.explanation, "why": self.why},
            "notes": list(self.notes),
            "missing": list(self.missing),
            "not_asked": self.not_asked,
            "trusted_from_case": list(self.trust.names),
        }

    def explain(self) -> View:
        """Show the verdict first, then each part of it."""
        blocks: list[Block] = [Banner(self.words, "green" if self.matches else "pink")]
        if self.explanation != NONE:
            colour, words = _EXPLAINED[self.explanation]
            theirs = self.why == self.case.about.get("explanation")
            blocks += [Banner(words, colour), Quote("The case says:", self.why) if theirs else Paragraph(self.why)]
        blocks += [Paragraph(f"CHANGED: {change}.") for change in self.changed]
        blocks += [Paragraph(f"NOT CHECKED: {note}.") for note in self.notes]
        if self.not_asked:
            blocks.append(Paragraph(f"NOT ASKED: {', '.join(self.not_asked)}."))
        for title, part in self.parts.items():
            banner, *rest = part.explain().blocks
            blocks += [Heading(title), *([] if part is self.measure and not self.changed else [banner]), *rest]
        return View(*blocks)

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.changed:
            return f"ERROR: files of this case that are not the recorded ones: {len(self.changed)}"
        if self.status == UNUSABLE:
            return "UNUSABLE: the report is of a launch that went through, the ID block is of another one"
        if self.measure is not None:
            return self.measure.words
        if self.status == MISMATCH:
            return "ERROR: this case does not validate"
        if self.report is not None and (self.status == MATCH or not self.missing):
            return self.report.words
        if self.report is not None and self.report.missing:
            known = "who made the report was not checked"
        elif self.report is not None:
            known = "the launch that the case describes was not computed"
        elif self.digest is not None:
            known = "the computed launch digest is the reported one, whoever reported it"
        else:
            known = "whether the firmware took this ID block is not known"
        return f"NOT DECIDED: {known}; missing: {', '.join(self.missing)}"


@takes_keys
@opened_once()
@checked
def verify_case(
    case: Case, *, roots: Mapping[str, str] = ROOTS, at: datetime | str | None = None, **keys: Any
) -> CaseVerdict:
    """Verify a case, with its files as they are now. Never raises on a mismatch.

    SEV and SEV-ES: the measurement is validated; *keys* are ``tik`` and ``tek``, or ``tk``, if the case lacks them
    or is somebody else's bundle. SEV-SNP: the launch digest, the report and the ID block are verified, as far as
    the case has them; *roots* and *at* are those of :func:`sevlab.verify_report`. Then the explanation is computed
    again. A case matches only with all the evidence (a measurement and a key of one's own, or a report with its
    certificates and a measurement to compare); if anything is missing, the verdict names it and is not decided.

    Raises :class:`~sevlab.errors.InputError` for inputs that cannot be used, and for a case without anything to check.
    """
    changed, trust = tuple(case.changed), case.trust(keys)
    if not case.is_snp:
        for name in case.part(SNP):
            raise InputError(name, f"it in a case of {MODES.get(case.mode, 'SEV')}", "a case of SEV-SNP, or none of it")
        measure = _compare_measure(case, keys, trust)
        explanation, why = _check_explanation(case, keys)
        return CaseVerdict(case, changed, trust, measure, explanation=explanation, why=why)
    trust, report = case.trust(sections=SNP), _load_report(case)
    digest = _compare_digest(case, report)
    verdict, note = None, ""
    if report is not None:
        verdict = _verify_report(case, report, digest, trust, roots=roots, at=at)
        if not set(FILES) & set(case.inputs):
            note = "who made the report: the case has no certificates"
    elif digest is not None:
        note = "who reported the measurement: the case has no report, so nothing is signed"
    id_block = _verify_id_block(case, report)
    if digest is None and verdict is None and id_block is None:
        needed = "a launch, and a report or its measurement, or an ID block"
        raise InputError("case", f"no {needed}", needed, "sevlab case show prints what is in it")
    missing = ["a report with its certificates"] if verdict is None else verdict.missing
    if "firmware" not in case.inputs and LOADED & set(case.inputs):
        missing = [*missing, "the firmware"]
    explanation, why = _check_explanation(case, keys)
    notes = (note,) * bool(note)
    return CaseVerdict(case, changed, trust, None, digest, verdict, id_block, explanation, why, notes, tuple(missing))


def advise_case(case: Case, *, product: str | None = None, accept: Iterable[str] = ()) -> Advice:
    """List known vulnerabilities of a case's platform: by its report, or by version and policy of its launch.

    *product* and *accept* are those of :func:`sevlab.attestation.advisories.advise`. Raises
    :class:`~sevlab.errors.InputError` for a case with neither, and for files that cannot be read.
    """
    given = case.part((*SNP, "reported"))
    if (report := _load_report(case)) is not None:
        leaf = load_certificates(**{name: given.get(name) for name in FILES}).leaf(report.key_info.signer)
        signed = "" if leaf is None else likely_product(report, leaf.product)
        platform = platform_of_report(report, product or signed)
    elif case.is_snp and "snp_policy" in given:
        platform = platform_of_numbers(product or None, policy=given["snp_policy"], technology="snp")
    elif not case.is_snp and set(REPORTED[1:]) <= set(given):
        major, minor, build, policy = (given[name] for name in REPORTED[1:])
        platform = platform_of_launch((major, minor, build), Policy(policy), product or "")
    else:
        needed = "one with a report, or with api-major, api-minor, build-id and policy"
        raise InputError("case", "one that does not describe the platform", needed)
    return judge(platform, accept)


def _compare_measure(case: Case, keys: Mapping[str, Value], trust: Trust | None = None) -> Verdict:
    inputs, _ = case.merged(keys)
    if not set(KEYS) & set(inputs):
        needed = f"{named('tk')}, or {named('tik')} and {named('tek')}, since the case comes without keys"
        raise InputError("tk", "nothing", needed)
    evidence = load_evidence(trust=trust or Trust(), **with_registers(inputs))
    evidence.refuse_keys()
    return compare_measure(evidence)


def _load_report(case: Case) -> Report | None:
    report = load_report(str(case.inputs["report"]), "report") if "report" in case.inputs else None
    if report is not None and case.reported_measurement not in (None, report.measurement):
        raise InputError("reported_measurement", "another one than the report has", "the report's, or none")
    return report


def _compare_digest(case: Case, report: Report | None) -> DigestCheck | None:
    """Compare the launch digest that the report, or else the host alone, gives with the computed one."""
    reported = case.reported_measurement if report is None else bytes(report.measurement)
    if reported is None:
        return None
    if "firmware" in case.inputs:
        launch = load_snp_launch(**case.snp_launch)
        return DigestCheck(reported, launch.digest, launch.warnings, launch.notes)
    if "snp_measurement" in case.inputs and report is None:
        required = parse_requirements(measurement=case.inputs["snp_measurement"]).measurement
        return None if required is None else DigestCheck(reported, required)
    return None


def _verify_report(
    case: Case,
    report: Report,
    digest: DigestCheck | None,
    trust: Trust,
    **how: Any,  # roots and at
) -> ReportVerdict:
    given = {name.removeprefix("snp_"): value for name, value in case.part(SNP).items() if name != "report"}
    certificates = load_certificates(**{name: given.pop(name) for name in FILES if name in given})
    if digest is not None:
        given.setdefault("measurement", digest.computed)
    return verify_report(report, certificates, trust=trust._replace(wants=digest is not None), **how, **given)


def _verify_id_block(case: Case, report: Report | None) -> IdBlockVerdict | None:
    """Check an ID block against the reported launch, or else against the computed one."""
    if "id_block" not in case.inputs:
        return None
    measurement = case.reported_measurement if report is None else bytes(report.measurement)
    if measurement is None and "firmware" in case.inputs:
        measurement = load_snp_launch(**case.snp_launch).digest
    policy = case.part(SNP).get("snp_policy", None if report is None else int(report.policy))
    signed, shown = load_id_block(str(case.inputs["id_block"]), name="id_block"), None
    if report is not None and any(report.id_key_digest):
        shown = report.key_info.author_key_en == 1
    verdict = verify_id_block(signed, measurement, policy, author_key_enabled=shown)
    if shown is not None and (other := [n for n, value in verdict.reported.items() if getattr(report, n) != value]):
        verdict.checks.append(Check("report", MISMATCH, f"it shows another {', '.join(other)}: another ID block's"))
    return verdict


def _check_explanation(case: Case, keys: Mapping[str, Value]) -> tuple[str, str]:
    """Compute the explanation again; return the outcome, and a sentence more."""
    words, explained = case.about.get("explanation", ""), case.explained
    if not case.found:
        return (WORDS, words) if words else (NONE, "")
    found: DigestCheck | Verdict | None
    try:
        snp = case.is_snp
        found = _compare_digest(explained, _load_report(explained)) if snp else _compare_measure(explained, keys)
    except SevlabError as error:
        return NOT_COMPUTED, str(error)
    if found is None:
        return NOT_COMPUTED, "The case has no reported value, or nothing to compute from."
    return (HOLDS if found.matches else FAILS), words or "It has inputs only, and no words."


@checked
def explain_case(case: Case, sizes: Mapping[str, int] | None = None) -> View:
    """Show everything in a case: what it is about, every input with its origin, every file, and the explanation.

    *sizes* are the bytes of its files by SHA-256 (hex), if the files are in a bundle.
    """
    about = MODES.get(case.mode, "an unknown mode: it has no mode, no policy, no report")
    blocks: list[Block] = [Banner(f"A case of {about}", "grey")]
    if case.about:
        rows = [[row.key, case.about[row.name]] for row in ABOUT if row.name in case.about]
        blocks += [Heading("About, in the words of the case"), Table(["what", "words"], rows)]
    known = {name: _value(BY_NAME[name], value) for name, value in case.inputs.items()}
    known |= {name: "not in the case" for name in BY_NAME if name in case.origin and name not in known}
    rows = [[BY_NAME[name].key, value, case.origin.get(name, "")] for name, value in known.items()]
    blocks += [Heading("Inputs"), Table(["input", "value", "where from, as the case says"], rows, mono=[0, 1])]
    files = [
        [BY_NAME[name].key, _size(path) if sizes is None else str(sizes[sha256]), sha256]
        for name, path, sha256 in case.recorded
    ]
    if files:
        blocks += [Heading("Files"), Table(["for", "bytes", "SHA-256"], files, mono=[0, 1, 2])]
    if case.found:
        pairs = {BY_NAME[name]: (case.inputs.get(name), value) for name, value in case.found.items()}
        rows = [[row.key, *(_value(row, value) for value in pair)] for row, pair in pairs.items()]
        words = "With the inputs found instead of those given, the computed value should be the reported one:"
        table = Table(["input", "given", "found"], rows, mono=[0, 1, 2])
        blocks += [Heading("Explanation"), Paragraph(words), table]
    if any(BY_NAME[name].kind == KEY for name in case.inputs):
        blocks.append(Paragraph("Key files are named above, and were not read."))
    return View(*blocks)


def case_as_dict(case: Case) -> dict[str, object]:
    """Return a case as JSON-ready data; bytes are lower-case hex, keys never appear."""

    def plain(inputs: Mapping[str, Value | None], hashes: dict[str, str]) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, value in inputs.items():
            shown: object = value.hex() if isinstance(value, bytes) else value
            if isinstance(value, Sha256):
                shown = {"sha256": shown}
            elif name in hashes:
                shown = {"path": value, "sha256": hashes[name]}
            made[BY_NAME[name].key] = repr(value) if isinstance(value, SecretBytes) else shown
        return made

    return {
        "mode": case.mode,
        "about": {row.key: case.about[row.name] for row in ABOUT if row.name in case.about},
        "inputs": plain(case.inputs, case.hashes),
        "found": plain(case.found, case.found_hashes),
        "origin": {BY_NAME[name].key: words for name, words in case.origin.items()},
    }


def _value(row: Row, value: Value | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, bytes):
        return _broken(value.hex() if row.kind == BYTES else f"SHA-256 {value.hex()}")
    if isinstance(value, int) and not isinstance(value, bool) and value > 9:
        return f"{value} (0x{value:x})"
    text = str(value)
    return f"{text[:_BLOB]}..." if row.kind in (FILE, KEY) and _IN_BUNDLE.fullmatch(text) else _broken(text)


def _size(path: str) -> str:
    try:
        return str(os.path.getsize(path))
    except (OSError, ValueError):
        return "not there"


def _broken(text: str) -> str:
    return in_cell(text, 48) or "''"
