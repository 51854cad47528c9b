"""PAGE_INFO: one link of the chain that is the launch digest of SEV-SNP.

Legacy SEV hashes a stream of bytes and forgets where they went. SEV-SNP hashes one PAGE_INFO for every page of 4 KiB:
the digest before it, what is in the page, what kind of page it is, and its guest physical address (GPA). So the last
digest binds all pages, their types, their order, and their addresses::

    digest = 48 zero bytes
    for each page:  digest = SHA-384(PAGE_INFO(digest_cur=digest, contents=..., page_type=..., gpa=...))

Sources: snp-launch 2.1 to 2.3 (AMD 56860, SNP_LAUNCH_UPDATE; QEMU; AMD-ASPFW). Sources disagree about the order
of the bytes 0x64 to 0x67; this is the firmware's, and while they are all zero it makes no difference.
"""

from __future__ import annotations

from ..layout.bits import Bits, bit, reserved_bits
from ..layout.structure import Hex, Layout, Named, at, reserved

TYPE_CHECKING = False
if TYPE_CHECKING:
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
