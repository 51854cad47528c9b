"""OVMF images: what a firmware file is, and what the host that launches it finds in it.

OVMF (the open virtual machine firmware, a build of edk2) is the first code of the guest, and the first thing a launch
measures. It comes as one combined file or as two halves, CODE and VARS, and in several sizes; people mix them up.
:func:`parse_ovmf` takes any bytes, says what they are, and reads the tables of :mod:`~sevlab.formats.ovmf_tables`.

Sources: measured-direct-boot 3 and 4; what a file is: the layouts of edk2's ``OvmfPkg*.fdf`` and Debian's images.
"""

from __future__ import annotations

from ..errors import InputError
from ..layout.span import Explainable
from .kernel_hashes import KernelHashes
from .ovmf_tables import (
    ENTRY_TYPES,
    FOOTER,
    HASH_BLOCK,
    RESET_BLOCK,
    RESET_VECTOR,
    SECRET_BLOCK,
    SEV_METADATA,
    SVSM_INFO,
    Area,
    EntryEnd,
    check_sections,
    find_volumes,
    read_legacy_reset,
    read_metadata,
    read_table,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..layout.views import View
    from .efi_modules import Enforcement
    from .guid import Guid
    from .ovmf_tables import Entry, Metadata, Section, Table
    from .ovmf_view import Ability, FlashMap

FOUR_GIB = 1 << 32
#: Where "VTF" (volume top file, the code around the reset vector) is, from the end of the image.
VTF_AT = 0x14
#: Sizes of edk2's builds: name, whole image, variable store (bytes).
BUILDS = (("4M", 4 << 20, 0x84000), ("2M", 2 << 20, 0x20000), ("1M", 1 << 20, 0x20000))
#: Other files that get mistaken for firmware: where they carry which signature, what they are.
FOREIGN = (
    (0x202, b"HdrS", "a Linux kernel (bzImage)"),
    (0, b"\x7fELF", "an ELF file (a program, a library or a kernel)"),
    (0, b"IGVM", "an IGVM file (independent guest virtual machine format)"),
    (0, b"QFI\xfb", "a qcow2 disk image"),
    (0x8001, b"CD001", "an ISO 9660 disc image"),
    (0, b"MZ", "an EFI or Windows program"),
    (0, b"070701", "a cpio archive (an initrd is one)"),
    (0, b"\x1f\x8b", "gzip-compressed data (an initrd, or an image still to be unpacked)"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed data (an initrd, or an image still to be unpacked)"),
    (0, b"\xfd7zXZ", "xz-compressed data (an image still to be unpacked)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"!<arch>", "an ar archive (a .deb package is one)"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


class Ovmf(Explainable):
    """A firmware file: what it is, and its tables. Made by :func:`parse_ovmf`; sizes and offsets are in bytes.

    Where bytes follow the image, a host finds no table: then there are no areas and no sections.
    """

    def __init__(self, image: bytes) -> None:
        self.image, self.size = image, len(image)
        #: Firmware volumes in the file, in order.
        self.volumes = find_volumes(image)
        #: What keeps the file from being sound, and what is only worth knowing.
        self.faults: list[str] = []
        self.notes: list[str] = []
        legacy = None if self._has_footer(self.size) else read_legacy_reset(image, self.size)
        end = self._footer_end(legacy)
        #: The footer table, if there is one: where it lies, how long it is, its entries.
        self.table: Table | None = read_table(image, end, self.faults) if end else None
        #: File offset at which the image ends, and the bytes that follow it; none in a sound file.
        self.end = end or self.size
        self.trailing = self.size - self.end
        #: The entries of the table, from the footer outward, unknown ones too; the legacy reset block if that is all.
        self.entries: tuple[Entry, ...] = self.table.entries if self.table else (legacy,) if legacy else ()
        #: Guest address and size of the areas for kernel hashes and launch secret. None for none, or a base of 0.
        self.hash_area, self.secret_area = self._area(HASH_BLOCK), self._area(SECRET_BLOCK)
        block = self._value(RESET_BLOCK)
        #: Where SEV-ES application processors start: IP in bits 15:0, CS base >> 16 in bits 31:16. None for none, or 0.
        self.reset_address = (int(block.address) or None) if block else None
        if self.table:
            self._check_entries()
        #: The SEV metadata, if any: where it lies, how long it is, its sections.
        self.metadata: Metadata | None = None
        pointer = self.find(SEV_METADATA)
        if self.table and pointer and pointer.value:
            self.metadata = read_metadata(image, self.end, pointer.value.offset, self.faults)
        found: tuple[Section, ...] = self.metadata.sections if self.metadata else ()
        self.notes += check_sections(found)
        #: The sections of the SEV metadata, in file order, which is the order they are measured in.
        self.sections = () if self.trailing else found
        #: What the file is, as one stable word that docs/ovmf.md lists, and in plain words.
        self.kind_key, self.kind, *faults = identify(self)
        self.faults += faults

    def _has_footer(self, end: int) -> bool:
        place = end - RESET_VECTOR - len(FOOTER)
        return place >= EntryEnd.size - len(FOOTER) and self.image[place : place + len(FOOTER)] == FOOTER

    def _footer_end(self, legacy: Entry | None) -> int:
        """Return the file offset at which the image ends by its footer table; 0 when there is none."""
        if self._has_footer(self.size):
            return self.size
        # A footer followed by more than a reset vector: something was added to the file.
        end = self.image.rfind(FOOTER) + len(FOOTER) + RESET_VECTOR
        return end if end < self.size and self._has_footer(end) and not (legacy or self.foreign) else 0

    def _check_entries(self) -> None:
        for guid, known in ENTRY_TYPES.items():
            same, needed = [entry for entry in self.entries if entry.guid == guid], known.layout.size
            if not same:
                continue
            entry = same[0]
            if len(same) > 1:
                self.notes.append(f"footer table: {guid.text} comes {len(same)} times; the one nearest the end counts")
            if entry.value is None:
                self.faults.append(f"{entry.name}: {len(entry.data)} bytes of data, but it needs {needed}")
            elif len(entry.data) > needed:
                self.notes.append(f"{entry.name}: {len(entry.data)} bytes of data; only the first {needed} are known")
        if self._value(RESET_BLOCK) and not self.reset_address:
            self.faults.append("SEV-ES reset block: the address is 0, which QEMU refuses")
        if self.hash_area and (size := self.hash_area[1]) < (needed := KernelHashes.size):
            self.notes.append(f"SEV hash table block: {size} bytes, but the table needs {needed}; QEMU refuses")
        for name, area in (("SEV hash table block", self.hash_area), ("SEV secret block", self.secret_area)):
            if area and sum(area) > FOUR_GIB:
                self.faults.append(f"{name}: base 0x{area[0]:x} and size 0x{area[1]:x} reach beyond 4 GiB")

    def find(self, guid: Guid) -> Entry | None:
        """Return the entry that counts for a GUID: the one nearest the end of the image. None when there is none."""
        return next((entry for entry in self.entries if entry.guid == guid), None)

    def _value(self, guid: Guid) -> Any:
        """Return what a host reads of an entry; None when it finds none that it can read."""
        entry = None if self.trailing else self.find(guid)
        return entry.value if entry else None

    def _area(self, guid: Guid) -> Area | None:
        block = self._value(guid)
        return Area(int(block.base), int(block.length)) if block and block.base else None

    @property
    def base_address(self) -> int:
        """Guest address of the file's first byte when it is loaded as code: 4 GiB - size."""
        return FOUR_GIB - self.size

    @property
    def is_usable(self) -> bool:
        """True for a whole OVMF code image whose footer table can be read and has no fault."""
        return self.kind_key in ("combined", "code") and self.table is not None and not self.faults

    @property
    def findings(self) -> list[str]:
        """A sentence for everything unexpected, the serious ones first."""
        return [*self.faults, *self.notes]

    @property
    def foreign(self) -> str:
        """What other kind of file this is, by its signature; "" when none is known."""
        return next((words for at, magic, words in FOREIGN if self.image[at : at + len(magic)] == magic), "")

    @property
    def enforcement(self) -> Enforcement | None:
        """Whether its code enforces the kernel hashes (decompressed first: 0.1 s); None without a place for them."""
        from .efi_modules import judge_enforcement

        return None if self.hash_area is None else judge_enforcement(self.image, self.volumes)

    def abilities(self) -> list[Ability]:
        """Return a question, its answer and a reason for each thing a launch may want of this firmware."""
        from .ovmf_view import Ability

        every = None
        if self.trailing:
            every = "no", "The host looks for the footer table at the very end of the file, and does not find it there."
        elif self.kind_key == "vars":
            every = "unknown", "The VARS half cannot tell: look at the CODE half or at the combined image."
        elif not self.entries and not self.table and self.kind_key != "old":
            every = "unknown", f"This file does not show it: it is {self.kind}."
        return [Ability(question, *(every or answer(self))) for question, answer in _QUESTIONS.items()]

    def maps(self) -> list[FlashMap]:
        """Return the maps of the image; fewer when it has no table or names no memory."""
        from .ovmf_view import map_file, map_memory, map_table

        boots = bool(self.table) or self.kind_key == "old"
        shift = self.base_address if boots else None
        made = [map_file(self.image, self.volumes, self.end, boots, shift)]
        if self.table:
            made.append(map_table(self.table, self.end, None if self.trailing else shift))
        made.append(map_memory(self.sections, self.secret_area, self.hash_area))
        return [one for one in made if one.regions]

    def explain(self) -> View:
        """Show what the file is, what it can do, its maps, its tables and everything unexpected."""
        from ..layout.views import Banner, Heading, Paragraph, View
        from .ovmf_view import ADVICE, amount, show_abilities, show_entries, show_findings, show_sections

        size, rounded = f"{self.size} bytes", amount(self.size)
        size += f" ({rounded})" * (rounded != size)
        return View(
            Banner(f"{self.kind[:1].upper()}{self.kind[1:]}.", "green" if self.is_usable else "pink"),
            Paragraph(f"{size}. {ADVICE.get(self.kind_key, ADVICE['other'])}"),
            *show_findings(self.findings),
            Heading("What it can do"),
            show_abilities(self.abilities()),
            *(made.view() for made in self.maps()),
            *show_entries(self.entries, bool(self.table)),
            *show_sections(self.metadata),
        )

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON-ready data, as docs/ovmf.md describes it."""

        enforcement = self.enforcement
        return {
            "status": "good" if self.is_usable else "bad",
            "kind": self.kind_key,
            "kind_text": self.kind,
            "size": self.size,
            "base_address": self.base_address if self.table else None,
            "trailing": self.trailing,
            "findings": self.findings,
            "abilities": [ability._asdict() for ability in self.abilities()],
            "reset_address": self.reset_address,
            "hash_area": self.hash_area and self.hash_area._asdict(),
            "secret_area": self.secret_area and self.secret_area._asdict(),
            "enforcement": enforcement.as_dict() if enforcement else None,
            "table": {"offset": self.table.offset, "size": self.table.size} if self.table else None,
            "entries": [entry.as_dict() for entry in self.entries],
            "metadata_offset": self.metadata.offset if self.metadata else None,
            "sections": [section.as_dict() for section in (self.metadata.sections if self.metadata else ())],
            "volumes": [volume.as_dict() for volume in self.volumes],
        }

    def __repr__(self) -> str:
        return f"<Ovmf: {self.kind}>"


def parse_ovmf(image: bytes) -> Ovmf:
    """Return what a firmware file is, with its tables. Any bytes are taken: what is unexpected is in ``findings``.

    Raises :class:`~sevlab.errors.InputError` for anything but bytes.
    """
    if not isinstance(image, bytes | bytearray | memoryview):
        raise InputError("firmware", type(image).__name__, "the bytes of a firmware image", "load_ovmf(path)")
    return Ovmf(bytes(image))


def identify(ovmf: Ovmf) -> tuple[str, ...]:
    """Return what the file is, as a stable word and in plain words, and then the faults that show in its volumes."""
    missing = max((volume.end for volume in ovmf.volumes), default=0) - ovmf.size
    if ovmf.trailing:
        kind = _with_trailing(ovmf)
    elif ovmf.table:
        kind = _with_table(ovmf)
    else:
        kind = _without_table(ovmf, missing)
    if missing <= 0:
        return kind
    last = ovmf.volumes[-1]
    claim = f"the firmware volume at file offset 0x{last.offset:x} claims {last.size} bytes"
    return (*kind[:2], f"{claim}, of which {missing} are missing", *kind[2:])


def _with_table(ovmf: Ovmf) -> tuple[str, ...]:
    if ovmf.find(SVSM_INFO):
        return "svsm", "an SVSM image (secure VM service module): it runs below OVMF, and is not OVMF itself"
    if not ovmf.volumes:
        return "fragment", f"only the last {ovmf.size} bytes of an OVMF image: the footer table without the firmware"
    first, *others = ovmf.volumes
    if first.offset:
        where = f"its first firmware volume is at byte {first.offset}, not at 0"
        return "fragment", f"an OVMF image without its beginning, or with something put before it: {where}"
    faults = [
        f"another variable store at file offset 0x{volume.offset:x}: several files were joined"
        for volume in others
        if volume.is_nvram
    ]
    if not first.is_nvram:
        name = _build(whole - store == ovmf.size for _, whole, store in BUILDS)
        return "code", f"the CODE half of OVMF{name}: the firmware without its variable store", *faults
    name = _build(whole == ovmf.size for _, whole, _ in BUILDS)
    return "combined", f"a combined OVMF image{name}: variable store and code in one file", *faults


def _with_trailing(ovmf: Ovmf) -> tuple[str, ...]:
    """Name what follows the image. No host looks for the table anywhere but at the very end."""
    count, byte = ovmf.trailing, ovmf.image[-1]
    early = f"the footer table ends {count} bytes too early; to cut it right: truncate -s {ovmf.end} FILE"
    if ovmf.image.count(byte, ovmf.end) == count:
        return "padded", f"an OVMF image followed by {count} bytes of padding (0x{byte:02x})", early
    after = next((volume for volume in ovmf.volumes if volume.offset >= ovmf.end), None)
    if after and after.is_nvram:
        fault = "the variable store comes after the code: a combined image is VARS first, then CODE"
        return "swapped", "the CODE and VARS halves of OVMF joined in the wrong order", fault
    return "trailing", f"an OVMF image followed by {count} bytes that do not belong to it", early


def _without_table(ovmf: Ovmf, missing: int) -> tuple[str, ...]:
    image, size, volumes = ovmf.image, ovmf.size, ovmf.volumes
    if not size:
        return "empty", "an empty file"
    if volumes and missing > 0:
        return "truncated", f"a truncated firmware image: at least {missing} bytes are missing at its end"
    if image[max(0, size - VTF_AT) :][:4] == b"VTF\0":
        legacy = "; its SEV-ES reset block is in the legacy place" if ovmf.entries else ""
        return "old", f"an OVMF image without a footer table, as built before there was one{legacy}"
    if volumes and not volumes[0].offset and volumes[0].is_nvram:
        store = volumes[0]
        if image.count(image[-1], store.end) == size - store.end:
            name = _build(store.size == size for _, _, size in BUILDS)
            return "vars", f"the VARS half of OVMF{name}: a variable store without code"
    if volumes:
        fault = "no reset vector ends the file: its end is missing, or it is firmware of another processor"
        return "truncated", f"firmware volumes without a reset vector: a truncated image, {size} bytes long", fault
    if ovmf.entries:
        return "fragment", "the end of an old OVMF image: a SEV-ES reset block without a footer table"
    if ovmf.foreign:
        return "other", f"not OVMF but {ovmf.foreign}"
    if image.count(image[0]) == size:
        return "other", f"not OVMF but {size} bytes that are all 0x{image[0]:02x}"
    if size >= 1 << 16 and image[-16:-15] == b"\xea":
        return "other", "not OVMF but a PC BIOS of the old kind, such as SeaBIOS"
    return "other", f"not OVMF: {size} bytes with neither a firmware volume nor a footer table"


def _build(fits: Iterable[bool]) -> str:
    """Return the names of the builds whose sizes fit, for use in a sentence."""
    names = [name for (name, _, _), fit in zip(BUILDS, fits, strict=True) if fit]
    return f" ({' or '.join(reversed(names))} build)" if names else ""


_SINCE = "Of edk2's builds OvmfPkg/AmdSev has it; since edk2-stable202511 OvmfPkgX64 and OvmfPkgIa32X64 have it too."


def _absent(ovmf: Ovmf, guid: Guid, advice: str) -> tuple[str, str]:
    entry = ovmf.find(guid)
    if entry:
        why = "names base 0" if entry.value else "cannot be read"
        return ("no" if entry.value else "unknown"), f"Its {guid.name} {why}. {advice}"
    if ovmf.table and any(fault.startswith("footer table") for fault in ovmf.faults):
        return "unknown", f"Its footer table is damaged, so a {guid.name} may be lost."
    where = "Its footer table has" if ovmf.table else "It has no footer table, and so"
    return "no", f"{where} no {guid.name}. {advice}"


def _hashes(ovmf: Ovmf) -> tuple[str, str]:
    from .efi_modules import ENFORCES, PLACE_ONLY

    if not ovmf.hash_area:
        return _absent(ovmf, HASH_BLOCK, _SINCE)
    base, size = ovmf.hash_area
    if size < (least := KernelHashes.size):
        return "no", f"Its area of {size} bytes is too small for the table of {least} bytes; QEMU refuses it."
    words = f"Its table goes to 0x{base:x}, an area of {size} bytes."
    if ovmf.sections:
        pages = [section for section in ovmf.sections if section.name == "KERNEL_HASHES"]
        if not any(section.base <= base and base + KernelHashes.size <= section.end for section in pages):
            words += " But no KERNEL_HASHES section of its SEV metadata holds that area, so not under SEV-SNP."
    found = ovmf.enforcement
    assert found is not None
    return {ENFORCES: "yes", PLACE_ONLY: "no"}.get(found.answer, "unknown"), f"{found.text}. {words}"


def _processors(ovmf: Ovmf) -> tuple[str, str]:
    if ovmf.reset_address is None:
        entry = ovmf.find(RESET_BLOCK)
        if entry and entry.value:
            return "no", "Its SEV-ES reset block holds address 0, which QEMU refuses."
        return _absent(ovmf, RESET_BLOCK, "QEMU refuses to launch an SEV-ES guest with it.")
    place = "footer table" if ovmf.table else "legacy place before the reset vector"
    return "yes", f"They start at 0x{ovmf.reset_address:x}, by the SEV-ES reset block in its {place}."


def _snp(ovmf: Ovmf) -> tuple[str, str]:
    if not ovmf.metadata:
        if ovmf.find(SEV_METADATA):
            return "unknown", "Its SEV metadata cannot be read."
        return _absent(ovmf, SEV_METADATA, "This build is too old for SEV-SNP, or not made for it.")
    names = {section.name for section in ovmf.sections}
    lacking = [name for name in ("SECRETS", "CPUID") if name not in names]
    if lacking:
        return "unknown", f"Its SEV metadata has no {' and no '.join(lacking)} section."
    count = len(ovmf.sections)
    if any(fault.startswith("SEV metadata") for fault in ovmf.faults):
        return "unknown", f"Its SEV metadata is damaged; {count} sections can be read."
    return "yes", f"Its SEV metadata names {count} ranges of guest memory to prepare."


def _secret(ovmf: Ovmf) -> tuple[str, str]:
    if not ovmf.secret_area:
        return _absent(ovmf, SECRET_BLOCK, _SINCE)
    base, size = ovmf.secret_area
    return "yes", f"The secret goes to 0x{base:x}, an area of {size} bytes."


_QUESTIONS = {
    "Check hashes of kernel, initrd and cmdline?": _hashes,
    "Start SEV-ES application processors?": _processors,
    "Run as an SEV-SNP guest?": _snp,
    "Receive a launch secret?": _secret,
}
