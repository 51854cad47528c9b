"""Widgets: change any input and watch what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..evidence import Evidence
from ..layout.rows import Layout
from ..verify import Verdict
from .bytemap import ByteMap
from .coverage import CoverageBox
from .explorer import Explorer

if TYPE_CHECKING:
    from ipywidgets import Widget

__all__ = ["ByteMap", "CoverageBox", "Explorer", "explore"]


def explore(thing: Evidence | Verdict | Layout | str) -> Widget:
    """Return a widget for *thing*: all inputs of evidence, the byte map of one structure, or, for the text of a QEMU
    command line or a libvirt domain XML, what the measurement covers of it.

    It is the live twin of :func:`sevlab.explain`. Raises TypeError for anything else.
    """
    if isinstance(thing, Verdict):
        thing = thing.evidence
    if isinstance(thing, Evidence):
        return Explorer(thing)
    if isinstance(thing, Layout):
        return ByteMap(type(thing).__name__, thing.spans())
    if isinstance(thing, str):
        return CoverageBox(thing)
    raise TypeError(f"explore takes evidence, a verdict, a layout or a configuration, not {type(thing).__name__}")
