"""The VMSA: the registers a virtual CPU starts with, one page per CPU.

A plain SEV guest's registers are not measured. For SEV-ES and SEV-SNP the host writes them into a VMSA (VM save area),
a page of 4096 bytes, and the firmware measures and encrypts the page. So every byte of it must be known to predict the
launch digest: SEV-ES hashes the page as it is; SEV-SNP does too, except that two fields count as zero.

The names and places are Linux' ``struct sev_es_save_area``. libvirt 9.0 and the sev crate read the bytes after 0x390
by an older naming, that of the GHCB (guest-hypervisor communication block); at launch both agree on the bytes.

Sources: vmsa 1.1, 1.2, 1.4 and 4 (Linux, AMD-ASPFW, sev-snp-measure 0.0.13).
"""

from __future__ import annotations

from collections import namedtuple

from ..layout.bits import Bits, bit, reserved_bits
from ..layout.compare import Comparison, sides
from ..layout.structure import Hex, Layout, at, reserved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..layout.span import Span
    from ..layout.views import View

SPEC = "Linux, struct sev_es_save_area; AMD 24593 (APM volume 2), appendix B"
MEANING, DIGEST, HARMLESS = "changes meaning", "changes the digest", "harmless"
#: What a difference in a field does, in three words and a sentence each.
EFFECTS = {
    MEANING: "The field decides which code the CPU runs, in which mode, or with which privileges and features. "
    "The launch digest differs as well.",
    DIGEST: "The field decides none of that. But every byte of the page is hashed, so the launch digest differs.",
    HARMLESS: "SEV-SNP firmware hashes the field as zero, so the launch digest is the same. SEV-ES hashes it.",
}
#: Fields that decide what the CPU does, and those that SEV-SNP hashes as zero.
_DECIDING = {
    *("cs", "gdtr", "idtr", "u_cet", "vmpl", "cpl", "efer", "xss", "cr4", "cr3", "cr0", "rflags", "rip", "s_cet"),
    *("star", "lstar", "cstar", "sfmask", "sysenter_cs", "sysenter_eip", "spec_ctrl", "sev_features", "vintr_ctrl"),
    *("virtual_tom", "event_inj", "xcr0"),
}
UNHASHED = ("guest_tsc_scale", "guest_tsc_offset")


class SegmentAttributes(Bits, size=2, spec="AMD 24593 (APM volume 2), segment attributes of the VMCB"):
    """Attributes of a segment, in the packed form of the VMCB (virtual machine control block)."""

    type = bit(0, "Kind of segment. 11: code, 3: data, 2: LDT, 11 and 3 without S: busy task state.", width=4)
    s = bit(4, "Code or data segment; clear: a system segment.")
    dpl = bit(5, "Descriptor privilege level: 0 is the kernel, 3 is user programs.", width=2)
    p = bit(7, "The segment is present.")
    avl = bit(8, "Free for use by software.")
    l = bit(9, "64-bit code.")  # noqa: E741 - the bit's name in every manual
    db = bit(10, "32-bit operands by default.")
    g = bit(11, "The limit counts pages of 4096 bytes.")
    reserved_12 = reserved_bits(12, 4)


class Segment(Layout, size=16, spec=SPEC + ", struct vmcb_seg"):
    """A segment register with its hidden part."""

    selector: int = at(0x0, 2, "Selector: its visible number.", type=Hex)
    attrib: SegmentAttributes = at(0x2, 2, "Attributes: kind, privilege, mode.", type=SegmentAttributes)
    limit: int = at(0x4, 4, "Limit: the last offset in it.", type=Hex)
    base: int = at(0x8, 8, "Base: the address it starts at.", type=Hex)


class SevFeatures(Bits, size=8, spec="AMD 24593 (APM volume 2), SEV_FEATURES; Linux; AMD-ASPFW"):
    """SEV features that are on for this virtual CPU."""

    snp_active = bit(0, "This is a SEV-SNP guest.")
    vtom = bit(1, "Addresses above VIRTUAL_TOM are shared with the host, those below are private.")
    reflect_vc = bit(2, "#VC exceptions (events that need the host) go to the paravisor at VMPL 0.")
    restricted_injection = bit(3, "The host may inject only one exception, #HV, as a doorbell.")
    alternate_injection = bit(4, "Interrupts are injected through encrypted fields of the VMSA, not by the host.")
    debug_swap = bit(5, "Debug registers are saved and restored with the guest. Linux 6.6 to 6.8 switched it on alone.")
    prevent_host_ibs = bit(6, "The host may not sample instructions of the guest (instruction-based sampling).")
    btb_isolation = bit(7, "The guest's branch predictions (branch target buffer) are isolated from the host.")
    vmpl_sss = bit(8, "Supervisor shadow stacks are restricted per VMPL (VM privilege level).")
    secure_tsc = bit(9, "The time stamp counter cannot be changed by the host.")
    vmgexit_parameter = bit(10, "VMGEXIT, the guest's call to the host, takes a parameter.")
    pmc_virtualization = bit(11, "The guest has performance counters of its own.")
    ibs_virtualization = bit(12, "The guest may use instruction-based sampling itself.")
    guest_intercept_control = bit(13, "The guest decides which of its events the host may intercept.")
    vmsa_reg_prot = bit(14, "Saved registers are masked with a nonce that changes at every exit.")
    smt_protection = bit(15, "The guest runs only while the sibling hardware thread is idle.")
    secure_avic = bit(16, "The interrupt controller (AVIC) works without trust in the host.")
    reserved_17 = reserved_bits(17, 4)
    ibpb_on_entry = bit(21, "Branch predictions are flushed whenever the guest is entered (IBPB).")
    reserved_22 = reserved_bits(22, 41)
    allowed_features_enable = bit(63, "Only the features that the host's ALLOWED_SEV_FEATURES lists may be on.")


class Vmsa(Layout, size=4096, spec=SPEC):
    """VM save area (VMSA): the registers of one virtual CPU.

    4096 bytes, numbers little-endian. Bytes that no field names are reserved and zero at launch.
    """

    es: Segment = at(0x000, 16, "ES, extra data segment.", type=Segment)
    cs: Segment = at(0x010, 16, "CS, code segment.", type=Segment)
    ss: Segment = at(0x020, 16, "SS, stack segment.", type=Segment)
    ds: Segment = at(0x030, 16, "DS, data segment.", type=Segment)
    fs: Segment = at(0x040, 16, "FS, extra data segment.", type=Segment)
    gs: Segment = at(0x050, 16, "GS, extra data segment.", type=Segment)
    gdtr: Segment = at(0x060, 16, "GDTR, where the table of segments lies.", type=Segment)
    ldtr: Segment = at(0x070, 16, "LDTR, a second table of segments.", type=Segment)
    idtr: Segment = at(0x080, 16, "IDTR, where the table of interrupt handlers lies.", type=Segment)
    tr: Segment = at(0x090, 16, "TR, task register: stacks for changes of privilege.", type=Segment)
    pl0_ssp: int = at(0x0A0, 8, "Shadow stack pointer of privilege level 0.", type=Hex)
    pl1_ssp: int = at(0x0A8, 8, "Shadow stack pointer of privilege level 1.", type=Hex)
    pl2_ssp: int = at(0x0B0, 8, "Shadow stack pointer of privilege level 2.", type=Hex)
    pl3_ssp: int = at(0x0B8, 8, "Shadow stack pointer of privilege level 3.", type=Hex)
    u_cet: int = at(0x0C0, 8, "Control-flow enforcement (CET) of user programs.", type=Hex)
    reserved_0c8: bytes = reserved(0x0C8, 2)
    vmpl: int = at(0x0CA, 1, "VMPL, VM privilege level: 0 may do everything, 3 the least.")
    cpl: int = at(0x0CB, 1, "CPL, current privilege level: 0 kernel, 3 user program.")
    reserved_0cc: bytes = reserved(0x0CC, 4)
    efer: int = at(0x0D0, 8, "EFER, extended features: 64-bit mode, no-execute. KVM sets 0x1000, SVME.", type=Hex)
    reserved_0d8: bytes = reserved(0x0D8, 104)
    xss: int = at(0x140, 8, "XSS, which supervisor states XSAVES saves.", type=Hex)
    cr4: int = at(0x148, 8, "CR4, processor features in use. KVM sets 0x40, MCE: machine check.", type=Hex)
    cr3: int = at(0x150, 8, "CR3, where the page tables lie.", type=Hex)
    cr0: int = at(
        0x158, 8, "CR0, mode of the CPU: bit 0 protected mode, bit 31 paging; 0x10 is ET, always set.", type=Hex
    )
    dr7: int = at(0x160, 8, "DR7, which breakpoints are on; 0x400 is none.", type=Hex)
    dr6: int = at(0x168, 8, "DR6, which breakpoint was hit; 0xffff0ff0 is none.", type=Hex)
    rflags: int = at(0x170, 8, "RFLAGS, flags, interrupts on or off; 0x2 is the bit that is always set.", type=Hex)
    rip: int = at(0x178, 8, "RIP, instruction pointer: the CPU starts at CS base + RIP.", type=Hex)
    dr0: int = at(0x180, 8, "DR0, address of breakpoint 0.", type=Hex)
    dr1: int = at(0x188, 8, "DR1, address of breakpoint 1.", type=Hex)
    dr2: int = at(0x190, 8, "DR2, address of breakpoint 2.", type=Hex)
    dr3: int = at(0x198, 8, "DR3, address of breakpoint 3.", type=Hex)
    dr0_addr_mask: int = at(0x1A0, 8, "Address bits that breakpoint 0 ignores.", type=Hex)
    dr1_addr_mask: int = at(0x1A8, 8, "Address bits that breakpoint 1 ignores.", type=Hex)
    dr2_addr_mask: int = at(0x1B0, 8, "Address bits that breakpoint 2 ignores.", type=Hex)
    dr3_addr_mask: int = at(0x1B8, 8, "Address bits that breakpoint 3 ignores.", type=Hex)
    reserved_1c0: bytes = reserved(0x1C0, 24)
    rsp: int = at(0x1D8, 8, "RSP, stack pointer.", type=Hex)
    s_cet: int = at(0x1E0, 8, "Control-flow enforcement (CET) of the kernel.", type=Hex)
    ssp: int = at(0x1E8, 8, "Shadow stack pointer in use.", type=Hex)
    isst_addr: int = at(0x1F0, 8, "Where the table of interrupt shadow stacks lies.", type=Hex)
    rax: int = at(0x1F8, 8, "RAX, general register.", type=Hex)
    star: int = at(0x200, 8, "STAR, segments of SYSCALL and its 32-bit entry point.", type=Hex)
    lstar: int = at(0x208, 8, "LSTAR, entry point of SYSCALL from 64-bit programs.", type=Hex)
    cstar: int = at(0x210, 8, "CSTAR, entry point of SYSCALL from 32-bit programs.", type=Hex)
    sfmask: int = at(0x218, 8, "SFMASK, flags that SYSCALL clears.", type=Hex)
    kernel_gs_base: int = at(0x220, 8, "KERNEL_GS_BASE, what SWAPGS puts into GS base.", type=Hex)
    sysenter_cs: int = at(0x228, 8, "SYSENTER_CS, code segment of SYSENTER.", type=Hex)
    sysenter_esp: int = at(0x230, 8, "SYSENTER_ESP, stack pointer of SYSENTER.", type=Hex)
    sysenter_eip: int = at(0x238, 8, "SYSENTER_EIP, entry point of SYSENTER.", type=Hex)
    cr2: int = at(0x240, 8, "CR2, address of the last page fault.", type=Hex)
    reserved_248: bytes = reserved(0x248, 32)
    g_pat: int = at(0x268, 8, "G_PAT, page attribute table: how kinds of memory are cached.", type=Hex)
    dbgctl: int = at(0x270, 8, "DBGCTL, debug control: recording of branches, single steps.", type=Hex)
    br_from: int = at(0x278, 8, "BR_FROM, where the last branch left.", type=Hex)
    br_to: int = at(0x280, 8, "BR_TO, where the last branch went.", type=Hex)
    last_excp_from: int = at(0x288, 8, "LAST_EXCP_FROM, where the last exception left.", type=Hex)
    last_excp_to: int = at(0x290, 8, "LAST_EXCP_TO, where the last exception went.", type=Hex)
    reserved_298: bytes = reserved(0x298, 72)
    spec_ctrl: int = at(0x2E0, 4, "SPEC_CTRL, limits on speculation (so named by libvirt and igvm).", type=Hex)
    reserved_2e4: bytes = reserved(0x2E4, 4)
    pkru: int = at(0x2E8, 4, "PKRU, rights of memory protection keys.", type=Hex)
    tsc_aux: int = at(0x2EC, 4, "TSC_AUX, what RDTSCP reports as the CPU's number.", type=Hex)
    guest_tsc_scale: int = at(0x2F0, 8, "Factor of the time stamp counter; SEV-SNP hashes it as zero.", type=Hex)
    guest_tsc_offset: int = at(0x2F8, 8, "Offset of the time stamp counter; SEV-SNP hashes it as zero.", type=Hex)
    reg_prot_nonce: int = at(0x300, 8, "Nonce that masks saved registers, with the VmsaRegProt feature.", type=Hex)
    rcx: int = at(0x308, 8, "RCX, general register.", type=Hex)
    rdx: int = at(
        0x310, 8, "RDX, general register; a CPU starts with its signature (family, model, stepping) here.", type=Hex
    )
    rbx: int = at(0x318, 8, "RBX, general register.", type=Hex)
    reserved_320: bytes = reserved(0x320, 8)
    rbp: int = at(0x328, 8, "RBP, general register.", type=Hex)
    rsi: int = at(0x330, 8, "RSI, general register.", type=Hex)
    rdi: int = at(0x338, 8, "RDI, general register.", type=Hex)
    r8: int = at(0x340, 8, "R8, general register.", type=Hex)
    r9: int = at(0x348, 8, "R9, general register.", type=Hex)
    r10: int = at(0x350, 8, "R10, general register.", type=Hex)
    r11: int = at(0x358, 8, "R11, general register.", type=Hex)
    r12: int = at(0x360, 8, "R12, general register.", type=Hex)
    r13: int = at(0x368, 8, "R13, general register.", type=Hex)
    r14: int = at(0x370, 8, "R14, general register.", type=Hex)
    r15: int = at(0x378, 8, "R15, general register.", type=Hex)
    reserved_380: bytes = reserved(0x380, 16)
    guest_exit_info_1: int = at(0x390, 8, "First detail of the last exit to the host.", type=Hex)
    guest_exit_info_2: int = at(0x398, 8, "Second detail of the last exit to the host.", type=Hex)
    guest_exit_int_info: int = at(0x3A0, 8, "Interrupt that was being delivered at the last exit.", type=Hex)
    guest_nrip: int = at(0x3A8, 8, "Next instruction after the last exit.", type=Hex)
    sev_features: SevFeatures = at(0x3B0, 8, "SEV_FEATURES, SEV features that are on for this CPU.", type=SevFeatures)
    vintr_ctrl: int = at(0x3B8, 8, "Control of virtual interrupts, with alternate injection.", type=Hex)
    guest_exit_code: int = at(0x3C0, 8, "Reason of the last exit to the host.", type=Hex)
    virtual_tom: int = at(0x3C8, 8, "VIRTUAL_TOM, top of private memory, with the vTOM feature.", type=Hex)
    tlb_id: int = at(0x3D0, 8, "TLB_ID, shows when cached address translations are stale.", type=Hex)
    pcpu_id: int = at(0x3D8, 8, "PCPU_ID, shows on which processor the CPU ran last.", type=Hex)
    event_inj: int = at(0x3E0, 8, "EVENT_INJ, an interrupt or exception to deliver at once.", type=Hex)
    xcr0: int = at(0x3E8, 8, "XCR0, which register sets are on: bit 0 x87, 1 SSE, 2 AVX.", type=Hex)
    reserved_3f0: bytes = reserved(0x3F0, 16)
    x87_dp: int = at(0x400, 8, "x87 data pointer (x87 is the old floating-point unit).", type=Hex)
    mxcsr: int = at(
        0x408, 4, "MXCSR, control of SSE floating point. KVM_SEV_INIT2 gives 0x1f80, before it was 0.", type=Hex
    )
    x87_ftw: int = at(0x40C, 2, "FTW, x87 tag word: which registers are empty.", type=Hex)
    x87_fsw: int = at(0x40E, 2, "FSW, x87 status word.", type=Hex)
    x87_fcw: int = at(0x410, 2, "FCW, x87 control word. KVM_SEV_INIT2 gives 0x37f, before it was 0.", type=Hex)
    x87_fop: int = at(0x412, 2, "FOP, last x87 instruction.", type=Hex)
    x87_ds: int = at(0x414, 2, "Data segment of the last x87 instruction.", type=Hex)
    x87_cs: int = at(0x416, 2, "Code segment of the last x87 instruction.", type=Hex)
    x87_rip: int = at(0x418, 8, "Address of the last x87 instruction.", type=Hex)
    fpreg_x87: bytes = at(0x420, 80, "The x87 registers.", type=bytes)
    fpreg_xmm: bytes = at(0x470, 256, "XMM0 to XMM15, the SSE registers.", type=bytes)
    fpreg_ymm: bytes = at(0x570, 256, "High halves of YMM0 to YMM15, the AVX registers.", type=bytes)
    padding: bytes = reserved(0x670, 2448)

    def compare(self, computed: Layout, names: tuple[str, str] = ("reported", "computed")) -> VmsaComparison:
        """Compare with another page, field by field, and say what each difference does. *names* are the two sides'."""
        self._check_kind(computed)
        return VmsaComparison(self.spans(), computed.spans(), names)


#: A field that differs: what that does (a key of :data:`EFFECTS`), and its span on either side.
Difference = namedtuple("Difference", "effect reported computed")


class VmsaComparison(Comparison):
    """Two VMSAs, field by field. *names* is what the two sides are called."""

    def __init__(self, reported: Sequence[Span], computed: Sequence[Span], names: tuple[str, str]) -> None:
        super().__init__(reported, computed)
        self.names = names

    @property
    def differences(self) -> list[Difference]:
        return [Difference(self._effect(one.name), one, other) for one, other in self.pairs if one.raw != other.raw]

    def _effect(self, name: str) -> str:
        """Return what a difference in this field does. A page is one of SEV-SNP when its features say so."""
        if name.partition(".")[0] in _DECIDING:
            return MEANING
        features = next(pair for pair in self.pairs if pair[0].name == "sev_features")
        return HARMLESS if name in UNHASHED and all(span.value.snp_active for span in features) else DIGEST

    def explain(self) -> View:
        """Show every field that differs with what the difference does, and what these words mean."""
        from ..layout.views import Banner, Paragraph, Table, View

        found = self.differences
        if not found:
            return View(Banner("The same: all 4096 bytes are equal.", "green"))
        rows = [[one.name, f"0x{one.offset:03x}", effect, *sides(one, other), one.doc] for effect, one, other in found]
        fields = f"{len(found)} field{'s' if len(found) > 1 else ''}"
        count = f"{len(self.marked)} byte{'s' if len(self.marked) > 1 else ''}"
        header, colours = ["field", "offset", "difference", *self.names, "meaning"], [one.colour for _, one, _ in found]
        effects = {one.effect for one in found}
        return View(
            Banner(f"Different: {fields}, {count} of 4096.", "pink"),
            Table(header, rows, colours=colours, mono=[0, 1, 3, 4]),
            *(Paragraph(f"{name}: {words}") for name, words in EFFECTS.items() if name in effects),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as JSON-ready data; each side goes by its name in lower case."""
        first, second = (name.lower() for name in self.names)
        return {
            "status": "match" if self.matches else "mismatch",
            "bytes": len(self.marked),
            "differences": [
                {
                    "name": one.name,
                    "offset": one.offset,
                    "size": one.size,
                    "effect": effect,
                    first: {"hex": one.raw.hex(), "text": one.text},
                    second: {"hex": other.raw.hex(), "text": other.text},
                    "meaning": one.doc,
                }
                for effect, one, other in self.differences
            ],
            "effects": EFFECTS,
        }
