"""PAGE_INFO: one link of the chain that is the launch digest of SEV-SNP; and two pages whose bytes are not measured.

Legacy SEV hashes a stream of bytes and forgets where they went. SEV-SNP hashes one PAGE_INFO for every page of 4 KiB:
the digest before it, what is in the page, what kind of page it is, and its guest physical address (GPA). So the last
digest binds all pages, their types, their order, and their addresses::

    digest = 48 zero bytes
    for each page:  digest = SHA-384(PAGE_INFO(digest_cur=digest, contents=..., page_type=..., gpa=...))

The SECRETS page is written by the firmware, the CPUID page is checked by it.

Sources: snp-launch 2.1 to 2.3 and 3 (AMD 56860, SNP_LAUNCH_UPDATE; QEMU; AMD-ASPFW). Sources disagree about the order
of the bytes 0x64 to 0x67; this is the firmware's, and while they are all zero it makes no difference.
"""

from __future__ import annotations

from ..layout.bits import Bits, bit, reserved_bits
from ..layout.structure import Hex, Layout, Named, at, reserved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar

#: Bytes of a page, and of a SHA-384 digest.
PAGE, DIGEST = 4096, 48
ZEROS = bytes(DIGEST)
NORMAL, VMSA, ZERO, UNMEASURED, SECRETS, CPUID = range(1, 7)
#: Page types whose bytes are hashed. For the others only the type and the GPA are measured.
HASHED_TYPES = frozenset({NORMAL, VMSA})
#: The GPA of every VMSA page: KVM's all-ones page address, cut to 48 bits. GCE cuts it to 52 bits on Genoa.
VMSA_GPA, VMSA_GPA_52 = 0x0000_FFFF_FFFF_F000, 0x000F_FFFF_FFFF_F000


class PageType(Named):
    """What kind of page is added to the launch digest."""

    NAMES: ClassVar = dict(enumerate(("NORMAL", "VMSA", "ZERO", "UNMEASURED", "SECRETS", "CPUID"), 1))


#: One sentence for each page type.
PAGE_DOCS = {
    NORMAL: "Its bytes are hashed: SHA-384 of all 4096.",
    VMSA: "Initial registers of a virtual CPU, hashed with GUEST_TSC_SCALE and GUEST_TSC_OFFSET taken as zero.",
    ZERO: "The SEV firmware fills it with zeros. Its bytes are not hashed.",
    UNMEASURED: "The host fills it with anything. Its bytes are not hashed.",
    SECRETS: "The SEV firmware writes keys into it, with which the guest talks to it. Its bytes are not hashed.",
    CPUID: "CPUID values, checked by the SEV firmware against its policy. Its bytes are not hashed.",
}


class Permissions(Bits, size=1, spec="AMD 56860, VMPL permissions"):
    """What a VM privilege level (VMPL) may do with the page. All zero under every hypervisor that sevlab knows."""

    read = bit(0, "Read.")
    write = bit(1, "Write.")
    user_execute = bit(2, "Run as a user program.")
    supervisor_execute = bit(3, "Run as the kernel.")
    reserved_4 = reserved_bits(4, 4)


class PageInfo(Layout, size=0x70, spec="AMD 56860 (SNP ABI), PAGE_INFO"):
    """PAGE_INFO: what is hashed for one page of 4096 bytes. Numbers are little-endian."""

    digest_cur: bytes = at(0x00, DIGEST, "The digest before this page; at first all zero.", type=bytes, colour="teal")
    contents: bytes = at(
        0x30, DIGEST, "SHA-384 of the page for types NORMAL and VMSA, else zeros.", type=bytes, colour="orange"
    )
    length: int = at(0x60, 2, "Bytes of this structure.", const=0x70, colour="grey")
    page_type: PageType = at(0x62, 1, "What kind of page it is.", type=PageType, colour="purple")
    imi_page: int = at(0x63, 1, "1 for a page of an initial migration image; else 0.", colour="brown")
    reserved_64: bytes = reserved(0x64, 1)
    vmpl1_perms: Permissions = at(0x65, 1, "Permissions of VMPL 1.", type=Permissions)
    vmpl2_perms: Permissions = at(0x66, 1, "Permissions of VMPL 2.", type=Permissions)
    vmpl3_perms: Permissions = at(0x67, 1, "Permissions of VMPL 3.", type=Permissions)
    gpa: Hex = at(0x68, 8, "Guest physical address of the page.", type=Hex, colour="green")


SPEC = "AMD 56860 (SNP ABI), "
#: Version of the secrets page in AMD's published firmware (1.55), and most entries of a CPUID page.
SECRETS_VERSION, CPUID_LIMIT = 3, 64
_KEY = "Key (AES-256) for messages between the firmware and VMPL {}."


class SecretsFlags(Bits, size=4, spec=SPEC + "secrets page"):
    """How the guest was launched."""

    imi_en = bit(0, "The launch made an initial migration image.")
    reserved_1 = reserved_bits(1, 31)


class SecretsPage(Layout, size=PAGE, spec=SPEC + "secrets page"):
    """The secrets page: what the firmware tells only the guest."""

    version: int = at(0x000, 4, "Version of this structure.")
    flags: SecretsFlags = at(0x004, 4, "How the guest was launched.", type=SecretsFlags)
    fms: Hex = at(0x008, 4, "Family, model and stepping, as CPUID gives them.", type=Hex)
    reserved_c: bytes = reserved(0x00C, 4)
    gosvw: bytes = at(0x010, 16, "Workarounds that the guest can see (OSVW).", type=bytes)
    vmpck0: bytes = at(0x020, 32, _KEY.format(0), type=bytes)
    vmpck1: bytes = at(0x040, 32, _KEY.format(1), type=bytes)
    vmpck2: bytes = at(0x060, 32, _KEY.format(2), type=bytes)
    vmpck3: bytes = at(0x080, 32, _KEY.format(3), type=bytes)
    guest_os: bytes = at(0x0A0, 96, "Free for the guest's operating system.", type=bytes)
    vmsa_tweak_bitmap: bytes = at(0x100, 64, "Which bytes of a VMSA are tweaked.", type=bytes)
    guest_area: bytes = at(0x140, 32, "Free for the guest.", type=bytes)
    tsc_factor: int = at(0x160, 4, "Factor of the time stamp counter.")
    reserved_164: bytes = reserved(0x164, 4)
    launch_mit_vector: Hex = at(0x168, 8, "Mitigations in force at launch; newer firmware only.", type=Hex)
    reserved_170: bytes = reserved(0x170, 0xE90)


class CpuidEntry(Layout, size=48, spec=SPEC + "CPUID page, one entry"):
    """One answer of CPUID."""

    eax_in: Hex = at(0x00, 4, "The function that is asked.", type=Hex)
    ecx_in: Hex = at(0x04, 4, "Its subfunction.", type=Hex)
    xcr0_in: Hex = at(0x08, 8, "XCR0 at the time.", type=Hex)
    xss_in: Hex = at(0x10, 8, "XSS at the time.", type=Hex)
    eax: Hex = at(0x18, 4, "The answer's EAX.", type=Hex)
    ebx: Hex = at(0x1C, 4, "The answer's EBX.", type=Hex)
    ecx: Hex = at(0x20, 4, "The answer's ECX.", type=Hex)
    edx: Hex = at(0x24, 4, "The answer's EDX.", type=Hex)
    reserved_28: bytes = reserved(0x28, 8)


class CpuidPage(Layout, size=PAGE, spec=SPEC + "CPUID page"):
    """The CPUID page: answers that the host gives and the firmware checks."""

    count: int = at(0x00, 4, "Number of entries, at most 64.")
    reserved_4: bytes = reserved(0x04, 12)
    table: bytes = at(0x10, 48 * CPUID_LIMIT, "The entries, 48 bytes each.", type=bytes)
    rest: bytes = at(0xC10, 0x3F0, "Not used.", type=bytes)

    @classmethod
    def of(cls, entries: Iterable[CpuidEntry]) -> CpuidPage:
        """Return the page of these entries, at most 64."""
        raw = b"".join(entry.to_bytes() for entry in entries)
        table = raw.ljust(48 * CPUID_LIMIT, b"\0")
        return cls(count=len(raw) // CpuidEntry.size, table=table, rest=bytes(0x3F0))

    @property
    def entries(self) -> list[CpuidEntry]:
        """The entries that count says there are; never more than 64."""
        count = min(self.count, CPUID_LIMIT)
        return [CpuidEntry.from_bytes(self.table[48 * number : 48 * number + 48]) for number in range(count)]
