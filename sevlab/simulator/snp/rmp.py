"""The reverse map table (RMP): for every page of the machine, whose it is and where its owner has it.

Encryption alone does not keep a host from writing garbage into a guest's page, or from putting one page in the place of
another. The RMP does: the processor looks at it on every write of the host and on every access of a guest. The host
changes an entry with RMPUPDATE, the guest accepts a page with PVALIDATE, and only the firmware touches immutable ones.

Sources: snp-launch 1.4; AMD 24593 (APM volume 2, 15.36; volume 3, RMPUPDATE and PVALIDATE).
"""

from __future__ import annotations

from collections import namedtuple

from ...errors import SevlabError
from ...formats.page_info import PAGE
from ...formats.snpcommand import LARGE_PAGE

_PAGES = LARGE_PAGE // PAGE


class RmpFault(SevlabError):
    """The processor refused an instruction or an access. ``name`` says how, ``why`` is for people."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


class RmpEntry(
    namedtuple(
        "RmpEntry",
        "assigned validated asid gpa immutable large context",
        defaults=(False, False, 0, 0, False, False, False),
    )
):
    """What the table says of a page.

    ``asid`` is the owner's address space number (0: the firmware), ``gpa`` where the owner has the page, ``large``
    whether it is one of 2 MiB. ``context`` marks a guest's context page; how real hardware marks it is not told.
    """

    __slots__ = ()

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
    """The table. A page that nobody gave to anybody is the host's."""

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

    def change(self, address: int, **changes: object) -> None:
        """Change parts of an entry without any check."""
        self.put(address, self.entry(address)._replace(**changes))

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
        """PVALIDATE: a guest accepts a page, or gives up its acceptance. Returns whether that changed anything.

        A guest that sees a page become acceptable twice knows that its host put another one there.
        """
        if gpa % (LARGE_PAGE if large else PAGE):
            raise RmpFault("FAIL_INPUT", "the address must be that of a whole page")
        self._check_owner(asid, address, gpa)
        entry = self.entry(address)
        if entry.large != large:
            raise RmpFault("FAIL_SIZEMISMATCH", "the host has a page of another size there")
        base = address - address % LARGE_PAGE if large else address
        self.put(base, entry._replace(validated=accept))
        return bool(entry.validated != accept)

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
