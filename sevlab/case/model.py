"""One launch's inputs, where they come from, what was found about them, and whether its files are still the same."""

from __future__ import annotations

from collections import namedtuple

from ..digest import Sha256
from ..errors import InputError, quoted
from ..formats.policy import Policy
from ..launch_inputs import INPUTS, SKU, SNP_INPUTS
from ..outcome import Trust
from ..reading import CHUNK, CasePath, open_input
from .rows import ABOUT, BY_NAME, FILE, FILE_LIMIT, KEY, LAUNCH, SNP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Self

#: Inputs that stand for each other: giving one side on the command line drops the other side of the case.
_ALTERNATIVES = (
    ({"tk"}, {"tik", "tek"}),
    ({"vmsa_cpu0", "vmsa_cpu1"}, {*SKU, "cpu_signature"}),
    ({"cpu_signature"}, {*SKU}),
    ({"digest"}, {"firmware", "kernel", "initrd", "cmdline"}),
    ({"vars_size"}, {"vars_file"}),
    ({"report"}, {"reported_measurement"}),
    ({"chain"}, {"ask", "ark"}),
)
#: What says something about an input that another file would make untrue.
_DEPENDS = {"firmware": {"ovmf_hash"}}


class Change(namedtuple("Change", "name path recorded now")):
    """A file that is not the one the case was made with. ``now`` is its SHA-256 today, "" when it can't be read."""

    __slots__ = ()

    def __str__(self) -> str:
        if not self.now and isinstance(self.path, CasePath) and self.path.is_outside:
            where = "is not in the folder of the case, and need not be the recorded file"
            return f"{self.name}: {quoted(self.path)} {where}, SHA-256 {self.recorded}"
        if not self.now:
            return f"{self.name}: {quoted(self.path)} can't be read now; the case recorded SHA-256 {self.recorded}"
        return f"{self.name}: {quoted(self.path)} has changed: recorded SHA-256 {self.recorded}, now {self.now}"


class Case:
    """Every input of one launch.

    ``inputs`` maps the keys of the case, with ``_`` for ``-``, to values: the measurement as base64 text, numbers as
    int, bytes as bytes, files and key files as paths that can be opened from here, a key out of a
    bundle as a :class:`~sevlab.Secret`, a kernel or initrd of which only the
    hash is known as :class:`~sevlab.digest.Sha256`. ``hashes`` maps the names of files to their recorded SHA-256 (hex).
    ``origin`` tells in words where a value came from, ``about`` whatever else is to be told. ``found`` are the inputs
    under which the computed value is the reported one, None for an input that must go; ``found_hashes`` are the hashes
    of files among them. ``path`` is the case file itself. ``own`` says that the case is its user's own: its keys and
    wishes are trusted, and files that it names anywhere are opened. ``bundled`` says that its files came with it, in a
    bundle or in the folder of one that was unpacked.
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        hashes: Mapping[str, str] | None = None,
        origin: Mapping[str, str] | None = None,
        path: str = "",
        about: Mapping[str, str] | None = None,
        found: Mapping[str, Any] | None = None,
        found_hashes: Mapping[str, str] | None = None,
        own: bool = False,
        bundled: bool = False,
    ) -> None:
        found = found or {}
        unknown = sorted({*inputs, *(hashes or {}), *(origin or {}), *found, *(found_hashes or {})} - set(BY_NAME))
        if unknown:
            raise TypeError(f"a case has no input named {unknown[0]!r}")
        if unknown := sorted(set(about or {}) - {row.name for row in ABOUT}):
            raise TypeError(f"a case has nothing about itself named {unknown[0]!r}")
        self.inputs = {name: inputs[name] for name in BY_NAME if name in inputs}
        self.found = {name: found[name] for name in BY_NAME if name in found}
        self.hashes, self.found_hashes, self.origin = dict(hashes or {}), dict(found_hashes or {}), dict(origin or {})
        self.about, self.path = dict(about or {}), path
        self.own, self.bundled = own, bundled

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some of its parts replaced, by the names of the constructor."""
        names = ("inputs", "hashes", "origin", "path", "about", "found", "found_hashes", "own", "bundled")
        if unknown := sorted(set(changes) - set(names)):
            raise TypeError(f"a case has no part named {unknown[0]!r}")
        return type(self)(**{name: changes.get(name, getattr(self, name)) for name in names})

    @property
    def mode(self) -> str:
        """What was launched: a key of ``MODES``, told by the inputs where the case does not; "" when nothing tells."""
        if "mode" in self.inputs:
            return str(self.inputs["mode"])
        if "svsm" in self.inputs:
            return "snp:svsm"
        if "policy" in self.inputs:
            return "seves" if Policy(self.inputs["policy"]).es else "sev"
        return "snp" if {"report", "reported_measurement", "ovmf_hash"} & set(self.inputs) else ""

    @property
    def is_snp(self) -> bool:
        """Whether the case is about SEV-SNP."""
        return self.mode.startswith("snp")

    @property
    def files(self) -> dict[str, str]:
        """The paths of all files by their SHA-256 (hex), those found among them; key files are not in it."""
        pairs = [(self.inputs, self.hashes), (self.found, self.found_hashes)]
        return {sha256: inputs[name] for inputs, hashes in pairs for name, sha256 in hashes.items()}

    @property
    def changed(self) -> list[Change]:
        """The files whose SHA-256 is no longer the recorded one, read now. Never raises.

        A changed file is a finding, not an error: which file changed is often just what one is looking for.
        """
        changes = []
        for inputs, hashes in ((self.inputs, self.hashes), (self.found, self.found_hashes)):
            for name, recorded in hashes.items():
                path = inputs[name]
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

    @property
    def snp_launch(self) -> dict[str, Any]:
        """The inputs of a SEV-SNP launch, as :func:`sevlab.load_snp_launch` takes them."""
        names = {*INPUTS, *SNP_INPUTS, "cpu_signature"}
        return {name: value for name, value in self.inputs.items() if name in names}

    @property
    def explained(self) -> Self:
        """The case with what was found in place of what was given."""
        given = {name: value for name, value in self.found.items() if value is not None}
        dropped = _dropped(given) | set(self.found)
        kept = {name: value for name, value in self.inputs.items() if name not in dropped}
        hashes = {name: value for name, value in self.hashes.items() if name in kept} | self.found_hashes
        return self.replace(inputs=kept | given, hashes=hashes, found={}, found_hashes={})

    def merged(self, given: Mapping[str, Any], sections: Sequence[str] = LAUNCH) -> tuple[dict[str, Any], list[str]]:
        """Return the inputs of *sections* with *given* options laid over them, and the names of those so replaced.

        Values of None count as not given. ``tk`` replaces ``tik`` and ``tek`` and the other way round, and so do save
        areas and the CPU's family, model and stepping.
        """
        explicit = {name: value for name, value in given.items() if value is not None}
        dropped = set(explicit) | _dropped(explicit)
        mine = self.part(sections)
        kept = {name: value for name, value in mine.items() if name not in dropped}
        return {**kept, **explicit}, [name for name in mine if name in dropped]

    def trust(self, given: Mapping[str, Any] | None = None, sections: Sequence[str] = LAUNCH) -> Trust:
        """Return what a verdict takes on this case's word: keys, and what is wanted, where *given* does not replace it.

        The arguments are those of :meth:`merged`.
        """
        merged, replaced = self.merged(given or {}, sections)
        kept = [BY_NAME[name] for name in merged if self.inputs.get(name, False) is not False and name not in replaced]
        return Trust(
            tuple(row.key for row in kept if row.kind == KEY or (row.section in SNP and row.kind != FILE)),
            self.bundled,
            self.own,
        )

    def __repr__(self) -> str:
        return f"Case({self.path!r}, {', '.join(self.inputs) or 'empty'})"


def _dropped(names: Iterable[str]) -> set[str]:
    """Return the inputs that these ones stand for, or make untrue."""
    given = set(names)
    dropped: set[str] = set()
    for one, other in _ALTERNATIVES:
        dropped |= other if one & given else set()
        dropped |= one if other & given else set()
    for name in given & set(_DEPENDS):
        dropped |= _DEPENDS[name]
    return dropped


def hash_file(path: str, name: str, limit: int = FILE_LIMIT) -> str:
    """Return the SHA-256 of a file as hex; raise :class:`~sevlab.errors.InputError` when it can't be read."""
    with open_input(path, name, hashed=True) as stream:
        total = 0
        while stream.hashed is None and total <= limit and (chunk := stream.read(CHUNK)):
            total += len(chunk)
        if stream.hashed is None or stream.hashed[0] > limit:
            raise InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")
        return str(stream.hashed[1].copy().hexdigest())


def hash_files(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 (hex) of every file among *inputs*, as it is now. Key files are not opened."""
    files = {name: value for name, value in inputs.items() if BY_NAME[name].kind == FILE}
    paths = {name: str(value) for name, value in files.items() if value is not None and not isinstance(value, Sha256)}
    return {name: hash_file(path, name, BY_NAME[name].limit) for name, path in paths.items()}


def make_case(
    inputs: Mapping[str, Any], origin: Mapping[str, str] | None = None, about: Mapping[str, str] | None = None
) -> Case:
    """Return a case of *inputs*, with the SHA-256 of every file as it is now. Key files are not opened.

    It is the caller's own: see :class:`Case`.
    """
    return Case(inputs, hash_files(inputs), origin, about=about, own=True)
