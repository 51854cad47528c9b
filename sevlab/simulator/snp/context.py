"""What the firmware keeps of one SEV-SNP guest.

It lies in the guest's context page, in ordinary memory, encrypted under a key of the firmware's own. Of that page
only the place of the launch digest is known (incident A16), so only that lies in it here; the rest is kept aside.
"""

from __future__ import annotations

import hashlib

from ...formats.page_info import DIGEST, PAGE, ZEROS, PageInfo
from ...formats.policy import SnpPolicy
from ...formats.snpcommand import StartFlags
from ...keys import Secret
from ...layout.structure import Layout, at
from ..status import demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...formats.report import Tcb
    from ...idblock import SignedIdBlock
    from ..memory import Memory

#: REPORT_ID_MA of a guest without a migration agent.
NO_AGENT = b"\xff" * 32
VMPLS = 4


class ContextPage(Layout, size=PAGE, spec="De Meulemeester et al., BadRAM (CVE-2024-21944)"):
    """A guest's context page, as far as it is known."""

    unknown_0: bytes = at(0x000, 0x460, "Not known.", type=bytes, colour="grey")
    launch_digest: bytes = at(0x460, DIGEST, "The launch digest so far.", type=bytes, colour="teal")
    unknown_490: bytes = at(0x490, 0xB70, "Not known.", type=bytes, colour="grey")


_DIGEST_AT = next(row.offset for row in ContextPage.rows if row.name == "launch_digest")


class Context:
    """One guest. ``address`` is its context page's; ``asid`` is 0 while it is not active."""

    def __init__(self, memory: Memory, key: Secret, address: int, launch_tcb: Tcb) -> None:
        self._memory, self._key, self.address, self.launch_tcb = memory, key, address, launch_tcb
        self.state, self.asid = "INIT", 0
        self.policy, self.flags = SnpPolicy(0), StartFlags(0)
        self.agent: Context | None = None
        self.memory_key = Secret(bytes(32))
        self.vmpck = [Secret(bytes(32))] * VMPLS
        self.report_id, self.gosvw, self.host_data = bytes(32), bytes(16), bytes(32)
        self.imi_digest = ZEROS
        self.id_block: SignedIdBlock | None = None
        self.author_key_enabled = self.vcek_disabled = False
        memory.write(address, bytes(PAGE), key.reveal())

    @property
    def digest(self) -> bytes:
        """The launch digest (48 bytes), as it stands in the context page."""
        return self._memory.read(self.address + _DIGEST_AT, DIGEST, self._key.reveal())

    @property
    def digest_range(self) -> tuple[int, int]:
        """Where the launch digest lies in the machine's memory: address and number of bytes."""
        return self.address + _DIGEST_AT, DIGEST

    @property
    def report_id_ma(self) -> bytes:
        """The report id of the migration agent; all 0xff without one."""
        return self.agent.report_id if self.agent else NO_AGENT

    def measure(self, info: PageInfo) -> None:
        """Add one link to the launch digest, and for a page of the migration image to that one's."""
        digest = hashlib.sha384(info.replace(digest_cur=self.digest).to_bytes()).digest()
        self._memory.write(self.address + _DIGEST_AT, digest, self._key.reveal())
        if info.imi_page:
            self.imi_digest = hashlib.sha384(info.replace(digest_cur=self.imi_digest).to_bytes()).digest()

    def demand(self, state: str) -> None:
        """Refuse a command that needs another state."""
        demand(self.state == state, "INVALID_GUEST_STATE", f"{self.state}; needed {state}")
