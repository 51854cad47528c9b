"""The chain of a launch, and the guest memory it measures, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.patches import Rectangle

from ..formats.ovmf_view import amount
from ..formats.page_info import HASHED_TYPES, PAGE, PAGE_DOCS, PageType
from ..launch.compare import SIDES, LaunchComparison
from ..launch.pages import Region
from ..launch.sev import Launch, Run
from ..launch.snp import TYPE_COLOURS, Loaded, SnpLaunch
from ..layout.span import COLOURS, INK, letters
from ..layout.views import Heading, Paragraph, Table, View, hex_lines, shares
from .drawing import (
    EDGE,
    LINE,
    STEPS,
    TITLE,
    WIDTH,
    Column,
    Picture,
    Size,
    drawn_rows,
    judge,
    note,
    paper,
    write,
    write_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


UNKNOWN = "What was loaded is not known: only the launch digest was given."
#: Bytes of a digest that the chain of SEV-SNP shows; the last digest is shown whole, and the words have all of each.
SHORT = 8


class _Steps(Column):
    """The chain of SEV and SEV-ES: runs of equal steps."""

    alone, beside = Size(5.0, 0.5, 3.7, 1.0, 16), Size(2.15, 0.32, 1.66, 1.2, 8)
    missing = "no such step"

    def draw(self, top: float, run: Run, *, wordy: bool, mark: bool) -> None:
        left, line, wide = self.inner, top + 2.1 * LINE, self.wide
        self.box(self.left, top, self.size.step, mark=mark, facecolor=COLOURS[run.colour])
        write_line(self.axes, left, top + LINE, run.name, wide, 9, "bold")
        doc = f"{run.amount} bytes" + (f". {run.first.doc}" if wordy else "")
        write_line(self.axes, left, line, doc, wide, 7.5)
        write(self.axes, left, line + LINE, f"SHA-256 of {'it' if run.count == 1 else 'one'} alone")
        self.lines(left, line + 2 * LINE, hex_lines(run.first.digest, self.size.per_line).split("\n"))
        self.across(top, run.count)
        self.digest(top, run.after, "launch digest after it", mark=mark)

    def skipped(self, runs: Sequence[Run]) -> str:
        return f"{sum(run.count for run in runs)} more, not drawn"


class _Regions(Column):
    """The chain of SEV-SNP: regions of pages."""

    alone, beside = Size(5.6, 0.6, 3.0, 0.6, SHORT, 0.14), Size(2.5, 0.36, 1.18, 0.6, 4, 0.14)
    missing = "no such region"

    def draw(self, top: float, run: Loaded, *, wordy: bool, mark: bool) -> None:
        region, count, left, wide = run.region, len(run.region.contents), self.inner, self.wide
        self.box(self.left, top, self.size.step, mark=mark, facecolor=COLOURS[TYPE_COLOURS[region.type_name]])
        write_line(self.axes, left, top + LINE, region.name, wide, 9, "bold")
        words = f"{count} page{'s' * (count != 1)}, type {region.type_name}, at 0x{region.gpa:x}"
        write_line(self.axes, left, top + 2.2 * LINE, words, wide, 7.5)
        words = "contents hashed" if region.page_type in HASHED_TYPES else "contents not hashed"
        write_line(self.axes, left, top + 3.2 * LINE, f"{words}. {region.doc}" if wordy else words, wide, 7.5)
        self.across(top, count)
        self.digest(top, run.after[:SHORT], "digest after it", mark=mark, more=" ...")

    def skipped(self, runs: Sequence[Loaded]) -> str:
        return f"{len(runs)} regions, not drawn"


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
        return _plot_pairs(launch)
    if isinstance(launch, Launch | SnpLaunch):
        return _plot_chain(launch)
    raise TypeError(f"plot_launch takes a launch or a comparison of two, not {type(launch).__name__}")


def _plot_chain(launch: Launch | SnpLaunch) -> Picture:
    is_snp, runs = isinstance(launch, SnpLaunch), launch.runs()
    kind: type[Column] = _Regions if is_snp else _Steps
    rows = drawn_rows(len(runs))
    height = TITLE + max(1, len(rows)) * kind.alone.pitch + 0.3 * is_snp
    figure, axes = paper(str(launch), _title(launch), height)
    chain = kind(axes, EDGE, kind.alone)
    chain.draw_all(TITLE, rows, runs, wordy=True)
    if is_snp:
        _write_digest(axes, height - 0.2, launch, "Launch digest")
    elif not runs:
        _draw_unknown(chain, TITLE, launch)
    return figure


def _title(launch: Launch | SnpLaunch) -> str:
    if isinstance(launch, SnpLaunch):
        pages, regions = launch.pages, len(launch.regions)
        return f"A SEV-SNP launch: {pages} page{'s' * (pages != 1)} in {regions} region{'s' * (regions != 1)}"
    count = len(launch.steps)
    return f"A launch of {count} step{'s' * (count != 1)}, and the launch digest after each" if count else UNKNOWN


def _plot_pairs(comparison: LaunchComparison) -> Picture:
    """Draw two chains beside each other, and mark the place where they diverge."""
    pairs, is_snp = comparison.pairs(), isinstance(comparison.reported, SnpLaunch)
    kind: type[Column] = _Regions if is_snp else _Steps
    parting = next((number for number, pair in enumerate(pairs) if not pair.same), len(pairs))
    rows, start, size = drawn_rows(len(pairs), parting), TITLE + 0.25, kind.beside
    if is_snp and 2 < parting < len(pairs):  # of the equal regions before, only the last is drawn
        rows = [range(parting - 1), *(row for row in rows if not isinstance(row, range) and row >= parting - 1)]
    height = start + max(1, len(rows)) * size.pitch + 0.5 * is_snp
    figure, axes = paper(str(comparison), comparison.words, height)
    for number, (side, place) in enumerate((("reported", EDGE), ("computed", WIDTH - EDGE - size.width))):
        launch = getattr(comparison, side)
        write(axes, place, TITLE + 0.08, SIDES[number], size=9.5, weight="bold")
        chain = kind(axes, place, size)
        if is_snp:
            _write_digest(axes, height - 0.37 + 0.18 * number, launch, side)
        elif not launch.steps:
            _draw_unknown(chain, start, launch)
            continue
        mark = parting if comparison.is_known else None
        chain.draw_all(start, rows, [getattr(pair, side) for pair in pairs], wordy=False, mark=mark)
    for number, row in enumerate(rows):
        if comparison.is_known and not (isinstance(row, range) and row.stop > parting):
            pair = pairs[row.start if isinstance(row, range) else row]
            judge(axes, start + number * size.pitch + size.height / 2, pair, first=row == parting)
    return figure


def _draw_unknown(chain: Column, top: float, launch: Launch | SnpLaunch) -> None:
    chain.lack(top, UNKNOWN)
    chain.digest(top, launch.digest, "launch digest, as given")


def _write_digest(axes: Axes, line: float, launch: Launch | SnpLaunch, name: str) -> None:
    write(axes, EDGE, line, name, weight="bold")
    write(axes, EDGE + 1.1, line, launch.digest.hex(), size=7.5, family="monospace")


MEMORY_TITLE = "Where the measured pages lie, by guest physical address"
#: Guest memory without a measured page that breaks the axis, in bytes.
BREAK = 16 << 20
#: Regions drawn at most. An ordinary firmware has at most about ten; a broken one may have hundreds.
REGION_LIMIT = 40
#: Heights: a bar with its addresses, the bar alone, a line of a table. All in inches.
BAR, TALL, ROW = 0.78, 0.36, 0.2
#: A pattern for each page type, so that the colour is never the only sign.
HATCHES = {"NORMAL": "", "VMSA": "xx", "ZERO": "..", "UNMEASURED": "oo", "SECRETS": "//", "CPUID": "\\\\"}
#: Colour of the pattern: seen on every colour, and no louder than the letters.
FAINT = "#8a8f98"


class Place(NamedTuple):
    """A region, or a gap between two (its letter is then "", its region None): where it starts, how many bytes."""

    letter: str
    region: Region | None
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def plot_memory(launch: SnpLaunch) -> Picture:
    """Draw the guest memory that a SEV-SNP launch measures, by guest physical address, the lowest first.

    A region has the letter of its place in the chain: A was loaded first. It is as wide as its share, but never too
    narrow for its letter; the table has true sizes. Colour and pattern show the page type. Where no page is measured
    for more than 16 MiB, the axis is broken.
    """
    drawn = launch.regions[:REGION_LIMIT]
    stretches = _stretches(drawn)
    types = list(dict.fromkeys(region.page_type for region in drawn))
    height = TITLE + BAR * len(stretches) + ROW * (len(drawn) + len(types) + 4)
    figure, axes = paper(_words(launch).text(), f"{MEMORY_TITLE} (the axis is broken between bars)", height)
    for number, stretch in enumerate(stretches):
        _draw(axes, TITLE + BAR * number, stretch)
    line = _table(axes, TITLE + BAR * len(stretches) + 0.05, drawn) + ROW
    for kind, doc in [*((PageType(one).short, PAGE_DOCS[one]) for one in types), ("", "No page is measured here.")]:
        line += ROW
        _fill(axes, EDGE, line - 0.075, 0.3, 0.15, kind, HATCHES.get(kind, ""))
        note(axes, line, kind or "(none)", doc, left=EDGE + 0.42, indent=1.55, size=8)
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
        names, same = zip(*group, strict=True)
        size = max(one.step * (len(one.contents) - 1) + PAGE for one in same)
        place = Place(", ".join(names), same[0], gpa, size)
        if not stretches or gpa - end > BREAK:
            stretches.append([place])
        else:
            stretches[-1] += [Place("", None, end, gpa - end), place] if gpa > end else [place]
        end = max(end, gpa + size)
    return stretches


def _draw(axes: Axes, top: float, stretch: Sequence[Place]) -> None:
    """Draw one stretch of memory: its addresses above, its regions below."""
    first, last = stretch[0].start, stretch[-1].end
    write(axes, EDGE, top, f"0x{first:x}", size=8.5, family="monospace")
    write(axes, WIDTH - EDGE, top, f"0x{last - 1:x}", size=8.5, family="monospace", ha="right")
    write(axes, WIDTH / 2, top, amount(last - first), size=8.5, ha="center")
    widths = shares([place.size for place in stretch], STEPS)
    left, unit = EDGE, (WIDTH - 2 * EDGE) / sum(widths)
    for place, steps in zip(stretch, widths, strict=True):
        wide = steps * unit
        kind = place.region.type_name if place.region else ""
        _fill(axes, left, top + 0.14, wide, TALL, kind, HATCHES.get(kind, ""))
        if place.region:
            plate = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
            middle = left + wide / 2, top + 0.14 + TALL / 2
            write(axes, *middle, place.letter, size=9, weight="bold", ha="center", bbox=plate)
        left += wide


def _fill(axes: Axes, left: float, top: float, width: float, height: float, type_name: str, hatch: str) -> None:
    """Draw a box in the colour of a page type, "" for no page, with a pattern."""
    place, line = ((left, top), width, height), "-" if type_name else ":"
    if type_name:
        colour = COLOURS[TYPE_COLOURS[type_name]]
        axes.add_patch(Rectangle(*place, facecolor=colour, edgecolor=FAINT, hatch=hatch, linewidth=0))
    axes.add_patch(Rectangle(*place, fill=False, edgecolor=INK, linewidth=1, linestyle=line))


def _rows(regions: Sequence[Region]) -> list[list[str]]:
    return [
        [letter, region.name, f"0x{region.gpa:x}", str(len(region.contents)), region.type_name, region.doc]
        for letter, region in zip(letters(len(regions)), regions, strict=True)
    ]


HEADER = ["", "in the order of the chain", "guest address", "pages", "type", "what it is"]


def _table(axes: Axes, line: float, regions: Sequence[Region]) -> float:
    starts = [EDGE, EDGE + 0.42, EDGE + 2.3, EDGE + 3.6, EDGE + 4.2, EDGE + 5.25]
    for number, row in enumerate([HEADER, *_rows(regions)]):
        if number:
            line += ROW
            _fill(axes, EDGE, line - 0.075, 0.3, 0.15, row[4], hatch="")
        for column, (start, cell) in enumerate(zip(starts, row, strict=True)):
            if column == 0:
                write(axes, start + 0.15, line, cell, size=8, weight="bold", ha="center")
                continue
            wide = (starts[column + 1] if column + 1 < len(starts) else WIDTH - EDGE) - start - 0.06
            write_line(axes, start, line, cell, wide, 8, "normal" if number else "bold")
    return line


def _words(launch: SnpLaunch) -> View:
    rows, lines = _rows(launch.regions), []
    for stretch in _stretches(launch.regions):
        inside = " ".join(place.letter or "(gap)" for place in stretch)
        lines.append(Paragraph(f"0x{stretch[0].start:x} to 0x{stretch[-1].end - 1:x}: {inside}"))
    colours = [TYPE_COLOURS[region.type_name] for region in launch.regions]
    return View(Heading(MEMORY_TITLE), *lines, Table(HEADER, rows, colours=colours, mono=[0, 2, 3]))
