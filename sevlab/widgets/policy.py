"""A policy as a number and as checkboxes, kept equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w
import traitlets

from ..errors import SevlabError
from ..formats.policy import Policy
from ..inputs import parse_policy

if TYPE_CHECKING:
    from typing import Any


class PolicyBox(w.VBox):
    """The policy as text (``value``, decimal or 0x hex) and one checkbox per flag. Changing either changes the other.

    A text that is no policy stays as it is, with the checkboxes as they were; whoever reads ``value`` reports it.
    """

    value = traitlets.Unicode()

    def __init__(self, policy: Policy) -> None:
        self.number = w.Text(description="Policy", continuous_update=False, layout=w.Layout(width="20em"))
        self.boxes = {
            row.name: w.Checkbox(
                description=f"{row.name.upper()} (bit {row.low})",
                tooltip=f"{row.doc} While clear: {row.clear}",
                indent=False,
                layout=w.Layout(width="11em"),
            )
            for row in Policy.rows
            if row.is_flag
        }
        super().__init__([self.number, w.HBox(list(self.boxes.values()), layout=w.Layout(flex_flow="row wrap"))])
        self._settling = False
        self.number.observe(self._from_number, "value")
        for box in self.boxes.values():
            box.observe(self._from_boxes, "value")
        self.number.value = f"0x{int(policy):x}"

    def _from_number(self, change: Any) -> None:
        try:
            policy = parse_policy(self.number.value.strip())
        except SevlabError:
            pass
        else:
            self._settling = True
            for name, box in self.boxes.items():
                box.value = bool(getattr(policy, name))
            self._settling = False
        self.value = self.number.value.strip()

    def _from_boxes(self, change: Any) -> None:
        if self._settling:
            return
        try:
            policy = parse_policy(self.number.value.strip())
        except SevlabError:
            policy = Policy(0)  # the text is no policy: what is ticked counts
        policy = policy.replace(**{name: int(box.value) for name, box in self.boxes.items()})
        self.number.value = f"0x{int(policy):x}"
