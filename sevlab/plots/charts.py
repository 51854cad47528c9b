"""The avalanche: how much of the measure changes when one bit of the message does."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from matplotlib.patches import FancyArrowPatch, Rectangle

from ..data import MODES, UNKNOWN
from ..errors import InputError
from ..formats.ovmf_view import amount
from ..formats.report import LADDER, PART_DOCS, PARTS, Tcb, explain_ladder, tcb_ladder
from ..labs.predictions import EQUAL, NONE, OTHER, STOPS, WORDS
from ..launch.measure import compute_measure
from ..layout.span import COLOURS, INK
from ..layout.views import View, shares
from ..simulator.launch import COLOUR_OF, HOST, OWNER, PSP, Transcript
from .drawing import EDGE, MARK, TITLE, WIDTH, Picture, fit, paper, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..formats.launch_measure import MeasureMessage
    from ..formats.ovmf import Ovmf
    from ..formats.ovmf_view import FlashMap
    from ..formats.report import Report
    from ..labs.predictions import Predictions
    from ..launch.keys import Secret


class Avalanche:
    """For each bit of a message, the number of bits (of 256) of the measure that change when it is flipped."""

    def __init__(self, message: MeasureMessage, tik: Secret | bytes) -> None:
        self.message = message
        raw = message.to_bytes()
        before = int.from_bytes(compute_measure(message, tik), "big")
        self.flips = []
        for position in range(8 * len(raw)):
            flipped = bytearray(raw)
            flipped[position // 8] ^= 1 << position % 8
            after = int.from_bytes(compute_measure(message.from_bytes(bytes(flipped)), tik), "big")
            self.flips.append((before ^ after).bit_count())

    def __repr__(self) -> str:
        mean = sum(self.flips) / len(self.flips)
        return (
            f"{len(self.flips)} bits of the message, each flipped alone: {mean:.1f} of the measure's 256 bits change "
            f"on average, {min(self.flips)} at least, {max(self.flips)} at most"
        )


def plot_avalanche(message: MeasureMessage, tik: Secret | bytes) -> Picture:
    """Draw one dot for each bit of *message*: where it is, and how many bits of the measure change with it.

    *tik* is the transport integrity key (16 bytes).
    """
    avalanche = Avalanche(message, tik)
    figure = Picture(repr(avalanche), figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    edge = (0, 256)
    for span in message.spans():
        axes.axvspan(span.offset, span.offset + span.size, color=COLOURS[span.colour], zorder=0)
        middle = span.offset + span.size / 2
        axes.text(middle, edge[1] - 6, span.name, rotation=90, ha="center", va="top", fontsize=8, color=INK)
    places = [position / 8 for position in range(len(avalanche.flips))]
    axes.scatter(places, avalanche.flips, s=5, color=INK, zorder=2)
    axes.axhline(128, color="#b00020", linewidth=1, zorder=1)
    axes.set(xlim=(0, message.size), ylim=edge, xlabel="offset in the message (bytes)", xticks=range(0, 57, 4))
    axes.set(ylabel="bits of the measure\nthat change (of 256)", yticks=[0, 64, 128, 192, 256])
    axes.set_title("Flip any one bit of the message, and about half of the measure flips", fontsize=10)
    return figure


#: Where each party's line is, as a share of the width, and inches: a row, the head, the width.
PLACES = {OWNER: 0.14, HOST: 0.5, PSP: 0.86}

ROW, HEAD, SEQUENCE_WIDTH = 0.36, 0.7, 9.6


def plot_transcript(transcript: Transcript) -> Picture:
    """Return a figure of a transcript: messages as arrows, with their sizes in bytes; what a party computes as a box.

    What stands at a line is computed and never leaves that party. The order is from the top down.
    """
    count = len(transcript.entries)
    height = HEAD + ROW * (count + 0.5)
    figure = Picture(transcript.explain().text(), figsize=(SEQUENCE_WIDTH, height))
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


#: The TCB that the signing key is made from, and which its certificate names.
SIGNS = "reported_tcb"

#: Letter, colour and meaning of each TCB, the highest first.
TAGS = {
    "current_tcb": ("C", "orange", "current: what runs now"),
    "committed_tcb": ("K", "teal", "committed: the platform cannot go back below it"),
    "launch_tcb": ("L", "purple", "launch: what ran when the guest was launched"),
    SIGNS: ("R", "yellow", "reported: the key that signs is made from it, and its certificate names it"),
}

assert set(TAGS) == set(LADDER)

#: Heights: a rung, the head with the parts' names, a line of the legend. All in inches.
RUNG, TCB_HEAD, TCB_ROW = 0.4, 0.36, 0.22

#: Widths: from a column's edge to the ladder, the ladder, a tag, from one tag to the next.
RAIL, SPAN, TAG, STEP = 0.42, 0.22, 0.22, 0.27


def plot_tcb(report: Report) -> Picture:
    """Draw the four TCBs of a report as ladders, one for each part: a rung for each number, the higher the newer.

    The tags on a rung say which TCB has this number; the one with the thick border is the one whose key signs. Only
    the order of the numbers is drawn, not how far they are apart. Raises :class:`~sevlab.errors.InputError` for a
    report of which it is not known which byte is which part.
    """
    tcbs = {name: getattr(report, name) for name in TAGS}
    if not all(isinstance(one, Tcb) for one in tcbs.values()):
        needed = "one whose product is known: it says which byte of a TCB is which part"
        raise InputError("report", f"a report of version {report.version}", needed, "give load_report the product")
    parts = [part for part in PARTS if part in tcbs[SIGNS].parts]
    most = max(len({one.parts[part] for one in tcbs.values()}) for part in parts)
    odd = tcb_ladder(report)
    height = TITLE + TCB_HEAD + RUNG * most + 0.25 + TCB_ROW * (len(TAGS) + len(parts) + len(odd) + 1)
    title = "How new each part of the platform is: a higher rung is newer"
    figure, axes = paper(View(*explain_ladder(report)).text(), title, height)
    wide = (WIDTH - 2 * EDGE) / len(parts)
    for number, part in enumerate(parts):
        left, base = EDGE + number * wide, TITLE + TCB_HEAD + RUNG * most
        write(axes, left + RAIL + SPAN / 2, TITLE + 0.12, part, size=10, weight="bold", ha="center")
        _ladder(axes, left, base, {name: one.parts[part] for name, one in tcbs.items()})
    line = TITLE + TCB_HEAD + RUNG * most + 0.3
    for words in odd:
        write(axes, EDGE, line, **fit(f"ODD: {words}", WIDTH - 2 * EDGE, size=8.5, weight="bold"), color=MARK)
        line += TCB_ROW
    for name, (_, _, meaning) in TAGS.items():
        _tag(axes, EDGE, line, name)
        write(axes, EDGE + 0.4, line, **fit(meaning, WIDTH - 2 * EDGE - 0.4, size=8.5))
        line += TCB_ROW
    line += TCB_ROW / 2
    for part in parts:
        write(axes, EDGE, line, part, size=8.5, weight="bold")
        write(axes, EDGE + 0.6, line, **fit(PART_DOCS[part], WIDTH - 2 * EDGE - 0.6, size=8.5))
        line += TCB_ROW
    return figure


def _ladder(axes: Axes, left: float, base: float, values: dict[str, int]) -> None:
    """Draw one part's ladder, upwards from *base*: a rung for each number, and the tags of the TCBs that have it."""
    rungs = sorted(set(values.values()))
    rail = left + RAIL
    top = base - RUNG * len(rungs)
    for x in (rail, rail + SPAN):
        axes.plot([x, x], [top, base], color=INK, linewidth=2.5)
    for number, value in enumerate(rungs):
        line = base - RUNG * (number + 0.5)
        axes.plot([rail, rail + SPAN], [line, line], color=INK, linewidth=2.5)
        write(axes, rail - 0.1, line, str(value), size=9.5, ha="right", family="monospace")
        place = rail + SPAN + 0.1
        for name in (name for name in TAGS if values[name] == value):
            _tag(axes, place, line, name)
            place += STEP


def _tag(axes: Axes, left: float, line: float, name: str) -> None:
    """Draw a TCB's letter in its box."""
    letter, colour, _ = TAGS[name]
    edge, thick = (MARK, 2.5) if name == SIGNS else (INK, 1)
    box = Rectangle(
        (left, line - 0.09), TAG, 0.18, facecolor=COLOURS[colour], edgecolor=edge, linewidth=thick, zorder=3
    )
    axes.add_patch(box)
    write(axes, left + TAG / 2, line, letter, size=8.5, weight="bold", ha="center", zorder=4)


#: The colour of each word.
CELL_COLOURS = {EQUAL: "green", OTHER: "pink", STOPS: "orange", NONE: "grey", UNKNOWN: "yellow"}

assert set(CELL_COLOURS) == set(WORDS)

#: Inches: the releases' names, a row, the head with the letters, a line below.
NAMES, BELIEFS_ROW, BELIEFS_HEAD, LINE = 2.6, 0.3, 0.3, 0.22


def plot_predictions(predictions: Predictions) -> Picture:
    """Draw which release is right about which host: colour and word say the same. The hosts are listed below."""
    hosts, rows, states = predictions.hosts, predictions.rows, predictions.states
    height = TITLE + BELIEFS_HEAD + BELIEFS_ROW * len(rows) + 0.2 + LINE * (len(hosts) + len(states) + 1)
    figure, axes = paper(
        predictions.explain().text(), f"{MODES[predictions.mode]}: which release is right about which host", height
    )
    wide = (WIDTH - 2 * EDGE - NAMES) / len(hosts)
    for number, letter in enumerate(predictions.letters):
        write(
            axes,
            EDGE + NAMES + wide * (number + 0.5),
            TITLE + BELIEFS_HEAD / 2,
            letter,
            size=9,
            weight="bold",
            ha="center",
        )
    for place, row in enumerate(rows):
        top = TITLE + BELIEFS_HEAD + BELIEFS_ROW * place
        write(axes, EDGE, top + BELIEFS_ROW / 2, **fit(row.release.name, NAMES - 0.1, size=8.5))
        for number, cell in enumerate(row.cells):
            left = EDGE + NAMES + wide * number
            colour = COLOURS[CELL_COLOURS[cell.state]]
            axes.add_patch(Rectangle((left, top), wide, BELIEFS_ROW, facecolor=colour, edgecolor=INK, linewidth=1))
            weight = "bold" if cell.state == EQUAL else "normal"
            write(axes, left + wide / 2, top + BELIEFS_ROW / 2, cell.state, size=8, weight=weight, ha="center")
    line = TITLE + BELIEFS_HEAD + BELIEFS_ROW * len(rows) + 0.3
    legend = [(letter, f"{host.name}: {host.since}") for letter, host in zip(predictions.letters, hosts, strict=True)]
    for name, words in [*legend, *((state, WORDS[state]) for state in states)]:
        write(axes, EDGE, line, name, size=8.5, weight="bold")
        write(axes, EDGE + 0.8, line, **fit(words, WIDTH - 2 * EDGE - 0.8, size=8.5))
        line += LINE
    return figure


#: Steps in which a bar is divided; each region gets at least one.
STEPS = 60

#: Heights in inches: a bar with its title, a line of its legend, the figure's title.
BAR, FLASH_LINE, FLASH_TITLE = 0.95, 0.21, 0.6

FLASH_WIDTH = 9.6


def plot_flash(ovmf: Ovmf) -> Picture:
    """Return a figure of a firmware image: the file, its last bytes, and the guest memory its tables name.

    A region is as wide as its share, but never too narrow for its letter; the legend has the true sizes. The regions
    are those of ``explain``, in the same order, with the same letters and colours.
    """
    drawn = ovmf.maps()
    heights = [BAR + FLASH_LINE * (1 + len(made.regions)) for made in drawn]
    figure = Picture(View(*(made.view() for made in drawn)).text(), figsize=(FLASH_WIDTH, FLASH_TITLE + sum(heights)))
    top = FLASH_TITLE + sum(heights)
    title = textwrap.fill(f"{ovmf.kind[:1].upper()}{ovmf.kind[1:]}", 90)
    figure.text(0.03, 1 - 0.3 / top, title, color=INK, size=10.5, weight="bold", va="center")
    place = top - FLASH_TITLE
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
    line = 0.66 + FLASH_LINE
    _legend(axes, line, ["", "region", *columns, "size", "what it is"], weight="bold")
    for label, region, row in zip(made.labels(), made.regions, places, strict=True):
        line += FLASH_LINE
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
