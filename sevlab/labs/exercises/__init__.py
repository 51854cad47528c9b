"""Exercises for the notebooks: the reader answers, sevlab computes the solution and marks.

    tasks = sevlab.labs.Exercises(seed=1)
    print(tasks.ask("lost-byte"))
    tasks.mark("lost-byte", ...)

The seed decides the values in a question, so two readers have different answers. The answer ``...`` means that nobody
has tried yet. It is not an error, so *Run All* succeeds. Questions, hints and reasons are TOML in ``data/``; how an
exercise is made from its seed is in the modules of this package.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from ...data import read_table
from ...errors import InputError, quoted

#: The modules that make exercises, each with a table of its own.
TOPICS = ("sev", "snp", "stories")


@dataclass(frozen=True, repr=False)
class Mark:
    """The result of an answer: ``state`` is "right", "partly", "wrong" or "not tried"."""

    state: str
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Task:
    """One reader's exercise: the solution, what is handed out for it, and the words that fill the {gaps} in its texts.

    *accepts* decides about an answer that cannot be compared with a solution, such as a function.
    """

    solution: object
    given: object = None
    words: Mapping[str, object] = field(default_factory=dict)
    accepts: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """The texts of an exercise, with {gaps}, and the function that makes one reader's task."""

    question: str
    #: For the first and the second wrong answer.
    hints: list[str]
    #: Why the right answer is right.
    because: str
    make: Callable[[random.Random], Task]


@cache
def _all() -> dict[str, Exercise]:
    return {
        name: Exercise(**row, make=import_module(f"{__name__}.{topic}").TASKS[name])
        for topic in TOPICS
        for name, row in read_table(f"exercises_{topic}").items()
    }


def names() -> list[str]:
    """Return the names of all exercises."""
    return list(_all())


class Exercises:
    """All exercises with the values of one *seed*. It counts wrong answers: each of the first two earns a hint.

    An unknown name raises :class:`~sevlab.errors.InputError`.
    """

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self._wrong: dict[str, int] = {}

    def ask(self, name: str) -> str:
        """Return an exercise's question."""
        exercise, task = self._task(name)
        return _fill(exercise.question, task)

    def given(self, name: str) -> Any:
        """Return what an exercise hands out, such as a measurement; None if it hands out nothing."""
        return self._task(name)[1].given

    def mark(self, name: str, answer: object) -> Mark:
        """Mark an answer, with a hint for the first wrong one, a second for the next, and a reason for a right one."""
        exercise, task = self._task(name)
        if answer is ...:
            return Mark("not tried", f"{name}: not tried yet. Replace ... by your answer and run the cell again.")
        if task.accepts(answer) if task.accepts else agrees(answer, task.solution):
            return Mark("right", f"{name}: right, because {_fill(exercise.because, task)}.")
        tried = self._wrong[name] = self._wrong.get(name, 0) + 1
        hints = [_fill(hint, task) for hint in exercise.hints[:tried]]
        return Mark("wrong", f"{name}: not yet. Hint: {'. Another hint: '.join(hints)}.")

    def _task(self, name: str) -> tuple[Exercise, Task]:
        if name not in _all():
            raise InputError("exercise", quoted(name), f"one of {', '.join(names())}")
        exercise = _all()[name]
        return exercise, exercise.make(random.Random(f"sevlab {name} {self.seed}"))


def _fill(text: str, task: Task) -> str:
    return text.format_map(task.words) if task.words else text


def agrees(answer: object, solution: object) -> bool:
    """Compare an answer with the solution; the solution's type decides which forms of an answer are accepted."""
    if hasattr(answer, "tolist"):
        answer = answer.tolist()  # an array of NumPy's, or a number from one
    if isinstance(solution, set | list):
        if isinstance(answer, str):
            answer = answer.split("," if "," in answer else None)  # a name may be of two words
        if not isinstance(answer, set | frozenset | tuple | list) or len(answer) != len(solution):
            return False
        if isinstance(solution, set):
            return all(any(agrees(one, other) for one in answer) for other in solution)
        return all(map(agrees, answer, solution))  # the order counts
    if isinstance(answer, set | tuple | list) and len(answer) == 1:
        (answer,) = answer
    if isinstance(solution, bytes):  # exact, to the last space
        return isinstance(answer, bytes | bytearray | str) and answer in (solution, solution.decode("latin-1"))
    if isinstance(solution, int):
        with suppress(ValueError):
            answer = int(answer.strip(), 0) if isinstance(answer, str) else answer
        return isinstance(answer, int | float) and not isinstance(answer, bool) and answer == solution
    if isinstance(answer, bytes | bytearray):
        answer = bytes(answer).hex()
    return isinstance(answer, str) and _plain(answer).removeprefix("0x").removeprefix("the") == _plain(str(solution))


def _plain(text: str) -> str:
    return "".join(text.lower().replace("_", "-").split())
