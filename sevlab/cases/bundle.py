"""A case and every file it names in one ``.sevcase`` file: read, unpacked and packed, every hash checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..attestation.byte_forms import once
from ..errors import InputError, checked, quoted
from ..launch.keys import SecretBytes
from ..launch.reading import CHUNK, CasePath, load_size, note_input, open_input, opened_once
from ..launch.values import KEY_SIZE, TEXT_LIMIT, load_key
from .archive import BLOBS, CASE, MANIFEST, TOTAL_LIMIT, Archive, open_archive
from .case import BY_NAME, FILE, KEY, Case, Change
from .case_toml import encode_case, format_case, is_bundle, parse_case, protect_files, read_case, without_folders
from .writing import check_output, reason_of, refuse_key_name, temporary_folder, usual_mode, whole_file

if TYPE_CHECKING:
    from .case import Value

#: The version of bundles. No other is read or written.
VERSION = 1
#: What ``origin`` says of a key that is not in the bundle.
LEFT_OUT = "a key file, left out of the bundle"
_SHA256 = re.compile("[0-9a-f]{64}")
#: The folders of a path in words about an origin: a host's, whose file has another path here.
_PATH = re.compile(r"(?<![\w./:])/(?:[^\s/]+/)+")
#: What every member gets: the first date that a zip archive can have (a real one would make two packings differ), the
#: mode of a file, and the system that the mode is of.
_DATE, _MODE, _UNIX = (1980, 1, 1, 0, 0, 0), (stat.S_IFREG | 0o644) << 16, 3


@dataclass(frozen=True)
class Manifest:
    """The files in a bundle: SHA-256 (hex) and size in bytes of the case file, and of every other file."""

    version: int
    case: tuple[str, int]
    blobs: dict[str, int]

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON, the same bytes for the same content."""
        files = [{"sha256": sha256, "size": size} for sha256, size in (self.case, *sorted(self.blobs.items()))]
        document = {"version": self.version, "case": files[0], "blobs": files[1:]}
        return json.dumps(document, indent=2).encode() + b"\n"


def build_manifest(case: bytes, blobs: Mapping[str, int]) -> Manifest:
    """Return the manifest of a bundle of a case file and these blobs."""
    return Manifest(VERSION, (hashlib.sha256(case).hexdigest(), len(case)), dict(blobs))


@checked
def parse_manifest(raw: bytes, name: str) -> Manifest:
    """Read a manifest. Raises :class:`~sevlab.errors.InputError` with *name* for anything else."""
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        received = "text that is not JSON with unique keys"
        raise InputError(name, received, "a manifest", "docs/case-format.md") from None
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is not int or version < 1:
        raise InputError(name, "no version", f'a manifest with "version": {VERSION}')
    if version > VERSION:
        raise InputError(name, f"version {quoted(version)}", f"version {VERSION}", "a newer sevlab")
    if set(document) != {"version", "case", "blobs"} or not isinstance(document["blobs"], list):
        raise InputError(name, "other keys than belong there", "version, case and a list of blobs")
    case, *files = (_file(one, name) for one in (document["case"], *document["blobs"]))
    blobs = dict(files)
    if len(blobs) != len(files):
        raise InputError(name, "a blob that is listed twice", "every blob once")
    return Manifest(version, case, blobs)


def _file(value: object, name: str) -> tuple[str, int]:
    if isinstance(value, dict) and set(value) == {"sha256", "size"}:
        sha256, size = value["sha256"], value["size"]
        if isinstance(sha256, str) and _SHA256.fullmatch(sha256) and type(size) is int and size >= 0:
            return sha256, size
    raise InputError(name, "a file without its sha256 and size", '{"sha256": 64 hex digits, "size": bytes}')


@dataclass(frozen=True, repr=False)
class Bundle:
    """A bundle, read and checked by :func:`load_bundle`.

    ``case`` is its case, whose paths are names of members; ``manifest`` lists the files; ``text`` is its case file.
    """

    path: str
    case: Case
    manifest: Manifest
    text: str

    @property
    def keys(self) -> list[str]:
        """The names of its keys."""
        return [name for name in self.case.inputs if BY_NAME[name].kind == KEY]


def load_bundle(path: str, name: str = "bundle") -> Bundle:
    """Read a whole bundle and check every hash. Nothing is written anywhere.

    Raises :class:`~sevlab.errors.InputError`, which names the file, for the first thing that does not belong.
    """
    with open_archive(path, name) as archive:
        bundle = _read(archive)
        for sha256 in bundle.manifest.blobs:
            for _ in _blob(archive, sha256):
                pass
    return bundle


def unpack_bundle(path: str, folder: str, name: str = "bundle", own: bool = False) -> Case:
    """Unpack a bundle into a new folder, whole or not at all, and return its case; *own* is that of :class:`.Case`.

    The folder appears when everything is checked, with ``case.toml``, ``manifest.json`` and ``blobs/``. Raises
    :class:`~sevlab.errors.InputError` as :func:`load_bundle`, and for a folder that exists or cannot be made.
    """
    refuse_key_name(folder, "folder")
    if os.path.lexists(folder):
        raise InputError(quoted(folder, 200), "a folder or file that exists", "the name of a new folder")
    with open_archive(path, name) as archive:
        bundle = _read(archive)
        try:
            with temporary_folder(".sevlab-", os.path.dirname(os.path.abspath(folder))) as temporary:
                _fill(archive, bundle, temporary, with_keys=True)
                os.chmod(temporary, usual_mode(0o777))
                os.rename(temporary, folder)
        except (OSError, ValueError) as error:
            raise InputError(quoted(folder, 200), reason_of(error), "a folder that can be made") from None
    return read_case(os.path.join(folder, CASE), own=own).replace(bundled=True)


@contextmanager
def open_case(path: str, name: str = "case", own: bool = False) -> Iterator[Case]:
    """Yield the case of a case file, of a folder that has one, or of a bundle; its files can be opened meanwhile.

    A bundle is unpacked into a temporary folder, which is removed afterwards. Its keys stay in memory, and are inputs
    of the case as a :class:`~sevlab.SecretBytes` instead of a path. *own* is that of :class:`~sevlab.cases.case.Case`.
    """
    if os.path.isdir(path):
        yield read_case(os.path.join(path, CASE), name, own)
    elif is_bundle(path):
        with temporary_folder() as folder:
            yield _case_in(folder, path, name, own)
    else:
        yield read_case(path, name, own)


def _case_in(folder: str, path: str, name: str, own: bool) -> Case:
    """Return the case of a bundle, with its files in *folder* and its keys in memory."""
    with open_archive(path, name) as archive:
        bundle = _read(archive)
        try:
            _fill(archive, bundle, folder)
        except OSError as error:
            received = f"{reason_of(error)}, in the folder for temporary files"
            raise InputError(name, received, "room to unpack a bundle", "TMPDIR=FOLDER") from None
        keys = {key: _load_member(archive, str(bundle.case.inputs[key])) for key in bundle.keys}
    case = read_case(os.path.join(folder, CASE), own=own)
    return case.replace(inputs=case.inputs | keys, bundled=True)


def _read(archive: Archive) -> Bundle:
    """Read manifest and case, and check them against each other and the members."""
    manifest = parse_manifest(archive.read(MANIFEST), f"{quoted(archive.path, 200)}, {MANIFEST}")
    raw = archive.read(CASE)
    if manifest.case != (hashlib.sha256(raw).hexdigest(), len(raw)):
        archive.refuse(f"{CASE} with another SHA-256 or size than in the manifest", "the file that was packed")
    sizes = {name.removeprefix(BLOBS): size for name, size in archive.sizes.items() if name.startswith(BLOBS)}
    if sizes != manifest.blobs:
        blob = min(dict(sizes.items() ^ manifest.blobs.items()))
        archive.refuse(f"{BLOBS}{blob}, which differs between manifest and archive", "the same in both")
    try:
        text = raw.decode("utf-8")
        case = parse_case(text, CASE).replace(bundled=True)
    except UnicodeDecodeError:
        archive.refuse(f"{CASE} that is not UTF-8 text", "a case file")
    except InputError as error:
        name = f"{quoted(archive.path, 200)}: {error.input}"
        raise InputError(name, error.received, error.needed, error.advice) from None
    _check(archive, case, sizes)
    return Bundle(archive.path, case, manifest, text)


def _check(archive: Archive, case: Case, sizes: dict[str, int]) -> None:
    """Check that the case names every blob, by its own hash, and nothing else."""
    keys = [(name, path, path.removeprefix(BLOBS)) for name, path in case.paths if BY_NAME[name].kind == KEY]
    named: dict[str, set[str]] = {FILE: set(), KEY: set()}
    for name, path, sha256 in (*case.recorded, *keys):
        row, stored = BY_NAME[name], path.removeprefix(BLOBS)
        where, limit = f"{CASE}, {row.key}", TEXT_LIMIT if row.kind == KEY else row.limit
        if path != BLOBS + stored or stored not in sizes:
            archive.refuse(f"{where}: the path {quoted(path)}", f"{BLOBS} and the SHA-256 of a file in the bundle")
        if stored != sha256:
            archive.refuse(f"{where}: the path of another file than its sha256, {sha256}", "the same in both")
        if sizes[sha256] > limit:
            archive.refuse(f"{where}: a file of {sizes[sha256]} bytes", f"at most {limit}")
        named[row.kind].add(sha256)
    if both := named[KEY] & named[FILE]:
        archive.refuse(f"{BLOBS}{min(both)}, which is a key and another input", "a key that is only a key")
    if stray := set(sizes) - named[KEY] - named[FILE]:
        archive.refuse(f"{BLOBS}{min(stray)}, which {CASE} does not name", "only files of the case")


def _fill(archive: Archive, bundle: Bundle, folder: str, with_keys: bool = False) -> None:
    """Write the members of a bundle into a new folder; keys only if asked, and then for their owner alone."""
    os.mkdir(os.path.join(folder, BLOBS))
    for name in (MANIFEST, CASE):
        with open(os.path.join(folder, name), "xb") as stream:
            stream.write(archive.read(name))
    keys = {str(bundle.case.inputs[name]) for name in bundle.keys}
    for sha256 in bundle.manifest.blobs:
        is_key = BLOBS + sha256 in keys
        if with_keys or not is_key:
            _copy(archive, sha256, os.path.join(folder, BLOBS, sha256), is_key)


def _load_member(archive: Archive, member: str) -> SecretBytes:
    """Return a key of a bundle, without writing it to a disk. Its hash is not shown: it would help to guess the key."""
    key = SecretBytes(archive.read(member))
    if BLOBS + _sha256(key) != member:
        archive.refuse(f"{member} with another SHA-256", "the file that was packed")
    return key


def _copy(archive: Archive, sha256: str, path: str, private: bool) -> None:
    """Write a blob into a new file, which only its owner can read if it is *private*."""
    with open(path, "xb", opener=lambda path, flags: os.open(path, flags, 0o600 if private else 0o666)) as stream:
        for chunk in _blob(archive, sha256):
            stream.write(chunk)


def _blob(archive: Archive, sha256: str) -> Iterator[bytes]:
    running = hashlib.sha256()
    for chunk in archive.chunks(BLOBS + sha256):
        running.update(chunk)
        yield chunk
    if running.hexdigest() != sha256:
        archive.refuse(f"{BLOBS}{sha256} with the SHA-256 {running.hexdigest()}", "the file that was packed")


@opened_once()
def pack_case(case: Case, path: str, *, with_keys: bool = False, force: bool = False, name: str = "bundle") -> Bundle:
    """Write a case and every file it names into a bundle, which its user knows as *name*, whole or not at all.

    Key files are left out, except for their names, unless *with_keys* is set; then only its owner can read the bundle
    (mode 0600). Members are stored uncompressed, in a fixed order and with a fixed date, so the same case gives the
    same bytes everywhere. An existing file is replaced only with *force*, the case and its files never.

    Raises :class:`~sevlab.errors.InputError` for a file that cannot be read, is not the recorded one or is a key file,
    and if the bundle cannot be written.
    """
    protect_files(case)
    if case.path:
        note_input(case.path)
    check_output(path, name, force=force)
    keys = {key: value for key, value in case.inputs.items() if BY_NAME[key].kind == KEY}
    secrets = {key: _load_key(value, key) for key, value in keys.items()} if with_keys else {}
    text = format_case(_renamed(case, secrets, set(keys)))
    raw = encode_case(text, CASE)
    files = {sha256: (one, file) for one, file, sha256 in reversed(list(case.recorded))}
    sizes = {sha256: load_size(file, one) for sha256, (one, file) in files.items()}
    contents = {_sha256(key): key for key in secrets.values()}
    for sha256 in files.keys() & contents.keys():
        raise InputError(files[sha256][0].replace("_", "-"), "the file of a key", "another file")
    sizes |= {sha256: len(key) for sha256, key in contents.items()}
    if sum(sizes.values()) > TOTAL_LIMIT:
        raise InputError(quoted(case.path or path), f"{sum(sizes.values())} bytes of files", f"at most {TOTAL_LIMIT}")
    manifest = build_manifest(raw, sizes)
    with whole_file(path, name, force=force, private=bool(secrets)) as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(_member(MANIFEST), manifest.to_bytes())
        archive.writestr(_member(CASE), raw)
        for sha256 in sorted(sizes):
            if sha256 in files:
                _add_file(archive, *files[sha256], sha256, sizes[sha256])
            else:
                archive.writestr(_member(BLOBS + sha256), contents[sha256].reveal())
    return Bundle(path, parse_case(text, CASE), manifest, text)


def _load_key(value: Value, name: str) -> SecretBytes:
    """Return a key. A file that somebody else's case names outside its folder may be anything, and is refused."""
    if isinstance(value, CasePath) and value.is_outside:
        received = f"{quoted(value)}, outside the case's folder"
        raise InputError(name, received, "a key in the folder of the case", "--own-case, if the case is yours")
    return load_key(value, name, (1 + (name == "tk")) * KEY_SIZE)


def _sha256(key: SecretBytes) -> str:
    return hashlib.sha256(key.reveal()).hexdigest()


def _renamed(case: Case, secrets: dict[str, SecretBytes], keys: set[str]) -> Case:
    """Return the case as the bundle holds it: files by their hash, keys only those in *secrets*."""
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
    about = {key: without_folders(text, case) if key == "explanation" else text for key, text in case.about.items()}
    return case.replace(inputs=inputs, found=found, origin=origin, about=about)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _DATE)
    member.create_system, member.external_attr = _UNIX, _MODE
    return member


def _add_file(archive: zipfile.ZipFile, name: str, path: str, sha256: str, size: int) -> None:
    """Copy a file into the archive; refuse it if it is not the recorded one."""
    member, running, total = _member(BLOBS + sha256), hashlib.sha256(), 0
    member.file_size = size
    with open_input(path, name) as source, archive.open(member, "w") as target:
        while total <= BY_NAME[name].limit and (chunk := source.read(CHUNK)):  # the file may grow while it is read
            running.update(chunk)
            total += len(chunk)
            target.write(chunk)
    if running.hexdigest() != sha256 or total != size:
        change = Change(name, path, sha256, running.hexdigest())
        raise InputError(name.replace("_", "-"), str(change), "the file that the case was made with", "a new case")
