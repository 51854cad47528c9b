"""Find files that the host named on this machine."""

from __future__ import annotations

import os
import stat

from ..errors import InputError, quoted
from ..launch.reading import NOT_FILES, is_below
from .case import hash_file

#: Most folder entries looked at among the candidates, and most files of the same name compared.
ENTRY_LIMIT, SAME_NAME_LIMIT = 10_000, 16


def locate(named: str, candidates: str | None, limit: int, secret: tuple[str, ...] = ()) -> tuple[str, str]:
    """Find a file the host named: under the same path here, else by its name in the folder *candidates*.

    Returns its path here, "" if there is none, and a remark. It is a regular file of 1 to *limit* bytes. Links that
    lead out of *candidates* are not followed, and no file in *secret* (the owner's keys) is ever taken.
    """
    if os.path.isabs(named) and _usable(named, limit, secret):
        return named, "the path the host named is also here; the file here need not be the one the host loaded"
    if candidates is None:
        return "", ""
    if not os.path.isdir(candidates):
        raise InputError("--candidates", quoted(candidates), "a folder")
    base = os.path.basename(named)
    if base in ("", ".", ".."):
        return "", "the path the host named has no file name"
    matches, is_complete = _matches(base, candidates, limit, secret)
    remark = "" if is_complete else f"only the first {ENTRY_LIMIT} entries below {quoted(candidates)} were looked at"
    if len(matches) > 1:
        digests = {hash_file(path, "--candidates", limit) for path in matches[:SAME_NAME_LIMIT]}
        if len(digests) > 1 or len(matches) > SAME_NAME_LIMIT:
            places = ", ".join(map(quoted, matches[:3]))
            return "", f"{len(matches)} different files have the name the host gave ({places}): name one yourself"
    return (matches[0] if matches else ""), remark


def _matches(base: str, folder: str, limit: int, secret: tuple[str, ...]) -> tuple[list[str], bool]:
    """Return the files called *base* in a folder and below, sorted, and whether every entry was looked at."""
    root, seen, matches = os.path.realpath(folder), 0, []
    for here, folders, names in os.walk(folder):
        folders.sort()
        seen += len(folders) + len(names)
        path = os.path.join(here, base)
        is_inside = base in names and os.path.commonpath([root, os.path.realpath(path)]) == root
        if is_inside and _usable(path, limit, secret):
            matches.append(path)
        if seen > ENTRY_LIMIT:
            return sorted(matches), False
    return sorted(matches), True


def _usable(path: str, limit: int, secret: tuple[str, ...]) -> bool:
    try:
        state = os.stat(path)
        real = os.path.realpath(path)
        keys = [os.stat(key) for key in secret if os.path.exists(key)]
    except (OSError, ValueError):
        return False
    return (
        stat.S_ISREG(state.st_mode)
        and 0 < state.st_size <= limit
        and not any(is_below(real, top) for top in NOT_FILES)
        and not any(os.path.samestat(state, key) for key in keys)
        and os.access(path, os.R_OK)
    )
