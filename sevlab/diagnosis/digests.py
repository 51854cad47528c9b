"""The launch digests of many launches that share their beginnings: every prefix is hashed once.

A digest of SEV and SEV-ES is one running SHA-256 over firmware, kernel-hashes table and save areas; that of SEV-SNP is
a chain of pages: firmware, sections, registers. In both, varying a later part starts from the hash of the earlier ones,
and one walk along the registers passes the digests of all numbers of virtual CPUs: 512 of them cost no more than one
launch with 512.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..errors import InputError
from ..formats.kernel_hashes import KernelHashes
from ..formats.page_info import PAGE, VMSA, VMSA_GPA
from ..formats.vmsa import Vmsa
from ..launch.pages import Region, digests, extend, fold, hash_pages, hash_vmsa
from ..launch.snp import firmware_region, has_hashes, section_regions, svsm_offset, svsm_region
from ..launch.vmm import RESET_VECTOR, SNP_PROFILES, PageRules, build_vmsa, start_at

if TYPE_CHECKING:
    from ..formats.ovmf import Ovmf
    from ..formats.ovmf_tables import Section


#: Most results kept of each kind. What is thrown away is computed again.
LIMIT = 512
#: Most digests kept in all chains, of 80 bytes each: a guest may have thousands of virtual CPUs.
_DIGESTS = 1 << 17
#: Most kinds of CPUs whose pages are kept as hashes. Each takes some hundred bytes.
_HASHES = 1 << 15
_FEATURES_AT = next(row.offset for row in Vmsa.rows if row.name == "sev_features")


@dataclass(frozen=True)
class Image:
    """A firmware image of SEV: its SHA-256, the hash to continue from (None if only the digest is known), its size in
    bytes, and where further CPUs start."""

    digest: bytes
    running: Any
    size: int
    reset_address: int | None


# These two are keys of dictionaries, looked up for each launch that is tried: a named tuple is hashed in C.
class Kernel(NamedTuple):
    """The kernel-hashes table: three SHA-256 digests (32 bytes each), and how many bytes of it are measured."""

    kernel: bytes
    initrd: bytes
    cmdline: bytes
    size: int = KernelHashes.size

    @property
    def table(self) -> KernelHashes:
        """The table itself."""
        return KernelHashes(kernel=self.kernel, initrd=self.initrd, cmdline=self.cmdline)


class Cpus(NamedTuple):
    """How virtual CPUs start.

    Without pages from files (``boot`` None) the profile builds them. With pages, whatever is not None replaces what
    they have. ``reset_address`` None is the firmware's own.
    """

    profile: str | None
    signature: int | None
    features: int | None
    reset_address: int | None = None
    boot: bytes | None = None
    further: bytes | None = None


class SevDigests:
    """Computes launch digests of SEV and SEV-ES (32 bytes each), and remembers what they share."""

    def __init__(self) -> None:
        self._chains: dict[tuple[bytes, Kernel | None, Cpus], tuple[Any, list[bytes]]] = {}

    def plain(self, image: Image, kernel: Kernel | None) -> bytes:
        """Return the digest of plain SEV. *kernel* None: no table."""
        return image.digest if kernel is None else bytes(self._begin(image, kernel).digest())

    def chain(self, image: Image, kernel: Kernel | None, cpus: Cpus, count: int) -> list[bytes]:
        """Return the digests of SEV-ES with 1, 2, ... virtual CPUs: *count* of them, or more.

        Only the first if nothing says how further CPUs start. Raises :class:`~sevlab.errors.InputError` for registers
        that cannot be made.
        """
        if cpus.reset_address is None and cpus.boot is None:
            cpus = cpus._replace(reset_address=image.reset_address)
        key = (image.digest, kernel, cpus)
        running, found = self._chains.get(key) or (self._begin(image, kernel), [])
        if len(found) < count:
            boot, further = make_pages(cpus)
            make_room(self._chains, max(1, min(LIMIT, _DIGESTS // count)))
            self._chains[key] = running, found
            while len(found) < count and (further is not None or not found):
                running.update(further if found and further is not None else boot)
                found.append(running.digest())
        return found

    def _begin(self, image: Image, kernel: Kernel | None) -> Any:
        running = image.running.copy()
        running.update(b"" if kernel is None else _table(kernel))
        return running


@lru_cache(maxsize=LIMIT)
def _table(kernel: Kernel) -> bytes:
    return kernel.table.to_bytes()[: kernel.size].ljust(kernel.size, b"\0")


@dataclass(frozen=True)
class Firmware:
    """A firmware image of SEV-SNP without its bytes.

    ``digest`` is the launch digest (48 bytes) after its pages, loaded so that they end at 4 GiB. ``sections``,
    ``hash_area`` and ``reset_address`` are as in :class:`~sevlab.formats.ovmf.Ovmf`. For an SVSM image ``entry`` is the
    offset at which it starts, and ``contents`` the hash of each of its pages; otherwise None and ().
    """

    digest: bytes
    size: int
    sections: tuple[Section, ...]
    hash_area: tuple[int, int] | None
    reset_address: int | None
    entry: int | None
    contents: tuple[bytes, ...]
    #: Its bytes are not kept.
    image: None = None

    @property
    def as_ovmf(self) -> Ovmf:
        """Itself, for functions that read no more of an image than it has."""
        return cast("Ovmf", self)

    @property
    def has_hashes(self) -> bool:
        """Whether it has a place for kernel hashes."""
        return has_hashes(self.as_ovmf)


def measure_firmware(ovmf: Ovmf, contents: tuple[bytes, ...] = ()) -> Firmware | None:
    """Return an image as the search keeps it, with *contents* as page hashes if known; None without whole pages."""
    if not ovmf.size or ovmf.size % PAGE:
        return None
    contents = contents or hash_pages(ovmf.image)
    entry = svsm_offset(ovmf)
    return Firmware(
        digest=fold([firmware_region(ovmf, contents)]),
        size=ovmf.size,
        sections=tuple(ovmf.sections),
        hash_area=ovmf.hash_area,
        reset_address=ovmf.reset_address,
        entry=entry,
        contents=() if entry is None else contents,
    )


@dataclass(frozen=True)
class Loaded:
    """What is loaded before the registers.

    ``svsm`` is None without an SVSM, ``ovmf_hash`` the digest that replaces the firmware's own (48 bytes or None),
    ``vars_size`` the size of its variable store, ``rules`` how sections are loaded.
    """

    firmware: Firmware
    ovmf_hash: bytes | None
    svsm: Firmware | None
    vars_size: int
    kernel: Kernel | None
    rules: PageRules

    @property
    def key(self) -> object:
        """What is equal for the same launch."""
        images = self.firmware.digest, self.svsm and self.svsm.digest
        return images, self.ovmf_hash, self.vars_size, self.kernel, self.rules

    @property
    def regions(self) -> list[Region]:
        """What follows the firmware's own pages. Raises :class:`~sevlab.errors.InputError` for no such launch."""
        if self.kernel is not None and not self.firmware.has_hashes:
            raise InputError("kernel", "one", "a firmware with a section for its hashes")
        table = None if self.kernel is None else self.kernel.table
        image = self.svsm or self.firmware
        sections = section_regions(image.as_ovmf, self.rules, table, "firmware", lambda words: None)
        if self.svsm is None:
            return sections
        return [svsm_region(image.as_ovmf, image.contents, self.firmware.as_ovmf, self.vars_size), *sections]


class SnpDigests:
    """Computes launch digests of SEV-SNP (48 bytes each), and remembers what they share."""

    def __init__(self) -> None:
        self._before: dict[object, tuple[list[bytes], int | None] | None] = {}
        self._hashes: dict[Cpus, tuple[bytes, bytes | None] | None] = {}

    def before(self, loaded: Loaded) -> tuple[list[bytes], int | None] | None:
        """Return the digests after each part up to the registers, and where CPUs start; None for no such launch."""
        key = loaded.key
        if key not in self._before:
            make_room(self._before)
            try:
                after = [loaded.firmware.digest if loaded.ovmf_hash is None else loaded.ovmf_hash]
                regions, svsm = loaded.regions, loaded.svsm
                for region in regions:
                    after.append(extend(after[-1], region))
                start = loaded.firmware.reset_address if svsm is None else regions[0].gpa + svsm.entry
                self._before[key] = after, start
            except InputError:
                self._before[key] = None
        return self._before[key]

    def page_hashes(self, cpus: Cpus) -> tuple[bytes, bytes | None] | None:
        """Return the hash (48 bytes) of the boot CPU's page and of each further one's, None if there are no further
        ones; None alone for registers that cannot be made."""
        if cpus not in self._hashes:
            make_room(self._hashes, _HASHES)
            try:
                boot, further = make_pages(cpus)
            except InputError:
                self._hashes[cpus] = None
            else:
                is_built = cpus.boot is None
                self._hashes[cpus] = _hash(boot, is_built), None if further is None else _hash(further, is_built)
        return self._hashes[cpus]


def walk(digest: bytes, hashes: tuple[bytes, bytes | None], count: int, gpa: int = VMSA_GPA) -> list[bytes]:
    """Return the SEV-SNP digests with 1 to *count* virtual CPUs (1 alone without further pages), after *digest*."""
    boot, further = hashes
    contents = (boot,) if further is None else (boot, *(further,) * (count - 1))
    return list(digests(Region("", VMSA, gpa, contents), digest))


def _hash(page: bytes, is_built: bool) -> bytes:
    """Return the hash of a VMSA page. Pages that a profile builds have zeros in the fields that are left out."""
    return hashlib.sha384(page).digest() if is_built else hash_vmsa(Vmsa.from_bytes(page))


def make_room(kept: dict[Any, Any], limit: int = LIMIT) -> None:
    """Forget everything when *limit* results are kept."""
    if len(kept) >= limit:
        kept.clear()


@lru_cache(maxsize=LIMIT)
def make_pages(cpus: Cpus) -> tuple[bytes, bytes | None]:
    """Return the save areas of the boot CPU and of further ones (or None), 4096 bytes each; may raise InputError."""
    if cpus.boot is None:
        return _built(cpus)
    further = None if cpus.further is None else _edit(Vmsa.from_bytes(cpus.further), cpus)
    return _edit(Vmsa.from_bytes(cpus.boot), cpus), further


def _built(cpus: Cpus) -> tuple[bytes, bytes | None]:
    """Build both pages from a profile. SEV_FEATURES, of which many are tried, is written over the same page."""
    assert cpus.profile is not None
    assert cpus.features is not None
    boot, further = _bare(cpus.profile, cpus.signature, cpus.reset_address)
    features = int(cpus.features).to_bytes(8, "little")
    before, after = slice(_FEATURES_AT), slice(_FEATURES_AT + 8, None)
    further = None if further is None else further[before] + features + further[after]
    return boot[before] + features + boot[after], further


@lru_cache(maxsize=LIMIT)
def _bare(profile: str, signature: int | None, address: int | None) -> tuple[bytes, bytes | None]:
    if SNP_PROFILES[profile].is_flat:  # all CPUs have the same page
        boot = build_vmsa(profile, signature=signature, reset_address=address).to_bytes()
        return boot, boot
    boot = build_vmsa(profile, signature=signature).to_bytes()
    if not address:
        return boot, None
    return boot, build_vmsa(profile, cpu=1, signature=signature, reset_address=address).to_bytes()


def _edit(page: Vmsa, cpus: Cpus) -> bytes:
    start = page.cs.base + page.rip & 0xFFFFFFFF
    if cpus.profile is not None:
        signature, features = page.rdx & 0xFFFFFFFF, int(page.sev_features)
        page = build_vmsa(cpus.profile, signature=signature, sev_features=features)
        if start != RESET_VECTOR:
            page = start_at(page.replace(**SNP_PROFILES[cpus.profile].application), start)
    if cpus.signature is not None:
        page = page.replace(rdx=cpus.signature)
    if cpus.features is not None:
        page = page.replace(sev_features=cpus.features)
    if cpus.reset_address is not None and start != RESET_VECTOR:
        page = start_at(page, cpus.reset_address)
    return page.to_bytes()
