"""Firmware images out of files."""

from __future__ import annotations

from .errors import InputError, quoted
from .formats.ovmf import Ovmf, parse_ovmf
from .inputs import FIRMWARE_LIMIT, read_stream
from .reading import open_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


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
