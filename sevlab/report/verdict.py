"""The checklist of a report, and what follows from it."""

from __future__ import annotations

import re

from ..formats.report import TCB_FORMS
from ..formats.vcek import ARK, ASK, ASVK, ROOTS, VCEK, VLEK
from ..incidents import INCIDENTS
from ..outcome import CANNOT_TELL, MATCH, MISMATCH, NOT_CHECKED, NOT_DECIDED, Trust
from ..verify import Check, check_table
from .show import explain_urls, vcek_urls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from ..formats.report import Report
    from ..layout.page import Block, View
    from .bundle import Certificates
    from .certificate import Certificate

#: Checks that fail without the right leaf; then it is told where to get that.
_ASK_AGAIN = {"signing key", "report signature", "TCB", "chip id"}
_DIGITS, _LINE = re.compile(r" ([0-9a-f]{48,})"), re.compile(".{1,64}")


class ReportVerdict:
    """What came of verifying a report.

    ``genuine`` are the checks of who made it, ``wanted`` those of what it says; ``checks`` are both, in order.
    ``product`` is that of the certificates, "" without; ``leaf`` is the certificate that should have signed. ``trust``
    is what was taken from a case, None where there was no case.
    """

    def __init__(
        self,
        report: Report,
        certificates: Certificates,
        leaf: Certificate | None,
        at: datetime,
        genuine: list[Check],
        wanted: list[Check],
        trust: Trust | None = None,
    ) -> None:
        self.report, self.certificates, self.leaf, self.at = report, certificates, leaf, at
        self.genuine, self.wanted, self.trust = genuine, wanted, trust
        self.product = leaf.product if leaf is not None and leaf.product in TCB_FORMS else ""

    @property
    def checks(self) -> list[Check]:
        """Every check, in order."""
        return [*self.genuine, *self.wanted]

    def __getitem__(self, name: str) -> Check:
        return {check.name: check for check in self.checks}[name]

    @property
    def failed(self) -> list[Check]:
        """The checks that found a mismatch, or cannot tell for want of a certificate."""
        return [check for check in self.checks if check.state in (MISMATCH, CANNOT_TELL)]

    @property
    def missing(self) -> list[str]:
        """The certificates that were not given, and without which nobody knows who made the report."""
        names = (VLEK, ASVK, ARK) if self.report.key_info.signer == VLEK else (VCEK, ASK, ARK)
        given = (self.leaf, self.certificates.ask, self.certificates.ark)
        return [name for name, one in zip(names, given, strict=True) if one is None]

    @property
    def not_asked(self) -> list[str]:
        """What might have been required of the report, and was not."""
        asked = [*self.wanted, self["revocation"]]
        return [check.name for check in asked if check.state == NOT_CHECKED]

    @property
    def matches(self) -> bool:
        """True when nothing failed and the measurement was compared."""
        return not self.failed and self["measurement"].state == MATCH

    @property
    def notes(self) -> list[str]:
        """What a reader must not overlook, though it is no check that failed."""
        found = list(self.certificates.notes)
        if self["forbid_debug"].state == NOT_CHECKED and self.report.policy.debug:
            found.append(
                "the policy allows debugging: the host may read the guest's memory. forbid_debug makes that fail"
            )
        return found

    @property
    def status(self) -> str:
        """The verdict in a word: "match", "mismatch", or "not_decided".

        It is not decided where no measurement was compared, and where all that fails does so for want of a certificate.
        """
        if any(check.state == MISMATCH for check in self.checks):
            return MISMATCH
        return MATCH if self.matches else NOT_DECIDED

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
        from ..layout.page import Banner, Heading, Paragraph, View

        notes: list[Block] = [Paragraph(f"Beware: {note}.") for note in self.notes]
        notes += [Paragraph(f"NOTE: {note}.") for note in (self.trust.notes if self.trust is not None else ())]
        asked = [check.name for check in self.wanted if check.state != NOT_CHECKED]
        tint = "green" if self.matches else "pink"
        wrong = {check.name for check in self.failed} & _ASK_AGAIN
        return View(
            Banner(self.words, tint),
            *notes,
            Heading("Who made this report?"),
            check_table(map(in_lines, self.genuine)),
            Heading(f"Does it say what {self._wanted_by(asked)} wanted?"),
            check_table(map(in_lines, self.wanted)),
            *(explain_urls(self.report, self.product) if wrong else []),
        )

    def _wanted_by(self, names: list[str]) -> str:
        return "you" if self.trust is None else self.trust.wanted_by(names)

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.status == NOT_DECIDED and self.missing:
            return f"NOT DECIDED: who made this report was not checked; missing: {', '.join(self.missing)}"
        if self.failed:
            count = len(self.failed)
            names = ", ".join(check.name for check in self.failed)
            return f"ERROR: {count} of {len(self.checks)} checks {'fails' if count == 1 else 'fail'}: {names}"
        if not self.matches:
            return "NOT DECIDED: nothing failed, but measurement: not compared"
        ark, wanted = self.certificates.ark, f"the measurement that {self._wanted_by(['measurement'])} wanted"
        if ark is None or ark.sha256 not in ROOTS:
            return f"OK: a {self.product} reports {wanted}, below a root of yours, not of AMD"
        return f"OK: a genuine {self.product} reports {wanted}"

    def __str__(self) -> str:
        return self.explain().text()

    def __repr__(self) -> str:
        return self.explain().text()

    def _repr_html_(self) -> str:
        return self.explain().html()


def in_lines(check: Check) -> Check:
    """Return a check with its incident in the note, and long hex in it on lines of their own, 64 digits to a line."""
    note = f"{check.note}. It resembles {_incident(check)}" if check.incident else check.note
    return check._replace(note=_DIGITS.sub(lambda found: "\n" + "\n".join(_LINE.findall(found[1])), note))


def _incident(check: Check) -> str:
    return INCIDENTS[check.incident].name if check.incident else ""
