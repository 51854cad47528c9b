"""What is loaded, in order; the digest over it; the measure; the verdict.

A student reads the measurement mathematics in this order, in an evening:

1. ``layout/span.py``, ``layout/bits.py``, ``layout/structure.py``: how bytes are declared;
2. ``formats/launch_measure.py``, ``formats/policy.py``, ``formats/kernel_hashes.py``, ``formats/page_info.py``: the
   56-byte message and what goes into it;
3. ``launch/sev.py``, ``launch/pages.py``: what is loaded, and the digest over it;
4. ``launch/measure.py``, ``launch/verify.py``: the HMAC, and the verdict.

Nothing in these files reads a file or knows an option's name: they take bytes and numbers.
"""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "CPU_MODELS": "vmm",
    "Evidence": "evidence",
    "Launch": "sev",
    "PROFILES": "vmm",
    "SNP_PROFILES": "vmm",
    "SnpLaunch": "snp",
    "cpu_signature": "vmm",
    "load_vmsa": "values",
    "parse_cpu_model": "vmm",
}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
