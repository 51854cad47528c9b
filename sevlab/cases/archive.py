"""Read zip archives from strangers: everything is checked before it is used, and no path leads out of a folder.

A member has one of three kinds of names, compared as a whole. Whatever a hostile archive can claim (how many members,
how large, where) is checked against limits and against its bytes, before and while it is read: every byte belongs to a
member, to its header, or to the list of members. Python's zipfile reads that list.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

from ..errors import InputError, quoted
from ..launch.reading import CHUNK, open_input
from .case import CASE_LIMIT, FILE_LIMIT

MANIFEST, CASE, BLOBS = "manifest.json", "case.toml", "blobs/"
#: Most members. A case names at most 17 files and 3 keys, and its explanation as many files again.
MEMBER_LIMIT = 64
#: Most bytes of all members.
TOTAL_LIMIT = 2 << 30
#: Largest manifest, in bytes. A full one has 5 KiB.
MANIFEST_LIMIT = 64 << 10
#: Most bytes that one byte may unpack to, after the first KiB.
RATIO_LIMIT, _SLACK = 200, 1 << 10
#: Largest list of members at the archive's end, in bytes: a full one takes 8 KiB.
_DIRECTORY_LIMIT = 64 << 10
_BLOB = re.compile(r"blobs/[0-9a-f]{64}")
#: End of central directory (APPNOTE 4.3.16): signature, disks, members (here, in all), size, offset, comment's length.
_END = struct.Struct("<4s4H2LH")
_END64, _END64_SIZE = b"PK\x06\x07", 20
#: Local file header (APPNOTE 4.3.7): signature, version, flags, method, time, date, CRC, sizes, lengths of name, extra.
_LOCAL = struct.Struct("<4s5H3L2H")
#: Bytes of a member's entry in the list (APPNOTE 4.3.12), without its name, extra field and comment.
_ENTRY = 46
#: Flags of a member. Harmless are the compression level (bits 1 and 2), and names in UTF-8.
_ENCRYPTED, _SIZES_LATER, _HARMLESS = 1 << 0, 1 << 3, 1 << 1 | 1 << 2 | 1 << 11
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Everything that Python's zipfile raises for a bad archive.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, OverflowError, RuntimeError, ValueError, struct.error)
_NEEDED = "a bundle, as sevlab case pack writes it"


class Archive:
    """An archive with a checked list of members; ``sizes`` are their bytes by name. Made by :func:`open_archive`."""

    def __init__(self, path: str, stream: BinaryIO) -> None:
        self.path, self._stream = path, stream
        self._check_end()
        try:
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
        except _BROKEN:
            self.refuse("a zip archive that cannot be read")
        self._members = {member.orig_filename: member for member in members}
        self._check_members(members)
        self._check_places(members)
        self.sizes = {name: member.file_size for name, member in self._members.items()}

    def refuse(self, received: str, needed: str = _NEEDED, advice: str = "") -> NoReturn:
        raise InputError(quoted(self.path, 200), received, needed, advice)

    def _check_end(self) -> None:
        """Check the archive's last record, before reading what it points to."""
        size = self._stream.seek(0, os.SEEK_END)
        if not _END.size <= size <= TOTAL_LIMIT + (1 << 20):
            self.refuse(f"{size} bytes", f"a bundle of at most {TOTAL_LIMIT >> 20} MiB")
        place = size - _END.size
        self._stream.seek(max(0, place - _END64_SIZE))
        raw = self._stream.read()
        mark, disk, start, here, self._count, self._length, self._directory, comment = _END.unpack(raw[-_END.size :])
        if mark != b"PK\x05\x06" or comment:
            received = "a file that is not a zip archive, or has something after its end"
            self.refuse(received, _NEEDED, "asking for it again: it may be cut off")
        if place >= _END64_SIZE and raw.startswith(_END64):
            self.refuse("a zip archive in the format for huge ones (zip64)")
        if disk or start or here != self._count:
            self.refuse("a part of a zip archive in several files")
        if self._count > MEMBER_LIMIT:
            self.refuse(f"a zip archive of {self._count} members", f"at most {MEMBER_LIMIT}")
        if self._length > _DIRECTORY_LIMIT or self._directory + self._length != place:
            self.refuse("a zip archive whose list of members is not where it must be")

    def _check_members(self, members: list[zipfile.ZipInfo]) -> None:
        if len(members) != self._count:
            self.refuse(f"a list of {len(members)} members that claims {self._count}")
        for member in members:
            self._check_member(member.orig_filename, member)
        if (total := sum(member.file_size for member in members)) > TOTAL_LIMIT:
            self.refuse(f"{total} bytes in all", f"at most {TOTAL_LIMIT}")
        for name in (MANIFEST, CASE):
            if name not in self._members:
                self.refuse(f"a zip archive without {name}")
        if any(member.extra or member.comment for member in members):
            self.refuse("a zip archive with extra fields or comments in its list of members")
        if self._length != sum(_ENTRY + len(member.orig_filename) for member in members):
            self.refuse("a zip archive with unneeded bytes in its list of members")

    def _check_member(self, name: str, member: zipfile.ZipInfo) -> None:
        """Refuse an unknown name, anything but a plain file in a plain form, and a member that is too large."""
        if name not in (MANIFEST, CASE) and not _BLOB.fullmatch(name):
            needed = f"only {MANIFEST}, {CASE} and {BLOBS} with 64 hex digits"
            self.refuse(f"a member named {quoted(name)}", needed, "sevlab case pack")
        if self._members[name] is not member:
            self.refuse(f"two members named {name}", "one")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.external_attr & 0x10:  # a folder, under DOS
            kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}
            self.refuse(f"{name}, {kinds.get(kind, 'not a regular file')}", "a regular file")
        if member.flag_bits & _ENCRYPTED:
            self.refuse(f"{name}, encrypted", "a bundle that is not")
        if member.flag_bits & _SIZES_LATER:
            self.refuse(f"{name}, whose size comes after its data", "sizes before the data", "sevlab case pack")
        packed, size = member.compress_size, member.file_size
        if member.compress_type == zipfile.ZIP_STORED and packed != size:
            self.refuse(f"{name}, stored in {packed} bytes, but of {size}")
        if member.flag_bits & ~_HARMLESS or member.compress_type not in _METHODS:
            self.refuse(f"{name}, packed in an unknown way", "stored or deflated", "sevlab case pack")
        if size > (limit := {MANIFEST: MANIFEST_LIMIT, CASE: CASE_LIMIT}.get(name, FILE_LIMIT)):
            self.refuse(f"{name} of {size} bytes", f"at most {limit}")
        if size > RATIO_LIMIT * packed + _SLACK:
            self.refuse(f"{name}, {size} bytes packed into {packed}", f"at most {RATIO_LIMIT} bytes from one")

    def _check_places(self, members: list[zipfile.ZipInfo]) -> None:
        """Check that members follow each other from the first byte on, with headers that say the same as the list, and
        nothing more. So no two share bytes, and nothing is hidden between them."""
        place = 0
        for member in sorted(members, key=lambda member: member.header_offset):
            self._stream.seek(place)
            raw = self._stream.read(_LOCAL.size)
            if member.header_offset != place or len(raw) < _LOCAL.size:
                self.refuse(f"{member.filename}, which overlaps another member or does not follow it")
            mark, _, flags, method, _, _, crc, packed, size, length, extra = _LOCAL.unpack(raw)
            listed = (member.flag_bits, member.compress_type, member.CRC, member.compress_size, member.file_size)
            if mark != b"PK\x03\x04" or (flags, method, crc, packed, size) != listed:
                self.refuse(f"{member.filename}, whose header differs from the list of members")
            if extra or self._stream.read(length) != member.orig_filename.encode("ascii"):
                self.refuse(f"{member.filename}, with an extra field or another name before its data")
            place += _LOCAL.size + length + member.compress_size
        if place != self._directory:
            self.refuse("a zip archive with bytes that belong to no member")

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's content, a MiB at a time, never more than it claims. Every packed byte counts."""
        member = self._members[name]
        left, crc = member.file_size, 0
        inflate = None if member.compress_type == zipfile.ZIP_STORED else zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for piece in self._packed(member):
                for chunk in (piece,) if inflate is None else _inflated(inflate, piece):
                    if len(chunk) > left:
                        self._refuse_packed(name)
                    left, crc = left - len(chunk), zlib.crc32(chunk, crc)
                    yield chunk
        except zlib.error:
            self._refuse_packed(name)
        is_whole = inflate is None or (inflate.eof and not inflate.unused_data)
        if is_whole and left:
            self.refuse(f"{name}, which has another size than it claims")
        if not is_whole or crc != member.CRC:
            self._refuse_packed(name)

    def _packed(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        place = member.header_offset + _LOCAL.size + len(member.filename)
        left = member.compress_size
        while left:
            self._stream.seek(place)
            if not (piece := self._stream.read(min(CHUNK, left))):
                self._refuse_packed(member.filename)
            place, left = place + len(piece), left - len(piece)
            yield piece

    def _refuse_packed(self, name: str) -> NoReturn:
        self.refuse(f"{name}, which cannot be unpacked", "a whole bundle", "asking for it again: it is damaged")

    def read(self, name: str) -> bytes:
        return b"".join(self.chunks(name))


def _inflated(inflate: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    while chunk := inflate.decompress(piece, CHUNK):
        yield chunk
        piece = inflate.unconsumed_tail


@contextmanager
def open_archive(path: str, name: str = "bundle") -> Iterator[Archive]:
    """Open a bundle's archive, which its user knows as *name*, and check it. Raises InputError for a bad one."""
    with open_input(path, name) as stream:
        yield Archive(path, stream)
