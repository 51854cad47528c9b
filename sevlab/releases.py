"""Which release of a tool believes what about a host, as data with sources.

A tool that predicts a launch digest has the hosts of its time built in. So one guest has as many digests as there are
releases, and each is right on some hosts alone (incident F04). A :class:`Release` is what a tool takes for granted. As
a host (:mod:`~sevlab.hosts`) it points to a profile (:mod:`~sevlab.profiles`), which is where registers and pages are
declared; nothing of it is said here again. What follows of both is computed in :mod:`~sevlab.matrix`.

Sources: incidents 2, F01 to F05, F07, F09, F22, F23; vmsa 2.3, 2.6, 2.7 and 4. "run" means that the published
release was run, and its digests are those of the profile.
"""

from __future__ import annotations

from collections import namedtuple

from .hosts import EC2, GCE, HOSTS, MODES, QEMU, SEV_ES, SNP
from .incidents import INCIDENTS
from .profiles import SNP_PROFILES, find_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .layout.views import View

#: What the sources do not tell.
UNKNOWN = "unknown"


class Belief(namedtuple("Belief", "profile features skips", defaults=(frozenset(),))):
    """What a release takes for granted about one kind of host: a profile, SEV_FEATURES, and the names of sections that
    it does not load."""

    __slots__ = ()


class Release(namedtuple("Release", "tool versions when beliefs stops note source", defaults=("",))):
    """Releases of a tool that all believe the same.

    ``when`` is the time as far as it is known. ``beliefs`` maps (mode, VMM) to a :class:`Belief`, or to "unknown" where
    the sources are silent; what is missing cannot be described with these releases. ``stops`` are the names of sections
    of a firmware's SEV metadata at which they stop with an error, which SEV-SNP launches alone have.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """Tool and versions."""
        return f"{self.tool}, release unknown" if self.versions == UNKNOWN else f"{self.tool} {self.versions}"

    def believes(self, profile: str) -> list[tuple[str, str, int]]:
        """Return mode, VMM and SEV_FEATURES wherever these releases have this profile built in."""
        known = ((*key, one) for key, one in self.beliefs.items() if one != UNKNOWN)
        return [(mode, vmm, one.features) for mode, vmm, one in known if one.profile == profile]


TOOL = "sev-snp-measure"
_HASHES, _SVSM = "KERNEL_HASHES", "SVSM_CAA"


def _beliefs(qemu: str, fpu: bool, ec2: str = "", gce: bool = False, skips: Iterable[str] = ()) -> dict[Any, Any]:
    """Return the beliefs of a release of sev-snp-measure. SEV_FEATURES of a SEV-SNP guest is the QEMU profile's."""
    features = SNP_PROFILES[qemu].features
    found = {(SNP, QEMU): Belief(qemu, features, frozenset(skips))}
    found |= {(SNP, EC2): Belief(ec2, features)} if ec2 else {}
    found |= {(SNP, GCE): Belief("gce", features)} if gce else {}
    return found | {(SEV_ES, QEMU): Belief("qemu" if fpu else "qemu-legacy", 0)}


_ALL = frozenset((_HASHES, _SVSM))
_ES_NOTE = "SEV-ES: SEV_FEATURES is always 0, whatever --guest-features says."
RELEASES = (
    Release(
        TOOL,
        "0.0.3",
        f"{UNKNOWN}, before April 2023",
        _beliefs("qemu-hashes-first", fpu=False, skips=_ALL),
        frozenset(),
        "Sections of the SEV metadata that it does not know are left out in silence; those for hashes too.",
        "CHANGELOG; virtee/sev-snp-measure#12; run",
    ),
    Release(
        TOOL,
        "0.0.4",
        f"{UNKNOWN}, before April 2023",
        _beliefs("qemu-hashes-first", fpu=False),
        _ALL,
        "The page of hashes comes first, and a firmware that has a section for it is refused.",
        "CHANGELOG; virtee/sev-snp-measure#12; run",
    ),
    Release(
        TOOL,
        "0.0.5",
        "April 2023",
        _beliefs("qemu-legacy", fpu=False),
        frozenset([_SVSM]),
        "",
        "CHANGELOG; virtee/sev-snp-measure#12; run",
    ),
    Release(
        TOOL,
        "0.0.6 to 0.0.8",
        UNKNOWN,
        _beliefs("qemu-legacy", fpu=False, ec2="ec2-rdx0"),
        frozenset([_SVSM]),
        "The first with EC2.",
        "CHANGELOG; run",
    ),
    Release(
        TOOL,
        "0.0.9",
        f"{UNKNOWN}, not before October 2023",
        _beliefs("qemu-debug-swap", fpu=False, ec2="ec2-rdx0"),
        frozenset([_SVSM]),
        "SEV_FEATURES is 0x21 for EC2 too.",
        "CHANGELOG; virtee/sev-snp-measure#32, #44; run",
    ),
    Release(
        TOOL,
        "0.0.10",
        "April to June 2024",
        _beliefs("qemu", fpu=True, ec2="ec2-rdx0"),
        frozenset([_SVSM]),
        _ES_NOTE,
        "CHANGELOG; virtee/sev-snp-measure#47, #48; run",
    ),
    Release(
        TOOL,
        "0.0.11",
        "May to June 2024",
        _beliefs("qemu", fpu=True, ec2="ec2-rdx0"),
        frozenset(),
        _ES_NOTE,
        "CHANGELOG; virtee/sev-snp-measure#53; run",
    ),
    Release(
        TOOL,
        "0.0.12",
        f"{UNKNOWN}, not before July 2025",
        _beliefs("qemu", fpu=True, ec2="ec2-rdx0", gce=True),
        frozenset(),
        "The first with GCE.",
        "CHANGELOG; virtee/sev-snp-measure#56; run",
    ),
    Release(
        TOOL,
        "0.0.13",
        "not before April 2026",
        _beliefs("qemu", fpu=True, ec2="ec2", gce=True),
        frozenset(),
        "The first that takes EPYC-Turin as a CPU type.",
        "CHANGELOG; virtee/sev-snp-measure#60, #61; run",
    ),
    Release(
        "libvirt",
        "9.0",
        UNKNOWN,
        {(SEV_ES, QEMU): Belief("qemu-legacy", 0)},
        frozenset(),
        "virt-qemu-sev-validate, which knows SEV and SEV-ES alone.",
        "vmsa 2.7; run",
    ),
    Release(
        "sevctl",
        UNKNOWN,
        UNKNOWN,
        {(SEV_ES, QEMU): Belief("qemu-legacy", 0)},
        frozenset(),
        "By the registers that it ships as files.",
        "vmsa 2.7; run",
    ),
    Release(
        "sev crate",
        UNKNOWN,
        UNKNOWN,
        dict.fromkeys(((SNP, QEMU), (SNP, EC2), (SEV_ES, QEMU)), UNKNOWN),
        frozenset(),
        "It puts 0 into RDX for EC2 and has no GCE; what else it believes is not known here.",
        "vmsa 2.3; snp-launch 2.5",
    ),
)


def _words(mode: str, vmm: str, features: int) -> str:
    return f"{MODES[mode]}, {vmm}, SEV_FEATURES 0x{features:x}"


def profile_as_dict(name: str) -> dict[str, Any]:
    """Return a profile, the hosts that behave so, and the releases that believe it, as JSON-ready data.

    Raises :class:`~sevlab.errors.InputError` for an unknown name.
    """
    profile = find_profile(name, "NAME", SNP_PROFILES)
    hosts = [host for host in HOSTS.values() if host.profile == name]
    keys = dict.fromkeys(key for host in hosts for key in host.incidents)
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
            for release in RELEASES
            for mode, vmm, features in release.believes(name)
        ],
        "incidents": [INCIDENTS[key].name for key in keys],
    }


def _registers(values: Any) -> dict[str, Any]:
    """Return registers by name; a segment as its fields."""
    return {
        name: value if isinstance(value, int) else {row.name: int(getattr(value, row.name)) for row in value.rows}
        for name, value in values.items()
    }


def explain_profile(name: str) -> View:
    """Show a profile, the hosts that behave so, the releases that believe it, and the incidents it has a part in.

    Raises :class:`~sevlab.errors.InputError` for an unknown name.
    """
    from .layout.views import Heading, Paragraph, Table, View

    profile = find_profile(name, "NAME", SNP_PROFILES)
    hosts = [host for host in HOSTS.values() if host.profile == name]
    rows = [[host.name, _words(host.mode, host.vmm, host.features), f"{host.since} ({host.source})"] for host in hosts]
    held = [[release.name, _words(*one), release.source] for release in RELEASES for one in release.believes(name)]
    keys = dict.fromkeys(key for host in hosts for key in host.incidents)
    none = "None that sevlab knows of."
    return View(
        *profile.explain().blocks,
        Heading("Hosts that behave so"),
        Table(["host", "mode", "since, and source"], rows) if rows else Paragraph(none),
        Heading("Releases of tools that believe it"),
        Table(["release", "for", "source"], held) if held else Paragraph(none),
        Heading("Public incidents"),
        *([Table(["", "what happened"], [[key, _told(key)] for key in keys])] if keys else [Paragraph(none)]),
    )


def _told(key: str) -> str:
    incident = INCIDENTS[key]
    return f"{incident.title}. {incident.lesson} ({incident.source}, {incident.date})"
