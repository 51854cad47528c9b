"""Two pages of a SEV-SNP launch whose bytes are not measured: SECRETS and CPUID.

The firmware writes the first and checks the second. Source: snp-launch 3 (AMD 56860; QEMU; AMD-ASPFW).
"""

from __future__ import annotations

from ..layout.bits import Bits, bit, reserved_bits
from ..layout.rows import Hex, Layout, at, reserved
from .pageinfo import PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SPEC = "AMD 56860 (SNP ABI), "
#: Version of the secrets page in AMD's published firmware (1.55).
SECRETS_VERSION = 3
#: Most entries of a CPUID page.
CPUID_LIMIT = 64
_KEY = "Key (AES-256) for messages between the firmware and VMPL {}."


class SecretsFlags(Bits, size=4, spec=SPEC + "secrets page"):
    """How the guest was launched."""

    imi_en = bit(0, "The launch made an initial migration image.")
    reserved_1 = reserved_bits(1, 31)


class SecretsPage(Layout, size=PAGE, spec=SPEC + "secrets page"):
    """The secrets page: what the firmware tells the guest alone."""

    version: int = at(0x000, 4, "Version of this structure.")
    flags: SecretsFlags = at(0x004, 4, "How the guest was launched.", type=SecretsFlags)
    fms: Hex = at(0x008, 4, "Family, model and stepping, as CPUID tells them.", type=Hex)
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
