"""A box for text that people paste, of any size: text that is too long is reported, never sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anywidget
import traitlets
from ipywidgets import Layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class PasteBox(anywidget.AnyWidget):
    """A box for several lines of text. ``value`` is the text, sent when the box is left.

    JupyterLab drops the connection, without a word, when a message is larger than 10 MiB, and the box would be dead.
    So text that would make it longer than ``limit`` characters never gets in: *refuse* is called with the length, and
    what stood there stays.
    """

    _esm = Path(__file__).with_name("pastebox.js")
    value = traitlets.Unicode().tag(sync=True)
    limit = traitlets.Int().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, limit: int, refuse: Callable[[int], None], placeholder: str = "") -> None:
        layout = Layout(width="62em", max_width="100%", height="auto")
        super().__init__(label=label, limit=limit, placeholder=placeholder, layout=layout)
        self._refuse = refuse
        self.on_msg(self._told)

    def _told(self, widget: object, content: Any, buffers: object) -> None:
        if isinstance(content, dict) and isinstance(length := content.get("refused"), int):
            self._refuse(length)
