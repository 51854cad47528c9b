"""What the explorers of one part of a launch share: a chain of steps, and where it parts from the one it began as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w

from ..errors import SevlabError
from ..launch import Launch
from ..launch_compare import compare_launch
from ..layout.views import Banner, Table, View, hex_lines
from .bytemap import StaticBox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

STYLE = {"description_width": "8em"}
SAME, CHANGED, FOLLOWS = "as at the start", "CHANGED *", "differs, for a step before it does"


class ChainExplorer(StaticBox):
    """One part of a launch whose inputs can be changed, and the chain of digests that follows.

    ``launch`` is the current :class:`~sevlab.launch.Launch`, None while an input cannot be read; ``error`` is then the
    sentence that says why. ``changed`` names the first step that differs from the start, "" for none.
    """

    def __init__(self, start: Launch, inputs: Sequence[w.Widget], results: Sequence[w.Widget], name: str) -> None:
        self.start = start
        self.launch: Launch | None = None
        self.error = self.changed = ""
        self.alert, self.banner, self.chain = w.HTML(), w.HTML(), w.HTML()
        for box, what in ((self.alert, "error"), (self.banner, "banner"), (self.chain, "chain")):
            box.add_class(f"sevlab-{what}")
        super().__init__([*inputs, self.alert, self.banner, self.chain, *results])
        self.add_class(name)

    def read(self) -> Launch:
        """Read every box and return the launch that follows; raise the first error."""
        raise NotImplementedError

    def show(self) -> None:
        """Show what was read."""
        raise NotImplementedError

    def clear(self) -> None:
        """Show nothing that was computed: it would be of other inputs."""
        raise NotImplementedError

    def result(self) -> View:
        """Return what was read, for where widgets do not run."""
        raise NotImplementedError

    def refresh(self, change: Any = None) -> None:
        """Read every box again and show what follows. After an error nothing that was computed before stays."""
        try:
            self.launch, self.error = self.read(), ""
        except SevlabError as error:
            self.launch, self.error = None, str(error)
        self.changed = compare_launch(self.start, self.launch).first if self.launch else ""
        self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>' if self.error else ""
        self.chain.value = self._chain(self.launch).html() if self.launch else ""
        if self.launch:
            self.show()
        else:
            self.clear()
        self.banner.value = f'<div role="status">{self._banner().html()}</div>'  # last: what it speaks of is there

    def _banner(self) -> Banner:
        if self.launch is None:
            return Banner("CANNOT TELL: an input cannot be read, see above.", "grey")
        if self.changed:
            return Banner(f"The launch digest differs from the start. First step that differs: {self.changed}", "pink")
        return Banner("The launch digest is as at the start.", "green")

    def _chain(self, launch: Launch) -> Table:
        """Return the chain, each step marked; equal steps in a row share one line."""
        rows = []
        for pair in compare_launch(self.start, launch).pairs():
            run, state = pair.computed, SAME if pair.same else FOLLOWS if pair.kept else CHANGED
            rows.append([run.name, run.amount, hex_lines(run.first.digest, 8), hex_lines(run.after, 8), state])
        header = ["step", "bytes", "SHA-256 of it alone", "launch digest after it", "state"]
        return Table(header, rows, colours=["pink" if row[4] == CHANGED else "" for row in rows], mono=[0, 1, 2, 3])

    def static(self) -> View:
        if self.launch is None:
            return View(Banner(self.error, "orange"), self._banner())
        return View(self._banner(), self._chain(self.launch), self.result())


def text_box(label: str, value: str, **more: Any) -> w.Text:
    """Return a labelled box whose value counts when it is left or Enter is pressed."""
    layout = w.Layout(width=more.pop("width", "14em"))
    return w.Text(value=value, description=label, continuous_update=False, layout=layout, style=STYLE, **more)
