"""Two short texts: ``virsh domlaunchsecinfo``, one parameter a line, and the host kernel's log."""

from __future__ import annotations

import re

from ..arguments import checked
from .found import DMESG, SECINFO, Capture, check_size, shown

_NAME = re.compile("sev-[a-z0-9-]{1,60}")
_PARAMETERS = {
    "sev-measurement": "measurement",
    "sev-api-major": "api_major",
    "sev-api-minor": "api_minor",
    "sev-build-id": "build_id",
    "sev-policy": "policy",
}
_API = re.compile(r"SEV(?:-SNP)? API:\s?([0-9]{1,3})\.([0-9]{1,3}) build:\s?([0-9]{1,3})(?![0-9])")
_ENABLED = re.compile(r"kvm_amd: (SEV(?:-ES|-SNP)?) (enabled|disabled|supported)")
_ABOUT_SEV = re.compile("ccp|kvm_amd|SEV")
_TROUBLE = re.compile("fail|error|timed out", re.IGNORECASE)


@checked
def parse_domlaunchsecinfo(text: str) -> Capture:
    """Read what ``virsh domlaunchsecinfo DOMAIN`` prints: ``name : value`` lines, numbers in decimal.

    Source: virsh 9.0, format ``%-15s: %s``; older ones print the measurement alone.
    """
    check_size(text, SECINFO)
    capture, strange = Capture(SECINFO), 0
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _NAME.fullmatch(name):
            strange += bool(line.strip())
        elif name in _PARAMETERS:
            capture.add(_PARAMETERS[name], value, name)
        elif name.startswith("sev-snp-"):
            capture.add("guest", "sev-snp", name)
            capture.remark(f"{name}: this is an SEV-SNP guest, which has no measurement of this kind")
        elif name != "sev-secret-set-address":
            capture.remark(f"{name} is not known and was left out")
    capture.remark_if_empty()
    if capture.found and strange:
        capture.remark(f"{strange} other line(s) were left out")
    return capture


@checked
def parse_dmesg(text: str) -> Capture:
    """Read the SEV lines of the host kernel's log: API version, build, what is enabled. Numbers are decimal.

    The log tells what the firmware is since this boot, not what measured the guest, so any other source goes first.
    """
    check_size(text, DMESG)
    capture = Capture(DMESG)
    for line in text.splitlines():
        line = line[:1000]
        if match := _API.search(line):
            for name, value in zip(("api_major", "api_minor", "build_id"), match.groups(), strict=True):
                capture.add(name, value, "line 'SEV API'")
        elif match := _ENABLED.search(line):
            capture.remark(f"the host's kernel says: {match[1]} {match[2]}")
        elif _ABOUT_SEV.search(line) and _TROUBLE.search(line):
            capture.remark(f"the host's kernel says: {shown(line.strip(), 160)}")
    capture.remark_if_empty()
    return capture
