"""A report of SEV-SNP: read from a file in whichever form it was saved, and verified.

Every check is made, none stops another, and a verdict says what follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import InputError, checked, quoted
from ..formats.report import (
    HEADER,
    SIZE,
    TCB_FORMS,
    MilanTcb,
    Report,
    ReportResponse,
    explain_urls,
    parse_report,
    vcek_urls,
)
from ..formats.vcek import ARK, ASK, ASVK, ROOTS, VCEK, VLEK
from ..launch.reading import load_file
from ..launch.verify import NOT_CHECKED, NOT_DECIDED, Check
from ..layout.views import Heading, Paragraph, View
from .authenticity import check_authenticity
from .byte_forms import read_bytes, sized
from .certificates import Certificate, Certificates
from .requirements import check_requirements, parse_requirements
from .verdict import Checklist, check_table, names_of

if TYPE_CHECKING:
    from ..launch.inputs import Trust


#: Most bytes of a file that are looked at. A report takes 1184, its longest text form 2500.
LIMIT = 64 << 10
_NEEDED = f"a report of {SIZE} bytes, or {SIZE + HEADER} with its header; binary, or as hex, base64, a dump or in JSON"
#: Checks that fail without the right leaf; then the verdict says where to get that.
_ASK_AGAIN = {"signing key", "report signature", "TCB", "chip id"}
#: fromisoformat takes any character before the time, so a zone behind a date would be the time of day.
_MOMENT = re.compile("[0-9W-]{8,10}(?:[Tt ].{1,29})?")
_DIGITS, _LINE = re.compile(r" ([0-9a-f]{48,})"), re.compile(".{1,64}")


@dataclass(frozen=True)
class ReportFile:
    """A report as it was found in a file."""

    report: Report
    #: "binary", "hex text" and so on; see :mod:`sevlab.attestation.byte_forms`.
    form: str
    #: The header of the firmware's answer before it.
    header: ReportResponse | None

    @property
    def note(self) -> str:
        """How it was found, in a sentence."""
        if self.header is None:
            return f"Read from {self.form}"
        finding = f" (FINDING: {self.finding})" if self.finding else ""
        return f"Read from {self.form}; the {HEADER} bytes before it are the header of the firmware's answer{finding}"

    @property
    def finding(self) -> str:
        """Why the header before it is not that of a good answer, "" for nothing."""
        if self.header is None:
            return ""
        status, size, rest = self.header.status, self.header.report_size, any(self.header.reserved_8)
        if (status, size, rest) == (0, SIZE, False):
            return ""
        return f"it says status 0x{status:x} and {size} bytes{', and the rest of it is not zero' * rest}"


@checked
def read_report(raw: bytes, name: str = "report", product: str = "") -> ReportFile:
    """Take a report out of a file's bytes, in any of the forms of :func:`read_bytes`, also with its 32-byte header.

    *product* as for :func:`sevlab.formats.report.parse_report`. Raises :class:`~sevlab.errors.InputError` with *name*,
    and a guess, for anything else.
    """
    found = read_bytes(raw, sized(SIZE, SIZE + HEADER), name, _NEEDED)
    if len(found.raw) == SIZE:
        return ReportFile(parse_report(found.raw, product), found.form, None)
    header = ReportResponse.from_bytes(found.raw[:HEADER])
    return ReportFile(parse_report(found.raw[HEADER:], product), found.form, header)


def load_report(path: str, name: str = "report", product: str = "") -> Report:
    """Read a report from a file (``-`` is standard input); see :func:`read_report`. Its header must be a good one."""
    found = load_report_file(path, name, product)
    if found.finding:
        received = f"{quoted(path)}, whose header is not that of a good answer: {found.finding}"
        raise InputError(name, received, _NEEDED, "sevlab report show")
    return found.report


def load_report_file(path: str, name: str = "report", product: str = "") -> ReportFile:
    """Read a report from a file, and say how it was found; see :func:`read_report`."""
    raw = load_file(path, name, LIMIT)
    try:
        return read_report(raw, name, product)
    except InputError as error:
        raise InputError(name, f"{quoted(path)}, {error.received}", error.needed, error.advice) from None


@checked
def verify_report(
    report: Report | bytes | bytearray | memoryview,
    certificates: Certificates | None = None,
    *,
    roots: Mapping[str, str] = ROOTS,
    at: datetime | str | None = None,
    csp_id: str | None = None,
    trust: Trust | None = None,
    **required: Any,
) -> ReportVerdict:
    """Verify a report: who made it, and whether it says what is required. Never raises on a check that fails.

    *certificates* come from :func:`sevlab.load_certificates`. *roots* are the root certificates to trust, by the
    SHA-256 (hex) of their DER. *at* is the moment at which certificates must be valid, now without it; text is read by
    :func:`parse_moment`. *csp_id* is the cloud that a VLEK must be for. *required* are fields of
    :class:`~sevlab.attestation.requirements.Requirements`, such as ``measurement``, as
    :func:`~sevlab.attestation.requirements.parse_requirements` takes them. *trust* says which of them a case required
    (:meth:`sevlab.cases.case.Case.trust`).

    Raises :class:`~sevlab.errors.InputError` for a requirement that cannot be or that is empty,
    :class:`~sevlab.errors.LayoutError` for a report that does not have 1184 bytes.
    """
    requirements, moment = parse_requirements(**required), parse_moment(at)
    if csp_id == "":
        raise InputError("csp_id", "an empty text", "the name of a cloud, or no such requirement")
    given = certificates or Certificates()
    parsed = report if isinstance(report, Report) else parse_report(bytes(report))
    leaf, told = given.leaf(parsed.key_info.signer), parsed.product
    parsed = _in_form(parsed, told, leaf)
    authenticity = check_authenticity(parsed, told, leaf, given, roots, moment, csp_id)
    return ReportVerdict(parsed, given, leaf, moment, authenticity, check_requirements(parsed, requirements), trust)


@checked
def parse_moment(value: datetime | str | None, name: str = "at") -> datetime:
    """Return a moment in UTC: now for None; text is a date (its first second) or a full ISO 8601 time.

    A time without a zone is taken for UTC. Raises :class:`~sevlab.errors.InputError` with *name* for other text.
    """
    if value is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(value if _MOMENT.fullmatch(value) else "") if isinstance(value, str) else value
        return datetime.replace(moment, tzinfo=UTC) if moment.tzinfo is None else datetime.astimezone(moment, UTC)
    except (AttributeError, TypeError, ValueError, OverflowError):
        needed = "a date (YYYY-MM-DD) or a time in ISO 8601, such as 2026-01-31T12:00:00Z"
        raise InputError(name, quoted(value), needed) from None


def _in_form(report: Report, told: str, leaf: Certificate | None) -> Report:
    """Return a report with its TCBs in their product's form: by its processor, else by its certificate."""
    product = told
    if leaf is not None and leaf.product in TCB_FORMS and (report.cpuid is None or not told):
        product = leaf.product
    form = TCB_FORMS.get(product) or (MilanTcb if report.is_known else None)
    return report if report.TCB is form else parse_report(report.to_bytes(), product)


@dataclass(eq=False, repr=False)
class ReportVerdict(Checklist):
    """What :func:`verify_report` found. ``checks`` are those of authenticity, then those of the requirements."""

    decisive = ("measurement",)

    report: Report
    certificates: Certificates
    #: The certificate that should have signed.
    leaf: Certificate | None
    #: When certificates had to be valid.
    at: datetime
    #: Who made the report.
    authenticity: list[Check]
    #: Whether it says what was required.
    requirements: list[Check]
    #: What was taken from a case, None where there was no case.
    trust: Trust | None = None

    @property
    def product(self) -> str:
        """The product of the leaf, "" without one."""
        return self.leaf.product if self.leaf is not None and self.leaf.product in TCB_FORMS else ""

    @cached_property
    def checks(self) -> list[Check]:
        """Every check, in order."""
        return [*self.authenticity, *self.requirements]

    @property
    def missing(self) -> list[str]:
        """The certificates that were not given, and without which nobody knows who made the report."""
        names = (VLEK, ASVK, ARK) if self.report.key_info.signer == VLEK else (VCEK, ASK, ARK)
        given = (self.leaf, self.certificates.ask, self.certificates.ark)
        return [name for name, one in zip(names, given, strict=True) if one is None]

    @property
    def not_asked(self) -> list[str]:
        """What might have been required of the report, and was not."""
        return [one.name for one in (*self.requirements, self["revocation"]) if one.state == NOT_CHECKED]

    @property
    def notes(self) -> list[str]:
        """What a reader must not overlook, though no check failed because of it."""
        found = list(self.certificates.notes)
        if self["forbid_debug"].state == NOT_CHECKED and self.report.policy.debug:
            found.append(
                "the policy allows debugging: the host may read the guest's memory. forbid_debug makes that fail"
            )
        return found

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data."""
        return {
            "status": self.status,
            "product": self.product,
            "signing_key": self.report.key_info.signer,
            "at": self.at.isoformat(),
            "checks": [{**one.as_dict(), "incident": _incident(one)} for one in self.checks],
            "certificates": self.certificates.as_dict(),
            "vcek_urls": vcek_urls(self.report, self.product)[0],
            "notes": self.notes,
            **({} if self.trust is None else {"trusted_from_case": list(self.trust.names)}),
        }

    def explain(self) -> View:
        """Show the answer, then the checklist."""
        asked = [check.name for check in self.requirements if check.state != NOT_CHECKED]
        return View(
            self.banner(),
            *(Paragraph(f"Beware: {note}.") for note in self.notes),
            *(Paragraph(f"NOTE: {note}.") for note in (self.trust.notes if self.trust is not None else ())),
            Heading("Who made this report?"),
            check_table(map(in_lines, self.authenticity)),
            Heading(f"Does it say what {self._required_by(asked)} required?"),
            check_table(map(in_lines, self.requirements)),
            *(explain_urls(self.report, self.product) if _ASK_AGAIN & {one.name for one in self.failed} else []),
        )

    def _required_by(self, names: list[str]) -> str:
        return "you" if self.trust is None else self.trust.required_by(names)

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.status == NOT_DECIDED and self.missing:
            return f"NOT DECIDED: who made this report was not checked; missing: {', '.join(self.missing)}"
        if self.failed:
            count = len(self.failed)
            fail = "fails" if count == 1 else "fail"
            return f"ERROR: {count} of {len(self.checks)} checks {fail}: {names_of(self.failed)}"
        if not self.matches:
            return "NOT DECIDED: nothing failed, but measurement: not compared"
        ark, required = self.certificates.ark, f"the measurement that {self._required_by(['measurement'])} required"
        if ark is None or ark.sha256 not in ROOTS:
            return f"OK: a {self.product} reports {required}, below a root of yours, not of AMD"
        return f"OK: a genuine {self.product} reports {required}"


def in_lines(check: Check) -> Check:
    """Return a check with its incident in the note, and long hex in it on lines of their own, 64 digits to a line."""
    note = f"{check.note}. It resembles {_incident(check)}" if check.incident else check.note
    return check._replace(note=_DIGITS.sub(lambda found: "\n" + "\n".join(_LINE.findall(found[1])), note))


def _incident(check: Check) -> str:
    if not check.incident:
        return ""
    from ..data import INCIDENTS  # not above: read only to be printed

    return INCIDENTS[check.incident].name
