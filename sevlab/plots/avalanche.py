"""The avalanche: how much of the measure changes when one bit of the message does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..layout.span import COLOURS, INK
from ..measure import compute_measure
from .picture import Picture

if TYPE_CHECKING:
    from ..formats.launch_measure import MeasureMessage
    from ..keys import Secret


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
