"""The structures of SEV, SEV-ES, SEV-SNP, OVMF and IGVM: data only."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "CEK": "sev_certs",
    "MilanTcb": "report",
    "OldMeasureMessage": "launch_measure",
    "PDH": "sev_certs",
    "SecretTable": "secret",
    "SessionBlob": "sev_certs",
    "SevCertificate": "sev_certs",
    "SevFeatures": "vmsa",
    "TurinTcb": "report",
    "build_kernel_hashes": "kernel_hashes",
    "parse_ovmf": "ovmf",
    "vcek_urls": "report",
}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
