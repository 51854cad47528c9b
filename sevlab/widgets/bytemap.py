"""The live byte map: hover explains, selecting a byte marks its field and the other way round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as w
import traitlets

from ..layout.bytemap import explain_spans
from ..layout.span import COLOURS, INK, letters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..layout.span import Span
    from ..layout.views import View


class ByteMap(anywidget.AnyWidget):
    """A byte map one can point at. ``field`` is the name of the selected field, "" for none; set it or watch it."""

    _esm = Path(__file__).with_name("bytemap.js")
    title = traitlets.Unicode().tag(sync=True)
    spans: traitlets.List[Any] = traitlets.List().tag(sync=True)
    field = traitlets.Unicode().tag(sync=True)
    ink = traitlets.Unicode(INK).tag(sync=True)
    mark_meaning = traitlets.Unicode("* marks bytes that changed.").tag(sync=True)

    def __init__(self, title: str, spans: Sequence[Span], marked: Iterable[int] = (), **traits: Any) -> None:
        super().__init__(title=title, **traits)
        self.show(spans, marked)

    def show(self, spans: Sequence[Span], marked: Iterable[int] = ()) -> None:
        """Show other bytes; *marked* are offsets to point out with ``*``. The selection stays if the field is there."""
        self._shown, self._marked = list(spans), sorted(set(marked))
        if self.field not in {span.name for span in self._shown}:
            self.field = ""
        as_they_are = "name", "offset", "size", "text", "doc", "finding"
        self.spans = [
            {
                **{name: getattr(span, name) for name in as_they_are},
                "letter": letter,
                "hex": span.raw.hex(),
                "colour": COLOURS[span.colour],
                "marked": [i for i in self._marked if span.offset <= i < span.offset + span.size],
            }
            for letter, span in zip(letters(len(self._shown)), self._shown, strict=True)
        ]

    def static(self) -> View:
        """Return the same map as a view, for where widgets do not run."""
        return explain_spans(self._shown, self._marked)

    def __repr__(self) -> str:
        return f"{self.title}\n{self.static().text()}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return _with_static(super()._repr_mimebundle_(**kwargs), self)


class StaticBox(w.VBox):
    """A box of widgets that is also text and HTML where no widget runs."""

    def static(self) -> View:
        """Return what is shown now, without the inputs, for where widgets do not run."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.static().text()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return _with_static(super()._repr_mimebundle_(**kwargs), self)


def _with_static(bundle: Any, widget: ByteMap | StaticBox) -> Any:
    """Add what is shown where no widget runs (a web page, an untrusted notebook) to a widget's display data."""
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**(data or {}), "text/plain": repr(widget), "text/html": widget.static().html()}, metadata
