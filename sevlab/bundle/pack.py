"""Packing a case and its files into a bundle: the same bytes for the same case, wherever it is packed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile

from ..case import BY_NAME, Case, Change, format_case, parse_case
from ..case.found import without_folders
from ..case.rows import KEY
from ..case.writer import encode_case, note_files, refuse_key_files
from ..errors import InputError, quoted
from ..inputs import KEY_SIZE, load_key
from ..keys import Secret
from ..reading import CHUNK, CasePath, note_input, open_input, opened_once
from ..writing import check_output, whole_file
from .archive import BLOBS, CASE, MANIFEST, TOTAL_LIMIT
from .load import Bundle
from .manifest import build_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

#: What ``origin`` says of a key that is not in the bundle.
LEFT_OUT = "a key file, left out of the bundle"
#: The date of every member: the first that a zip archive can have. A real one would make two packings differ.
_DATE = (1980, 1, 1, 0, 0, 0)
#: The folders of a path in words about an origin: a host's, whose file has another path here.
_PATH = re.compile(r"(?<![\w./:])/(?:[^\s/]+/)+")
_MODE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3


@opened_once()
def pack_case(case: Case, path: str, *, with_keys: bool = False, force: bool = False, name: str = "bundle") -> Bundle:
    """Write a case and every file it names into a bundle, whole or not at all, and return it.

    Key files are left out, and nothing about them but their names stays, unless *with_keys* is set; then the bundle can
    be read by its owner alone (mode 0600). Members are stored and not compressed, in a fixed order and with a fixed
    date, so the same case gives the same bytes everywhere. An existing file is replaced only with *force*, the case and
    its files never. *name* is what the user calls the bundle.

    Raises :class:`~sevlab.errors.InputError` for a file that cannot be read, is not the one that the case recorded or
    is the file of a key, and when the bundle cannot be written.
    """
    refuse_key_files(case)
    note_files(case)
    if case.path:
        note_input(case.path)
    check_output(path, name, force=force)
    keys = {name: value for name, value in case.inputs.items() if BY_NAME[name].kind == KEY}
    secrets = {name: _load_key(value, name) for name, value in keys.items()} if with_keys else {}
    packed = _renamed(case, secrets, keys)
    text = format_case(packed)
    raw = encode_case(text, CASE)
    files = case.files
    sizes = {sha256: _size(case, sha256) for sha256 in files}
    contents = {_sha256(key): key for key in secrets.values()}
    for name, sha256 in [*case.hashes.items(), *case.found_hashes.items()]:
        if sha256 in contents:
            raise InputError(name.replace("_", "-"), "the file of a key", "another file")
    sizes |= {sha256: len(key) for sha256, key in contents.items()}
    if sum(sizes.values()) > TOTAL_LIMIT:
        raise InputError(quoted(case.path or path), f"{sum(sizes.values())} bytes of files", f"at most {TOTAL_LIMIT}")
    manifest = build_manifest(raw, sizes)
    with whole_file(path, name, force=force, private=bool(secrets)) as stream, zipfile.ZipFile(stream, "w") as archive:
        _add(archive, MANIFEST, manifest.to_bytes())
        _add(archive, CASE, raw)
        for sha256 in sorted(sizes):
            if sha256 in files:
                _add_file(archive, case, sha256, sizes[sha256])
            else:
                _add(archive, BLOBS + sha256, contents[sha256].reveal())
    return Bundle(path, parse_case(text, CASE), manifest, text)


def _load_key(path: Any, name: str) -> Secret:
    """Return a key. One whose file somebody else's case names elsewhere may be anything, and stays out."""
    if isinstance(path, CasePath) and path.is_outside:
        received = f"{quoted(path)}, outside the case's folder"
        raise InputError(name, received, "a key in the folder of the case", "--own-case, if the case is yours")
    return load_key(path, name, (1 + (name == "tk")) * KEY_SIZE)


def _sha256(key: Secret) -> str:
    return hashlib.sha256(key.reveal()).hexdigest()


def _renamed(case: Case, secrets: dict[str, Secret], keys: dict[str, Any]) -> Case:
    """Return the case as it stands in the bundle: files by their hash, keys as *secrets* has them or not at all."""
    inputs = {name: value for name, value in case.inputs.items() if name not in keys}
    inputs |= {name: BLOBS + sha256 for name, sha256 in case.hashes.items()}
    inputs |= {name: BLOBS + _sha256(key) for name, key in secrets.items()}
    found = case.found | {name: BLOBS + sha256 for name, sha256 in case.found_hashes.items()}
    origin: dict[str, str] = {}
    for name in case.hashes:
        file = os.path.basename(str(case.inputs[name]))
        if not re.fullmatch("-|[0-9]+|[0-9a-f]{64}", file):  # standard input, a pipe's number, a file of a bundle
            origin[name] = f"the file {file.encode(errors='backslashreplace').decode()}"
    origin |= {name: _PATH.sub("", without_folders(words, case)) for name, words in case.origin.items()}
    if not secrets:
        origin |= dict.fromkeys(keys, LEFT_OUT)
    about = dict(case.about)
    if "explanation" in about:
        about["explanation"] = without_folders(about["explanation"], case)
    return case.replace(inputs=inputs, found=found, origin=origin, about=about)


def _owner(case: Case, sha256: str) -> tuple[str, str]:
    """Return the input that a file is for, and the file's path."""
    pairs: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
        (case.inputs, case.hashes),
        (case.found, case.found_hashes),
    )
    return next((name, str(inputs[name])) for inputs, hashes in pairs for name in hashes if hashes[name] == sha256)


def _size(case: Case, sha256: str) -> int:
    name, path = _owner(case, sha256)
    with open_input(path, name) as stream:
        return stream.seek(0, os.SEEK_END)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _DATE)
    member.create_system, member.external_attr = _UNIX, _MODE
    return member


def _add(archive: zipfile.ZipFile, name: str, raw: bytes) -> None:
    archive.writestr(_member(name), raw)


def _add_file(archive: zipfile.ZipFile, case: Case, sha256: str, size: int) -> None:
    """Copy a file into the archive, and refuse it when it is not the one that the case recorded."""
    name, path = _owner(case, sha256)
    member, running, total = _member(BLOBS + sha256), hashlib.sha256(), 0
    member.file_size = size
    with open_input(path, name) as source, archive.open(member, "w") as target:
        for chunk in _chunks(source, BY_NAME[name].limit):
            running.update(chunk)
            total += len(chunk)
            target.write(chunk)
    if running.hexdigest() != sha256 or total != size:
        change = Change(name, path, sha256, running.hexdigest())
        raise InputError(name.replace("_", "-"), str(change), "the file that the case was made with", "a new case")


def _chunks(stream: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield a file's bytes, and end it where it grows beyond what it may have."""
    while limit >= 0 and (chunk := stream.read(CHUNK)):
        limit -= len(chunk)
        yield chunk
