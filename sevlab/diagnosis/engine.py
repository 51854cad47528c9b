"""The engine: tries boxes in contexts, on one core, on all of them, or on a ``concurrent.futures`` executor.

An HMAC begins with one block made from the key. That block is hashed once per key and direction, and every candidate
continues from a copy; this alone is more than twice as fast as a new HMAC each time. With the extra ``fast``, large
boxes go to :mod:`sevlab.diagnosis.sha256_numba`. Where there are neither threads nor processes, as in a browser,
everything runs here.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice, product
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from .model import Choice


#: Four lists of numbers: API major, API minor, build, policy.
Box = tuple["Sequence[int]", "Sequence[int]", "Sequence[int]", "Sequence[int]"]
#: Candidates of one task: short enough to stop soon, long enough to be worth sending.
TASK, FAST_TASK = 1 << 16, 1 << 22
#: A box this large is worth the compiled loop.
FAST_BOX = 1 << 20
#: Work this large is worth starting processes for.
PARALLEL = 1 << 17
#: Work this large goes to an executor that was given.
REMOTE = 1 << 15
_SHORTEST_REPORT = 0.1


# Named tuples: a hundred thousand of them are made in a second, and sent to other processes.
class Context(NamedTuple):
    """Everything that is fixed while a box is tried: TIK (16 bytes), whether the message is the old one, launch digest
    (32 bytes), reported measure (32 bytes) and nonce (16 bytes)."""

    key: bytes
    is_old: bool
    digest: bytes
    measure: bytes
    mnonce: bytes


class Hit(NamedTuple):
    """A candidate whose HMAC is the reported measure: its context's place in the task, and its numbers."""

    context: int
    api_major: int
    api_minor: int
    build_id: int
    policy: int


class Progress(NamedTuple):
    """How far a search is: what is tried now, how many candidates were tried, in how many seconds."""

    now: str
    tried: int
    seconds: float

    @property
    def rate(self) -> float:
        """Candidates per second."""
        return self.tried / self.seconds if self.seconds else 0.0


#: A context with the choices that lead to it, and a hit with both.
Labelled = tuple[Context, tuple["Choice", ...]]
Found = tuple[Context, tuple["Choice", ...], Hit]


@cache
def compiled_loop() -> ModuleType | None:
    """Return the module with the compiled loop, None without the extra ``fast``."""
    try:
        from . import sha256_numba
    except ImportError:
        return None
    return sha256_numba


def try_box(contexts: Sequence[Context], box: Box, fast: bool = False) -> list[Hit]:
    """Try every combination of *box* in every context (which hold the TIK); return the hits, all of it plain data."""
    hits = []
    majors, minors, builds, policies = box
    raw_policies = [(policy, int(policy).to_bytes(4, "little")) for policy in policies]
    versions = [bytes(version) for version in product(majors, minors, builds)]
    key: tuple[bytes, bool] | None = None
    halves: list[Any] = []
    for place, context in enumerate(contexts):
        old, measure = context.is_old, context.measure
        if fast and not old and (loop := compiled_loop()):
            for a, b, c, p in loop.search(context.key, context.digest, context.mnonce, measure, box):
                hits += [hit._replace(context=place) for hit in try_box([context], ((a,), (b,), (c,), (p,)))]
            continue
        if key != (context.key, old):
            key, block = (context.key, old), context.key.ljust(64, b"\0")
            halves = [hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C)]
            if not old:
                halves[0].update(b"\x04")  # the context byte, the first of every message
        inner, outer = halves[0].copy, halves[1].copy
        tail = context.digest + context.mnonce
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
    """The search ended early; its only argument says why."""


class Engine:
    """Runs tasks, counts candidates, keeps to a budget (seconds), and reports progress."""

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
        self._given = executor
        self._pools: dict[str, Executor | None] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def check(self) -> None:
        """Report progress; raise :class:`Stopped` when the budget is spent."""
        seconds = self.seconds
        if self.progress is not None and seconds - self._told >= _SHORTEST_REPORT:
            self._told = seconds
            self.progress(Progress(self.now, self.tried, seconds))
        if seconds > self.budget:
            raise Stopped(f"the budget of {self.budget:g} seconds was spent")

    def run(self, contexts: Iterable[Labelled], box: Box, total: int) -> Iterator[Found]:
        """Try *box* in every context; yield hits with their context and its choices, as they are found."""
        size = prod(map(len, box))
        fast = size >= FAST_BOX and compiled_loop() is not None
        limit, kind = (FAST_TASK, "threads") if fast else (TASK, "processes")
        pool = None
        if self._given is not None and total >= REMOTE:
            pool = self._given
        elif self.jobs > 1 and total >= PARALLEL and size >= 64:
            pool = self._pool(kind)
        tasks = _tasks(contexts, box, limit)
        if pool is None:
            for batch, part in tasks:
                self.check()
                yield from self._found(batch, part, try_box([context for context, _ in batch], part, fast))
        else:
            yield from self._spread(pool, tasks, fast)

    def _spread(self, pool: Executor, tasks: Iterator[tuple[list[Labelled], Box]], fast: bool) -> Iterator[Found]:
        from concurrent.futures import FIRST_COMPLETED, wait

        pending: dict[Future[list[Hit]], tuple[list[Labelled], Box]] = {}
        try:
            while True:
                for batch, part in islice(tasks, max(0, 2 * self.jobs - len(pending))):
                    pending[pool.submit(try_box, [context for context, _ in batch], part, fast)] = batch, part
                if not pending:
                    return
                done, _ = wait(pending, timeout=_SHORTEST_REPORT, return_when=FIRST_COMPLETED)
                self.check()
                for future in done:
                    yield from self._found(*pending.pop(future), future.result())
        finally:
            for future in pending:
                future.cancel()

    def _found(self, batch: list[Labelled], part: Box, hits: list[Hit]) -> Iterator[Found]:
        for hit in hits:
            yield *batch[hit.context], hit
        self.tried += len(batch) * prod(map(len, part))

    def _pool(self, kind: str) -> Executor | None:
        """Return the workers of this kind; None where there are none: everything then runs here."""
        if kind not in self._pools:
            try:
                self._pools[kind] = _workers(self.jobs, kind)
            except (ImportError, OSError, RuntimeError):
                self._pools[kind] = None
        return self._pools[kind]

    def close(self) -> None:
        """Stop every worker that was started here."""
        for pool in self._pools.values():
            if pool is not None:
                # Waited for, or Python, when it ends, may write to a pipe that the pool is just closing.
                pool.shutdown(wait=True, cancel_futures=True)
        self._pools.clear()


def _tasks(contexts: Iterable[Labelled], box: Box, limit: int) -> Iterator[tuple[list[Labelled], Box]]:
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
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(jobs: int, kind: str) -> Executor:
    """Start threads or processes. Raises RuntimeError or ImportError where there are none."""
    import threading

    probe = threading.Thread(target=int)  # a pool of processes needs one too, or would leave its processes behind
    probe.start()
    probe.join()
    if kind == "threads":
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(jobs)
    import multiprocessing
    import signal
    from concurrent.futures import ProcessPoolExecutor

    # By fork if no other thread runs, else afresh, because a fork copies locks that are held.
    quiet = threading.active_count() == 1 and "fork" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if quiet else "spawn")
    # Ctrl-C is left to the process that was started by the person.
    pool = ProcessPoolExecutor(jobs, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    pool.submit(int)
    return pool
