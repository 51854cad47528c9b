"""Writing files whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile

from ..errors import InputError, quoted


def write_text(path: str, text: str, name: str) -> None:
    """Write *text* to a file; ``-`` prints it. A file is written beside its place and then renamed.

    Raises :class:`~sevlab.errors.InputError` with the option's *name* when the file cannot be written; what was there
    before is then untouched.
    """
    if path == "-":
        sys.stdout.write(text)
        return
    temporary = None
    try:
        folder = os.path.dirname(path) or "."
        descriptor, temporary = tempfile.mkstemp(prefix=".sevlab-", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        reason = (error.strerror or "error").lower() if isinstance(error, OSError) else "not a file name"
        raise InputError(name, f"{quoted(path)}: {reason}", "a file that can be written") from None
