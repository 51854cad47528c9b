"""Predicted digests: which release of a tool matches which host, for one launch (incident F04).

A tool that predicts a launch digest has the hosts of its time built in, so one guest has as many digests as there are
releases. Hosts and releases are data (data/releases.toml); both point to a profile (:mod:`~sevlab.launch.vmm`), which
declares registers and pages. Every cell is computed: the launch digest under the profile that the release assumes,
against the one under the host's profile. Another firmware, or a launch without a kernel, may give a different table.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

from ..data import HOSTS, INCIDENTS, MODES, RELEASES, UNKNOWN, Assumption, Host, Release
from ..errors import InputError, quoted
from ..formats.policy import Policy
from ..launch.inputs import LaunchInputs, load_launch, load_ovmf, parse_count
from ..launch.snp import SnpLaunch, load_snp_launch
from ..launch.vmm import SNP_PROFILES, find_profile
from ..layout.span import Explainable
from ..layout.views import Heading, Paragraph, Table, View
from .samples import es_inputs
from .snp_samples import SVSM_CAA, firmware_for_snp

EQUAL, OTHER, STOPS, NONE = "equal", "other", "stops", "none"
#: Every word in a cell, and what it means.
WORDS = {
    EQUAL: "the release computes the digest of this host",
    OTHER: "it computes a different digest, so the guest looks wrong although nothing is",
    STOPS: "it stops with an error at a section of this firmware",
    NONE: "it cannot describe such a host at all",
    UNKNOWN: "sevlab's sources do not say what it assumes",
}


@dataclass(frozen=True)
class Cell:
    """A release's answer for a host: a key of :data:`WORDS`, and the digest that it computes, if any."""

    state: str
    digest: bytes | None = None


@dataclass(frozen=True)
class Row:
    """One release, and its cell for each host, in the order of the columns."""

    release: Release
    cells: list[Cell]


class Predictions(Explainable):
    """Releases against hosts, for one launch.

    ``mode`` is "snp" or "seves"; ``hosts`` are the columns, ``digests`` theirs, ``rows`` the releases; ``launch``
    describes what was launched.
    """

    def __init__(self, mode: str, launch: str, hosts: list[Host], digests: list[bytes], rows: list[Row]) -> None:
        self.mode, self.launch, self.hosts, self.digests, self.rows = mode, launch, hosts, digests, rows

    def __getitem__(self, names: tuple[str, str]) -> Cell:
        """Return the cell of a release and a host, by their names."""
        release, host = names
        row = next(row for row in self.rows if row.release.name == release)
        return row.cells[[one.name for one in self.hosts].index(host)]

    @property
    def letters(self) -> list[str]:
        """The columns' letters, from A on."""
        return [chr(ord("A") + number) for number in range(len(self.hosts))]

    @property
    def states(self) -> list[str]:
        """The words that occur in the cells, in the order of :data:`WORDS`."""
        found = {cell.state for row in self.rows for cell in row.cells}
        return [word for word in WORDS if word in found]

    def as_dict(self) -> dict[str, object]:
        """Return the table as JSON-ready data; digests are lower-case hex."""
        hosts = zip(self.hosts, self.digests, strict=True)
        return {
            "mode": self.mode,
            "launch": self.launch,
            "hosts": [{**host_as_dict(host), "digest": digest.hex()} for host, digest in hosts],
            "releases": [
                {
                    "release": row.release.name,
                    **{name: getattr(row.release, name) for name in ("when", "note", "source")},
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
        """Show the table, its columns, and what its words mean."""
        rows = [[row.release.name, *(cell.state for cell in row.cells)] for row in self.rows]
        columns = [
            [letter, host.name, digest.hex()[:16], f"{host.since}. {summary_of(host)}"]
            for letter, host, digest in zip(self.letters, self.hosts, self.digests, strict=True)
        ]
        notes = [[row.release.name, row.release.when, row.release.note] for row in self.rows]
        return View(
            Heading(f"{MODES[self.mode]}: which release matches which host"),
            Paragraph(f"The launch: {self.launch}."),
            Table(["release", *self.letters], rows),
            Table(["word", "meaning"], [[word, WORDS[word]] for word in self.states]),
            Heading("The hosts"),
            Table(["", "host", "its digest begins", "since, and what it does"], columns, mono=[2]),
            Heading("The releases"),
            Table(["release", "when", "note"], notes),
        )


def compute_predictions(mode: str = "snp", **inputs: Any) -> Predictions:
    """Compute what every known release says about every known host, for one launch.

    *mode* is "snp" (SEV-SNP) or "seves" (SEV-ES). *inputs* are those of :func:`sevlab.load_snp_launch`, except
    ``profile`` and ``guest_features``, which the table varies. By default they are those of the SEV-SNP sample, with a
    firmware without the section SVSM_CAA, at which every release before 0.0.11 stops.

    Raises :class:`~sevlab.errors.InputError` for unusable inputs.
    """
    if mode not in MODES:
        raise InputError("mode", quoted(mode), " or ".join(MODES))
    launch = LaunchInputs(**inputs)
    for name in ("profile", "guest_features", "vmsa_cpu0", "vmsa_cpu1", "svsm"):
        if name in launch.given:
            raise InputError(name, "a value", "none, because the table varies it")
    for name in ("firmware", "kernel", "initrd"):
        path = str(launch.given.get(name, ""))
        if path == "-" or (path and "\0" not in path and os.path.exists(path) and not os.path.isfile(path)):
            raise InputError(name, quoted(path), "the name of a file, which is read once for each host")
    if launch.given:
        return _predictions(mode, launch, quoted(launch.firmware))
    with tempfile.TemporaryDirectory() as folder:
        launch = es_inputs(folder, firmware_for_snp([SVSM_CAA]))
        return _predictions(mode, launch, "the sample, its firmware without SVSM_CAA")


def _predictions(mode: str, launch: LaunchInputs, image: str) -> Predictions:
    digest = cache(partial(_digest, mode, launch))
    hosts = [host for host in HOSTS.values() if host.mode == mode]
    digests = [digest(Assumption(host.profile, host.features)) for host in hosts]
    sections = {section.name for section in load_ovmf(str(launch.firmware), "firmware").sections}
    rows = []
    for release in RELEASES:
        cells = [_cell(release, host, sections, digest, held) for host, held in zip(hosts, digests, strict=True)]
        if any(cell.state != NONE for cell in cells):
            rows.append(Row(release, cells))
    kernel = "no kernel" if launch.kernel is None else "a kernel with hashes"
    count = parse_count(launch.num_cpus or 0)
    words = f"{image}, {kernel}, {count} virtual CPU{'s' if count != 1 else ''}"
    return Predictions(mode, words, hosts, digests, rows)


def _cell(release: Release, host: Host, sections: set[str], digest: Callable[[Assumption], bytes], held: bytes) -> Cell:
    if (host.mode, host.vmm) not in release.assumes:
        return Cell(NONE)
    assumed = release.assumes[host.mode, host.vmm]
    if assumed is None:
        return Cell(UNKNOWN)
    if host.mode == "snp" and release.stops & sections:
        return Cell(STOPS)
    computed = digest(assumed)
    return Cell(EQUAL if computed == held else OTHER, computed)


def _digest(mode: str, inputs: LaunchInputs, assumed: Assumption) -> bytes:
    """Return the launch digest under an assumption (48 bytes, for SEV-ES 32)."""
    given = inputs.replace(profile=assumed.profile, guest_features=assumed.features).given
    if mode == "seves":
        return load_launch(Policy().replace(es=1), **given).digest
    launch = load_snp_launch(**given)
    loaded = [region for region in launch.regions if region.name not in assumed.skips]
    return SnpLaunch(loaded, start=launch.start).digest


def summary_of(host: Host) -> str:
    """Return what a host does, in one sentence."""
    return host.summary or SNP_PROFILES[host.profile].summary


def host_as_dict(host: Host) -> dict[str, object]:
    """Return a host as JSON-ready data."""
    incidents = [INCIDENTS[key].name for key in host.incidents]
    return {**asdict(host), "summary": summary_of(host), "incidents": incidents}


def _assuming(name: str) -> list[tuple[Release, str, str, int]]:
    """Return the releases that assume a profile, each with mode, VMM and SEV_FEATURES."""
    return [
        (release, mode, vmm, assumed.features)
        for release in RELEASES
        for (mode, vmm), assumed in release.assumes.items()
        if assumed is not None and assumed.profile == name
    ]


def profile_as_dict(name: str) -> dict[str, object]:
    """Return a profile, its hosts, and the releases that assume it, as JSON-ready data; InputError if it is unknown."""
    profile = find_profile(name, "NAME", SNP_PROFILES)
    hosts = [host for host in HOSTS.values() if host.profile == name]
    return {
        **{part: getattr(profile, part) for part in ("name", "summary", "since", "source")},
        "modes": sorted({host.mode for host in hosts}),
        "sev_features": profile.features,
        "rdx": "the CPU signature" if profile.takes_signature else f"0x{profile.registers['rdx']:x}",
        "pages": profile.pages.text,
        "registers": _registers(profile.registers),
        "application_processors": _registers(profile.application),
        "hosts": [host.name for host in hosts],
        "releases": [
            {"release": release.name, "mode": mode, "vmm": vmm, "sev_features": features, "source": release.source}
            for release, mode, vmm, features in _assuming(name)
        ],
        "incidents": [INCIDENTS[key].name for key in _incidents(hosts)],
    }


def _incidents(hosts: Iterable[Host]) -> list[str]:
    return list(dict.fromkeys(key for host in hosts for key in host.incidents))


def _registers(values: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: value if isinstance(value, int) else {row.name: int(getattr(value, row.name)) for row in value.rows}
        for name, value in values.items()
    }


def explain_profile(name: str) -> View:
    """Show a profile, its hosts, the releases that assume it, and its incidents; InputError if it is unknown."""
    profile, words = find_profile(name, "NAME", SNP_PROFILES), "{}, {}, SEV_FEATURES 0x{:x}".format
    known = [host for host in HOSTS.values() if host.profile == name]
    hosts = [
        [host.name, words(MODES[host.mode], host.vmm, host.features), f"{host.since} ({host.source})"] for host in known
    ]
    releases = [
        [release.name, words(MODES[mode], vmm, features), release.source]
        for release, mode, vmm, features in _assuming(name)
    ]
    found = [INCIDENTS[key] for key in _incidents(known)]
    ended = {one.key: one.title + "." * (not one.title.endswith("?")) for one in found}
    incidents = [[one.key, f"{ended[one.key]} {one.lesson} ({one.source}, {one.date})"] for one in found]

    def table(header: list[str], rows: list[list[str]]) -> Table | Paragraph:
        return Table(header, rows) if rows else Paragraph("None that sevlab knows of.")

    return View(
        *profile.explain().blocks,
        Heading("Hosts with this profile"),
        table(["host", "mode", "since, and source"], hosts),
        Heading("Releases of tools that assume it"),
        table(["release", "for", "source"], releases),
        Heading("Public incidents"),
        table(["", "what happened"], incidents),
    )
