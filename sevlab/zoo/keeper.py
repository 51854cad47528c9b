"""All animals in one place."""

from __future__ import annotations

from functools import cache

from ..errors import InputError, quoted
from .bindings import wrong_bindings
from .chains import wrong_chains
from .contents import wrong_contents
from .controls import controls, odd_ones
from .signatures import wrong_signatures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .animal import Animal


def zoo(only: Iterable[str] = (), name: str = "only") -> list[Animal]:
    """Return every animal, or only those of some keys; raises InputError with *name* for an unknown key."""
    animals, wanted = _all(), list(dict.fromkeys(only))
    known = {animal.key for animal in animals}
    for key in wanted:
        if key not in known:
            from difflib import get_close_matches

            near = get_close_matches(key[:40], sorted(known), n=3, cutoff=0.4)
            raise InputError(name, quoted(key), "keys of animals", " or ".join(near) or "sevlab zoo list")
    return [animal for animal in animals if not wanted or animal.key in wanted]


@cache
def _all() -> tuple[Animal, ...]:
    return (
        *controls(),
        *wrong_signatures(),
        *wrong_chains(),
        *wrong_bindings(),
        *wrong_contents(),
        *odd_ones(),
    )
