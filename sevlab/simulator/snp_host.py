"""The host of a SEV-SNP guest: loads pages as QEMU with KVM does, and hands messages on.

Nobody has to trust it: ``tamper`` changes any one thing it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..attestation.id_block import SignedIdBlock
from ..errors import InputError
from ..formats.id_block import IdAuth, IdBlock
from ..formats.page_info import PAGE
from ..formats.policy import SnpPolicy
from ..formats.report import HEADER, SIZE, ReportRequest
from ..launch.pages import Region
from ..launch.snp import load_snp_launch
from .parties import Carrier
from .snp_commands import FinishFlags, SnpLaunchFinish, SnpLaunchStart, SnpLaunchUpdate, UpdateFlags
from .snp_firmware import SnpPlatform

#: Where things go in our small memory. The digest binds none of it.
CONTEXT_AT, BLOCK_AT, AUTH_AT, PAGES_AT = 0x20_0000, 0x20_1000, 0x20_2000, 0x40_0000
ASID = 1
#: Messages that a host can change, beside the pages, and how many bytes each has.
MESSAGE_SIZES = {
    "launch start": SnpLaunchStart.size,
    "launch finish": SnpLaunchFinish.size,
    "id block": IdBlock.size,
    "id auth": IdAuth.size,
    "report request": ReportRequest.size,
    "report response": HEADER + SIZE,
}


class SnpHost(Carrier):
    """A host with a platform, and the inputs that it starts the guest with.

    *inputs* are as in :func:`sevlab.load_snp_launch`. ``tamper`` maps names of regions (as the launch calls them) and
    of messages (:data:`MESSAGE_SIZES`) to functions that change their bytes. *regions* are loaded instead of what
    follows from the inputs. Raises :class:`~sevlab.errors.InputError` for inputs without the firmware's own pages.
    """

    def __init__(
        self, platform: SnpPlatform, inputs: Mapping[str, object], policy: int, regions: Sequence[Region] | None = None
    ) -> None:
        super().__init__()
        self.platform, self.inputs, self.policy = platform, dict(inputs), SnpPolicy(policy)
        if self.inputs.get("ovmf_hash") is not None:
            needed = "the firmware itself, whose pages are loaded"
            raise InputError("ovmf_hash", "the digest after the firmware", needed)
        self.regions = load_snp_launch(**self.inputs).regions if regions is None else tuple(regions)
        self._next = PAGES_AT

    def pages(self, region: Region) -> bytes:
        """Return the pages that are loaded for a region, joined."""
        raw = b"".join(region.page(number) for number in range(len(region.contents)))
        return self.changed(region.name, raw)

    def start(self) -> SnpLaunchStart:
        """Make the guest's context, and begin the launch. Returns the command."""
        platform = self.platform
        platform.rmp.update(CONTEXT_AT, immutable=True)
        platform.gctx_create(CONTEXT_AT)
        blank = SnpLaunchStart.from_bytes(bytes(SnpLaunchStart.size))
        raw = blank.replace(gctx_paddr=CONTEXT_AT, policy=self.policy).to_bytes()
        command = SnpLaunchStart.from_bytes(self.changed("launch start", raw))
        platform.launch_start(command)
        platform.activate(CONTEXT_AT, ASID)
        return command

    def load(self, region: Region) -> bytes:
        """Give the guest the pages of a region. Returns their bytes."""
        platform, raw = self.platform, self.pages(region)
        flags = UpdateFlags(0).replace(page_type=region.page_type)
        blank = SnpLaunchUpdate.from_bytes(bytes(SnpLaunchUpdate.size)).replace(gctx_paddr=CONTEXT_AT, flags=flags)
        for number in range(len(raw) // PAGE):
            address, gpa = self._next, region.gpa + number * region.step
            self._next += PAGE
            platform.host_write(address, raw[number * PAGE : (number + 1) * PAGE])
            platform.rmp.update(address, asid=ASID, gpa=gpa, immutable=True)
            platform.map_page(ASID, gpa, address)
            platform.launch_update(blank.replace(page_paddr=address))
        return raw

    def launch(self) -> None:
        """Begin the launch, and load every region."""
        self.start()
        for region in self.regions:
            self.load(region)

    def finish(self, signed: SignedIdBlock | None, author_key_enabled: bool, host_data: bytes) -> tuple[bytes, bytes]:
        """End the launch. Returns the command, and ID block and ID authentication as they were passed (or nothing)."""
        flags, parts = FinishFlags(0), b""
        if signed is not None:
            flags = flags.replace(id_block_en=1, auth_key_en=int(author_key_enabled))
            block = self.changed("id block", signed.block.to_bytes())
            auth = self.changed("id auth", signed.auth.to_bytes())
            self.platform.host_write(BLOCK_AT, block)
            self.platform.host_write(AUTH_AT, auth)
            parts = block + auth
        command = SnpLaunchFinish(
            gctx_paddr=CONTEXT_AT, id_block_paddr=BLOCK_AT, id_auth_paddr=AUTH_AT, flags=flags, host_data=host_data
        )
        command = SnpLaunchFinish.from_bytes(self.changed("launch finish", command.to_bytes()))
        self.platform.launch_finish(command)
        return command.to_bytes(), parts

    def request(self, vmpl: int, request: bytes) -> bytes:
        """Carry a guest's request to the firmware and the answer back: a header, and the report."""
        answer = self.platform.guest_request(CONTEXT_AT, vmpl, self.changed("report request", request))
        return self.changed("report response", answer)
