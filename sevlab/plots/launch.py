"""The chain of a launch as a figure: what is loaded, and the launch digest after it."""

from __future__ import annotations

from collections import namedtuple
from itertools import groupby

from matplotlib.patches import Rectangle

from ..formats.ovmf_view import amount
from ..formats.page_info import HASHED_TYPES, PAGE, PAGE_DOCS, PageType
from ..launch.compare import LaunchComparison
from ..launch.sev import Launch
from ..launch.snp import TYPE_COLOURS, SnpLaunch
from ..layout.span import COLOURS, INK, letters
from ..layout.views import Heading, Paragraph, Table, View, hex_lines, shares
from .drawing import EDGE, GAP, LINE, PAD, TITLE, WIDTH, Column, Picture, drawn_rows, fit, judge, paper, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from ..launch.pages import Region
    from ..launch.sev import Run


HEIGHT, LINKS_GAP = 0.6, 0.14

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
    height = TITLE + len(rows) * (HEIGHT + LINKS_GAP) + 0.3
    figure, axes = paper(str(launch), title, height)
    chain = _Regions(axes, EDGE, (5.6, 0.6, 3.0), HEIGHT, SHOWN)
    for place, row in enumerate(rows):
        top = TITLE + place * (HEIGHT + LINKS_GAP)
        if place:
            chain.lead(top, LINKS_GAP)
        if isinstance(row, range):
            chain.lack(top, _links_skipped([regions[number] for number in row]))
        else:
            chain.draw(top, regions[row], launch.after[row], wordy=True)
    _write_digest(axes, height - 0.2, launch, "Launch digest")
    return figure


def plot_two_links(comparison: LaunchComparison) -> Picture:
    """Draw two chains beside each other, and mark the region in which they part.

    Of the regions before it, which are equal, only the last is drawn where there are several.
    """
    pairs = comparison.pairs()
    is_known = comparison.matches or comparison.number is not None
    parting = next((number for number, pair in enumerate(pairs) if not pair.same), len(pairs))
    rows, start = drawn_rows(len(pairs), parting), TITLE + 0.25
    if 2 < parting < len(pairs):
        rows = [range(parting - 1), *(row for row in rows if not isinstance(row, range) and row >= parting - 1)]
    height = start + len(rows) * (HEIGHT + LINKS_GAP) + 0.5
    figure, axes = paper(str(comparison), comparison.words, height)
    widths = (2.5, 0.36, 1.18)
    for side, (name, place) in enumerate((("reported", EDGE), ("computed", WIDTH - EDGE - sum(widths)))):
        write(axes, place, TITLE + 0.08, name, size=9.5, weight="bold")
        chain = _Regions(axes, place, widths, HEIGHT, 4)
        for number, row in enumerate(rows):
            top = start + number * (HEIGHT + LINKS_GAP)
            there = [one for i in (row if isinstance(row, range) else [row]) if (one := pairs[i][side])]
            if number and there:
                chain.lead(top, LINKS_GAP)
            if not there:
                chain.lack(top, "no such region")
            elif isinstance(row, range):
                chain.lack(top, _links_skipped([region for region, _ in there]))
            else:
                chain.draw(top, *there[0], mark=is_known and row == parting)
        _write_digest(axes, height - 0.37 + 0.18 * side, getattr(comparison, name), name)
    for number, row in enumerate(rows):
        if is_known and not (isinstance(row, range) and row.stop > parting):
            pair = pairs[row.start if isinstance(row, range) else row]
            judge(axes, start + number * (HEIGHT + LINKS_GAP) + HEIGHT / 2, pair, first=row == parting)
    return figure


def _write_digest(axes: Axes, line: float, launch: SnpLaunch, name: str) -> None:
    write(axes, EDGE, line, name, weight="bold")
    write(axes, EDGE + 1.1, line, launch.digest.hex(), size=7.5, family="monospace")


def _links_skipped(regions: Sequence[Region]) -> str:
    return f"{len(regions)} regions, not drawn"


UNKNOWN = "What was loaded is not known: only the launch digest was given."


def plot_launch(launch: Launch | SnpLaunch | LaunchComparison, computed: Launch | SnpLaunch | None = None) -> Picture:
    """Draw a launch as a chain: what is loaded, and the launch digest after it.

    Of SEV and SEV-ES that is each step with its size and its own SHA-256, of SEV-SNP each region of pages with its
    type and guest addresses. With *computed*, or for a comparison, two chains are drawn beside each other (*launch* is
    then the reported one), and the first step, or link, that differs is marked. Steps are grouped and coloured as
    ``explain`` does.
    """
    if isinstance(launch, Launch | SnpLaunch) and computed is not None and type(computed) is type(launch):
        launch = LaunchComparison(launch, computed)
    elif computed is not None:
        sides = f"a {type(computed).__name__} beside a {type(launch).__name__}"
        raise TypeError(f"plot_launch takes two launches of one kind, not {sides}")
    if isinstance(launch, LaunchComparison):
        return plot_two_links(launch) if isinstance(launch.reported, SnpLaunch) else _plot_pairs(launch)
    if isinstance(launch, Launch):
        return _plot_chain(launch)
    if isinstance(launch, SnpLaunch):
        return plot_links(launch)
    raise TypeError(f"plot_launch takes a launch or a comparison of two, not {type(launch).__name__}")


class _Chain(Column):
    """A chain of runs of equal steps."""

    def draw(self, top: float, run: Run, *, wordy: bool = False, mark: bool = False) -> None:
        """Draw a run of equal steps, and the digest after it; *wordy* says what they are."""
        left, line = self.left + PAD, top + 2.1 * LINE
        self.box(self.left, top, self.step, COLOURS[run.colour], mark=mark)
        write(self.axes, left, top + LINE, **fit(run.name, self.step - 2 * PAD, size=9, weight="bold"))
        doc = f"{run.amount} bytes" + (f". {run.first.doc}" if wordy else "")
        write(self.axes, left, line, **fit(doc, self.step - 2 * PAD, size=7.5))
        write(self.axes, left, line + LINE, f"SHA-256 of {'it' if run.count == 1 else 'one'} alone")
        self.hex(left, line + 2 * LINE, run.first.digest)
        self.across(top, f"{run.count} x" if run.count > 1 else "")
        self.digest(top, run.after, "launch digest after it", mark=mark)


def _plot_chain(launch: Launch) -> Picture:
    runs, height = launch.runs(), 1.0
    rows = drawn_rows(len(runs))
    count = len(launch.steps)
    title = f"A launch of {count} step{'s' * (count != 1)}, and the launch digest after each" if count else UNKNOWN
    figure, axes = paper(str(launch), title, TITLE + max(1, len(rows)) * (height + GAP))
    chain = _Chain(axes, EDGE, (5.0, 0.5, 3.7), height, 16)
    if not runs:
        chain.lack(TITLE, UNKNOWN)
        chain.digest(TITLE, launch.digest, "launch digest, as given")
    for place, row in enumerate(rows):
        top = TITLE + place * (height + GAP)
        if place:
            chain.lead(top)
        if isinstance(row, range):
            chain.lack(top, _skipped([runs[number] for number in row]))
        else:
            chain.draw(top, runs[row], wordy=True)
    return figure


def _plot_pairs(comparison: LaunchComparison) -> Picture:
    pairs, height = comparison.pairs(), 1.2
    parting = next((number for number, pair in enumerate(pairs) if not pair.same), 0)
    rows, start = drawn_rows(len(pairs), parting), TITLE + 0.25
    figure, axes = paper(str(comparison), comparison.words, start + max(1, len(rows)) * (height + GAP))
    widths = (2.15, 0.32, 1.66)
    for side, place in ("reported", EDGE), ("computed", WIDTH - EDGE - sum(widths)):
        write(axes, place, TITLE + 0.08, side, size=9.5, weight="bold")
        chain, launch = _Chain(axes, place, widths, height, 8), getattr(comparison, side)
        if not launch.steps:
            chain.lack(start, UNKNOWN)
            chain.digest(start, launch.digest, "launch digest, as given")
            continue
        for number, row in enumerate(rows):
            top = start + number * (height + GAP)
            runs = [getattr(pairs[i], side) for i in (row if isinstance(row, range) else [row])]
            there = [run for run in runs if run]
            if number and there:
                chain.lead(top)
            if not there:
                chain.lack(top, "no such step")
            elif isinstance(row, range):
                chain.lack(top, _skipped(there))
            else:
                chain.draw(top, there[0], mark=comparison.is_known and row == parting and not pairs[row].same)
    if comparison.is_known:
        for number, row in enumerate(rows):
            if not isinstance(row, range):
                judge(axes, start + number * (height + GAP) + height / 2, pairs[row], first=row == parting)
    return figure


def _skipped(runs: Sequence[Run]) -> str:
    return f"{sum(run.count for run in runs)} more, not drawn"


TITLE_WORDS = "Where the measured pages lie, by guest physical address"

#: Guest memory without a measured page that breaks the axis, in bytes.
BREAK = 16 << 20

#: Regions drawn at most. An ordinary firmware has at most about ten; a broken one may have hundreds.
REGION_LIMIT = 40

#: Steps in which a bar is divided; each region gets at least one.
STEPS = 60

#: Heights: a bar with its addresses, the bar alone, a line of a table. All in inches.
BAR, TALL, ROW = 0.78, 0.36, 0.2

#: A pattern for each page type, so that none is told by its colour alone.
HATCHES = {"NORMAL": "", "VMSA": "xx", "ZERO": "..", "UNMEASURED": "oo", "SECRETS": "//", "CPUID": "\\\\"}

#: What a place without a measured page looks like.
MEMORY_GAP: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linestyle": ":", "linewidth": 1}

#: Colour of the pattern: seen on every colour, and no louder than the letters.
FAINT = "#8a8f98"


class Place(namedtuple("Place", "letter region start size")):
    """A region, or a gap between two (its letter is then "", its region None): where it starts, how many bytes."""

    __slots__ = ()


def plot_memory(launch: SnpLaunch) -> Picture:
    """Draw the guest memory that a SEV-SNP launch measures, by guest physical address, the lowest first.

    A region has the letter of its place in the chain: A was loaded first. It is as wide as its share, but never too
    narrow for its letter; the table has true sizes. Colour and pattern tell the page type. Where no page is measured
    for more than 16 MiB, the axis is broken.
    """
    drawn = launch.regions[:REGION_LIMIT]
    stretches = _stretches(drawn)
    types = list(dict.fromkeys(region.page_type for region in drawn))
    height = TITLE + BAR * len(stretches) + ROW * (len(drawn) + len(types) + 4)
    figure, axes = paper(_words(launch).text(), f"{TITLE_WORDS} (the axis is broken between bars)", height)
    for number, stretch in enumerate(stretches):
        _draw(axes, TITLE + BAR * number, stretch)
    line = TITLE + BAR * len(stretches) + 0.05
    line = _table(axes, line, drawn) + ROW
    for kind in types:
        line += ROW
        _swatch(axes, line, PageType(kind).short)
        write(axes, EDGE + 0.42, line, PageType(kind).short, size=8, weight="bold")
        write(axes, EDGE + 1.55, line, **fit(PAGE_DOCS[kind], WIDTH - 2 * EDGE - 1.55, size=8))
    line += ROW
    axes.add_patch(Rectangle((EDGE, line - 0.075), 0.3, 0.15, **MEMORY_GAP))
    write(axes, EDGE + 0.42, line, "(none)", size=8, weight="bold")
    write(axes, EDGE + 1.55, line, "No page is measured here.", size=8)
    if len(drawn) < len(launch.regions):
        write(axes, EDGE, line + ROW, f"{len(launch.regions) - len(drawn)} more regions, not drawn", size=8)
    return figure


def _stretches(regions: Sequence[Region]) -> list[list[Place]]:
    """Return regions in stretches without a break, by address; gaps within a stretch are places too."""
    named = sorted(zip(letters(len(regions)), regions, strict=True), key=lambda pair: pair[1].gpa)
    stretches: list[list[Place]] = []
    end = 0
    # Pages with one address, such as those of all virtual CPUs, are one place.
    for gpa, group in groupby(named, key=lambda pair: pair[1].gpa):
        same = list(group)
        region = same[0][1]
        size = max(one.step * (len(one.contents) - 1) + PAGE for _, one in same)
        place = Place(", ".join(letter for letter, _ in same), region, gpa, size)
        if not stretches or gpa - end > BREAK:
            stretches.append([place])
        else:
            gap = [Place("", None, end, gpa - end)] if gpa > end else []
            stretches[-1] += [*gap, place]
        end = max(end, gpa + size)
    return stretches


def _draw(axes: Axes, top: float, stretch: Sequence[Place]) -> None:
    """Draw one stretch of memory: its addresses above, its regions below."""
    first, last = stretch[0].start, stretch[-1].start + stretch[-1].size
    write(axes, EDGE, top, f"0x{first:x}", size=8.5, family="monospace")
    write(axes, WIDTH - EDGE, top, f"0x{last - 1:x}", size=8.5, family="monospace", ha="right")
    write(axes, WIDTH / 2, top, f"{amount(last - first)}", size=8.5, ha="center")
    widths = shares([place.size for place in stretch], STEPS)
    left, unit = EDGE, (WIDTH - 2 * EDGE) / sum(widths)
    for place, steps in zip(stretch, widths, strict=True):
        box = (left, top + 0.14), steps * unit, TALL
        left += steps * unit
        if place.region is None:
            axes.add_patch(Rectangle(*box, **MEMORY_GAP))
            continue
        _fill(axes, box, place.region.type_name)
        write(
            axes,
            box[0][0] + box[1] / 2,
            box[0][1] + TALL / 2,
            place.letter,
            size=9,
            weight="bold",
            ha="center",
            bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"},
        )


def _fill(axes: Axes, box: tuple[tuple[float, float], float, float], type_name: str, *, plain: bool = False) -> None:
    """Draw a box in the colour and the pattern of a page type; *plain* leaves out the pattern."""
    colour, hatch = COLOURS[TYPE_COLOURS[type_name]], "" if plain else HATCHES[type_name]
    axes.add_patch(Rectangle(*box, facecolor=colour, edgecolor=FAINT, hatch=hatch, linewidth=0))
    axes.add_patch(Rectangle(*box, fill=False, edgecolor=INK, linewidth=1))


def _swatch(axes: Axes, line: float, type_name: str, *, plain: bool = False) -> None:
    _fill(axes, ((EDGE, line - 0.075), 0.3, 0.15), type_name, plain=plain)


def _rows(regions: Sequence[Region]) -> list[list[str]]:
    """Return a line for each region, in the order of the chain."""
    return [
        [letter, region.name, f"0x{region.gpa:x}", str(len(region.contents)), region.type_name, region.doc]
        for letter, region in zip(letters(len(regions)), regions, strict=True)
    ]


HEADER = ["", "in the order of the chain", "guest address", "pages", "type", "what it is"]


def _table(axes: Axes, line: float, regions: Sequence[Region]) -> float:
    """Write the table of regions; return where its last line is."""
    starts = [EDGE, EDGE + 0.42, EDGE + 2.3, EDGE + 3.6, EDGE + 4.2, EDGE + 5.25]
    for number, row in enumerate([HEADER, *_rows(regions)]):
        if number:
            line += ROW
            _swatch(axes, line, row[4], plain=True)
        for column, (start, cell) in enumerate(zip(starts, row, strict=True)):
            if column == 0:
                write(axes, start + 0.15, line, cell, size=8, weight="bold", ha="center")
                continue
            wide = (starts[column + 1] if column + 1 < len(starts) else WIDTH - EDGE) - start - 0.06
            write(axes, start, line, **fit(cell, wide, size=8, weight="normal" if number else "bold"))
    return line


def _words(launch: SnpLaunch) -> View:
    """Tell what the figure shows."""
    rows = _rows(launch.regions)
    lines = []
    for stretch in _stretches(launch.regions):
        first, last = stretch[0].start, stretch[-1].start + stretch[-1].size - 1
        inside = " ".join(place.letter or "(gap)" for place in stretch)
        lines.append(Paragraph(f"0x{first:x} to 0x{last:x}: {inside}"))
    colours = [TYPE_COLOURS[region.type_name] for region in launch.regions]
    return View(
        Heading(TITLE_WORDS),
        *lines,
        Table(HEADER, rows, colours=colours, mono=[0, 2, 3]),
    )
