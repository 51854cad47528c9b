"""Noting in a case what explains it, so that whoever reads it can compute it again."""

from __future__ import annotations

import os

from ..errors import InputError, UnsupportedError
from .model import Case, hash_files
from .reader import parse_case
from .rows import BY_NAME, FILE, KEY
from .writer import format_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    class Explained(Protocol):
        """What a search found; :class:`sevlab.Explanation` is one."""

        @property
        def sentence(self) -> str: ...
        @property
        def inputs(self) -> dict[str, Any]: ...


def record_explanation(case: Case, explanation: Explained) -> Case:
    """Return a case with an explanation in it: in words, and as the inputs that were found.

    Files are named in the words without their folders. What no input can say (another form of the message, bytes of a
    key, pages in another order) is noted in words alone.
    """
    try:
        found = explanation.inputs
    except UnsupportedError:
        found = {}
    # The folders of somebody's files are nobody else's business, and a case is made to be sent.
    about = {**case.about, "explanation": without_folders(explanation.sentence, case, found)}
    told = case.replace(about=about, found={}, found_hashes={})
    if not found:
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


def without_folders(words: str, case: Case, found: Mapping[str, Any] | None = None) -> str:
    """Return *words* with the files of a case, those *found* among them, named without the folders they are in."""
    inputs = (case.inputs, case.found, found or {})
    paths = {
        path
        for one in inputs
        for name, value in one.items()
        if name in BY_NAME and BY_NAME[name].kind in (FILE, KEY) and isinstance(value, str)
        for path in (value, os.path.abspath(value), os.path.realpath(value))
    }
    folders = {os.path.dirname(path) for path in paths} | {os.path.dirname(os.path.abspath(case.path or "."))}
    for path in sorted(paths, key=len, reverse=True):
        words = words.replace(path, os.path.basename(path))
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1 and os.sep in folder:
            words = words.replace(f"{folder}{os.sep}", "").replace(folder, "a folder")
    return words
