"""The chain of a SEV-SNP launch as a figure: regions of pages, and the launch digest after each."""

from __future__ import annotations

from ..formats.page_info import HASHED_TYPES
from ..layout.span import COLOURS
from ..layout.views import hex_lines
from ..snp.launch import TYPE_COLOURS
from .column import (
    EDGE,
    LINE,
    PAD,
    TITLE,
    WIDTH,
    Column,
    drawn_rows,
    fit,
    judge,
    paper,
    write,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from ..snp import Region, SnpComparison, SnpLaunch
    from .picture import Picture

HEIGHT, GAP = 0.6, 0.14
#: Bytes that are shown of a digest, the last one's aside, which is shown whole. The words tell all of each.
SHOWN = 8


class _Regions(Column):
    """A chain of regions."""

    def draw(self, top: float, region: Region, after: bytes, *, wordy: bool = False, mark: bool = False) -> None:
        """Draw a region, and the digest after its last page; *wordy* says what it is."""
        left, wide, count = self.left + PAD, self.step - 2 * PAD, len(region.contents)
        self.box(self.left, top, self.step, COLOURS[TYPE_COLOURS[region.type_name]], mark=mark)
        write(self.axes, left, top + LINE, **fit(region.name, wide, size=9, weight="bold"))
        words = f"{count} page{'s' * (count != 1)}, type {region.type_name}, at 0x{region.gpa:x}"
        write(self.axes, left, top + 2.2 * LINE, **fit(words, wide, size=7.5))
        words = "contents hashed" if region.page_type in HASHED_TYPES else "contents not hashed"
        words += f". {region.doc}" if wordy else ""
        write(self.axes, left, top + 3.2 * LINE, **fit(words, wide, size=7.5))
        self.across(top, f"{count} x" if count > 1 else "")
        self.box(self.right, top, self.after, "white", mark=mark)
        lines = f"{hex_lines(after[:SHOWN], self.per_line)} ...".split("\n")
        line = top + (self.height - LINE * len(lines)) / 2
        write(self.axes, self.right + PAD, line, "digest after it")
        for number, row in enumerate(lines, 1):
            write(self.axes, self.right + PAD, line + number * LINE, row, size=7, family="monospace")


def plot_links(launch: SnpLaunch) -> Picture:
    """Draw the chain of a SEV-SNP launch, region by region."""
    regions, pages = launch.regions, launch.pages
    rows = drawn_rows(len(regions))
    title = f"A SEV-SNP launch: {pages} page{'s' * (pages != 1)} in {len(regions)} region{'s' * (len(regions) != 1)}"
    height = TITLE + len(rows) * (HEIGHT + GAP) + 0.3
    figure, axes = paper(str(launch), title, height)
    chain = _Regions(axes, EDGE, (5.6, 0.6, 3.0), HEIGHT, SHOWN)
    for place, row in enumerate(rows):
        top = TITLE + place * (HEIGHT + GAP)
        if place:
            chain.lead(top, GAP)
        if isinstance(row, range):
            chain.lack(top, _skipped([regions[number] for number in row]))
        else:
            chain.draw(top, regions[row], launch.after[row], wordy=True)
    _write_digest(axes, height - 0.2, launch, "Launch digest")
    return figure


def plot_two_links(comparison: SnpComparison) -> Picture:
    """Draw two chains beside each other, and mark the region in which they part.

    Of the regions before it, which are equal, only the last is drawn where there are several.
    """
    pairs = comparison.pairs()
    is_known = comparison.matches or comparison.number is not None
    parting = next((number for number, pair in enumerate(pairs) if not pair.same), len(pairs))
    rows, start = drawn_rows(len(pairs), parting), TITLE + 0.25
    if 2 < parting < len(pairs):
        rows = [range(parting - 1), *(row for row in rows if not isinstance(row, range) and row >= parting - 1)]
    height = start + len(rows) * (HEIGHT + GAP) + 0.5
    figure, axes = paper(str(comparison), comparison.words, height)
    widths = (2.5, 0.36, 1.18)
    for side, (name, place) in enumerate((("reported", EDGE), ("computed", WIDTH - EDGE - sum(widths)))):
        write(axes, place, TITLE + 0.08, name, size=9.5, weight="bold")
        chain = _Regions(axes, place, widths, HEIGHT, 4)
        for number, row in enumerate(rows):
            top = start + number * (HEIGHT + GAP)
            there = [one for i in (row if isinstance(row, range) else [row]) if (one := pairs[i][side])]
            if number and there:
                chain.lead(top, GAP)
            if not there:
                chain.lack(top, "no such region")
            elif isinstance(row, range):
                chain.lack(top, _skipped([region for region, _ in there]))
            else:
                chain.draw(top, *there[0], mark=is_known and row == parting)
        _write_digest(axes, height - 0.37 + 0.18 * side, getattr(comparison, name), name)
    for number, row in enumerate(rows):
        if is_known and not (isinstance(row, range) and row.stop > parting):
            pair = pairs[row.start if isinstance(row, range) else row]
            judge(axes, start + number * (HEIGHT + GAP) + HEIGHT / 2, pair, first=row == parting)
    return figure


def _write_digest(axes: Axes, line: float, launch: SnpLaunch, name: str) -> None:
    write(axes, EDGE, line, name, weight="bold")
    write(axes, EDGE + 1.1, line, launch.digest.hex(), size=7.5, family="monospace")


def _skipped(regions: Sequence[Region]) -> str:
    return f"{len(regions)} regions, not drawn"
