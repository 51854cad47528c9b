"""The terms of a search: hypotheses, the parameters they change, and combinations of changed parameters.

A :class:`Parameter` is one thing that can be wrong: an input, or a few that are one thing (family, model and stepping
of a CPU). A :class:`Hypothesis` is one mistake: it derives other values of one parameter from the inputs. A
:class:`Combination` is one kind of explanation ("the build and the number of CPUs were wrong"). Alone or in pairs all
values are tried; of three or more, the likely ones first. Which parameters there are, and which can change together,
depends on what is measured: see :mod:`~sevlab.diagnosis.sev` and :mod:`~sevlab.diagnosis.snp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

#: The most virtual CPUs that are tried.
COUNT_LIMIT = 512
#: How registers were given that only VMSA files hold.
FROM_FILES = "as in the VMSA files"
#: The value of a parameter of which nothing usable was given.
MISSING = object()


@dataclass(frozen=True)
class Option:
    """Another value of a parameter. ``found`` is how it is shown: by input, if the parameter has several."""

    value: Any
    found: Any
    likely: bool = True


@dataclass(frozen=True)
class Hypothesis:
    """One mistake, and ``how`` it happens. ``prior`` is a rough weight from 0 to 1 that orders the search.

    ``options`` makes options from the start of the search. ``incidents`` are keys of :data:`sevlab.data.INCIDENTS`.
    """

    name: str
    parameter: str
    prior: float
    options: Callable[[Any], Iterable[Option]]
    how: str
    incidents: tuple[str, ...] = ()


def mistake(
    name: str, parameter: str, prior: float, *incidents: str
) -> Callable[[Callable[[Any], Iterable[Option]]], Hypothesis]:
    """Make a hypothesis from a function that makes its options, whose docstring says how the mistake happens."""

    def declare(options: Callable[[Any], Iterable[Option]]) -> Hypothesis:
        return Hypothesis(name, parameter, prior, options, " ".join((options.__doc__ or "").split()), incidents)

    return declare


@dataclass(frozen=True)
class Change:
    """One input: the value given and the value found; None for no value."""

    input: str
    given: Any
    found: Any


@dataclass(frozen=True)
class Choice:
    """A value of a parameter. The value that was given has no changes and no hypothesis."""

    value: Any = field(repr=False)  # may be a key
    changes: tuple[Change, ...] = ()
    hypothesis: Hypothesis | None = None
    likely: bool = True


@dataclass(frozen=True)
class Parameter:
    """One thing that can be wrong: the value given (which may be MISSING), and every other value."""

    base: Choice
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Combination:
    """The choices of each parameter to change together, by its name, and whether that switches SEV-ES on or off."""

    lists: Mapping[str, tuple[Choice, ...]]
    flip: bool = False

    @property
    def size(self) -> int:
        """How many candidates it has."""
        return prod(map(len, self.lists.values()))

    @property
    def cost(self) -> float:
        """What orders the search: the size, divided by how likely it is."""
        priors = ((one.hypothesis.prior for one in some if one.hypothesis) for some in self.lists.values())
        return self.size / prod(map(max, priors))


@dataclass(frozen=True)
class About:
    """What a parameter is called in sentences, its inputs, and what counts as given of an input without an option."""

    words: str
    inputs: tuple[str, ...]
    given: Any = None
