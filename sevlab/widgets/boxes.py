"""The inputs of the debugger: their boxes, and what stands in them as validate takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..inputs import KEY_SIZE
from ..keys import Secret

if TYPE_CHECKING:
    from typing import Any

#: The boxes, in rows: for each input its label, and how wide its box is.
ROWS = (
    {"measurement": ("Measurement", "62em")},
    {
        "api_major": ("API major", "12em"),
        "api_minor": ("API minor", "12em"),
        "build_id": ("Build", "12em"),
        "policy": ("Policy", "16em"),
    },
    {"firmware": ("Firmware", "44em")},
    {"tk": ("Key file", "44em")},
    {"tik": ("TIK alone", "44em")},
    {"kernel": ("Kernel", "44em")},
    {"initrd": ("Initrd", "44em")},
    {"cmdline": ("Command line", "62em")},
    {
        "num_cpus": ("CPUs", "12em"),
        "cpu_family": ("CPU family", "12em"),
        "cpu_model": ("CPU model", "12em"),
        "cpu_stepping": ("CPU stepping", "13em"),
    },
    {"profile": ("Profile", "16em"), "guest_features": ("SEV features", "16em")},
    {"vmsa_cpu0": ("VMSA 0", "30em"), "vmsa_cpu1": ("VMSA 1", "30em")},
)
LABELS = {name: label for row in ROWS for name, (label, width) in row.items()}
CANDIDATES = "Candidates"
UPLOADS = ("firmware", "tk", "kernel", "initrd")
#: What stands in the box of a key that was uploaded.
UPLOADED = "(uploaded)"


def label_of(name: str) -> str:
    """Return what an input is called on the page."""
    return CANDIDATES if name == "candidates" else LABELS.get(name, name)


def write_value(name: str, value: Any) -> str:
    """Return a value as it stands in its box."""
    return f"0x{int(value):x}" if name in ("policy", "guest_features") and isinstance(value, int) else str(value)


def as_evidence(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs as validate takes them: an uploaded key by its size. No measure depends on the TEK."""
    key = inputs.get("tk")
    if key is None and "tik" not in inputs:
        raise InputError(LABELS["tk"], "nothing", "the keys of this launch: a path, or an upload")
    if key is None:
        return {**inputs, "tek": Secret(bytes(KEY_SIZE))}
    if not isinstance(key, Secret):
        return inputs
    if len(key) not in (KEY_SIZE, 2 * KEY_SIZE):
        raise InputError(LABELS["tk"], f"an upload of {len(key)} bytes", "16 raw bytes (TIK) or 32 (TEK, then TIK)")
    rest = {name: value for name, value in inputs.items() if name != "tk"}
    return {**rest, "tik": key.part(-KEY_SIZE), "tek": key.part(0, KEY_SIZE)}
