"""Noting in a case what explains it, so that whoever reads it can compute it again."""

from __future__ import annotations

from ..errors import InputError, UnsupportedError
from .model import Case, hash_files
from .reader import parse_case
from .rows import BY_NAME, KEY
from .writer import format_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Explained(Protocol):
        """What a search found; :class:`sevlab.Explanation` is one."""

        @property
        def sentence(self) -> str: ...
        @property
        def inputs(self) -> dict[str, Any]: ...


def record_explanation(case: Case, explanation: Explained) -> Case:
    """Return a case with an explanation in it: in words, and as the inputs that were found.

    What no input can say (another form of the message, bytes of a key, pages in another order) is noted in words alone.
    """
    about = {**case.about, "explanation": explanation.sentence}
    told = case.replace(about=about, found={}, found_hashes={})
    try:
        found = explanation.inputs
    except UnsupportedError:
        return told
    if any(name not in BY_NAME or (value is not None and BY_NAME[name].kind == KEY) for name, value in found.items()):
        return told
    found = {name: value for name, value in found.items() if value is not None or name in case.inputs}
    try:
        explained = told.replace(found=found, found_hashes=hash_files(found))
        parse_case(format_case(explained), "found")
    except InputError:  # a value that only its own search can read
        return told
    return explained
