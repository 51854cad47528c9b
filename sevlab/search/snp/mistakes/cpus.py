"""Mistakes about virtual CPUs, each of which a SEV-SNP launch measures, and about the host that starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....formats.vmsa import SevFeatures
from ....profiles import SNP_PROFILES
from ...hypothesis import Hypothesis, Option
from ...mistakes.cpus import COUNT_LIMIT, LIKELY_FEATURES, RESET, counts, signatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ....profiles import Profile
    from ..start import SnpStart

_DEBUG_SWAP = SevFeatures.debug_swap.mask
_ADVICE = "Compute with the profile found if you accept such a host; else start the guest on one like yours."
#: In what two hosts may differ, and what that resembles.
_WORDS = "the floating-point control words are others"
_SWITCH = "DebugSwap is the other way"
_CLOUD = "the hypervisor is another one"
_RESEMBLES = {_WORDS: ("F05",), _SWITCH: ("F01", "F02", "F03"), _CLOUD: ("F21",)}
#: What a profile resembles by itself: F04, where a release of a tool took it for all hosts.
_OWN = {"qemu-hashes-first": ("F22", "F04"), "ec2": ("F07",), "ec2-rdx0": ("F07",), "gce": ("F09",)}


_HOSTS = [profile for profile in SNP_PROFILES.values() if not profile.is_flat]


def _differences(given: Profile | None, found: Profile, is_set: bool) -> tuple[str, ...]:
    """Say in what the profile found differs from the one given; *is_set*: SEV_FEATURES stay as they are."""
    if given is None:
        return ()
    if not (given.takes_signature and found.takes_signature):
        changed = {name for name, value in found.registers.items() if given.registers.get(name) != value}
        return () if changed <= {"rdx"} and given.pages == found.pages else (_CLOUD,)
    words = any(given.registers.get(name) != found.registers.get(name) for name in ("mxcsr", "x87_fcw"))
    switch = not is_set and bool((given.features ^ found.features) & _DEBUG_SWAP)
    return (*([_WORDS] if words else []), *([_SWITCH] if switch else []))


def _is_told_apart(found: Profile, is_set: bool) -> bool:
    """Say whether no earlier profile makes the same launch; *is_set*: SEV_FEATURES stay as they are."""
    earlier = _HOSTS[: _HOSTS.index(found)] if is_set else []
    return all((one.registers, one.pages) != (found.registers, found.pages) for one in earlier)


def _profile(start: SnpStart, found: Profile, differences: tuple[str, ...]) -> Iterator[Option]:
    given = None if start.cpus.profile is None else SNP_PROFILES[start.cpus.profile]
    is_set = given is None or start.cpus.features is not None
    if _differences(given, found, is_set) == differences and _is_told_apart(found, is_set):
        yield Option(found.name, found.name)


def profiles() -> Iterator[Hypothesis]:
    """The mistake of another host: for each profile that starts CPUs where a firmware says, and each way to differ."""
    for found in _HOSTS:
        pairs = [(given, is_set) for given in (None, *_HOSTS) for is_set in (given is None, True) if given is not found]
        ways = (_differences(given, found, is_set) for given, is_set in pairs if _is_told_apart(found, is_set))
        for differences in dict.fromkeys(ways):
            told = f"Against the profile given, {' and '.join(differences)}. " if differences else ""
            yield Hypothesis(
                f"profile {found.name}",
                "profile",
                0.7,
                lambda start, found=found, differences=differences: _profile(start, found, differences),
                f"{told}{found.summary} Since: {found.since}. Source: {found.source}. {_ADVICE}",
                (*(key for words in differences for key in _RESEMBLES[words]), *_OWN.get(found.name, ("F04",))),
            )


def _debug_swap(start: SnpStart, with_svsm: bool) -> Iterator[Option]:
    if start.features is not None and (start.svsm is not None) == with_svsm:
        value = start.features ^ _DEBUG_SWAP
        yield Option(value, value)


def _features(start: SnpStart) -> Iterator[Option]:
    given = start.features
    flipped = [] if given is None else [given ^ 1 << bit for bit in range(64)]
    for value in dict.fromkeys([*LIKELY_FEATURES, *flipped]):
        if value != given:
            yield Option(value, value, value in LIKELY_FEATURES)


def _models(start: SnpStart, is_given: bool) -> Iterator[Option]:
    if (start.signature is not None or start.cpus.boot is not None) == is_given:
        for signature, likely in signatures():
            yield Option(signature, signature, likely)


def _counts(start: SnpStart, is_given: bool) -> Iterator[Option]:
    return counts(start) if (start.count is not None) == is_given else iter(())


def _one_or_all(start: SnpStart) -> Iterator[Option]:
    if start.svsm is not None and start.count is not None:
        yield from (option for option in counts(start) if 1 in (start.count, option.value))


_SWAP = (
    f"The host's kernel sets DebugSwap (0x{_DEBUG_SWAP:x}) in SEV_FEATURES, or leaves it clear: AMD's own kernels set "
    "it from Linux 6.6 to about 6.8, and kvm_amd debug_swap=0 switches it off. Compute with the features found if you "
    "accept them; else switch it on the host."
)
CPUS = (
    *profiles(),
    Hypothesis("DebugSwap with an SVSM", "features", 0.7, lambda s: _debug_swap(s, True), _SWAP, ("F10", "F01")),
    Hypothesis("DebugSwap", "features", 0.7, lambda s: _debug_swap(s, False), _SWAP, ("F01", "F02", "F03")),
    Hypothesis(
        "other SEV_FEATURES",
        "features",
        0.4,
        _features,
        "The host sets other SEV_FEATURES in the registers. SEV-SNP needs bit 0; what the others do to the guest is "
        "told by sevlab vmsa show. Compute with the features found only if you accept them.",
        ("F01",),
    ),
    Hypothesis(
        "another CPU model",
        "model",
        0.7,
        lambda start: _models(start, True),
        "The virtual CPU is of another model. What counts is QEMU's model of the guest (-cpu), not the processor of "
        "the host. Compute with the model found, or give the host the right -cpu.",
        ("F11", "F12"),
    ),
    Hypothesis(
        "registers of one CPU, or of all, with an SVSM",
        "count",
        0.7,
        _one_or_all,
        "With an SVSM some hosts measure the registers of the first virtual CPU alone, others those of all.",
        ("F10", "F15"),
    ),
    Hypothesis(
        "another number of virtual CPUs",
        "count",
        0.8,
        lambda start: _counts(start, True),
        "SEV-SNP measures one page for every virtual CPU, also for those that are only there to be plugged in later. "
        "Compute with the number found: one image has as many digests as shapes.",
        ("F15",),
    ),
    Hypothesis(
        "CPU model that was not given",
        "model",
        0.8,
        lambda start: _models(start, False),
        "No CPU model was given, so all were tried. What counts is QEMU's model of the guest (-cpu), not the processor "
        "of the host.",
        ("F11", "F12"),
    ),
    Hypothesis(
        "number of virtual CPUs that was not given",
        "count",
        0.8,
        lambda start: _counts(start, False),
        f"No number of virtual CPUs was given, so all from 1 to {COUNT_LIMIT} were tried.",
        ("F15",),
    ),
    RESET,
)
