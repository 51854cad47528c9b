"""Behaviours of hosts that were in the field, as data with dates and sources.

What a host does to registers and pages is a profile (:mod:`~sevlab.profiles`); a :class:`Host` says when and where it
was met. Sources: incidents 2, F01 to F05, F07, F09, F22; vmsa 2.6 and 4.
"""

from __future__ import annotations

from collections import namedtuple

from .incidents import INCIDENTS
from .profiles import SNP_PROFILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Modes of a launch in which registers are measured, by the names of ``sevlab digest --mode``.
SNP, SEV_ES = "snp", "seves"
MODES = {SNP: "SEV-SNP", SEV_ES: "SEV-ES"}
QEMU, EC2, GCE = "QEMU", "ec2", "gce"


class Host(namedtuple("Host", "name summary mode vmm profile features since source incidents")):
    """One behaviour of hosts.

    ``mode`` is "snp" or "seves", ``vmm`` what sev-snp-measure calls its kind, ``profile`` the name of a profile,
    ``features`` is SEV_FEATURES unless the owner asked for others, ``incidents`` are keys of :data:`sevlab.INCIDENTS`.
    """

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the host as JSON-ready data."""
        return {**self._asdict(), "incidents": [INCIDENTS[key].name for key in self.incidents]}


def _host(name: str, profile: str, since: str, source: str, *, incidents: tuple[str, ...], **other: Any) -> Host:
    """Return a SEV-SNP host under QEMU, unless told otherwise. Its summary is the profile's."""
    given = {"mode": SNP, "vmm": QEMU, "features": SNP_PROFILES[profile].features, **other}
    summary = given.pop("summary", SNP_PROFILES[profile].summary)
    return Host(name, summary, given["mode"], given["vmm"], profile, given["features"], since, source, incidents)


_HOSTS = (
    _host(
        "first SNP patches",
        "qemu-hashes-first",
        "until April 2023",
        "virtee/sev-snp-measure#12",
        incidents=("F22",),
    ),
    _host(
        "before 6.6",
        "qemu-legacy",
        "SEV-SNP patches on Linux before 6.6, or later with kvm_amd debug_swap=0",
        "incidents 2 (virtee/sev-snp-measure#32); AMDESE/AMDSEV#195",
        incidents=("F01", "F05"),
        summary="QEMU on AMD's own kernels before DebugSwap: control words are zero, SEV_FEATURES is 0x1.",
    ),
    _host(
        "6.6 to 6.8",
        "qemu-debug-swap",
        "AMD's own kernels of Linux 6.6 to about 6.8",
        "AMDESE/AMDSEV#195; virtee/sev-snp-measure#30, #43",
        incidents=("F01", "F02", "F03"),
    ),
    _host(
        "6.10 and newer",
        "qemu",
        "Linux 6.10 and newer (KVM_SEV_INIT2); SEV-SNP hosts upstream since 6.11",
        "virtee/sev-snp-measure#48; Linux",
        incidents=("F05",),
    ),
    _host(
        "EC2 until 2026",
        "ec2-rdx0",
        "2023 to April 2026; instances launched then keep it",
        "virtee/sev-snp-measure#60; the sev crate",
        incidents=("F07",),
        vmm=EC2,
    ),
    _host(
        "EC2 since 2026",
        "ec2",
        "since April 2026",
        "aws/uefi#19; virtee/sev-snp-measure#60",
        incidents=("F07",),
        vmm=EC2,
    ),
    _host("GCE", "gce", "reported in July 2025", "virtee/sev-snp-measure#56", incidents=("F09",), vmm=GCE),
    _host(
        "SEV-ES legacy",
        "qemu-legacy",
        "all kernels before 6.10, and newer ones unless QEMU is told legacy-vm-type=off",
        "Linux; libvirt 9.0 (virt-qemu-sev-validate)",
        incidents=("F05",),
        mode=SEV_ES,
        features=0,
    ),
    _host(
        "SEV-ES 6.6",
        "qemu-legacy",
        "Linux 6.6 up to the fix, on processors that can DebugSwap",
        "Linux; vmsa 4",
        incidents=("F01",),
        mode=SEV_ES,
        features=0x20,
        summary="As SEV-ES legacy, but KVM switches DebugSwap on by itself: SEV_FEATURES is 0x20.",
    ),
    _host(
        "SEV-ES INIT2",
        "qemu",
        "Linux 6.10 and newer with legacy-vm-type=off (QEMU 9.1 and newer)",
        "Linux; QEMU",
        incidents=("F05",),
        mode=SEV_ES,
        features=0,
    ),
)
#: Every host by its name.
HOSTS: dict[str, Host] = {host.name: host for host in _HOSTS}


def hosts_of(mode: str) -> list[Host]:
    """Return the hosts of a mode, "snp" or "seves"."""
    return [host for host in HOSTS.values() if host.mode == mode]
