"""On which line of a TOML text does a key stand? Python's TOML reader does not keep that."""

from __future__ import annotations

import json
import re

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")


def find_line(text: str, keys: tuple[str, ...]) -> int:
    """Return the line, from 1, on which *keys* stand in TOML text; 0 when they are not found.

    Python's TOML reader does not keep lines. So this follows the section headers and takes the line that names the
    most of *keys*: an inline table is one line, and its inner keys are on it.
    """
    best, found, fence = 0, 0, ""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if fence:  # inside a text of several lines, where nothing is a key
            fence = "" if fence in line else fence
            continue
        bare = line.strip()
        header = bare.startswith("[")
        match = _DOTTED.match(bare.lstrip("[ \t")) if header else _DOTTED.match(bare)
        if not match:
            continue
        path = tuple(_bare_key(part) for part in re.findall(_KEY, match[0]))
        if header:
            section = path
        elif not bare[match.end() :].lstrip().startswith("="):
            continue
        else:
            path = section + path
            for mark in ('"""', "'''"):
                if bare.count(mark) % 2:
                    fence = mark
        if best < len(path) and path == keys[: len(path)]:
            best, found = len(path), number
    return found


def _bare_key(part: str) -> str:
    if part[0] == '"':
        try:
            return str(json.loads(part))
        except ValueError:
            return part
    return part.strip("'")
