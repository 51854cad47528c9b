"""Standard output and standard error, either of which may be closed, full, or a pipe that nobody reads any more."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

NAMES = {1: "stdout", 2: "stderr"}


class Sink(io.FileIO):
    """A descriptor that is written to until that fails. The ``error`` is kept, and the rest is dropped.

    A verb can then run to its end and say by its exit status what it found, whatever becomes of its words.
    """

    error: OSError | None = None

    def write(self, raw: bytes) -> int:  # type: ignore[override]
        """Write; return how many bytes are dealt with."""
        try:
            while self.error is None:
                if (done := super().write(raw)) is not None:
                    return done
                from select import select

                select([], [self], [])  # a pipe that does not block, and is full
        except OSError as error:
            self.error = error
        return len(raw)

    @property
    def is_closed(self) -> bool:
        """Whether the stream was closed when the process began: :func:`_fill_closed` put something read-only there."""
        try:
            os.write(self.fileno(), b"")
        except OSError as error:
            return error.errno == errno.EBADF
        return False


@contextmanager
def careful_streams() -> Iterator[Callable[[], list[OSError | None]]]:
    """Replace the two streams of this process by some that never raise, and that escape what no encoding can hold.

    Gives a function that writes what still waits, and returns for each stream why it could not be written, None where
    all was. A closed stream is one that cannot be written. Streams that a caller has put there are left alone.
    """
    _fill_closed()
    before = {number: getattr(sys, name) for number, name in NAMES.items()}
    sinks = {
        number: Sink(number, "w", closefd=False)
        for number, stream in before.items()
        if stream is getattr(sys, f"__{NAMES[number]}__")
    }
    for number, sink in sinks.items():
        setattr(sys, NAMES[number], _text(sink, before[number]))

    def finish() -> list[OSError | None]:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        return [sinks[number].error if number in sinks else None for number in NAMES]

    try:
        yield finish
    finally:
        finish()
        for number, stream in before.items():
            setattr(sys, NAMES[number], stream)


def output_is_closed() -> bool:
    """Say whether this process was started without a standard output."""
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(sink, Sink) and sink.is_closed


def why(error: OSError) -> str:
    """Return in a few words why a stream cannot be written; "" where its reader has seen enough (head, less)."""
    if error.errno == errno.EPIPE:
        return ""
    return "it is closed" if error.errno == errno.EBADF else (error.strerror or "error").lower()


def _fill_closed() -> None:
    """Open what cannot be written in the place of closed standard streams. Otherwise a file would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDONLY)


def _text(sink: Sink, like: TextIO | None) -> TextIO:
    """Return a stream of text over a sink, with the settings of another one; None is one that was closed."""
    return io.TextIOWrapper(
        io.BufferedWriter(sink),  # type: ignore[type-var]
        encoding=getattr(like, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(like, "line_buffering", False),
        write_through=getattr(like, "write_through", False),
    )
