"""A SEV-SNP launch: which pages a host loads and in which order, their chain, and what it looks like.

::

    firmware       page by page, ending at 4 GiB             NORMAL
    sections       what the firmware's metadata asks for     ZERO, SECRETS, CPUID, NORMAL with kernel hashes
    registers      one page for each virtual CPU             VMSA

The order of the sections is that of the file, unless a profile has other rules (:class:`~sevlab.launch.vmm.PageRules`).
Sources: snp-launch 2.4; measured-direct-boot 2.4, 4 and 5 (QEMU, edk2, sev-snp-measure).
"""

from __future__ import annotations

from collections import namedtuple
from itertools import accumulate

from ..errors import InputError, named, quoted
from ..formats.kernel_hashes import KernelHashes
from ..formats.ovmf import FOUR_GIB, parse_ovmf
from ..formats.ovmf_tables import SECTION_TYPES, SVSM_INFO
from ..formats.page_info import CPUID, DIGEST, NORMAL, PAGE, PAGE_DOCS, SECRETS, VMSA, ZERO, ZEROS, PageType
from .inputs import EMPTY, EMPTY_KERNEL, FIRMWARE_LIMIT, LaunchInputs, load_table, read_cpus, read_image
from .pages import Region, blank_region, cpu_region, digests, extend, fold, hash_pages, hash_vmsa, links
from .reading import load_size, open_input, opened_once
from .sev import BaseLaunch
from .values import parse_bytes, parse_number
from .vmm import SNP_PROFILES, PageRules, build_registers, find_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..formats.ovmf import Ovmf
    from ..formats.ovmf_tables import Section
    from ..formats.vmsa import Vmsa
    from ..layout.views import View
    from .pages import Link
    from .vmm import Profile

#: Most pages that a firmware's metadata may ask for (1 GiB), so that a broken file does not cost hours.
PAGES_LIMIT = 1 << 18
_NUMBERS = {kind.name: number for number, kind in SECTION_TYPES.items()}
_SEC_MEM, _HASHES = _NUMBERS["SEC_MEM"], _NUMBERS["KERNEL_HASHES"]
_ONE_PAGE = {_NUMBERS["SECRETS"]: SECRETS, _NUMBERS["CPUID"]: CPUID}
#: The colour of each page type in every table and drawing.
TYPE_COLOURS = {
    "NORMAL": "blue",
    "VMSA": "purple",
    "ZERO": "grey",
    "UNMEASURED": "brown",
    "SECRETS": "pink",
    "CPUID": "yellow",
}


class Loaded(namedtuple("Loaded", "region after")):
    """Pages of one region, and the launch digest after them."""

    __slots__ = ()

    @property
    def loaded(self) -> object:
        return self.region.loaded


class SnpLaunch(BaseLaunch):
    """Pages in order. ``digest`` is the launch digest: 48 bytes, what the report calls MEASUREMENT.

    ``start`` is the digest before the pages: zeros, or the digest after the firmware where only that was given.
    ``further`` is CONTENTS of the page that one more virtual CPU would add (48 bytes), None where it is not known. For
    the other arguments see :class:`~sevlab.launch.sev.BaseLaunch`.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        warnings: Sequence[str] = (),
        start: bytes = ZEROS,
        further: bytes | None = None,
        firmware: Ovmf | None = None,
    ) -> None:
        super().__init__(warnings, firmware)
        self.regions, self.start, self.further = tuple(regions), start, further
        #: The launch digest after each region (48 bytes).
        self.after = list(accumulate(self.regions, extend, initial=start))[1:]
        self.digest = self.after[-1] if self.after else start

    @property
    def pages(self) -> int:
        return sum(len(region.contents) for region in self.regions)

    @property
    def is_whole(self) -> bool:
        return self.start == ZEROS

    def links(self) -> Iterator[Link]:
        return links(self.regions, self.start)

    def runs(self) -> list[Loaded]:
        """Return the pages as they are shown: by region."""
        return [Loaded(*pair) for pair in zip(self.regions, self.after, strict=True)]

    def cpu_digests(self, count: int) -> list[bytes]:
        """Return the launch digests with 1, 2, ... *count* virtual CPUs, or only the first if no more are known."""
        cpus = [region for region in self.regions if region.page_type == VMSA]
        if not cpus:
            return []
        contents = cpus[0].contents[:1] + (() if self.further is None else (self.further,) * (count - 1))
        before = fold(self.regions[: len(self.regions) - len(cpus)], self.start)
        return list(digests(cpus[0]._replace(contents=contents), before))

    def as_dict(self) -> dict[str, object]:
        """Return the launch as JSON-ready data, region by region; digests are lower-case hex."""
        return {
            "digest": self.digest.hex(),
            "start": self.start.hex(),
            "regions": [
                {
                    "name": region.name,
                    "type": region.type_name,
                    "gpa": region.gpa,
                    "pages": len(region.contents),
                    "digest_after": after.hex(),
                }
                for region, after in self.runs()
            ],
            **self.judged(),
        }

    def explain(self) -> View:
        """Show the chain, region by region, and what each page type binds."""
        from ..layout.views import Heading, Paragraph, Table, View, hex_lines

        rows = [
            [region.name, place(region), str(len(region.contents)), region.type_name, hex_lines(after, 12), region.doc]
            for region, after in self.runs()
        ]
        colours = [TYPE_COLOURS[region.type_name] for region in self.regions]
        header = ["what", "guest address", "pages", "type", "launch digest after it", "what it is"]
        kinds = dict.fromkeys(region.page_type for region in self.regions)
        types = [[PageType(kind).short, PAGE_DOCS[kind]] for kind in kinds]
        begin = "48 zero bytes" if self.is_whole else f"the digest that was given: {self.start.hex()}"
        return View(
            Heading(f"{self.pages} pages, in {len(self.regions)} regions"),
            Paragraph(f"The chain begins with {begin}."),
            Table(header, rows, colours=colours, mono=[0, 1, 2, 3, 4]),
            *(Paragraph(line) for line in self.remarks),
            Table(["type", "what of it is bound, beside its address and its place in the order"], types, mono=[0]),
            Paragraph(f"Launch digest: {self.digest.hex()}"),
        )


def place(region: Region) -> str:
    """Return the first and the last address of a region."""
    if region.page_type == VMSA or len(region.contents) == 1:
        return f"0x{region.gpa:x}"
    return f"0x{region.gpa:x} to\n0x{region.gpa + region.size - 1:x}"


DEFAULT_PROFILE = "qemu"
#: The profile of every launch with an SVSM.
SVSM_PROFILE = "svsm"
#: A firmware image that was read, and the hashes of its pages (SHA-384, 48 bytes each).
Image = namedtuple("Image", "ovmf contents")
#: Most images that are remembered, and the most bytes of one.
_KEPT, _KEPT_SIZE = 4, 16 << 20
_known: dict[tuple[int, ...], Image] = {}


def load_image(path: str, name: str = "firmware") -> Image:
    """Read a firmware file (``-`` is standard input) and hash its pages.

    An image is remembered for as long as its file stays the same (device, inode, size, time of change). Raises
    :class:`~sevlab.errors.InputError` with *name* for a file that cannot be read, is empty, larger than 64 MiB, or not
    made of whole pages.
    """
    with open_input(path, name) as stream:
        key = stream.identity
        if (known := _known.get(key)) is not None:
            return known
        raw = read_image(stream, path, name)
        is_kept = bool(key) and key == stream.identity and len(raw) <= _KEPT_SIZE
    image = make_image(raw, name, quoted(path))
    if is_kept:
        for old in [*_known][: max(0, len(_known) + 1 - _KEPT)]:
            _known.pop(old, None)  # which another thread may have done
        _known[key] = image
    return image


def make_image(raw: bytes, name: str = "firmware", shown: str = "an image") -> Image:
    """Return the bytes of a firmware image with the hashes of its pages; *shown* describes it in a refusal."""
    advice = "sevlab ovmf FILE says what it is"
    if len(raw) % PAGE:
        raise InputError(name, f"{shown}, {len(raw)} bytes", f"whole pages of {PAGE} bytes", advice)
    ovmf = parse_ovmf(raw)
    if faults := [one for one in ovmf.faults if one.startswith("SEV metadata")]:
        raise InputError(name, f"{shown}: {faults[0]}", "SEV metadata that can be read whole", advice)
    return Image(ovmf, hash_pages(raw))


@opened_once()
def load_snp_launch(**inputs: Any) -> SnpLaunch:
    """Return the SEV-SNP launch that is made of these inputs (:class:`~sevlab.launch.inputs.LaunchInputs`).

    Without ``guest_features`` SEV_FEATURES is the profile's. Raises :class:`~sevlab.errors.InputError` for inputs that
    cannot be used or do not go together.
    """
    given = LaunchInputs(**inputs)
    if given.firmware is None:
        raise InputError("firmware", "nothing", "a firmware image")
    _check(given)
    name = given.profile if given.profile is not None else DEFAULT_PROFILE if given.svsm is None else SVSM_PROFILE
    profile = find_profile(name, "profile", SNP_PROFILES)
    features = profile.features if given.guest_features is None else given.guest_features
    cpus = read_cpus(given.replace(profile=name, guest_features=features), DEFAULT_PROFILE, SNP_PROFILES)
    if cpus.count is None:
        raise InputError("num_cpus", "nothing", "the number of virtual CPUs, each of which is measured")
    warnings: list[str] = []
    start: int | None
    image = load_image(str(given.firmware))
    if given.svsm is not None:
        regions, start = _svsm(given, image, warnings.append)
    else:
        regions = load_sections(image, profile.pages, given, warnings.append)
        start = image.ovmf.reset_address
    # Two at least, to know what one more would add.
    known = cpus.count if start is None or cpus.boot is not None else max(2, cpus.count)
    boot, further = build_registers(cpus, start, known)
    started = ZEROS
    if given.ovmf_hash is not None:
        started, regions = parse_ovmf_hash(given.ovmf_hash), regions[1:]
    one_more = boot if profile.is_flat else further
    return SnpLaunch(
        [*regions, *register_regions(boot, further, cpus.count, profile)],
        warnings,
        started,
        None if one_more is None else hash_vmsa(one_more),
        None if given.kernel is None else image.ovmf,
    )


def load_sections(image: Image, rules: PageRules, inputs: LaunchInputs, warn: Callable[[str], object]) -> list[Region]:
    """Return the pages of a firmware and of its metadata, with the hashes of a kernel if one is given."""
    table = None
    if inputs.kernel is not None:
        if not has_hashes(image.ovmf):
            from ..data import INCIDENTS

            received = f"one for a firmware without a section for kernel hashes ({INCIDENTS['F16'].name})"
            needed = "a firmware whose SEV metadata has a KERNEL_HASHES section"
            advice = f"OvmfPkg/AmdSev of edk2 as {named('firmware')}, which checks them too: sevlab ovmf FILE shows"
            raise InputError("kernel", received, needed, advice)
        table = load_table(inputs, empty=True)
        if table.kernel == EMPTY:
            warn(EMPTY_KERNEL)
    sections = section_regions(image.ovmf, rules, table, "firmware", warn)
    return [firmware_region(*image), *sections]


def firmware_region(ovmf: Ovmf, contents: tuple[bytes, ...]) -> Region:
    """Return the pages of a firmware image, which ends at 4 GiB. *contents* are the hashes of its pages."""
    return Region("firmware", NORMAL, FOUR_GIB - ovmf.size, contents, "The firmware image, page by page.", ovmf.image)


def section_regions(
    ovmf: Ovmf, rules: PageRules, table: KernelHashes | None, name: str, warn: Callable[[str], object]
) -> list[Region]:
    """Return the pages that the metadata of a firmware asks for, in the order in which they are loaded.

    *table* are the kernel hashes, None without a kernel. *name* is the input that errors name; *warn* takes warnings.
    Raises :class:`~sevlab.errors.InputError` for sections that cannot be loaded.
    """
    sections = list(ovmf.sections)
    for number, section in enumerate(sections, 1):
        if section.base % PAGE or (section.size % PAGE and section.type not in _ONE_PAGE):
            received = f"section {number} at 0x{section.base:x} with 0x{section.size:x} bytes in its SEV metadata"
            raise InputError(name, received, "whole pages of 4096 bytes", "sevlab ovmf FILE shows the metadata")
    pages = sum(section.size // PAGE for section in sections)
    if pages > PAGES_LIMIT:
        needed = f"at most {PAGES_LIMIT} ({PAGES_LIMIT * PAGE >> 20} MiB)"
        raise InputError(name, f"SEV metadata that asks for {pages} pages", needed, "sevlab ovmf FILE shows it")
    if not sections:
        warn(
            f"{name}: no SEV-SNP metadata in this firmware, so nothing but its image and the registers is measured. "
            "QEMU may start it, but it is not made for SEV-SNP; sevlab ovmf FILE says what it is"
        )
    places = {_HASHES: rules.hashes_last - rules.hashes_first, _NUMBERS["CPUID"]: int(rules.cpuid_last)}
    loaded = sorted(sections, key=lambda section: places.get(section.type, 0))
    return [_region(one, ovmf, rules, table, name, warn) for one in loaded if one.type not in rules.left_out]


def has_hashes(ovmf: Ovmf) -> bool:
    """Return whether a firmware has a section and an area for kernel hashes."""
    return ovmf.hash_area is not None and any(section.type == _HASHES for section in ovmf.sections)


def _region(
    section: Section, ovmf: Ovmf, rules: PageRules, table: KernelHashes | None, name: str, warn: Callable[[str], object]
) -> Region:
    doc = str(section.kind.doc)
    if section.type in _ONE_PAGE:
        if section.size != PAGE:
            warn(f"{name}: the {section.name} section has 0x{section.size:x} bytes; only its first page is measured")
        return blank_region(section.name, _ONE_PAGE[section.type], section.base, PAGE, doc)
    if section.type == _HASHES and table is not None:
        raw = _hash_page(section, ovmf, table, name)
        return Region("kernel hashes", NORMAL, section.base, hash_pages(raw), doc, raw)
    if section.type not in SECTION_TYPES:
        warn(
            f"{name}: section type 0x{section.type:x} is not known; it is taken for ZERO pages, as QEMU does "
            "(sev-snp-measure stops there)"
        )
    page_type = rules.sec_mem if section.type == _SEC_MEM else ZERO
    return blank_region(section.name, page_type, section.base, section.size, doc)


def _hash_page(section: Section, ovmf: Ovmf, table: KernelHashes, name: str) -> bytes:
    """Return the pages of the section with the table in them: zeros, table, zeros."""
    assert ovmf.hash_area is not None
    place = ovmf.hash_area[0] % PAGE
    if place + KernelHashes.size > section.size:
        received = f"{quoted(f'0x{ovmf.hash_area[0]:x}')} as the address of the hashes, which its page cannot hold"
        raise InputError(name, received, f"{KernelHashes.size} bytes within the KERNEL_HASHES section")
    return (bytes(place) + table.to_bytes()).ljust(section.size, b"\0")


def svsm_region(svsm: Ovmf, contents: tuple[bytes, ...], ovmf: Ovmf, vars_size: int) -> Region:
    """Return the pages of an SVSM image, which ends where OVMF's variable store begins, directly below its code."""
    base = FOUR_GIB - ovmf.size - vars_size - svsm.size
    if base < 0 or base % PAGE:
        received = f"an image of {svsm.size} bytes below {vars_size} of variables"
        raise InputError("svsm", received, "whole pages below 4 GiB")
    return Region("SVSM", NORMAL, base, contents, "The SVSM image, page by page.", svsm.image)


def svsm_offset(svsm: Ovmf) -> int | None:
    """Return where in an SVSM image its first instruction is; None for an image that does not say so."""
    entry = None if svsm.trailing else svsm.find(SVSM_INFO)
    return int(entry.value.offset) if entry is not None and entry.value is not None else None


def register_regions(boot: Vmsa, further: Vmsa | None, count: int, profile: Profile) -> list[Region]:
    """Return the pages of *count* virtual CPUs. Under a flat profile all have the boot CPU's page."""
    gpa = profile.pages.vmsa_gpa
    if profile.is_flat:
        return [cpu_region(boot, 0, count, "Initial registers of every CPU.", gpa)]
    first = cpu_region(boot, 0, 1, "Initial registers of the boot CPU.", gpa)
    if further is None or count == 1:
        return [first]
    return [first, cpu_region(further, 1, count - 1, "Initial registers of every further CPU.", gpa)]


def load_ovmf_digest(path: str, name: str = "firmware") -> bytes:
    """Return the launch digest (48 bytes) after the pages of a firmware image alone."""
    return SnpLaunch([firmware_region(*load_image(path, name))]).digest


def _check(inputs: LaunchInputs) -> None:
    inputs.check()
    given = inputs.given
    both = [name for name in ("vars_size", "vars_file") if name in given]
    if inputs.svsm is None:
        if both:
            raise InputError(both[0], f"it without {named('svsm')}", named("svsm"))
        return
    for name in ("kernel", "ovmf_hash", "vmsa_cpu0"):
        if name in given:
            raise InputError(name, f"together with {named('svsm')}", "one of the two")
    if inputs.profile not in (None, SVSM_PROFILE):
        received = f"{quoted(inputs.profile)} together with {named('svsm')}"
        raise InputError("profile", received, f"{SVSM_PROFILE}, or none")
    if len(both) != 1:
        received = f"{named('vars_size')} and {named('vars_file')}" if both else "neither of the two"
        raise InputError("vars_size", received, f"{named('vars_size')} or {named('vars_file')}")


def _svsm(inputs: LaunchInputs, image: Image, warn: Callable[[str], object]) -> tuple[list[Region], int]:
    svsm = load_image(str(inputs.svsm), "svsm")
    if inputs.vars_file is not None:
        vars_size = load_size(str(inputs.vars_file), "vars_file")
    else:
        assert inputs.vars_size is not None
        vars_size = parse_number(inputs.vars_size, "vars_size", FIRMWARE_LIMIT)
    region = svsm_region(*svsm, image.ovmf, vars_size)
    if (offset := svsm_offset(svsm.ovmf)) is None:
        needed = "an SVSM image that says where it starts (SVSM info in its footer table)"
        raise InputError("svsm", svsm.ovmf.kind, needed, "the binary file of a Coconut SVSM build, not its IGVM file")
    sections = section_regions(svsm.ovmf, SNP_PROFILES[SVSM_PROFILE].pages, None, "svsm", warn)
    return [firmware_region(*image), region, *sections], region.gpa + offset


def parse_ovmf_hash(value: bytes | str) -> bytes:
    """Return the digest after the firmware, from bytes or hex digits. Zeros are refused: no firmware has them."""
    text = value if isinstance(value, str) else repr(value)
    raw = value if isinstance(value, bytes) and len(value) == DIGEST else parse_bytes(text, "ovmf_hash", DIGEST)
    if raw == ZEROS:
        advice = "sevlab digest --mode snp:ovmf-hash"
        raise InputError("ovmf_hash", "48 zero bytes", "the digest after the firmware", advice)
    return raw
