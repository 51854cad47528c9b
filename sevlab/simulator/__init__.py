"""Secure processor, host, owner and key server, in software."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "ContextPage": "snp_platform",
    "KeyServer": "kds",
    "Memory": "memory",
    "Platform": "psp",
    "SimulatedSnpLaunch": "snp_launch",
    "SnpPlatform": "snp_firmware",
    "SnpSettings": "snp_launch",
    "multiply": "curve",
    "sample_roots": "identity",
}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
