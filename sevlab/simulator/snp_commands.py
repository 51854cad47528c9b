"""What a host hands to the firmware to launch a SEV-SNP guest: the buffers of the commands, and two pages.

The firmware fills the SECRETS page and checks the CPUID page; their bytes are not measured.

Addresses are system physical ones. The guest physical address of a page is in none of them: the firmware takes it from
the page's entry in the reverse map table (RMP). Source: snp-launch 1.3 and 3 (AMD 56860, SNP ABI; AMD-ASPFW).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ..formats.page_info import PAGE, Permissions
from ..formats.policy import SnpPolicy
from ..layout.bits import Bits, bit, reserved_bits
from ..layout.structure import Hex, Layout, Named, at, reserved

SPEC = "AMD 56860 (SNP ABI), "
LARGE_PAGE = 512 * PAGE
#: Version of the secrets page in AMD's published firmware (1.55), and most entries of a CPUID page.
SECRETS_VERSION, CPUID_LIMIT = 3, 64
_KEY = "Key (AES-256) for messages between the firmware and VMPL {}."


class StartFlags(Bits, size=4, spec=SPEC + "SNP_LAUNCH_START"):
    """Flags of SNP_LAUNCH_START."""

    ma_en = bit(0, "A migration agent belongs to the guest.")
    imi_en = bit(1, "The launch makes an initial migration image (IMI).")
    reserved_2 = reserved_bits(2, 30)


class SnpLaunchStart(Layout, size=0x30, spec=SPEC + "SNP_LAUNCH_START"):
    """SNP_LAUNCH_START: begin a launch."""

    gctx_paddr: Hex = at(0x00, 8, "Where the guest's context page is.", type=Hex)
    policy: SnpPolicy = at(0x08, 8, "The guest policy.", type=SnpPolicy, colour="yellow")
    ma_gctx_paddr: Hex = at(0x10, 8, "Where the migration agent's context page is.", type=Hex)
    flags: StartFlags = at(0x18, 4, "What else there is.", type=StartFlags)
    desired_tsc_freq: int = at(0x1C, 4, "Wanted frequency of the time stamp counter (TSC).")
    gosvw: bytes = at(0x20, 16, "Workarounds that the guest can see (OSVW).", type=bytes)


class UpdateFlags(Bits, size=4, spec=SPEC + "SNP_LAUNCH_UPDATE"):
    """Flags of SNP_LAUNCH_UPDATE."""

    page_size = bit(0, "The page is one of 2 MiB; else of 4 KiB.")
    page_type = bit(1, "What kind of page it is; see PAGE_INFO.", width=3)
    imi_page = bit(4, "The page belongs to an initial migration image.")
    reserved_5 = reserved_bits(5, 27)


class SnpLaunchUpdate(Layout, size=0x20, spec=SPEC + "SNP_LAUNCH_UPDATE"):
    """SNP_LAUNCH_UPDATE: measure a page and make it the guest's."""

    gctx_paddr: Hex = at(0x00, 8, "Where the guest's context page is.", type=Hex)
    flags: UpdateFlags = at(0x08, 4, "What kind of page it is.", type=UpdateFlags)
    reserved_c: bytes = reserved(0x0C, 4)
    page_paddr: Hex = at(0x10, 8, "Where the page is.", type=Hex)
    reserved_18: bytes = reserved(0x18, 1)
    vmpl1_perms: Permissions = at(0x19, 1, "Permissions of VMPL 1.", type=Permissions)
    vmpl2_perms: Permissions = at(0x1A, 1, "Permissions of VMPL 2.", type=Permissions)
    vmpl3_perms: Permissions = at(0x1B, 1, "Permissions of VMPL 3.", type=Permissions)
    reserved_1c: bytes = reserved(0x1C, 4)


class FinishFlags(Bits, size=8, spec=SPEC + "SNP_LAUNCH_FINISH"):
    """Flags of SNP_LAUNCH_FINISH."""

    id_block_en = bit(0, "There is an ID block.")
    auth_key_en = bit(1, "There is an author key.")
    vcek_dis = bit(2, "Reports of the guest are never signed with the chip's key (VCEK).")
    reserved_3 = reserved_bits(3, 61)


class SnpLaunchFinish(Layout, size=0x40, spec=SPEC + "SNP_LAUNCH_FINISH"):
    """SNP_LAUNCH_FINISH: end the launch, and let the guest run."""

    gctx_paddr: Hex = at(0x00, 8, "Where the guest's context page is.", type=Hex)
    id_block_paddr: Hex = at(0x08, 8, "Where the ID block is.", type=Hex)
    id_auth_paddr: Hex = at(0x10, 8, "Where the ID authentication information is.", type=Hex)
    flags: FinishFlags = at(0x18, 8, "What there is.", type=FinishFlags)
    host_data: bytes = at(0x20, 32, "What the host wants in every report.", type=bytes)


class PlatformState(Named):
    """Whether SEV-SNP is on."""

    NAMES: ClassVar = {0: "UNINIT", 1: "INIT"}


class PlatformFlags(Bits, size=4, spec=SPEC + "SNP_PLATFORM_STATUS"):
    """What is switched on on the platform."""

    mask_chip_id = bit(0, "Reports do not name the chip.")
    mask_chip_key = bit(1, "Reports are not signed with the chip's key.")
    vlek_en = bit(2, "There is a VLEK, a cloud's key.")
    feature_info = bit(3, "The command FEATURE_INFO exists.")
    reserved_4 = reserved_bits(4, 28)


class RmpFlags(Bits, size=1, spec=SPEC + "SNP_PLATFORM_STATUS"):
    """The reverse map table."""

    is_rmp_init = bit(0, "The reverse map table is in force.")
    alias_check_complete = bit(1, "At start-up no two addresses were found to be one cell.")
    reserved_2 = reserved_bits(2, 1)
    is_tio_en = bit(3, "Trusted devices (SEV-TIO) are on.")
    reserved_4 = reserved_bits(4, 4)


class SnpPlatformStatus(Layout, size=0x20, spec=SPEC + "SNP_PLATFORM_STATUS"):
    """SNP_PLATFORM_STATUS: what the firmware says of the platform."""

    api_major: int = at(0x00, 1, "Major version of the ABI.")
    api_minor: int = at(0x01, 1, "Minor version of the ABI.")
    state: PlatformState = at(0x02, 1, "Whether SEV-SNP is on.", type=PlatformState)
    rmp: RmpFlags = at(0x03, 1, "The reverse map table.", type=RmpFlags)
    build_id: int = at(0x04, 4, "Build of the firmware.")
    flags: PlatformFlags = at(0x08, 4, "What is switched on.", type=PlatformFlags)
    guest_count: int = at(0x0C, 4, "How many guests there are.")
    tcb_version: bytes = at(0x10, 8, "TCB that runs now; its form depends on the product.", type=bytes)
    reported_tcb: bytes = at(0x18, 8, "TCB that reports are signed for.", type=bytes)


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
