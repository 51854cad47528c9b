"""The messages of a launch as a sequence: one line down for each party, one arrow for each message."""

from __future__ import annotations

from matplotlib.patches import FancyArrowPatch, Rectangle

from ..layout.span import COLOURS, INK
from ..simulator.launch import COLOUR_OF, HOST, OWNER, PSP, Transcript
from .picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Where each party's line is, as a share of the width, and inches: a row, the head, the width.
PLACES = {OWNER: 0.14, HOST: 0.5, PSP: 0.86}
ROW, HEAD, WIDTH = 0.36, 0.7, 9.6


def plot_transcript(transcript: Transcript) -> Picture:
    """Return a figure of a transcript: messages as arrows, with their sizes in bytes; what a party computes as a box.

    What stands at a line is computed and never leaves that party. The order is from the top down.
    """
    count = len(transcript.entries)
    height = HEAD + ROW * (count + 0.5)
    figure = Picture(transcript.explain().text(), figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(height, 0)  # inches from the top
    for party, x in PLACES.items():
        axes.plot([x, x], [HEAD - 0.1, height - 0.1], color=INK, linewidth=1, linestyle=":")
        _box(axes, x, 0.36, party, COLOUR_OF[party], 10, "bold")
    for number, entry in enumerate(transcript.entries):
        y = HEAD + ROW * (number + 0.6)
        x = PLACES[entry.sender]
        if not entry.is_message:
            _box(axes, x, y, entry.name, COLOUR_OF[entry.sender], 8, "normal")
            continue
        to = PLACES[entry.receiver]
        arrow = FancyArrowPatch((x, y), (to, y), arrowstyle="-|>", mutation_scale=11, color=INK, linewidth=1.1)
        axes.add_patch(arrow)
        words = f"{entry.name}, {entry.size:,} bytes"
        axes.text((x + to) / 2, y - 0.05, words, color=INK, size=8, ha="center", va="bottom")
    return figure


def _box(axes: Axes, x: float, y: float, words: str, colour: str, size: float, weight: str) -> None:
    """Write words in a tinted box around a point."""
    width, tall = 0.016 + 0.0083 * len(words) * size / 8, 0.26
    place = (x - width / 2, y - tall / 2)
    axes.add_patch(Rectangle(place, width, tall, facecolor=COLOURS[colour], edgecolor=INK, linewidth=1, zorder=3))
    axes.text(x, y, words, color=INK, size=size, weight=weight, ha="center", va="center", zorder=4)
