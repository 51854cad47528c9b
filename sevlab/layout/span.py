"""One field of bytes, ready to be shown.

A :class:`Span` is the only thing the views know. A structure turns itself into a list of spans; text table, byte map,
widget and JSON follow.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class View(Protocol):
        """What is shown: text for ``print``, HTML for a notebook."""

        def text(self) -> str: ...
        def html(self) -> str: ...


#: Light colours on which dark text keeps a contrast of 10:1 and more, in both light and dark themes. Neighbours differ
#: in brightness as well as in hue, and every view also gives a field a letter and a border.
COLOURS = {
    "blue": "#cfe3ff",
    "orange": "#ffdcae",
    "green": "#c9ecc4",
    "purple": "#e6d5fa",
    "yellow": "#fff2a8",
    "teal": "#bdeeea",
    "pink": "#ffd2de",
    "brown": "#ead9c2",
    "grey": "#e3e3e3",
}
#: Dark text for use on any of these colours.
INK = "#15181c"


# Not typing.NamedTuple: importing typing alone costs a tenth of a whole validation.
class Span(namedtuple("Span", "name offset size raw value text doc colour finding", defaults=("grey", ""))):
    """A named run of bytes and what it means.

    ``raw`` holds exactly ``size`` bytes; ``value`` is the decoded value and ``text`` that value for people; ``doc`` is
    one sentence; ``finding`` is what is unexpected about the value, or ""; ``colour`` is a key of :data:`COLOURS`.
    """

    __slots__ = ()

    def hide(self) -> Span:
        """Return the span with its bytes and its value hidden."""
        hidden = Hidden(self.size)
        return self._replace(raw=hidden, value=hidden, text="hidden")

    def as_dict(self) -> dict[str, object]:
        """Return the span as JSON-ready data; bytes become lower-case hex, hidden ones None."""
        value = self.value.hex() if isinstance(self.value, bytes) else self.value
        return {
            "name": self.name,
            "offset": self.offset,
            "size": self.size,
            "hex": None if isinstance(self.raw, Hidden) else self.raw.hex(),
            "value": None if isinstance(self.value, Hidden) else value,
            "text": self.text,
            "meaning": self.doc,
            "finding": self.finding,
        }


class Hidden(bytes):
    """So many bytes that are not shown. It holds zeros instead, so there is nothing to leak."""

    __slots__ = ()

    @property
    def text(self) -> str:
        return f"<{len(self)} bytes, hidden>"


class Explainable:
    """Something that ``explain()`` shows. Printing it, or ending a notebook's cell with it, shows the same view."""

    __slots__ = ()

    if TYPE_CHECKING:

        def explain(self) -> View: ...

    def __str__(self) -> str:
        return self.explain().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.explain().html()


def letters(count: int) -> list[str]:
    """Return *count* short labels A, B, ... Z, AA, AB, ... that name the spans of one view."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    labels = [""]
    for i in range(count):
        labels.append(labels[i // 26] + alphabet[i % 26])
    return labels[1:]
