"""Temporary files and folders, of which nothing stays behind, whatever ends a command.

A name is noted here before anything is made under it, and until it is gone. Whoever made it takes it away; what a
signal kept them from, the command line takes away at its very end.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_noted: set[str] = set()


def note_name(folder: str, prefix: str = ".sevlab-") -> str:
    """Return a name in *folder* that nothing has, and note it. Nothing is made."""
    path = os.path.join(os.path.abspath(folder), prefix + secrets.token_hex(8))
    _noted.add(path)
    return path


def remove(path: str) -> None:
    """Take away what was made under a noted name, if anything was, and forget the name. Never raises OSError."""
    with suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            os.unlink(path)
    _noted.discard(path)


def remove_leftovers() -> None:
    """Take away everything that is noted still."""
    for path in sorted(_noted):
        remove(path)


@contextmanager
def temporary_folder(prefix: str = "sevlab-", parent: str | None = None) -> Iterator[str]:
    """Yield a new folder that only its owner can enter, in *parent* or where temporary files belong; then remove it."""
    path = note_name(tempfile.gettempdir() if parent is None else parent, prefix)
    try:
        os.mkdir(path, 0o700)
        yield path
    finally:
        remove(path)
