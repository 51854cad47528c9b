"""Coverage, alive: paste a configuration, see every part of it labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w

from ..coverage import Coverage, cover_command_line, cover_domain
from ..errors import SevlabError
from ..layout.views import Banner, View
from .bytemap import with_static

if TYPE_CHECKING:
    from typing import Any


class CoverageBox(w.VBox):
    """A box for a QEMU command line or a libvirt domain XML, and what the launch measurement covers of it.

    ``coverage`` is the current :class:`~sevlab.coverage.Coverage`, None while the text cannot be read; ``error`` is
    then the sentence that says why.
    """

    def __init__(self, text: str) -> None:
        self.coverage: Coverage | None = None
        self.error = ""
        self.text = w.Textarea(
            value=text,
            description="Configuration",
            placeholder="a QEMU command line, or a libvirt domain XML",
            continuous_update=False,
            layout=w.Layout(width="60em", height="12em"),
            style={"description_width": "7em"},
        )
        self.result = w.HTML()
        self.result.add_class("sevlab-coverage-result")
        super().__init__([self.text, self.result])
        self.add_class("sevlab-coverage")
        self.text.observe(self.refresh, "value")
        self.refresh()

    def refresh(self, change: Any = None) -> None:
        """Read the text again and show what follows."""
        text = self.text.value
        try:
            self.coverage = cover_domain(text) if text.lstrip().startswith("<") else cover_command_line(text)
            self.error = ""
        except SevlabError as error:
            self.coverage, self.error = None, str(error)
        role = "alert" if self.error else "status"
        self.result.value = f'<div role="{role}">{self.static().html()}</div>'

    def static(self) -> View:
        """Return what is shown now, for where widgets do not run."""
        return self.coverage.explain() if self.coverage else View(Banner(self.error, "orange"))

    def __repr__(self) -> str:
        return self.static().text()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_static(super()._repr_mimebundle_(**kwargs), repr(self), self.static().html())
