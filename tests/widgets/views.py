"""What byte maps and static twins show."""

from __future__ import annotations

import ipywidgets

from sevlab.widgets.bytemap import ByteMap, StaticBox
from sevlab.widgets.explorers import STALE


def raw_of(shown: ByteMap) -> bytes:
    return b"".join(bytes.fromhex(span["hex"]) for span in shown.spans)


def marked(shown: ByteMap) -> list[int]:
    return [offset for span in shown.spans for offset in span["marked"]]


def type_in(shown: ByteMap, place: str | int, text: str) -> None:
    """Deliver the message of a page in which *text* was typed for a field, by its name, or a byte, by its offset."""
    what = {"field": place} if isinstance(place, str) else {"byte": place}
    shown._handle_custom_msg({"edit": text, **what}, [])


def is_dimmed(*results: ipywidgets.DOMWidget) -> bool:
    """Whether all these are dimmed, because they are about inputs before."""
    dimmed = {STALE in result._dom_classes for result in results}
    assert len(dimmed) == 1
    return dimmed.pop()


def assert_static(made: StaticBox) -> None:
    data, _ = made._repr_mimebundle_()
    assert data["text/plain"] == repr(made)
    assert data["text/html"] == made.static().html()
    assert "<script" not in data["text/html"]
    assert max(map(len, repr(made).splitlines())) <= 110
