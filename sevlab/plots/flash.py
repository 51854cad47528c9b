"""The map of a flash image as a figure."""

from __future__ import annotations

import textwrap

from matplotlib.patches import Rectangle

from ..formats.ovmf_view import amount
from ..layout.span import COLOURS, INK
from ..layout.views import View, shares
from .picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..formats.ovmf import Ovmf
    from ..formats.ovmf_view import FlashMap

#: Steps in which a bar is divided; each region gets at least one.
STEPS = 60
#: Heights in inches: a bar with its title, a line of its legend, the figure's title.
BAR, LINE, TITLE = 0.95, 0.21, 0.6
WIDTH = 9.6


def plot_flash(ovmf: Ovmf) -> Picture:
    """Return a figure of a firmware image: the file, its last bytes, and the guest memory its tables name.

    A region is as wide as its share, but never too narrow for its letter; the legend has the true sizes. The regions
    are those of ``explain``, in the same order, with the same letters and colours.
    """
    drawn = ovmf.maps()
    heights = [BAR + LINE * (1 + len(made.regions)) for made in drawn]
    figure = Picture(View(*(made.view() for made in drawn)).text(), figsize=(WIDTH, TITLE + sum(heights)))
    top = TITLE + sum(heights)
    title = textwrap.fill(f"{ovmf.kind[:1].upper()}{ovmf.kind[1:]}", 90)
    figure.text(0.03, 1 - 0.3 / top, title, color=INK, size=10.5, weight="bold", va="center")
    place = top - TITLE
    for made, height in zip(drawn, heights, strict=True):
        place -= height
        axes = figure.add_axes((0.03, place / top, 0.94, height / top))
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(height, 0)  # inches from the top of this map
        _draw(axes, made)
    return figure


def _draw(axes: Axes, made: FlashMap) -> None:
    """Draw one map: title, bar, legend."""
    axes.text(0, 0.1, made.title, color=INK, size=9.5, va="center")
    widths = shares([region.size for region in made.regions], STEPS)
    whole, left = sum(widths), 0.0
    for label, region, steps in zip(made.labels(), made.regions, widths, strict=True):
        width = steps / whole
        box = Rectangle(
            (left, 0.24), width, 0.42, facecolor=COLOURS[region.colour], edgecolor=INK, linewidth=1, clip_on=False
        )
        axes.add_patch(box)
        axes.text(left + width / 2, 0.45, label, color=INK, size=9, ha="center", va="center")
        left += width
    columns, *places = made.places()
    line = 0.66 + LINE
    _legend(axes, line, ["", "region", *columns, "size", "what it is"], weight="bold")
    for label, region, row in zip(made.labels(), made.regions, places, strict=True):
        line += LINE
        axes.add_patch(
            Rectangle(
                (0, line - 0.08),
                0.018,
                0.16,
                facecolor=COLOURS[region.colour],
                edgecolor=INK,
                linewidth=0.6,
                clip_on=False,
            )
        )
        _legend(axes, line, [label, region.name, *row, amount(region.size), region.doc])


def _legend(axes: Axes, line: float, cells: list[str], weight: str = "normal") -> None:
    """Write one line of a legend. Every map has the same columns at the same places."""
    starts = [0.009, 0.03, 0.2, 0.3, 0.42, 0.51] if len(cells) == 6 else [0.009, 0.03, 0.2, 0.42, 0.51]
    for number, (start, cell) in enumerate(zip(starts, cells, strict=True)):
        side = "center" if number == 0 else "left"
        axes.text(start, line, cell, color=INK, size=8, ha=side, va="center", weight=weight)
