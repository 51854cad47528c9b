"""The owner of an attacked guest: what it makes of the report that it is shown."""

from __future__ import annotations

from ..formats.vcek import VLEK
from ..outcome import MATCH, MISMATCH
from ..report.certificates import parse_bundle
from ..report.verify import verify_report
from ..simulator.kds import MOMENT
from ..verify import Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..formats.report import Report
    from ..report.verify import ReportVerdict
    from ..simulator.snp.firmware import SnpPlatform


def judge(
    report: Report,
    platform: SnpPlatform,
    *,
    certificates: tuple[bytes, ...] | None = None,
    crl: bytes | None = None,
    refused: Iterable[bytes] | None = None,
    **wanted: Any,
) -> ReportVerdict:
    """Verify a report as an owner does who trusts the platform's made-up root, and return the verdict.

    *certificates* are leaf, ASK and ARK (DER); those that belong to the report, unless others are given; *crl* is
    a list of revoked ones (DER). *refused* are the names of chips that the owner does not trust any more (64 bytes, on
    Turin 8): with it there is one more check, ``refused chips``. It looks at the certificate, because a host may mask
    the chip's name in the report. *wanted* is as :func:`sevlab.verify_report` takes it, which also says what it raises.
    """
    given = platform.certificates(report) if certificates is None else certificates
    leaf = "vlek" if report.key_info.signer == VLEK else "vcek"
    bundle = parse_bundle(crl=crl, **dict(zip((leaf, "ask", "ark"), given, strict=True)))
    verdict = verify_report(report, bundle, roots=platform.server.roots, at=MOMENT, **wanted)
    if refused is not None:
        verdict.requirements.append(_check_chip(verdict, set(refused)))
    return verdict


def _check_chip(verdict: ReportVerdict, refused: set[bytes]) -> Check:
    name, hwid = "refused chips", verdict.leaf.hwid if verdict.leaf is not None else b""
    if not hwid:
        return Check(name, MISMATCH, "the certificate names no chip, so this may be one of those that are refused")
    shown = f"{hwid[:8].hex()}..."
    if hwid in {chip[: len(hwid)] for chip in refused}:
        return Check(name, MISMATCH, f"the chip {shown} is refused: its keys are not its own any more", incident="A23")
    return Check(name, MATCH, f"the chip {shown} is none of the {len(refused)} that are refused")
