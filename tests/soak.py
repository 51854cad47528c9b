"""How much a test does: a few cases of each kind in `make test`, all of them in `make soak`.

Whatever is cut for `make test` still has a case of each row of its matrix: it is the number of draws that shrinks, or
the product of two lists that becomes one pass over the longer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import cycle, islice, product
from typing import Any, TypeVar

T = TypeVar("T")

#: Whether this is `make soak`, which sets the variable.
SOAK = os.environ.get("SEVLAB_SOAK", "") not in ("", "0")


def many(soak: int, test: int) -> int:
    """Return a number of draws: the first in `make soak`, the second in `make test`."""
    return soak if SOAK else test


def some(values: Iterable[T], test: int) -> list[T]:
    """Return all of the values in `make soak`; in `make test` so many, spread evenly over them."""
    values = list(values)
    if SOAK or len(values) <= test:
        return values
    return [values[number * len(values) // test] for number in range(test)]


def pairs(*lists: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the product of lists in `make soak`; in `make test` each value of each list at least once."""
    if SOAK:
        return list(product(*lists))
    longest = max(map(len, lists))
    return list(zip(*(islice(cycle(values), longest) for values in lists), strict=True))
