"""Writing case files: whole or not at all, and never over another one by accident."""

from __future__ import annotations

import os

from ..digest import Sha256
from ..errors import InputError, is_shown, quoted
from ..keys import Secret
from ..reading import note_input, opened_once
from ..writing import check_output, write_files
from .model import Case
from .reader import parse_case
from .rows import ABOUT, BY_NAME, BYTES, CASE_LIMIT, FILE, FORMAT, KEY, ROWS, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def format_case(case: Case, folder: str | None = None) -> str:
    """Return a case as the text of a case file. Files below *folder* are named relative to it, others absolutely.

    A key that is in memory, out of a bundle, is left out: a case file names the files of keys.
    """
    import tomli_w

    document: dict[str, Any] = {"format": FORMAT}
    if case.about:
        document["about"] = {row.key: case.about[row.name] for row in ABOUT if row.name in case.about}
    for row in ROWS:
        if row.name in case.inputs and not isinstance(case.inputs[row.name], Secret):
            value = _value(row, case.inputs[row.name], case.hashes.get(row.name, ""), folder)
            document.setdefault(row.section, {})[row.key] = value
    found = {row: case.found[row.name] for row in ROWS if row.name in case.found}
    if found:
        document["found"] = {
            row.key: False if value is None else _value(row, value, case.found_hashes.get(row.name, ""), folder)
            for row, value in found.items()
        }
    if case.origin:
        document["origin"] = {row.key: case.origin[row.name] for row in ROWS if row.name in case.origin}
    text = "# A case file of sevlab: every input of one launch. See docs/case.md.\n" + tomli_w.dumps(document)
    return "".join(c if c == "\n" or is_shown(c) else _escape(c) for c in text)


def _escape(character: str) -> str:
    """Return a character as a TOML string may hold it, so that the text of a case is safe to print.

    All of them stand in basic strings. What is no character (half of a pair) stays, to be refused where it is encoded.
    """
    number = ord(character)
    if 0xD800 <= number <= 0xDFFF:
        return character
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _value(row: Row, value: Any, sha256: str, folder: str | None) -> Any:
    """Return an input as TOML holds it."""
    if isinstance(value, Sha256):
        return {"sha256": value.hex()}
    if row.kind in (FILE, KEY):
        value = _portable(str(value), folder)
    if row.kind == BYTES:
        return bytes(value).hex()
    return {"path": value, "sha256": sha256} if row.kind == FILE else value


def _portable(path: str, folder: str | None) -> str:
    if folder is None:
        return path
    path, folder = os.path.abspath(path), os.path.abspath(folder)
    inside = os.path.relpath(path, folder)
    return path if inside.split(os.sep)[0] == os.pardir else inside


@opened_once()
def write_case(case: Case, path: str, force: bool = False, name: str = "case file") -> None:
    """Write a case file, whole or not at all. An existing file is replaced only with *force*, a file of the case never.

    Every value is checked by reading the text back before anything is written. *name* is what the user calls the case
    file. Raises :class:`~sevlab.errors.InputError` when a value does not fit the format, when the file exists, or when
    it can't be written.
    """
    note_files(case)
    check_output(path, name, force=force)
    check_names(case)
    refuse_key_files(case)
    raw = encode_case(format_case(case, os.path.dirname(path) or "."), path)
    write_files([(path, raw, name)], force=force)


def note_files(case: Case) -> None:
    """Let nothing that a case names be replaced by this command, whether it was opened or not."""
    for inputs in (case.inputs, case.found):
        for name, value in inputs.items():
            if BY_NAME[name].kind in (FILE, KEY) and isinstance(value, str):
                note_input(value)


def check_names(case: Case) -> None:
    """Refuse a case whose files are pipes or standard input: nobody could open them again by their names."""
    for inputs in (case.inputs, case.found):
        for name, value in inputs.items():
            if BY_NAME[name].kind not in (FILE, KEY) or not isinstance(value, str) or "\0" in value:
                continue
            if value == "-" or (os.path.exists(value) and not os.path.isfile(value)):
                needed = "a regular file, which a case file can name"
                advice = "a bundle (case new -o NAME.sevcase), which holds the files themselves"
                raise InputError("--" + BY_NAME[name].key, quoted(value), needed, advice)


def refuse_key_files(case: Case) -> None:
    """Refuse a case that names one file as a key and as something else: its hash, or it itself, would travel."""
    keys = [value for name, value in case.inputs.items() if BY_NAME[name].kind == KEY and isinstance(value, str)]
    for inputs, hashes in ((case.inputs, case.hashes), (case.found, case.found_hashes)):
        for name in hashes:
            if any(_is_same(str(inputs[name]), key) for key in keys):
                raise InputError(name.replace("_", "-"), f"{quoted(inputs[name])}, the file of a key", "another file")


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def encode_case(text: str, path: str) -> bytes:
    """Return the bytes of a case file that is to lie at *path*; every value is checked by reading the text back.

    Raises :class:`~sevlab.errors.InputError` when a value does not fit the format.
    """
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(quoted(path), "a value with bytes that are not UTF-8", "UTF-8 text, as TOML is") from None
    if len(raw) > CASE_LIMIT:
        raise InputError(quoted(path), f"values of {len(raw)} bytes", f"at most {CASE_LIMIT} bytes")
    parse_case(text, path)
    return raw
