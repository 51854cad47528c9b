"""Figures of a measure, a session of messages, a platform's versions, predictions and a firmware image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import FancyArrowPatch

from ..data import MODES, UNKNOWN
from ..errors import InputError
from ..formats.launch_measure import MeasureMessage
from ..formats.report import LADDER, PART_DOCS, PARTS, Report, Tcb, explain_ladder, tcb_ladder
from ..labs.predictions import EQUAL, NONE, OTHER, STOPS, WORDS, Predictions
from ..launch.keys import SecretBytes
from ..launch.measure import compute_measure
from ..layout.span import COLOURS, INK
from ..layout.views import View
from ..simulator.launch import COLOUR_OF, HOST, OWNER, PSP, Transcript
from .drawing import EDGE, MARK, TITLE, WIDTH, Picture, block, note, paper, sheet, write, write_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Avalanche:
    """For each bit of a message, the number of bits (of 256) of the measure that change when it is flipped."""

    def __init__(self, message: MeasureMessage, tik: SecretBytes | bytes) -> None:
        self.message, raw = message, int.from_bytes(message.to_bytes(), "little")
        before = int.from_bytes(compute_measure(message, tik), "big")
        self.flips = []
        for position in range(8 * message.size):
            flipped = (raw ^ 1 << position).to_bytes(message.size, "little")
            after = int.from_bytes(compute_measure(message.from_bytes(flipped), tik), "big")
            self.flips.append((before ^ after).bit_count())

    def __repr__(self) -> str:
        mean = sum(self.flips) / len(self.flips)
        return (
            f"{len(self.flips)} bits of the message, each flipped alone: {mean:.1f} of the measure's 256 bits change "
            f"on average, {min(self.flips)} at least, {max(self.flips)} at most"
        )


def plot_avalanche(message: MeasureMessage, tik: SecretBytes | bytes) -> Picture:
    """Draw one dot for each bit of *message*: where it is, and how many bits of the measure change with it.

    *tik* is the transport integrity key (16 bytes).
    """
    avalanche = Avalanche(message, tik)
    figure = Picture(repr(avalanche), figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for span in message.spans():
        axes.axvspan(span.offset, span.offset + span.size, color=COLOURS[span.colour], zorder=0)
        middle = span.offset + span.size / 2
        axes.text(middle, 250, span.name, rotation=90, ha="center", va="top", fontsize=8, color=INK)
    axes.scatter([position / 8 for position in range(len(avalanche.flips))], avalanche.flips, s=5, color=INK, zorder=2)
    axes.axhline(128, color="#b00020", linewidth=1, zorder=1)
    axes.set(xlim=(0, message.size), ylim=(0, 256), xlabel="offset in the message (bytes)", xticks=range(0, 57, 4))
    axes.set(ylabel="bits of the measure\nthat change (of 256)", yticks=[0, 64, 128, 192, 256])
    axes.set_title("Flip any one bit of the message, and about half of the measure flips", fontsize=10)
    return figure


#: Where each party's line is, the height of a row, and that of the head. In inches.
LIFELINES, MESSAGE, PARTIES = {OWNER: 0.14 * WIDTH, HOST: 0.5 * WIDTH, PSP: 0.86 * WIDTH}, 0.36, 0.7


def plot_transcript(transcript: Transcript) -> Picture:
    """Draw a transcript from the top down: messages as arrows, with their sizes in bytes.

    A box on a party's line is what that party computes and never sends.
    """
    height = PARTIES + MESSAGE * (len(transcript.entries) + 0.5)
    figure, axes = sheet(transcript.explain().text(), height)
    for party, x in LIFELINES.items():
        axes.plot([x, x], [PARTIES - 0.1, height - 0.1], color=INK, linewidth=1, linestyle=":")
        _lifeline_box(axes, x, 0.36, party, COLOUR_OF[party], 10, "bold")
    for number, entry in enumerate(transcript.entries):
        x, y = LIFELINES[entry.sender], PARTIES + MESSAGE * (number + 0.6)
        if not entry.is_message:
            _lifeline_box(axes, x, y, entry.name, COLOUR_OF[entry.sender], 8, "normal")
            continue
        to = LIFELINES[entry.receiver]
        arrow = FancyArrowPatch((x, y), (to, y), arrowstyle="-|>", mutation_scale=11, color=INK, linewidth=1.1)
        axes.add_patch(arrow)
        write(axes, (x + to) / 2, y - 0.05, f"{entry.name}, {entry.size:,} bytes", size=8, ha="center", va="bottom")
    return figure


def _lifeline_box(axes: Axes, x: float, y: float, words: str, colour: str, size: float, weight: str) -> None:
    width = 0.154 + 0.00996 * len(words) * size
    block(axes, x - width / 2, y - 0.13, width, 0.26, colour, zorder=3)
    write(axes, x, y, words, size=size, weight=weight, ha="center", zorder=4)


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

#: Heights: a rung, and the parts' names above the ladders. In inches.
RUNG, PART_NAMES = 0.4, 0.36
#: Widths: from a column's edge to the ladder, the ladder, a tag, from one tag to the next.
RAIL, LADDER_WIDTH, TAG, NEXT_TAG = 0.42, 0.22, 0.22, 0.27
#: The height of a line of a legend.
LEGEND = 0.22


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
    findings = tcb_ladder(report)
    height = TITLE + PART_NAMES + RUNG * most + 0.25 + LEGEND * (len(TAGS) + len(parts) + len(findings) + 1)
    title = "How new each part of the platform is: a higher rung is newer"
    figure, axes = paper(View(*explain_ladder(report)).text(), title, height)
    wide = (WIDTH - 2 * EDGE) / len(parts)
    base = TITLE + PART_NAMES + RUNG * most
    for number, part in enumerate(parts):
        left = EDGE + number * wide
        write(axes, left + RAIL + LADDER_WIDTH / 2, TITLE + 0.12, part, size=10, weight="bold", ha="center")
        _ladder(axes, left, base, {name: one.parts[part] for name, one in tcbs.items()})
    line = base + 0.3
    for words in findings:
        write_line(axes, EDGE, line, f"UNEXPECTED: {words}", WIDTH - 2 * EDGE, 8.5, "bold", color=MARK)
        line += LEGEND
    for name, (_, _, meaning) in TAGS.items():
        _tag(axes, EDGE, line, name)
        write_line(axes, EDGE + 0.4, line, meaning, WIDTH - 2 * EDGE - 0.4, 8.5)
        line += LEGEND
    line += LEGEND / 2
    for part in parts:
        note(axes, line, part, PART_DOCS[part], indent=0.6, size=8.5)
        line += LEGEND
    return figure


def _ladder(axes: Axes, left: float, base: float, values: dict[str, int]) -> None:
    """Draw one part's ladder, upwards from *base*: a rung for each number, and the tags of the TCBs that have it."""
    rungs, rail = sorted(set(values.values())), left + RAIL
    top = base - RUNG * len(rungs)
    for x in (rail, rail + LADDER_WIDTH):
        axes.plot([x, x], [top, base], color=INK, linewidth=2.5)
    for number, value in enumerate(rungs):
        line = base - RUNG * (number + 0.5)
        axes.plot([rail, rail + LADDER_WIDTH], [line, line], color=INK, linewidth=2.5)
        write(axes, rail - 0.1, line, str(value), size=9.5, ha="right", family="monospace")
        place = rail + LADDER_WIDTH + 0.1
        for name in (name for name in TAGS if values[name] == value):
            _tag(axes, place, line, name)
            place += NEXT_TAG


def _tag(axes: Axes, left: float, line: float, name: str) -> None:
    letter, colour, _ = TAGS[name]
    edge, thick = (MARK, 2.5) if name == SIGNS else (INK, 1)
    block(axes, left, line - 0.09, TAG, 0.18, colour, edgecolor=edge, linewidth=thick, zorder=3)
    write(axes, left + TAG / 2, line, letter, size=8.5, weight="bold", ha="center", zorder=4)


#: The colour of each word in a table of predictions.
CELL_COLOURS = {EQUAL: "green", OTHER: "pink", STOPS: "orange", NONE: "grey", UNKNOWN: "yellow"}

assert set(CELL_COLOURS) == set(WORDS)

#: The width of the releases' names, and the height of a row. In inches.
RELEASES, CELL = 2.6, 0.3


def plot_predictions(predictions: Predictions) -> Picture:
    """Draw which release matches which host: colour and word say the same. The hosts are listed below."""
    hosts, rows, states = predictions.hosts, predictions.rows, predictions.states
    height = TITLE + CELL * (1 + len(rows)) + 0.2 + LEGEND * (len(hosts) + len(states) + 1)
    title = f"{MODES[predictions.mode]}: which release matches which host"
    figure, axes = paper(predictions.explain().text(), title, height)
    wide = (WIDTH - 2 * EDGE - RELEASES) / len(hosts)
    for number, letter in enumerate(predictions.letters):
        middle = EDGE + RELEASES + wide * (number + 0.5)
        write(axes, middle, TITLE + CELL / 2, letter, size=9, weight="bold", ha="center")
    for place, row in enumerate(rows, 1):
        top = TITLE + CELL * place
        write_line(axes, EDGE, top + CELL / 2, row.release.name, RELEASES - 0.1, 8.5)
        for number, cell in enumerate(row.cells):
            left = EDGE + RELEASES + wide * number
            block(axes, left, top, wide, CELL, CELL_COLOURS[cell.state])
            weight = "bold" if cell.state == EQUAL else "normal"
            write(axes, left + wide / 2, top + CELL / 2, cell.state, size=8, weight=weight, ha="center")
    line = TITLE + CELL * (1 + len(rows)) + 0.3
    legend = [(letter, f"{host.name}: {host.since}") for letter, host in zip(predictions.letters, hosts, strict=True)]
    for name, words in [*legend, *((state, WORDS[state]) for state in states)]:
        note(axes, line, name, words, indent=0.8, size=8.5)
        line += LEGEND
    return figure
