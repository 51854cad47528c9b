"""Reading bundles and unpacking them: every hash is checked, and nothing is left half done."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager

from ..case import BY_NAME, Case, is_bundle, parse_case, read_case
from ..case.rows import FILE, KEY
from ..errors import InputError, quoted
from ..inputs import TEXT_LIMIT
from ..keys import Secret
from ..leftovers import temporary_folder
from ..writing import refuse_key_name
from .archive import BLOBS, CASE, MANIFEST, Archive, open_archive
from .manifest import Manifest, parse_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn


class Bundle:
    """A bundle that was read and checked. Made by :func:`load_bundle`.

    ``case`` is its case, whose paths are the names of members; ``manifest`` lists the files; ``text`` is the case file
    as it is written.
    """

    def __init__(self, path: str, case: Case, manifest: Manifest, text: str) -> None:
        self.path, self.case, self.manifest, self.text = path, case, manifest, text

    @property
    def keys(self) -> list[str]:
        """The names of keys that are in it."""
        return [name for name in self.case.inputs if BY_NAME[name].kind == KEY]

    def __repr__(self) -> str:
        return f"Bundle({self.path!r}, {len(self.manifest.blobs)} blobs)"


def load_bundle(path: str, name: str = "bundle") -> Bundle:
    """Read a bundle, all of it, and check every hash. Nothing is written anywhere.

    Raises one :class:`~sevlab.errors.InputError`, which names the file, for whatever does not belong.
    """
    with open_archive(path, name) as archive:
        bundle = _read(archive)
        for sha256 in bundle.manifest.blobs:
            _copy(archive, sha256, None)
    return bundle


def unpack_bundle(path: str, folder: str, name: str = "bundle", own: bool = False) -> Case:
    """Unpack a bundle into a new folder, whole or not at all, and return its case: the user's *own*, or a stranger's.

    The folder gets the members as they are: ``case.toml``, ``manifest.json`` and ``blobs/``. It appears under its name
    when everything was checked. Raises :class:`~sevlab.errors.InputError` as :func:`load_bundle`, and for a folder that
    exists or cannot be made.
    """
    refuse_key_name(folder, "folder")
    if os.path.lexists(folder):
        raise InputError(quoted(folder, 200), "a folder or file that exists", "the name of a new folder")
    with open_archive(path, name) as archive:
        bundle = _read(archive)
        try:
            with temporary_folder(".sevlab-", os.path.dirname(os.path.abspath(folder))) as temporary:
                _fill(archive, bundle, temporary)
                for key in {str(bundle.case.inputs[name]) for name in bundle.keys}:
                    _copy(archive, key.removeprefix(BLOBS), os.path.join(temporary, key), private=True)
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(temporary, 0o777 & ~mask)
                os.rename(temporary, folder)
        except (OSError, ValueError) as error:
            reason = (error.strerror or "error").lower() if isinstance(error, OSError) else "not a file name"
            raise InputError(quoted(folder, 200), reason, "a folder that can be made") from None
    return read_case(os.path.join(folder, CASE), own=own).replace(bundled=True)


@contextmanager
def open_case(path: str, name: str = "case", own: bool = False) -> Iterator[Case]:
    """Yield the case of a case file, of a folder that has one, or of a bundle, its files being there to be opened.

    A bundle is unpacked into a temporary folder, which is gone afterwards. Its keys are not among the files: they stay
    in memory, and are inputs of the case as a :class:`~sevlab.Secret` instead of a path. *own* says that the case is
    its user's own: see :class:`~sevlab.Case`.
    """
    if os.path.isdir(path):
        case = read_case(os.path.join(path, CASE), name, own)
        yield case.replace(bundled=os.path.exists(os.path.join(path, MANIFEST)))
    elif is_bundle(path):
        with temporary_folder() as folder:
            yield _case_in(folder, path, name, own)
    else:
        yield read_case(path, name, own)


def _case_in(folder: str, path: str, name: str, own: bool) -> Case:
    """Return the case of a bundle, its files in *folder*, its keys in memory."""
    with open_archive(path, name) as archive:
        bundle = _read(archive)
        try:
            _fill(archive, bundle, folder)
        except OSError as error:
            reason = f"{(error.strerror or 'error').lower()}, in the folder for temporary files"
            raise InputError(name, reason, "room to unpack a bundle", "TMPDIR=FOLDER") from None
        keys = {key: _load_key(archive, str(bundle.case.inputs[key])) for key in bundle.keys}
    case = read_case(os.path.join(folder, CASE), own=own)
    return case.replace(inputs=case.inputs | keys, bundled=True)


def _read(archive: Archive) -> Bundle:
    """Read manifest and case, and check them against each other and against the members."""
    manifest = parse_manifest(archive.read(MANIFEST), f"{quoted(archive.path, 200)}, {MANIFEST}")
    raw = archive.read(CASE)
    if manifest.case != (hashlib.sha256(raw).hexdigest(), len(raw)):
        archive.refuse(f"{CASE} with another SHA-256 or size than the manifest says", "the file that was packed")
    sizes = {name.removeprefix(BLOBS): size for name, size in archive.sizes.items() if name.startswith(BLOBS)}
    if sizes != manifest.blobs:
        odd = sorted(dict(sizes.items() ^ manifest.blobs.items()))
        archive.refuse(f"{BLOBS}{odd[0]}, of which manifest and archive say different things", "the same in both")
    try:
        text = raw.decode("utf-8")
        case = parse_case(text, CASE)
    except UnicodeDecodeError:
        archive.refuse(f"{CASE} that is not UTF-8 text", "a case file")
    except InputError as error:
        raise InputError(
            f"{quoted(archive.path, 200)}: {error.input}", error.received, error.needed, error.advice
        ) from None
    _check(archive, case, sizes)
    return Bundle(archive.path, case, manifest, text)


def _check(archive: Archive, case: Case, sizes: dict[str, int]) -> None:
    """Check that the case names every blob, by its own hash, and nothing else."""

    def refuse(name: str, received: str, needed: str) -> NoReturn:
        archive.refuse(f"{CASE}, {name.replace('_', '-')}: {received}", needed)

    named: set[str] = set()
    keys: set[str] = set()
    for inputs, hashes in ((case.inputs, case.hashes), (case.found, case.found_hashes)):
        for name, value in inputs.items():
            kind = BY_NAME[name].kind
            if kind == KEY or (kind == FILE and name in hashes):
                sha256 = str(value).removeprefix(BLOBS)
                if value != BLOBS + sha256 or sha256 not in sizes:
                    refuse(name, f"the path {quoted(value)}", f"{BLOBS} and the SHA-256 of a file in the bundle")
                if kind == FILE and hashes[name] != sha256:
                    refuse(name, f"the path of another file than its sha256, {hashes[name]}", "the same in both")
                limit = TEXT_LIMIT if kind == KEY else BY_NAME[name].limit
                if sizes[sha256] > limit:
                    refuse(name, f"a file of {sizes[sha256]} bytes", f"at most {limit}")
                (keys if kind == KEY else named).add(sha256)
    if both := sorted(keys & named):
        archive.refuse(f"{BLOBS}{both[0]}, which is a key and something else too", "keys that are nothing else")
    named |= keys
    if stray := sorted(set(sizes) - named):
        archive.refuse(f"{BLOBS}{stray[0]}, which {CASE} does not name", "only files of the case")


def _fill(archive: Archive, bundle: Bundle, folder: str) -> None:
    """Write every member of a bundle but its keys into a folder that is new."""
    os.mkdir(os.path.join(folder, BLOBS))
    for name in (MANIFEST, CASE):
        with open(os.path.join(folder, name), "xb") as stream:
            stream.write(archive.read(name))
    keys = {str(bundle.case.inputs[name]) for name in bundle.keys}
    for sha256 in bundle.manifest.blobs:
        if BLOBS + sha256 not in keys:
            _copy(archive, sha256, os.path.join(folder, BLOBS, sha256))


def _load_key(archive: Archive, member: str) -> Secret:
    """Return a key of a bundle, which gets to no disk."""
    key = Secret(archive.read(member))
    if BLOBS + hashlib.sha256(key.reveal()).hexdigest() != member:
        archive.refuse(f"{member} with another SHA-256", "the file that was packed")
    return key


def _copy(archive: Archive, sha256: str, path: str | None, private: bool = False) -> None:
    """Read a blob, into a new file if *path* is given, and check its hash. A *private* one is its owner's alone."""
    running = hashlib.sha256()
    if path is None:
        for chunk in archive.chunks(BLOBS + sha256):
            running.update(chunk)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            for chunk in archive.chunks(BLOBS + sha256):
                running.update(chunk)
                stream.write(chunk)
    if running.hexdigest() != sha256:
        archive.refuse(f"{BLOBS}{sha256} with the SHA-256 {running.hexdigest()}", "the file that was packed")
