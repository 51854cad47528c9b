"""SHA-256 of files that are asked about again and again."""

from __future__ import annotations

import os

from ..errors import InputError, named, quoted
from ..formats.ovmf import Ovmf, parse_ovmf
from .keys import Secret
from .reading import CHUNK, LARGEST, open_input
from .sev import Hashed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO


#: Most bytes of a VMSA file that are looked at; 4096 are needed.
VMSA_LIMIT = 64 << 10

#: Largest firmware image accepted, in bytes. Real ones are 1 to 16 MiB; the limit keeps an endless file from hanging
#: us.
FIRMWARE_LIMIT = 64 << 20


def read_stream(stream: BinaryIO, limit: int) -> bytes:
    """Return what a stream holds, at most *limit* + 1 bytes: one more than may be there tells that there is more.

    Python makes room for as many bytes as it is asked for, so a file is asked for no more than it has.
    """
    try:
        wanted = os.fstat(stream.fileno()).st_size + 1
    except (OSError, ValueError):  # standard input need not be a file at all
        wanted = CHUNK
    pieces, left = [], limit + 1
    while left and (piece := stream.read(min(wanted, left))):
        pieces.append(piece)
        left, wanted = left - len(piece), CHUNK
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def load_file(path: str, name: str, limit: int) -> bytes:
    """Return everything in a file, at most *limit* bytes; ``-`` reads standard input."""
    with open_input(path, name) as stream:
        raw = read_stream(stream, limit)
    if len(raw) > limit:
        raise InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")
    return raw


def check_standard_input(given: Iterable[tuple[str, str | None]]) -> None:
    """Refuse more than one input from ``-``. *given* are the inputs' names and values."""
    readers = [name for name, value in given if value == "-"]
    if len(readers) > 1:
        raise InputError(readers[1], f"'-' when {named(readers[0])} already reads standard input", "one input from '-'")


def load_hidden(path: str, name: str, limit: int) -> Secret:
    """Return everything in a file, as :func:`load_file` does, hidden from the first moment."""
    key = _read_hidden(path, name, limit)
    if len(key) > limit:
        raise InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")
    return key


def _read_hidden(path: str, name: str, limit: int) -> Secret:
    with open_input(path, name) as stream:
        return Secret(read_stream(stream, limit))


#: Largest kernel or initrd accepted, in bytes: it keeps an endless file from hanging us.
BLOB_LIMIT = LARGEST


class Sha256(bytes):
    """SHA-256 (32 bytes) of a file that is not here: it stands for the file where no more of it is measured."""

    def __str__(self) -> str:
        return f"SHA-256 {self.hex()}"


_known: dict[tuple[int, ...], Hashed] = {}


def load_digest(path: str, name: str = "firmware") -> bytes:
    """Return the launch digest (32 bytes) of a firmware image alone; see :func:`load_hashed`."""
    return load_hashed(path, name).digest


def load_hashed(path: str, name: str = "firmware", *, limit: int = FIRMWARE_LIMIT, empty: bool = False) -> Hashed:
    """Hash a file; ``-`` reads standard input.

    The file is read once. Its hash is remembered until the command ends, and for as long as the file stays the same
    (device, inode, size, time of change), so asking again, as a widget does at every key press, costs nothing. Raises
    :class:`~sevlab.errors.InputError` with *name* for a file that is missing, larger than *limit* bytes, or empty
    (unless *empty* allows that).
    """
    with open_input(path, name, hashed=True) as stream:
        key = file_identity(stream)
        if stream.hashed is None and key in _known:
            stream.settle(*_known[key])
        total = 0
        while stream.hashed is None and (chunk := stream.read(CHUNK)):
            total += len(chunk)
            if total > limit:
                break
        if stream.hashed is None or stream.hashed[0] > limit:
            raise InputError(
                name,
                f"{quoted(path)}, more than {limit >> 20} MiB",
                f"a file of at most {limit >> 20} MiB",
                "the file QEMU loads as flash unit 0, such as OVMF.fd" if limit == FIRMWARE_LIMIT else "",
            )
        hashed = Hashed(*stream.hashed)
        if key and key == file_identity(stream):
            _known[key] = hashed
    if not hashed.size and not empty:
        raise InputError(name, f"{quoted(path)}, an empty file", "a file with content", "check how it was copied")
    return hashed


def load_sha256(value: Any, name: str, *, empty: bool = False) -> bytes:
    """Return the SHA-256 (32 bytes) of a kernel or initrd, given as its path, or as the :class:`Sha256` itself."""
    if isinstance(value, Sha256):
        return bytes(value)
    return load_hashed(str(value), name, limit=BLOB_LIMIT, empty=empty).digest


def file_identity(stream: BinaryIO) -> tuple[int, ...]:
    """Return what changes when the content of a regular file does; () for standard input, pipes and devices."""
    try:
        state = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def read_image(stream: BinaryIO, path: str, name: str) -> bytes:
    """Return the bytes of a firmware image; InputError with *name* for one that is empty or larger than 64 MiB."""
    image = read_stream(stream, FIRMWARE_LIMIT)
    if len(image) > FIRMWARE_LIMIT:
        needed, advice = (
            "a firmware image (1 to 16 MiB is usual)",
            "the file QEMU loads as flash unit 0, such as OVMF.fd",
        )
        raise InputError(name, f"{quoted(path)}, more than {FIRMWARE_LIMIT >> 20} MiB", needed, advice)
    if not image:
        raise InputError(name, f"{quoted(path)}, an empty file", "a firmware image", "check how the file was copied")
    return image


def load_ovmf(path: str, name: str = "firmware") -> Ovmf:
    """Read a firmware file (``-`` is standard input) and say what it is; see :func:`~sevlab.formats.ovmf.parse_ovmf`.

    Raises :class:`~sevlab.errors.InputError` with *name* for a file that is missing, unreadable, empty or larger than
    64 MiB. Any other content is taken: what is unexpected is in ``findings``.
    """
    with open_input(path, name) as stream:
        return parse_ovmf(read_image(stream, path, name))
