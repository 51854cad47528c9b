"""A23: reports from nowhere, signed with keys that follow from a chip's leaked seed.

The VCEK of a chip follows from its seed and a TCB version. While the seed is in the chip, firmware of an old TCB cannot
make the key of a newer one; that is what makes a rule about the TCB worth anything. Whoever has the seed has all of the
chip's keys, those for TCBs that no firmware ever had among them.

How a real key follows from the seed is not known to us, only that it does. Here any TCB's key follows in one step,
which is our own making. Source: arXiv 2605.12990 (abstract); incidents A23; snp-launch 6.
"""

from __future__ import annotations

from ..chain import ecdsa_sign
from ..formats.sev_certs import ECDSA_SHA384

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..formats.report import Report
    from ..simulator.snp.firmware import SnpPlatform

#: The highest security version number there can be.
HIGHEST = 255
#: The TCBs that a report tells.
_TCBS = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")


def mint_report(platform: SnpPlatform, like: Report, svn: int = HIGHEST, **changes: Any) -> Report:
    """Return a report that no firmware made: *like* another one, each part of each TCB at *svn*, and *changes*.

    It is signed with the VCEK that the platform's leaked seed gives for that TCB. Raises
    :class:`~sevlab.simulator.status.FirmwareError` when the seed did not leak.
    """
    key_of = platform.leak()
    tcb = platform.make_tcb(dict.fromkeys(platform.current.tcb.parts, svn))
    report = like.replace(**{**dict.fromkeys(_TCBS, tcb), **changes})
    made = ecdsa_sign(key_of(report.reported_tcb), report.signed, ECDSA_SHA384)
    return report.replace(r=made.r, s=made.s)
