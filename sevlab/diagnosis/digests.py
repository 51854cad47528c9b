"""The launch digest of many launches that share their beginnings: every prefix is hashed once.

A digest is one running SHA-256 over firmware, kernel-hashes table and save areas, in this order. Whoever varies a later
part goes on from the hash of the earlier ones. The hundredth virtual CPU costs one page more than the ninety-ninth.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import InputError
from ..formats.footer import SVSM_INFO
from ..formats.hashtable import HashTable
from ..formats.pageinfo import DIGEST, PAGE, VMSA, VMSA_GPA, ZEROS
from ..formats.vmsa import Vmsa
from ..profiles import RESET_VECTOR, SNP_PROFILES, build_vmsa, start_at
from ..snp.order import firmware_region, has_hashes, section_regions, svsm_region
from ..snp.region import Region, extend, fold, hash_pages, hash_vmsa

if TYPE_CHECKING:
    from typing import Any

    from ..formats.ovmf import Ovmf
    from ..profiles import PageRules

#: Most results kept of each kind. What is thrown away is computed again.
LIMIT = 512
#: Most digests kept in all chains, of 80 bytes each: a guest may have thousands of virtual CPUs.
_DIGESTS = 1 << 17
_FEATURES_AT = next(row.offset for row in Vmsa.rows if row.name == "sev_features")


class Image(namedtuple("Image", "digest running size reset_address")):
    """A firmware image: its SHA-256, the hash to go on from, its size in bytes, where further CPUs start (or None)."""

    __slots__ = ()


class Kernel(namedtuple("Kernel", "kernel initrd cmdline size")):
    """The kernel-hashes table: three SHA-256 digests (32 bytes each), and how many bytes of it are measured."""

    __slots__ = ()


class Cpus(namedtuple("Cpus", "profile signature features reset_address boot further")):
    """How virtual CPUs start.

    Without pages from files (``boot`` None) the profile builds them. With pages, whatever is not None is laid over
    them. ``reset_address`` None is the firmware's own.
    """

    __slots__ = ()


class Fold:
    """Computes launch digests (32 bytes each), and remembers what they share."""

    def __init__(self) -> None:
        self._tables: dict[Any, bytes] = {}
        self._pages: dict[Any, tuple[bytes, bytes | None]] = {}
        self._chains: dict[Any, tuple[Any, list[bytes]]] = {}

    def plain(self, image: Image, kernel: Kernel | None) -> bytes:
        """Return the digest of plain SEV. *kernel* None: no table."""
        if kernel is None:
            return image.digest  # type: ignore[no-any-return]
        return self._begin(image, kernel).digest()  # type: ignore[no-any-return]

    def chain(self, image: Image, kernel: Kernel | None, cpus: Cpus, count: int) -> list[bytes]:
        """Return the digests of SEV-ES with 1, 2, ... virtual CPUs: *count* of them, or more.

        One alone where nothing says how further CPUs start. Raises :class:`~sevlab.errors.InputError` for registers
        that cannot be made.
        """
        if cpus.reset_address is None and cpus.boot is None:
            cpus = cpus._replace(reset_address=image.reset_address)
        key = (image.digest, kernel, cpus)
        running, digests = self._chains.get(key) or (self._begin(image, kernel), [])
        if len(digests) < count:
            boot, further = self._page(cpus)
            make_room(self._chains, max(1, min(LIMIT, _DIGESTS // count)))
            self._chains[key] = running, digests
            while len(digests) < count and not (digests and further is None):
                running.update(further if digests else boot)
                digests.append(running.digest())
        return digests

    def _begin(self, image: Image, kernel: Kernel | None) -> Any:
        """Return the hash after firmware and table."""
        running = image.running.copy()
        if kernel is not None:
            if kernel not in self._tables:
                make_room(self._tables)
                whole = HashTable(kernel=kernel.kernel, initrd=kernel.initrd, cmdline=kernel.cmdline).to_bytes()
                self._tables[kernel] = whole[: kernel.size].ljust(kernel.size, b"\0")
            running.update(self._tables[kernel])
        return running

    def _page(self, cpus: Cpus) -> tuple[bytes, bytes | None]:
        """Return the save area of the boot CPU and that of the others; None for those where it cannot be made."""
        if cpus not in self._pages:
            make_room(self._pages)
            self._pages[cpus] = make_pages(cpus)
        return self._pages[cpus]


def make_room(kept: dict[Any, Any], limit: int = LIMIT) -> None:
    """Forget everything when *limit* results are kept."""
    if len(kept) >= limit:
        kept.clear()


def make_pages(cpus: Cpus) -> tuple[bytes, bytes | None]:
    """Return the save area of the boot CPU and that of the others (4096 bytes each); None where there is none.

    Raises :class:`~sevlab.errors.InputError` for registers that cannot be made.
    """
    return _built(cpus) if cpus.boot is None else _edited(cpus)


def _built(cpus: Cpus) -> tuple[bytes, bytes | None]:
    """Build both pages from a profile. SEV_FEATURES, of which many are tried, is laid over the same page."""
    boot, further = _bare(cpus.profile, cpus.signature, cpus.reset_address)
    features = int(cpus.features).to_bytes(8, "little")

    def laid_over(page: bytes) -> bytes:
        return page[:_FEATURES_AT] + features + page[_FEATURES_AT + 8 :]

    return laid_over(boot), None if further is None else laid_over(further)


@lru_cache(maxsize=LIMIT)
def _bare(profile: str, signature: int | None, address: int | None) -> tuple[bytes, bytes | None]:
    """Return both pages with SEV_FEATURES 0."""
    if SNP_PROFILES[profile].is_flat:  # all CPUs have the same page
        boot = build_vmsa(profile, signature=signature, reset_address=address).to_bytes()
        return boot, boot
    boot = build_vmsa(profile, signature=signature).to_bytes()
    if not address:
        return boot, None
    return boot, build_vmsa(profile, cpu=1, signature=signature, reset_address=address).to_bytes()


def _edited(cpus: Cpus) -> tuple[bytes, bytes | None]:
    """Return the pages from files, with what differs from them changed."""
    boot, further = (None if raw is None else _edit(Vmsa.from_bytes(raw), cpus) for raw in (cpus.boot, cpus.further))
    assert boot is not None
    return boot, further


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


class Firmware(namedtuple("Firmware", "digest size sections hash_area reset_address entry contents")):
    """An image without its bytes.

    ``digest`` is the launch digest (48 bytes) after its pages, loaded so that they end at 4 GiB. ``sections``,
    ``hash_area`` and ``reset_address`` are as in :class:`~sevlab.formats.ovmf.Ovmf`. For an SVSM image ``entry`` is how
    many bytes from its beginning it starts, and ``contents`` the hash of each of its pages; else None and ().
    """

    __slots__ = ()
    #: Its bytes are not kept.
    image = None


def measure_firmware(ovmf: Ovmf, contents: tuple[bytes, ...] = ()) -> Firmware | None:
    """Return an image as the search keeps it; None for one that is not made of whole pages.

    *contents* are the hashes of its pages where they are known already.
    """
    if not ovmf.size or ovmf.size % PAGE:
        return None
    contents = contents or hash_pages(ovmf.image)
    info = None if ovmf.trailing else ovmf.find(SVSM_INFO)
    entry = info.value.offset if info is not None and info.value is not None else None
    return Firmware(
        fold([firmware_region(ovmf, contents)]),
        ovmf.size,
        ovmf.sections,
        ovmf.hash_area,
        ovmf.reset_address,
        entry,
        () if entry is None else contents,
    )


#: The end of PAGE_INFO of every VMSA page: all after the hash of its bytes.
_REST = Region("", VMSA, VMSA_GPA, (ZEROS,)).info(0, ZEROS).to_bytes()[2 * DIGEST :]

#: Most kinds of CPUs whose links are kept. Each takes some hundred bytes.
_LINKS = 1 << 15


class Loaded(namedtuple("Loaded", "firmware ovmf_hash svsm vars_size kernel rules")):
    """What is loaded before the registers.

    ``firmware`` and ``svsm`` are :class:`~sevlab.diagnosis.digests.Firmware` (the latter None without an SVSM),
    ``ovmf_hash`` the digest in the place of the firmware's own (48 bytes or None), ``vars_size`` the bytes of its
    variable store, ``kernel`` a :class:`~sevlab.diagnosis.digests.Kernel` or None, ``rules`` a
    :class:`~sevlab.profiles.PageRules`.
    """

    __slots__ = ()
    firmware: Firmware
    ovmf_hash: bytes | None
    svsm: Firmware | None
    vars_size: int
    kernel: Kernel | None
    rules: PageRules

    @property
    def regions(self) -> list[Region]:
        """What follows the firmware's own pages. Raises :class:`~sevlab.errors.InputError` for no such launch."""
        regions = [] if self.svsm is None else [self._svsm_region()]
        table = None
        if self.kernel is not None:
            if not has_hashes(self.firmware):  # type: ignore[arg-type]  # of an image it needs what Firmware has
                raise InputError("kernel", "one", "a firmware with a section for its hashes")
            table = HashTable(kernel=self.kernel.kernel, initrd=self.kernel.initrd, cmdline=self.kernel.cmdline)
        image: Any = self.firmware if self.svsm is None else self.svsm
        return [*regions, *section_regions(image, self.rules, table, "firmware", lambda words: None)]

    def _svsm_region(self) -> Region:
        svsm: Any = self.svsm
        firmware: Any = self.firmware
        return svsm_region(svsm, svsm.contents, firmware, self.vars_size, "svsm")

    @property
    def start(self) -> int | None:
        """Where further CPUs start; with an SVSM, where all do. None where nothing says so."""
        if self.svsm is None:
            address: int | None = self.firmware.reset_address
            return address
        return int(self._svsm_region().gpa + self.svsm.entry)


class SnpFold:
    """Computes launch digests (48 bytes each), and remembers what they share."""

    def __init__(self) -> None:
        self._before: dict[Any, tuple[list[bytes], int | None] | None] = {}
        self._links: dict[Cpus, tuple[bytes, bytes | None] | None] = {}

    def before(self, loaded: Loaded) -> tuple[list[bytes], int | None] | None:
        """Return the digests after each part up to the registers, and where CPUs start; None for no such launch."""
        svsm = loaded.svsm and loaded.svsm.digest
        key = loaded._replace(firmware=loaded.firmware.digest, svsm=svsm)
        if key not in self._before:
            make_room(self._before)
            try:
                after = [loaded.firmware.digest if loaded.ovmf_hash is None else loaded.ovmf_hash]
                for region in loaded.regions:
                    after.append(extend(after[-1], region))
                self._before[key] = after, loaded.start
            except InputError:
                self._before[key] = None
        return self._before[key]

    def links(self, cpus: Cpus) -> tuple[bytes, bytes | None] | None:
        """Return what the boot CPU adds to the chain, and what each further one does: all of PAGE_INFO after the
        digest before it (64 bytes). None in the second place where there are no further ones, None alone for registers
        that cannot be made."""
        if cpus not in self._links:
            make_room(self._links, _LINKS)
            try:
                boot, further = make_pages(cpus)
            except InputError:
                self._links[cpus] = None
            else:
                is_built = cpus.boot is None
                self._links[cpus] = _link(boot, is_built), None if further is None else _link(further, is_built)
        return self._links[cpus]


def walk(digest: bytes, links: tuple[bytes, bytes | None], count: int) -> list[bytes]:
    """Return the launch digests with 1, 2, ... *count* virtual CPUs, going on from *digest*.

    One alone where nothing says how further ones start.
    """
    sha384 = hashlib.sha384
    boot, further = links
    digest = sha384(digest + boot).digest()
    digests = [digest]
    if further is not None:
        for _ in range(count - 1):
            digest = sha384(digest + further).digest()
            digests.append(digest)
    return digests


def _link(page: bytes, is_built: bool) -> bytes:
    """Return what a VMSA page adds. Pages that a profile builds have nothing in the fields that are left out."""
    contents = hashlib.sha384(page).digest() if is_built else hash_vmsa(Vmsa.from_bytes(page))
    return contents + _REST
