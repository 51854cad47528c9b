"""The registers that virtual CPUs start with: what a launch was told about them, read and turned into pages.

They come from files (VMSA, 4096 bytes each), or a profile builds them from the CPU's signature, SEV_FEATURES, and where
the firmware wants further CPUs to start.
"""

from __future__ import annotations

from .errors import InputError, named
from .inputs import load_vmsa, parse_number
from .profiles import PROFILES, build_vmsa, find_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .formats.vmsa import Vmsa
    from .profiles import Profile

#: Most virtual CPUs of a guest.
CPU_LIMIT = 4096


def read_cpus(given: Mapping[str, Any], default: str, known: Mapping[str, Profile] = PROFILES) -> dict[str, Any]:
    """Read everything about virtual CPUs, also when nothing of it is measured: a wrong value is wrong all the same.

    *default* is the profile where none is given, *known* are those there are. Returns ``count``, ``vmsa_cpu0``,
    ``vmsa_cpu1``, ``profile``, ``features`` and ``signature``, as far as they are given.
    """
    cpus: dict[str, Any] = {}
    if "num_cpus" in given:
        cpus["count"] = parse_number(given["num_cpus"], "num_cpus", CPU_LIMIT)
        if not cpus["count"]:
            raise InputError("num_cpus", "0", f"1 to {CPU_LIMIT}")
    for name in ("vmsa_cpu0", "vmsa_cpu1"):
        if name in given:
            cpus[name] = load_vmsa(str(given[name]), name)
    if {"profile", "guest_features", "cpu_family", "cpu_signature"} & set(given):
        from .cpu import cpu_signature

        cpus["profile"] = find_profile(given.get("profile", default), "profile", known)
        cpus["features"] = parse_number(given.get("guest_features", 0), "guest_features", (1 << 64) - 1)
        if "cpu_signature" in given:
            cpus["signature"] = parse_number(given["cpu_signature"], "cpu_signature", 0xFFFFFFFF)
        elif "cpu_family" in given:
            family = parse_number(given["cpu_family"], "cpu_family", 270)
            model = parse_number(given["cpu_model"], "cpu_model", 255)
            cpus["signature"] = cpu_signature(family, model, parse_number(given["cpu_stepping"], "cpu_stepping", 15))
    return cpus


def build_registers(cpus: Mapping[str, Any], start: int | None, count: int) -> tuple[Vmsa, Vmsa | None]:
    """Return the page of the boot CPU and that of further ones, None for these when *count* is 1.

    *cpus* are as :func:`read_cpus` returns them. *start* is where the firmware wants further CPUs to start, None when
    it does not say; under a profile that is flat, where every CPU starts.
    """
    if "vmsa_cpu0" in cpus:
        if count > 1 and "vmsa_cpu1" not in cpus:
            raise InputError("vmsa_cpu1", f"nothing, for {count} virtual CPUs", "the VMSA of the further CPUs")
        return cpus["vmsa_cpu0"], cpus.get("vmsa_cpu1")
    if "signature" not in cpus and not ("profile" in cpus and not cpus["profile"].takes_signature):
        needed = f"that, or {named('cpu_family')}, {named('cpu_model')} and {named('cpu_stepping')}"
        raise InputError("vmsa_cpu0", "nothing", needed)
    profile, signature, features = cpus["profile"].name, cpus.get("signature"), cpus["features"]
    address = start if cpus["profile"].is_flat else None
    boot = build_vmsa(profile, signature=signature, reset_address=address, sev_features=features)
    if count == 1:
        return boot, None
    if start is None:
        received = "a firmware that does not say where further CPUs start"
        needed = "one with a SEV-ES reset block in its footer table"
        raise InputError("firmware", received, needed, "sevlab ovmf FILE says what it is")
    return boot, build_vmsa(profile, cpu=1, signature=signature, reset_address=start, sev_features=features)
