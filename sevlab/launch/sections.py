"""Which pages a host loads for a SEV-SNP guest, and in which order.

::

    firmware       page by page, ending at 4 GiB             NORMAL
    sections       what the firmware's metadata asks for     ZERO, SECRETS, CPUID, NORMAL with kernel hashes
    registers      one page for each virtual CPU             VMSA

The order of the sections is that of the file, unless a profile has other rules (:class:`~sevlab.launch.vmm.PageRules`).
Sources: snp-launch 2.4; measured-direct-boot 2.4, 4 and 5 (QEMU, edk2, sev-snp-measure).
"""

from __future__ import annotations

from ..errors import InputError, quoted
from ..formats.kernel_hashes import KernelHashes
from ..formats.ovmf import FOUR_GIB
from ..formats.ovmf_tables import SECTION_TYPES, SVSM_INFO
from ..formats.page_info import CPUID, NORMAL, PAGE, SECRETS, ZERO
from .pages import Region, blank_region, hash_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..formats.ovmf import Ovmf
    from ..formats.ovmf_tables import Section
    from .vmm import PageRules

#: Most pages that a firmware's metadata may ask for (1 GiB), so that a broken file does not cost hours.
PAGES_LIMIT = 1 << 18
_NUMBERS = {kind.name: number for number, kind in SECTION_TYPES.items()}
_SEC_MEM, _HASHES = _NUMBERS["SEC_MEM"], _NUMBERS["KERNEL_HASHES"]
_ONE_PAGE = {_NUMBERS["SECRETS"]: SECRETS, _NUMBERS["CPUID"]: CPUID}


def firmware_region(ovmf: Ovmf, contents: tuple[bytes, ...], name: str = "firmware") -> Region:
    """Return the pages of a firmware image, which ends at 4 GiB. *contents* are the hashes of its pages."""
    return Region(name, NORMAL, FOUR_GIB - ovmf.size, contents, "The firmware image, page by page.", ovmf.image)


def section_regions(
    ovmf: Ovmf, rules: PageRules, table: KernelHashes | None, name: str, warn: Callable[[str], object]
) -> list[Region]:
    """Return the pages that the metadata of a firmware asks for, in the order in which they are loaded.

    *table* are the kernel hashes, None without a kernel. *name* is the input that errors name; *warn* takes warnings.
    Raises :class:`~sevlab.errors.InputError` for sections that cannot be loaded.
    """
    sections = list(ovmf.sections)
    for number, section in enumerate(sections, 1):
        if section.base % PAGE or (section.size % PAGE and section.type not in _ONE_PAGE):
            received = f"section {number} at 0x{section.base:x} with 0x{section.size:x} bytes in its SEV metadata"
            raise InputError(name, received, "whole pages of 4096 bytes", "sevlab ovmf FILE shows the metadata")
    pages = sum(section.size // PAGE for section in sections)
    if pages > PAGES_LIMIT:
        needed = f"at most {PAGES_LIMIT} ({PAGES_LIMIT * PAGE >> 20} MiB)"
        raise InputError(name, f"SEV metadata that asks for {pages} pages", needed, "sevlab ovmf FILE shows it")
    if not sections:
        warn(
            f"{name}: no SEV-SNP metadata in this firmware, so nothing but its image and the registers is measured. "
            "QEMU may start it, but it is not made for SEV-SNP; sevlab ovmf FILE says what it is"
        )
    places = {_HASHES: rules.hashes_last - rules.hashes_first, _NUMBERS["CPUID"]: int(rules.cpuid_last)}
    loaded = sorted(sections, key=lambda section: places.get(section.type, 0))
    return [_region(one, ovmf, rules, table, name, warn) for one in loaded if one.type not in rules.left_out]


def has_hashes(ovmf: Ovmf) -> bool:
    """Return whether a firmware has a section and an area for kernel hashes."""
    return ovmf.hash_area is not None and any(section.type == _HASHES for section in ovmf.sections)


def _region(
    section: Section,
    ovmf: Ovmf,
    rules: PageRules,
    table: KernelHashes | None,
    name: str,
    warn: Callable[[str], object],
) -> Region:
    doc = str(section.kind.doc)
    if section.type in _ONE_PAGE:
        if section.size != PAGE:
            warn(f"{name}: the {section.name} section has 0x{section.size:x} bytes; only its first page is measured")
        return blank_region(section.name, _ONE_PAGE[section.type], section.base, PAGE, doc)
    if section.type == _HASHES and table is not None:
        raw = _hash_page(section, ovmf, table, name)
        return Region("kernel hashes", NORMAL, section.base, hash_pages(raw), doc, raw)
    if section.type == _SEC_MEM:
        return blank_region(section.name, rules.sec_mem, section.base, section.size, doc)
    if section.type not in SECTION_TYPES:
        warn(
            f"{name}: section type 0x{section.type:x} is not known; it is taken for ZERO pages, as QEMU does "
            "(sev-snp-measure stops there)"
        )
    return blank_region(section.name, ZERO, section.base, section.size, doc)


def _hash_page(section: Section, ovmf: Ovmf, table: KernelHashes, name: str) -> bytes:
    """Return the pages of the section with the table in them: zeros, table, zeros."""
    assert ovmf.hash_area is not None
    place = ovmf.hash_area[0] % PAGE
    if place + KernelHashes.size > section.size:
        received = f"{quoted(f'0x{ovmf.hash_area[0]:x}')} as the address of the hashes, which its page cannot hold"
        raise InputError(name, received, f"{KernelHashes.size} bytes within the KERNEL_HASHES section")
    return (bytes(place) + table.to_bytes()).ljust(section.size, b"\0")


def svsm_region(svsm: Ovmf, contents: tuple[bytes, ...], ovmf: Ovmf, vars_size: int, name: str) -> Region:
    """Return the pages of an SVSM image, which ends where OVMF's variable store begins, directly below its code."""
    base = FOUR_GIB - ovmf.size - vars_size - svsm.size
    if base < 0 or base % PAGE:
        raise InputError(
            name, f"an image of {svsm.size} bytes below {vars_size} of variables", "whole pages below 4 GiB"
        )
    return Region("SVSM", NORMAL, base, contents, "The SVSM image, page by page.", svsm.image)


def svsm_start(svsm: Ovmf, region: Region, name: str) -> int:
    """Return the guest address of an SVSM's first instruction. Raises InputError for an image without it."""
    entry = svsm.find(SVSM_INFO)
    if entry is None or entry.value is None or svsm.trailing:
        needed = "an SVSM image that says where it starts (SVSM info in its footer table)"
        raise InputError(name, svsm.kind, needed, "the binary file of a Coconut SVSM build, not its IGVM file")
    return int(region.gpa + entry.value.offset)
