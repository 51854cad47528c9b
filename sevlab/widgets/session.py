"""A launch session whose every part can be edited, and the check at which the platform then stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w

from ..errors import InputError, SevlabError
from ..formats.sev_certs import SessionBlob
from ..inputs import parse_bytes, parse_policy
from ..layout.views import Banner, View
from ..session import OpenedSession, open_session
from .bytemap import StaticBox

if TYPE_CHECKING:
    from typing import Any

_STYLE = {"description_width": "7em"}


class SessionExplorer(StaticBox):
    """A launch session as one platform sees it. ``opened`` is what follows from the boxes, None while one cannot be
    read; ``error`` is then the sentence that says why."""

    def __init__(self, opened: OpenedSession) -> None:
        self.start = opened
        self.opened: OpenedSession | None = opened
        self.error = ""
        policy = "" if opened.policy is None else f"0x{int(opened.policy):x}"
        self.policy = self._box("policy", policy, "16em")
        self.boxes = {
            row.name: self._box(row.name, getattr(opened.blob, row.name).hex(), "54em") for row in SessionBlob.rows
        }
        self.alert, self.result = w.HTML(), w.HTML()
        self.alert.add_class("sevlab-error")
        self.result.add_class("sevlab-session-result")
        super().__init__([self.policy, *self.boxes.values(), self.alert, self.result])
        self.add_class("sevlab-session-explorer")
        self.refresh()

    def _box(self, name: str, value: str, width: str) -> w.Text:
        box = w.Text(value=value, description=name, continuous_update=False, layout=w.Layout(width=width), style=_STYLE)
        box.observe(self.refresh, "value")
        return box

    def refresh(self, change: Any = None) -> None:
        """Read every box, and open what they say."""
        try:
            parts = {row.name: parse_bytes(self.boxes[row.name].value, row.name, row.size) for row in SessionBlob.rows}
            text = self.policy.value.strip()
            policy = None if not text else parse_policy(text, "policy")
        except (InputError, SevlabError) as error:
            self.error, self.opened = str(error), None
            self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>'
            self.result.value = ""
            return
        self.error, self.alert.value = "", ""
        self.opened = open_session(SessionBlob(**parts), self.start.godh, self.start.private, policy)
        self.result.value = f'<div role="status">{self.opened.explain().html()}</div>'

    def static(self) -> View:
        return self.opened.explain() if self.opened else View(Banner(self.error, "orange"))
