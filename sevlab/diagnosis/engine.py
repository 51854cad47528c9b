"""The engine: tries boxes in contexts, on one core, on all, or on whatever runs a ``concurrent.futures`` task.

An HMAC begins with one block made from the key. That block is hashed once per key and direction, and every candidate
goes on from a copy; this alone is more than twice as fast as a new HMAC each time. With the extra ``fast``, large
boxes go to :mod:`sevlab.diagnosis.sha256_numba`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import namedtuple
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from functools import cache
from itertools import islice, product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType
    from typing import Any

    Box = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]

#: Candidates of one task: short enough to stop soon, long enough to be worth sending.
TASK, FAST_TASK = 1 << 16, 1 << 22
#: A box this large is worth the compiled loop.
FAST_BOX = 1 << 20
#: Work this large is worth starting processes for.
PARALLEL = 1 << 17
#: Work this large goes to an executor that was given.
REMOTE = 1 << 15
_SHORTEST_REPORT = 0.1


class Context(namedtuple("Context", "key old digest measure mnonce")):
    """All that stands fixed while a box is tried: TIK (16 bytes), whether the message is the old one, launch digest
    (32 bytes), reported measure (32 bytes) and nonce (16 bytes)."""

    __slots__ = ()


class Hit(namedtuple("Hit", "context api_major api_minor build_id policy")):
    """A candidate whose HMAC is the reported measure: its context's place in the task, and its numbers."""

    __slots__ = ()


class Progress(namedtuple("Progress", "now tried seconds")):
    """How far a search is: what is tried now, how many candidates were tried, in how many seconds."""

    __slots__ = ()

    @property
    def rate(self) -> float:
        """Candidates per second."""
        return float(self.tried / self.seconds) if self.seconds else 0.0


@cache
def compiled_loop() -> ModuleType | None:
    """Return the module with the compiled loop, None without the extra ``fast``."""
    try:
        from . import sha256_numba
    except ImportError:
        return None
    return sha256_numba


def try_box(contexts: Sequence[Context], box: Box, fast: bool = False) -> list[Hit]:
    """Try every combination of *box* in every context; return the hits.

    This is the task that an executor runs: it takes and returns plain data. The contexts hold the TIK.
    """
    hits = []
    majors, minors, builds, policies = box
    raw_policies = [(policy, int(policy).to_bytes(4, "little")) for policy in policies]
    versions = [bytes(version) for version in product(majors, minors, builds)]
    key, halves = None, None
    for place, (tik, old, digest, measure, mnonce) in enumerate(contexts):
        if fast and not old and (loop := compiled_loop()):
            found = loop.search(tik, digest, mnonce, measure, box)
            if found:
                exact = [try_box([contexts[place]], ((a,), (b,), (c,), (p,))) for a, b, c, p in found]
                hits += [hit._replace(context=place) for some in exact for hit in some]
            continue
        if halves is None or key != (tik, old):
            block = tik.ljust(64, b"\0")
            key, halves = (tik, old), [hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C)]
            if not old:
                halves[0].update(b"\x04")  # the context byte, the first of every message
        inner, outer = halves[0].copy, halves[1].copy
        tail = digest + mnonce
        for policy, raw in raw_policies:
            rest = raw + tail
            for version in (b"",) if old else versions:
                first = inner()
                first.update(version + rest)
                second = outer()
                second.update(first.digest())
                if second.digest() == measure:
                    major, minor, build = version or (majors[0], minors[0], builds[0])
                    hits.append(Hit(place, major, minor, build, int(policy)))
    return hits


def split_box(box: Box, limit: int) -> Iterator[Box]:
    """Cut a box into boxes of at most *limit* candidates."""
    size = prod(map(len, box))
    if size <= limit:
        yield box
        return
    place = max(range(4), key=lambda place: len(box[place]))
    longest = box[place]
    step = max(1, len(longest) * limit // size)
    for start in range(0, len(longest), step):
        part: Any = (*box[:place], longest[start : start + step], *box[place + 1 :])
        yield from split_box(part, limit)


class Stopped(Exception):
    """The search ended before it was through; its only argument says why."""


class Engine:
    """Runs tasks, counts candidates, keeps to a budget (seconds), and tells how far it is."""

    def __init__(
        self,
        budget: float,
        jobs: int | None = None,
        executor: Executor | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self.budget, self.progress = budget, progress
        self.jobs = jobs or available_cores()
        self.tried, self.now = 0, ""
        self._started = time.monotonic()
        self._told = 0.0
        self._given, self._pools = executor, dict[str, Executor]()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def check(self) -> None:
        """Tell how far the search is; raise :class:`Stopped` when the budget is spent."""
        seconds = self.seconds
        if self.progress is not None and seconds - self._told >= _SHORTEST_REPORT:
            self._told = seconds
            self.progress(Progress(self.now, self.tried, seconds))
        if seconds > self.budget:
            raise Stopped(f"the budget of {self.budget:g} seconds was spent")

    def run(self, contexts: Iterable[tuple[Context, Any]], box: Box, total: int) -> Iterator[tuple[Context, Any, Hit]]:
        """Try *box* in every context; yield hits with their context and what came with it, as they are found."""
        size = prod(map(len, box))
        if size >= FAST_BOX and compiled_loop() is not None:
            fast, limit, kind = True, FAST_TASK, "threads"
        else:
            fast, limit, kind = False, TASK, "processes"
        pool = None
        if self._given is not None and total >= REMOTE:
            pool = self._given
        elif self.jobs > 1 and total >= PARALLEL and size >= 64:
            pool = self._pool(kind)
        tasks = _tasks(contexts, box, limit)
        if pool is None:
            for batch, part in tasks:
                self.check()
                yield from self._found(batch, try_box([context for context, _ in batch], part, fast))
                self.tried += len(batch) * prod(map(len, part))
        else:
            yield from self._spread(pool, tasks, fast)

    def _spread(
        self, pool: Executor, tasks: Iterator[tuple[Any, Box]], fast: bool
    ) -> Iterator[tuple[Context, Any, Hit]]:
        """Keep every worker busy, with two tasks for each."""
        pending: dict[Future[list[Hit]], tuple[Any, Box]] = {}
        try:
            while True:
                for batch, part in islice(tasks, max(0, 2 * self.jobs - len(pending))):
                    pending[pool.submit(try_box, [context for context, _ in batch], part, fast)] = batch, part
                if not pending:
                    return
                done, _ = wait(pending, timeout=_SHORTEST_REPORT, return_when=FIRST_COMPLETED)
                self.check()
                for future in done:
                    batch, part = pending.pop(future)
                    yield from self._found(batch, future.result())
                    self.tried += len(batch) * prod(map(len, part))
        finally:
            for future in pending:
                future.cancel()

    @staticmethod
    def _found(batch: Any, hits: list[Hit]) -> Iterator[tuple[Context, Any, Hit]]:
        for hit in hits:
            context, label = batch[hit.context]
            yield context, label, hit

    def _pool(self, kind: str) -> Executor:
        if kind not in self._pools:
            self._pools[kind] = ThreadPoolExecutor(self.jobs) if kind == "threads" else _processes(self.jobs)
        return self._pools[kind]

    def close(self) -> None:
        """Stop every worker that was started here."""
        for pool in self._pools.values():
            # Waited for, or Python, when it ends, may write to a pipe that the pool is just closing.
            pool.shutdown(wait=True, cancel_futures=True)
        self._pools.clear()


def _tasks(contexts: Iterable[tuple[Context, Any]], box: Box, limit: int) -> Iterator[tuple[Any, Box]]:
    """Yield pieces of about *limit* candidates: some contexts with the whole box, or one with a part of it."""
    size = prod(map(len, box))
    if size > limit:
        parts = list(split_box(box, limit))
        for pair in contexts:
            yield from (([pair], part) for part in parts)
        return
    source, count = iter(contexts), max(1, min(limit // size, 4096))
    while batch := list(islice(source, count)):
        yield batch, box


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processes(jobs: int) -> ProcessPoolExecutor:
    """Start worker processes: by fork where nothing else runs, else afresh, since a fork copies locks that are held."""
    import multiprocessing

    quiet = threading.active_count() == 1 and "fork" in multiprocessing.get_all_start_methods()
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("fork" if quiet else "spawn"), _ignore_interrupts)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that was started by the person."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
