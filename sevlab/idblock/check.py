"""The checks that the firmware makes of an ID block at LAUNCH_FINISH, in its order, each with a verdict of its own.

The firmware's answer does not say which part is wrong: some of its statuses stand for several checks (incident F46). So
here every check has a name, and all are made, though the firmware stops at the first that fails. :data:`STAGES` is the
one list of them; the simulated firmware goes by it too.

Sources: snp-launch 1.4 and 5 (AMD 56860, SNP_LAUNCH_FINISH; AMD-ASPFW).
"""

from __future__ import annotations

from collections import namedtuple

from ..arguments import checked
from ..chain import ecdsa_fault, load_point
from ..formats.id_block import ECDSA_P384_SHA384
from ..formats.sev_certs import ECDSA_SHA384
from ..formats.status import status_text
from ..incidents import INCIDENTS
from ..layout.span import Explainable
from ..outcome import MATCH, MISMATCH, NOT_DECIDED
from ..report.check import FAIL, NOT_DONE, PASS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..formats.sev_certs import EccKey
    from ..layout.views import Banner, Block, View
    from .signed import SignedIdBlock

#: How the firmware answers when a stage fails, in its order; "" where the firmware of the facts does not look.
STAGES = {
    "launch digest": "BAD_MEASUREMENT",
    "policy": "POLICY_FAILURE",
    "ID key algorithm": "INVALID_PARAM",
    "author key algorithm": "INVALID_PARAM",
    "ID key": "BAD_SIGNATURE",
    "ID block signature": "BAD_SIGNATURE",
    "author key": "BAD_SIGNATURE",
    "ID key signature": "BAD_SIGNATURE",
    "form": "",
}


class IdCheck(namedtuple("IdCheck", "name state status note")):
    """One check: its name, "pass", "fail" or "not done", the firmware's status when it fails, and a sentence."""

    __slots__ = ()


class IdBlockVerdict(Explainable):
    """What came of checking an ID block: ``checks`` in the firmware's order, and what a report would show."""

    def __init__(self, signed: SignedIdBlock, author_key_enabled: bool, checks: list[IdCheck]) -> None:
        self.signed, self.author_key_enabled, self.checks = signed, author_key_enabled, checks

    @property
    def refusal(self) -> IdCheck | None:
        """The first check that fails and at which the firmware stops; None when it goes through."""
        return next((check for check in self.checks if check.state == FAIL and check.status), None)

    @property
    def failed(self) -> list[str]:
        """The names of the checks that fail."""
        return [check.name for check in self.checks if check.state == FAIL]

    @property
    def compared(self) -> bool:
        """Whether a measurement was compared: without that a signature says nothing about a launch."""
        return bool(self.checks[0].state != NOT_DONE)

    @property
    def matches(self) -> bool:
        """True when a measurement was compared and nothing fails."""
        return self.compared and not self.failed

    @property
    def status(self) -> str:
        """ "match", "mismatch", or "not_decided" when nothing fails and no measurement was compared."""
        return MISMATCH if self.failed else MATCH if self.compared else NOT_DECIDED

    @property
    def reported(self) -> dict[str, object]:
        """What the report of the guest will show of the ID block, by the names of the report's fields."""
        block, digests = self.signed.block, self.signed.key_digests
        if not self.author_key_enabled:
            digests["author_key_digest"] = bytes(len(digests["author_key_digest"]))
        ids = {"family_id": block.family_id, "image_id": block.image_id, "guest_svn": int(block.guest_svn)}
        return {"measurement": block.launch_digest, "policy": int(block.policy), **ids, **digests}

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data; bytes are lower-case hex."""
        refusal = self.refusal
        reported = {name: value.hex() if isinstance(value, bytes) else value for name, value in self.reported.items()}
        return {
            "status": self.status,
            "firmware_status": refusal.status if refusal else "SUCCESS",
            "author_key_enabled": self.author_key_enabled,
            "checks": [check._asdict() for check in self.checks],
            "reported": reported,
        }

    def explain(self) -> View:
        """Show the answer, every check, and what the report will show."""
        from ..layout.views import Heading, Paragraph, Table, View, hex_lines

        colours = [{PASS: "green", FAIL: "pink"}.get(check.state, "grey") for check in self.checks]
        rows = [
            [check.state, check.name, status_text(check.status) if check.status else "-", check.note]
            for check in self.checks
        ]
        shown = {**self.reported, "policy": self.signed.block.policy.text}
        lines = [[name, hex_lines(raw, 24) if isinstance(raw, bytes) else str(raw)] for name, raw in shown.items()]
        blocks: list[Block] = [
            self._banner(),
            Table(["state", "check", "answer if it fails", "note"], rows, colours=colours),
            Heading("What the guest's report shows of it, once the firmware takes it"),
            Table(["field", "value"], lines, mono=[0, 1]),
        ]
        if self.failed:
            blocks.append(Paragraph(f"Compare incident {INCIDENTS['F46'].name}."))
        return View(*blocks)

    def _banner(self) -> Banner:
        from ..layout.views import Banner

        refusal = self.refusal
        if refusal:
            answer = status_text(refusal.status)
            return Banner(f"ERROR: the firmware would answer {answer}, because of: {refusal.name}", "pink")
        if self.failed:
            return Banner(f"ERROR: wrong is: {', '.join(self.failed)}", "pink")
        if not self.compared:
            return Banner("NOT VALIDATED: no check fails, but the measurement was not compared", "grey")
        return Banner("OK: the firmware would take this ID block for this launch", "green")


@checked
def verify_id_block(
    signed: SignedIdBlock,
    measurement: bytes | None = None,
    policy: int | None = None,
    *,
    author_key_enabled: bool | None = None,
) -> IdBlockVerdict:
    """Make the checks of SNP_LAUNCH_FINISH; see :data:`STAGES`. Never raises on a check that fails.

    *measurement* is the digest of the launch (48 bytes), *policy* its guest policy; what is not given is not compared.
    *author_key_enabled* is the launch's AUTH_KEY_EN; when None, it is taken to be on if there is an author key.
    """
    block, auth = signed
    enabled = auth.has_author if author_key_enabled is None else author_key_enabled
    faults: dict[str, str | None] = {
        "launch digest": None if measurement is None else _differs(block.launch_digest, measurement, _short),
        "policy": None if policy is None else _differs(int(block.policy), policy, hex),
        "ID key algorithm": _algorithm_fault(auth.id_key_algo),
        "author key algorithm": _algorithm_fault(auth.auth_key_algo) if enabled else None,
        "ID key": _key_fault(auth.id_key),
        "ID block signature": ecdsa_fault(auth.id_key, auth.id_block_sig.to_bytes(), block.to_bytes(), ECDSA_SHA384),
        "author key": _key_fault(auth.author_key) if enabled else None,
        "ID key signature": None,
        "form": "; ".join(one for part in signed for one in part.findings() if one.startswith(_FORM)),
    }
    if enabled:
        made, over = auth.id_key_sig.to_bytes(), auth.id_key.to_bytes()
        faults["ID key signature"] = ecdsa_fault(auth.author_key, made, over, ECDSA_SHA384)
    checks = [_check(name, status, faults[name], enabled, auth.has_author) for name, status in STAGES.items()]
    return IdBlockVerdict(signed, enabled, checks)


#: What is said of a check that passes.
_GOOD = {
    "launch digest": "the digest of the launch is the one that the block names",
    "policy": "the policy of the launch is the one that the block names",
    "ID key algorithm": "ECDSA on P-384 with SHA-384",
    "author key algorithm": "ECDSA on P-384 with SHA-384",
    "ID key": "a point of P-384",
    "ID block signature": "the ID key signed all 96 bytes of the block",
    "author key": "a point of P-384",
    "ID key signature": "the author key signed all 1028 bytes of the ID key",
    "form": "version 1, and reserved bytes are zero",
}
#: How findings begin that no other check is about.
_FORM = ("version", "policy", "reserved")
_GIVE = {"launch digest": "no measurement was given", "policy": "no policy of the launch was given"}


def _check(name: str, status: str, fault: str | None, enabled: bool, has_author: bool) -> IdCheck:
    if fault is None:
        why = _GIVE.get(name) or ("AUTH_KEY_EN is off" if has_author else "there is no author key")
        return IdCheck(name, NOT_DONE, status, why)
    if name == "form" and fault:
        fault += "; the firmware that sevlab knows does not look, another may"
    return IdCheck(name, FAIL if fault else PASS, status, fault or _GOOD[name])


def _differs(named: Any, launched: Any, text: Callable[[Any], str]) -> str:
    return "" if named == launched else f"the block names {text(named)}, the launch has {text(launched)}"


def _short(digest: bytes) -> str:
    return f"{digest[:8].hex()}..."


def _algorithm_fault(algorithm: int) -> str:
    return "" if algorithm == ECDSA_P384_SHA384 else f"{int(algorithm)}; only {ECDSA_P384_SHA384} is known"


def _key_fault(key: EccKey) -> str:
    return "no point of P-384" if load_point(key) is None else ""
