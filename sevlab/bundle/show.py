"""A case in words: where it comes from, what is in it, what explains it."""

from __future__ import annotations

import os
import re

from ..arguments import checked
from ..case import ABOUT, BY_NAME, MODES, ROWS
from ..case.rows import BYTES, FILE, KEY
from ..digest import Sha256
from ..keys import Secret
from ..layout.views import Banner, Heading, Paragraph, Table, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..case import Case, Row
    from ..layout.views import Block

#: A file in a bundle, and how much of its name is shown where the whole of it stands elsewhere.
_IN_BUNDLE, _BLOB = re.compile("blobs/[0-9a-f]{64}"), 18
#: How the parts of a long value are broken, in characters.
_WIDTH = 48


@checked
def explain_case(case: Case, sizes: Mapping[str, int] | None = None) -> View:
    """Show everything in a case: what it is about, every input with its origin, every file, and the explanation.

    *sizes* are the bytes of its files by SHA-256 (hex), where the files are in a bundle.
    """
    about = MODES.get(case.mode, "nothing that can be told: no mode, no policy, no report")
    blocks: list[Block] = [Banner(f"A case of {about}", "grey")]
    if case.about:
        rows = [[row.key, case.about[row.name]] for row in ABOUT if row.name in case.about]
        blocks += [Heading("About, in the words of the case"), Table(["what", "words"], rows)]
    rows = [_input(row, case.inputs[row.name], case) for row in ROWS if row.name in case.inputs]
    rows += [
        [row.key, "not in the case", case.origin[row.name]]
        for row in ROWS
        if row.name in case.origin and row.name not in case.inputs
    ]
    blocks += [Heading("Inputs"), Table(["input", "value", "where from, as the case says"], rows, mono=[0, 1])]
    files = [*_files(case.inputs, case.hashes, sizes), *_files(case.found, case.found_hashes, sizes)]
    if files:
        blocks += [Heading("Files"), Table(["for", "bytes", "SHA-256"], files, mono=[0, 1, 2])]
    if case.found:
        rows = [
            [row.key, _value(row, case.inputs.get(row.name)), _value(row, case.found[row.name])]
            for row in ROWS
            if row.name in case.found
        ]
        words = "With the inputs found in place of those given, the computed value should be the reported one:"
        table = Table(["input", "given", "found"], rows, mono=[0, 1, 2])
        blocks += [Heading("Explanation"), Paragraph(words), table]
    if any(BY_NAME[name].kind == KEY for name in case.inputs):
        blocks.append(Paragraph("Key files are named above, and were not read."))
    return View(*blocks)


def case_as_dict(case: Case) -> dict[str, Any]:
    """Return a case as JSON-ready data; bytes are lower-case hex, keys never appear."""

    def plain(inputs: dict[str, Any], hashes: dict[str, str]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in inputs.items():
            row = BY_NAME[name]
            if isinstance(value, Sha256):
                made[row.key] = {"sha256": value.hex()}
            elif name in hashes:
                made[row.key] = {"path": value, "sha256": hashes[name]}
            else:
                shown = repr(value) if isinstance(value, Secret) else value
                made[row.key] = value.hex() if isinstance(value, bytes) else shown
        return made

    return {
        "mode": case.mode,
        "about": {row.key: case.about[row.name] for row in ABOUT if row.name in case.about},
        "inputs": plain(case.inputs, case.hashes),
        "found": plain(case.found, case.found_hashes),
        "origin": {BY_NAME[name].key: words for name, words in case.origin.items()},
    }


def _input(row: Row, value: Any, case: Case) -> list[str]:
    return [row.key, _value(row, value), case.origin.get(row.name, "")]


def _value(row: Row, value: Any) -> str:
    if value is None:
        return "none"
    if row.kind == BYTES:
        return _broken(value.hex())
    if isinstance(value, Sha256):
        return _broken(f"SHA-256 {value.hex()}")
    if isinstance(value, int) and not isinstance(value, bool) and value > 9:
        return f"{value} (0x{value:x})"
    text = str(value)
    return f"{text[:_BLOB]}..." if row.kind in (FILE, KEY) and _IN_BUNDLE.fullmatch(text) else _broken(text)


def _files(inputs: dict[str, Any], hashes: dict[str, str], sizes: Mapping[str, int] | None) -> list[list[str]]:
    rows = []
    for name, sha256 in hashes.items():
        if sizes is not None:
            size = str(sizes[sha256])
        else:
            try:
                size = str(os.path.getsize(inputs[name]))
            except (OSError, ValueError):
                size = "not there"
        rows.append([BY_NAME[name].key, size, sha256])
    return rows


def _broken(text: str) -> str:
    """Return a long value in lines."""
    return "\n".join(text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)) or "''"
