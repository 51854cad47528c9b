"""A07: a policy that allows debugging. No fault is needed: the firmware does what the policy says.

In SEV the owner's session binds the policy, so only the owner can allow it. In SEV-SNP the host chooses the policy, and
the report says which one it was: whoever does not look has attested a guest that the host can read.

Source: incidents A07; sev-launch 5, snp-launch 4.
"""

from __future__ import annotations

from ..formats.page_info import PAGE
from ..formats.snpcommand import SnpLaunchStart
from ..simulator.snp.host import ASID, CONTEXT_AT
from .attempt import Attempt, attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..simulator.snp.launch import SimulatedSnpLaunch


def allow_debug(command: bytes) -> bytes:
    """Return SNP_LAUNCH_START (48 bytes) with the policy's debug bit set: what a host changes on the way."""
    start = SnpLaunchStart.from_bytes(command)
    return start.replace(policy=start.policy.replace(debug=1)).to_bytes()


def debug_page(run: SimulatedSnpLaunch, gpa: int) -> Attempt:
    """Have the firmware decrypt the guest's page at *gpa* for the host (SNP_DBG_DECRYPT); see what it says."""
    page = run.platform.tables.get((ASID, gpa - gpa % PAGE), 0)
    return attempt(run.platform.dbg_decrypt, CONTEXT_AT, page)
