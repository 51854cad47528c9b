"""Firmware volumes: what a flash image is divided into.

An edk2 image is a row of firmware volumes, each with a header that tells its length. The variable store (NVRAM, what
the firmware remembers) is one, the main code another, and the boot volume with the reset vector ends the image.

Sources: UEFI Platform Initialization specification, volume 3, ``EFI_FIRMWARE_VOLUME_HEADER``; sizes from the images of
Debian's package ovmf.
"""

from __future__ import annotations

import struct
from collections import namedtuple

from ..layout.rows import Hex, Layout, at
from .guid import Guid

NVRAM = Guid.from_text("fff12b8d-7696-4c8b-a985-2747075b4f50")
#: What a volume with files holds: firmware file systems 2 and 3.
FILE_SYSTEMS = tuple(
    Guid.from_text(text) for text in ("8c8ce578-8a3d-4f1c-9935-896185c32dd3", "5473c07a-3dcb-4dca-bd6f-1e9689e7349a")
)
SIGNATURE = b"_FVH"
#: Where the signature stands in the header, in bytes.
SIGNATURE_AT = 0x28
#: Headers are 72 bytes in practice; a longer one than this is not looked at.
HEADER_LIMIT = 1024
#: The four letters appear in code by chance, and in a hostile file all over. So many places are looked at, no more.
PLACES_LIMIT = 4096


class VolumeHeader(Layout, size=56, spec="UEFI PI, volume 3: EFI_FIRMWARE_VOLUME_HEADER (fixed part)"):
    """The head of a firmware volume. A block map follows, which ``header_length`` counts too."""

    zero_vector: bytes = at(0x00, 16, "Room for a reset vector; zero on x86.", type=bytes, tint="grey")
    file_system: Guid = at(0x10, 16, "What the volume holds.", type=Guid)
    length: Hex = at(0x20, 8, "Bytes of the whole volume, with this header.", type=Hex)
    signature: bytes = at(0x28, 4, "ASCII '_FVH'.", type=bytes, const=SIGNATURE)
    attributes: Hex = at(0x2C, 4, "What may be done with the volume.", type=Hex)
    header_length: int = at(0x30, 2, "Bytes of this header with its block map.")
    checksum: Hex = at(0x32, 2, "Makes the sum of the header's 16-bit words 0.", type=Hex)
    ext_header_offset: Hex = at(0x34, 2, "Where a second header lies; 0 for none.", type=Hex)
    reserved_36: int = at(0x36, 1, "Reserved.", tint="grey")
    revision: int = at(0x37, 1, "Version of this header: 2.")


class Volume(namedtuple("Volume", "offset size file_system")):
    """A firmware volume: file offset and claimed size in bytes, and the GUID that says what it holds."""

    __slots__ = ()

    @property
    def is_nvram(self) -> bool:
        """True for the variable store."""
        return bool(self.file_system == NVRAM)

    @property
    def end(self) -> int:
        """File offset after its last byte, as its header claims; it may lie outside the file."""
        return int(self.offset + self.size)


def find_volumes(image: bytes) -> tuple[Volume, ...]:
    """Return the firmware volumes of an image, in order.

    A volume counts when its header's checksum is right. Volumes within volumes are not looked for. The last one may
    claim more bytes than the file has.
    """
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
    raw = image[offset : offset + VolumeHeader.size] if offset >= 0 else b""
    if len(raw) < VolumeHeader.size:
        return None
    header = VolumeHeader.from_bytes(raw)
    size = header.header_length
    if not VolumeHeader.size <= size <= HEADER_LIMIT or size % 2 or header.length < size:
        return None
    words = image[offset : offset + size]
    if len(words) < size or sum(struct.unpack(f"<{size // 2}H", words)) & 0xFFFF:
        return None
    return Volume(offset, int(header.length), header.file_system)
