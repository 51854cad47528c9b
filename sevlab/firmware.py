"""Firmware images out of files."""

from __future__ import annotations

from .errors import InputError, quoted
from .formats.ovmf import Ovmf, parse_ovmf
from .inputs import FIRMWARE_LIMIT, read_stream
from .reading import open_input


def load_ovmf(path: str, name: str = "firmware") -> Ovmf:
    """Read a firmware file (``-`` is standard input) and say what it is; see :func:`~sevlab.formats.ovmf.parse_ovmf`.

    Raises :class:`~sevlab.errors.InputError` with *name* for a file that is missing, unreadable, empty or larger than
    64 MiB. Any other content is taken: what is odd is in ``findings``.
    """
    with open_input(path, name) as stream:
        image = read_stream(stream, FIRMWARE_LIMIT)
    if len(image) > FIRMWARE_LIMIT:
        raise InputError(
            name,
            f"{quoted(path)}, more than {FIRMWARE_LIMIT >> 20} MiB",
            "a firmware image (1 to 16 MiB is usual)",
            "the file QEMU loads as flash unit 0, such as OVMF.fd or OVMF_CODE.fd",
        )
    if not image:
        raise InputError(name, f"{quoted(path)}, an empty file", "a firmware image", "check how the file was copied")
    return parse_ovmf(image)
