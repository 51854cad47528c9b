"""The space of a search: the parameters of a launch, their candidate values, and how a combination is tried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

from .model import COUNT_LIMIT, FROM_FILES, About, Change, Choice, Combination, Hypothesis, Parameter

if TYPE_CHECKING:
    from .engine import Engine
    from .start import Start


class Space(ABC):
    """Every parameter with its choices. Subclasses say which there are, and which may change together."""

    HYPOTHESES: ClassVar[Sequence[Hypothesis]]
    #: What cannot be tried, whatever is measured.
    NO_CANDIDATES = "Other firmware, kernel and initrd files: no folder of candidates was named."
    NO_KERNEL = "Kernel hashes: no kernel was given; if the host loads one, name it."
    NO_CMDLINE = "Other command lines: none was given to start from."
    NO_RESET_ADDRESS = "More than one virtual CPU: this firmware does not say where further ones start."
    TOO_MANY_CPUS = f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends."
    #: The parameters, in the order in which they are hashed.
    about: Mapping[str, About]
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

    def gather(self, start: Start, base: Mapping[str, Any], fixed: Container[str]) -> None:
        """Gather the choices of every parameter from all hypotheses. Of equal values the first is kept.

        *base* has the value of each parameter as given, or MISSING. *fixed* are the parameters without any effect here.
        """
        if start.cpus.boot is not None:
            made = {name: replace(self.about[name], given=FROM_FILES) for name in ("profile", "model", "features")}
            self.about = {**self.about, **made}
        self.parameters = {name: self._gather(name, start, base[name], name in fixed) for name in self.about}

    def _gather(self, name: str, start: Start, base: object, is_fixed: bool) -> Parameter:
        choices = dict[object, Choice]()
        for hypothesis in () if is_fixed else self.HYPOTHESES:
            for option in hypothesis.options(start) if hypothesis.parameter == name else ():
                value = option.value
                is_given = value == base and type(value) is type(base)
                if is_given or (value is None and name == "firmware"):  # an image that is not made of whole pages
                    continue
                known = choices.get(value)
                if known is None or (option.likely and not known.likely):
                    changes = tuple(self._changes(self.about[name], option.found))
                    choices[value] = Choice(value, changes, hypothesis, option.likely)
        return Parameter(Choice(base), tuple(choices.values()))

    def _changes(self, about: About, found: Any) -> Iterator[Change]:
        given_so = [name for name in found if name in self.shown] if isinstance(found, dict) else []
        for name in given_so or about.inputs:
            given = self.shown.get(name) if about.given is None else about.given
            value = found[name] if isinstance(found, dict) else found
            if given != value or not isinstance(found, dict):
                yield Change(name, given, value)

    def combinations(self, changes: int, *, likely: bool) -> list[Combination]:
        """Return every combination of exactly so many *changes*, the most promising first; or only *likely* choices."""
        every = combinations(self.about, changes)
        found = [one for names in every for one in self.combine(names, likely) if all(one.lists.values())]
        return sorted(found, key=lambda one: one.cost)

    def choices(self, name: str, names: Sequence[str], likely: bool) -> tuple[Choice, ...]:
        """Return the choices of a parameter that can go together with changes of all *names*."""
        choices = (one for one in self.parameters[name].choices if one.likely or not likely)
        needs_kernel = name == "kernel" and not {"initrd", "cmdline", "table"}.isdisjoint(names)
        return tuple(one for one in choices if one.value is not None or not needs_kernel)

    @abstractmethod
    def combine(self, names: tuple[str, ...], likely: bool) -> Iterator[Combination]:
        """Yield the combinations in which exactly these parameters change."""
