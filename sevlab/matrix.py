"""The matrix of beliefs: which release of a tool is right about which host, for one launch (incident F04).

Every cell is computed. The launch is folded under the profile that the release believes, and under the profile that
the host has; the cell says whether the two digests are equal. So the matrix of another firmware, or of one without a
kernel, may be another one.
"""

from __future__ import annotations

import os
import tempfile
from collections import namedtuple

from .errors import InputError, quoted
from .firmware import load_ovmf
from .formats.ovmf_tables import SECTION_TYPES
from .formats.policy import Policy
from .hosts import MODES, SEV_ES, SNP, hosts_of
from .inputs import parse_number
from .launch import load_launch
from .layout.span import Explainable
from .registers import CPU_LIMIT
from .releases import RELEASES, UNKNOWN, Belief
from .snp import SnpLaunch, load_snp_launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .hosts import Host
    from .layout.views import View
    from .releases import Release

EQUAL, OTHER, STOPS, NONE = "equal", "other", "stops", "none"
#: Every word that a cell can hold, and what it means.
WORDS = {
    EQUAL: "the release computes the digest of this host",
    OTHER: "it computes another digest, so the guest looks wrong though nothing is",
    STOPS: "it stops with an error at a section of this firmware",
    NONE: "it cannot describe such a host at all",
    UNKNOWN: "sevlab's sources do not tell what it believes",
}


class Cell(namedtuple("Cell", "state digest")):
    """What a release says about a host: a key of :data:`WORDS`, and the digest it computes (None where it has none)."""

    __slots__ = ()


class Row(namedtuple("Row", "release cells")):
    """One release, and its cell for each host in the order of the columns."""

    __slots__ = ()


class BeliefMatrix(Explainable):
    """Releases against hosts, for one launch.

    ``mode`` is "snp" or "seves"; ``hosts`` are the columns; ``digests`` are theirs; ``rows`` are the releases;
    ``launch`` says in words what was launched.
    """

    def __init__(self, mode: str, launch: str, hosts: list[Host], digests: list[bytes], rows: list[Row]) -> None:
        self.mode, self.launch, self.hosts, self.digests, self.rows = mode, launch, hosts, digests, rows

    def __getitem__(self, names: tuple[str, str]) -> Cell:
        """Return the cell of a release and a host, by their names."""
        release, host = names
        row = next(row for row in self.rows if row.release.name == release)
        cell: Cell = row.cells[[one.name for one in self.hosts].index(host)]
        return cell

    @property
    def letters(self) -> list[str]:
        """The columns' letters, from A on."""
        return [chr(ord("A") + number) for number in range(len(self.hosts))]

    @property
    def states(self) -> list[str]:
        """The words that occur in the cells, in the order of :data:`WORDS`."""
        found = {cell.state for row in self.rows for cell in row.cells}
        return [word for word in WORDS if word in found]

    def right_about(self, host: str) -> list[str]:
        """Return the names of the releases that compute the digest of this host."""
        return [row.release.name for row in self.rows if self[row.release.name, host].state == EQUAL]

    def as_dict(self) -> dict[str, Any]:
        """Return the matrix as JSON-ready data; digests are lower-case hex."""
        return {
            "mode": self.mode,
            "launch": self.launch,
            "hosts": [
                {**host.as_dict(), "digest": digest.hex()}
                for host, digest in zip(self.hosts, self.digests, strict=True)
            ],
            "releases": [
                {
                    "release": row.release.name,
                    "when": row.release.when,
                    "note": row.release.note,
                    "source": row.release.source,
                    "cells": {
                        host.name: {"state": cell.state, "digest": cell.digest.hex() if cell.digest else None}
                        for host, cell in zip(self.hosts, row.cells, strict=True)
                    },
                }
                for row in self.rows
            ],
            "words": {word: WORDS[word] for word in self.states},
        }

    def explain(self) -> View:
        """Show the matrix, its columns, and what the words in it mean."""
        from .layout.views import Heading, Paragraph, Table, View

        rows = [[row.release.name, *(cell.state for cell in row.cells)] for row in self.rows]
        columns = [
            [letter, host.name, digest.hex()[:16], f"{host.since}. {host.summary}"]
            for letter, host, digest in zip(self.letters, self.hosts, self.digests, strict=True)
        ]
        notes = [[row.release.name, row.release.when, row.release.note] for row in self.rows]
        return View(
            Heading(f"{MODES[self.mode]}: who is right about whom"),
            Paragraph(f"The launch: {self.launch}."),
            Table(["release", *self.letters], rows),
            Table(["word", "meaning"], [[word, WORDS[word]] for word in self.states]),
            Heading("The hosts"),
            Table(["", "host", "its digest begins", "since, and what it does"], columns, mono=[2]),
            Heading("The releases"),
            Table(["release", "when", "note"], notes),
        )


def belief_matrix(mode: str = SNP, names: Callable[[str], str] = str, **inputs: Any) -> BeliefMatrix:
    """Compute what every known release says about every known host, for one launch.

    *mode* is "snp" (SEV-SNP) or "seves" (SEV-ES). *inputs* are those of :func:`sevlab.load_snp_launch` but
    ``profile`` and ``guest_features``, which are the hosts' and the releases' own. Without any it is the launch of the
    SEV-SNP sample, its firmware without the section SVSM_CAA, at which every release before 0.0.11 stops. *names*
    turns an input's name into what its user calls it.

    Raises :class:`~sevlab.errors.InputError` for inputs that cannot be used.
    """
    if mode not in MODES:
        raise InputError(names("mode"), quoted(mode), " or ".join(MODES))
    for name in ("profile", "guest_features", "vmsa_cpu0", "vmsa_cpu1", "svsm"):
        if inputs.get(name) is not None:
            raise InputError(names(name), "it", "none: the hosts differ in just this")
    given = {name: value for name, value in inputs.items() if value is not None}
    for name in ("firmware", "kernel", "initrd"):
        path = str(given.get(name, ""))
        if path == "-" or (path and "\0" not in path and os.path.exists(path) and not os.path.isfile(path)):
            raise InputError(names(name), quoted(path), "the name of a file, which is read once for each host")
    if given:
        return _matrix(mode, names, given, quoted(given.get("firmware")))
    from .samples.sev import es_inputs
    from .samples.snp import firmware_for_snp

    with tempfile.TemporaryDirectory() as folder:
        given = es_inputs(folder)
        left_out = [number for number, kind in SECTION_TYPES.items() if kind.name == "SVSM_CAA"]
        with open(given["firmware"], "wb") as stream:
            stream.write(firmware_for_snp(left_out))
        return _matrix(mode, names, given, "the sample, its firmware without SVSM_CAA")


def _matrix(mode: str, names: Callable[[str], str], given: dict[str, Any], image: str) -> BeliefMatrix:
    known: dict[Belief, bytes] = {}

    def digest(belief: Belief) -> bytes:
        if belief not in known:
            known[belief] = _digest(mode, names, given, belief)
        return known[belief]

    hosts = hosts_of(mode)
    digests = [digest(Belief(host.profile, host.features)) for host in hosts]
    sections = {section.name for section in load_ovmf(str(given["firmware"]), names("firmware")).sections}
    rows = []
    for release in RELEASES:
        cells = [_cell(release, host, sections, digest, held) for host, held in zip(hosts, digests, strict=True)]
        if any(cell.state != NONE for cell in cells):
            rows.append(Row(release, cells))
    kernel = "a kernel with hashes" if "kernel" in given else "no kernel"
    count = parse_number(given["num_cpus"], names("num_cpus"), CPU_LIMIT)
    words = f"{image}, {kernel}, {count} virtual CPU{'s' if count != 1 else ''}"
    return BeliefMatrix(mode, words, hosts, digests, rows)


def _cell(
    release: Release, host: Host, sections: Iterable[str], digest: Callable[[Belief], bytes], held: bytes
) -> Cell:
    belief = release.beliefs.get((host.mode, host.vmm))
    if belief is None:
        return Cell(NONE, None)
    if belief == UNKNOWN:
        return Cell(UNKNOWN, None)
    if host.mode == SNP and release.stops & set(sections):
        return Cell(STOPS, None)
    computed = digest(belief)
    return Cell(EQUAL if computed == held else OTHER, computed)


def _digest(mode: str, names: Callable[[str], str], given: dict[str, Any], belief: Belief) -> bytes:
    """Return the launch digest of what is given, under a belief (48 bytes, for SEV-ES 32)."""
    inputs = {**given, "profile": belief.profile, "guest_features": belief.features}
    if mode == SEV_ES:
        return load_launch(Policy().replace(es=1), names, **inputs).digest
    launch = load_snp_launch(names, **inputs)
    loaded = [region for region in launch.regions if region.name not in belief.skips]
    return SnpLaunch(loaded, start=launch.start).digest
