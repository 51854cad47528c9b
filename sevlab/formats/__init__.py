"""The structures of SEV, SEV-ES, SEV-SNP, OVMF and IGVM: data only."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "AttestationReport": "sev_certs",
    "CEK": "sev_certs",
    "Guid": "guid",
    "MilanTcb": "report",
    "OldMeasureMessage": "launch_measure",
    "Ovmf": "ovmf",
    "PDH": "sev_certs",
    "PageInfo": "page_info",
    "SecretHeader": "secret",
    "SecretTable": "secret",
    "Segment": "vmsa",
    "SessionBlob": "sev_certs",
    "SevCertificate": "sev_certs",
    "SevFeatures": "vmsa",
    "TurinTcb": "report",
    "build_kernel_hashes": "kernel_hashes",
    "parse_certificates": "sev_certs",
    "parse_ovmf": "ovmf",
    "parse_report": "report",
    "vcek_urls": "report",
}

__all__ = sorted(_HOME)

__getattr__ = hand_on(__name__, _HOME)
