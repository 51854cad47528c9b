"""The registers that virtual CPUs start with: pages from VMSA files, or those that a profile makes.

A profile makes them from the CPU's signature, SEV_FEATURES, and where the firmware wants further CPUs to start.
"""

from __future__ import annotations

from .errors import InputError, named
from .profiles import build_vmsa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .formats.vmsa import Vmsa
    from .profiles import Profile


class Cpus:
    """What is known of virtual CPUs: how many, and their pages, or the profile that makes these."""

    def __init__(self) -> None:
        self.count: int | None = None
        #: The pages of the boot CPU and of all further ones, where files hold them.
        self.boot: Vmsa | None = None
        self.further: Vmsa | None = None
        self.profile: Profile | None = None
        self.features = 0
        self.signature: int | None = None


def build_registers(cpus: Cpus, start: int | None, count: int) -> tuple[Vmsa, Vmsa | None]:
    """Return the page of the boot CPU and that of further ones, None for these when *count* is 1.

    *start* is where the firmware wants further CPUs to start, None when it does not say; under a profile that is flat,
    where every CPU starts.
    """
    if cpus.boot is not None:
        if count > 1 and cpus.further is None:
            raise InputError("vmsa_cpu1", f"nothing, for {count} virtual CPUs", "the VMSA of the further CPUs")
        return cpus.boot, cpus.further
    profile = cpus.profile
    if profile is None or (cpus.signature is None and profile.takes_signature):
        needed = f"that, or {named('cpu_family')}, {named('cpu_model')} and {named('cpu_stepping')}"
        raise InputError("vmsa_cpu0", "nothing", needed)

    def build(cpu: int, address: int | None) -> Vmsa:
        return build_vmsa(
            profile.name, cpu=cpu, signature=cpus.signature, reset_address=address, sev_features=cpus.features
        )

    boot = build(0, start if profile.is_flat else None)
    if count == 1:
        return boot, None
    if start is None:
        received = "a firmware that does not say where further CPUs start"
        needed = "one with a SEV-ES reset block in its footer table"
        raise InputError("firmware", received, needed, "sevlab ovmf FILE says what it is")
    return boot, build(1, start)
