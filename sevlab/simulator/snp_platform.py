"""The platform under SEV-SNP: its commands, and each guest's context.

A command returns what the firmware returns, or raises :class:`~sevlab.simulator.status.FirmwareError` with its status.
What the processor itself refuses is an :class:`~sevlab.simulator.status.RmpFault`. A comment marks each order or status
that the specification leaves open.

The firmware keeps a guest's context in a page of ordinary memory, encrypted under a key of its own. Only the place of
the launch digest in that page is known (incident A16), so the rest is kept in Python.

Source: snp-launch 1 and 6.3 (AMD 56860, SNP ABI; AMD-ASPFW).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..attestation.id_block import SignedIdBlock
from ..formats.page_info import DIGEST, PAGE, ZEROS, PageInfo
from ..formats.policy import SnpPolicy
from ..formats.report import TCB_FORMS, TURIN_CHIP_ID, Tcb
from ..launch.keys import SecretBytes
from ..launch.vmm import CPU_MODELS
from ..layout.structure import Layout, at
from .kds import KeyServer
from .memory import Memory, Rmp, RmpEntry
from .snp_commands import PlatformFlags, RmpFlags, SnpPlatformStatus, StartFlags
from .status import FirmwareError, demand

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


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

    def __init__(self, memory: Memory, key: SecretBytes, address: int, launch_tcb: Tcb) -> None:
        self._memory, self._key, self.address, self.launch_tcb = memory, key, address, launch_tcb
        self.state, self.asid = "INIT", 0
        self.policy, self.flags = SnpPolicy(0), StartFlags(0)
        self.agent: Context | None = None
        self.memory_key = SecretBytes(bytes(32))
        self.vmpck = [SecretBytes(bytes(32))] * VMPLS
        self.report_id, self.gosvw, self.host_data = bytes(32), bytes(16), bytes(32)
        self.imi_digest = ZEROS
        self.id_block: SignedIdBlock | None = None
        self.author_key_enabled = self.vcek_disabled = False
        memory.write(address, bytes(PAGE), key.reveal())

    @property
    def digest(self) -> bytes:
        """The launch digest (48 bytes), read from the context page."""
        return self._memory.read(*self.digest_range, self._key.reveal())

    @property
    def digest_range(self) -> tuple[int, int]:
        """Where the launch digest lies in the machine's memory: address and number of bytes."""
        return self.address + _DIGEST_AT, DIGEST

    @property
    def report_id_ma(self) -> bytes:
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


#: Historical faults that can be switched on, and what each leaves out.
FAULTS = {
    "no-rmp-check": "the host may write to any page (to see what the reverse map table is for)",
    "rmp-open-at-init": "SNP_INIT leaves the reverse map table open while it sets it up (RMPocalypse, CVE-2025-0033)",
    "aliased-memory": "SNP_INIT does not look for two addresses of one cell (BadRAM, CVE-2024-21944)",
    "leaked-vcek-seed": "the seed of the chip's keys can be read out (arXiv 2605.12990)",
}
#: The ABI that first makes each version of the report (snp-launch 6.2).
ABI = {2: (1, 55), 3: (1, 56), 5: (1, 58)}
#: The default SVN of each part.
PARTS = {"fmc": 1, "bl": 4, "tee": 0, "snp": 24, "ucode": 219}
ASIDS = 509
#: Where the reverse map table itself lies, and the first page after it.
RMP_AT, RMP_END = 0x10_0000, 0x20_0000


@dataclass(frozen=True)
class Version:
    """A firmware: version of its ABI, build, TCB."""

    major: int
    minor: int
    build: int
    tcb: Tcb


class Processor:
    """The processor, its memory, and the platform's commands.

    *product* is "Milan", "Genoa" or "Turin"; *version* that of its reports (2, 3 or 5), from which the firmware's ABI
    follows; *tcb* the SVN of each part (see :data:`PARTS`); *smt* whether two threads share a core. *random* returns
    random bytes; :func:`sevlab.attestation.session.seeded` makes a run that can be repeated. *faults* are keys of
    :data:`FAULTS`. *aliases* are pages whose memory module lies: the page at each key is the one at its value. *server*
    has the keys that AMD knows of the chip.
    """

    def __init__(
        self,
        *,
        product: str = "Milan",
        version: int = 3,
        build: int = 25,
        tcb: Mapping[str, int] | None = None,
        smt: bool = True,
        random: Callable[[int], bytes] = secrets.token_bytes,
        faults: frozenset[str] | set[str] = frozenset(),
        aliases: Mapping[int, int] | None = None,
        server: KeyServer | None = None,
    ) -> None:
        if unknown := sorted(set(faults) - set(FAULTS)):
            raise TypeError(f"no fault is named {unknown[0]!r}; there are {', '.join(FAULTS)}")
        if product not in TCB_FORMS or version not in ABI:
            raise TypeError(f"products are {', '.join(TCB_FORMS)}, and versions {', '.join(map(str, ABI))}")
        self.product, self.version, self.smt, self.faults = product, version, smt, frozenset(faults)
        self.cpu = CPU_MODELS[f"EPYC-{product}"]
        self.server = server or KeyServer()
        self.memory, self.rmp = Memory(), Rmp()
        self.memory.aliases = {key // PAGE: value // PAGE for key, value in (aliases or {}).items()}
        self._random = random
        self._key = SecretBytes(random(32))
        self.chip_id = random(TURIN_CHIP_ID if product == "Turin" else 64).ljust(64, b"\0")
        self.current = self.committed = Version(*ABI[version], build, self.make_tcb(tcb or {}))
        self.reported_tcb = self.current.tcb
        self.mask_chip_id = self.mask_chip_key = False
        #: Names the cloud whose VLEK is loaded; "" when none is.
        self.csp_id = ""
        self.is_init = False
        self.contexts: dict[int, Context] = {}
        #: Where each guest's pages are, as the host's page tables have it: (ASID, guest address), machine address.
        self.tables: dict[tuple[int, int], int] = {}
        self._unflushed: set[int] = set()
        #: Whether a host wrote to the reverse map table before the firmware could keep it from that.
        self._rmp_taken = False

    def make_tcb(self, parts: Mapping[str, int]) -> Tcb:
        """Return a TCB version of this product; parts that are not given are those of :data:`PARTS`."""
        if unknown := sorted(set(parts) - set(PARTS)):
            raise TypeError(f"no part of a TCB is named {unknown[0]!r}; there are {', '.join(PARTS)}")
        form = TCB_FORMS[self.product]
        return form(**{name: {**PARTS, **parts}[name] for name in form.part_names()})

    def snp_init(self, meanwhile: Callable[[], None] | None = None) -> None:
        """SNP_INIT: take the reverse map table over, which then covers itself, so that no host writes to it.

        *meanwhile* is what other cores do in that time: with the fault ``rmp-open-at-init``, write to the table before
        that. The status for aliased memory is chosen here.
        """
        demand(not self.is_init, "INVALID_PLATFORM_STATE", "INIT; needed UNINIT")
        if "aliased-memory" not in self.faults:
            demand(not self.memory.aliases, "HWERROR_UNSAFE", "two addresses are one cell of memory")
        self.rmp, self._rmp_taken = Rmp(), False
        if "rmp-open-at-init" not in self.faults:
            self._cover()
        if meanwhile is not None:
            meanwhile()
        if "rmp-open-at-init" in self.faults and not self._rmp_taken:
            self._cover()
        self.is_init = True

    def _cover(self) -> None:
        for address in range(RMP_AT, RMP_END, PAGE):
            self.rmp.put(address, RmpEntry(assigned=True, immutable=True))

    def write_rmp(self, address: int, entry: RmpEntry) -> None:
        """What a host can do where the table is open to it: set the entry of the page at *address* to anything.

        Raises :class:`~sevlab.simulator.status.RmpFault` where it is not open. A host that writes within the window of
        ``rmp-open-at-init`` keeps the table's own pages to itself, so that the window never closes.
        """
        self.rmp.check_host_write(RMP_AT, RMP_END - RMP_AT)
        self._rmp_taken = True
        self.rmp.put(address, entry)

    def snp_shutdown(self) -> None:
        """SNP_SHUTDOWN: end every guest. Memory keeps its content, but no key decrypts it any more."""
        for context in list(self.contexts.values()):
            self._release(context)
        self.contexts.clear()
        self.tables.clear()
        self.is_init, self.rmp = False, Rmp()

    def platform_status(self) -> SnpPlatformStatus:
        """SNP_PLATFORM_STATUS, in any state."""
        masks = {"mask_chip_id": self.mask_chip_id, "mask_chip_key": self.mask_chip_key}
        flags = PlatformFlags(0).replace(**masks, vlek_en=bool(self.csp_id))
        return SnpPlatformStatus(
            api_major=self.current.major,
            api_minor=self.current.minor,
            state=int(self.is_init),
            rmp=RmpFlags(int(self.is_init)),
            build_id=self.current.build,
            flags=flags,
            guest_count=len(self.contexts),
            tcb_version=self.current.tcb.to_bytes(),
            reported_tcb=self.reported_tcb.to_bytes(),
        )

    def config(
        self, reported_tcb: Tcb | None = None, *, mask_chip_id: bool | None = None, mask_chip_key: bool | None = None
    ) -> None:
        """SNP_CONFIG: choose the TCB that reports are signed for, not above the committed one, and what they hide."""
        self._ready()
        if reported_tcb is not None:
            below = self.committed.tcb.below(reported_tcb.parts)
            demand(not below, "INVALID_PARAM", f"above the committed TCB: {', '.join(below)}")
            self.reported_tcb = reported_tcb
        self.mask_chip_id = self.mask_chip_id if mask_chip_id is None else mask_chip_id
        self.mask_chip_key = self.mask_chip_key if mask_chip_key is None else mask_chip_key

    def download_firmware_ex(self, parts: Mapping[str, int], build: int) -> None:
        """DOWNLOAD_FIRMWARE_EX: run another firmware, with the SVN of each part. What was committed stays the floor."""
        self._ready()
        tcb = self.make_tcb(parts)
        old = tcb.below(self.committed.tcb.parts)
        demand(not old, "BAD_SVN", f"below the committed TCB: {', '.join(old)}")
        self.current = Version(self.current.major, self.current.minor, build, tcb)

    def commit(self) -> None:
        """SNP_COMMIT: no firmware older than the current one will be taken any more."""
        self._ready()
        self.committed = self.current

    def vlek_load(self, csp_id: str) -> None:
        """SNP_VLEK_LOAD: take the key of a cloud, named *csp_id*. The wrapped form it comes in is left out."""
        self._ready()
        demand(csp_id.isascii() and 0 < len(csp_id) < 128, "INVALID_PARAM", "a cloud's name has 1 to 127 ASCII letters")
        self.csp_id = csp_id

    def leak(self) -> Callable[[Tcb], EllipticCurvePrivateKey]:
        """Take the seed, and so every VCEK of the chip (simplified), as an attacker's code in the processor does.

        Not a command. It needs the fault ``leaked-vcek-seed``.
        """
        demand("leaked-vcek-seed" in self.faults, "UNSUPPORTED", "the seed does not leave the chip")
        return lambda tcb: self.server.vcek_key(self.product, self.chip_id, tcb)

    def df_flush(self) -> None:
        """DF_FLUSH: address space numbers that were given back can be used again."""
        self._ready()
        self._unflushed.clear()

    def host_write(self, address: int, data: bytes) -> None:
        """Write as the host. The reverse map table refuses pages that are not its own."""
        if "no-rmp-check" not in self.faults:
            self.rmp.check_host_write(address, len(data))
        self.memory.write(address, data)

    def host_read(self, address: int, size: int) -> bytes:
        """Read as the host: of a guest's pages it sees ciphertext."""
        return self.memory.read(address, size)

    def map_page(self, asid: int, gpa: int, address: int) -> None:
        """Set the host's page tables: the guest finds the page at *address* at its own address *gpa*."""
        self.tables[asid, gpa] = address

    def guest_read(self, asid: int, gpa: int, size: int) -> bytes:
        """Read as a guest, within one page: where the host's page tables lead, if the reverse map table agrees."""
        address = self._guest_address(asid, gpa, size)
        self.rmp.check_guest(asid, address, gpa)
        return self.memory.read(address, size, self._owner(asid).memory_key.reveal())

    def guest_write(self, asid: int, gpa: int, data: bytes) -> None:
        """Write as a guest, within one page."""
        address = self._guest_address(asid, gpa, len(data))
        self.rmp.check_guest(asid, address, gpa)
        self.memory.write(address, data, self._owner(asid).memory_key.reveal())

    def guest_validate(self, asid: int, gpa: int, *, accept: bool = True) -> bool:
        """PVALIDATE as a guest; returns whether that changed anything."""
        return self.rmp.validate(asid, self._guest_address(asid, gpa, 1), gpa, accept=accept)

    def _guest_address(self, asid: int, gpa: int, size: int) -> int:
        start = gpa - gpa % PAGE
        if gpa + size > start + PAGE or (asid, start) not in self.tables:
            raise FirmwareError("INVALID_ADDRESS", f"0x{gpa:x} and {size} bytes are not one page that is there")
        return self.tables[asid, start] + gpa % PAGE

    def _owner(self, asid: int) -> Context:
        owner = next((context for context in self.contexts.values() if context.asid == asid), None)
        if owner is None:
            raise FirmwareError("INVALID_ASID", f"no guest has ASID {asid}")
        return owner

    def _ready(self) -> None:
        demand(self.is_init, "INVALID_PLATFORM_STATE", "UNINIT; needed INIT")

    def _context(self, address: int) -> Context:
        there = self.rmp.entry(address).state == "CONTEXT" and address in self.contexts
        demand(there, "INVALID_GUEST", f"0x{address:x} is no guest's context page")
        return self.contexts[address]

    def _release(self, context: Context) -> None:
        if context.asid:
            self._unflushed.add(context.asid)
            self.tables = {place: address for place, address in self.tables.items() if place[0] != context.asid}
            context.asid = 0
