"""What is still missing, and the command that would give it."""

from __future__ import annotations

from .found import HERE, OPTION, REPORTED, Missing, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .found import Capture

_REPORT = "On the host: virsh domlaunchsecinfo DOMAIN (as --domlaunchsecinfo); over QMP: query-sev (as --qmp)"
_MEASUREMENT = (
    "On the host, before the guest runs: virsh domlaunchsecinfo DOMAIN (as --domlaunchsecinfo); "
    "over QMP: query-sev-launch-measure (as --qmp)"
)
_FILE = "Your own copy of it: --{0} FILE, or --candidates DIR for the folder it is in"
_KEYS = "Give --tik FILE and --tek FILE, or --tk FILE: the keys that 'sevctl session' wrote when the guest was prepared"
_COUNT = "On the host: virsh vcpucount DOMAIN --live --current, then num-cpus in [owner] of the case file"
_CPU = (
    "On the host: lscpu (CPU family, Model, Stepping), then cpu-family, cpu-model and cpu-stepping in [owner] of the "
    "case file; or your own save areas as vmsa-cpu0 and vmsa-cpu1"
)


def missing_inputs(capture: Capture) -> list[Missing]:
    """Return what validate needs and the capture does not hold, in the order of a case file."""
    inputs, chosen, policy = capture.inputs, capture.chosen, capture.policy
    missing = [
        Missing(name, "No source reports it", _MEASUREMENT if name == "measurement" else _REPORT)
        for name in REPORTED
        if name not in inputs
    ]
    hashes = chosen.get("kernel_hashes")
    if "firmware" not in inputs:
        missing.append(Missing("firmware", "No source names it", _FILE.format("firmware")))
    if hashes and hashes.value and "kernel" not in inputs:
        missing.append(Missing("kernel", "Kernel hashes are on, but no source names a kernel", _FILE.format("kernel")))
    for name in ("firmware", "kernel", "initrd"):
        if name in inputs and inputs[name].source not in (OPTION, HERE):
            why = f"The host names {shown(inputs[name].value)}, which was not found here"
            missing.append(Missing(name, why, _FILE.format(name)))
    if policy is not None and policy.es:
        if "num_cpus" not in inputs:
            missing.append(Missing("num_cpus", "SEV-ES measures every virtual CPU", _COUNT))
        if not {"cpu_family", "cpu_model", "cpu_stepping"} <= set(inputs) and "vmsa_cpu0" not in inputs:
            name = chosen["cpu"].value if "cpu" in chosen else ""
            why = f"They are not known of the CPU model {shown(name)}" if name else "No source names the CPU model"
            missing.append(Missing("cpu_family, cpu_model, cpu_stepping", why, _CPU))
    if not ("tk" in inputs or {"tik", "tek"} <= set(inputs)):
        missing.append(Missing("tik, tek", "No host has the owner's keys", _KEYS))
    return missing
