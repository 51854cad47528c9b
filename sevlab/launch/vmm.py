"""Virtual CPUs: the processors that QEMU shows a guest, and what a VMM puts into a CPU's first VMSA.

A VMM (virtual machine monitor: QEMU with KVM, or a cloud's own) decides the registers a virtual CPU starts with, and a
few of them changed over the years. Each known behaviour is a :class:`Profile`. :func:`build_vmsa` makes the page. RDX
holds the CPU signature: that of the model which QEMU shows the guest, not of the silicon below it (F12), and of the
model only family, model and stepping are measured.

The boot processor (number 0) starts at the reset vector of every x86 processor. The application processors (all others,
with the same page) start where the firmware says.

Sources: vmsa 2 and 3; incidents F01, F05, F07, F09, F12 and section 2.
"""

from __future__ import annotations

from collections import namedtuple
from functools import partial

from ..errors import InputError, checked, named, quoted
from ..formats.page_info import UNMEASURED, VMSA_GPA, VMSA_GPA_52, ZERO, PageType
from ..formats.vmsa import Segment, Vmsa
from ..layout.span import Explainable
from .values import parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..layout.views import View

#: Where every x86 processor starts: 16 bytes below 4 GiB. CS base 0xffff0000 and RIP 0xfff0 add up to it.
RESET_VECTOR = 0xFFFFFFF0


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
    and the rest, a model into its two hex digits. Raises :class:`~sevlab.errors.InputError` for a value out of range.
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
    ("EPYC-Milan", 4, Cpu(25, 1, 1)),
    ("EPYC-Genoa", 3, Cpu(25, 17, 0)),
    ("EPYC-Turin", 2, Cpu(26, 0, 0)),
)
#: QEMU's name of a CPU model, with and without version, to its processor.
CPU_MODELS: Mapping[str, Cpu] = {
    **{name: cpu for name, _, cpu in _MODELS},
    **{f"{name}-v{version}": cpu for name, newest, cpu in _MODELS for version in range(1, newest + 1)},
    "EPYC-IBPB": Cpu(23, 1, 2),
}


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


class PageRules(
    namedtuple(
        "PageRules",
        "sec_mem cpuid_last hashes_first hashes_last left_out vmsa_gpa",
        defaults=(ZERO, False, False, False, frozenset(), VMSA_GPA),
    )
):
    """How a VMM loads the pages that the firmware's metadata asks for, for a SEV-SNP guest.

    ``sec_mem`` is the page type of SEC_MEM sections, ``left_out`` are the numbers of section types that are not loaded
    at all. ``cpuid_last``: CPUID pages come after all other sections. ``hashes_first`` and ``hashes_last``: the page of
    kernel hashes comes before or after them. The rest is in the order of the metadata. ``vmsa_gpa``: of VMSA pages.
    """

    __slots__ = ()

    @property
    def text(self) -> str:
        words = [f"SEC_MEM sections are loaded as {PageType(self.sec_mem).short} pages"]
        words += ["CPUID pages come after all other sections"] if self.cpuid_last else []
        words += ["the page of kernel hashes comes before all other sections"] if self.hashes_first else []
        words += ["the page of kernel hashes comes after all other sections"] if self.hashes_last else []
        words += [f"sections of type {number:#x} are left out" for number in sorted(self.left_out)]
        words += [f"VMSA pages are at 0x{self.vmsa_gpa:x}"] if self.vmsa_gpa != VMSA_GPA else []
        return "; ".join([*words, "the rest is in the order of the metadata"])


class Profile(
    Explainable,
    namedtuple(
        "Profile", "name summary source since registers application features pages", defaults=({}, 1, PageRules())
    ),
):
    """The initial state of virtual CPUs under one VMM.

    ``registers`` are the fields of a :class:`~sevlab.formats.vmsa.Vmsa` that are not zero, for the boot processor;
    ``application`` are those that differ for application processors. ``features`` is the default SEV_FEATURES of a
    SEV-SNP guest, and ``pages`` are the rules for its pages. Not part of a profile: CS base and RIP (the upper and the
    lower 16 bits of the address where the CPU starts), and RDX, the CPU signature, unless the profile fixes it.
    """

    __slots__ = ()

    @property
    def is_flat(self) -> bool:
        """Whether every CPU starts in 32-bit mode, all with one page: RIP is then the whole address."""
        return bool(self.registers["cr0"] & 1)  # PE, protected mode

    @property
    def takes_signature(self) -> bool:
        """Whether RDX holds the CPU signature; false when the profile fixes RDX."""
        return "rdx" not in self.registers

    def explain(self) -> View:
        from ..layout.views import Heading, Paragraph, Table, View

        page = Vmsa.from_bytes(bytes(Vmsa.size)).replace(**self.registers)
        others = page.replace(**self.application)
        rows = [
            [one.name, one.text, "the same" if one.raw == other.raw else other.text]
            for one, other in zip(page.spans(), others.spans(), strict=True)
            if any(one.raw) or any(other.raw)
        ]
        rdx = ", RDX (the CPU signature)" if self.takes_signature else ""
        return View(
            Heading(f"profile {self.name}"),
            Paragraph(self.summary),
            Paragraph(f"Source: {self.source}. Since: {self.since}."),
            Paragraph(f"SEV-SNP: SEV_FEATURES 0x{self.features:x} unless told otherwise. Pages: {self.pages.text}."),
            Table(["field", "boot processor", "application processors"], rows, mono=[0, 1, 2]),
            Paragraph(
                f"Not in the table: CS base and RIP (where the CPU starts), SEV_FEATURES{rdx}. The rest is zero."
            ),
        )

    def __repr__(self) -> str:
        return f"<profile {self.name}>"


#: A segment as after a reset: 64 KiB at address 0. Tables have no attributes.
_TABLE = Segment(selector=0, attrib=0, limit=0xFFFF, base=0)
_DATA = _TABLE.replace(attrib=0x93)
#: What AMD's reset state, KVM and QEMU together give, except for the floating-point control words.
_LEGACY: dict[str, object] = {
    **dict.fromkeys(("es", "ss", "ds", "fs", "gs"), _DATA),
    **dict.fromkeys(("gdtr", "idtr"), _TABLE),
    "cs": _TABLE.replace(attrib=0x9B, selector=0xF000),
    "ldtr": _TABLE.replace(attrib=0x82),
    "tr": _TABLE.replace(attrib=0x8B),
    "efer": 0x1000,
    "cr4": 0x40,
    "cr0": 0x10,
    "dr7": 0x400,
    "dr6": 0xFFFF0FF0,
    "rflags": 0x2,
    "g_pat": 0x0007040600070406,
    "xcr0": 0x1,
}
_EC2: dict[str, object] = {
    **_LEGACY,
    "cs": _TABLE.replace(attrib=0x9A, selector=0xF000),
    "ss": _TABLE.replace(attrib=0x92),
    "tr": _TABLE.replace(attrib=0x83),
}
_EC2_APPLICATION = {"cs": _LEGACY["cs"]}
_KNOWN = (
    Profile(
        "qemu",
        "QEMU on KVM, the guest made with KVM_SEV_INIT2: the floating-point control words have their reset values.",
        "Linux; sev-snp-measure 0.0.10 and later (virtee/sev-snp-measure#48)",
        "Linux 6.10 (2024), for SEV-SNP always, for SEV-ES when QEMU is told legacy-vm-type=off, or finds that it must",
        {**_LEGACY, "mxcsr": 0x1F80, "x87_fcw": 0x37F},
    ),
    Profile(
        "qemu-legacy",
        "QEMU on KVM, the guest made with KVM_SEV_ES_INIT: the floating-point control words are zero.",
        "libvirt 9.0 (virt-qemu-sev-validate), sevctl, sev-snp-measure up to 0.0.9",
        "the first SEV-ES hosts; still what upstream QEMU does for SEV-ES",
        _LEGACY,
    ),
    Profile(
        "ec2",
        "AWS EC2 (SEV-SNP): RDX is 0x600, and CS, SS and TR have other attributes than under QEMU.",
        "sev-snp-measure 0.0.13 (virtee/sev-snp-measure#60), aws/uefi#19; not confirmed on hardware here",
        "reported on 2026-04-09; instances launched earlier keep ec2-rdx0",
        {**_EC2, "rdx": 0x600},
        _EC2_APPLICATION,
        pages=PageRules(cpuid_last=True),
    ),
    Profile(
        "ec2-rdx0",
        "AWS EC2 (SEV-SNP) as it was before: RDX is 0, all else as in ec2.",
        "sev-snp-measure up to 0.0.12, sev crate; not confirmed on hardware here",
        "the first SEV-SNP instances (2023), until April 2026",
        {**_EC2, "rdx": 0},
        _EC2_APPLICATION,
        pages=PageRules(cpuid_last=True),
    ),
    Profile(
        "gce",
        "Google Compute Engine (SEV-SNP): RDX is 0x600, and G_PAT (the cache settings) differs from QEMU's.",
        "sev-snp-measure 0.0.12 and later (virtee/sev-snp-measure#56); not confirmed on hardware here",
        "reported on 2025-07-07",
        {**_LEGACY, "g_pat": 0x0000000000070106, "rdx": 0x600},
        pages=PageRules(sec_mem=UNMEASURED),
    ),
)
#: How KVM starts CPUs in 32-bit mode, as an SVSM (secure VM service module, runs below the firmware) needs them.
_SVSM_DATA = Segment(selector=0x10, attrib=0xC93, limit=0xFFFFFFFF, base=0)
#: Behaviours that only matter to SEV-SNP guests.
_SNP_ONLY = (
    Profile(
        "qemu-debug-swap",
        "QEMU on AMD's own kernels that switched DebugSwap on by themselves: SEV_FEATURES is 0x21.",
        "sev-snp-measure 0.0.9 (virtee/sev-snp-measure#32, #44), AMDESE/AMDSEV#195",
        "Linux 6.6 (October 2023) to about 6.8 (March 2024), out-of-tree; kvm_amd debug_swap=0 switches it off",
        _LEGACY,
        features=0x21,
    ),
    Profile(
        "qemu-hashes-first",
        "QEMU of the first SEV-SNP patches: the page of kernel hashes is measured before the metadata's other pages.",
        "sev-snp-measure up to 0.0.4 (virtee/sev-snp-measure#12)",
        "the first public SEV-SNP patches, until April 2023",
        _LEGACY,
        pages=PageRules(hashes_first=True),
    ),
    Profile(
        "gce-genoa",
        "Google Compute Engine on Genoa (SEV-SNP): as gce, but VMSA pages are at an address of 52 bits, not 48.",
        "gce-tcb-verifier at 74582c0; not confirmed on hardware here",
        "read in November 2026",
        {**_LEGACY, "g_pat": 0x0000000000070106, "rdx": 0x600},
        pages=PageRules(sec_mem=UNMEASURED, vmsa_gpa=VMSA_GPA_52),
    ),
    Profile(
        "svsm",
        "QEMU with a Coconut SVSM image: every CPU starts in 32-bit mode at the SVSM's first instruction.",
        "sev-snp-measure 0.0.11 and later (virtee/sev-snp-measure#53); the FPU control word is 0 there",
        "2024; newer SVSM releases come as IGVM files, which sevlab does not read",
        {
            **_LEGACY,
            **dict.fromkeys(("es", "ss", "ds", "fs"), _SVSM_DATA),
            "cs": Segment(selector=0x8, attrib=0xC9B, limit=0xFFFFFFFF, base=0),
            "cr0": 0x11,
            "mxcsr": 0x1F80,
        },
    ),
)
#: Every profile of a SEV-ES guest's registers by its name.
PROFILES: dict[str, Profile] = {profile.name: profile for profile in _KNOWN}
#: Every profile of a SEV-SNP host by its name.
SNP_PROFILES: dict[str, Profile] = {profile.name: profile for profile in (*_KNOWN, *_SNP_ONLY)}


def find_profile(name: str, input: str = "profile", known: Mapping[str, Profile] = PROFILES) -> Profile:
    """Return the profile of this name among *known*. Raises InputError, naming *input*, for an unknown one."""
    if name not in known:
        raise InputError(input, quoted(name), f"one of {', '.join(known)}", "sevlab profiles, which explains each")
    return known[name]


@checked
def build_vmsa(
    profile: str, *, cpu: int = 0, signature: int | None = None, reset_address: int | None = None, sev_features: int = 0
) -> Vmsa:
    """Build the page that a VMM makes for a virtual CPU (4096 bytes).

    *profile* is a key of :data:`SNP_PROFILES`. *cpu* 0 is the boot processor; all others get the same page, and need
    *reset_address*: where they start, the 32-bit address in the firmware's SEV-ES reset block. *signature* goes into
    RDX (see :func:`cpu_signature`) unless the profile fixes RDX.

    Raises :class:`~sevlab.errors.InputError` for an unknown profile, a missing value or one out of range.
    """
    chosen = find_profile(profile, known=SNP_PROFILES)
    values: dict[str, object] = dict(chosen.registers)
    if chosen.takes_signature:
        if signature is None:
            raise InputError("signature", "nothing", f"the CPU signature: profile {profile} puts it into RDX")
        values["rdx"] = parse_number(signature, "signature", 0xFFFFFFFF)
    values["sev_features"] = parse_number(sev_features, "sev_features", 0xFFFFFFFFFFFFFFFF)
    start = RESET_VECTOR
    if parse_number(cpu, "cpu", 0xFFFFFFFF) or chosen.is_flat:
        values.update(chosen.application)
        start = parse_reset_address(reset_address)
    if chosen.is_flat:
        values["rip"] = start
    page = Vmsa.from_bytes(bytes(Vmsa.size)).replace(**values)
    return page if chosen.is_flat else start_at(page, start)


def parse_reset_address(address: int | None, name: str = "reset_address") -> int:
    """Return where application processors start. Raises InputError for none, 0, or more than 32 bits."""
    needed = (
        "the address where application processors start, from the SEV-ES reset block in the firmware's footer table"
    )
    advice = "the firmware image of the guest; sevlab ovmf FILE says whether it has one"
    if address is None:
        raise InputError(name, "nothing", needed, advice)
    if parse_number(address, name, 0xFFFFFFFF) == 0:
        raise InputError(name, "0, which QEMU refuses", needed, advice)
    return address


def start_at(vmsa: Vmsa, address: int) -> Vmsa:
    """Return the page with CS base and RIP set so that the CPU starts at *address* (32 bits)."""
    return vmsa.replace(**{"cs.base": address & 0xFFFF0000, "rip": address & 0xFFFF})


@checked
def recognize_vmsa(vmsa: Vmsa) -> list[tuple[Profile, bool, list[str]]]:
    """Return the profiles, nearest first: each, whether for the boot processor, and the fields in which it differs.

    Signature, start address and features are taken from the page. A profile in which no field differs builds the page
    exactly.
    """
    found = []
    start = vmsa.cs.base + vmsa.rip & 0xFFFFFFFF
    is_boot = start == RESET_VECTOR
    for profile in PROFILES.values():
        built = build_vmsa(
            profile.name,
            cpu=0 if is_boot else 1,
            signature=vmsa.rdx & 0xFFFFFFFF,
            reset_address=start or RESET_VECTOR,
            sev_features=int(vmsa.sev_features),
        )
        found.append((profile, is_boot, vmsa.compare(built).differing))
    return sorted(found, key=lambda row: len(row[2]))


class Cpus:
    """Virtual CPUs: how many, and their pages, or the profile that makes these."""

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

    *start* is where the firmware makes further CPUs start, None when it is unknown; under a flat profile, where every
    CPU starts.
    """
    if cpus.boot is not None:
        if count > 1 and cpus.further is None:
            raise InputError("vmsa_cpu1", f"nothing, for {count} virtual CPUs", "the VMSA of the further CPUs")
        return cpus.boot, cpus.further
    profile = cpus.profile
    if profile is None or (cpus.signature is None and profile.takes_signature):
        needed = f"that, or {named('cpu_family')}, {named('cpu_model')} and {named('cpu_stepping')}"
        raise InputError("vmsa_cpu0", "nothing", needed)

    build = partial(build_vmsa, profile.name, signature=cpus.signature, sev_features=cpus.features)
    boot = build(reset_address=start if profile.is_flat else None)
    if count == 1:
        return boot, None
    if start is None:
        received = "a firmware that does not say where further CPUs start"
        needed = "one with a SEV-ES reset block in its footer table"
        raise InputError("firmware", received, needed, "sevlab ovmf FILE says what it is")
    return boot, build(cpu=1, reset_address=start)
