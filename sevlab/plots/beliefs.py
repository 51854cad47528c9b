"""Predicted digests as a heat map: a row for each release, a column for each host, a word in every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from ..data import MODES, UNKNOWN
from ..layout.span import COLOURS, INK
from ..predictions import EQUAL, NONE, OTHER, STOPS, WORDS
from .column import EDGE, TITLE, WIDTH, fit, paper, write

if TYPE_CHECKING:
    from ..predictions import Predictions
    from .picture import Picture

#: The colour of each word.
CELL_TINTS = {EQUAL: "green", OTHER: "pink", STOPS: "orange", NONE: "grey", UNKNOWN: "yellow"}
assert set(CELL_TINTS) == set(WORDS)
#: Inches: the releases' names, a row, the head with the letters, a line below.
NAMES, ROW, HEAD, LINE = 2.6, 0.3, 0.3, 0.22


def plot_predictions(predictions: Predictions) -> Picture:
    """Draw which release is right about which host: colour and word say the same. The hosts are listed below."""
    hosts, rows, states = predictions.hosts, predictions.rows, predictions.states
    height = TITLE + HEAD + ROW * len(rows) + 0.2 + LINE * (len(hosts) + len(states) + 1)
    figure, axes = paper(
        predictions.explain().text(), f"{MODES[predictions.mode]}: which release is right about which host", height
    )
    wide = (WIDTH - 2 * EDGE - NAMES) / len(hosts)
    for number, letter in enumerate(predictions.letters):
        write(axes, EDGE + NAMES + wide * (number + 0.5), TITLE + HEAD / 2, letter, size=9, weight="bold", ha="center")
    for place, row in enumerate(rows):
        top = TITLE + HEAD + ROW * place
        write(axes, EDGE, top + ROW / 2, **fit(row.release.name, NAMES - 0.1, size=8.5))
        for number, cell in enumerate(row.cells):
            left = EDGE + NAMES + wide * number
            colour = COLOURS[CELL_TINTS[cell.state]]
            axes.add_patch(Rectangle((left, top), wide, ROW, facecolor=colour, edgecolor=INK, linewidth=1))
            weight = "bold" if cell.state == EQUAL else "normal"
            write(axes, left + wide / 2, top + ROW / 2, cell.state, size=8, weight=weight, ha="center")
    line = TITLE + HEAD + ROW * len(rows) + 0.3
    legend = [(letter, f"{host.name}: {host.since}") for letter, host in zip(predictions.letters, hosts, strict=True)]
    for name, words in [*legend, *((state, WORDS[state]) for state in states)]:
        write(axes, EDGE, line, name, size=8.5, weight="bold")
        write(axes, EDGE + 0.8, line, **fit(words, WIDTH - 2 * EDGE - 0.8, size=8.5))
        line += LINE
    return figure
