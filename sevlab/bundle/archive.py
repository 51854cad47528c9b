"""Zip archives from strangers: nothing is believed before it was looked at, and no name leads anywhere.

A member is one of three names, which are compared as a whole, so there is no path to leave a folder by. Everything a
hostile archive can claim (how many members, how large, where they lie) is checked against limits and against what is
really there, before and while it is read. Python's zipfile does the reading.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager

from ..case import CASE_LIMIT, FILE_LIMIT
from ..errors import InputError, quoted
from ..reading import CHUNK, open_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, NoReturn

MANIFEST, CASE, BLOBS = "manifest.json", "case.toml", "blobs/"
#: Most members. A case names at most 17 files and 3 keys, and its explanation as many files again.
MEMBER_LIMIT = 64
#: Most bytes of all members.
TOTAL_LIMIT = 2 << 30
#: Largest manifest, in bytes. A full one has 5 KiB.
MANIFEST_LIMIT = 64 << 10
#: Most bytes that one byte may unpack to, beside the first KiB.
RATIO_LIMIT = 200
_SLACK = 1 << 10
#: Largest list of members at the archive's end, in bytes: a full one takes 8 KiB.
_DIRECTORY_LIMIT = 64 << 10
_BLOB = re.compile(r"blobs/[0-9a-f]{64}")
#: End of central directory (APPNOTE 4.3.16): signature, disks, members (here, in all), size, offset, comment's length.
_END = struct.Struct("<4s4H2LH")
_END64 = b"PK\x06\x07"
_END64_SIZE = 20
#: Local file header (APPNOTE 4.3.7): signature, version, flags, method, time, date, CRC, sizes, lengths of name, extra.
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _SIZES_LATER = 1 << 0, 1 << 3
#: How hard the packer tried (bits 1 and 2), and names in UTF-8.
_HARMLESS = 1 << 1 | 1 << 2 | 1 << 11
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FOLDER = 0x10
#: Everything that Python's zipfile says about an archive that is none.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
_NEEDED = "a bundle, as sevlab case pack writes it"


class Archive:
    """An archive whose list of members was checked. ``sizes`` are their bytes by name. Made by :func:`open_archive`."""

    def __init__(self, path: str, stream: BinaryIO) -> None:
        self.path = path
        self._check_end(stream)
        try:
            self._zip = zipfile.ZipFile(stream)
        except _BROKEN:
            self.refuse("no zip archive that can be read")
        self._members = self._zip.infolist()
        self._check_members(stream)
        self.sizes = {member.filename: member.file_size for member in self._members}

    def refuse(self, received: str, needed: str = _NEEDED, advice: str = "") -> NoReturn:
        """Raise the error for this archive."""
        raise InputError(quoted(self.path, 200), received, needed, advice)

    def _check_end(self, stream: BinaryIO) -> None:
        """Check the archive's last record, before anything is read that it points to."""
        size = stream.seek(0, os.SEEK_END)
        if size > TOTAL_LIMIT + (1 << 20):
            self.refuse(f"{size} bytes", f"a bundle of at most {TOTAL_LIMIT >> 20} MiB")
        if size < _END.size:
            self.refuse(f"{size} bytes", _NEEDED)
        place = size - _END.size
        stream.seek(max(0, place - _END64_SIZE))
        raw = stream.read()
        mark, disk, start, here, members, length, offset, comment = _END.unpack(raw[-_END.size :])
        if mark != b"PK\x05\x06" or comment:
            advice = "asking for it again: it may be cut off"
            self.refuse("no zip archive, or one with something after its end", _NEEDED, advice)
        if place >= _END64_SIZE and raw.startswith(_END64):
            self.refuse("a zip archive in the format for huge ones (zip64)")
        if disk or start or here != members:
            self.refuse("a part of a zip archive in several files")
        if members > MEMBER_LIMIT:
            self.refuse(f"a zip archive of {members} members", f"at most {MEMBER_LIMIT}")
        if length > _DIRECTORY_LIMIT or offset + length != place:
            self.refuse("a zip archive whose list of members is not where it must be")
        self._count, self._directory = members, offset

    def _check_members(self, stream: BinaryIO) -> None:
        if len(self._members) != self._count:
            self.refuse(f"a list of {len(self._members)} members that claims {self._count}")
        seen: set[str] = set()
        total = 0
        for member in self._members:
            name = member.orig_filename
            if name not in (MANIFEST, CASE) and not _BLOB.fullmatch(name):
                needed = f"only {MANIFEST}, {CASE} and {BLOBS} with 64 hex digits"
                self.refuse(f"a member named {quoted(name)}", needed, "sevlab case pack")
            if name in seen:
                self.refuse(f"two members named {name}", "one")
            seen.add(name)
            self._check_kind(member)
            limit = {MANIFEST: MANIFEST_LIMIT, CASE: CASE_LIMIT}.get(name, FILE_LIMIT)
            if member.file_size > limit:
                self.refuse(f"{name} of {member.file_size} bytes", f"at most {limit}")
            if member.file_size > RATIO_LIMIT * member.compress_size + _SLACK:
                packed = f"{member.file_size} bytes packed into {member.compress_size}"
                self.refuse(f"{name}, {packed}", f"at most {RATIO_LIMIT} bytes from one")
            total += member.file_size
        if total > TOTAL_LIMIT:
            self.refuse(f"{total} bytes in all", f"at most {TOTAL_LIMIT}")
        for name in (MANIFEST, CASE):
            if name not in seen:
                self.refuse(f"a zip archive without {name}")
        self._check_places(stream)

    def _check_kind(self, member: zipfile.ZipInfo) -> None:
        """Refuse a member that is no plain file, or not plainly in the archive."""
        name, mode = member.orig_filename, member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or member.external_attr & _FOLDER:
            kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}
            self.refuse(f"{name}, {kinds.get(stat.S_IFMT(mode), 'no regular file')}", "a regular file")
        if member.flag_bits & _ENCRYPTED:
            self.refuse(f"{name}, encrypted", "a bundle that is not")
        if member.flag_bits & _SIZES_LATER:
            self.refuse(f"{name}, whose size stands behind its data", "sizes before the data", "sevlab case pack")
        if member.flag_bits & ~_HARMLESS or member.compress_type not in _METHODS:
            self.refuse(f"{name}, packed in a way that is not known", "stored or deflated", "sevlab case pack")

    def _check_places(self, stream: BinaryIO) -> None:
        """Check that the members lie one after the other from the first byte on, and say of themselves what the list
        says of them. So no two share bytes, and nothing is hidden between them."""
        place = 0
        for member in sorted(self._members, key=lambda member: member.header_offset):
            stream.seek(place)
            raw = stream.read(_LOCAL.size)
            if member.header_offset != place or len(raw) < _LOCAL.size:
                self.refuse(f"{member.filename}, which overlaps another member or does not follow it")
            mark, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack(raw)
            told = (member.flag_bits, member.compress_type, member.CRC, member.compress_size, member.file_size)
            if mark != b"PK\x03\x04" or (flags, method, crc, packed, size) != told:
                self.refuse(f"{member.filename}, which says something else of itself than the list of members")
            place += _LOCAL.size + name + extra + member.compress_size
        if place != self._directory:
            self.refuse("a zip archive with bytes that belong to no member")

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield what a member holds, a MiB at a time, never more than it claims."""
        left = self.sizes[name]
        try:
            with self._zip.open(name) as stream:
                while chunk := stream.read(CHUNK):
                    left -= len(chunk)
                    yield chunk
        except _BROKEN:
            self.refuse(f"{name}, which cannot be unpacked", "a whole bundle", "asking for it again: it is damaged")
        if left:
            self.refuse(f"{name}, which has another size than it claims")

    def read(self, name: str) -> bytes:
        """Return what a small member holds."""
        return b"".join(self.chunks(name))


@contextmanager
def open_archive(path: str, name: str = "bundle") -> Iterator[Archive]:
    """Open a bundle's archive and check its list of members.

    Raises :class:`~sevlab.errors.InputError`, in one line, for whatever is not a plain archive of the three kinds of
    members within the limits; *name* is what its user calls it.
    """
    with open_input(path, name) as stream:
        yield Archive(path, stream)
