"""A small widget for one idea: one or two inputs, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as w

from ..layout.views import View
from .boxes import STYLE, flag, row, text_box
from .explorers import BaseExplorer

if TYPE_CHECKING:
    from collections.abc import Callable


class Trial(BaseExplorer):
    """Inputs, and the view that *run* returns for them, made again whenever one changes.

    Every keyword of *run* is an input; its start decides the box: True or False is a switch, a whole number or text a
    box to type in, a list a choice of which the first counts, and a range a number within it. In a label, ``_`` is a
    space. *run* returns a :class:`~sevlab.layout.views.View`, or raises a :class:`~sevlab.errors.SevlabError`, which is
    shown instead. ``boxes`` are the inputs by name, to set or to watch, and ``shown`` is the current view.
    """

    def __init__(self, run: Callable[..., View], **inputs: Any) -> None:
        self._run = run
        self.boxes = {name: _box(name.replace("_", " "), start) for name, start in inputs.items()}
        self.shown = View()
        super().__init__("trial", [row(*self.boxes.values())], [])
        self._watch(*self.boxes.values())

    def _read(self) -> None:
        self.shown = self._run(**{name: box.value for name, box in self.boxes.items()})

    def _clear(self) -> None:
        self.shown = View()

    def _answer(self) -> View:
        return self.shown


def _box(label: str, start: object) -> w.ValueWidget:
    """Return a box for an input that starts with *start*."""
    look = {"description": label, "style": {"description_width": "initial"}}
    if isinstance(start, bool):
        return flag(label, label, "auto", value=start)
    if isinstance(start, range):
        return w.BoundedIntText(value=start[0], min=start[0], max=start[-1], layout=w.Layout(width="16em"), **look)
    if isinstance(start, list):
        return w.Dropdown(options=start, layout=w.Layout(width="auto", max_width="100%"), **look)
    if isinstance(start, int):
        return w.IntText(value=start, layout=w.Layout(width="16em"), **look)
    return text_box(label, str(start), width="30em", style=STYLE)
