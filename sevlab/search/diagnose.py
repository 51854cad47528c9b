"""``diagnose``: from a measurement that does not match to the input that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..case import Case
from ..errors import InputError
from ..evidence import Evidence, as_written
from ..keys import Secret
from ..verify import Verdict
from .candidates import read_candidates
from .diagnosis import EXPLAINED, MATCH, UNEXPLAINED, Diagnosis, Explanation, RuledOut
from .engine import Engine, Stopped, try_box
from .given import Given, given_of, read_given
from .mistakes.cpus import COUNT_LIMIT
from .space import BOX, Space

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor
    from typing import Any

    from .candidates import Candidate
    from .engine import Progress
    from .space import Choice, Subset

#: Seconds, unless told otherwise.
BUDGET = 60.0
MOST_CHANGES = 4
#: How many changes at once, and whether only likely values are combined: what is searched, in this order.
STAGES = ((1, False), (2, False), (3, True), (3, False), (4, True))


def diagnose(
    given: Evidence | Verdict | Case | Mapping[str, Any],
    *,
    candidates: str | None = None,
    budget: float = BUDGET,
    max_changes: int = 3,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[Progress], object] | bool | None = None,
    names: Callable[[str], str] = as_written,
) -> Diagnosis:
    """Find the fewest changes of inputs under which the computed measure equals the reported one.

    *given* is evidence, its verdict, a case, or the inputs by name as in :func:`sevlab.load_evidence`; the measurement
    and key files may be in forms that are refused there. *candidates* is a folder of files that may have been loaded.
    *budget* is in seconds, *max_changes* 1 to 4, *jobs* how many workers to start (default: one for each core). A
    ``concurrent.futures`` *executor* is used in place of own workers for all large work; the TIK is part of what it is
    sent. *progress* is called about ten times a second; True shows a bar, for notebooks. *names* turns an input's name
    into what its user calls it.

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    if not 1 <= max_changes <= MOST_CHANGES:
        raise InputError(names("max_changes"), str(max_changes), f"1 to {MOST_CHANGES}")
    if not budget > 0:
        raise InputError(names("budget"), str(budget), "seconds, more than 0")
    bar = None
    if progress is True:
        from .bar import Bar

        progress = bar = Bar(budget)
    engine = Engine(budget, jobs, executor, progress or None)
    not_tried: list[str] = []
    searched: list[RuledOut] = []
    stopped = ""
    try:
        space = _space(_given(given, names), candidates, names("candidates"), engine, not_tried)
        if _matches(space):
            return Diagnosis(MATCH, tried=1, seconds=engine.seconds)
        not_tried += _impossible(space, candidates)
        for changes, likely in STAGES:
            if changes > max_changes:
                continue
            found = _stage(space, engine, changes, likely)
            if found:
                return Diagnosis(EXPLAINED, found, engine.tried, engine.seconds, searched, not_tried)
            searched += _ruled_out(space, changes, likely)
    except Stopped as reason:
        stopped = str(reason)
    except KeyboardInterrupt:
        stopped = "it was interrupted"
    finally:
        engine.close()
        if bar is not None:
            bar.close()
    if stopped:
        not_tried.append(f"Everything from {engine.now} on: the search ended early.")
    return Diagnosis(UNEXPLAINED, (), engine.tried, engine.seconds, searched, not_tried, stopped)


def _given(given: Evidence | Verdict | Case | Mapping[str, Any], names: Callable[[str], str]) -> Given:
    if isinstance(given, Verdict):
        given = given.evidence
    if isinstance(given, Evidence):
        return given_of(given)
    return read_given(given.inputs if isinstance(given, Case) else given, names)


def _space(given: Given, candidates: str | None, name: str, engine: Engine, not_tried: list[str]) -> Space:
    files: list[Candidate] = []
    if candidates is not None:

        def enough(file: str) -> bool:
            engine.now = f"reading candidate {file}"
            try:
                engine.check()
            except Stopped:
                return True
            return engine.seconds > engine.budget / 2

        files, unread = read_candidates(candidates, name, enough)
        not_tried += unread
    return Space(given, files)


def _matches(space: Space) -> bool:
    context = space.base_context
    if context is None:
        return False
    numbers = space.given.numbers
    return bool(try_box([context], ((numbers[0],), (numbers[1],), (numbers[2],), (int(space.given.policy),))))


def _stage(space: Space, engine: Engine, changes: int, likely: bool) -> list[Explanation]:
    """Search one stage, kind by kind; return the explanations of the first kind that has any."""
    for subset in space.subsets(changes, likely=likely):
        engine.now = " and ".join(_AXIS_WORDS[name] for name in subset.names)
        engine.check()
        box = space.box(subset)
        found: dict[tuple[Any, ...], Explanation] = {}
        for _, choices, hit in engine.run(space.contexts(subset), box, subset.size):
            chosen = _chosen(subset, choices, hit)
            key = tuple(change for choice in chosen for change in choice.changes)
            tik = next((Secret(choice.value) for choice in chosen if choice.hypothesis.axis == "key"), None)
            found[key] = Explanation(key, tuple(choice.hypothesis for choice in chosen), tik)
            break  # an HMAC fits one message only: what else would be found says the same
        if found:
            return list(found.values())
    return []


def _chosen(subset: Subset, choices: tuple[Choice, ...], hit: Any) -> list[Choice]:
    """Return the choices that a hit stands for: those of its context, and those of the box by their values."""
    rest = iter(choices)
    chosen = []
    for name, options in zip(subset.names, subset.lists, strict=True):
        if name in BOX:
            value = getattr(hit, name)
            chosen.append(next(option for option in options if int(option.value) == value))
        else:
            chosen.append(next(rest))
    return chosen


_AXIS_WORDS = {
    "firmware": "the firmware file",
    "kernel": "the kernel",
    "initrd": "the initrd",
    "cmdline": "the command line",
    "table": "the padding of the kernel-hashes table",
    "profile": "the profile",
    "model": "the CPU model",
    "features": "SEV_FEATURES",
    "reset": "the start address of further CPUs",
    "count": "the number of virtual CPUs",
    "key": "the key file",
    "message": "the form of the message",
    "measurement": "the form of the measurement",
    "api_major": "API major",
    "api_minor": "API minor",
    "build_id": "the build",
    "policy": "the policy",
}


def _ruled_out(space: Space, changes: int, likely: bool) -> list[RuledOut]:
    """Say what a stage that found nothing has ruled out."""
    if changes > 1:
        words = {2: "any two of these", 3: "any three of these", 4: "any four of these"}[changes]
        return [RuledOut(words, "their likely values" if likely else "all their values", "")]
    rows = []
    singles = space.subsets(1, likely=False)
    for name, axis in space.axes.items():
        count = sum(subset.size for subset in singles if subset.names == (name,))
        if count:
            mistakes = "; ".join(dict.fromkeys(choice.hypothesis.name for choice in axis.choices))
            rows.append(RuledOut(_AXIS_WORDS[name], str(count), mistakes))
    return rows


def _impossible(space: Space, candidates: str | None) -> list[str]:
    """Say what cannot be tried with what is given, and what would help."""
    launch, given = space.given.launch, space.given
    sentences = []
    if not launch:
        return ["What was loaded: only its digest was given; with the firmware file its parts can be tried."]
    if candidates is None:
        sentences.append("Other firmware, kernel and initrd files: no folder of candidates was named.")
    if "kernel" not in launch:
        sentences.append("Kernel hashes: no kernel was given; if the host loads one, name it.")
    elif "cmdline" not in launch:
        sentences.append("Other command lines: none was given to start from.")
    if not given.policy.es:
        sentences.append("Registers and number of virtual CPUs: plain SEV does not measure them.")
    else:
        sentences.append(f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends.")
    if space.start.ovmf is not None and space.start.ovmf.reset_address is None and "vmsa_cpu0" not in launch:
        sentences.append("More than one virtual CPU: this firmware does not say where further ones start.")
    sentences.append("Changed bytes in a file, and keys of somebody else: no search can find these.")
    return sentences
