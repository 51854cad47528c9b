"""Mistakes about virtual CPUs, each of which a SEV-SNP launch measures, and about the host that starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formats.footer import SECTION_TYPES
from ..formats.ovmf import BUILDS
from ..formats.pageinfo import UNMEASURED, ZERO, PageType
from ..formats.vmsa import SevFeatures
from ..profiles import SNP_PROFILES
from ..snp.load import DEFAULT_PROFILE
from ..snp.order import has_hashes
from .hypotheses_sev import COUNT_LIMIT, FIRMWARE, KERNEL, LIKELY_FEATURES, RESET, counts, signatures
from .model import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..profiles import Profile
    from .start import SnpStart

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


def _own_hash(start: SnpStart) -> Iterator[Option]:
    if start.ovmf_hash is not None:
        yield Option(None, None)


def _candidate_svsms(start: SnpStart) -> Iterator[Option]:
    for file in start.files if start.svsm is not None else ():
        if file.image is not None and file.image.entry is not None:
            yield Option(file.image, file.path)


def _stores(start: SnpStart) -> Iterator[Option]:
    if start.svsm is not None:
        for size in (0, *dict.fromkeys(store for _, _, store in BUILDS)):
            yield Option(size, size)


def _unhashed(start: SnpStart) -> Iterator[Option]:
    if "kernel" in start.given.launch and not has_hashes(start.base_image):
        yield Option(None, None)


LOADED = (
    *FIRMWARE,
    Hypothesis(
        "digest of another firmware",
        "ovmf_hash",
        0.6,
        _own_hash,
        "The digest given in the firmware's place is not that of this firmware file: it was computed from another "
        "build. Compute it again (sevlab digest --mode snp:ovmf-hash), or leave it out.",
        ("F25",),
    ),
    Hypothesis(
        "another SVSM image",
        "svsm",
        0.6,
        _candidate_svsms,
        "The host loaded another SVSM image, for example of another release.",
        ("F25",),
    ),
    Hypothesis(
        "another size of the variable store",
        "vars",
        0.4,
        _stores,
        "The SVSM image lies below the firmware's variable store, so the size of the store decides its address, which "
        "is measured. Give the size of the OVMF_VARS file that the host uses.",
        ("F21",),
    ),
    Hypothesis(
        "firmware without a section for kernel hashes",
        "kernel",
        0.8,
        _unhashed,
        "This firmware has no section for kernel hashes, so nothing of the kernel is measured. Let the host use the "
        "AmdSev build of OVMF if the kernel is to be measured: others have a section too since edk2-stable202511, but "
        "no code that checks the hashes.",
        ("F16", "A09"),
    ),
    *KERNEL,
)

_NUMBERS = {kind.name: number for number, kind in SECTION_TYPES.items()}
_SEC_MEM, _CPUID, _HASHES = (_NUMBERS[name] for name in ("SEC_MEM", "CPUID", "KERNEL_HASHES"))
#: Section types that are younger than some of their readers.
_NEW = {_NUMBERS["SVSM_CAA"]}


def _rules(start: SnpStart) -> Iterator[tuple[str, dict[str, object], str]]:
    """Yield the ways in which a host may load the sections otherwise: kind of mistake, changed rules, words."""
    image = start.base_image if start.svsm is None else start.svsm
    types = [section.type for section in image.sections]
    name = start.cpus.profile or DEFAULT_PROFILE
    rules = SNP_PROFILES[name].pages
    if _HASHES in types:
        if rules.hashes_first:
            yield "hashes", {"hashes_first": False}, "the page of kernel hashes where the metadata has it"
        else:
            yield "hashes", {"hashes_first": True}, "the page of kernel hashes before all other sections"
        last: dict[str, object] = {"hashes_first": False, "hashes_last": True}
        yield "hashes", last, "the page of kernel hashes after all other sections"
    if _CPUID in types:
        words = "where the metadata has it" if rules.cpuid_last else "after all other sections"
        yield "order", {"cpuid_last": not rules.cpuid_last}, f"the CPUID page {words}"
    if _SEC_MEM in types:
        kind = UNMEASURED if rules.sec_mem == ZERO else ZERO
        yield "type", {"sec_mem": kind}, f"SEC_MEM sections as {PageType(kind).short} pages"
    for number in dict.fromkeys(types):
        mistake = "order" if number in SECTION_TYPES and number not in _NEW else "new"
        shown = SECTION_TYPES[number].name if number in SECTION_TYPES else f"of type 0x{number:x}"
        yield mistake, {"left_out": frozenset({number})}, f"sections {shown} left out"


def _loaded_otherwise(start: SnpStart, *kinds: str) -> Iterator[Option]:
    for kind, changes, words in _rules(start):
        if kind in kinds:
            yield Option(tuple(sorted(changes.items())), words)


PAGES = (
    Hypothesis(
        "page of kernel hashes elsewhere in the chain",
        "pages",
        0.5,
        lambda start: _loaded_otherwise(start, "hashes"),
        "The page of kernel hashes comes at another place: the first QEMU patches measured it before the metadata's "
        "pages, and newer edk2 has its section at the end. Use the firmware file and the profile that the host uses.",
        ("F22", "F21"),
    ),
    Hypothesis(
        "a section of a type that a reader did not know",
        "pages",
        0.4,
        lambda start: _loaded_otherwise(start, "new"),
        "The firmware's metadata has a section of a newer type, and whoever made the launch or computed the reported "
        "digest left it out. QEMU takes unknown types for ZERO pages.",
        ("F23",),
    ),
    Hypothesis(
        "pages in another order or of another type",
        "pages",
        0.3,
        lambda start: _loaded_otherwise(start, "order", "type"),
        "The hypervisor loads the pages of the firmware's metadata in another order, as another type, or not at all. "
        "sevlab digest --trace shows each page; compare it with what the hypervisor logs.",
        ("F21", "F09"),
    ),
)


def _parts(start: SnpStart) -> Iterator[Option]:
    image = start.base_image if start.svsm is None else start.svsm
    names = ["the firmware", *(["the SVSM image"] if start.svsm is not None else [])]
    names += [f"section {place} of the metadata ({one.name})" for place, one in enumerate(image.sections, 1)]
    for number, name in enumerate(names):
        yield Option(number, f"the digest after {name}, with nothing after it")


def _readings(start: SnpStart) -> Iterator[Option]:
    for reading in start.given.measurements[1:]:
        if reading is not None:
            yield Option(reading.value, f"{reading.found} ({reading.form})")


REPORTED = (
    Hypothesis(
        "digest of a part of the launch",
        "part",
        0.5,
        _parts,
        "The value is a digest from within the launch: it covers what was loaded up to there, and no registers. The "
        "digest after the firmware is what --snp-ovmf-hash takes; a report holds the digest after all pages.",
    ),
    Hypothesis(
        "digest in another form",
        "measurement",
        0.6,
        _readings,
        "It was copied in another form than 48 bytes in their order, as hex or base64.",
        ("F33",),
    ),
)

HYPOTHESES: tuple[Hypothesis, ...] = (*LOADED, *PAGES, *CPUS, *REPORTED)
