"""From a case file to evidence."""

from __future__ import annotations

from ..evidence import Evidence, load_evidence, takes_keys
from ..reading import opened_once
from .reader import read_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@takes_keys
@opened_once()
def load_case(path: str, *, own: bool = False, **changes: Any) -> Evidence:
    """Read a case file and every file it names, and return the launch as evidence.

    *own* says that the case is its user's own. *changes* win over the case; they are those of
    :func:`sevlab.load_evidence`. Raises
    :class:`~sevlab.errors.InputError` for a case or an input that cannot be used. A file that is no longer the one the
    case was made with is taken as it is: ``read_case(path).changed`` tells.
    """
    case = read_case(path, own=own)
    inputs, _ = case.merged(changes)
    return load_evidence(trust=case.trust(changes), **inputs)
