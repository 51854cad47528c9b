"""Pictures, made with matplotlib. Each is also told in words, since a picture cannot be read by everyone."""

from .avalanche import Avalanche, plot_avalanche

__all__ = ["Avalanche", "plot_avalanche"]
