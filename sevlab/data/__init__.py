"""Facts with sources: public incidents, advisories, hosts and tool releases, from the TOML files beside this module.

    from sevlab.data import INCIDENTS
    INCIDENTS["F01"].lesson

Each table is read when it is first used. Code that must start fast (validate, explain, digest, diagnose) imports from
here only when it prints an incident.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    INCIDENTS: dict[str, Incident]
    ADVISORIES: dict[str, Advisory]
    HOSTS: dict[str, Host]
    RELEASES: tuple[Release, ...]
    #: What a file is by its first bytes (place, bytes), and by the label of PEM: what it is called, and what helps.
    STARTS: list[tuple[int, bytes, str, str]]
    LABELS: dict[str, list[str]]

#: How sure an entry, a number or a fix is. Without a source it is unknown.
VERIFIED, UNVERIFIED, UNKNOWN = "verified", "unverified", "unknown"
#: EPYC of the 1st to the 5th generation, Zen 1 to Zen 5; sources often give the number.
PRODUCTS = ("Naples", "Rome", "Milan", "Genoa", "Turin")
#: Those with SEV-SNP.
SNP_PRODUCTS = PRODUCTS[2:]
TECHNOLOGIES = SEV, SEV_ES, SEV_SNP = "SEV", "SEV-ES", "SEV-SNP"
#: Modes of a launch in which registers are measured, by the names of ``sevlab digest --mode``.
MODES = {"snp": SEV_SNP, "seves": SEV_ES}
#: What has the fault, by default.
PLATFORM = "platform"
#: There is no fix. The default is unknown.
NO_FIX = "none"


@dataclass(frozen=True)
class Incident:
    """A public incident that a mismatch may resemble. Its key is its number in sevlab's facts and notebooks."""

    key: str
    title: str
    source: str
    link: str
    #: As precisely as known.
    date: str
    #: One sentence.
    lesson: str
    cause: str = ""
    notebook: str = ""
    #: Without a bundle: what can be reproduced, or why nothing can.
    reproduced: str = ""
    #: Published launch digests, of the reporter's own firmware (48 bytes, hex).
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The incident in one phrase, with its source."""
        return f"{self.key} '{self.title}' ({self.source}, {self.date})"


@dataclass(frozen=True)
class Firmware:
    """Fixed from a version of the SEV firmware on: (API major, API minor, build)."""

    product: str
    fixed: tuple[int, ...]
    #: The last version known to have the fault; None: the one before ``fixed``.
    broken: tuple[int, ...] | None = None
    mark: str = VERIFIED

    @property
    def words(self) -> str:
        return f"firmware {'.'.join(map(str, self.fixed))} or newer on {self.product}"


@dataclass(frozen=True)
class Svn:
    """Fixed from a security version number on: ``part`` of REPORTED_TCB is at least ``least``."""

    product: str
    part: str
    least: int
    mark: str = VERIFIED

    @property
    def words(self) -> str:
        return f"{self.part} {self.least} or above in REPORTED_TCB on {self.product}"


@dataclass(frozen=True)
class PolicyBit:
    """Fixed by a bit of the guest policy (``name`` as in the policy's layout) with this value."""

    technologies: tuple[str, ...]
    name: str
    value: int
    mark: str = VERIFIED

    @property
    def words(self) -> str:
        return f"policy bit {self.name.upper()} = {self.value}"


@dataclass(frozen=True)
class PlatformBit:
    """Fixed if a bit of a report's PLATFORM_INFO is set; reports have it from version ``since`` on."""

    name: str
    since: int
    mark: str = VERIFIED

    @property
    def words(self) -> str:
        return f"{self.name.upper()} in PLATFORM_INFO"


Fix = Firmware | Svn | PolicyBit | PlatformBit
_FIXES: dict[str, type[Fix]] = {"firmware": Firmware, "svn": Svn, "policy": PolicyBit, "platform": PlatformBit}


@dataclass(frozen=True)
class Advisory:
    """One public vulnerability: what it needs, what fixes it, and how sure that is."""

    key: str
    title: str
    #: CVE and AMD bulletin numbers, each with its mark.
    ids: dict[str, str]
    date: str
    #: Those that a source names, each with its mark.
    products: dict[str, str]
    #: Those that it affects.
    technologies: tuple[str, ...]
    #: Each is enough by itself.
    fixes: tuple[Fix, ...]
    #: What a guest's owner can check.
    check: str
    source: str
    link: str
    #: What has the fault.
    part: str = PLATFORM
    #: If no fix decides: :data:`NO_FIX` or :data:`UNKNOWN`.
    open: str = UNKNOWN
    #: What is needed in addition to a fix.
    doubts: tuple[Fix, ...] = ()
    mark: str = VERIFIED

    @property
    def name(self) -> str:
        """Key, title and numbers in one phrase."""
        known = ", ".join(one if mark == VERIFIED else f"{one} ({mark})" for one, mark in self.ids.items())
        return f"{self.key} {self.title}" + (f" ({known})" if known else "")

    @property
    def short(self) -> str:
        """Key, title and the first number, for one line."""
        first = next(iter(self.ids), "")
        return f"{self.key} {self.title}" + (f" ({first})" if first else "")

    def as_dict(self) -> dict[str, object]:
        """Return the entry as JSON-ready data."""
        fixes, doubts = (
            [{"kind": type(one).__name__, "words": one.words, **asdict(one)} for one in some]
            for some in (self.fixes, self.doubts)
        )
        data = {name: value for name, value in asdict(self).items() if name != "fixes"}
        return {**data, "cures": fixes, "doubts": doubts}


@dataclass(frozen=True)
class Host:
    """A behaviour of hosts in the field. Its profile says what it does to registers and pages."""

    name: str
    #: "snp" or "seves".
    mode: str
    #: The name in sev-snp-measure.
    vmm: str
    profile: str
    #: The default SEV_FEATURES.
    features: int
    since: str
    source: str
    link: str
    #: Keys of :data:`INCIDENTS`.
    incidents: tuple[str, ...]
    #: If it differs from the profile's.
    summary: str = ""


@dataclass(frozen=True)
class Assumption:
    """What a release assumes about one kind of host: a profile, SEV_FEATURES, and the sections that it skips."""

    profile: str
    features: int
    skips: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Release:
    """Releases of a tool with the same assumptions."""

    tool: str
    versions: str
    #: When, as far as known.
    when: str
    #: By (mode, VMM); None if the sources do not say. A missing kind of host cannot be described with these releases.
    assumes: dict[tuple[str, str], Assumption | None]
    #: Sections of the SEV metadata at which they stop with an error (SEV-SNP only).
    stops: frozenset[str]
    source: str
    link: str
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.tool}, release unknown" if self.versions == UNKNOWN else f"{self.tool} {self.versions}"


def read_table(name: str) -> dict[str, Any]:
    """Return the content of a TOML file in this room."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text("utf-8"))


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _marked(row: dict[str, Any], name: str) -> dict[str, str]:
    return dict.fromkeys(row.pop(name, ()), VERIFIED) | dict.fromkeys(row.pop(f"unverified_{name}", ()), UNVERIFIED)


def _mark(row: dict[str, Any]) -> str:
    return UNVERIFIED if row.pop("unverified", False) else VERIFIED


def _fixes(rows: Iterable[dict[str, Any]]) -> tuple[Fix, ...]:
    return tuple(_FIXES[row.pop("kind")](mark=_mark(row), **_frozen(row)) for row in rows)


def _advisory(key: str, row: dict[str, Any]) -> Advisory:
    return Advisory(
        key,
        ids=_marked(row, "ids"),
        products=_marked(row, "products"),
        fixes=_fixes(row.pop("fixes", ())),
        doubts=_fixes(row.pop("doubts", ())),
        open=NO_FIX if row.pop("no_fix", False) else UNKNOWN,
        mark=_mark(row),
        **_frozen(row),
    )


def _release(row: dict[str, Any]) -> Release:
    assumes = {}
    for one in row.pop("assumes"):
        skips = frozenset(one.get("skips", ()))
        known = one["profile"] != UNKNOWN
        assumes[one["mode"], one["vmm"]] = Assumption(one["profile"], one["features"], skips) if known else None
    return Release(assumes=assumes, stops=frozenset(row.pop("stops", ())), **row)


_TABLES: dict[str, Callable[[], object]] = {
    "INCIDENTS": lambda: {key: Incident(key, **row) for key, row in read_table("incidents").items()},
    "ADVISORIES": lambda: {key: _advisory(key, row) for key, row in read_table("advisories").items()},
    "HOSTS": lambda: {row["name"]: Host(**_frozen(row)) for row in read_table("releases")["hosts"]},
    "RELEASES": lambda: tuple(_release(row) for row in read_table("releases")["releases"]),
    "STARTS": lambda: [(at, bytes.fromhex(raw), *words) for at, raw, *words in read_table("words")["bytes"]["starts"]],
    "LABELS": lambda: read_table("words")["bytes"]["labels"],
}


def __getattr__(name: str) -> object:
    if name not in _TABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = _TABLES[name]()
    return value
