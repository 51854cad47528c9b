"""What comes of a case: its files, its launch, its report, and the explanation that it carries, each by itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ..attestation.advisories import judge, likely_product, platform_of_launch, platform_of_numbers, platform_of_report
from ..attestation.certificates import FILES, load_certificates
from ..attestation.id_block import IdBlockVerdict, load_id_block, verify_id_block
from ..attestation.report import ReportVerdict, verify_report
from ..attestation.report_file import load_report
from ..attestation.requirements import parse_requirements
from ..errors import InputError, SevlabError, named, quoted
from ..formats.policy import Policy
from ..formats.vcek import ROOTS
from ..launch.evidence import KEYS, Trust, load_evidence, takes_keys
from ..launch.files import Sha256
from ..launch.inputs import INPUTS, SNP_INPUTS
from ..launch.keys import Secret
from ..launch.reading import opened_once
from ..launch.snp import load_snp_launch
from ..launch.verify import MATCH, MISMATCH, NOT_DECIDED, UNUSABLE, compare_measure
from ..layout.arguments import checked
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Paragraph, Quote, Table, View, hex_lines
from .case import ABOUT, BY_NAME, BYTES, FILE, KEY, MODES, ROWS, SNP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from ..attestation.advisories import Advice
    from ..launch.verify import Verdict
    from ..layout.views import Block
    from .case import Case, Change, Row


#: What can be said of the explanation in a case.
HOLDS, FAILS, NOT_COMPUTED, WORDS, NONE = "holds", "does not hold", "cannot be computed", "in words only", "none"

_NOTHING = Trust()

#: What describes a launch of SEV-SNP, which cannot be computed without a firmware.
_LAUNCHED = {*INPUTS, *SNP_INPUTS, "cpu_signature"}

#: How the sentence about an explanation goes.
_EXPLAINED = {
    HOLDS: "THE EXPLANATION HOLDS: with the inputs found, the computed value is the reported one",
    FAILS: "THE EXPLANATION DOES NOT HOLD: with the inputs found, the computed value is still not the reported one",
    NOT_COMPUTED: "THE EXPLANATION CANNOT BE COMPUTED",
    WORDS: "The explanation is in words only, so it was not computed",
}


@dataclass(frozen=True)
class DigestCheck:
    """The launch digest of SEV-SNP (48 bytes), as a report tells it, and as it follows from the inputs."""

    reported: bytes
    computed: bytes
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def matches(self) -> bool:
        """Whether both are the same."""
        return self.reported == self.computed

    @property
    def status(self) -> str:
        """ "match" or "mismatch": of the two digests alone, whoever reported the one."""
        return MATCH if self.matches else MISMATCH

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        both = {"reported": self.reported.hex(), "computed": self.computed.hex()}
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {"status": self.status, **both, "warnings": list(self.warnings), **notes}

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
            *(Paragraph(f"NOTE: {note}.") for note in self.notes),
        )


@dataclass(frozen=True, eq=False, repr=False)
class CaseVerdict(Explainable):
    """What :func:`verify_case` found. A part is None where the case is not about it."""

    case: Case
    #: Files that are not the recorded ones.
    changed: Sequence[Change]
    #: The verdict about a measurement of SEV or SEV-ES.
    measure: Verdict | None
    #: The comparison of launch digests of SEV-SNP.
    digest: DigestCheck | None
    report: ReportVerdict | None
    id_block: IdBlockVerdict | None
    #: "holds", "does not hold", "cannot be computed", "in words only" or "none"; ``why`` says more.
    explanation: str
    why: str
    #: What was not checked.
    notes: Sequence[str]
    #: The evidence without which nothing is decided.
    missing: Sequence[str]
    #: What is taken on the case's own word.
    trust: Trust

    @property
    def parts(self) -> list[Any]:
        """The verdicts that there are."""
        return [part for part in (self.measure, self.digest, self.report, self.id_block) if part is not None]

    @property
    def matches(self) -> bool:
        """True when no file has changed, nothing is missing, and everything that was checked is as it must be."""
        return self.status == MATCH

    @property
    def status(self) -> str:
        """ "match", "mismatch", "not_decided", or "unusable": a genuine report, and the ID block of another launch."""
        block = self.id_block if self._is_of_another_launch else None
        changed = [change for change in self.changed if block is None or change.name != "id_block"]
        if changed or any(part.status == MISMATCH for part in self.parts if part is not block):
            return MISMATCH
        if block is not None:
            return UNUSABLE
        return NOT_DECIDED if self.missing or any(part.status == NOT_DECIDED for part in self.parts) else MATCH

    @property
    def _is_of_another_launch(self) -> bool:
        """Whether a genuine report shows that the launch went through, and the ID block would have stopped it.

        Then the case contradicts itself. It is no mismatch: without the block there would be nothing wrong.
        """
        if self.report is None or not self.report.matches or self.id_block is None:
            return False
        return bool(self.id_block.failed) or "id_block" in [change.name for change in self.changed]

    @property
    def not_asked(self) -> list[str]:
        """What might have been required of the report, and was not."""
        return self.report.not_asked if self.report is not None else []

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
            "missing": list(self.missing),
            "not_asked": self.not_asked,
            "trusted_from_case": list(self.trust.names),
        }

    def explain(self) -> View:
        """Show the answer first, then each part of it."""
        blocks: list[Block] = [Banner(self.words, "green" if self.matches else "pink")]
        if self.explanation != NONE:
            colour = {HOLDS: "orange", WORDS: "grey"}.get(self.explanation, "pink")
            blocks.append(Banner(_EXPLAINED[self.explanation], colour))
            theirs = self.why == self.case.about.get("explanation")
            blocks.append(Quote("The case says:", self.why) if theirs else Paragraph(self.why))
        blocks += [Paragraph(f"CHANGED: {change}.") for change in self.changed]
        blocks += [Paragraph(f"NOT CHECKED: {note}.") for note in self.notes]
        if self.not_asked:
            blocks.append(Paragraph(f"NOT ASKED: {', '.join(self.not_asked)}."))
        for part in self.parts:
            banner, *rest = part.explain().blocks
            blocks += [Heading(_title(part)), *([] if part is self.measure and not self.changed else [banner]), *rest]
        return View(*blocks)

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.status == UNUSABLE:
            return "UNUSABLE: the report is of a launch that went through, the ID block is of another one"
        if self.changed:
            return f"ERROR: {len(self.changed)} files of this case are not the recorded ones"
        if self.measure is not None:
            return self.measure.words
        if self.status == MISMATCH:
            return "ERROR: this case does not validate"
        if self.report is not None and (self.status == MATCH or not self.missing):
            return self.report.words
        return f"NOT DECIDED: {self._so_far}; missing: {', '.join(self.missing)}"

    @property
    def _so_far(self) -> str:
        """What is known where not all is."""
        if self.report is not None and self.report.missing:
            return "who made the report was not checked"
        if self.report is not None:
            return "the launch that the case describes was not computed"
        if self.digest is not None:
            return "the computed launch digest is the reported one, whoever reported it"
        return "whether the firmware took this ID block is not known"


@takes_keys
@opened_once()
@checked
def verify_case(
    case: Case,
    *,
    roots: Mapping[str, str] = ROOTS,
    at: datetime | str | None = None,
    **keys: Any,
) -> CaseVerdict:
    """Say what comes of a case, with its files as they are now. Never raises on what does not match.

    A case of SEV or SEV-ES is validated; *keys* are ``tik`` and ``tek``, or ``tk``, where they are not in it, or are
    those of a stranger's bundle. Of a case of SEV-SNP the launch digest is computed and compared, its report is
    verified, and its ID block, as far as it has them; *roots* and *at* are those of :func:`sevlab.verify_report`. Last,
    the explanation in the case is computed again.

    Only a case with all the evidence matches: a measurement and a key that is not a stranger's, or a report with its
    certificates and a measurement to compare. Whatever is missing is told, and then it is not decided.

    Raises :class:`~sevlab.errors.InputError` for inputs that cannot be used, and for a case without anything to check.
    """
    notes: list[str] = []
    missing: list[str] = []
    changed = case.changed
    measure = digest = report = id_block = None
    trust = case.trust(keys)
    if case.is_snp:
        trust = case.trust(sections=SNP)
        digest = _compare_digest(case)
        report = _verify_report(case, digest, roots, at, notes, trust)
        id_block = _verify_id_block(case)
        if digest is None and report is None and id_block is None:
            needed = "a launch, and a report or its measurement, or an ID block"
            raise InputError("case", f"no {needed}", needed, "sevlab case show tells what is in it")
        missing += ["a report with its certificates"] if report is None else report.missing
        if "firmware" not in case.inputs and _LAUNCHED & set(case.inputs):
            missing.append("the firmware")
    else:
        measure = _compare_measure(case, keys, trust)
    explanation, why = _check_explanation(case, keys)
    return CaseVerdict(
        case, tuple(changed), measure, digest, report, id_block, explanation, why, tuple(notes), tuple(missing), trust
    )


def advise_case(case: Case, *, product: str | None = None, accept: Iterable[str] = ()) -> Advice:
    """List known vulnerabilities of a case's platform: by its report, or else by version and policy of its launch.

    *product* and *accept* are those of :func:`sevlab.attestation.advisories.advise`. Raises
    :class:`~sevlab.errors.InputError` for a case with neither, and for files that cannot be read.
    """
    given: dict[str, Any] = case.inputs
    parts = ("api_major", "api_minor", "build_id", "policy")
    if "report" in given:
        report = load_report(given["report"], "report")
        leaf = load_certificates(**{name: given.get(name) for name in FILES}).leaf(report.key_info.signer)
        signed = "" if leaf is None else likely_product(report, leaf.product)
        platform = platform_of_report(report, product or signed)
    elif case.is_snp and "snp_policy" in given:
        platform = platform_of_numbers(product or None, policy=given["snp_policy"], technology="snp")
    elif not case.is_snp and set(parts) <= set(given):
        major, minor, build, policy = (given[name] for name in parts)
        platform = platform_of_launch((major, minor, build), Policy(policy), product or "")
    else:
        needed = "one with a report, or with api-major, api-minor, build-id and policy"
        raise InputError("case", f"{quoted(case.path)}, which tells nothing of the platform", needed)
    return judge(platform, accept)


def _compare_measure(case: Case, keys: Mapping[str, Any], trust: Trust = _NOTHING) -> Verdict:
    inputs, _ = case.merged(keys)
    if not set(KEYS) & set(inputs):
        needed = f"{named('tk')}, or {named('tik')} and {named('tek')}, since the case comes without keys"
        raise InputError("tk", "nothing", needed)
    evidence = load_evidence(trust=trust, **inputs)
    evidence.refuse_keys()
    return compare_measure(evidence)


def _reported(case: Case) -> bytes | None:
    """Return the launch digest (48 bytes) that a report, or else the host alone, says was measured."""
    if "report" in case.inputs:
        return bytes(load_report(str(case.inputs["report"]), "report").measurement)
    return case.reported_measurement


def _compare_digest(case: Case) -> DigestCheck | None:
    reported = _reported(case)
    if reported is None:
        return None
    if "firmware" in case.inputs:
        launch = load_snp_launch(**case.snp_launch)
        return DigestCheck(reported, launch.digest, launch.warnings, launch.notes)
    if "snp_measurement" in case.inputs and "report" not in case.inputs:
        wanted = parse_requirements(measurement=case.inputs["snp_measurement"]).measurement
        return None if wanted is None else DigestCheck(reported, wanted)
    return None


def _verify_report(
    case: Case,
    digest: DigestCheck | None,
    roots: Mapping[str, str],
    at: datetime | str | None,
    notes: list[str],
    trust: Trust,
) -> ReportVerdict | None:
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
    if digest is not None:
        given.setdefault("measurement", digest.computed)
    report, certificates = load_report(path, "report"), load_certificates(**files)
    trust = trust._replace(wants=digest is not None)
    return verify_report(report, certificates, roots=roots, at=at, trust=trust, **given)


def _verify_id_block(case: Case) -> IdBlockVerdict | None:
    """Check an ID block against the launch that was reported, or else against the one that is computed."""
    if "id_block" not in case.inputs:
        return None
    measurement = _reported(case)
    if measurement is None and "firmware" in case.inputs:
        measurement = load_snp_launch(**case.snp_launch).digest
    policy = case.part(SNP).get("snp_policy")
    if policy is None and "report" in case.inputs:
        policy = int(load_report(str(case.inputs["report"]), "report").policy)
    signed = load_id_block(str(case.inputs["id_block"]), name="id_block")
    return verify_id_block(signed, measurement, policy)


def _check_explanation(case: Case, keys: Mapping[str, Any]) -> tuple[str, str]:
    """Compute the explanation again; return what comes of it, and a sentence more."""
    told = case.about.get("explanation", "")
    if not case.found:
        return (WORDS, told) if told else (NONE, "")
    explained = case.explained
    try:
        found = _compare_digest(explained) if case.is_snp else _compare_measure(explained, keys)
    except SevlabError as error:
        return NOT_COMPUTED, str(error)
    if found is None:
        return NOT_COMPUTED, "The case has nothing that was reported, or nothing to compute from."
    return (HOLDS if found.matches else FAILS), told or "It is told in inputs only."


def _title(part: Any) -> str:
    titles = {DigestCheck: "The launch digest", IdBlockVerdict: "The ID block", ReportVerdict: "The report"}
    return titles.get(type(part), "The measurement")


#: A file in a bundle, and how much of its name is shown where the whole of it stands elsewhere.
_IN_BUNDLE, _BLOB = re.compile("blobs/[0-9a-f]{64}"), 18

#: How the parts of a long value are broken, in characters.
_WIDTH = 48


@checked
def explain_case(case: Case, sizes: Mapping[str, int] | None = None) -> View:
    """Show everything in a case: what it is about, every input with its origin, every file, and the explanation.

    *sizes* are the bytes of its files by SHA-256 (hex), where the files are in a bundle.
    """
    about = MODES.get(case.mode, "nothing that can be told: no mode, no policy, no report")
    blocks: list[Block] = [Banner(f"A case of {about}", "grey")]
    if case.about:
        rows = [[row.key, case.about[row.name]] for row in ABOUT if row.name in case.about]
        blocks += [Heading("About, in the words of the case"), Table(["what", "words"], rows)]
    rows = [_input(row, case.inputs[row.name], case) for row in ROWS if row.name in case.inputs]
    rows += [
        [row.key, "not in the case", case.origin[row.name]]
        for row in ROWS
        if row.name in case.origin and row.name not in case.inputs
    ]
    blocks += [Heading("Inputs"), Table(["input", "value", "where from, as the case says"], rows, mono=[0, 1])]
    files = [*_files(case.inputs, case.hashes, sizes), *_files(case.found, case.found_hashes, sizes)]
    if files:
        blocks += [Heading("Files"), Table(["for", "bytes", "SHA-256"], files, mono=[0, 1, 2])]
    if case.found:
        rows = [
            [row.key, _value(row, case.inputs.get(row.name)), _value(row, case.found[row.name])]
            for row in ROWS
            if row.name in case.found
        ]
        words = "With the inputs found in place of those given, the computed value should be the reported one:"
        table = Table(["input", "given", "found"], rows, mono=[0, 1, 2])
        blocks += [Heading("Explanation"), Paragraph(words), table]
    if any(BY_NAME[name].kind == KEY for name in case.inputs):
        blocks.append(Paragraph("Key files are named above, and were not read."))
    return View(*blocks)


def case_as_dict(case: Case) -> dict[str, Any]:
    """Return a case as JSON-ready data; bytes are lower-case hex, keys never appear."""

    def plain(inputs: dict[str, Any], hashes: dict[str, str]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in inputs.items():
            row = BY_NAME[name]
            if isinstance(value, Sha256):
                made[row.key] = {"sha256": value.hex()}
            elif name in hashes:
                made[row.key] = {"path": value, "sha256": hashes[name]}
            else:
                shown = repr(value) if isinstance(value, Secret) else value
                made[row.key] = value.hex() if isinstance(value, bytes) else shown
        return made

    return {
        "mode": case.mode,
        "about": {row.key: case.about[row.name] for row in ABOUT if row.name in case.about},
        "inputs": plain(case.inputs, case.hashes),
        "found": plain(case.found, case.found_hashes),
        "origin": {BY_NAME[name].key: words for name, words in case.origin.items()},
    }


def _input(row: Row, value: Any, case: Case) -> list[str]:
    return [row.key, _value(row, value), case.origin.get(row.name, "")]


def _value(row: Row, value: Any) -> str:
    if value is None:
        return "none"
    if row.kind == BYTES:
        return _broken(value.hex())
    if isinstance(value, Sha256):
        return _broken(f"SHA-256 {value.hex()}")
    if isinstance(value, int) and not isinstance(value, bool) and value > 9:
        return f"{value} (0x{value:x})"
    text = str(value)
    return f"{text[:_BLOB]}..." if row.kind in (FILE, KEY) and _IN_BUNDLE.fullmatch(text) else _broken(text)


def _files(inputs: dict[str, Any], hashes: dict[str, str], sizes: Mapping[str, int] | None) -> list[list[str]]:
    rows = []
    for name, sha256 in hashes.items():
        if sizes is not None:
            size = str(sizes[sha256])
        else:
            try:
                size = str(os.path.getsize(inputs[name]))
            except (OSError, ValueError):
                size = "not there"
        rows.append([BY_NAME[name].key, size, sha256])
    return rows


def _broken(text: str) -> str:
    """Return a long value in lines."""
    return "\n".join(text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)) or "''"
