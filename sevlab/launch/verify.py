"""The verdict: reported against computed, check by check.

A measure is an HMAC. If it matches, every field of the message under it is confirmed at once. If not, at least one
input differs, and the HMAC cannot tell which. With a key that came from the same stranger as the measure, a right HMAC
proves nothing: the verdict is *not decided*.
"""

from __future__ import annotations

import hmac
from collections import namedtuple

from ..errors import MismatchError, checked
from ..layout.span import Explainable
from .measure import compute_measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..formats.launch_measure import OldMeasureMessage
    from ..layout.views import View
    from .evidence import Evidence

#: The four states of a check. *Not checked*: nobody asked, or an earlier check stopped it. *Cannot tell*: it was asked,
#: and the evidence does not decide it. A check that was not made never counts as passed.
MATCH, MISMATCH, NOT_CHECKED, CANNOT_TELL = "match", "mismatch", "not checked", "cannot tell"
#: The ``status`` of a whole verdict is MATCH, MISMATCH or one of these.
NOT_DECIDED, UNUSABLE = "not_decided", "unusable"
#: The two first lines that scripts know from libvirt's virt-qemu-sev-validate.
GOOD = "OK: Looks good to me"
BAD = "ERROR: Measurement does not match, VM is not trustworthy"
#: The colour of each state.
COLOURS = {MATCH: "green", MISMATCH: "pink", NOT_CHECKED: "grey", CANNOT_TELL: "orange"}


class Check(namedtuple("Check", "name state note reported computed incident", defaults=(b"", b"", ""))):
    """One line of a verdict about a measure, a chain, a session, a secret, an ID block or a report.

    ``state`` is "match", "mismatch", "not checked" or "cannot tell", ``note`` says why. ``reported`` and ``computed``
    are b"" where there is no such value. ``incident`` is the key of the public incident that it resembles, or "".
    """

    __slots__ = ()

    name: str
    state: str
    note: str
    reported: bytes
    computed: bytes
    incident: str

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "state": self.state, "note": self.note}


class Verdict(Explainable):
    """The reported measure against the computed one. Make it with :func:`compare_measure`.

    ``message`` is what the HMAC was computed over: the evidence's own, unless another form of it was given.
    ``agrees``: reported and computed measure are the same. ``matches``: and the key is not from a stranger's bundle.
    ``status`` is "match", "mismatch" or "not_decided".
    """

    def __init__(self, evidence: Evidence, message: OldMeasureMessage | None = None) -> None:
        self.evidence, self.trust = evidence, evidence.trust
        self.message = evidence.message if message is None else message
        #: The measure (32 bytes) the host reports, and the one that follows from the owner's inputs.
        self.reported = evidence.measurement.measure
        self.computed = compute_measure(self.message, evidence.tik)
        self.agrees = hmac.compare_digest(self.reported, self.computed)
        doubtful = self.trust is not None and self.trust.is_doubtful
        self.status = MISMATCH if not self.agrees else NOT_DECIDED if doubtful else MATCH
        self.matches = self.status == MATCH

    @property
    def words(self) -> str:
        """The verdict in a line; the two of libvirt's tool, or what is missing."""
        if self.status == NOT_DECIDED and self.trust is not None:
            return f"NOT DECIDED: the measurement {self.trust.words}"
        return GOOD if self.matches else BAD

    @property
    def checks(self) -> list[Check]:
        """The measure, then every field of the message that it covers, then what nothing covers."""
        state, note = MATCH, "confirmed, since the measure covers it"
        if not self.matches:
            state, note = CANNOT_TELL, "right if the key is yours" if self.agrees else "used as given"
        whole = CANNOT_TELL if self.status == NOT_DECIDED else self.status
        return [
            Check("measure", whole, "HMAC of the message under the TIK", self.reported, self.computed),
            *(Check(span.name, state, note, computed=span.raw) for span in self.message.spans()),
            Check("tek", NOT_CHECKED, "no measure depends on the TEK"),
        ]

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

    @property
    def notes(self) -> list[str]:
        return self.evidence.launch.notes

    @property
    def remarks(self) -> list[str]:
        """Warnings and notes as lines that begin with WARNING or NOTE."""
        return [f"WARNING: {words}" for words in self.warnings] + [f"NOTE: {words}" for words in self.notes]

    def explain(self) -> View:
        from ..layout.views import Banner, Paragraph, Table, View, hex_lines

        rows = [
            [one.name, one.state, *(hex_lines(raw, 8) or "-" for raw in (one.reported, one.computed)), one.note]
            for one in self.checks
        ]
        return View(
            Banner(self.words, "green" if self.matches else "pink"),
            *(Paragraph(f"NOTE: {note}.") for note in (self.trust.notes if self.trust is not None else ())),
            Table(["field", "state", "reported", "computed", "note"], rows, mono=[0, 2, 3]),
            *(Paragraph(line) for line in self.remarks),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data; bytes are lower-case hex, keys never appear."""
        return {
            "status": self.status,
            "reported": self.reported.hex(),
            "computed": self.computed.hex(),
            "checks": [
                {**check.as_dict(), "reported": check.reported.hex(), "computed": check.computed.hex()}
                for check in self.checks
            ],
            **self.evidence.launch.judged(),
            "warnings": self.warnings,
            **({} if self.trust is None else {"trusted_from_case": list(self.trust.names)}),
        }


@checked
def compare_measure(evidence: Evidence) -> Verdict:
    """Compare the reported measure with the one computed from the owner's inputs. Never raises on difference."""
    return Verdict(evidence)


@checked
def verify_measure(evidence: Evidence) -> Verdict:
    """As :func:`compare_measure`, but raise :class:`~sevlab.errors.MismatchError`, with the verdict, on difference."""
    verdict = Verdict(evidence)
    if not verdict.matches:
        raise MismatchError(BAD.removeprefix("ERROR: "), verdict)
    return verdict
