"""Firmware and SVSM images that tests build byte by byte, from the facts and without the library's own tables."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from sevlab.formats.guid import Guid
from sevlab.formats.ovmf_tables import FOOTER, HASH_BLOCK, RESET_BLOCK, SECRET_BLOCK, SEV_METADATA, SVSM_INFO

FFS = Guid.from_text("8c8ce578-8a3d-4f1c-9935-896185c32dd3")
RESET = 0x80B004
#: The sections of an AmdSev build of 2024 (measured-direct-boot 4.4): base, size, type.
AMD_SEV = (
    (0x800000, 0x9000, 1),
    (0x80A000, 0x3000, 1),
    (0x80D000, 0x1000, 2),
    (0x80E000, 0x1000, 3),
    (0x80F000, 0x1000, 4),
    (0x810000, 0x1000, 0x10),
    (0x811000, 0xF000, 1),
)


def entry(guid: bytes, data: bytes, length: int | None = None) -> bytes:
    return data + struct.pack("<H", len(data) + 18 if length is None else length) + guid


def tail(*entries: bytes, total: int | None = None) -> bytes:
    """Build the end of an image: entries (the last one nearest the footer), footer, reset vector."""
    body = b"".join(entries)
    return body + entry(FOOTER, b"", len(body) + 18 if total is None else total) + bytes(12) + b"VTF\0" + bytes(16)


def volume(guid: bytes, size: int, claimed: int | None = None) -> bytes:
    """Build a firmware volume filled with 0xff."""
    head = bytes(16) + guid + struct.pack("<Q4sIHHHBB", claimed or size, b"_FVH", 0, 72, 0, 0, 0, 2) + bytes(16)
    checksum = -sum(struct.unpack("<36H", head)) & 0xFFFF
    head = head[:0x32] + struct.pack("<H", checksum) + head[0x34:]
    return head + b"\xff" * (size - len(head))


def image(end: bytes, size: int = 0x2000) -> bytes:
    """Build a CODE half: one volume whose end is *end*."""
    return volume(FFS, size)[: size - len(end)] + end


def metadata(*sections: tuple[int, int, int], count: int | None = None, **changes: int) -> bytes:
    number = len(sections) if count is None else count
    length, version = changes.get("length", 16 + 12 * number), changes.get("version", 1)
    return struct.pack("<4sIII", b"ASEV", length, version, number) + b"".join(struct.pack("<III", *s) for s in sections)


def with_metadata(body: bytes) -> bytes:
    end = tail(entry(SEV_METADATA, bytes(4)))
    return image(body + tail(entry(SEV_METADATA, struct.pack("<I", len(end) + len(body)))))


def snp_image(
    sections: Sequence[tuple[int, int, int]] = AMD_SEV,
    pages: int = 4,
    seed: int = 0,
    reset: int = RESET,
    hash_base: int = 0x810C00,
) -> bytes:
    """Build a firmware image of so many pages that SEV-SNP can launch; *seed* decides its content."""
    chance = random.Random(seed)
    body = metadata(*sections)
    blocks = [
        entry(HASH_BLOCK, struct.pack("<II", hash_base, 0x400)),
        entry(SECRET_BLOCK, struct.pack("<II", 0x810000, 0xC00)),
        entry(RESET_BLOCK, struct.pack("<I", reset)),
    ]
    return _with_pointer(body, blocks, chance, pages)


def svsm_image(sections: Sequence[tuple[int, int, int]], pages: int = 4, seed: int = 0, start: int = 0x40) -> bytes:
    """Build an SVSM image of so many pages whose first instruction is *start* bytes from its beginning."""
    chance = random.Random(seed)
    blocks = [entry(SVSM_INFO, struct.pack("<I", start)), entry(RESET_BLOCK, struct.pack("<I", 0x1000))]
    return _with_pointer(metadata(*sections), blocks, chance, pages)


def _with_pointer(body: bytes, blocks: list[bytes], chance: random.Random, pages: int) -> bytes:
    """Put metadata and table at the end of random pages, some of which are equal."""
    size = len(tail(entry(SEV_METADATA, bytes(4)), *blocks)) + len(body)
    end = body + tail(entry(SEV_METADATA, struct.pack("<I", size)), *blocks)
    whole = b"".join(chance.choice((bytes(4096), b"\xff" * 4096, chance.randbytes(4096))) for _ in range(pages))
    return whole[: len(whole) - len(end)] + end
