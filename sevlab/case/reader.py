"""Reading case files: every value checked, every refusal with its file, line and key."""

from __future__ import annotations

import base64
import os
import re

from ..digest import Sha256
from ..errors import InputError, quoted
from ..inputs import parse_bytes, parse_measurement
from ..keys import describe_path
from ..reading import CasePath, descriptor_of, open_input
from .lines import find_line
from .model import Case
from .rows import (
    ABOUT,
    BY_HASH,
    BYTES,
    CASE_LIMIT,
    COUNT,
    DOT_LIMIT,
    FILE,
    FORBID,
    FORMAT,
    KEY,
    MEASUREMENT,
    MODE,
    MODES,
    NUMBER,
    ROWS,
    SECTIONS,
    WANTED,
    Row,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: What lies beside the case file in a bundle, and so in a folder that one was unpacked into.
UNPACKED = ("manifest.json", "blobs")


#: What stands in a case as a key of TOML; anything else may be anything.
_KNOWN = {row.key for row in (*ROWS, *ABOUT)}


def read_case(path: str, name: str = "case file", own: bool = False) -> Case:
    """Read and check a case file, which its user knows as *name*. Paths in it are relative to its folder.

    *own* says that the case is its user's own, not somebody else's: see :class:`Case`.

    Raises one :class:`~sevlab.errors.InputError` with the file, the line and the key for whatever does not belong.
    Files it names are not opened here: see :attr:`Case.changed`.
    """
    with open_input(path, name) as stream:
        raw = stream.read(CASE_LIMIT + 1)
    if len(raw) > CASE_LIMIT:
        raise InputError(quoted(path), f"more than {CASE_LIMIT} bytes", "a case file, which is smaller")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(quoted(path), f"bytes that are no UTF-8, the first at {error.start}", "UTF-8 text") from None
    return parse_case(text, path, own)


def is_bundle(path: str) -> bool:
    """Say whether a file is a ``.sevcase`` bundle (:mod:`sevlab.bundle`): by its first bytes."""
    try:
        with open_input(path, "case") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except InputError:
        return False


def parse_case(text: str, path: str, own: bool = False) -> Case:
    """Check the text of a case file that lies, or is to lie, at *path*. Takes *own* and raises as :func:`read_case`."""
    return _Reader(path, text, own).case()


def parse_wanted_text(row: Row, value: str, name: str) -> str:
    """Return what is wanted of a report as text in one form, whatever form it came in; InputError with *name*."""
    from ..report.wanted import parse_wanted, wanted_text  # not above: a case of a launch needs none of it

    field = row.name.removeprefix("snp_")
    return wanted_text(field, getattr(parse_wanted(lambda _: name, **{field: value}), field))


class _Reader:
    """Checks one case file."""

    def __init__(self, path: str, text: str, own: bool) -> None:
        self.path, self.text, self.own = path, text, own

    def case(self) -> Case:
        data = self._parsed()
        if "format" not in data:
            raise InputError(quoted(self.path), "no format key", f"format = {FORMAT}", "is this a case file at all?")
        if type(data["format"]) is not int or data["format"] != FORMAT:
            self.refuse(("format",), _shown(data["format"]), f"{FORMAT}, the only format this sevlab reads")
        del data["format"]
        for section, table in data.items():
            if section not in SECTIONS:
                self.refuse((section,), "an unknown key", f"one of format, {', '.join(SECTIONS)}")
            if not isinstance(table, dict):
                self.refuse((section,), _kind(table), f"a table: [{section}]")
            for key in table:
                self._known(section, key)
        inputs, hashes = self._inputs(data)
        found, found_hashes = self._inputs({row.section: data.get("found", {}) for row in ROWS}, "found")
        case = Case(
            inputs,
            hashes,
            self._words(data, "origin"),
            self.path,
            self._words(data, "about"),
            found,
            found_hashes,
            self.own,
            self._is_unpacked(),
        )
        self._check(case)
        return case

    def _is_unpacked(self) -> bool:
        """Say whether the file lies in the folder of a bundle that was unpacked, among the files that came with it."""
        folder = os.path.dirname(self.path)
        return bool(self.path) and all(os.path.exists(os.path.join(folder, name)) for name in UNPACKED)

    def _inputs(self, data: dict[str, Any], place: str = "") -> tuple[dict[str, Any], dict[str, str]]:
        """Return the inputs of a case, or those in the section *place*, and the hashes of files."""
        inputs: dict[str, Any] = {}
        hashes: dict[str, str] = {}
        for row in ROWS:
            if row.key not in data.get(row.section, {}):
                continue
            value = data[row.section][row.key]
            keys = (place or row.section, row.key)
            if place and value is False:
                inputs[row.name] = None
            elif place and row.kind == KEY:
                self.refuse(keys, "a key file", "what is no key", "about.explanation, in words")
            elif row.kind == FILE:
                inputs[row.name] = self._file(row, value, keys)
                if not isinstance(inputs[row.name], Sha256):
                    hashes[row.name] = value["sha256"].lower()
            else:
                inputs[row.name] = self._value(row, value, keys)
        return inputs, hashes

    def _check(self, case: Case) -> None:
        """Refuse what contradicts itself."""
        if "digest" in case.inputs and (others := {"firmware", "kernel"} & set(case.inputs)):
            self.refuse(("owner", "digest"), f"it together with {min(others)}", "one of the two")
        mode, policy = case.inputs.get("mode", ""), case.inputs.get("policy")
        told = case.replace(inputs={"policy": policy}).mode if policy is not None else mode
        if mode and told != mode:
            self.refuse(("launch", "mode"), f"{quoted(mode)} with the policy 0x{policy:x}", f"'{told}', as it says")

    def _parsed(self) -> dict[str, Any]:
        import tomllib

        if self.text.count(".") > DOT_LIMIT:
            raise InputError(quoted(self.path), f"more than {DOT_LIMIT} dots", "a case file", "see docs/case.md")
        try:
            return tomllib.loads(self.text)
        except ValueError as error:  # TOMLDecodeError is one, and so is a number of more than 4300 digits
            received = f"what is not TOML: {quoted(error, 120)[1:-1]}"
            raise InputError(quoted(self.path), received, "a case file", "see docs/case.md") from None
        except RecursionError:
            raise InputError(quoted(self.path), "values nested too deeply", "a case file", "see docs/case.md") from None

    def refuse(self, keys: tuple[str, ...], received: str, needed: str, advice: str = "") -> NoReturn:
        """Raise the error for one key, with its line."""
        line = find_line(self.text, keys)
        where = f"{quoted(self.path)}, line {line}" if line else quoted(self.path)
        # A key is as hostile as a value: an odd one is shown escaped.
        shown = ".".join(
            key if re.fullmatch("[A-Za-z0-9_-]{1,20}", key) or key in _KNOWN else quoted(key, 40) for key in keys
        )
        raise InputError(f"{where}, {shown}", received, needed, advice)

    def _known(self, section: str, key: str) -> None:
        rows = ABOUT if section == "about" else ROWS
        known = [row.key for row in rows if section in (row.section, "origin", "found")]
        if key not in known:
            nearest = key.replace("_", "-")
            advice = nearest if nearest in known else ""
            self.refuse((section, key), "an unknown key", f"one of {', '.join(known)}", advice)

    def _value(self, row: Row, value: Any, keys: tuple[str, ...]) -> Any:
        if row.kind in (NUMBER, COUNT):
            if type(value) is not int:
                self.refuse(keys, _kind(value), row.needed)
            if not int(row.kind == COUNT) <= value <= row.limit:
                self.refuse(keys, _shown(value), row.needed)
            return value
        if row.kind == FORBID:
            if not isinstance(value, bool):
                self.refuse(keys, _kind(value), row.needed)
            return value
        if not isinstance(value, str):
            self.refuse(keys, _kind(value), row.needed)
        if row.kind == MODE and value not in MODES:
            self.refuse(keys, quoted(value), row.needed)
        if row.kind == WANTED:
            try:
                return parse_wanted_text(row, value, row.key)
            except InputError as error:
                self.refuse(keys, error.received, error.needed, error.advice)
        if row.kind == BYTES:
            try:
                return parse_bytes(value, row.key, row.limit)
            except InputError as error:
                self.refuse(keys, error.received, error.needed, error.advice)
        if row.kind == MEASUREMENT:
            try:
                return base64.b64encode(parse_measurement(value).to_bytes()).decode()
            except InputError as error:
                self.refuse(keys, error.received, error.needed, error.advice)
        return self._key_path(row, value) if row.kind == KEY else value

    def _file(self, row: Row, value: Any, keys: tuple[str, ...]) -> str | Sha256:
        """Return the path of a file, or its SHA-256 alone where that is all there is and all there need be."""
        if not isinstance(value, dict):
            self.refuse(keys, _kind(value), row.needed, f'{row.key} = {{ path = "FILE", sha256 = "..." }}')
        for key in value:
            if key not in ("path", "sha256"):
                self.refuse((*keys, key), "an unknown key", "path and sha256")
        is_known_by_hash = row.name in BY_HASH and "path" not in value
        for key, what in (("path", "the file's path"), ("sha256", "the file's SHA-256, 64 hex digits")):
            if key == "path" and is_known_by_hash:
                continue
            if key not in value:
                self.refuse(keys, f"no {key}", what, "sha256sum FILE" if key == "sha256" else "")
            if not isinstance(value[key], str):
                self.refuse((*keys, key), _kind(value[key]), what)
        if not re.fullmatch("[0-9a-fA-F]{64}", value["sha256"]):
            self.refuse((*keys, "sha256"), quoted(value["sha256"], 70), "64 hex digits", "sha256sum FILE")
        if is_known_by_hash:
            return Sha256(bytes.fromhex(value["sha256"]))
        return self._path((*keys, "path"), value["path"], value["sha256"].lower())

    def _path(self, keys: tuple[str, ...], value: str, sha256: str = "") -> str:
        if not value or "\0" in value:
            self.refuse(keys, quoted(value), "the path of a file")
        # A case that comes through a pipe lies nowhere: its files are looked for here.
        folder = "" if descriptor_of(self.path) is not None else os.path.dirname(self.path)
        path = os.path.join(folder, value)
        return path if self.own else CasePath(path, folder, sha256)

    def _key_path(self, row: Row, value: str) -> str:
        path = self._path((row.section, row.key), value)
        # The text of a key must not end up in a message, so this is said without showing it.
        if not os.path.lexists(path) and describe_path(value):
            advice = "write the key's raw bytes into a file of its own, mode 0600"
            self.refuse((row.section, row.key), "what looks like a key itself", row.needed, advice)
        return path

    def _words(self, data: dict[str, Any], section: str) -> dict[str, str]:
        """Return a section that holds nothing but text."""
        table = data.get(section, {})
        for key, value in table.items():
            if not isinstance(value, str):
                self.refuse((section, key), _kind(value), "text in quotes")
        return {key.replace("-", "_"): value for key, value in table.items()}


def _shown(value: Any) -> str:
    """Return a value of the wrong kind or size, for a message. (Python refuses to print very large numbers.)"""
    if type(value) is int:
        return quoted(value) if abs(value) < 1 << 128 else "a huge number"
    return quoted(value) if isinstance(value, str) else _kind(value)


def _kind(value: Any) -> str:
    """Return what TOML calls a value."""
    names = {bool: "true or false", int: "a number", float: "a number with a fraction", str: "text"}
    names |= {dict: "a table", list: "a list"}
    return names.get(type(value), "a date or time")
