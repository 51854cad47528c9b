"""Pictures, made with matplotlib. Each is also told in words, since a picture cannot be read by everyone."""

from .avalanche import Avalanche, plot_avalanche
from .flash import plot_flash
from .launch import plot_launch
from .picture import Picture
from .sequence import plot_transcript

__all__ = ["Avalanche", "Picture", "plot_avalanche", "plot_flash", "plot_launch", "plot_transcript"]
