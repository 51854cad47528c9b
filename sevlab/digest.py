"""SHA-256 of files that are asked about again and again."""

from __future__ import annotations

import os

from .errors import InputError, quoted
from .inputs import FIRMWARE_LIMIT
from .launch import Hashed
from .reading import CHUNK, LARGEST, open_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

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
