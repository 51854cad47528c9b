"""The programs inside a firmware image, and whether they enforce the kernel hashes.

A firmware volume holds files, a file holds sections, and a section holds a program, or more sections, or another
volume. OVMF compresses nearly all of itself into one such section, with LZMA. :class:`Programs` walks all of it, and
decompresses no more than its caller looks at. Any bytes are taken, within the limits below; what could not be read
becomes a sentence.

The host puts the hashes of kernel, initrd and command line where the firmware's footer table says. They are measured
there, and nothing more, unless a program in the firmware compares what is booted with them. In edk2 that is the driver
that hands over the kernel, ``QemuKernelLoaderFsDxe``, where a verifier is linked into it. Builds for AMD SEV
(``OvmfPkg/AmdSev``) link one that looks for the hashes by their GUIDs. The others link one that verifies nothing, and
since edk2-stable202511 they have the area too: the digest then names a kernel while any kernel boots.

So the driver's bytes decide: it names all three hashes, or none. That says which verifier is there, not that it is
right; the two forms that were are in :mod:`sevlab.labs.attacks.kernel_swap`.

Sources: UEFI Platform Initialization specification, volume 3 (volume, file and section headers); edk2,
``LzmaCustomDecompressLib``, ``BlobVerifierLibSevHashes``, ``BlobVerifierLibNull`` and commit 4b1711d431 (2025-09-11);
the images of Debian's package ovmf.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple

from .guid import Guid
from .kernel_hashes import CMDLINE, INITRD, KERNEL
from .ovmf_tables import FILE_SYSTEMS, HEADER_LIMIT, VolumeHeader, read_volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    import lzma
    from collections.abc import Iterator, Sequence

    from .ovmf_tables import Volume

#: Most bytes that are decompressed, all sections together. OVMF has 8 to 14 MiB.
DECODED_LIMIT = 64 << 20
#: Most bytes that a decompressor may keep for itself. OVMF needs 16 MiB; a hostile header asks for 4 GiB.
MEMORY_LIMIT = 40 << 20
#: Volumes and sections within each other that are entered. OVMF has 4.
DEPTH_LIMIT = 12
#: Most files and sections that are looked at. OVMF has about 700.
ITEMS_LIMIT = 20_000
#: Most sentences about what could not be read.
LOST_LIMIT = 8
#: Bytes that are decompressed at once, and most letters of a name.
_CHUNK, _NAME_LIMIT = 256 << 10, 64
LZMA = Guid.from_text("ee4e5898-3914-4259-9d6e-dc7bd79403cf")
#: Kinds of sections. Programs are PE32, PIC (position-independent code) and TE (terse executable).
_COMPRESSION, _GUIDED, _NAME, _VOLUME = 0x01, 0x02, 0x15, 0x17
_PROGRAMS = (0x10, 0x11, 0x12)
#: Types of files that hold no sections: raw bytes, padding.
_WITHOUT_SECTIONS = (0x01, 0xF0)
#: An attribute of a file whose size takes 8 bytes more.
_LARGE = 0x01
#: States of a file: one of the first is set when its data holds, one of the second when it no longer does.
_HOLDS, _GONE = 0x04 | 0x08, 0x10 | 0x20
#: An attribute of a volume: what is erased is ones, so states are stored inverted.
_ERASED_TO_ONES = 0x800
#: An attribute of a guided section whose content must be decoded first.
_ENCODED = 0x01
ENFORCES, PLACE_ONLY, CANNOT_TELL = "enforces", "place_only", "cannot_tell"
#: What each answer says of a firmware.
WORDS = {
    ENFORCES: "enforces the kernel hashes",
    PLACE_ONLY: "has the place but no code that checks it",
    CANNOT_TELL: "cannot tell whether it enforces the kernel hashes",
}
#: The driver that fetches kernel, initrd and command line from the host: QemuKernelLoaderFsDxe of edk2.
LOADER = Guid.from_text("806040ca-dad9-4978-a3b4-2d2ab0c8a48f")
#: The GUID of each hash in the table.
_GUIDS = {"kernel": bytes(KERNEL), "initrd": bytes(INITRD), "cmdline": bytes(CMDLINE)}
_BUT = "the digest names your kernel while any kernel boots"
#: Most firmware images of which the answer is remembered, by their SHA-256.
_KEPT = 16
_known: dict[bytes, Enforcement] = {}


class _Area(namedtuple("_Area", "read start end place depth")):
    """A run of bytes: how to read them, where they are (in words), and how many sections lie around them."""

    @property
    def size(self) -> int:
        return int(self.end - self.start)

    def cut(self, offset: int, size: int) -> bytes:
        """Return *size* bytes from *offset*, or as many as there are."""
        start = self.start + offset
        return bytes(self.read(start, min(start + size, self.end)))

    def part(self, start: int, end: int) -> _Area:
        return self._replace(start=self.start + start, end=self.start + end)


class Program(namedtuple("Program", "guid name area")):
    """A program: GUID and name of its file ("" for none), and where its bytes are."""

    @property
    def content(self) -> bytes:
        return bytes(self.area.cut(0, self.area.size))

    @property
    def text(self) -> str:
        """The program for people: name, GUID, place."""
        return f"{self.name or 'a program without a name'} ({self.guid}, in the {self.area.place})"


class _Decoded:
    """What comes out of an LZMA stream, decompressed as far as somebody has looked."""

    def __init__(self, raw: bytes, walk: Programs) -> None:
        import lzma

        self._walk, self._input, self._damage = walk, raw, (lzma.LZMAError, EOFError, MemoryError)
        self._decoder: lzma.LZMADecompressor | None
        self._decoder = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=MEMORY_LIMIT)
        self.raw = bytearray()

    def read(self, start: int, end: int) -> bytes:
        while len(self.raw) < end and self._decoder is not None:
            self._decode(self._decoder, min(max(end - len(self.raw), _CHUNK), self._walk.left))
        with memoryview(self.raw) as view:
            return bytes(view[start:end])

    def close(self) -> None:
        """Give back what the decompressor holds. What it has made stays."""
        self._decoder, self._input = None, b""

    def _decode(self, decoder: lzma.LZMADecompressor, size: int) -> None:
        made, lost = b"", ""
        if size <= 0:
            lost = f"compressed code beyond {DECODED_LIMIT >> 20} MiB"
        else:
            try:
                made = decoder.decompress(self._input, size)
            except self._damage:
                lost = "damaged compressed code"
        self._input = b""
        self.raw += made
        self._walk.left -= len(made)
        if not made or decoder.eof:
            if lost or not decoder.eof:
                self._walk.lose(lost or "compressed code that is cut off")
            self.close()


class Programs:
    """The programs of a firmware image: iterate once. ``lost`` says what could not be read (:data:`LOST_LIMIT`)."""

    def __init__(self, image: bytes, volumes: Sequence[Volume]) -> None:
        self._image, self._volumes = image, volumes
        self.lost: list[str] = []
        #: Bytes that may still be decompressed, and files and sections that may still be looked at.
        self.left, self._items = DECODED_LIMIT, ITEMS_LIMIT

    def lose(self, what: str) -> None:
        """Note that something could not be read."""
        if what not in self.lost and len(self.lost) < LOST_LIMIT:
            self.lost.append(what)

    def __iter__(self) -> Iterator[Program]:
        for volume in self._volumes:
            place = f"volume at file offset 0x{volume.offset:x}"
            whole = _Area(lambda start, end: self._image[start:end], volume.offset, len(self._image), place, 0)
            yield from self._volume(whole)

    def _volume(self, area: _Area) -> Iterator[Program]:
        """Walk the files of a volume, which may reach to the end of *area*."""
        raw = area.cut(0, HEADER_LIMIT)
        volume = read_volume(raw, 0)
        if volume is None:
            self.lose("a firmware volume with a damaged header")
            return
        if volume.file_system not in FILE_SYSTEMS:
            if not volume.is_nvram:
                self.lose(f"a firmware volume of an unknown kind ({volume.file_system})")
            return
        if volume.size > area.size:
            self.lose("a firmware volume that is cut off")
        area = area.part(0, min(volume.size, area.size))
        header = VolumeHeader.from_bytes(raw[: VolumeHeader.size])
        erased = 0xFF if header.attributes & _ERASED_TO_ONES else 0
        at = int(header.header_length)
        if further := int(header.ext_header_offset):
            at = further + int.from_bytes(area.cut(further + 16, 4), "little")
        at = _up(at, 8)
        while at + 24 <= area.size:
            head = area.cut(at, 32)
            if head[:24] == bytes([erased]) * 24:  # nothing was ever written here, nor further on
                return
            size, length = _file_size(head)
            if not size or at + size > area.size or not self._count():
                self.lose("a firmware volume whose files cannot be separated")
                return
            state = head[23] ^ erased
            if state & _HOLDS and not state & _GONE and head[18] not in _WITHOUT_SECTIONS:
                yield from self._file(Guid(head[:16]), area.part(at + length, at + size))
            at = _up(at + size, 8)

    def _count(self) -> bool:
        """Count a file or a section. False when no more may be looked at."""
        self._items -= 1
        return self._items >= 0

    def _file(self, guid: Guid, area: _Area) -> Iterator[Program]:
        """Yield what the sections of a file hold. Its own programs come last, because its name comes after them."""
        own, name = list[Program](), ""
        for found in self._sections(area):
            if isinstance(found, str):
                name = found
            elif found.guid is None:
                own.append(found)
            else:
                yield found
        for program in own:
            yield program._replace(guid=guid, name=name)

    def _sections(self, area: _Area) -> Iterator[Program | str]:
        """Yield the name that sections give their file, their programs (still without GUID), and those of volumes."""
        at = 0
        while at + 4 <= area.size:
            head = area.cut(at, 8)
            size, length = int.from_bytes(head[:3], "little"), 4
            if size == 0xFFFFFF:
                size, length = int.from_bytes(head[4:8], "little"), 8
            if len(head) < length or size < length or at + size > area.size or not self._count():
                self.lose("a file whose sections cannot be separated")
                return
            kind, body = head[3], area.part(at + length, at + size)
            if kind in _PROGRAMS:
                yield Program(None, "", body)
            elif kind == _NAME:
                yield _name(body.cut(0, 2 * _NAME_LIMIT))
            elif kind in (_VOLUME, _GUIDED, _COMPRESSION):
                body = body._replace(depth=area.depth + 1)
                if body.depth > DEPTH_LIMIT:
                    self.lose(f"what lies more than {DEPTH_LIMIT} levels deep")
                elif kind == _VOLUME:
                    yield from self._volume(body)
                elif kind == _GUIDED:
                    yield from self._guided(body, length)
                elif body.cut(4, 1) == b"\0":
                    yield from self._sections(body.part(5, body.size))
                else:
                    self.lose("code in a compression that sevlab does not read")
            at = _up(at + size, 4)

    def _guided(self, area: _Area, before: int) -> Iterator[Program | str]:
        """Yield what a section holds whose content a GUID describes; *before* bytes of its header precede *area*."""
        head = area.cut(0, 20)
        guid, start, attributes = head[:16], int.from_bytes(head[16:18], "little") - before, head[18:20]
        if len(head) < 20 or not 20 <= start <= area.size:
            self.lose("a section with a damaged header")
        elif guid == LZMA:
            yield from self._lzma(area.part(start, area.size))
        elif attributes[0] & _ENCODED:
            self.lose(f"code in an encoding that sevlab does not read ({Guid(guid)})")
        else:
            yield from self._sections(area.part(start, area.size))

    def _lzma(self, area: _Area) -> Iterator[Program | str]:
        """Yield what is in an LZMA stream, whose bytes 5 to 12 give its length."""
        raw = area.cut(0, area.size)
        try:
            decoded = _Decoded(raw, self)
        except ImportError:
            self.lose("compressed code, because Python's module lzma is missing")
            return
        size = int.from_bytes(raw[5:13], "little")
        if not raw[5:13] or size > DECODED_LIMIT:
            self.lose(f"compressed code beyond {DECODED_LIMIT >> 20} MiB")
        where = area.place if area.place.startswith("compressed") else f"compressed {area.place}"
        try:
            yield from self._sections(_Area(decoded.read, 0, min(size, DECODED_LIMIT), where, area.depth))
        finally:
            decoded.close()


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _file_size(head: bytes) -> tuple[int, int]:
    """Return the sizes of a file and of its header, from its first 32 bytes; (0, 0) for a damaged header."""
    size, length = int.from_bytes(head[20:23], "little"), 24
    if head[19] & _LARGE:
        size, length = int.from_bytes(head[24:32], "little"), 32
    # The header's bytes sum up to 0, without the checksum of the content and the state.
    if len(head) < length or size < length or (sum(head[:length]) - head[17] - head[23]) & 0xFF:
        return 0, 0
    return size, length


def _name(raw: bytes) -> str:
    """Return a file's name; "" for one that is not plain ASCII: it comes from a stranger."""
    name = raw.decode("utf-16-le", "replace").partition("\0")[0]
    return name if name.isascii() and name.isprintable() else ""


class Enforcement(namedtuple("Enforcement", "answer seen")):
    """An answer, a key of :data:`WORDS`, and what was seen: a few phrases."""

    @property
    def text(self) -> str:
        """The answer as a sentence, with what was seen."""
        words = "Sevlab" if self.answer == CANNOT_TELL else "It"
        return f"{words} {WORDS[self.answer]}: {'; '.join(self.seen)}"

    @property
    def warnings(self) -> list[str]:
        """A warning about a kernel that is measured and not enforced, if that is known."""
        words = f"firmware: for kernel hashes it {WORDS[PLACE_ONLY]}: {'; '.join(self.seen)}. So {_BUT}"
        return [words] if self.answer == PLACE_ONLY else []

    @property
    def notes(self) -> list[str]:
        """A note about a kernel of which it is not known whether it is enforced."""
        words = f"firmware: {WORDS[CANNOT_TELL]}: {'; '.join(self.seen)}. If it does not, {_BUT}"
        return [words] if self.answer == CANNOT_TELL else []

    def as_dict(self) -> dict[str, object]:
        return {"answer": self.answer, "text": self.text, "seen": list(self.seen)}


def judge_enforcement(image: bytes, volumes: Sequence[Volume]) -> Enforcement:
    """Return whether a firmware image enforces the kernel hashes. Its code is decompressed for that, once an image."""
    key = hashlib.sha256(image).digest()
    if key not in _known:
        while len(_known) >= _KEPT:
            del _known[next(iter(_known))]
        _known[key] = _read(image, volumes)
    return _known[key]


def _read(image: bytes, volumes: Sequence[Volume]) -> Enforcement:
    if not volumes:
        return Enforcement(CANNOT_TELL, ("it has no firmware volume, so there is no code to read",))
    programs, others = Programs(image, volumes), []
    for program in programs:
        if program.guid == LOADER:
            return _of_loader(program)
        others.append(program)
    naming = [program for program in others if names_hashes(program.content)]
    if naming:
        seen = f"{naming[0].text} names hashes of the table, and sevlab does not know what it is"
    elif programs.lost:
        seen = f"not read: {', '.join(programs.lost)}"
    elif not others:
        seen = "its firmware volumes hold no program"
    else:
        return Enforcement(PLACE_ONLY, (f"none of its {len(others)} programs names the hashes",))
    return Enforcement(CANNOT_TELL, (seen,))


def _of_loader(loader: Program) -> Enforcement:
    named = names_hashes(loader.content)
    if not named:
        return Enforcement(PLACE_ONLY, (f"{loader.text} hands over the kernel and names none of its hashes",))
    if len(named) < len(_GUIDS):
        return Enforcement(CANNOT_TELL, (f"{loader.text} names the hash of {' and '.join(named)} only",))
    return Enforcement(ENFORCES, (f"{loader.text} names the hashes of {', '.join(named)}",))


def names_hashes(code: bytes) -> list[str]:
    """Return the blobs whose hash a program looks for: it holds the GUID, in one piece or in two halves of 8 bytes."""
    return [name for name, guid in _GUIDS.items() if guid[:8] in code and guid[8:] in code]
