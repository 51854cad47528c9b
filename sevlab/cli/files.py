"""Writing files whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import ExitStack, contextmanager

from ..errors import InputError, quoted
from ..keys import refuse_key_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def write_text(path: str, text: str, name: str, inputs: Iterable[str] = ()) -> None:
    """Write *text* to a file, as UTF-8; see :func:`write_bytes`."""
    if path == "-":
        sys.stdout.write(text)
    else:
        write_bytes(path, text.encode(errors="backslashreplace"), name, inputs)  # a name need not be text


def write_bytes(path: str, raw: bytes, name: str, inputs: Iterable[str] = ()) -> None:
    """Write *raw* to a file; ``-`` is standard output. A file is written beside its place and then renamed.

    A link is followed, an existing file keeps its mode, and what is no file (a device, a pipe) is written to, never
    replaced. Raises :class:`~sevlab.errors.InputError` with the option's *name* when the file cannot be written; what
    was there before is then untouched.
    """
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        return
    with _naming(path, name):
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            with open(path, "wb") as stream:
                stream.write(raw)
            return
    write_files([(path, raw, name)], force=True, inputs=inputs)


def write_files(
    files: Sequence[tuple[str, bytes, str]], *, force: bool = False, inputs: Iterable[str] = (), private: bool = False
) -> None:
    """Write several files, all of them or none. Each is (path, content, the name its user knows it by).

    Files that exist are replaced with *force* only, files named in *inputs* never. *private* files can be read by
    their owner alone (mode 0600). Raises :class:`~sevlab.errors.InputError` when a file cannot be written; all that
    was there before is then untouched.
    """
    targets = [_check(path, name, force) for path, _, name in files]
    for number, (target, (path, _, name)) in enumerate(zip(targets, files, strict=True)):
        if target in targets[:number]:
            raise InputError(name, f"{quoted(path)}, named twice", "a file of its own")
        if any(os.path.realpath(given) == target for given in inputs if given != "-"):
            raise InputError(name, f"{quoted(path)}, which is an input", "another file")
    spare = []
    with ExitStack() as undo:
        waiting = []
        for target, (path, content, name) in zip(targets, files, strict=True):
            with _naming(path, name):
                waiting.append(_write_beside(target, content, private))
            undo.callback(_remove, waiting[-1])
        for temporary, target, (path, _, name) in zip(waiting, targets, files, strict=True):
            with _naming(path, name):
                if not os.path.lexists(target):
                    _place(temporary, target)
                elif temporary is waiting[-1]:  # nothing can fail after it, so the old file need not be kept
                    os.replace(temporary, target)
                    continue
                else:
                    spare.append(f"{temporary}.old")
                    os.rename(target, spare[-1])
                    undo.callback(os.rename, spare[-1], target)
                    _place(temporary, target)
                undo.callback(_remove, target)
        undo.pop_all()
    for old in spare:
        _remove(old)


@contextmanager
def _naming(path: str, name: str) -> Iterator[None]:
    """Turn what the system says about a file into one line that names it."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (error.strerror or "error").lower() if isinstance(error, OSError) else "not a file name"
        raise InputError(name, f"{quoted(path)}: {reason}", "a file that can be written") from None


def _place(temporary: str, target: str) -> None:
    """Rename a file; other than os.rename, never over a file that has just appeared."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.rename(temporary, target)
    else:
        os.unlink(temporary)


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def _check(path: str, name: str, force: bool) -> str:
    """Return where a file really is, symbolic links followed; refuse what must not be written over."""
    if path == "-":
        raise InputError(name, "'-'", "the name of a file")
    refuse_key_name(path, name)
    with _naming(path, name):
        target = os.path.realpath(path)
        try:
            mode = os.lstat(target).st_mode
        except FileNotFoundError:
            return target
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise InputError(name, f"{quoted(path)}, {what}", "a file that can be written")
    if not force:
        raise InputError(name, f"{quoted(path)}, which exists", "a new file", "another name, or --force to replace it")
    return target


def _mode(target: str) -> int:
    """Return the permissions a file keeps, or, for a new one, those the process gives new files."""
    if os.path.lexists(target):
        return stat.S_IMODE(os.stat(target).st_mode)
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return 0o666 & ~mask


def _write_beside(target: str, content: bytes, private: bool = False) -> str:
    """Write *content* to a temporary file in the target's folder; return its path."""
    descriptor, temporary = tempfile.mkstemp(prefix=".sevlab-", dir=os.path.dirname(target))
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o600 if private else _mode(target))
    except OSError:
        os.unlink(temporary)
        raise
    return temporary
