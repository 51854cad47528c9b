"""Pictures, made with matplotlib. Each is also told in words, since a picture cannot be read by everyone."""

from .avalanche import Avalanche, plot_avalanche
from .beliefs import plot_predictions
from .flash import plot_flash
from .launch import plot_launch
from .memory import plot_memory
from .picture import Picture
from .sequence import plot_transcript
from .tcb import plot_tcb

__all__ = [
    "Avalanche",
    "Picture",
    "plot_avalanche",
    "plot_flash",
    "plot_launch",
    "plot_memory",
    "plot_predictions",
    "plot_tcb",
    "plot_transcript",
]
