"""The checklist of a report, and what follows from it."""

from __future__ import annotations

from ..formats.report import TCB_FORMS
from ..formats.vcek import ARK, ASK, ASVK, ROOTS, VCEK, VLEK
from ..outcome import MATCH, MISMATCH, NOT_DECIDED, Trust
from .check import FAIL, NOT_DONE, PASS
from .show import explain_urls, vcek_urls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from ..formats.report import Report
    from ..layout.views import Block, View
    from .bundle import Certificates
    from .certificate import Certificate
    from .check import Check

#: Places of certificates, from the report up.
_LEAF, _ASK, _ARK = "leaf", "authority", "root"
#: Checks that fail where a certificate is missing, and which ones they need. Without these they decide nothing.
_NEEDS = {
    "signing key": (_LEAF,),
    "report signature": (_LEAF,),
    "leaf signature": (_LEAF, _ASK),
    "ASK signature": (_ASK, _ARK),
    "ARK signature": (_ARK,),
    "ARK known": (_ARK,),
    "revocation": (_ARK,),
}
#: Checks that fail without the right leaf; then it is told where to get that.
_ASK_AGAIN = {"signing key", "report signature", "TCB", "chip id"}
_COLOURS = {PASS: "green", FAIL: "pink", NOT_DONE: "grey"}


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
        """The checks that failed."""
        return [check for check in self.checks if check.state == FAIL]

    @property
    def missing(self) -> list[str]:
        """The certificates that were not given, and without which nobody knows who made the report."""
        called = {_LEAF: VCEK, _ASK: ASK, _ARK: ARK}
        if self.report.key_info.signer == VLEK:
            called |= {_LEAF: VLEK, _ASK: ASVK}
        return [called[place] for place in self._empty]

    @property
    def _empty(self) -> list[str]:
        """The places for which there is no certificate."""
        places = {_LEAF: self.leaf, _ASK: self.certificates.ask, _ARK: self.certificates.ark}
        return [place for place, one in places.items() if one is None]

    @property
    def not_asked(self) -> list[str]:
        """What might have been required of the report, and was not."""
        asked = [*self.wanted, self["revocation"]]
        return [check.name for check in asked if check.state == NOT_DONE]

    @property
    def matches(self) -> bool:
        """True when nothing failed and the measurement was compared."""
        return not self.failed and self["measurement"].state == PASS

    @property
    def notes(self) -> list[str]:
        """What a reader must not overlook, though it is no check that failed."""
        found = list(self.certificates.notes)
        if self["forbid_debug"].state == NOT_DONE and self.report.policy.debug:
            found.append(
                "the policy allows debugging: the host may read the guest's memory. forbid_debug makes that fail"
            )
        return found

    @property
    def status(self) -> str:
        """The verdict in a word: "match", "mismatch", or "not_decided".

        It is not decided where no measurement was compared, and where all that fails does so for want of a certificate.
        """
        if any(not set(self._empty) & set(_NEEDS.get(check.name, ())) for check in self.failed):
            return MISMATCH
        return MATCH if self.matches else NOT_DECIDED

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data."""
        return {
            "status": self.status,
            "product": self.product,
            "signing_key": self.report.key_info.signer,
            "at": self.at.isoformat(),
            "checks": [check.as_dict() for check in self.checks],
            "certificates": self.certificates.as_dict(),
            "vcek_urls": vcek_urls(self.report, self.product)[0],
            "notes": self.notes,
            **({} if self.trust is None else {"trusted_from_case": list(self.trust.names)}),
        }

    def explain(self) -> View:
        """Show the answer, then the checklist."""
        from ..layout.views import Banner, Heading, Paragraph, View

        notes: list[Block] = [Paragraph(f"Beware: {note}.") for note in self.notes]
        notes += [Paragraph(f"NOTE: {note}.") for note in (self.trust.notes if self.trust is not None else ())]
        asked = [check.name for check in self.wanted if check.state != NOT_DONE]
        colour = "green" if self.matches else "pink"
        wrong = {check.name for check in self.failed} & _ASK_AGAIN
        return View(
            Banner(self.words, colour),
            *notes,
            Heading("Who made this report?"),
            _table(self.genuine),
            Heading(f"Does it say what {self._wanted_by(asked)} wanted?"),
            _table(self.wanted),
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


def _table(checks: list[Check]) -> Block:
    from ..layout.views import Table

    rows = [[check.name, check.state, check.lines] for check in checks]
    return Table(["check", "state", "note"], rows, colours=[_COLOURS[check.state] for check in checks], mono=[1])
