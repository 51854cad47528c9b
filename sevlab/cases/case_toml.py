"""Case files as TOML: reading, which checks every value, and writing, whole or not at all."""

from __future__ import annotations

import base64
import json
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ..errors import InputError, UnsupportedError, is_shown, quoted, renaming
from ..launch.evidence import Evidence, load_evidence, takes_keys
from ..launch.inputs import Sha256
from ..launch.keys import SecretBytes, describe_path
from ..launch.reading import CasePath, descriptor_of, note_input, open_input, opened_once
from ..launch.values import parse_bytes, parse_measurement
from .case import (
    ABOUT,
    BY_HASH,
    BY_NAME,
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
    REQUIREMENT,
    ROWS,
    SECTIONS,
    Case,
    Row,
    hash_files,
    with_registers,
)
from .writing import check_output, write_files

if TYPE_CHECKING:
    from .case import Value

    class Explained(Protocol):
        """What a search found; :class:`sevlab.diagnosis.result.Explanation` is one."""

        @property
        def sentence(self) -> str: ...
        @property
        def inputs(self) -> Mapping[str, Value | None]: ...


_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")
#: What is next to the case file in a bundle, and in a folder that one was unpacked into.
UNPACKED = ("manifest.json", "blobs")
#: The keys that a case may have. Any other key is as hostile as a value.
_KNOWN = {row.key for row in (*ROWS, *ABOUT)}


def read_case(path: str, name: str = "case file", own: bool = False) -> Case:
    """Read and check a case file, which its user knows as *name*; *own* is that of :class:`Case`.

    Paths in it are relative to its folder; the files are not opened here. Raises :class:`~sevlab.errors.InputError`
    with the file, the line and the key for the first thing that does not belong.
    """
    with open_input(path, name) as stream:
        raw = stream.read(CASE_LIMIT + 1)
    if len(raw) > CASE_LIMIT:
        raise InputError(quoted(path), f"more than {CASE_LIMIT} bytes", "a case file, which is smaller")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(quoted(path), f"bytes that are not UTF-8, the first at {error.start}", "UTF-8 text") from None
    return parse_case(text, path, own)


def is_bundle(path: str) -> bool:
    """Return whether a file is a ``.sevcase`` bundle, by its first bytes."""
    try:
        with open_input(path, "case") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except InputError:
        return False


def parse_case(text: str, path: str, own: bool = False) -> Case:
    """Check the text of the case file at *path*, which need not exist yet. See :func:`read_case`."""
    return _Reader(path, text, own).case()


def parse_text(row: Row, text: str, name: str) -> Value:
    """Return an input's value, as a case holds it, from its text. Raises InputError with *name*."""
    if row.kind == BYTES:
        return parse_bytes(text, name, row.limit)
    if row.kind == MEASUREMENT:
        return base64.b64encode(parse_measurement(text, name).to_bytes()).decode()
    if row.kind == MODE and text not in MODES:
        raise InputError(name, quoted(text), row.needed)
    if row.kind == REQUIREMENT:  # imported here because a case of a launch needs none of it
        from ..attestation.requirements import parse_requirements, requirement_text

        field = row.name.removeprefix("snp_")
        with renaming(lambda _: name):
            return requirement_text(field, getattr(parse_requirements(**{field: text}), field))
    return text


class _Reader:
    def __init__(self, path: str, text: str, own: bool) -> None:
        self.path, self.text, self.own = path, text, own
        self.sections: dict[str, dict[str, object]] = {}

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
            self.sections[section] = table
        inputs, hashes = self._inputs()
        found, found_hashes = self._inputs("found")
        # Is this the folder of an unpacked bundle, with the files that came with it?
        beside = (os.path.join(os.path.dirname(self.path), name) for name in UNPACKED)
        case = Case(
            {name: value for name, value in inputs.items() if value is not None},
            hashes,
            self._words("origin"),
            self.path,
            self._words("about"),
            found,
            found_hashes,
            self.own,
            bundled=bool(self.path) and all(map(os.path.exists, beside)),
        )
        self._check(case)
        return case

    def _inputs(self, place: str = "") -> tuple[dict[str, Value | None], dict[str, str]]:
        """Return the inputs of a case, or those of the section *place*, and the hashes of files."""
        inputs: dict[str, Value | None] = {}
        hashes: dict[str, str] = {}
        for row in ROWS:
            table, keys = self.sections.get(place or row.section, {}), (place or row.section, row.key)
            if row.key not in table:
                continue
            value = table[row.key]
            if place and value is False:
                inputs[row.name] = None
            elif place and row.kind == KEY:
                self.refuse(keys, "a key file", "an input that is not a key", "about.explanation, in words")
            elif row.kind == FILE:
                inputs[row.name], sha256 = self._file(row, value, keys)
                hashes |= {row.name: sha256} if sha256 else {}
            else:
                inputs[row.name] = self._value(row, value, keys)
        return inputs, hashes

    def _check(self, case: Case) -> None:
        if "digest" in case.inputs and (others := {"firmware", "kernel"} & set(case.inputs)):
            self.refuse(("owner", "digest"), f"it together with {min(others)}", "one of the two")
        mode = "" if case.policy is None else "seves" if case.policy.es else "sev"
        if case.policy is not None and case.inputs.get("mode", mode) != mode:
            received = f"{quoted(case.mode)} with the policy 0x{int(case.policy):x}"
            self.refuse(("launch", "mode"), received, f"'{mode}', as it says")

    def _parsed(self) -> dict[str, object]:
        received = f"more than {DOT_LIMIT} dots"
        if self.text.count(".") <= DOT_LIMIT:
            try:
                return tomllib.loads(self.text)
            except ValueError as error:  # TOMLDecodeError is one, and so is a number of more than 4300 digits
                received = f"text that is not TOML: {quoted(error, 120)[1:-1]}"
            except RecursionError:
                received = "values nested too deeply"
        raise InputError(quoted(self.path), received, "a case file", "see docs/case.md")

    def refuse(self, keys: tuple[str, ...], received: str, needed: str, advice: str = "") -> NoReturn:
        """Raise the error for one key, with its line. An unknown key is shown escaped."""
        line = find_line(self.text, keys)
        where = f"{quoted(self.path)}, line {line}" if line else quoted(self.path)
        plain = {key: re.fullmatch("[A-Za-z0-9_-]{1,20}", key) or key in _KNOWN for key in keys}
        shown = ".".join(key if plain[key] else quoted(key, 40) for key in keys)
        raise InputError(f"{where}, {shown}", received, needed, advice)

    def _known(self, section: str, key: str) -> None:
        rows = ABOUT if section == "about" else ROWS
        known = [row.key for row in rows if section in (row.section, "origin", "found")]
        if key not in known:
            nearest = key.replace("_", "-")
            self.refuse((section, key), "an unknown key", f"one of {', '.join(known)}", nearest * (nearest in known))

    def _value(self, row: Row, value: object, keys: tuple[str, ...]) -> Value:
        if row.kind in (NUMBER, COUNT):
            if type(value) is not int:
                self.refuse(keys, _kind(value), row.needed)
            if not int(row.kind == COUNT) <= value <= row.limit:
                self.refuse(keys, _shown(value), row.needed)
            return value
        if row.kind == FORBID and isinstance(value, bool):
            return value
        if row.kind == FORBID or not isinstance(value, str):
            self.refuse(keys, _kind(value), row.needed)
        if row.kind == KEY:
            path = self._path(keys, value)
            if not os.path.lexists(path) and describe_path(value):  # not shown: it may be the key itself
                advice = "write the key's raw bytes into a file of its own, mode 0600"
                self.refuse(keys, "what looks like a key itself", row.needed, advice)
            return path
        try:
            return parse_text(row, value, row.key)
        except InputError as error:
            self.refuse(keys, error.received, error.needed, error.advice)

    def _file(self, row: Row, value: object, keys: tuple[str, ...]) -> tuple[str | Sha256, str]:
        """Return the path of a file and its SHA-256; or the hash alone where there is no path and none is needed."""
        if not isinstance(value, dict):
            self.refuse(keys, _kind(value), row.needed, f'{row.key} = {{ path = "FILE", sha256 = "..." }}')
        if unknown := [key for key in value if key not in ("path", "sha256")]:
            self.refuse((*keys, unknown[0]), "an unknown key", "path and sha256")
        if "path" in value or row.name not in BY_HASH:
            self._text(value, (*keys, "path"), "the file's path")
        sha256 = self._text(value, (*keys, "sha256"), "the file's SHA-256, 64 hex digits", "sha256sum FILE")
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            self.refuse((*keys, "sha256"), quoted(sha256, 70), "64 hex digits", "sha256sum FILE")
        if "path" not in value:
            return Sha256(bytes.fromhex(sha256)), ""
        return self._path((*keys, "path"), value["path"], sha256.lower()), sha256.lower()

    def _text(self, table: dict[str, object], keys: tuple[str, ...], needed: str, advice: str = "") -> str:
        if keys[-1] not in table:
            self.refuse(keys[:-1], f"no {keys[-1]}", needed, advice)
        value = table[keys[-1]]
        if not isinstance(value, str):
            self.refuse(keys, _kind(value), needed)
        return value

    def _path(self, keys: tuple[str, ...], value: str, sha256: str = "") -> str:
        if not value or "\0" in value:
            self.refuse(keys, quoted(value), "the path of a file")
        # A case from a pipe has no folder: its files are looked for in the current one.
        folder = "" if descriptor_of(self.path) is not None else os.path.dirname(self.path)
        path = os.path.join(folder, value)
        return path if self.own else CasePath(path, folder, sha256)

    def _words(self, section: str) -> dict[str, str]:
        table = self.sections.get(section, {})
        return {key.replace("-", "_"): self._text(table, (section, key), "text in quotes") for key in table}


def _shown(value: object) -> str:
    """Return an unsuitable value for a message. (Python refuses to print very large numbers.)"""
    if type(value) is int:
        return quoted(value) if abs(value) < 1 << 128 else "a huge number"
    return quoted(value) if isinstance(value, str) else _kind(value)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number with a fraction", str: "text"}
    return {**names, dict: "a table", list: "a list"}.get(type(value), "a date or time")


def format_case(case: Case, folder: str | None = None) -> str:
    """Return a case as the text of a case file. Files below *folder* are named relative to it, others absolutely.

    A key in memory, from a bundle, is left out: a case file names the files of keys.
    """
    import tomli_w  # not above: reading a case needs none of it

    sections: dict[str, dict[str, object]] = {}
    if case.about:
        sections["about"] = {row.key: case.about[row.name] for row in ABOUT if row.name in case.about}
    for name, value in case.inputs.items():
        if not isinstance(value, SecretBytes):
            row = BY_NAME[name]
            sections.setdefault(row.section, {})[row.key] = _value(row, value, case.hashes.get(name, ""), folder)
    for name, found in case.found.items():
        row, sha256 = BY_NAME[name], case.found_hashes.get(name, "")
        sections.setdefault("found", {})[row.key] = False if found is None else _value(row, found, sha256, folder)
    if case.origin:
        sections["origin"] = {row.key: case.origin[row.name] for row in ROWS if row.name in case.origin}
    text = tomli_w.dumps({"format": FORMAT, **sections})
    text = f"# A case file of sevlab: every input of one launch. See docs/case.md.\n{text}"
    return "".join(c if c == "\n" or is_shown(c) else _escape(c) for c in text)


def _escape(character: str) -> str:
    """Escape a character for the terminal. Half of a surrogate pair stays, and is refused where text is encoded."""
    number = ord(character)
    escaped = f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
    return character if 0xD800 <= number <= 0xDFFF else escaped


def _value(row: Row, value: Value, sha256: str, folder: str | None) -> object:
    if isinstance(value, bytes):
        return {"sha256": value.hex()} if isinstance(value, Sha256) else value.hex()
    if row.kind == FILE:
        return {"path": _portable(str(value), folder), "sha256": sha256}
    return _portable(str(value), folder) if row.kind == KEY else value


def _portable(path: str, folder: str | None) -> str:
    if folder is None:
        return path
    path, folder = os.path.abspath(path), os.path.abspath(folder)
    inside = os.path.relpath(path, folder)
    return path if inside.split(os.sep)[0] == os.pardir else inside


@opened_once()
def write_case(case: Case, path: str, force: bool = False, name: str = "case file") -> None:
    """Write a case file, which its user knows as *name*, whole or not at all.

    An existing file is replaced only with *force*, a file of the case never. Every value is checked by reading the text
    back before anything is written. Raises :class:`~sevlab.errors.InputError` for a value that does not fit the format,
    and for a file that exists or can't be written.
    """
    protect_files(case)
    check_output(path, name, force=force)
    check_names(case)
    raw = encode_case(format_case(case, os.path.dirname(path) or "."), path)
    write_files([(path, raw, name)], force=force)


def check_names(case: Case) -> None:
    """Refuse a case whose files are pipes or standard input, which nobody could open again by name."""
    for name, path in case.paths:
        if "\0" not in path and (path == "-" or (os.path.exists(path) and not os.path.isfile(path))):
            needed = "a regular file, which a case file can name"
            advice = "a bundle (case new -o NAME.sevcase), which holds the files themselves"
            raise InputError("--" + BY_NAME[name].key, quoted(path), needed, advice)


def protect_files(case: Case) -> None:
    """Keep this command from replacing a file that a case names. Refuse a case that names a key file as another input.

    Otherwise the hash of that key, or the key itself, would be sent with the case.
    """
    for _, path in case.paths:
        note_input(path)
    keys = [path for name, path in case.paths if BY_NAME[name].kind == KEY]
    for (name, path, _), key in product(case.recorded, keys):
        with suppress(OSError, ValueError):
            if os.path.samefile(path, key):
                raise InputError(name.replace("_", "-"), f"{quoted(path)}, the file of a key", "another file")


def encode_case(text: str, path: str) -> bytes:
    """Return the bytes of the case file *path*, after reading the text back to check every value."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(quoted(path), "a value with bytes that are not UTF-8", "UTF-8 text, as TOML is") from None
    if len(raw) > CASE_LIMIT:
        raise InputError(quoted(path), f"values of {len(raw)} bytes", f"at most {CASE_LIMIT} bytes")
    parse_case(text, path)
    return raw


def record_explanation(case: Case, explanation: Explained) -> Case:
    """Return a case with an explanation: in words, which name files without their folders, and as the inputs found.

    What no input can express (another form of the message, bytes of a key, pages in another order) is in words alone.
    """
    inputs: Mapping[str, Value | None] = {}
    with suppress(UnsupportedError):
        inputs = explanation.inputs
    found = {name: value for name, value in inputs.items() if name in BY_NAME}
    # The folders of somebody's files are nobody else's business, and a case is made to be sent.
    about = case.about | {"explanation": without_folders(explanation.sentence, case, found)}
    in_words = case.replace(about=about, found={}, found_hashes={})
    has_key = any(value is not None and BY_NAME[name].kind == KEY for name, value in found.items())
    if not inputs or len(found) < len(inputs) or has_key:
        return in_words
    found = {name: value for name, value in found.items() if value is not None or name in case.inputs}
    try:
        explained = in_words.replace(found=found, found_hashes=hash_files(found))
        parse_case(format_case(explained), "found")
    except InputError:  # a value that only its own search can read
        return in_words
    return explained


def without_folders(words: str, case: Case, found: Mapping[str, Value | None] | None = None) -> str:
    """Return *words* with the files of a case, and those *found*, named without their folders."""
    named = [path for _, path in (*case.paths, *Case({}, found=dict(found or {})).paths)]
    paths = {path for one in named for path in (one, os.path.abspath(one), os.path.realpath(one))}
    folders = {os.path.dirname(path) for path in paths} | {os.path.dirname(os.path.abspath(case.path or "."))}
    for path in sorted(paths, key=len, reverse=True):
        words = words.replace(path, os.path.basename(path))
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1 and os.sep in folder:
            words = words.replace(f"{folder}{os.sep}", "").replace(folder, "a folder")
    return words


@takes_keys
@opened_once()
def load_case(path: str, *, own: bool = False, **changes: Any) -> Evidence:
    """Read a case file and every file it names, and return the launch as evidence.

    *own* says that the case is the user's own. *changes*, which are inputs of :func:`sevlab.load_evidence`, override
    the case. Changed files are used as they are now: ``read_case(path).changed`` lists them. Raises
    :class:`~sevlab.errors.InputError` for what cannot be used.
    """
    case = read_case(path, own=own)
    inputs, _ = case.merged(changes)
    return load_evidence(trust=case.trust(changes), **with_registers(inputs))


def find_line(text: str, keys: tuple[str, ...]) -> int:
    """Return the line, from 1, of *keys* in TOML text, 0 if they are not found: Python's TOML reader keeps no lines.

    It is the line that names the most of *keys*, since an inline table is one line.
    """
    best, found, fence = 0, 0, ""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if fence:  # inside a text of several lines, where nothing is a key
            fence = "" if fence in line else fence
            continue
        bare = line.strip()
        match = _DOTTED.match(bare.lstrip("[ \t"))
        if not match:
            continue
        path = tuple(map(_bare_key, re.findall(_KEY, match[0])))
        if bare.startswith("["):
            section = path
        elif not bare[match.end() :].lstrip().startswith("="):
            continue
        else:
            path = section + path
            fence = next((mark for mark in ('"""', "'''") if bare.count(mark) % 2), "")
        if best < len(path) and path == keys[: len(path)]:
            best, found = len(path), number
    return found


def _bare_key(part: str) -> str:
    try:
        return str(json.loads(part)) if part[0] == '"' else part.strip("'")
    except ValueError:
        return part
