"""The launch digest: one SHA-256 over everything the host loads before the guest runs.

For a plain SEV guest that is the firmware image and nothing else. The digest binds the bytes in their order. It does
not bind the addresses they were loaded to. Source: AMD 55766 (SEV API), LAUNCH_UPDATE_DATA and LAUNCH_MEASURE.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys

from .errors import InputError, quoted
from .inputs import FIRMWARE_LIMIT, open_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

CHUNK = 1 << 20

_known: dict[tuple[int, ...], bytes] = {}


def compute_digest(parts: Iterable[bytes]) -> bytes:
    """Return the launch digest (32 bytes) over *parts* in the order the host loads them."""
    running = hashlib.sha256()
    for part in parts:
        running.update(part)
    return running.digest()


def load_digest(path: str, name: str = "firmware") -> bytes:
    """Return the launch digest (32 bytes) of a firmware image in a file; ``-`` reads standard input.

    The file is read once. Its digest is remembered for as long as the file stays the same (device, inode, size, time
    of change), so asking again, as a widget does at every key press, costs nothing. Raises
    :class:`~sevlab.errors.InputError` with *name* for a file that is missing, empty, larger than 64 MiB or not a file.
    """
    with open_input(path, name) as stream:
        key = _identity(stream)
        if key in _known:
            return _known[key]
        running, total = hashlib.sha256(), 0
        while chunk := stream.read(CHUNK):
            running.update(chunk)
            total += len(chunk)
            if total > FIRMWARE_LIMIT:
                raise InputError(
                    name,
                    f"{quoted(path)}, more than {FIRMWARE_LIMIT >> 20} MiB",
                    "a firmware image (1 to 16 MiB is usual)",
                    "the file QEMU loads as flash unit 0, such as OVMF.fd or OVMF_CODE.fd",
                )
        unchanged = key and key == _identity(stream)
    if not total:
        raise InputError(name, f"{quoted(path)}, an empty file", "a firmware image", "check how the file was copied")
    digest = running.digest()
    if unchanged:
        _known[key] = digest
    return digest


def _identity(stream: BinaryIO) -> tuple[int, ...]:
    """Return what changes when a regular file's content does; () for standard input, pipes and devices."""
    try:
        state = os.fstat(stream.fileno())
    except (OSError, ValueError):  # standard input need not be a file at all
        return ()
    if not stat.S_ISREG(state.st_mode) or stream is getattr(sys.stdin, "buffer", None):
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
