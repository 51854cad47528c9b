"""Axes: for every input the value given, and the values it may have been instead.

An :class:`Axis` is one thing that can be wrong. A *subset* of the axes is one kind of explanation ("the build and the
number of CPUs were wrong"), and its size the number of combinations to try. What the axes are, and what can be changed
together, depends on what is measured: :mod:`~sevlab.diagnosis.sev` for SEV and SEV-ES, :mod:`sevlab.diagnosis.snp`
for SEV-SNP.
"""

from __future__ import annotations

from collections import namedtuple
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

#: In the place of a value: nothing that could be used was given.
MISSING = object()


class Change(namedtuple("Change", "input given found")):
    """One input: what was given, and what was found. None is "nothing"."""

    __slots__ = ()


class Choice(namedtuple("Choice", "value changes hypothesis likely")):
    """A value of an axis. The value that was given has no changes and no hypothesis."""

    __slots__ = ()


class Axis(namedtuple("Axis", "name base choices")):
    """One thing that can be wrong: the choice that was given (its value may be MISSING), and all others."""

    __slots__ = ()


class Subset(namedtuple("Subset", "names lists flip prior")):
    """A kind of explanation: which axes are changed, the choices of each, and whether SEV-ES is switched by it."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """How many combinations it has."""
        return prod(map(len, self.lists))


def make_subset(names: Sequence[str], lists: Sequence[Sequence[Choice]], flip: bool = False) -> Subset | None:
    """Return the subset of these axes and choices; None when one of them has no choice."""
    if not all(lists):
        return None
    prior = prod(max(choice.hypothesis.prior for choice in choices) for choices in lists)
    return Subset(tuple(names), tuple(map(tuple, lists)), flip, prior)


class Axes:
    """Every axis with its choices. Subclasses say which there are, and which may be changed together."""

    #: Which inputs an axis is about, in the order in which they are hashed.
    INPUTS: Mapping[str, tuple[str, ...]]
    #: What is given of the inputs that no option names.
    UNNAMED: Mapping[str, Any] = {}
    #: What each axis is called in sentences.
    WORDS: Mapping[str, str]
    axes: dict[str, Axis]
    #: What was given, by input, for showing.
    shown: Mapping[str, Any]

    def subsets(self, changes: int, *, likely: bool) -> list[Subset]:
        """Return every kind of explanation with exactly so many *changes*, the most promising first.

        With *likely*, only likely choices are taken.
        """
        kinds = (self.kinds(names, likely) for names in combinations(self.INPUTS, changes))
        found = [subset for some in kinds for subset in some]
        return sorted(found, key=lambda subset: subset.size / subset.prior)

    def kinds(self, names: tuple[str, ...], likely: bool) -> Iterator[Subset]:
        """Yield the kinds of explanation in which just these axes are changed."""
        raise TypeError(f"{type(self).__name__} does not say what can be changed together")

    def gather(self, name: str, inputs: Sequence[str], base: Any, hypotheses: Iterable[Hypothesis], start: Any) -> Axis:
        """Gather the choices of an axis from all hypotheses about it; of equal values the first stays."""
        choices: dict[Any, Choice] = {}
        for hypothesis in (hypothesis for hypothesis in hypotheses if hypothesis.axis == name):
            for option in hypothesis.options(start):
                if not self.is_other(name, option, base):
                    continue
                known = choices.get(option.value)
                if known is None or (option.likely and not known.likely):
                    choices[option.value] = Choice(
                        option.value, self._changes(inputs, option.found), hypothesis, option.likely
                    )
        return Axis(name, Choice(base, (), None, True), tuple(choices.values()))

    def is_other(self, name: str, option: Option, base: Any) -> bool:
        """Say whether an option of the axis *name* is another value than the one that was given."""
        return option.value != base or type(option.value) is not type(base)

    def _changes(self, inputs: Sequence[str], found: Any) -> tuple[Change, ...]:
        changes = []
        for name in inputs:
            given = self.UNNAMED[name] if name in self.UNNAMED else self.shown.get(name)
            value = found[name] if isinstance(found, dict) else found
            if given is not None and isinstance(value, int) and not isinstance(given, int):
                given = int(str(given), 0)
            if given != value or not isinstance(found, dict):
                changes.append(Change(name, given, value))
        return tuple(changes)


class Option(namedtuple("Option", "value found likely", defaults=(True,))):
    """Another value of an axis. ``found`` is what is shown of it: by input, where an axis has several."""

    __slots__ = ()


class Hypothesis(namedtuple("Hypothesis", "name axis prior options how incidents", defaults=((),))):
    """One mistake.

    ``prior`` says how often it is the reason, as a rough weight from 0 to 1 that only orders the search. ``options``
    makes options from what is given. ``how`` is a sentence: how the mistake comes about. ``incidents`` are keys of
    :data:`sevlab.incidents.INCIDENTS`.
    """

    __slots__ = ()
