"""Buttons whose message says what they act on.

A value that was typed and the press of a button are two messages of two widgets, and nothing makes them arrive in the
order they were sent: ipywidgets holds an update back while the one before it is on its way, and JupyterLab sends the
first messages of a page to another thread of the kernel than the later ones. A press that arrives first would act on an
older state than the one on the screen. So an action carries that state: what the boxes it reads show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets


class Button(anywidget.AnyWidget):
    """A button. *act* is called when it is pressed, after the boxes *beside* it hold what the page showed.

    It can answer by a message: ``{"copy": text}``, ``{"save": name}`` with the bytes of a file, ``{"reveal": css}``.
    """

    _esm = Path(__file__).with_name("action.js")
    _css = Path(__file__).with_name("action.css")
    description = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool().tag(sync=True)
    look = traitlets.Unicode().tag(sync=True)
    #: For a button that opens and closes something: whether it is open. None for any other.
    expanded = traitlets.Bool(None, allow_none=True).tag(sync=True)
    beside: traitlets.List[Any] = traitlets.List(traitlets.Instance(w.Widget)).tag(sync=True, **w.widget_serialization)

    def __init__(
        self, description: str, act: Callable[[], object], beside: Sequence[w.Widget] = (), look: str = ""
    ) -> None:
        layout = w.Layout(width="auto", align_self="flex-start")
        super().__init__(description=description, beside=list(beside), look=look, layout=layout)
        self._act = act
        self.on_msg(self._received)

    def _received(self, widget: object, content: Any, buffers: object) -> None:
        if not isinstance(content, dict) or not isinstance(state := content.get("state"), list) or self.disabled:
            return
        for box, value in zip(self.beside, state, strict=False):
            # A value that its box refuses is from a view that the kernel has changed since.
            with contextlib.suppress(traitlets.TraitError, ValueError, OverflowError):
                if not isinstance(box, w.Dropdown):
                    box.value = value
                elif value is not None:  # nothing is chosen while a list is filled anew
                    box.label = value
        self._act()

    def click(self) -> None:
        """Do what a press does."""
        self._act()
