"""The launch digest of many launches that share their beginnings: every prefix is hashed once.

A digest is one running SHA-256 over firmware, kernel-hashes table and save areas, in this order. Whoever varies a later
part goes on from the hash of the earlier ones. The hundredth virtual CPU costs one page more than the ninety-ninth.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from ..formats.hashtable import HashTable
from ..formats.vmsa import Vmsa
from ..profiles import PROFILES, RESET_VECTOR, build_vmsa, start_at

if TYPE_CHECKING:
    from typing import Any

#: Most results kept of each kind. What is thrown away is computed again.
LIMIT = 512


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


class CannotFold(Exception):
    """These parts make no launch: for example, nothing says where further CPUs start."""


class Fold:
    """Computes launch digests, and remembers what they share."""

    def __init__(self) -> None:
        self._tables: dict[Any, bytes] = {}
        self._pages: dict[Any, tuple[bytes, bytes | None]] = {}
        self._chains: dict[Any, tuple[Any, list[bytes]]] = {}

    def digest(self, image: Image, kernel: Kernel | None, cpus: Cpus | None, count: int) -> bytes:
        """Return the launch digest (32 bytes). *kernel* None: no table. *cpus* None: plain SEV.

        Raises :class:`CannotFold` for parts that do not fit together.
        """
        if kernel is None and cpus is None:
            return image.digest  # type: ignore[no-any-return]
        table = self._table(kernel) if kernel is not None else b""
        if cpus is None:
            running = image.running.copy()
            running.update(table)
            return running.digest()  # type: ignore[no-any-return]
        pages = cpus
        if cpus.reset_address is None and cpus.boot is None:
            pages = cpus._replace(reset_address=image.reset_address)
        key = (image.digest, table, pages)
        if key not in self._chains:
            _make_room(self._chains)
            running = image.running.copy()
            running.update(table)
            self._chains[key] = running, []
        running, digests = self._chains[key]
        if len(digests) < count:
            boot, further = self._page(pages)
            while len(digests) < count:
                if digests and further is None:
                    raise CannotFold
                running.update(further if digests else boot)
                digests.append(running.digest())
        return digests[count - 1]

    def _table(self, kernel: Kernel) -> bytes:
        if kernel not in self._tables:
            _make_room(self._tables)
            whole = HashTable(kernel=kernel.kernel, initrd=kernel.initrd, cmdline=kernel.cmdline).to_bytes()
            self._tables[kernel] = whole[: kernel.size].ljust(kernel.size, b"\0")
        return self._tables[kernel]

    def _page(self, cpus: Cpus) -> tuple[bytes, bytes | None]:
        """Return the save area of the boot CPU and that of the others; None for those where it cannot be made."""
        if cpus not in self._pages:
            _make_room(self._pages)
            self._pages[cpus] = _built(cpus) if cpus.boot is None else _edited(cpus)
        return self._pages[cpus]


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= LIMIT:
        kept.clear()


def _built(cpus: Cpus) -> tuple[bytes, bytes | None]:
    """Build both pages from a profile."""
    given = {"signature": cpus.signature, "sev_features": cpus.features}
    boot = build_vmsa(cpus.profile, **given).to_bytes()
    if not cpus.reset_address:
        return boot, None
    return boot, build_vmsa(cpus.profile, cpu=1, reset_address=cpus.reset_address, **given).to_bytes()


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
            page = start_at(page.replace(**PROFILES[cpus.profile].application), start)
    if cpus.signature is not None:
        page = page.replace(rdx=cpus.signature)
    if cpus.features is not None:
        page = page.replace(sev_features=cpus.features)
    if cpus.reset_address is not None and start != RESET_VECTOR:
        page = start_at(page, cpus.reset_address)
    return page.to_bytes()
