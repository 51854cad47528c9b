"""The launch digest of many launches that share their beginnings: every prefix is hashed once.

A digest is one running SHA-256 over firmware, kernel-hashes table and save areas, in this order. Whoever varies a later
part goes on from the hash of the earlier ones. The hundredth virtual CPU costs one page more than the ninety-ninth.
"""

from __future__ import annotations

from collections import namedtuple
from functools import lru_cache
from typing import TYPE_CHECKING

from ..formats.kernel_hashes import KernelHashes
from ..formats.vmsa import Vmsa
from ..profiles import RESET_VECTOR, SNP_PROFILES, build_vmsa, start_at

if TYPE_CHECKING:
    from typing import Any

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
                whole = KernelHashes(kernel=kernel.kernel, initrd=kernel.initrd, cmdline=kernel.cmdline).to_bytes()
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
