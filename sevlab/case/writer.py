"""Writing case files: whole or not at all, and never over another one by accident."""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..digest import Sha256
from ..errors import InputError, quoted
from ..keys import Secret, refuse_key_name
from .model import Case
from .reader import parse_case
from .rows import ABOUT, BY_NAME, BYTES, CASE_LIMIT, FILE, FORMAT, KEY, ROWS, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO, NoReturn


def format_case(case: Case, folder: str | None = None) -> str:
    """Return a case as the text of a case file. Files below *folder* are named relative to it, others absolutely.

    A key that is in memory, out of a bundle, is left out: a case file names the files of keys.
    """
    import tomli_w

    document: dict[str, Any] = {"format": _version(case)}
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
    return "# A case file of sevlab: every input of one launch. See docs/case.md.\n" + tomli_w.dumps(document)


def _version(case: Case) -> int:
    """Return the oldest version of the format that can hold a case, so that an older sevlab can read it too."""
    if case.about or case.found or any(isinstance(value, Sha256) for value in case.inputs.values()):
        return FORMAT
    return max((BY_NAME[name].since for name in (*case.inputs, *case.origin)), default=1)


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


def write_case(case: Case, path: str, force: bool = False) -> None:
    """Write a case file, whole or not at all. An existing file is replaced only with *force*.

    Every value is checked by reading the text back before anything is written. Raises
    :class:`~sevlab.errors.InputError` when a value does not fit the format, when the file exists, or when it can't be
    written.
    """
    refuse_key_name(path, "output")
    if not force and os.path.lexists(path):
        _exists(path)
    refuse_key_files(case)
    text = format_case(case, os.path.dirname(path) or ".")
    raw = encode_case(text, path)
    with whole_file(path, force) as stream:
        stream.write(raw)


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


@contextmanager
def whole_file(path: str, force: bool = False, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a stream whose content becomes the file *path*, whole or not at all.

    An existing file is replaced only with *force*; a *private* one is its owner's alone (mode 0600). Raises
    :class:`~sevlab.errors.InputError` when the file exists or can't be written.
    """
    import tempfile

    refuse_key_name(path, "output")
    if not force and os.path.lexists(path):
        _exists(path)
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".sevlab-", dir=os.path.dirname(path) or ".")
        with os.fdopen(descriptor, "w+b") as stream:
            yield stream
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o600 if private else 0o666 & ~mask)
        if force:
            os.replace(temporary, path)
        else:
            _rename_to_new(temporary, path)
    except FileExistsError:
        _exists(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror or "error").lower() if isinstance(error, OSError) else "not a file name"
        raise InputError(quoted(path), reason, "a file that can be written") from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def _rename_to_new(temporary: str, path: str) -> None:
    """Give a file its name, unless someone took that name in the meantime."""
    try:
        os.link(temporary, path)  # unlike a rename, a link never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as FAT: claim the name, then rename over the claim
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, path)


def _exists(path: str) -> NoReturn:
    raise InputError(quoted(path), "a file that exists", "a new file", "--force, to replace it")
