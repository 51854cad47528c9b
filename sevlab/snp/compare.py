"""Two SEV-SNP launches side by side: the first link that differs, and why."""

from __future__ import annotations

from collections import namedtuple
from itertools import zip_longest

from ..arguments import checked
from ..formats.page_info import VMSA
from ..formats.vmsa import Vmsa
from ..layout.span import Explainable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..layout.compare import Comparison
    from ..layout.views import View
    from .launch import SnpLaunch
    from .region import Link


class Pair(namedtuple("Pair", "reported computed same")):
    """The same place in two launches: on each side a region and the digest after it, None where a chain has ended.

    ``same`` says whether both are equal, and so are all before them.
    """

    __slots__ = ()

    @property
    def kept(self) -> bool:
        """Whether the same pages are loaded on both sides, whatever the digests are."""
        sides = self.reported, self.computed
        return None not in sides and sides[0][0].loaded == sides[1][0].loaded


class SnpComparison(Explainable):
    """Two launches, link by link. ``reported`` and ``computed`` are the launches.

    ``number`` is the place in the chain (from 0) of the first link that differs, None when there is none;
    ``reported_link`` and ``computed_link`` are the two links there, None where a chain has ended.
    """

    def __init__(self, reported: SnpLaunch, computed: SnpLaunch) -> None:
        self.reported, self.computed = reported, computed
        self.matches = reported.digest == computed.digest
        self.number: int | None = None
        self.reported_link: Link | None = None
        self.computed_link: Link | None = None
        if reported.start != computed.start:
            return
        for number, (one, other) in enumerate(zip_longest(reported.links(), computed.links())):
            if one is None or other is None or one.digest != other.digest:
                self.number, self.reported_link, self.computed_link = number, one, other
                return

    def pairs(self) -> list[Pair]:
        """Return both chains side by side, region by region."""
        sides = (zip(launch.regions, launch.after, strict=True) for launch in (self.reported, self.computed))
        made, same = [], self.reported.start == self.computed.start
        for one, other in zip_longest(*sides):
            same = same and None not in (one, other) and (one[0].loaded, one[1]) == (other[0].loaded, other[1])
            made.append(Pair(one, other, same))
        return made

    @property
    def fields(self) -> list[str]:
        """The fields of PAGE_INFO in which the first link differs, such as ``contents`` or ``gpa``."""
        one, other = self.reported_link, self.computed_link
        if one is None or other is None:
            return []
        infos = [link.region.info(link.number, bytes(48)) for link in (one, other)]
        return list(infos[0].compare(infos[1]).differing)

    @property
    def words(self) -> str:
        """The answer in one line."""
        if self.matches:
            return "The launch digests are equal"
        if self.number is None:
            return "The launches begin with different digests, so no link can be named"
        if self.reported_link is None or self.computed_link is None:
            longer, name = ("computed", self.computed_link) if self.reported_link is None else ("reported", None)
            link = name or self.reported_link
            assert link is not None
            return f"Equal up to link {self.number}; then only the {longer} launch goes on, with {link.name}"
        what = " and ".join(self.fields)
        return f"Link {self.number + 1} is the first that differs ({what}): {_names(self)}"

    @property
    def registers(self) -> Comparison | None:
        """Both pages, field by field, where the first link that differs holds registers; else None."""
        sides = [link for link in (self.reported_link, self.computed_link) if link and link.region.page_type == VMSA]
        if len(sides) < 2 or any(link.region.raw is None for link in sides):
            return None
        one, other = (Vmsa.from_bytes(link.region.raw) for link in sides)
        return one.compare(other)

    def explain(self) -> View:
        """Show where the two part: the answer, both links, and what differs in the registers."""
        from ..layout.views import Banner, Heading, Table, View, hex_lines

        blocks: list[Any] = [Banner(self.words, "green" if self.matches else "pink")]
        if self.number is not None:
            rows = [
                [side, link.name, link.region.type_name, f"0x{link.gpa:x}", hex_lines(link.contents, 12)]
                for side, link in (("reported", self.reported_link), ("computed", self.computed_link))
                if link is not None
            ]
            header = ["side", "page", "type", "guest address", "CONTENTS"]
            blocks += [Heading(f"Link {self.number + 1}"), Table(header, rows, mono=[1, 2, 3, 4])]
        if self.registers is not None:
            blocks += self.registers.explain().blocks
        return View(*blocks)


def _names(comparison: SnpComparison) -> str:
    one, other = comparison.reported_link, comparison.computed_link
    assert one is not None
    assert other is not None
    return one.name if one.name == other.name else f"reported {one.name}, computed {other.name}"


@checked
def compare_snp_launch(reported: SnpLaunch, computed: SnpLaunch) -> SnpComparison:
    """Compare two SEV-SNP launches link by link. Never raises on difference."""
    return SnpComparison(reported, computed)
