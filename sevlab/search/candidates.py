"""A folder of files that may have been loaded: firmware images, kernels and initrds alike."""

from __future__ import annotations

import os
import stat
from collections import namedtuple
from io import BytesIO
from typing import TYPE_CHECKING

from ..digest import BLOB_LIMIT
from ..errors import InputError, quoted
from ..formats.ovmf import parse_ovmf
from ..inputs import FIRMWARE_LIMIT
from ..reading import CHUNK, open_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..formats.ovmf import Ovmf

#: Most files of a folder that are read.
FILES_LIMIT = 20_000
#: Images are parsed (for where further CPUs start) when they have at most so many bytes, and at least those of a table.
_SMALLEST = 256


class Candidate(namedtuple("Candidate", "path digest running size reset_address is_vars image", defaults=(None,))):
    """One file: its path, its SHA-256 and the hash to go on from, its size in bytes; as firmware, where further CPUs
    start (or None), whether it is a variable store alone, and what else its reader made of it."""

    __slots__ = ()


def read_candidates(
    folder: str,
    name: str = "candidates",
    enough: Callable[[str], bool] = lambda now: False,
    measure: Callable[[Ovmf], Any] = lambda ovmf: None,
) -> tuple[list[Candidate], list[str]]:
    """Read and hash every file in *folder*; return them, and a sentence for each thing that was left out.

    Files of the same content count once. Folders within are not entered. *enough* is asked before each file, and
    after each MiB of it, with its name, and stops the reading when it answers true. What *measure* makes of a file that
    may be firmware is the candidate's ``image``. Raises :class:`~sevlab.errors.InputError` with *name* for a folder
    that cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a folder's name"
        raise InputError(name, f"{quoted(folder)}: {reason.lower()}", "a folder of files") from None
    found: dict[bytes, Candidate] = {}
    unread: list[str] = []
    folders = 0
    for number, file in enumerate(names):
        left_out = f"{len(names) - number} of {len(names)} files in {quoted(folder)}: time or number did not allow it"
        if number >= FILES_LIMIT or enough(file):
            unread.append(left_out)
            break
        path = os.path.join(folder, file)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                folders += 1
                continue
            candidate = _read(path, name, measure, lambda: enough(file))  # noqa: B023
            if candidate is None:
                unread.append(left_out)
                break
        except (InputError, OSError, ValueError) as error:
            reason = error.received if isinstance(error, InputError) else getattr(error, "strerror", None) or str(error)
            unread.append(f"{quoted(path)}: it cannot be read ({reason})")
            continue
        if candidate.size:
            found.setdefault(candidate.digest, candidate)
    if folders:
        unread.append(f"{folders} entries of {quoted(folder)}: they are no plain files, and folders are not entered")
    return list(found.values()), unread


def _read(path: str, name: str, measure: Callable[[Ovmf], Any], enough: Callable[[], bool]) -> Candidate | None:
    """Read and hash a file; return None when there was not enough time for it."""
    whole, size = BytesIO(), 0
    with open_input(path, name, hashed=True, brief=True) as stream:
        while chunk := stream.read(CHUNK):
            if enough():
                return None
            size += len(chunk)
            if size > BLOB_LIMIT:
                raise InputError(
                    name, f"{quoted(path)}, more than {BLOB_LIMIT >> 20} MiB", "a kernel, initrd or firmware"
                )
            if size <= FIRMWARE_LIMIT:
                whole.write(chunk)
        assert stream.hashed is not None
        running = stream.hashed[1]
    reset, is_vars, image = None, False, None
    if _SMALLEST <= size <= FIRMWARE_LIMIT:
        ovmf = parse_ovmf(whole.getvalue())  # other than bytes() of a bytearray, this is no copy
        reset, is_vars, image = ovmf.reset_address, ovmf.kind_key == "vars", measure(ovmf)
    return Candidate(path, running.copy().digest(), running, size, reset, is_vars, image)
