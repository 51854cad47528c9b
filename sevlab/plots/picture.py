"""A picture that can also be read."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from ..errors import escaped

# Pillow comes with matplotlib, which itself writes pictures with it.
#: Colours of a stored picture: few enough that a notebook stays small, enough that no colour changes.
COLOURS = 256


class Picture(Figure):
    """A matplotlib figure with a sentence that says what it shows.

    A notebook shows the picture; where none can be shown, and in ``print``, the sentence stands. The bytes are the same
    each time. ``savefig`` works as for every figure.
    """

    def __init__(self, words: str, **options: Any) -> None:
        super().__init__(facecolor="white", **options)
        self.words = escaped(words, "\n")

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
        small = BytesIO()
        with Image.open(buffer) as picture:
            picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        return small.getvalue()

    def __repr__(self) -> str:
        return self.words

    __str__ = __repr__
