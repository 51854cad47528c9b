"""The verdict: reported against computed, check by check.

A measure is an HMAC. When it matches, every field of the message under it is confirmed at once. When it does not, it
says only that at least one input differs, not which. The verdict keeps those two apart: a field is *match*,
*mismatch*, *not checked*, or *cannot tell*.
"""

from __future__ import annotations

import hmac
from collections import namedtuple

from .arguments import checked
from .errors import MismatchError
from .layout.shown import Shown
from .measure import compute_measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .evidence import Evidence
    from .formats.message import OldMeasureMessage
    from .layout.page import View

MATCH, MISMATCH, NOT_CHECKED, CANNOT_TELL = "match", "mismatch", "not checked", "cannot tell"

#: The two first lines that scripts know from libvirt's virt-qemu-sev-validate.
GOOD = "OK: Looks good to me"
BAD = "ERROR: Measurement does not match, VM is not trustworthy"


class Check(namedtuple("Check", "name state reported computed note")):
    """One line of a verdict. ``reported`` and ``computed`` are bytes, b"" where there is no such value."""

    __slots__ = ()


class Verdict(Shown):
    """What comes of comparing a reported measure with the computed one. Make it with :func:`compare_measure`.

    ``message`` is what the HMAC was computed over: the evidence's own, unless another form of it was given.
    """

    def __init__(self, evidence: Evidence, message: OldMeasureMessage | None = None) -> None:
        self.evidence = evidence
        self.message = evidence.message if message is None else message
        #: The measure (32 bytes) the host reports, and the one that follows from the owner's inputs.
        self.reported = evidence.measurement.measure
        self.computed = compute_measure(self.message, evidence.tik)
        self.matches = hmac.compare_digest(self.reported, self.computed)
        self.status = MATCH if self.matches else MISMATCH

    @property
    def checks(self) -> list[Check]:
        """The measure first, then every field of the message that it covers, then what nothing covers."""
        checks = [Check("measure", self.status, self.reported, self.computed, "HMAC of the message under the TIK")]
        for span in self.message.spans():
            if self.matches:
                checks.append(Check(span.name, MATCH, b"", span.raw, "confirmed, since the measure covers it"))
            else:
                checks.append(Check(span.name, CANNOT_TELL, b"", span.raw, "used as given"))
        checks.append(Check("tek", NOT_CHECKED, b"", b"", "no measure depends on the TEK"))
        return checks

    @property
    def warnings(self) -> list[str]:
        """What the owner should know even when everything matches."""
        warnings = [f"policy: {sentence}" for sentence in self.evidence.policy.findings()]
        warnings += self.evidence.launch.warnings
        if not self.evidence.policy.nodbg:
            warnings.append("policy: bit 0 (NODBG) is clear, so the host may read and change the guest's memory")
        if not any(self.evidence.tik.reveal()):
            warnings.append(
                "tik: the key is all zero, which is what a launch without a session uses: anyone can forge it"
            )
        return warnings

    def explain(self) -> View:
        """Show the banner, the checks and the warnings."""
        from .layout.page import Banner, Paragraph, Table, View, hex_lines

        rows = [
            [
                check.name,
                check.state,
                hex_lines(check.reported, 8) or "-",
                hex_lines(check.computed, 8) or "-",
                check.note,
            ]
            for check in self.checks
        ]
        words = GOOD if self.matches else BAD
        return View(
            Banner(words, "green" if self.matches else "pink"),
            Table(["field", "state", "reported", "computed", "note"], rows, mono=[0, 2, 3]),
            *(Paragraph(f"WARNING: {warning}") for warning in self.warnings),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data; bytes are lower-case hex, keys never appear."""
        return {
            "status": self.status,
            "reported": self.reported.hex(),
            "computed": self.computed.hex(),
            "checks": [
                {**check._asdict(), "reported": check.reported.hex(), "computed": check.computed.hex()}
                for check in self.checks
            ],
            "warnings": self.warnings,
        }


@checked
def compare_measure(evidence: Evidence) -> Verdict:
    """Compute the measure from the owner's inputs and set it against the reported one. Never raises on difference."""
    return Verdict(evidence)


@checked
def verify_measure(evidence: Evidence) -> Verdict:
    """As :func:`compare_measure`, but raise :class:`~sevlab.errors.MismatchError`, with the verdict, on difference."""
    verdict = Verdict(evidence)
    if not verdict.matches:
        raise MismatchError(BAD.removeprefix("ERROR: "), verdict)
    return verdict
