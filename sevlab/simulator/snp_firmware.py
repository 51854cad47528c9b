"""The secure processor under SEV-SNP: the commands that make and launch a guest, and the reports it asks for.

Each command has its checks in the firmware's order. A guest's messages are plain here. In reality each is encrypted and
numbered under a VMPCK (AES-256-GCM), so that the host, who carries them, can neither read, change nor replay them.

Source: snp-launch 1.4, 2, 3 and 6 (AMD 56860, SNP ABI; AMD-ASPFW).
"""

from __future__ import annotations

from ..attestation.crypto import ecdsa_sign
from ..attestation.id_block import SignedIdBlock, verify_id_block
from ..formats.id_block import ECDSA_P384_SHA384, IdAuth, IdBlock
from ..formats.page_info import CPUID, DIGEST, HASHED_TYPES, PAGE, SECRETS, VMSA, ZERO, ZEROS, PageInfo, PageType
from ..formats.policy import SnpPolicy
from ..formats.report import NO_KEY, SIZE, VCEK, VLEK, Report, ReportRequest, ReportResponse, parse_report
from ..formats.sev_certs import ECDSA_SHA384
from ..formats.status import NUMBER
from ..formats.vmsa import Vmsa
from ..launch.keys import SecretBytes
from ..launch.pages import hash_pages, hash_vmsa
from ..layout.structure import Layout
from .memory import RmpEntry
from .snp_commands import (
    CPUID_LIMIT,
    LARGE_PAGE,
    SECRETS_VERSION,
    CpuidEntry,
    CpuidPage,
    SecretsFlags,
    SecretsPage,
    SnpLaunchFinish,
    SnpLaunchStart,
    SnpLaunchUpdate,
)
from .snp_platform import ABI, ASIDS, RMP_AT, RMP_END, VMPLS, Context, Processor
from .status import FirmwareError, demand

#: What KEY_SEL may be: VLEK if there is one and else VCEK, VCEK, VLEK.
ANY_KEY, VCEK_ONLY, VLEK_ONLY = 0, 1, 2
#: Pages that always have 4 KiB.
_SMALL_ONLY = frozenset({VMSA, SECRETS, CPUID})
#: Bits of the policy that firmware of ABI 1.55 takes for reserved.
_NEW_BITS = SnpPolicy.cxl_allow.mask | SnpPolicy.mem_aes_256_xts.mask | SnpPolicy.rapl_dis.mask
_NEW_BITS |= SnpPolicy.ciphertext_hiding_dram.mask | SnpPolicy.page_swap_disable.mask

#: What a chip cannot do, so that no CPUID page may claim it: (function, subfunction) to bits by register. Only two
#: features (AVX-512 and 5-level paging, which came with Genoa), because the firmware's whole list is not published.
CANNOT = {"Milan": {(7, 0): {"ebx": 1 << 16, "ecx": 1 << 16}}}


class SnpPlatform(Processor):
    """A platform with SEV-SNP: all commands, also those that make and launch guests and answer their messages."""

    def gctx_create(self, address: int) -> None:
        """SNP_GCTX_CREATE: make a page of the firmware's a guest's context. The order of checks is chosen here."""
        demand(address % PAGE == 0, "INVALID_PARAM", "no page's address")
        self._ready()
        demand(self.rmp.entry(address).state == "FIRMWARE", "INVALID_PAGE_STATE", self.rmp.entry(address).state)
        self.rmp.change(address, context=True)
        # The TCB that runs now is the guest's LAUNCH_TCB.
        self.contexts[address] = Context(self.memory, self._key, address, self.current.tcb)

    def launch_start(self, command: SnpLaunchStart) -> None:
        """SNP_LAUNCH_START: check the policy, and draw the guest's keys."""
        self._demand_form(command, command.gctx_paddr, command.ma_gctx_paddr, but="policy")
        self._ready()
        context = self._context(command.gctx_paddr)
        context.demand("INIT")
        agent = self._context(command.ma_gctx_paddr) if command.flags.ma_en else None
        self._check_policy(command.policy, agent)
        context.policy, context.flags, context.agent = command.policy, command.flags, agent
        context.gosvw = command.gosvw
        context.memory_key = SecretBytes(self._random(32))
        context.vmpck = [SecretBytes(self._random(32)) for _ in range(VMPLS)]
        context.report_id = self._random(32)
        context.state = "LAUNCH"

    def _check_policy(self, policy: SnpPolicy, agent: Context | None) -> None:
        def check(right: object, why: str) -> None:
            demand(right, "POLICY_FAILURE", why)

        check(agent is None or policy.migrate_ma, "the policy forbids a migration agent")
        check(agent is None or agent.agent is None, "the migration agent has an agent itself")
        check(policy.must_be_one, "bit 17 of the policy must be 1")
        check(policy.smt or not self.smt, "the policy forbids SMT, which is on")
        asked, there = (policy.abi_major, policy.abi_minor), (self.current.major, self.current.minor)
        check(asked <= there, "the policy asks for a newer firmware")
        old = there <= ABI[2] and int(policy) & _NEW_BITS
        check(not policy.reserved_26 and not old, "reserved bits of the policy are set")
        check(not policy.single_socket or agent is None or agent.policy.single_socket, "the agent is not single socket")

    def activate(self, address: int, asid: int) -> None:
        """SNP_ACTIVATE: bind a guest to an address space number. The order of these checks is chosen here."""
        demand(address % PAGE == 0, "INVALID_PARAM", "no page's address")
        self._ready()
        context = self._context(address)
        demand(context.state != "INIT", "INVALID_GUEST_STATE", "INIT; needed LAUNCH or RUNNING")
        demand(0 < asid <= ASIDS, "INVALID_ASID")
        demand(not context.asid, "ACTIVE")
        demand(all(other.asid != asid for other in self.contexts.values()), "ASID_OWNED")
        demand(asid not in self._unflushed, "DF_FLUSH_REQUIRED")
        context.asid = asid

    def launch_update(self, command: SnpLaunchUpdate) -> None:
        """SNP_LAUNCH_UPDATE: measure a page of 4 KiB, or 512 of them, and make them the guest's."""
        self._demand_form(command, command.gctx_paddr, command.page_paddr)
        self._ready()
        context = self._context(command.gctx_paddr)
        address, flags = command.page_paddr, command.flags
        entry = self.rmp.entry(address)
        demand(entry.state == "PRE-GUEST", "INVALID_PAGE_STATE", entry.state)
        demand(bool(flags.page_size) == entry.large, "INVALID_PAGE_SIZE", "the page is of another size")
        demand(not entry.large or address % LARGE_PAGE == 0, "INVALID_ADDRESS", "not where a page of 2 MiB begins")
        small = flags.page_type not in _SMALL_ONLY or not entry.large
        demand(small, "INVALID_PAGE_SIZE", f"a {PageType(flags.page_type).short} page has 4 KiB")
        demand(flags.page_type in PageType.NAMES, "INVALID_PARAM", f"page type {flags.page_type}")
        context.demand("LAUNCH")
        demand(context.asid, "INACTIVE")
        demand(entry.asid == context.asid, "INVALID_PAGE_OWNER", f"it belongs to ASID {entry.asid}")
        demand(flags.imi_page or not context.flags.imi_en, "INVALID_PARAM", "no page of the migration image")
        if flags.page_type == CPUID:
            self._check_cpuid(address)
        for offset in range(0, LARGE_PAGE if entry.large else PAGE, PAGE):
            page = self.memory.read(address + offset, PAGE)
            context.measure(_page_info(command, entry.gpa + offset * (flags.page_type != VMSA), page))
            loaded = self._loaded(context, flags.page_type, page)
            self.memory.write(address + offset, loaded, context.memory_key.reveal())
        self.rmp.change(address, validated=True, immutable=False)

    def _loaded(self, context: Context, page_type: int, page: bytes) -> bytes:
        if page_type == ZERO:
            return bytes(PAGE)
        if page_type != SECRETS:
            return page
        filled = SecretsPage.from_bytes(bytes(PAGE)).replace(
            version=SECRETS_VERSION,
            flags=SecretsFlags(context.flags.imi_en),
            fms=self.cpu.signature,
            gosvw=context.gosvw,
            **{f"vmpck{number}": key.reveal() for number, key in enumerate(context.vmpck)},
        )
        return filled.to_bytes()

    def _check_cpuid(self, address: int) -> None:
        """Check a CPUID page. A wrong one is corrected where it lies, so that the host can look and try again."""
        page = CpuidPage.from_bytes(self.memory.read(address, PAGE))
        demand(
            page.count <= CPUID_LIMIT,
            "INVALID_PARAM",
            f"{page.count} entries of CPUID; at most {CPUID_LIMIT}",
        )
        entries = [self._possible(entry) for entry in page.entries]
        if entries != page.entries:
            self.memory.write(address, CpuidPage.of(entries).to_bytes())
            raise FirmwareError("INVALID_PARAM", "CPUID claims what the chip cannot do; the page was corrected")

    def _possible(self, entry: CpuidEntry) -> CpuidEntry:
        cannot = CANNOT.get(self.product, {}).get((int(entry.eax_in), int(entry.ecx_in)), {})
        return entry.replace(**{name: getattr(entry, name) & ~bits for name, bits in cannot.items()})

    def launch_finish(self, command: SnpLaunchFinish) -> None:
        """SNP_LAUNCH_FINISH: check the ID block, if there is one, and let the guest run."""
        self._demand_form(command, command.gctx_paddr)
        self._ready()
        context = self._context(command.gctx_paddr)
        demand(not context.flags.imi_en, "INVALID_GUEST_STATE", "a launch of a migration image ends otherwise")
        context.demand("LAUNCH")
        demand(context.asid, "INACTIVE")
        signed, enabled = None, bool(command.flags.auth_key_en)
        if command.flags.id_block_en:
            block = IdBlock.from_bytes(self.memory.read(command.id_block_paddr, IdBlock.size))
            auth = IdAuth.from_bytes(self.memory.read(command.id_auth_paddr, IdAuth.size))
            signed = SignedIdBlock(block, auth)
            verdict = verify_id_block(signed, context.digest, int(context.policy), author_key_enabled=enabled)
            if verdict.refusal:
                raise FirmwareError(verdict.firmware_status, f"{verdict.refusal.name}: {verdict.refusal.note}")
        context.id_block, context.author_key_enabled = signed, enabled and signed is not None
        context.vcek_disabled, context.host_data = bool(command.flags.vcek_dis), command.host_data
        context.state = "RUNNING"

    def dbg_decrypt(self, address: int, page: int) -> bytes:
        """SNP_DBG_DECRYPT: a page of a guest in clear, if the policy allows debugging. The order is chosen here."""
        self._ready()
        context = self._context(address)
        demand(context.policy.debug, "POLICY_FAILURE", "the policy forbids debugging")
        demand(self.rmp.entry(page).asid == context.asid != 0, "INVALID_PAGE_OWNER")
        return self.memory.read(page, PAGE, context.memory_key.reveal())

    def page_reclaim(self, address: int) -> None:
        """SNP_PAGE_RECLAIM: let the host have an immutable page again, by RMPUPDATE. Not a guest's context."""
        self._ready()
        entry = self.rmp.entry(address)
        demand(entry.immutable and entry.state != "CONTEXT", "INVALID_PAGE_STATE", entry.state)
        demand(not RMP_AT <= address < RMP_END, "INVALID_PAGE_STATE", "the table's own page")
        self.rmp.put(address, RmpEntry(assigned=True, large=entry.large))

    def decommission(self, address: int) -> None:
        """SNP_DECOMMISSION: end a guest, in any state. Its context page is an ordinary one of the firmware's again."""
        self._ready()
        self._release(self._context(address))
        del self.contexts[address]
        self.rmp.change(address, context=False)

    def guest_request(self, address: int, vmpl: int, request: bytes) -> bytes:
        """SNP_GUEST_REQUEST with MSG_REPORT_REQ (96 bytes), under the key of a *vmpl*; the order of checks is ours.

        Returns MSG_REPORT_RSP: a header of 32 bytes, and the report unless the header says otherwise.
        """
        self._ready()
        context = self._context(address)
        context.demand("RUNNING")
        demand(0 <= vmpl < VMPLS, "INVALID_PARAM", f"VMPL {vmpl}; there are 0 to {VMPLS - 1}")
        demand(len(request) == ReportRequest.size, "INVALID_PARAM", f"a request of {len(request)} bytes")
        asked = ReportRequest.from_bytes(request)
        if asked.findings() or not vmpl <= asked.vmpl < VMPLS or asked.key_sel not in (ANY_KEY, VCEK_ONLY, VLEK_ONLY):
            return _answer("INVALID_PARAM")
        key = self._choose_key(context, asked.key_sel)
        return _answer("INVALID_KEY") if key is None else _answer("SUCCESS", self._report(context, asked, key))

    def _choose_key(self, context: Context, key_sel: int) -> int | None:
        if key_sel == VLEK_ONLY or (key_sel == ANY_KEY and self.csp_id):
            return VLEK if self.csp_id else None
        if context.vcek_disabled:
            return None
        return NO_KEY if self.mask_chip_key else VCEK

    def _report(self, context: Context, asked: ReportRequest, key: int) -> Report:
        info = {"smt_en": self.smt}
        versions = {
            f"{kind}_{name}": getattr(firmware, name)
            for kind, firmware in (("current", self.current), ("committed", self.committed))
            for name in ("major", "minor", "build")
        }
        if self.version >= 3:
            info["alias_check_complete"] = "aliased-memory" not in self.faults
            versions |= zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), self.cpu, strict=True)
        signed, author = context.id_block, context.author_key_enabled
        blank = parse_report(self.version.to_bytes(4, "little").ljust(SIZE, b"\0"), self.product)
        key_info = blank.key_info.replace(author_key_en=author, mask_chip_key=self.mask_chip_key, signing_key=key)
        report = blank.replace(
            policy=context.policy,
            vmpl=asked.vmpl,
            signature_algo=ECDSA_P384_SHA384,
            current_tcb=self.current.tcb,
            platform_info=blank.platform_info.replace(**info),
            key_info=key_info,
            report_data=asked.report_data,
            measurement=context.digest,
            host_data=context.host_data,
            report_id=context.report_id,
            report_id_ma=context.report_id_ma,
            reported_tcb=self.reported_tcb,
            chip_id=bytes(64) if self.mask_chip_id else self.chip_id,
            committed_tcb=self.committed.tcb,
            launch_tcb=context.launch_tcb,
            **versions,
        )
        if signed is not None:
            report = report.replace(
                guest_svn=signed.block.guest_svn,
                family_id=signed.block.family_id,
                image_id=signed.block.image_id,
                id_key_digest=signed.auth.id_key_digest,
                author_key_digest=signed.auth.author_key_digest if author else bytes(DIGEST),
            )
        if key == NO_KEY:
            return report
        product, tcb, server = self.product, self.reported_tcb, self.server
        private = (
            server.vlek_key(product, self.csp_id, tcb) if key == VLEK else server.vcek_key(product, self.chip_id, tcb)
        )
        made = ecdsa_sign(private, report.signed, ECDSA_SHA384)
        return report.replace(r=made.r, s=made.s)

    def certificates(self, report: Report) -> tuple[bytes, bytes, bytes]:
        """Return the certificates that belong to a report of this platform (DER): leaf, the one above it, root."""
        if report.key_info.signing_key == VLEK:
            leaf = self.server.vlek(self.product, self.csp_id, report.reported_tcb)
            return leaf, self.server.asvk(self.product), self.server.ark(self.product)
        leaf = self.server.vcek(self.product, self.chip_id, report.reported_tcb)
        return leaf, self.server.ask(self.product), self.server.ark(self.product)

    @staticmethod
    def _demand_form(command: Layout, *addresses: int, but: str = "") -> None:
        """Refuse reserved bits that are set, and addresses that are not those of whole pages."""
        found = [span.name for span in command.spans() if span.finding and span.name != but]
        demand(not found, "INVALID_PARAM", f"reserved bits: {', '.join(found)}")
        demand(all(address % PAGE == 0 for address in addresses), "INVALID_PARAM", "no page's address")


def _page_info(command: SnpLaunchUpdate, gpa: int, page: bytes) -> PageInfo:
    """Return the link that a page adds; the context puts in the digest before it."""
    page_type, contents = command.flags.page_type, ZEROS
    if page_type in HASHED_TYPES:
        contents = hash_vmsa(Vmsa.from_bytes(page)) if page_type == VMSA else hash_pages(page)[0]
    return PageInfo(
        digest_cur=ZEROS,
        contents=contents,
        page_type=page_type,
        imi_page=command.flags.imi_page,
        vmpl1_perms=command.vmpl1_perms,
        vmpl2_perms=command.vmpl2_perms,
        vmpl3_perms=command.vmpl3_perms,
        gpa=gpa,
    )


def _answer(status: str, report: Report | None = None) -> bytes:
    raw = report.to_bytes() if report else b""
    return ReportResponse(status=NUMBER[status], report_size=len(raw)).to_bytes() + raw
