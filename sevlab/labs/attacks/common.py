"""What the attacks share: a command that may be refused, and an owner who judges the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...attestation.certificates import parse_bundle
from ...attestation.report import ReportVerdict, verify_report
from ...formats.report import Report
from ...formats.vcek import VLEK
from ...launch.verify import MATCH, MISMATCH, Check
from ...simulator.kds import MOMENT
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.status import FirmwareError, RmpFault


@dataclass(frozen=True, repr=False)
class Attempt:
    """What a command returned, or its refusal in ``caught``."""

    result: Any
    caught: FirmwareError | RmpFault | None

    @property
    def works(self) -> bool:
        """Whether nobody refused."""
        return self.caught is None

    def __repr__(self) -> str:
        if self.caught is not None:
            return f"REFUSED: {self.caught}"
        return "It works" + ("" if self.result is None else f": {self.result!r}")


def attempt(command: Callable[..., Any], *arguments: Any, **named: Any) -> Attempt:
    """Call a command of a simulated platform. A refusal by firmware or processor is returned, not raised."""
    try:
        return Attempt(command(*arguments, **named), None)
    except (FirmwareError, RmpFault) as refusal:
        return Attempt(None, refusal)


def judge(
    report: Report,
    platform: SnpPlatform,
    *,
    certificates: tuple[bytes, ...] | None = None,
    crl: bytes | None = None,
    refused: Iterable[bytes] | None = None,
    **requirements: Any,
) -> ReportVerdict:
    """Verify a report as an owner who trusts the platform's fake root, and return the verdict.

    *certificates* are leaf, ASK and ARK (DER), by default those that belong to the report; *crl* is a list of revoked
    ones (DER). *refused* are the IDs of chips that the owner no longer trusts (64 bytes, on Turin 8): they add a check,
    ``refused chips``, of the certificate, because a host may mask the chip ID in the report. *requirements* are those
    of :func:`sevlab.verify_report`, and so are the errors.
    """
    given = platform.certificates(report) if certificates is None else certificates
    leaf = "vlek" if report.key_info.signer == VLEK else "vcek"
    bundle = parse_bundle(crl=crl, **dict(zip((leaf, "ask", "ark"), given, strict=True)))
    verdict = verify_report(report, bundle, roots=platform.server.roots, at=MOMENT, **requirements)
    if refused is not None:
        verdict.requirements.append(_check_chip(verdict, set(refused)))
    return verdict


def _check_chip(verdict: ReportVerdict, refused: set[bytes]) -> Check:
    name, hwid = "refused chips", verdict.leaf.hwid if verdict.leaf is not None else b""
    if not hwid:
        return Check(name, MISMATCH, "the certificate names no chip, so this may be one that is refused")
    shown = f"{hwid[:8].hex()}..."
    if hwid in {chip[: len(hwid)] for chip in refused}:
        return Check(name, MISMATCH, f"the chip {shown} is refused: its keys have leaked", incident="A23")
    return Check(name, MATCH, f"the chip {shown} is not one of the {len(refused)} refused")
