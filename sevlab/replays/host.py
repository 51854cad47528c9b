"""A simulated host that starts a row's guest, and the report that the guest then has."""

from __future__ import annotations

from collections import namedtuple

from ..formats.report import HEADER, ReportRequest, parse_report
from ..idblock import DEFAULT_POLICY
from ..session import seeded
from ..simulator.snp.firmware import SnpPlatform
from ..simulator.snp.host import SnpHost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..formats.report import Report
    from ..snp import Region

#: Certificates come in this order from a platform.
LEAF, ASK, ARK = range(3)


class Started(namedtuple("Started", "platform report certificates")):
    """The platform, the parsed report, and its certificates: leaf, ASK, ARK (DER)."""

    __slots__ = ()
    platform: SnpPlatform
    report: Report
    certificates: tuple[bytes, ...]


def start(
    inputs: dict[str, Any],
    seed: str,
    *,
    product: str = "Milan",
    version: int = 3,
    current: Mapping[str, int] | None = None,
    regions: Sequence[Region] | None = None,
    **reported: int,
) -> Started:
    """Start a guest on a platform that follows from *seed*, and let it ask for a report.

    *inputs* are those of :func:`sevlab.load_snp_launch`. *current* are parts of the platform's TCB, and *reported*
    those in which REPORTED_TCB is otherwise. *regions* are loaded in place of those that follow from the inputs.
    """
    platform = SnpPlatform(product=product, version=version, tcb=current, random=seeded(seed.encode()))
    platform.snp_init()
    if reported:
        platform.config(platform.make_tcb({**(current or {}), **reported}))
    host = SnpHost(platform, inputs, DEFAULT_POLICY, regions)
    host.start()
    for region in host.regions:
        host.load(region)
    host.finish(None, False, bytes(32))
    answer = host.request(0, ReportRequest(report_data=bytes(64), vmpl=0, key_sel=0).to_bytes())
    report = parse_report(answer[HEADER:], product)
    return Started(platform, report, platform.certificates(report))
