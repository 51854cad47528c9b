"""Write files whole or not at all, and leave no temporary file behind, however a command ends.

The name of a temporary file or folder is noted before it is made, until it is removed. Normally its maker removes it;
what a signal interrupts, the command line removes at its very end.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TextIO

from ..errors import InputError, describe_text, hide_keys, quoted
from ..launch.reading import descriptor_of, is_input

#: Bytes for a pipe that wait in memory until all are there; more of them wait in a file without a name.
_IN_MEMORY = 16 << 20
_noted: set[str] = set()


def note_name(folder: str, prefix: str = ".sevlab-") -> str:
    """Return an unused name in *folder*, and note it. Nothing is made."""
    path = os.path.join(os.path.abspath(folder), prefix + secrets.token_hex(8))
    _noted.add(path)
    return path


def remove(path: str) -> None:
    """Remove what was made under a noted name, if anything, and forget the name. Never raises OSError."""
    with suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    _noted.discard(path)


def remove_leftovers() -> None:
    """Remove everything that is still noted."""
    for path in sorted(_noted):
        remove(path)


@contextmanager
def temporary_folder(prefix: str = "sevlab-", parent: str | None = None) -> Iterator[str]:
    """Yield a new folder that only its owner can enter, in *parent* or where temporary files belong; then remove it."""
    import tempfile  # not above: reading a case file needs none of it

    path = note_name(tempfile.gettempdir() if parent is None else parent, prefix)
    try:
        os.mkdir(path, 0o700)
        yield path
    finally:
        remove(path)


def write_text(path: str, text: str, name: str, *, force: bool = False) -> None:
    """Write *text* to a file, as UTF-8; see :func:`write_bytes`."""
    if path == "-":
        sys.stdout.write(text)
    else:
        write_bytes(path, text.encode(errors="backslashreplace"), name, force=force)  # a name need not be text


def write_bytes(path: str, raw: bytes, name: str, *, force: bool = False, update: bool = False) -> None:
    """Write *raw* to a file; ``-`` is standard output. See :func:`write_files`; *update* is for changing an input."""
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        return
    _write([_Output(path, name, force, update=update)], [raw])


def write_files(files: Sequence[tuple[str, bytes, str]], *, force: bool = False, private: bool = False) -> None:
    """Write several files, all of them or none. Each is (path, content, the name its user knows it by).

    Files that exist are replaced with *force* only, inputs of this command never. A link is followed, and an existing
    file keeps its mode. *private* files can be read by their owner alone (mode 0600). Raises
    :class:`~sevlab.errors.InputError` when a file cannot be written; all that was there before is then untouched.
    """
    outputs = [_Output(path, name, force, private) for path, _, name in files]
    for number, output in enumerate(outputs):
        if output.target in [other.target for other in outputs[:number] if other.target]:
            raise InputError(output.name, f"{quoted(output.path)}, named twice", "a file of its own")
    _write(outputs, [content for _, content, _ in files])


def _write(outputs: Sequence[_Output], contents: Sequence[bytes]) -> None:
    with _writing(outputs) as streams:
        for output, stream, content in zip(outputs, streams, contents, strict=True):
            with output.naming():
                stream.write(content)


@contextmanager
def whole_file(path: str, name: str, *, force: bool = False, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a stream whose content becomes the file *path*, whole or not at all; see :func:`write_files`."""
    output = _Output(path, name, force, private)
    with _writing([output]) as streams, output.naming():
        yield streams[0]


def check_output(path: str, name: str, *, force: bool = False) -> None:
    """Refuse what :func:`write_files` would refuse, before any work is done."""
    _Output(path, name, force)


def stream_beside(path: str) -> TextIO:
    """Return the stream for messages about *path*: standard error when *path* is standard output itself."""
    return sys.stderr if path == "-" or descriptor_of(path) == 1 else sys.stdout


def refuse_key_name(path: str, name: str) -> None:
    """Refuse to make a file whose name may contain a key: messages and manifests would show it."""
    base = os.path.basename(path) or path
    if describe_text(base) or hide_keys(base) != base:
        received = f"a name with what may be a key in it ({describe_text(base) or 'a part of it'})"
        raise InputError(name, received, "the name of a file", "another name")


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file or folder could not be used, in a few words."""
    if not isinstance(error, OSError):
        return "not a file name"
    return "a pipe that nobody reads" if error.errno == errno.ENXIO else (error.strerror or "error").lower()


class _Output:
    """One file to write. ``target`` is its path without links, "" for a pipe or device, written to directly."""

    def __init__(self, path: str, name: str, force: bool, private: bool = False, update: bool = False) -> None:
        self.path, self.name, self.force, self.private, self.update = path, name, force, private, update
        if path == "-":
            raise InputError(name, "'-'", "the name of a file")
        refuse_key_name(path, name)
        self.target = self._temporary = self._old = ""
        self._stream: Any = None
        self._is_placed = False
        with self.naming():
            self._look()

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Turn an error of the system into one line that names the file."""
        try:
            yield
        except (OSError, ValueError) as error:
            received = f"{quoted(self.path)}: {reason_of(error)}"
            raise InputError(self.name, received, "a file that can be written") from None

    def _look(self) -> None:
        self._descriptor, state = descriptor_of(self.path), None
        with suppress(FileNotFoundError):  # a link may lead to a file that does not exist yet
            state = os.stat(self.path) if self._descriptor is None else os.fstat(self._descriptor)
        if state is None or (stat.S_ISREG(state.st_mode) and self._descriptor is None):
            self.target, state = os.path.realpath(self.path), None
            with suppress(FileNotFoundError):
                state = os.lstat(self.target)
        kind = 0 if state is None else stat.S_IFMT(state.st_mode)
        if kind == stat.S_IFDIR:
            self._refuse("a folder")
        if kind in (stat.S_IFBLK, stat.S_IFSOCK) or (self.target and kind not in (0, stat.S_IFREG)):
            self._refuse("not a regular file")
        if state is None and os.path.islink(self.path) and not self.force:
            self._refuse("a link to nowhere", "a new file", "another name, or --force to make the file it leads to")
        if not self.update and kind != stat.S_IFCHR:
            if is_input(self.target or os.path.realpath(self.path), state):
                self._refuse("which is an input", "another file")
            if state is not None and self.target and not self.force:
                self._refuse("which exists", "a new file", "another name, or --force to replace it")
        self.mode = 0o600 if self.private else usual_mode() if state is None else stat.S_IMODE(state.st_mode)

    def _refuse(self, what: str, needed: str = "a file that can be written", advice: str = "") -> None:
        raise InputError(self.name, f"{quoted(self.path)}, {what}", needed, advice)

    def begin(self) -> BinaryIO:
        """Return a stream for the content. Nothing has its final name yet."""
        import tempfile

        if self.target:
            with _undisturbed():  # so that its name is known as soon as it exists
                descriptor, self._temporary = tempfile.mkstemp(prefix=".sevlab-", dir=os.path.dirname(self.target))
            self._stream = os.fdopen(descriptor, "wb")
        elif self.private:
            self._stream = io.BytesIO()  # keys do not go to a disk on their way
        else:
            self._stream = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        return self._stream  # type: ignore[no-any-return]

    def finish(self) -> None:
        """Complete the temporary file; write to a pipe or device."""
        if self.target:
            self._stream.flush()
            os.chmod(self._temporary, self.mode)
            self._stream.close()
            return
        self._stream.seek(0)
        if self._descriptor is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            descriptor = os.dup(self._descriptor)
        else:  # a named pipe that nobody reads is refused, instead of waited for
            descriptor = os.open(self.path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
            os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(self._stream, stream)

    def place(self, is_last: bool) -> None:
        """Give the file its name. What was there is kept until all files are in place, unless this is the last."""
        if not self.target:
            return
        self._look()  # again: it may have changed since
        if not os.path.lexists(self.target):
            _name_new(self._temporary, self.target)
        elif is_last:  # nothing can fail after it
            os.replace(self._temporary, self.target)
        else:
            self._old = f"{self._temporary}.old"
            try:
                os.link(self.target, self._old)
            except OSError:  # a file system without links
                os.rename(self.target, self._old)
            os.replace(self._temporary, self.target)
        self._is_placed = True

    def put_back(self) -> None:
        """Undo :meth:`place`."""
        if self._old and os.path.lexists(self._old):
            os.replace(self._old, self.target)
        elif self._is_placed:
            os.unlink(self.target)

    def clear(self) -> None:
        with suppress(OSError, AttributeError):  # already reported; not begun
            self._stream.close()
        for path in (self._temporary, self._old):
            if path and os.path.lexists(path):
                os.unlink(path)


@contextmanager
def _writing(outputs: Sequence[_Output]) -> Iterator[list[BinaryIO]]:
    """Yield a stream for each output. At the end all files get their names, or, if anything fails, none."""
    try:
        streams = []
        for output in outputs:
            with output.naming():
                streams.append(output.begin())
        yield streams
        for output in outputs:
            with output.naming():
                output.finish()
        with _undisturbed():
            try:
                for output in outputs:
                    with output.naming():
                        output.place(is_last=output is outputs[-1])
            except BaseException:
                for output in reversed(outputs):
                    output.put_back()
                raise
            finally:
                for output in outputs:
                    output.clear()
    finally:
        with _undisturbed():
            for output in outputs:
                output.clear()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back signals that end a process: what runs meanwhile is short, and must not be half done."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _name_new(temporary: str, target: str) -> None:
    """Give a file its name, unless somebody took that name in the meantime."""
    try:
        os.link(temporary, target)  # unlike a rename, a link never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without links: claim the name, then rename over the claim
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, target)


def usual_mode(mode: int = 0o666) -> int:
    """Return the permissions of a new file, or folder (0o777), under the process's umask."""
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return mode & ~mask
