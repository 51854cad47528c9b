"""Two launches side by side: where they diverge, and why."""

from __future__ import annotations

from collections import namedtuple
from itertools import groupby, zip_longest

from ..errors import ArgumentError, checked
from ..formats.page_info import VMSA
from ..formats.vmsa import Vmsa
from ..layout.span import Explainable
from .pages import Link as PageLink
from .sev import run_of
from .snp import SnpLaunch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..layout.compare import Comparison
    from ..layout.views import Block, View
    from .sev import Launch
    from .sev import Link as StepLink

    AnyLink = StepLink | PageLink

#: How the two sides are called where steps are shown: a host reports a measure, never what it loaded.
SIDES = "launched with", "computed"


class Pair(namedtuple("Pair", "reported computed same")):
    """The same places in two launches, a run or region or None on each side. ``same``: the digests after them agree."""

    __slots__ = ()

    @property
    def kept(self) -> bool:
        return None not in self[:2] and self.reported.loaded == self.computed.loaded


class LaunchComparison(Explainable):
    """Two launches of one technology, link by link: the steps of SEV and SEV-ES, the pages of SEV-SNP.

    ``number`` is the index of the first link after which the digests differ. It is None when there is none, when one
    launch is only a digest, and when the two begin with different digests. ``reported_link`` and ``computed_link`` are
    the two links there, None where a launch has ended.
    """

    def __init__(self, reported: Launch | SnpLaunch, computed: Launch | SnpLaunch) -> None:
        self.reported, self.computed = reported, computed
        self.matches = reported.digest == computed.digest
        self.number: int | None = None
        self.reported_link: AnyLink | None = None
        self.computed_link: AnyLink | None = None
        for number, (one, other) in enumerate(self._rows() if self.is_known else ()):
            if one is None or other is None or one.digest != other.digest:
                self.number, self.reported_link, self.computed_link = number, one, other
                return

    @property
    def is_known(self) -> bool:
        """Whether the links of both launches are known, from one beginning."""
        if isinstance(self.reported, SnpLaunch) and isinstance(self.computed, SnpLaunch):
            return self.reported.start == self.computed.start
        return bool(self.reported.links() and self.computed.links())

    @property
    def first(self) -> str:
        """The name of the first link that differs, or ""."""
        link = self.reported_link or self.computed_link
        return link.name if link is not None else ""

    def pairs(self) -> list[Pair]:
        """Return both launches side by side: steps in runs that are equal on each side, or pages by region."""
        if isinstance(self.reported, SnpLaunch) and isinstance(self.computed, SnpLaunch):
            made, same = [], self.is_known
            for pages, others in zip_longest(self.reported.runs(), self.computed.runs()):
                both = same and None not in (pages, others)
                same = both and (pages.loaded, pages.after) == (others.loaded, others.after)
                made.append(Pair(pages, others, same))
            return made
        return [_pair(list(group)) for _, group in groupby(self._rows(), key=_alike)]

    def _rows(self) -> Iterator[tuple[AnyLink | None, AnyLink | None]]:
        return zip_longest(self.reported.links(), self.computed.links())

    @property
    def fields(self) -> list[str]:
        """For SEV-SNP, the fields of PAGE_INFO in which the first link differs, such as ``contents`` or ``gpa``."""
        one, other = self._pages()
        if one is None or other is None:
            return []
        infos = [link.region.info(link.number, bytes(48)) for link in (one, other)]
        return list(infos[0].compare(infos[1]).differing)

    @property
    def registers(self) -> Comparison | None:
        """For SEV-SNP, both VMSA pages field by field, if the first link that differs is one; else None."""
        pages = [link.region.raw for link in self._pages() if link is not None and link.region.page_type == VMSA]
        if len(pages) < 2 or None in pages:
            return None
        one, other = (Vmsa.from_bytes(page) for page in pages)
        return one.compare(other, SIDES)

    def _pages(self) -> list[PageLink | None]:
        return [link if isinstance(link, PageLink) else None for link in (self.reported_link, self.computed_link)]

    @property
    def words(self) -> str:
        if self.matches:
            return "The launch digests are equal"
        if not isinstance(self.reported, SnpLaunch):
            return f"First step that differs: {self.first or 'not known, since only the digest of one was given'}"
        if self.number is None:
            return "The launches begin with different digests, so no link can be named"
        one, other = self.reported_link, self.computed_link
        if one is None or other is None:
            longer = "computed" if one is None else "other"
            return f"Equal up to link {self.number}; then only the {longer} launch goes on, with {self.first}"
        names = one.name if one.name == other.name else f"launched with {one.name}, computed {other.name}"
        return f"Link {self.number + 1} is the first that differs ({' and '.join(self.fields)}): {names}"

    def explain(self) -> View:
        """Show where the two diverge: both chains of steps, or the first link that differs, and the registers in it."""
        from ..layout.views import Banner, Heading, Table, View, hex_lines

        blocks: list[Block] = [Banner(self.words, "green" if self.matches else "pink")]
        if not isinstance(self.reported, SnpLaunch):
            sides = zip(SIDES, (self.reported, self.computed), strict=True)
            return View(*blocks, *(block for side, launch in sides for block in (Heading(side), launch.explain())))
        if self.number is not None:
            rows = [
                [side, link.name, link.region.type_name, f"0x{link.gpa:x}", hex_lines(link.contents, 12)]
                for side, link in zip(SIDES, self._pages(), strict=True)
                if link is not None
            ]
            header = ["side", "page", "type", "guest address", "CONTENTS"]
            blocks += [Heading(f"Link {self.number + 1}"), Table(header, rows, mono=[1, 2, 3, 4])]
        if self.registers is not None:
            blocks += self.registers.explain().blocks
        return View(*blocks)


def _alike(row: tuple[AnyLink | None, AnyLink | None]) -> tuple[object, ...]:
    one, other = row
    same = one is not None and other is not None and one.digest == other.digest
    return same, *(None if link is None else link.loaded for link in row)


def _pair(rows: list[tuple[AnyLink | None, AnyLink | None]]) -> Pair:
    columns = ([link for link in column if link is not None] for column in zip(*rows, strict=True))
    reported, computed = (run_of(column) if column else None for column in columns)
    return Pair(reported, computed, _alike(rows[0])[0])


@checked
def compare_launch(reported: Launch | SnpLaunch, computed: Launch | SnpLaunch) -> LaunchComparison:
    """Compare two launches of one technology, link by link. Never raises on difference."""
    if isinstance(reported, SnpLaunch) != isinstance(computed, SnpLaunch):
        raise ArgumentError("computed", type(computed).__name__, f"a {type(reported).__name__}, as the other one")
    return LaunchComparison(reported, computed)
