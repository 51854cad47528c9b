"""Writing files whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile

from ..errors import InputError, quoted


def write_text(path: str, text: str, name: str) -> None:
    """Write *text* to a file, as UTF-8; see :func:`write_bytes`."""
    if path == "-":
        sys.stdout.write(text)
    else:
        write_bytes(path, text.encode(), name)


def write_bytes(path: str, raw: bytes, name: str) -> None:
    """Write *raw* to a file; ``-`` is standard output. A file is written beside its place and then renamed.

    A link is followed, an existing file keeps its mode, and what is no file (a device, a pipe) is written to, never
    replaced. Raises :class:`~sevlab.errors.InputError` with the option's *name* when the file cannot be written; what
    was there before is then untouched.
    """
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        return
    temporary = None
    try:
        place = os.path.realpath(path)
        mode = _mode(place)
        if mode is not None and not stat.S_ISREG(mode):
            with open(place, "wb") as stream:
                stream.write(raw)
            return
        descriptor, temporary = tempfile.mkstemp(prefix=".sevlab-", dir=os.path.dirname(place))
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
        os.chmod(temporary, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
        os.replace(temporary, place)
    except (OSError, ValueError) as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        reason = (error.strerror or "error").lower() if isinstance(error, OSError) else "not a file name"
        raise InputError(name, f"{quoted(path)}: {reason}", "a file that can be written") from None


def _mode(path: str) -> int | None:
    """Return kind and permissions of what is at *path*; None when there is nothing."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _umask() -> int:
    """Return the process' file mode mask. It can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
