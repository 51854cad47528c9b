"""Pictures, made with matplotlib. Each is also told in words, since a picture cannot be read by everyone."""

from __future__ import annotations

from .charts import Avalanche, plot_avalanche, plot_predictions, plot_tcb, plot_transcript
from .drawing import Picture
from .launch import plot_launch, plot_memory

__all__ = [
    "Avalanche",
    "Picture",
    "plot_avalanche",
    "plot_launch",
    "plot_memory",
    "plot_predictions",
    "plot_tcb",
    "plot_transcript",
]
