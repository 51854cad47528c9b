"""Mistakes about virtual CPUs, which only SEV-ES measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...cpu import CPU_MODELS, split_signature
from ...profiles import PROFILES, RESET_VECTOR
from ..hypothesis import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..start import Start

COUNT_LIMIT = 512
_LIKELY_COUNTS = {*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 192, 240, 255, 256, 288, 384, 512}
#: SEV_FEATURES seen on hosts: none, SNP active (in an SEV-ES page), DebugSwap, both.
LIKELY_FEATURES = (0x0, 0x1, 0x20, 0x21)
#: Where OVMF's AmdSev and X64 builds start further CPUs.
_RESET_ADDRESSES = (0x0080B004, RESET_VECTOR)


def counts(start: Start) -> Iterator[Option]:
    """Other numbers of virtual CPUs."""
    given = start.count
    near = {given - 1, given + 1, given * 2, given // 2} if given else set()
    return (Option(count, count, count in _LIKELY_COUNTS | near) for count in range(1, COUNT_LIMIT + 1))


def signatures() -> Iterator[tuple[int, bool]]:
    """Yield the CPU signatures that are tried, and whether each is likely: those of models, then other steppings."""
    known = dict.fromkeys(CPU_MODELS.values())
    for cpu in known:
        yield cpu.signature, True
    for cpu in known:
        for stepping in range(16):
            yield cpu._replace(stepping=stepping).signature, False
    yield 0, False


def _models(start: Start) -> Iterator[Option]:
    for signature, likely in signatures():
        cpu = split_signature(signature)
        found = {"cpu_family": cpu.family, "cpu_model": cpu.model, "cpu_stepping": cpu.stepping}
        yield Option(signature, found, likely)


def _profiles(start: Start) -> Iterator[Option]:
    return (Option(name, name) for name in PROFILES)


def _features(start: Start) -> Iterator[Option]:
    given = start.cpus.features if start.cpus and start.cpus.features is not None else 0
    values = dict.fromkeys([*LIKELY_FEATURES, *(given ^ 1 << bit for bit in range(64))])
    return (Option(value, value, value in LIKELY_FEATURES) for value in values)


def _resets(start: Start) -> Iterator[Option]:
    known = start.base_image.reset_address
    return (Option(address, address, False) for address in _RESET_ADDRESSES if address != known)


RESET = Hypothesis(
    "another start of further CPUs",
    "reset",
    0.1,
    _resets,
    "Further virtual CPUs start at another address than the firmware's tables say.",
)
CPUS = (
    Hypothesis(
        "another number of virtual CPUs",
        "count",
        0.7,
        counts,
        "SEV-ES measures one page for every virtual CPU, also for those that are only there to be plugged in later.",
        ("F15",),
    ),
    Hypothesis(
        "another CPU model",
        "model",
        0.6,
        _models,
        "The virtual CPU is of another model. What counts is QEMU's model of the guest, not the processor of the host.",
        ("F11",),
    ),
    Hypothesis(
        "another profile",
        "profile",
        0.6,
        _profiles,
        "The host's kernel or hypervisor starts virtual CPUs in another state.",
        ("F05",),
    ),
    Hypothesis(
        "other SEV_FEATURES",
        "features",
        0.5,
        _features,
        "The host's kernel sets other SEV_FEATURES, for example with debug_swap.",
        ("F01",),
    ),
    RESET,
)
