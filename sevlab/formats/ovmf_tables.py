"""What an OVMF image is made of: firmware volumes, and near its end the GUIDed table and the SEV metadata.

An edk2 image is a row of firmware volumes, each with a header that gives its length. The variable store (NVRAM, what
the firmware remembers) is one, the main code another, and the boot volume with the reset vector ends the image.

OVMF (the open virtual machine firmware, a build of edk2) ends at guest address 4 GiB. The host looks at its last bytes
for a table of entries, each named by a GUID (:mod:`~sevlab.formats.guid`), which is read backwards::

    end - total - 0x20   first byte of the farthest entry
    ...                  data, length (2 bytes), GUID (16 bytes), for each entry
    end - 0x32           total length (2 bytes)
    end - 0x30           the footer's GUID (16 bytes)
    end - 0x20           reset vector: the processor's first instruction is at end - 0x10

One entry points to the SEV metadata, a list of guest memory ranges that SEV-SNP needs before the first instruction.
Everything is little-endian. Readers here take any bytes: what is unexpected becomes a sentence, never an exception.

Sources: measured-direct-boot 3.2 to 3.4 and 4 (edk2 ``ResetVectorVtf0`` and ``OvmfSevMetadata``; QEMU
``pc_sysfw_ovmf.c``, ``sev.c``); UEFI Platform Initialization specification, volume 3.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from itertools import pairwise

from ..layout.structure import Hex, Layout, at
from .guid import Guid

EDK2 = "edk2 OvmfPkg, ResetVectorVtf0.nasm.inc"
ASEV = "edk2 OvmfPkg, OvmfSevMetadata.nasm.inc"
FOOTER = Guid.from_text("96b582de-1fb2-45f7-baea-a366c55a082d")
RESET_BLOCK = Guid.from_text("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
SECRET_BLOCK = Guid.from_text("4c2eb361-7d9b-4cc3-8081-127c90d3d294")
HASH_BLOCK = Guid.from_text("7255371f-3a3b-4b04-927b-1da6efa8d454")
SEV_METADATA = Guid.from_text("dc886566-984a-4798-a75e-5585a7bf67cc")
TDX_METADATA = Guid.from_text("e47a6535-984a-4798-865e-4685a7bf8ec2")
IGVM_METADATA = Guid.from_text("784fa70e-3176-4677-8a20-04b68699e374")
SVSM_INFO = Guid.from_text("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd")
NVRAM = Guid.from_text("fff12b8d-7696-4c8b-a985-2747075b4f50")
#: What a volume with files holds: firmware file systems 2 and 3.
FILE_SYSTEMS = (
    Guid.from_text("8c8ce578-8a3d-4f1c-9935-896185c32dd3"),
    Guid.from_text("5473c07a-3dcb-4dca-bd6f-1e9689e7349a"),
)
#: Bytes after the footer's GUID: the reset vector and the code just before it.
RESET_VECTOR = 0x20
#: Sections of SEV metadata that are read. Real images have 5 to 7; each is 12 bytes, and a file may claim 4 billion.
SECTION_LIMIT = 256
PAGE = 4096
#: What a volume's header holds, and where, in bytes.
SIGNATURE, SIGNATURE_AT = b"_FVH", 0x28
#: Headers are 72 bytes in practice; a longer one than this is not looked at.
HEADER_LIMIT = 1024
#: The four letters appear in code by chance, and in a hostile file all over. So many places are looked at, no more.
PLACES_LIMIT = 4096


class EntryEnd(Layout, size=18, spec=EDK2):
    """What every entry of the GUIDed table ends in; the footer is nothing but this."""

    length: int = at(0x00, 2, "Bytes of the whole entry: its data and these 18 (in the footer: of the whole table).")
    guid: Guid = at(0x02, 16, "Says what the entry is.", type=Guid)


class ResetBlock(Layout, size=4, spec=EDK2 + ", SEV-ES reset block"):
    """Where SEV-ES application processors start."""

    address: Hex = at(0x00, 4, "Bits 15:0 are the IP (offset), bits 31:16 the CS base >> 16 (segment).", type=Hex)


class AreaBlock(Layout, size=8, spec=EDK2 + ", SEV secret block and SEV hash table block"):
    """A range of guest memory that the firmware keeps for the host to fill."""

    base: Hex = at(0x00, 4, "Guest address of the first byte; 0 when this build has no such area.", type=Hex)
    length: Hex = at(0x04, 4, "Size in bytes.", type=Hex)


class OffsetBlock(Layout, size=4, spec=EDK2 + ", metadata offsets"):
    """Where a structure lies in the image, counted backwards."""

    offset: Hex = at(0x00, 4, "Bytes from the end of the image back to the structure.", type=Hex)


class LaunchBlock(Layout, size=4, spec="Coconut SVSM, SVSM info"):
    """Where an SVSM (secure VM service module, runs below the firmware) starts."""

    offset: Hex = at(0x00, 4, "Bytes from the start of the SVSM image to its first instruction.", type=Hex)


class MetadataHeader(Layout, size=16, spec=ASEV):
    """The head of the SEV metadata."""

    signature: bytes = at(0x00, 4, "ASCII 'ASEV'.", type=bytes, const=b"ASEV")
    length: int = at(0x04, 4, "Bytes of header and sections: 16 + 12 x count.")
    version: int = at(0x08, 4, "Version of this format.", const=1)
    count: int = at(0x0C, 4, "Number of sections.")


class MetadataSection(Layout, size=12, spec=ASEV):
    """One section of the SEV metadata: a range of guest memory and what SEV-SNP is to do with it."""

    base: Hex = at(0x00, 4, "Guest address of the first byte.", type=Hex)
    length: Hex = at(0x04, 4, "Size in bytes, a multiple of 4096 in every image seen.", type=Hex)
    type: int = at(0x08, 4, "What the range is for.")


SectionType = namedtuple("SectionType", "name doc page_type")
EntryType = namedtuple("EntryType", "layout doc")
#: Section types by number. Source: measured-direct-boot 4.2; ``page_type`` is the SNP page type that QEMU uses.
SECTION_TYPES = {
    0x01: SectionType("SEC_MEM", "Memory the firmware needs validated before it runs.", "ZERO"),
    0x02: SectionType("SECRETS", "The secrets page, filled by the SEV firmware.", "SECRETS"),
    0x03: SectionType("CPUID", "The page of CPUID values, checked by the SEV firmware.", "CPUID"),
    0x04: SectionType("SVSM_CAA", "The calling area of an SVSM (secure VM service module).", "ZERO"),
    0x10: SectionType("KERNEL_HASHES", "The page of the kernel-hashes table.", "NORMAL with a table, else ZERO"),
}
UNKNOWN_SECTION = SectionType("unknown", "A type sevlab does not know. QEMU treats it as ZERO pages.", "ZERO")
#: The entries of the GUIDed table that sevlab can read.
ENTRY_TYPES = {
    RESET_BLOCK: EntryType(ResetBlock, "Where SEV-ES application processors start."),
    SECRET_BLOCK: EntryType(AreaBlock, "Where the host injects a launch secret."),
    HASH_BLOCK: EntryType(AreaBlock, "Where the host writes the kernel-hashes table."),
    SEV_METADATA: EntryType(OffsetBlock, "Where the SEV metadata lies, which SEV-SNP needs."),
    TDX_METADATA: EntryType(OffsetBlock, "Where the metadata of Intel TDX lies; unrelated to SEV."),
    IGVM_METADATA: EntryType(OffsetBlock, "Where the parameters of IGVM, another image format, lie."),
    SVSM_INFO: EntryType(LaunchBlock, "Where the SVSM starts; only in an SVSM image."),
}


class Entry(namedtuple("Entry", "guid offset data value")):
    """One entry of the GUIDed table: its GUID, the file offset of its data (bytes), its data, and that as a structure.

    ``value`` is None for an unknown entry, or when the data is too short for the structure.
    """

    @property
    def name(self) -> str:
        """What the entry is; "unknown" when sevlab does not know its GUID."""
        return self.guid.name or "unknown"

    @property
    def size(self) -> int:
        return len(self.data) + EntryEnd.size

    @property
    def doc(self) -> str:
        return ENTRY_TYPES[self.guid].doc if self.guid in ENTRY_TYPES else "Skipped by everyone who does not know it."

    @property
    def text(self) -> str:
        if self.value is None:
            shown = self.data[:32].hex() or "no data"
            return shown + (f"... ({len(self.data)} bytes)" if len(self.data) > 32 else "")
        return ", ".join(f"{span.name} {span.text}" for span in self.value.spans())

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "guid": str(self.guid),
            "known": self.guid in ENTRY_TYPES,
            "offset": self.offset,
            "size": len(self.data),
            "hex": self.data.hex(),
            "value": {span.name: int(span.value) for span in self.value.spans()} if self.value else None,
        }


class Section(namedtuple("Section", "base size type")):
    """One section of the SEV metadata: guest address, bytes, type number."""

    @property
    def kind(self) -> SectionType:
        """What is known about the type: name, meaning, SNP page type."""
        return SECTION_TYPES.get(self.type, UNKNOWN_SECTION)

    @property
    def name(self) -> str:
        return str(self.kind.name)

    @property
    def end(self) -> int:
        return int(self.base + self.size)

    def as_dict(self) -> dict[str, object]:
        return {**self._asdict(), "name": self.name, "page_type": self.kind.page_type}


#: A range of guest memory: the address of its first byte, and bytes.
Area = namedtuple("Area", "base size")
Table = namedtuple("Table", "offset size entries")
Metadata = namedtuple("Metadata", "offset size sections")


def read_table(image: bytes, end: int, faults: list[str]) -> Table:
    """Read the GUIDed table of an image whose last byte is at file offset *end* - 1 and whose footer is in place.

    Returns its file offset, its size and its entries from the footer outward. Reading stops at the first entry that
    cannot be read; the reason is added to *faults*, and what was read is kept.
    """
    stop = end - RESET_VECTOR
    place = stop - EntryEnd.size
    total = EntryEnd.from_bytes(image[place:stop]).length
    start = stop - total
    if total < EntryEnd.size:
        faults.append(f"footer table: its total length is {total}, but the footer alone is {EntryEnd.size} bytes")
        return Table(place, EntryEnd.size, ())
    if start < 0:
        faults.append(f"footer table: its total length is {total}, but only {stop} bytes lie before its end")
        start = 0
    entries: list[Entry] = []
    # Every turn moves place down by at least 18, so a table of at most 65535 bytes ends soon.
    while place - start >= EntryEnd.size:
        tail_at, left = place - EntryEnd.size, place - start
        tail = EntryEnd.from_bytes(image[tail_at:place])
        length = tail.length
        if not EntryEnd.size <= length <= left:
            where = f"the entry {tail.guid.text} at file offset 0x{tail_at:x}"
            is_short = length < EntryEnd.size
            least = f"less than its own {EntryEnd.size} bytes"
            why = least if is_short else f"but only {left} bytes of the table are left"
            faults.append(f"footer table: {where} has length {length}, {why}")
            break
        place -= length
        entries.append(_entry(tail.guid, place, image[place:tail_at]))
    else:
        if place != start:
            faults.append(f"footer table: {place - start} stray bytes at its start, too few for an entry")
    return Table(start, stop - start, tuple(entries))


def read_legacy_reset(image: bytes, end: int) -> Entry | None:
    """Read the SEV-ES reset block directly before the reset vector, where QEMU looks without a table; else None."""
    stop = end - RESET_VECTOR
    place = stop - EntryEnd.size
    if place < 0:
        return None
    tail = EntryEnd.from_bytes(image[place:stop])
    start = stop - tail.length
    return _entry(tail.guid, start, image[start:place]) if tail.guid == RESET_BLOCK and 0 <= start <= place else None


def _entry(guid: Guid, offset: int, data: bytes) -> Entry:
    known = ENTRY_TYPES.get(guid)
    # As QEMU does: what a later version may have appended is left alone.
    value = known.layout.from_bytes(data[: known.layout.size]) if known and len(data) >= known.layout.size else None
    return Entry(guid, offset, data, value)


def read_metadata(image: bytes, end: int, distance: int, faults: list[str]) -> Metadata | None:
    """Read the SEV metadata *distance* bytes before *end*. None when it is not there; the reason goes to *faults*."""
    offset = end - distance
    if distance < MetadataHeader.size or offset < 0:
        faults.append(f"SEV metadata: its offset is 0x{distance:x} bytes before the end, which is outside the image")
        return None
    header = MetadataHeader.from_bytes(image[offset : offset + MetadataHeader.size])
    if header.signature != b"ASEV":
        faults.append(f"SEV metadata: it begins with {header.signature.hex()}, not with 'ASEV' ({b'ASEV'.hex()})")
        return None
    if header.version != 1:
        faults.append(f"SEV metadata: its version is {header.version}; only version 1 is known")
    count, size = header.count, MetadataSection.size
    needed = MetadataHeader.size + size * count
    if header.length != needed:
        faults.append(f"SEV metadata: its length is {header.length}, but {count} sections need {needed}")
    place = offset + MetadataHeader.size
    fitting = (end - place) // size
    if count > fitting:
        faults.append(f"SEV metadata: it claims {count} sections, but only {fitting} fit before the end")
    if min(count, fitting) > SECTION_LIMIT:
        faults.append(f"SEV metadata: it claims {count} sections; only the first {SECTION_LIMIT} are read")
    stop = place + size * min(count, fitting, SECTION_LIMIT)
    rows = [MetadataSection.from_bytes(image[start : start + size]) for start in range(place, stop, size)]
    sections = tuple(Section(int(row.base), int(row.length), row.type) for row in rows)
    return Metadata(offset, stop - offset, sections)


def check_sections(sections: tuple[Section, ...]) -> list[str]:
    """Return a sentence for everything unexpected about the sections that does not keep them from being read."""
    notes = []
    for number, section in enumerate(sections, 1):
        where = f"SEV metadata: section {number} (type 0x{section.type:x}, {section.name})"
        if section.type not in SECTION_TYPES:
            notes.append(f"{where} is of an unknown type; QEMU makes ZERO pages of it, sev-snp-measure stops")
        if section.base % PAGE or section.size % PAGE or not section.size:
            notes.append(f"{where}: base 0x{section.base:x} and size 0x{section.size:x} are not whole pages of 4 KiB")
        if section.end > 1 << 32:
            notes.append(f"{where} reaches beyond 4 GiB")
    ordered = sorted(enumerate(sections, 1), key=lambda pair: (pair[1].base, pair[0]))
    for (first, lower), (second, upper) in pairwise(ordered):
        if lower.end > upper.base and lower.size and upper.size:
            notes.append(f"SEV metadata: sections {first} and {second} overlap")
    return notes


class VolumeHeader(Layout, size=56, spec="UEFI PI, volume 3: EFI_FIRMWARE_VOLUME_HEADER (fixed part)"):
    """The head of a firmware volume. A block map follows, which ``header_length`` counts too."""

    zero_vector: bytes = at(0x00, 16, "Room for a reset vector; zero on x86.", type=bytes, colour="grey")
    file_system: Guid = at(0x10, 16, "What the volume holds.", type=Guid)
    length: Hex = at(0x20, 8, "Bytes of the whole volume, with this header.", type=Hex)
    signature: bytes = at(0x28, 4, "ASCII '_FVH'.", type=bytes, const=SIGNATURE)
    attributes: Hex = at(0x2C, 4, "What may be done with the volume.", type=Hex)
    header_length: int = at(0x30, 2, "Bytes of this header with its block map.")
    checksum: Hex = at(0x32, 2, "Makes the sum of the header's 16-bit words 0.", type=Hex)
    ext_header_offset: Hex = at(0x34, 2, "Where a second header lies; 0 for none.", type=Hex)
    reserved_36: int = at(0x36, 1, "Reserved.", colour="grey")
    revision: int = at(0x37, 1, "Version of this header: 2.")


class Volume(namedtuple("Volume", "offset size file_system")):
    """A firmware volume: file offset and claimed size in bytes, and the GUID that says what it holds."""

    @property
    def is_nvram(self) -> bool:
        return bool(self.file_system == NVRAM)

    @property
    def end(self) -> int:
        """File offset after its last byte, as its header claims; it may lie outside the file."""
        return int(self.offset + self.size)

    def as_dict(self) -> dict[str, object]:
        guid = self.file_system
        return {"offset": self.offset, "size": self.size, "guid": str(guid), "name": guid.name}


def find_volumes(image: bytes) -> tuple[Volume, ...]:
    """Return the volumes with a right checksum, in order, not those within others; the last may exceed the file."""
    volumes: list[Volume] = []
    place = 0
    for _ in range(PLACES_LIMIT):
        found = image.find(SIGNATURE, place)
        if found < 0:
            break
        volume = read_volume(image, found - SIGNATURE_AT)
        place = found + 1
        if volume and (not volumes or volume.offset >= volumes[-1].end):
            volumes.append(volume)
            place = max(place, volume.end)
    return tuple(volumes)


def read_volume(image: bytes, offset: int) -> Volume | None:
    """Return the volume whose header lies at *offset* (bytes), None when no sound header does."""
    if offset < 0 or len(image) < offset + VolumeHeader.size:
        return None
    header = VolumeHeader.from_bytes(image[offset : offset + VolumeHeader.size])
    size = header.header_length
    if not VolumeHeader.size <= size <= HEADER_LIMIT or size % 2 or header.length < size:
        return None
    words = image[offset : offset + size]
    if len(words) < size or sum(struct.unpack(f"<{size // 2}H", words)) & 0xFFFF:
        return None
    return Volume(offset, int(header.length), header.file_system)
