"""Declare a byte structure once; show it, compare it. Knows no format."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "Comparison": "compare",
    "View": "views",
}

__all__ = sorted(_HOME)

__getattr__ = hand_on(__name__, _HOME)
