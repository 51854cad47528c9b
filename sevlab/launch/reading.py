"""Opening what is to be read: each input once in a command, and only plain files where a stranger's case names them.

A command is what a user asks for: one run of the command line, or one call of a function such as ``load_evidence``.
Within it (:func:`opened_once`) a file is opened once, and what was hashed is what is used: the file stays open, and a
second pass over it that reads other bytes than the first is refused. What can be read only once (a pipe, standard
input) is kept, so it can be read again. The next command begins anew and notices a changed file.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import sys
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from ..errors import InputError, named, quoted
from .keys import SecretBytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Self

    from _typeshed import WriteableBuffer

#: Bytes that are read at once. More would not be faster: large buffers are made anew each time.
CHUNK = 64 << 10
#: Most bytes of any input: the largest kernel or initrd. It keeps an endless pipe from filling the disk.
LARGEST = 2 << 30
#: Bytes of a pipe that are kept in memory; more of them go to a file without a name.
_IN_MEMORY = 16 << 20
#: Largest file that is kept in memory until the command ends: a firmware image as builds have it.
_KEPT = 4 << 20
#: Files that stay open until the command ends. Further ones are closed, and checked again when they are opened again.
_MOST_OPEN = 32
#: Reading files in these has effects, never ends, or reveals something about other programs.
NOT_FILES = ("/proc", "/sys", "/dev")
#: The kernel's log, which looks like a plain file. Reading it takes its lines away from those who should see them.
_KERNEL_LOG = "/proc/kmsg"
_DESCRIPTOR = "/(?:dev|proc/self)/fd/([0-9]{1,9})"
_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class CasePath(str):
    """The path of a file named by a case that need not be the user's own.

    ``folder`` is the folder of the case, ``sha256`` the recorded hash of the file in lower-case hex, "" for a key.
    Only a regular file is opened by such a path: anywhere in *folder*, and elsewhere only the file with that hash.
    """

    folder: str
    sha256: str

    def __new__(cls, path: str, folder: str = "", sha256: str = "") -> Self:
        made = super().__new__(cls, path)
        made.folder, made.sha256 = folder, sha256
        return made

    def __str__(self) -> str:
        return self  # so str(path), which many callers write, stays one of these

    @property
    def is_outside(self) -> bool:
        """Whether the file is outside the folder of the case, links followed."""
        return not is_below(os.path.realpath(self), os.path.realpath(self.folder or "."))


class ReadPath(CasePath):
    """The path of a file that was read already: ``raw`` is what it holds, ``form`` how that was written there."""

    raw, form = b"", ""


def is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def descriptor_of(path: str) -> int | None:
    """Return the number of the open file that a path such as ``/dev/stdin`` or ``/dev/fd/63`` names, or None."""
    found = re.fullmatch(_DESCRIPTOR, path)
    return int(found[1]) if found else _STREAMS.get(path)


class _File:
    """A regular file that was opened: its path, the stream behind it (None once closed), its device and inode.

    ``hashed`` is its size and its SHA-256, once it was read to its end; ``whole`` is its content where that is kept,
    and then nobody reads the file again. A brief one is closed when nobody reads it, and opened again when somebody
    does.
    """

    def __init__(self, path: str, stream: Any, identity: tuple[int, int] | None) -> None:
        self.path, self.stream, self.identity = path, stream, identity
        self.hashed: tuple[int, Any] | None = None
        self.whole: bytes | None = None
        self.is_brief = False

    def read_into(self, buffer: WriteableBuffer, place: int) -> int:
        if self.whole is not None:
            view = memoryview(buffer)
            piece = self.whole[place : place + len(view)]
            view[: len(piece)] = piece
            return len(piece)
        self.stream.seek(place)
        return int(self.stream.readinto(buffer))

    def find_end(self) -> int:
        return int(self.stream.seek(0, os.SEEK_END)) if self.whole is None else len(self.whole)

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream, self.whole = None, None


class _Once(_File):
    """What can be read only once: pipes, terminals, standard input. With *keep*, it can be read again from here."""

    def __init__(
        self, path: str, stream: Any, identity: tuple[int, int] | None, read: Callable[[int], bytes | None], keep: bool
    ) -> None:
        super().__init__(path, stream, identity)
        self._read, self._size, self._ended = read, 0, False
        self._kept: Any = io.BytesIO() if keep else None

    def read_into(self, buffer: WriteableBuffer, place: int) -> int:
        view = memoryview(buffer)
        if is_kept := self._kept is not None and place < self._size:
            self._kept.seek(place)
        piece = self._kept.read(len(view)) if is_kept else self._pull(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def find_end(self) -> int:
        while self._size <= LARGEST and self._pull(CHUNK):
            pass
        return self._size

    def _pull(self, size: int) -> bytes:
        piece = b"" if self._ended else self._read(size) or b""
        self._ended = not piece
        self._size += len(piece)
        if self._kept is not None and piece:
            if self._size > _IN_MEMORY and isinstance(self._kept, io.BytesIO):
                import tempfile

                kept, self._kept = self._kept, tempfile.TemporaryFile()  # noqa: SIM115
                self._kept.write(kept.getbuffer())
            self._kept.seek(0, os.SEEK_END)
            self._kept.write(piece)
        return piece

    def close(self) -> None:
        super().close()
        if self._kept is not None:
            self._kept.close()


class _Pass(io.RawIOBase):
    """One pass over an input. Each pass from the first byte to the last reads the same bytes."""

    def __init__(self, source: _File, name: str, hashing: bool, watch: Callable[[], object]) -> None:
        self.source, self._name, self._watch, self._place, self._hashed_to = source, name, watch, 0, 0
        self._running: Any = hashlib.sha256() if hashing else None

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._watch()
        count = self.source.read_into(buffer, self._place)
        if self._running is not None and self._place == self._hashed_to:
            self._running.update(memoryview(buffer)[:count])
            self._hashed_to += count
            if not count:
                self._end()
        self._place += count
        return count

    def _end(self) -> None:
        """Note the hash of the whole input, or compare it with that of an earlier pass."""
        size, running, known = self._hashed_to, self._running, self.source.hashed
        self._running = None
        if known is None:
            self.source.hashed = size, running
        elif known[0] != size or known[1].copy().digest() != running.digest():
            raise _changed(self.source.path, self._name)

    def skip_hash(self) -> None:
        self._running = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}
        self._place = max(0, offset + (start[whence] if whence in start else self.source.find_end()))
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class InputStream(io.BufferedReader):
    """An input that is being read, from its first byte on."""

    raw: _Pass

    @property
    def hashed(self) -> tuple[int, Any] | None:
        """Size and SHA-256 of the whole input; None as long as nobody has read it to its end."""
        return self.raw.source.hashed

    @property
    def identity(self) -> tuple[int, ...]:
        """What changes when the content of a regular file does: device, inode, size and times. () for pipes."""
        if isinstance(self.raw.source, _Once):
            return ()
        state = os.fstat(self.raw.source.stream.fileno())
        return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns

    def read_up_to(self, limit: int, *, keep: bool = False) -> bytes:
        """Return at most *limit* + 1 bytes, asking for no more than there are, because Python makes room for all.

        With *keep* a regular file that ends there is kept until the command ends: a second pass reads what the first
        did, without a hash that tells so.
        """
        identity, source = self.identity, self.raw.source
        keep = keep and bool(identity) and identity[2] <= _KEPT and not source.is_brief
        keep = keep and source.whole is None and source.hashed is None
        if keep:
            self.raw.skip_hash()
        wanted = identity[2] + 1 if identity else CHUNK
        pieces, left = [], limit + 1
        while left and (piece := self.read(min(wanted, left))):
            pieces.append(piece)
            left, wanted = left - len(piece), CHUNK
        raw = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if keep and left:
            source.whole = raw
        return raw


class _Command:
    """Everything that one command has opened.

    A *patient* one waits for somebody to write to a named pipe, because its user can end it. With *keep*, an input may
    be opened again. ``watch`` is called before every read. ``paths`` and ``identities`` (device and inode) are those of
    all inputs, which nothing may replace.
    """

    def __init__(self, patient: bool, keep: bool) -> None:
        self.patient, self.keep = patient, keep
        self.watch: Callable[[], object] = lambda: None
        self.paths: dict[str, None] = {}
        self.identities: set[tuple[int, int]] = set()
        self._sources: dict[str, _File] = {}
        self._open: dict[tuple[int, int], _File] = {}

    def open(self, path: str, name: str, brief: bool) -> _File:
        """Open an input, or find it open. A *brief* one is closed when nobody reads it."""
        if path == "-":
            if path not in self._sources:
                if sys.stdin is None:
                    raise InputError(name, "'-' with standard input closed", "a file, or data on standard input")
                stream: Any = sys.stdin.buffer
                self._sources[path] = _Once("-", None, None, getattr(stream, "read1", stream.read), self.keep)
            return self._sources[path]
        real = _admit(path, name) if isinstance(path, CasePath) else path
        source = self._sources.get(real)
        if source is None or source.stream is None:
            source = self._sources[real] = self._fresh(path, real, name, source)
            source.is_brief = not isinstance(source, _Once) and (brief or len(self._open) > _MOST_OPEN)
        if isinstance(path, CasePath):
            if isinstance(source, _Once):
                raise _refused(path, name, "no regular file")
            if path.sha256 and path.is_outside:
                self._check(source, path, name)
        return source

    def _fresh(self, path: str, real: str, name: str, before: _File | None) -> _File:
        """Open what is at *real*. *before* is the same input when it was opened first."""
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0)
        flags |= getattr(os, "O_NOFOLLOW", 0) if isinstance(path, CasePath) else 0
        try:
            state = os.stat(real)
            _check_kind(state, path, name)  # before it is opened, which alone has an effect on some devices
            if (state.st_dev, state.st_ino) in self._open:
                return self._open[state.st_dev, state.st_ino]
            stream = os.fdopen(os.open(real, flags), "rb", buffering=0)
        except (OSError, ValueError) as error:
            raise _unreadable(path, name, error) from None
        try:
            state = os.fstat(stream.fileno())
            _check_kind(state, path, name)
            identity = state.st_dev, state.st_ino
            if before is not None and before.identity != identity:
                raise _changed(path, name)
        except InputError:
            stream.close()
            raise
        self.paths[path] = None
        self.identities.add(identity)
        if stat.S_ISREG(state.st_mode):
            source = _File(path, stream, identity)
            source.hashed = before.hashed if before is not None else None
        else:
            os.set_blocking(stream.fileno(), True)
            wait = self.patient and stat.S_ISFIFO(state.st_mode)
            source = _Once(path, stream, identity, _patiently(stream) if wait else stream.read, self.keep)
        self._open[identity] = source
        return source

    def _check(self, source: _File, path: CasePath, name: str) -> None:
        """Refuse a file outside the case's folder that is not the recorded one, without a word about what it holds."""
        if source.hashed is None:
            with InputStream(_Pass(source, name, True, self.watch)) as stream:
                size = 0
                while size <= LARGEST and (chunk := stream.read(CHUNK)):
                    size += len(chunk)
        if source.hashed is None or source.hashed[1].copy().hexdigest() != path.sha256:
            raise _refused(path, name, "a file outside the case's folder that is not the recorded one")

    def release(self, source: _File) -> None:
        if source.is_brief or not self.keep:
            source.close()
            if source.identity is not None:
                self._open.pop(source.identity, None)

    def close(self) -> None:
        for source in self._sources.values():
            source.close()


_command: ContextVar[_Command | None] = ContextVar("command", default=None)


@contextmanager
def opened_once(*, fresh: bool = False, patient: bool = False) -> Iterator[None]:
    """Read everything within as one command; within another one it is part of that, unless it is *fresh*.

    A *patient* command waits for somebody to write to a named pipe; for any other, a pipe without a writer is empty.
    """
    before = _command.get()
    if before is not None and not fresh:
        yield
        return
    made = _Command(patient, keep=True)
    _command.set(made)
    try:
        yield
    finally:
        _command.set(before)
        made.close()


@contextmanager
def watched(watch: Callable[[], object]) -> Iterator[None]:
    """Call *watch* before every read within; what it raises ends the reading."""
    with opened_once():
        command = _command.get()
        assert command is not None
        before, command.watch = command.watch, watch
        try:
            yield
        finally:
            command.watch = before


@contextmanager
def open_input(path: str, name: str, *, hashed: bool = False, brief: bool = False) -> Iterator[InputStream]:
    """Open an input for reading bytes, ``-`` being standard input; raise InputError when that can't be done.

    Within one command it is the same input each time, whatever happens to the file meanwhile. *hashed* asks for its
    hash also outside a command. A *brief* one is not held open, because there are many of them.
    """
    command = _command.get()
    hashing = hashed or command is not None
    command = command or _Command(patient=False, keep=False)
    source = command.open(path, name, brief)
    try:
        with InputStream(_Pass(source, name, hashing, command.watch)) as stream:
            yield stream
    except OSError as error:
        raise _unreadable(path, name, error) from None
    finally:
        command.release(source)


def note_input(path: str) -> None:
    """Remember an input that is not opened, so that nothing replaces it either."""
    command = _command.get()
    if command is None or path == "-":
        return
    command.paths[path] = None
    with suppress(OSError, ValueError):
        state = os.stat(path)
        command.identities.add((state.st_dev, state.st_ino))


def is_input(path: str, state: os.stat_result | None) -> bool:
    """Return whether *path*, without links in it, or the file that *state* is of, is an input of this command."""
    if (command := _command.get()) is None:
        return False
    if state is not None and (state.st_dev, state.st_ino) in command.identities:
        return True
    return any(os.path.realpath(given) == path for given in command.paths if "\0" not in given)


def _admit(path: CasePath, name: str) -> str:
    """Return where a file named by a case is, links followed; refuse a place where a case may name nothing."""
    if "\0" in path:
        raise _unreadable(path, name, ValueError())
    real, home = os.path.realpath(path), os.path.realpath(path.folder or ".")
    if is_below(real, home):
        return real
    if is_below(os.path.abspath(path), os.path.abspath(path.folder or ".")):
        raise _refused(path, name, "a link out of the case's folder")
    if any(is_below(real, top) for top in NOT_FILES):
        raise _refused(path, name, "what a case of somebody else may not name")
    return real


def _refused(path: CasePath, name: str, what: str) -> InputError:
    needed = "a file in the case's folder, or one with the recorded SHA-256"
    return InputError(name, f"{quoted(path)}, {what}", needed, "--own-case, if the case is yours")


def _changed(path: str, name: str) -> InputError:
    return InputError(name, f"{quoted(path)}, which changed while it was read", "a file that stays as it is")


def _unreadable(path: str, name: str, error: OSError | ValueError) -> InputError:
    return InputError(name, f"{quoted(path)}: {reason_of(error)}", "a file that can be read")


def _check_kind(state: os.stat_result, path: str, name: str) -> None:
    """Refuse folders and devices, and everything but regular files where a case names them."""
    if stat.S_ISDIR(state.st_mode):
        raise InputError(name, f"{quoted(path)}, a folder", "a file")
    if isinstance(path, CasePath):
        if not stat.S_ISREG(state.st_mode):
            raise _refused(path, name, "no regular file")
        return
    is_device = stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode)
    looks_empty = stat.S_ISREG(state.st_mode) and not state.st_size
    if (is_device or looks_empty) and descriptor_of(path) is None:
        real = os.path.realpath(path)
        if real == _KERNEL_LOG or (is_device and real != os.devnull):
            raise InputError(name, f"{quoted(path)}, a device", "a file")


def _patiently(stream: Any) -> Callable[[int], bytes | None]:
    """Return a reader of a named pipe that waits for its first writer. (Without, the pipe would seem empty.)"""
    waiting = [stream.fileno()]

    def read(size: int) -> bytes | None:
        while waiting:
            import select

            poll = select.poll()
            poll.register(waiting[0], select.POLLIN)
            poll.poll()
            waiting.clear()
        return stream.read(size)  # type: ignore[no-any-return]

    return read


def reason_of(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "not a file name"
    return "no such file" if error.errno == errno.ENOENT else (error.strerror or "cannot be read").lower()


def load_file(path: str, name: str, limit: int) -> bytes:
    """Return everything in a file, at most *limit* bytes; ``-`` reads standard input."""
    with open_input(path, name) as stream:
        raw = stream.read_up_to(limit)
    if len(raw) > limit:
        raise _too_large(path, name, limit)
    return raw


def load_size(path: str, name: str) -> int:
    with open_input(path, name) as stream:
        return stream.seek(0, 2)  # its end


def load_hidden(path: str, name: str, limit: int) -> SecretBytes:
    """Return everything in a file, as :func:`load_file` does, hidden from the first moment."""
    key = read_hidden(path, name, limit)
    if len(key) > limit:
        raise _too_large(path, name, limit)
    return key


def read_hidden(path: str, name: str, limit: int) -> SecretBytes:
    """Return at most *limit* + 1 bytes of a file, hidden; the last one shows that there are too many."""
    with open_input(path, name) as stream:
        return SecretBytes(stream.read_up_to(limit))


def _too_large(path: str, name: str, limit: int) -> InputError:
    return InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")


def check_standard_input(given: Iterable[tuple[str, str | None]]) -> None:
    """Refuse more than one input from ``-``. *given* are the inputs' names and values."""
    readers = [name for name, value in given if value == "-"]
    if len(readers) > 1:
        raise InputError(readers[1], f"'-' when {named(readers[0])} already reads standard input", "one input from '-'")
