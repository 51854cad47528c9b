"""Where the measured pages of a SEV-SNP guest lie, as a figure."""

from __future__ import annotations

from collections import namedtuple
from itertools import groupby

from matplotlib.patches import Rectangle

from ..formats.ovmf_view import amount
from ..formats.page_info import PAGE, PAGE_DOCS, PageType
from ..layout.span import COLOURS, INK, letters
from ..layout.views import Heading, Paragraph, Table, View, shares
from ..snp.launch import TYPE_COLOURS
from .column import EDGE, TITLE, WIDTH, fit, paper, write
from .picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from ..snp import Region, SnpLaunch

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
GAP: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linestyle": ":", "linewidth": 1}
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
    axes.add_patch(Rectangle((EDGE, line - 0.075), 0.3, 0.15, **GAP))
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
            axes.add_patch(Rectangle(*box, **GAP))
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
