"""The live byte map: pointing at a byte marks and explains its field, and the other way round; bytes can be copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets

from ..errors import SevlabError
from ..launch.values import parse_bytes, parse_number
from ..layout.bytemap import explain_spans
from ..layout.span import COLOURS, INK, Span, letters
from ..layout.views import View


class ByteMap(anywidget.AnyWidget):
    """A byte map one can point at. ``field`` is the name of the selected field, "" for none; set it or watch it.

    With *act* there are boxes to type another value of a field or a byte. Its first is called with the offset, the
    size, and the bytes that were typed, b"" for none; its second with the error where they cannot be read, which
    ``error`` says at these boxes until other bytes are shown.
    """

    _esm = Path(__file__).with_name("bytemap.js")
    _css = Path(__file__).with_name("bytemap.css")
    title = traitlets.Unicode().tag(sync=True)
    spans: traitlets.List[Any] = traitlets.List().tag(sync=True)
    field = traitlets.Unicode().tag(sync=True)
    ink = traitlets.Unicode(INK).tag(sync=True)
    mark_meaning = traitlets.Unicode("* marks bytes that changed.").tag(sync=True)
    editable = traitlets.Bool().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        title: str,
        spans: Sequence[Span],
        marked: Iterable[int] = (),
        *,
        act: tuple[Callable[[int, int, bytes], None], Callable[[SevlabError], None]] | None = None,
        **traits: Any,
    ) -> None:
        super().__init__(title=title, editable=act is not None, **traits)
        self._act = act
        self.on_msg(self._received)
        self.show(spans, marked)

    def show(self, spans: Sequence[Span], marked: Iterable[int] = (), other: bytes = b"") -> None:
        """Show bytes, *marked* ones with ``*``, *other* ones below them. What is selected stays if it is here."""
        self._shown, self._marked, self.error = list(spans), sorted(set(marked)), ""
        if self.field not in {span.name for span in self._shown}:
            self.field = ""
        as_they_are = "name", "offset", "size", "text", "doc", "finding"
        self.spans = [
            {
                **{name: getattr(span, name) for name in as_they_are},
                "letter": letter,
                "hex": span.raw.hex(),
                "other": other[span.offset : span.offset + span.size].hex(),
                "edit": f"0x{int(span.value):x}"
                if isinstance(span.value, int)
                else span.raw.hex() * (span.size <= 1024),
                "colour": COLOURS[span.colour],
                "marked": [i for i in self._marked if span.offset <= i < span.offset + span.size],
            }
            for letter, span in zip(letters(len(self._shown)), self._shown, strict=True)
        ]

    def _received(self, widget: object, content: Any, buffers: object) -> None:
        """Take an edit that was typed. One of a field or byte that is gone since is dropped."""
        if not isinstance(content, dict) or not isinstance(text := content.get("edit"), str):
            return
        name, at, size, text = content.get("field"), content.get("byte"), 1, text.strip()
        span = next((one for one in self._shown if one.name == name), None)
        if span is not None:
            at, size = span.offset, span.size
        if self._act is None or type(at) is not int or not 0 <= at < sum(one.size for one in self._shown):
            return
        label, raw = f"Value of {span.name}" if span else "Byte", b""
        try:
            if text and (span is None or isinstance(span.value, int)):
                raw = parse_number(text, label, (1 << 8 * size) - 1).to_bytes(size, "little")
            elif text:
                raw = parse_bytes(text, label, size)
            self._act[0](at, size, raw)
        except SevlabError as error:
            self._act[1](error)
            self.error = str(error)

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
