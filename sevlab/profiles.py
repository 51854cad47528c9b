"""What a VMM puts into a virtual CPU's first VMSA: initial states, as data with sources and dates.

A VMM (virtual machine monitor: QEMU with KVM, or a cloud's own) decides the registers a virtual CPU starts with, and a
few of them changed over the years. Each known behaviour is a :class:`Profile`. :func:`build_vmsa` makes the page.

Two CPUs are told apart: the boot processor (number 0), which starts at the reset vector of every x86 processor, and
the application processors (all others, each with the same page), which start where the firmware says.

Sources: vmsa 2 and 3; incidents F01, F05, F07, F09 and section 2.
"""

from __future__ import annotations

from collections import namedtuple

from .errors import InputError, quoted
from .formats.vmsa import Segment, Vmsa
from .inputs import parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .layout.page import View

#: Where every x86 processor starts: 16 bytes below 4 GiB. CS base 0xffff0000 and RIP 0xfff0 add up to it.
RESET_VECTOR = 0xFFFFFFF0


class Profile(namedtuple("Profile", "name summary source since registers application")):
    """The initial state of virtual CPUs under one VMM.

    ``summary`` is one sentence, ``source`` says who knows it, ``since`` when it holds. ``registers`` are the fields of
    a :class:`~sevlab.formats.vmsa.Vmsa` that are not zero, for the boot processor; ``application`` are those that
    application processors have otherwise. Three things come from elsewhere: CS base and RIP, which are the upper and
    the lower 16 bits of the address where the CPU starts; SEV_FEATURES; and RDX, which is the CPU signature unless
    the profile fixes it.
    """

    __slots__ = ()

    @property
    def takes_signature(self) -> bool:
        """True when RDX holds the CPU signature; false when the profile fixes RDX."""
        return "rdx" not in self.registers

    def explain(self) -> View:
        """Show what the profile is, and its registers."""
        from .layout.page import Heading, Paragraph, Table, View

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
            Table(["field", "boot processor", "application processors"], rows, mono=[0, 1, 2]),
            Paragraph(
                f"Not in the table: CS base and RIP (where the CPU starts), SEV_FEATURES{rdx}. The rest is zero."
            ),
        )

    def __repr__(self) -> str:
        return f"<profile {self.name}>"

    def __str__(self) -> str:
        return self.explain().text()

    def _repr_html_(self) -> str:
        return self.explain().html()


def _segment(attrib: int, selector: int = 0) -> Segment:
    """Return a segment of 64 KiB at address 0, as after a reset. *attrib* 0 is for a table, which has none."""
    return Segment(selector=selector, attrib=attrib, limit=0xFFFF, base=0)


_DATA, _TABLE = _segment(0x93), _segment(0)

#: What AMD's reset state, KVM and QEMU together give, floating-point control words aside.
_LEGACY: dict[str, object] = {
    **dict.fromkeys(("es", "ss", "ds", "fs", "gs"), _DATA),
    **dict.fromkeys(("gdtr", "idtr"), _TABLE),
    "cs": _segment(0x9B, selector=0xF000),
    "ldtr": _segment(0x82),
    "tr": _segment(0x8B),
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
    "cs": _segment(0x9A, selector=0xF000),
    "ss": _segment(0x92),
    "tr": _segment(0x83),
}
_EC2_APPLICATION: dict[str, object] = {"cs": _segment(0x9B, selector=0xF000)}

_KNOWN = (
    Profile(
        "qemu",
        "QEMU on KVM, the guest made with KVM_SEV_INIT2: the floating-point control words have their reset values.",
        "Linux; sev-snp-measure 0.0.10 and later (virtee/sev-snp-measure#48)",
        "Linux 6.10 (2024), for SEV-SNP always, for SEV-ES only when QEMU is told legacy-vm-type=off",
        {**_LEGACY, "mxcsr": 0x1F80, "x87_fcw": 0x37F},
        {},
    ),
    Profile(
        "qemu-legacy",
        "QEMU on KVM, the guest made with KVM_SEV_ES_INIT: the floating-point control words are zero.",
        "libvirt 9.0 (virt-qemu-sev-validate), sevctl, sev-snp-measure up to 0.0.9",
        "the first SEV-ES hosts; still what upstream QEMU does for SEV-ES",
        _LEGACY,
        {},
    ),
    Profile(
        "ec2",
        "AWS EC2 (SEV-SNP): RDX is 0x600, and CS, SS and TR have other attributes than under QEMU.",
        "sev-snp-measure 0.0.13 (virtee/sev-snp-measure#60), aws/uefi#19; not confirmed on hardware here",
        "reported on 2026-04-09; instances launched earlier keep ec2-rdx0",
        {**_EC2, "rdx": 0x600},
        _EC2_APPLICATION,
    ),
    Profile(
        "ec2-rdx0",
        "AWS EC2 (SEV-SNP) as it was before: RDX is 0, all else as in ec2.",
        "sev-snp-measure up to 0.0.12, sev crate; not confirmed on hardware here",
        "the first SEV-SNP instances (2023), until April 2026",
        {**_EC2, "rdx": 0},
        _EC2_APPLICATION,
    ),
    Profile(
        "gce",
        "Google Compute Engine (SEV-SNP): RDX is 0x600, and G_PAT, the cache settings, is another.",
        "sev-snp-measure 0.0.12 and later (virtee/sev-snp-measure#56); not confirmed on hardware here",
        "reported on 2025-07-07",
        {**_LEGACY, "g_pat": 0x0000000000070106, "rdx": 0x600},
        {},
    ),
)

#: Every profile by its name.
PROFILES: dict[str, Profile] = {profile.name: profile for profile in _KNOWN}


def find_profile(name: str, input: str = "profile") -> Profile:
    """Return the profile of this name. Raises InputError, naming *input*, for an unknown one."""
    if name not in PROFILES:
        raise InputError(input, quoted(name), f"one of {', '.join(PROFILES)}")
    return PROFILES[name]


def build_vmsa(
    profile: str,
    *,
    cpu: int = 0,
    signature: int | None = None,
    reset_address: int | None = None,
    sev_features: int = 0,
) -> Vmsa:
    """Build the page that a VMM makes for a virtual CPU (4096 bytes).

    *profile* names the VMM's behaviour, a key of :data:`PROFILES`. *cpu* 0 is the boot processor; all others get the
    same page, and need *reset_address*: where they start, the 32-bit address in the firmware's SEV-ES reset block.
    *signature* goes into RDX (see :func:`cpu_signature`); profiles that fix RDX do without. *sev_features* is the
    64-bit SEV_FEATURES.

    Raises :class:`~sevlab.errors.InputError` for an unknown profile, a missing value or one out of range.
    """
    chosen = find_profile(profile)
    values = dict(chosen.registers)
    if chosen.takes_signature:
        if signature is None:
            raise InputError("signature", "nothing", f"the CPU signature: profile {profile} puts it into RDX")
        values["rdx"] = parse_number(signature, "signature", 0xFFFFFFFF)
    values["sev_features"] = parse_number(sev_features, "sev_features", 0xFFFFFFFFFFFFFFFF)
    start = RESET_VECTOR
    if parse_number(cpu, "cpu", 0xFFFFFFFF):
        values.update(chosen.application)
        start = parse_reset_address(reset_address)
    return start_at(Vmsa.from_bytes(bytes(Vmsa.size)).replace(**values), start)


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


def recognize_vmsa(vmsa: Vmsa) -> list[tuple[Profile, bool, list[str]]]:
    """Say which profiles build this page: each profile, whether for the boot processor, and the fields that differ.

    The page's own signature, start address and features are taken as given. The nearest profile comes first; with no
    field that differs, it builds the page exactly.
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
