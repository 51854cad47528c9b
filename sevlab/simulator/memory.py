"""Encrypted memory, and the reverse map table over it.

Each guest has a key. A page is encrypted under it with AES-128-XTS, whose tweak is the page's address: the same bytes
give different ciphertext at another address, and the same at the same address, which some attacks exploit. The real
engine's mode differs in detail, not in this. Plain SEV has no integrity: ciphertext can be changed.

Encryption alone does not keep a host from writing garbage into a guest's page, or from replacing one page by another.
The reverse map table (RMP) does: it records the owner of every page of the machine, and the owner's address for it. The
processor checks it on every write of the host and every access of a guest. The host changes an entry with RMPUPDATE,
the guest accepts a page with PVALIDATE, and only the firmware changes immutable ones.

Sources: sev-launch 1.1 and 1.2; snp-launch 1.4; AMD 24593 (APM volume 2, 15.36; volume 3, RMPUPDATE and PVALIDATE).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..formats.page_info import PAGE
from .snp_commands import LARGE_PAGE
from .status import FirmwareError, RmpFault

#: Bytes of memory there can be, so that no address makes us take more.
LIMIT = 1 << 30
#: Pages of 4 KiB in one of 2 MiB.
_PAGES = LARGE_PAGE // PAGE


class Memory:
    """The machine's memory. A key is 32 bytes for XTS; without one, the bytes are what the host sees."""

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}
        #: Pages behind which there is another page's cell, by their numbers: a memory module that lies about its size.
        self.aliases: dict[int, int] = {}

    def read(self, address: int, size: int, key: bytes | None = None) -> bytes:
        """Return *size* bytes from *address*, decrypted under *key* when one is given."""
        first, last = _pages(address, size)
        whole = b"".join(_crypt(self._page(number), number, key, decrypt=True) for number in range(first, last))
        return whole[address - first * PAGE :][:size]

    def write(self, address: int, data: bytes, key: bytes | None = None) -> None:
        """Write bytes to *address*, encrypted under *key* when one is given. The rest of a page keeps its content."""
        first, last = _pages(address, len(data))
        if not data:
            return
        whole = bytearray(self.read(first * PAGE, (last - first) * PAGE, key))
        whole[address - first * PAGE : address - first * PAGE + len(data)] = data
        for number in range(first, last):
            page = bytes(whole[(number - first) * PAGE : (number - first + 1) * PAGE])
            self._pages[self.aliases.get(number, number)] = _crypt(page, number, key, decrypt=False)

    def _page(self, number: int) -> bytes:
        return self._pages.get(self.aliases.get(number, number), bytes(PAGE))


def _pages(address: int, size: int) -> tuple[int, int]:
    if not 0 <= address <= LIMIT or not 0 <= size <= LIMIT - address:
        raise FirmwareError("INVALID_ADDRESS", f"0x{address:x} and {size} bytes are outside the memory")
    return address // PAGE, -(-(address + size) // PAGE)


def _crypt(page: bytes, number: int, key: bytes | None, *, decrypt: bool) -> bytes:
    if key is None:
        return page
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(key), modes.XTS((number * PAGE).to_bytes(16, "little")))
    return bytes((cipher.decryptor() if decrypt else cipher.encryptor()).update(page))


@dataclass(frozen=True)
class RmpEntry:
    """A page's entry in the table."""

    assigned: bool = False
    validated: bool = False
    #: The owner's address space number; 0: the firmware.
    asid: int = 0
    #: Where the owner has the page.
    gpa: int = 0
    immutable: bool = False
    #: Whether it is a page of 2 MiB.
    large: bool = False
    #: Marks a guest's context page; how real hardware marks it is unknown.
    context: bool = False

    @property
    def state(self) -> str:
        """The page's state, by the ABI's name."""
        if not self.assigned:
            return "HYPERVISOR"
        if not self.asid:
            return "CONTEXT" if self.context else "FIRMWARE" if self.immutable else "RECLAIM"
        if self.immutable:
            return "PRE-SWAP" if self.validated else "PRE-GUEST"
        return "GUEST-VALID" if self.validated else "GUEST-INVALID"


class Rmp:
    """The table. A page belongs to the host until it is given away."""

    def __init__(self) -> None:
        self._entries: dict[int, RmpEntry] = {}

    def entry(self, address: int) -> RmpEntry:
        """Return the entry of the page at *address*; within a page of 2 MiB, that one's."""
        number = address // PAGE
        large = self._entries.get(number - number % _PAGES, RmpEntry())
        return large if large.large else self._entries.get(number, RmpEntry())

    def put(self, address: int, entry: RmpEntry) -> None:
        """Set an entry without any check, as the firmware and the processor themselves do."""
        self._entries[address // PAGE] = entry

    def change(self, address: int, **changes: Any) -> None:
        """Change parts of an entry without any check."""
        self.put(address, replace(self.entry(address), **changes))

    def update(
        self,
        address: int,
        *,
        assigned: bool = True,
        asid: int = 0,
        gpa: int = 0,
        immutable: bool = False,
        large: bool = False,
    ) -> None:
        """RMPUPDATE: the host gives a page away, or takes it back. What a guest had accepted is no longer accepted."""
        size = LARGE_PAGE if large else PAGE
        if address % size or gpa % size or (not assigned and (asid or gpa)):
            raise RmpFault("FAIL_INPUT", "addresses must be those of whole pages, and a host's page has no owner")
        for number in range(address, address + size, PAGE):
            there = self.entry(number)
            if there.immutable:
                raise RmpFault("FAIL_PERMISSION", f"the page is the firmware's to change ({there.state})")
            if there.large != large and there.assigned:
                raise RmpFault("FAIL_OVERLAP", "a page of another size is assigned there")
        self.put(address, RmpEntry(assigned, False, asid, gpa, immutable, large and assigned))

    def validate(self, asid: int, address: int, gpa: int, *, large: bool = False, accept: bool = True) -> bool:
        """PVALIDATE: a guest accepts a page, or no longer. Returns whether that changed anything: twice, and the host
        put another one there."""
        if gpa % (LARGE_PAGE if large else PAGE):
            raise RmpFault("FAIL_INPUT", "the address must be that of a whole page")
        self._check_owner(asid, address, gpa)
        entry = self.entry(address)
        if entry.large != large:
            raise RmpFault("FAIL_SIZEMISMATCH", "the host has a page of another size there")
        base = address - address % LARGE_PAGE if large else address
        self.put(base, replace(entry, validated=accept))
        return entry.validated != accept

    def check_host_write(self, address: int, size: int) -> None:
        """Refuse a write of the host to pages that are not its own."""
        for place in range(address - address % PAGE, address + size, PAGE):
            if self.entry(place).assigned:
                raise RmpFault("RMP violation", f"the host writes to 0x{place:x}, a page that is not its own")

    def check_guest(self, asid: int, address: int, gpa: int) -> None:
        """Refuse a guest's access to a page that is not its own, not at this place, or not accepted."""
        self._check_owner(asid, address, gpa)
        if not self.entry(address).validated:
            raise RmpFault("RMP violation", f"the guest never accepted the page at 0x{gpa:x}")

    def _check_owner(self, asid: int, address: int, gpa: int) -> None:
        entry = self.entry(address)
        place = entry.gpa + (address % LARGE_PAGE - address % PAGE if entry.large else 0)
        if not entry.assigned or entry.asid != asid or entry.immutable:
            raise RmpFault("RMP violation", f"0x{address:x} is no page of the guest with ASID {asid} ({entry.state})")
        if place != gpa - gpa % PAGE:
            raise RmpFault("RMP violation", f"the page belongs at 0x{place:x}, not at 0x{gpa:x}")
