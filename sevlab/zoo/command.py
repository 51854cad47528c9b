"""Another program tried on the animals: started once for each, without a shell, stopped in time."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ..errors import InputError, UnsupportedError, quoted
from .files import PLACEHOLDERS, check_zoo, fill, placeholders, zoo_files
from .trial import Outcome, Trial, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .animal import Animal

#: Seconds that a program has for one animal, unless it is said otherwise.
TIMEOUT = 30.0
#: How much of the beginning and of the end of what a program prints is kept; the rest is read, and dropped.
_KEPT = 4096
#: How a Python program begins when it fails; its last line then says why.
_TRACEBACK = "Traceback (most recent call last)"
#: Bytes that are read at once, and how many times more once a program has ended.
_CHUNK, _REST = 1 << 16, 20
#: How often it is looked whether a program has ended that keeps its output open.
_TICK = 0.05
_NAME = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}")


def run_zoo_command(
    words: Sequence[str],
    animals: Iterable[Animal],
    *,
    folder: str | None = None,
    timeout: float = TIMEOUT,
    progress: Callable[[int, int], None] | None = None,
) -> Trial:
    """Run a program on animals; it accepts when it ends with status 0.

    *words* are the program and its arguments, in which ``{report}`` and the other names of
    :data:`~sevlab.zoo.files.PLACEHOLDERS` are filled in; ``{{`` and ``}}`` stand for the braces themselves. No shell is
    involved. *folder* is where the animals' files are, a temporary one without it. A program that takes more than
    *timeout* seconds is stopped, with all that it started. *progress* is called with how many are done, of how many.
    Raises :class:`~sevlab.errors.InputError` for an unknown name, and for a program that cannot be started.
    """
    if os.name != "posix":
        raise UnsupportedError("running a program on this system", "POSIX systems")
    animals = list(animals)
    check_words(words)
    with tempfile.TemporaryDirectory(prefix="sevlab-zoo-") as made:
        place = Path(folder or made).resolve()
        if folder is None:
            fill(place, zoo_files(animals))
        else:
            check_zoo(folder, animals)
        outcomes = []
        for number, animal in enumerate(animals):
            if progress is not None:
                progress(number, len(animals))
            values = placeholders(animal, place)
            outcomes.append(_try(animal, [fill_in(word, values) for word in words], timeout))
    return Trial(outcomes)


def check_words(words: Sequence[str]) -> None:
    """Refuse a command that cannot be meant: none, or one with an unknown name in braces, or without the report."""
    if not words:
        raise InputError("COMMAND", "nothing", "the program to try, behind --", "sevlab zoo run --help")
    names = {found for word in words for found in _NAME.findall(word) if found}
    if unknown := sorted(names - set(PLACEHOLDERS)):
        needed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise InputError("COMMAND", quoted(f"{{{unknown[0]}}}"), f"one of {needed}", "{{ and }} for plain braces")
    if "report" not in names:
        raise InputError("COMMAND", "no {report}", "a command that is told the report", "sevlab zoo run --help")


def fill_in(word: str, values: Mapping[str, str]) -> str:
    """Return a word of a command with every name in braces replaced."""
    return _NAME.sub(lambda found: values[found[1]] if found[1] else found[0][0], word)


def _try(animal: Animal, words: Sequence[str], timeout: float) -> Outcome:
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "cannot be started").lower()
        raise InputError("COMMAND", f"{quoted(words[0])}: {reason}", "a program that can be started") from None
    try:
        head, tail, ended = _follow(process, time.monotonic() + timeout)
    finally:
        _end(process)
    if not ended:
        return Outcome(animal, False, False, f"stopped after {timeout:g} s")
    if process.returncode < 0:
        return Outcome(animal, False, False, f"ended by {_signal_name(-process.returncode)}")
    return Outcome(animal, process.returncode == 0, True, _said(head, tail))


def _follow(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes, bool]:
    """Read what a process prints until it ends or its time is up; return both ends of that, and whether it ended."""
    assert process.stdout is not None
    stream, head, tail, rest = process.stdout.fileno(), b"", b"", _REST
    while (left := deadline - time.monotonic()) > 0:
        has_ended = _has_ended(process)
        if has_ended:
            # What it started may go on printing; only what a pipe can still hold of its own is waited for.
            rest, left = rest - 1, 0.0
        if rest and select.select([stream], [], [], min(left, _TICK))[0]:
            if chunk := os.read(stream, _CHUNK):
                head, tail = (head + chunk)[:_KEPT] if len(head) < _KEPT else head, (tail + chunk)[-_KEPT:]
                continue
            if not has_ended:  # it has closed its output, and goes on
                time.sleep(min(left, _TICK / 10))
                continue
        if has_ended:
            return head, tail, True
    return head, tail, False


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process has ended, and leave it there: its number is its own until it is cleared away."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _said(head: bytes, tail: bytes) -> str:
    """Return the first line that was printed; of a traceback the last."""
    first = _lines(head)[:1]
    return shown("".join(_lines(tail)[-1:] if first and first[0].startswith(_TRACEBACK) else first))


def _lines(raw: bytes) -> list[str]:
    return [line for line in raw.decode("utf-8", "replace").split("\n") if line.strip()]


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
