"""Processors by name: QEMU's CPU models, and the signature that ends up in RDX.

The model that counts is the one QEMU shows the guest, not the silicon below it (incident F12), and of the model only
family, model and stepping are measured.

Sources: vmsa 3.1 and 3.2.
"""

from __future__ import annotations

from collections import namedtuple

from ..errors import InputError, quoted
from ..layout.arguments import checked
from .values import parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Cpu(namedtuple("Cpu", "family model stepping")):
    """Family, model and stepping of a processor, as in /proc/cpuinfo."""

    __slots__ = ()

    @property
    def signature(self) -> int:
        return cpu_signature(*self)


@checked
def cpu_signature(family: int, model: int, stepping: int) -> int:
    """Return the CPU signature: what CPUID function 1 returns in EAX, and RDX holds after a reset.

    *family* is 0 to 270, *model* 0 to 255, *stepping* 0 to 15, as in /proc/cpuinfo. A family above 15 is split into 15
    and the rest, a model into its two hex digits.
    """
    family = parse_number(family, "family", 270)
    model = parse_number(model, "model", 255)
    stepping = parse_number(stepping, "stepping", 15)
    base = min(family, 15)
    return (family - base) << 20 | (model >> 4) << 16 | base << 8 | (model & 0xF) << 4 | stepping


@checked
def split_signature(signature: int) -> Cpu:
    """Return family, model and stepping of a CPU signature, the inverse of :func:`cpu_signature`.

    Raises :class:`~sevlab.errors.InputError` for more than 32 bits, a reserved bit that is set, or an extended family
    with a base family that is not 15.
    """
    number = parse_number(signature, "signature", 0xFFFFFFFF)
    cpu = Cpu((number >> 8 & 0xF) + (number >> 20 & 0xFF), number >> 12 & 0xF0 | number >> 4 & 0xF, number & 0xF)
    if cpu.signature != number:
        needed = "a CPU signature: bits 15:12 and 31:28 zero, bits 27:20 zero unless bits 11:8 are all set"
        raise InputError("signature", f"0x{number:x}", needed)
    return cpu


#: QEMU's models of AMD server processors: name, newest version, processor. A version changes features, never these.
_MODELS = (
    ("EPYC", 5, Cpu(23, 1, 2)),
    ("EPYC-Rome", 5, Cpu(23, 49, 0)),
    ("EPYC-Milan", 3, Cpu(25, 1, 1)),
    ("EPYC-Genoa", 2, Cpu(25, 17, 0)),
    ("EPYC-Turin", 1, Cpu(26, 0, 0)),
)

#: QEMU's name of a CPU model, with and without version, to its processor.
CPU_MODELS: Mapping[str, Cpu] = {
    **{name: cpu for name, _, cpu in _MODELS},
    **{f"{name}-v{version}": cpu for name, newest, cpu in _MODELS for version in range(1, newest + 1)},
    "EPYC-IBPB": Cpu(23, 1, 2),
}


def describe_signature(signature: int) -> str:
    """Return a CPU signature for people: family, model, stepping, and QEMU's name if there is one."""
    try:
        cpu = split_signature(signature)
    except InputError:
        return f"0x{signature:x}, which is no CPU signature"
    name = next((f", QEMU's {name}" for name, known in CPU_MODELS.items() if known == cpu), "")
    return f"0x{signature:x} (family {cpu.family}, model {cpu.model}, stepping {cpu.stepping}{name})"


@checked
def parse_cpu_model(name: str, input: str = "CPU model") -> Cpu:
    """Return the processor of QEMU's CPU model *name*. An unknown one is refused, with the names nearest to it."""
    if name in CPU_MODELS:
        return CPU_MODELS[name]
    needed = f"a CPU model of QEMU: {', '.join(row[0] for row in _MODELS)}, or one of their versions such as EPYC-v4"
    if name in ("host", "max"):
        raise InputError(input, quoted(name), needed, "family, model and stepping of the host's /proc/cpuinfo")
    from difflib import get_close_matches

    folded = {known.lower(): known for known in CPU_MODELS}
    # QEMU's feature switches follow a comma; no model's name is longer than 40 characters.
    wanted = name.split(",")[0].strip().lower()[:40]
    near = [wanted] if wanted in folded else get_close_matches(wanted, folded, n=3, cutoff=0.5)
    raise InputError(input, quoted(name), needed, " or ".join(folded[match] for match in near))
