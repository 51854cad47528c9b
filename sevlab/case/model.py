"""One launch's inputs, and whether its files are still the same."""

from __future__ import annotations

import hashlib
from collections import namedtuple

from ..digest import CHUNK
from ..errors import InputError, quoted
from ..inputs import open_input
from .rows import BY_NAME, FILE, FILE_LIMIT, LAUNCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

# Inputs that stand for each other: giving one side on the command line drops the other side of the case.
_ALTERNATIVES = (
    ({"tk"}, {"tik", "tek"}),
    ({"vmsa_cpu0", "vmsa_cpu1"}, {"cpu_family", "cpu_model", "cpu_stepping"}),
    ({"chain"}, {"ask", "ark"}),
)


class Change(namedtuple("Change", "name path recorded now")):
    """A file that is not the one the case was made with. ``now`` is its SHA-256 today, "" when it can't be read."""

    __slots__ = ()

    def __str__(self) -> str:
        if not self.now:
            return f"{self.name}: {quoted(self.path)} can't be read now; the case recorded SHA-256 {self.recorded}"
        return f"{self.name}: {quoted(self.path)} has changed: recorded SHA-256 {self.recorded}, now {self.now}"


class Case:
    """Every input of one launch.

    ``inputs`` maps the keys of the case, with ``_`` for ``-``, to values: the measurement as base64 text, numbers as
    int, files and key files as paths that can be opened from here. ``hashes`` maps the names of files to
    their recorded SHA-256 (hex). ``origin`` tells in words where a value came from. ``path`` is the case file itself.
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        hashes: Mapping[str, str] | None = None,
        origin: Mapping[str, str] | None = None,
        path: str = "",
    ) -> None:
        unknown = sorted({*inputs, *(hashes or {}), *(origin or {})} - set(BY_NAME))
        if unknown:
            raise TypeError(f"a case has no input named {unknown[0]!r}")
        self.inputs = {name: inputs[name] for name in BY_NAME if name in inputs}
        self.hashes, self.origin, self.path = dict(hashes or {}), dict(origin or {}), path

    @property
    def changed(self) -> list[Change]:
        """The files whose SHA-256 is no longer the recorded one, read now. Never raises.

        A changed file is a finding, not an error: which file changed is often just what one is looking for.
        """
        changes = []
        for name, recorded in self.hashes.items():
            path = self.inputs[name]
            try:
                now = hash_file(path, name, BY_NAME[name].limit)
            except InputError:
                now = ""
            if now != recorded:
                changes.append(Change(name, path, recorded, now))
        return changes

    def part(self, sections: Sequence[str] = LAUNCH) -> dict[str, Any]:
        """Return the inputs of some sections, those of a launch of SEV and SEV-ES unless told otherwise."""
        return {name: value for name, value in self.inputs.items() if BY_NAME[name].section in sections}

    def merged(self, given: Mapping[str, Any], sections: Sequence[str] = LAUNCH) -> tuple[dict[str, Any], list[str]]:
        """Return the inputs of *sections* with *given* options laid over them, and the names of those so replaced.

        Values of None count as not given. ``tk`` replaces ``tik`` and ``tek`` and the other way round, and so do save
        areas and the CPU's family, model and stepping.
        """
        explicit = {name: value for name, value in given.items() if value is not None}
        dropped = set(explicit)
        for one, other in _ALTERNATIVES:
            dropped |= other if one & set(explicit) else set()
            dropped |= one if other & set(explicit) else set()
        mine = self.part(sections)
        kept = {name: value for name, value in mine.items() if name not in dropped}
        return {**kept, **explicit}, [name for name in mine if name in dropped]

    def __repr__(self) -> str:
        return f"Case({self.path!r}, {', '.join(self.inputs) or 'empty'})"


def hash_file(path: str, name: str, limit: int = FILE_LIMIT) -> str:
    """Return the SHA-256 of a file as hex; raise :class:`~sevlab.errors.InputError` when it can't be read."""
    running, total = hashlib.sha256(), 0
    with open_input(path, name) as stream:
        while chunk := stream.read(CHUNK):
            running.update(chunk)
            total += len(chunk)
            if total > limit:
                raise InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")
    return running.hexdigest()


def make_case(inputs: Mapping[str, Any], origin: Mapping[str, str] | None = None) -> Case:
    """Return a case of *inputs*, with the SHA-256 of every file as it is now. Key files are not opened."""
    files = {name: str(value) for name, value in inputs.items() if BY_NAME[name].kind == FILE}
    hashes = {name: hash_file(path, name, BY_NAME[name].limit) for name, path in files.items()}
    return Case(inputs, hashes, origin)
