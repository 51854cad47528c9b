"""What a hypothesis is: one mistake, what it changes, how likely it is, how it happens.

A hypothesis belongs to an *axis*: one input, or a few that are one thing (family, model and stepping of a CPU). From
what is given it makes *options*: other values of that axis. An option is *likely* or not: alone or in twos all options
are tried, in threes the likely ones first.
"""

from __future__ import annotations

from collections import namedtuple


class Option(namedtuple("Option", "value found likely", defaults=(True,))):
    """Another value of an axis. ``found`` is what is shown of it: by input, where an axis has several."""

    __slots__ = ()


class Hypothesis(namedtuple("Hypothesis", "name axis prior options how incidents", defaults=((),))):
    """One mistake.

    ``prior`` says how often it is the reason, as a rough weight from 0 to 1 that only orders the search. ``options``
    makes options from what is given. ``how`` is a sentence: how the mistake comes about. ``incidents`` are keys of
    :data:`sevlab.data.INCIDENTS`.
    """

    __slots__ = ()
