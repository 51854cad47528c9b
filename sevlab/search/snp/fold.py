"""The launch digests of many SEV-SNP launches that share their beginnings: every prefix is hashed once.

The chain is firmware, sections, registers. Whoever varies the registers goes on from the digest after the sections; and
one walk along the registers passes the digests of all numbers of virtual CPUs, so 512 of them cost no more than one
launch of 512.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple
from typing import TYPE_CHECKING

from ...errors import InputError
from ...formats.kernel_hashes import KernelHashes
from ...formats.page_info import DIGEST, VMSA, VMSA_GPA, ZEROS
from ...formats.vmsa import Vmsa
from ...snp.order import has_hashes, section_regions, svsm_region
from ...snp.region import Region, extend, hash_vmsa
from ..fold import Cpus, make_pages, make_room

if TYPE_CHECKING:
    from typing import Any

    from ...profiles import PageRules
    from ..fold import Kernel
    from .firmware import Firmware

#: The end of PAGE_INFO of every VMSA page: all after the hash of its bytes.
_REST = Region("", VMSA, VMSA_GPA, (ZEROS,)).info(0, ZEROS).to_bytes()[2 * DIGEST :]

#: Most kinds of CPUs whose links are kept. Each takes some hundred bytes.
_LINKS = 1 << 15


class Loaded(namedtuple("Loaded", "firmware ovmf_hash svsm vars_size kernel rules")):
    """What is loaded before the registers.

    ``firmware`` and ``svsm`` are :class:`~sevlab.search.snp.firmware.Firmware` (the latter None without an SVSM),
    ``ovmf_hash`` the digest in the place of the firmware's own (48 bytes or None), ``vars_size`` the bytes of its
    variable store, ``kernel`` a :class:`~sevlab.search.fold.Kernel` or None, ``rules`` a
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
            table = KernelHashes(kernel=self.kernel.kernel, initrd=self.kernel.initrd, cmdline=self.kernel.cmdline)
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
