"""All hypotheses of SEV-SNP, in order. If two give a parameter the same value, the first is reported.

Those about files in general are those of SEV (:mod:`~sevlab.diagnosis.hypotheses_sev`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..formats.ovmf import BUILDS
from ..formats.ovmf_tables import SECTION_TYPES
from ..formats.page_info import UNMEASURED, ZERO, PageType
from ..formats.vmsa import SevFeatures
from ..launch.snp import DEFAULT_PROFILE
from ..launch.vmm import SNP_PROFILES, Profile
from .hypotheses_sev import FIRMWARE, KERNEL, LIKELY_FEATURES, counts, other_start, signatures
from .model import Hypothesis, Option, mistake

if TYPE_CHECKING:
    from .start import SnpStart


_NUMBERS = {kind.name: number for number, kind in SECTION_TYPES.items()}
_SEC_MEM, _CPUID, _HASHES = (_NUMBERS[name] for name in ("SEC_MEM", "CPUID", "KERNEL_HASHES"))
#: Section types that are younger than some of their readers.
_NEW = {_NUMBERS["SVSM_CAA"]}
_DEBUG_SWAP = SevFeatures.debug_swap.mask
_ADVICE = "Compute with the profile found if you accept such a host; else start the guest on one like yours."
#: How two hosts may differ, and what that resembles.
_WORDS = "the floating-point control words differ"
_SWITCH = "DebugSwap differs"
_CLOUD = "the hypervisor is another one"
_RESEMBLES = {_WORDS: ("F05",), _SWITCH: ("F01", "F02", "F03"), _CLOUD: ("F21",)}
#: What a profile resembles by itself: F04, where a release of a tool took it for all hosts.
_OWN = {
    "qemu-hashes-first": ("F22", "F04"),
    "ec2": ("F07",),
    "ec2-rdx0": ("F07",),
    "gce": ("F09",),
    "gce-genoa": ("F09",),
}
_HOSTS = [profile for profile in SNP_PROFILES.values() if not profile.is_flat]


@mistake("digest of another firmware", "ovmf_hash", 0.6, "F25")
def _own_hash(start: SnpStart) -> Iterator[Option]:
    """The digest given in the firmware's place is not that of this firmware file: it was computed from another build.
    Compute it again (sevlab digest --mode snp:ovmf-hash), or leave it out."""
    if start.ovmf_hash is not None:
        yield Option(None, None)


@mistake("another SVSM image", "svsm", 0.6, "F25")
def _candidate_svsms(start: SnpStart) -> Iterator[Option]:
    """The host loaded another SVSM image, for example of another release."""
    for file in start.files if start.svsm is not None else ():
        if file.firmware is not None and file.firmware.entry is not None:
            yield Option(file.firmware, file.path)


@mistake("another size of the variable store", "vars", 0.4, "F21")
def _stores(start: SnpStart) -> Iterator[Option]:
    """The SVSM image lies below the firmware's variable store, so the size of the store decides its address, which is
    measured. Give the size of the OVMF_VARS file that the host uses."""
    if start.svsm is not None:
        for size in (0, *dict.fromkeys(store for _, _, store in BUILDS)):
            yield Option(size, size)


@mistake("firmware without a section for kernel hashes", "kernel", 0.8, "F16", "A09")
def _unhashed(start: SnpStart) -> Iterator[Option]:
    """This firmware has no section for kernel hashes, so nothing of the kernel is measured. Let the host use the AmdSev
    build of OVMF if the kernel is to be measured: others have a section too since edk2-stable202511, but no code that
    checks the hashes."""
    if start.launch.kernel is not None and not start.base_image.has_hashes:
        yield Option(None, None)


def _rules(start: SnpStart) -> Iterator[tuple[str, dict[str, object], str]]:
    """Yield how else a host may load the sections: kind of mistake, changed rules, words."""
    types = [section.type for section in (start.svsm or start.base_image).sections]
    rules = SNP_PROFILES[start.cpus.profile or DEFAULT_PROFILE].pages
    if _HASHES in types:
        place = "where the metadata has it" if rules.hashes_first else "before all other sections"
        yield "hashes", {"hashes_first": not rules.hashes_first}, f"the page of kernel hashes {place}"
        last: dict[str, object] = {"hashes_first": False, "hashes_last": True}
        yield "hashes", last, "the page of kernel hashes after all other sections"
    if _CPUID in types:
        place = "where the metadata has it" if rules.cpuid_last else "after all other sections"
        yield "order", {"cpuid_last": not rules.cpuid_last}, f"the CPUID page {place}"
    if _SEC_MEM in types:
        kind = UNMEASURED if rules.sec_mem == ZERO else ZERO
        yield "type", {"sec_mem": kind}, f"SEC_MEM sections as {PageType(kind).short} pages"
    for number in dict.fromkeys(types):
        is_old = number in SECTION_TYPES and number not in _NEW
        shown = SECTION_TYPES[number].name if number in SECTION_TYPES else f"of type 0x{number:x}"
        yield "order" if is_old else "new", {"left_out": frozenset({number})}, f"sections {shown} left out"


def _other_rules(start: SnpStart, *kinds: str) -> Iterator[Option]:
    return (Option(tuple(sorted(rules.items())), words) for kind, rules, words in _rules(start) if kind in kinds)


@mistake("page of kernel hashes elsewhere in the chain", "pages", 0.5, "F22", "F21")
def _hashes_elsewhere(start: SnpStart) -> Iterator[Option]:
    """The page of kernel hashes comes at another place: the first QEMU patches measured it before the metadata's pages,
    and newer edk2 has its section at the end. Use the firmware file and the profile that the host uses."""
    return _other_rules(start, "hashes")


@mistake("a section of a type that a reader did not know", "pages", 0.4, "F23")
def _unknown_section(start: SnpStart) -> Iterator[Option]:
    """The firmware's metadata has a section of a newer type, and whoever made the launch or computed the reported
    digest left it out. QEMU takes unknown types for ZERO pages."""
    return _other_rules(start, "new")


@mistake("pages in another order or of another type", "pages", 0.3, "F21", "F09")
def _other_order(start: SnpStart) -> Iterator[Option]:
    """The hypervisor loads the pages of the firmware's metadata in another order, as another type, or not at all.
    sevlab digest --trace shows each page; compare it with what the hypervisor logs."""
    return _other_rules(start, "order", "type")


def _differences(given: Profile | None, found: Profile, is_set: bool) -> tuple[str, ...]:
    """Return how the profile found differs from the one given; *is_set*: SEV_FEATURES stay as they are."""
    if given is None:
        return ()
    if not (given.takes_signature and found.takes_signature):
        changed = {name for name, value in found.registers.items() if given.registers.get(name) != value}
        return () if changed <= {"rdx"} and given.pages == found.pages else (_CLOUD,)
    words = any(given.registers.get(name) != found.registers.get(name) for name in ("mxcsr", "x87_fcw"))
    switch = not is_set and bool((given.features ^ found.features) & _DEBUG_SWAP)
    return (*([_WORDS] if words else []), *([_SWITCH] if switch else []))


def _is_first(found: Profile, is_set: bool) -> bool:
    """Whether no earlier profile makes the same launch; *is_set*: SEV_FEATURES stay as they are."""
    earlier = _HOSTS[: _HOSTS.index(found)] if is_set else []
    return all((one.registers, one.pages) != (found.registers, found.pages) for one in earlier)


def _profile(start: SnpStart, found: Profile, differences: tuple[str, ...]) -> Iterator[Option]:
    given = None if start.cpus.profile is None else SNP_PROFILES[start.cpus.profile]
    is_set = given is None or start.cpus.features is not None
    if _differences(given, found, is_set) == differences and _is_first(found, is_set):
        yield Option(found.name, found.name)


def _other_profiles() -> Iterator[Hypothesis]:
    """Yield the mistake of another host: for each profile, and each way to differ from the one given."""
    for found in _HOSTS:
        pairs = [(given, is_set) for given in (None, *_HOSTS) for is_set in (given is None, True) if given is not found]
        ways = (_differences(given, found, is_set) for given, is_set in pairs if _is_first(found, is_set))
        for differences in dict.fromkeys(ways):
            against = f"Compared with the profile given, {' and '.join(differences)}. " if differences else ""

            def options(
                start: SnpStart, found: Profile = found, differences: tuple[str, ...] = differences
            ) -> Iterator[Option]:
                return _profile(start, found, differences)

            yield Hypothesis(
                f"profile {found.name}",
                "profile",
                0.7,
                options,
                f"{against}{found.summary} Since: {found.since}. Source: {found.source}. {_ADVICE}",
                (*(key for words in differences for key in _RESEMBLES[words]), *_OWN.get(found.name, ("F04",))),
            )


def _debug_swap(name: str, with_svsm: bool, *incidents: str) -> Hypothesis:
    @mistake(name, "features", 0.7, *incidents)
    def debug_swap(start: SnpStart) -> Iterator[Option]:
        """The host's kernel sets DebugSwap (0x20) in SEV_FEATURES, or leaves it clear: AMD's own kernels set it from
        Linux 6.6 to about 6.8, and kvm_amd debug_swap=0 switches it off. Compute with the features found if you accept
        them; else switch it on the host."""
        if start.features is not None and (start.svsm is not None) == with_svsm:
            value = start.features ^ _DEBUG_SWAP
            yield Option(value, value)

    return debug_swap


@mistake("other SEV_FEATURES", "features", 0.4, "F01")
def _features(start: SnpStart) -> Iterator[Option]:
    """The host sets other SEV_FEATURES in the registers. SEV-SNP needs bit 0; sevlab vmsa show says what the others do
    to the guest. Compute with the features found only if you accept them."""
    given = start.features
    flipped = [] if given is None else [given ^ 1 << bit for bit in range(64)]
    for value in dict.fromkeys([*LIKELY_FEATURES, *flipped]):
        if value != given:
            yield Option(value, value, value in LIKELY_FEATURES)


def _signatures(start: SnpStart, is_given: bool) -> Iterator[Option]:
    """Return the options for the CPU model if whether one was given is as asked."""
    return signatures() if (start.signature is not None or start.cpus.boot is not None) == is_given else iter(())


@mistake("another CPU model", "model", 0.7, "F11", "F12")
def _models(start: SnpStart) -> Iterator[Option]:
    """The virtual CPU is of another model. What counts is QEMU's model of the guest (-cpu), not the processor of the
    host. Compute with the model found, or give the host the right -cpu."""
    return _signatures(start, is_given=True)


@mistake("registers of one CPU, or of all, with an SVSM", "count", 0.7, "F10", "F15")
def _one_or_all(start: SnpStart) -> Iterator[Option]:
    """With an SVSM some hosts measure the registers of the first virtual CPU alone, others those of all."""
    if start.svsm is not None and start.count is not None:
        yield from (option for option in counts(start) if 1 in (start.count, option.value))


@mistake("another number of virtual CPUs", "count", 0.8, "F15")
def _counts(start: SnpStart) -> Iterator[Option]:
    """SEV-SNP measures one page for every virtual CPU, also for those that are only there to be plugged in later.
    Compute with the number found: one image has as many digests as shapes."""
    return iter(()) if start.count is None else counts(start)


@mistake("CPU model that was not given", "model", 0.8, "F11", "F12")
def _missing_model(start: SnpStart) -> Iterator[Option]:
    """No CPU model was given, so all were tried. What counts is QEMU's model of the guest (-cpu), not the processor of
    the host."""
    return _signatures(start, is_given=False)


@mistake("number of virtual CPUs that was not given", "count", 0.8, "F15")
def _missing_count(start: SnpStart) -> Iterator[Option]:
    """No number of virtual CPUs was given, so all from 1 to 512 were tried."""
    return counts(start) if start.count is None else iter(())


@mistake("digest of a part of the launch", "part", 0.5)
def _parts(start: SnpStart) -> Iterator[Option]:
    """The value is a digest from within the launch: it covers what was loaded up to there, and no registers. The digest
    after the firmware is what --snp-ovmf-hash takes; a report holds the digest after all pages."""
    sections = (start.svsm or start.base_image).sections
    names = ["the firmware", *(["the SVSM image"] if start.svsm is not None else [])]
    names += [f"section {place} of the metadata ({one.name})" for place, one in enumerate(sections, 1)]
    return (Option(number, f"the digest after {name}, with nothing after it") for number, name in enumerate(names))


@mistake("digest in another form", "measurement", 0.6, "F33")
def _readings(start: SnpStart) -> Iterator[Option]:
    """It was copied in another form than 48 bytes in their order, as hex or base64."""
    found = (reading for reading in start.inputs.measurements[1:] if reading is not None)
    return (Option(reading.value, f"{reading.found} ({reading.form})") for reading in found)


HYPOTHESES: tuple[Hypothesis, ...] = (
    *(*FIRMWARE, _own_hash, _candidate_svsms, _stores, _unhashed, *KERNEL),
    *(_hashes_elsewhere, _unknown_section, _other_order),
    *_other_profiles(),
    _debug_swap("DebugSwap with an SVSM", True, "F10", "F01"),
    _debug_swap("DebugSwap", False, "F01", "F02", "F03"),
    *(_features, _models, _one_or_all, _counts, _missing_model, _missing_count, other_start),
    *(_parts, _readings),
)
