"""The space of a search: the parameters of a launch, their candidate values, and how a combination is tried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from .model import COUNT_LIMIT, About, Change, Choice, Combination, Hypothesis, Option, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from .engine import Engine
    from .start import Start


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
    shown: Mapping[str, object]
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
    def base_value(self, name: str) -> object:
        """Return the value of a parameter that was given, or MISSING."""

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Return the inputs that a parameter is about."""
        return self.ABOUT[name].inputs

    def may_change(self, name: str) -> bool:
        """Whether the parameter has any effect here."""
        return True

    def is_other(self, name: str, option: Option, base: object) -> bool:
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
