"""What a search goes through: mistakes, the parameters they change, and combinations of changed parameters.

A :class:`Parameter` is one thing that can be wrong: an input, or a few that are one thing (family, model and stepping
of a CPU). A :class:`Hypothesis` is one mistake: it makes other values of one parameter from what was given. A
:class:`Combination` is one kind of explanation ("the build and the number of CPUs were wrong"). Alone or in pairs all
values are tried; of three or more, the likely ones first. Which parameters there are, and which can change together,
depends on what is measured: :mod:`~sevlab.diagnosis.sev` and :mod:`~sevlab.diagnosis.snp` say it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from .engine import Engine
    from .start import Start

#: The most virtual CPUs that are tried.
COUNT_LIMIT = 512
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
    """One mistake.

    ``prior`` is a rough weight from 0 to 1 for how often it happens; it only orders the search. ``options`` makes
    options from what the search starts from. ``how`` says how the mistake comes about. ``incidents`` are keys of
    :data:`sevlab.INCIDENTS`.
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
    """Make a hypothesis of a function that makes its options. The docstring says how the mistake comes about."""

    def declare(options: Callable[[Any], Iterable[Option]]) -> Hypothesis:
        return Hypothesis(name, parameter, prior, options, " ".join((options.__doc__ or "").split()), incidents)

    return declare


@dataclass(frozen=True)
class Change:
    """One input: the value given, and the value found. None means that there is none."""

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

    name: str
    base: Choice
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Combination:
    """Parameters to change together, the choices of each, and whether that switches SEV-ES on or off."""

    names: tuple[str, ...]
    lists: tuple[tuple[Choice, ...], ...]
    flip: bool = False

    @property
    def size(self) -> int:
        """How many candidates it has."""
        return prod(map(len, self.lists))

    @property
    def cost(self) -> float:
        """What orders the search: the size, divided by how likely it is."""
        return self.size / prod(max(one.hypothesis.prior for one in some if one.hypothesis) for some in self.lists)


@dataclass(frozen=True)
class About:
    """What a parameter is called in sentences, its inputs, and what counts as given of an input without an option."""

    words: str
    inputs: tuple[str, ...]
    given: Any = None


class Space(ABC):
    """Every parameter with its choices. Subclasses say which there are, and which may change together."""

    #: The parameters, in the order in which they are hashed.
    ABOUT: ClassVar[Mapping[str, About]]
    HYPOTHESES: ClassVar[Sequence[Hypothesis]]
    #: What cannot be tried, whatever is measured.
    NO_CANDIDATES = "Other firmware, kernel and initrd files: no folder of candidates was named."
    NO_KERNEL = "Kernel hashes: no kernel was given; if the host loads one, name it."
    NO_CMDLINE = "Other command lines: none was given to start from."
    NO_RESET_ADDRESS = "More than one virtual CPU: this firmware does not say where further ones start."
    TOO_MANY_CPUS = f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends."
    #: What was given, by input, for showing.
    shown: Mapping[str, Any]
    parameters: Mapping[str, Parameter]
    #: What the owner must not overlook in the report, and remarks about the inputs.
    alarms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @abstractmethod
    def matches(self) -> bool:
        """Whether nothing is wrong: the launch as it was given has the reported value."""

    @abstractmethod
    def hits(self, combination: Combination, engine: Engine) -> Iterator[Iterable[Choice]]:
        """Try a combination completely; yield the choices of every launch with the reported value."""

    @abstractmethod
    def impossible(self, has_candidates: bool) -> Iterator[str]:
        """Yield what cannot be tried with what is given, and what would help."""

    def gather(self, start: Start) -> None:
        """Gather the choices of every parameter from all hypotheses. Of equal values the first is kept."""
        self.parameters = {name: self._gather(name, start) for name in self.ABOUT}

    def _gather(self, name: str, start: Start) -> Parameter:
        base, choices = self.base_value(name), dict[object, Choice]()
        for hypothesis in self.HYPOTHESES if self.may_change(name) else ():
            for option in hypothesis.options(start) if hypothesis.parameter == name else ():
                if not self.is_other(name, option, base):
                    continue
                known = choices.get(option.value)
                if known is None or (option.likely and not known.likely):
                    changes = tuple(self._changes(name, option.found))
                    choices[option.value] = Choice(option.value, changes, hypothesis, option.likely)
        return Parameter(name, Choice(base), tuple(choices.values()))

    def _changes(self, parameter: str, found: Any) -> Iterator[Change]:
        for name in self.inputs_of(parameter):
            about = self.ABOUT[parameter]
            given = self.shown.get(name) if about.given is None else about.given
            value = found[name] if isinstance(found, dict) else found
            if given is not None and isinstance(value, int) and not isinstance(given, int):
                given = int(str(given), 0)
            if given != value or not isinstance(found, dict):
                yield Change(name, given, value)

    @abstractmethod
    def base_value(self, name: str) -> Any:
        """Return the value of a parameter that was given, or MISSING."""

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Return the inputs that a parameter is about."""
        return self.ABOUT[name].inputs

    def may_change(self, name: str) -> bool:
        """Whether the parameter has any effect here."""
        return True

    def is_other(self, name: str, option: Option, base: Any) -> bool:
        """Whether an option differs from the value that was given."""
        return bool(option.value != base or type(option.value) is not type(base))

    def combinations(self, changes: int, *, likely: bool) -> list[Combination]:
        """Return every combination of exactly so many *changes*, the most promising first; or only *likely* choices."""
        every = combinations(self.ABOUT, changes)
        found = [one for names in every for one in self.combine(names, likely) if all(one.lists)]
        return sorted(found, key=lambda one: one.cost)

    def choices(self, name: str, names: Sequence[str], likely: bool) -> tuple[Choice, ...]:
        """Return the choices of a parameter that can go together with changes of all *names*."""
        choices = (one for one in self.parameters[name].choices if one.likely or not likely)
        needs_kernel = name == "kernel" and not {"initrd", "cmdline", "table"}.isdisjoint(names)
        return tuple(one for one in choices if one.value is not None or not needs_kernel)

    @abstractmethod
    def combine(self, names: tuple[str, ...], likely: bool) -> Iterator[Combination]:
        """Yield the combinations in which exactly these parameters change."""
