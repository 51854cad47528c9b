"""Signals that end a command, handled as Ctrl-C is: what was begun is taken away, one line, a status that tells."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

#: Those that end a program and can be handled. (Windows does not have them all.)
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
#: A signal that comes so soon after the first (in seconds) belongs to it: service managers send two.
_TOGETHER = 2.0


class Ended(BaseException):
    """A signal ended the command; ``status`` is what a shell says of a program that a signal ended."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status, self.name = 128 + number, signal.Signals(number).name


@contextmanager
def clean_end(clean: Callable[[], object]) -> Iterator[None]:
    """Let signals that would end the program raise :class:`Ended` in here; at the end call *clean*, undisturbed.

    A signal that is ignored (nohup), or that somebody else handles, stays so. Outside the main thread, in which alone
    Python handles signals, they are left as they are.
    """
    owner, first, closing = os.getpid(), 0.0, False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if os.getpid() != owner:  # a worker of a search: it has nothing to take away
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not closing and (not first or time.monotonic() - first > _TOGETHER):
            first = time.monotonic()
            raise Ended(number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not closing:
            signal.default_int_handler(number, frame)

    before: dict[int, Any] = {}
    try:
        try:
            for number in (signal.SIGINT, *ENDING):
                usual, ours = (signal.default_int_handler, interrupt) if number == signal.SIGINT else (0, end)
                if signal.getsignal(number) == usual:
                    with suppress(ValueError):  # this is not the main thread
                        before[number] = signal.signal(number, ours)
            yield
        finally:
            closing = True
    finally:
        closing = True  # again: a signal may have come before the first
        clean()
        for number, handler in before.items():
            signal.signal(number, handler)
