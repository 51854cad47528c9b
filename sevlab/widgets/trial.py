"""Small widgets for one idea each: one or two inputs, and what follows from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from ..errors import InputError, quoted, renaming
from ..formats.launch_measure import MeasureMessage
from ..labs.ribbon import Letters, Measures, Ribbon
from ..launch.keys import SecretBytes, check_key, hide_key
from ..launch.measure import compute_measure
from ..launch.values import KEY_SIZE, parse_number, parse_policy
from ..layout.structure import compare
from ..layout.views import Banner, View
from .boxes import STYLE, NumberBox, PolicyBox, flag, label_of, output, row, text_box
from .explorers import BaseExplorer, unless_error

if TYPE_CHECKING:
    from ..layout.views import Block


NATURAL = {"description_width": "initial"}


class Trial(BaseExplorer):
    """Inputs, and the view that *run* returns for them, made again whenever one changes.

    Every keyword of *run* is an input; its start decides the box: True or False is a switch, a whole number or text a
    box to type in, a list a choice of which the first counts, and a range a number within it. In a label, ``_`` is a
    space. *run* returns a :class:`~sevlab.layout.views.View`, or raises a :class:`~sevlab.errors.SevlabError`, which is
    shown instead. ``boxes`` are the inputs by name, to set or to watch, and ``shown`` is the current view,
    None while there is none.
    """

    shown = unless_error("_shown")

    def __init__(self, run: Callable[..., View], **inputs: Any) -> None:
        self._run = run
        self.boxes = {name: _box(name.replace("_", " "), start) for name, start in inputs.items()}
        super().__init__("trial", [row(*self.boxes.values())], [])
        self._watch(*self.boxes.values())

    def _read(self) -> None:
        values = {name: box.number if isinstance(box, NumberBox) else box.value for name, box in self.boxes.items()}
        self._shown = self._run(**values)

    def _answer(self) -> View:
        return self._shown


def _box(label: str, start: object) -> w.ValueWidget:
    """Return a box for an input that starts with *start*."""
    if isinstance(start, bool):
        return flag(label, label, "auto", value=start)
    if isinstance(start, range):
        return NumberBox(label, start[0], start[0], start[-1], style=NATURAL)
    if isinstance(start, list):
        layout = w.Layout(width="auto", max_width="100%")
        return w.Dropdown(options=start, layout=layout, description=label, style=NATURAL)
    if isinstance(start, int):
        return NumberBox(label, start, -(10**9), 10**9, style=NATURAL)
    return text_box(label, str(start), width="30em", style=STYLE)


class FieldBox(BaseExplorer):
    """One *field* of the 56-byte *message* in a box, and what follows: the message, reported and computed measure.

    A number is typed in decimal or 0x hex, the policy also bit by bit, the nonce as 32 hex digits. Of the digest one
    bit is flipped, or one bit of the guest firmware image that it is the digest of, where *firmware* is given. The
    measure is computed under *tik* and set against the 32 bytes *reported*. ``boxes`` are the inputs by name;
    ``message`` and ``computed`` are what follows from them, None while an input cannot be read.
    """

    message, computed = unless_error("_message"), unless_error("_computed")

    def __init__(
        self, message: bytes, tik: SecretBytes | bytes, reported: bytes, field: str, firmware: bytes = b""
    ) -> None:
        tik = hide_key(tik)  # before anything is raised, whose traceback would show it
        self._tik, self._start = check_key(tik, "tik", KEY_SIZE), MeasureMessage.from_bytes(message)
        if field not in (names := [one.name for one in MeasureMessage.rows]):
            raise InputError("field", quoted(field), f"one of {', '.join(names)}")
        if firmware and hashlib.sha256(firmware).digest() != self._start.digest:
            raise InputError("firmware", "an image with another digest", "the image that the message's digest is of")
        self._field, self._reported, self._firmware = field, reported, firmware
        value = getattr(self._start, field)
        text = value.hex() if isinstance(value, bytes) else str(int(value))
        self.boxes: dict[str, w.ValueWidget | PolicyBox] = {field: text_box(label_of(field), text)}
        if field == "policy":
            self.boxes = {field: PolicyBox(self._start.policy)}
        elif field == "digest":
            what = "firmware" if firmware else "digest"
            offset = text_box(f"Flip in the {what}: byte", placeholder="(none)", width="24em", style=NATURAL)
            self.boxes = {"offset": offset, "bit": text_box("bit", "0", "8em", style=NATURAL)}
        self.bytes = output("bytes")
        super().__init__("field", [row(*self.boxes.values())], [self.bytes])
        self._watch(*self.boxes.values())

    def _read(self) -> None:
        with renaming(label_of):
            self._message = self._start.replace(**{self._field: self._value()})
        self._computed = compute_measure(self._message, self._tik)

    def _value(self) -> object:
        texts = {name: str(box.value).strip() for name, box in self.boxes.items()}
        if self._field == "policy":
            return parse_policy(texts["policy"])
        if self._field == "digest":
            return self._flip(texts["offset"], texts["bit"])
        if self._field == "mnonce":
            if not re.fullmatch("[0-9a-fA-F]{32}", digits := "".join(texts["mnonce"].split())):
                raise InputError("mnonce", quoted(texts["mnonce"]), "16 bytes as 32 hex digits")
            return bytes.fromhex(digits)
        return parse_number(texts[self._field], self._field, 0xFF)

    def _flip(self, offset: str, bit: str) -> bytes:
        """Return the digest after one bit was flipped in it, or in the image; without an offset nothing is."""
        raw, number = bytearray(self._firmware or self._start.digest), parse_number(bit, "bit", 7)
        if offset:
            raw[parse_number(offset, "byte", len(raw) - 1)] ^= 1 << number
        return hashlib.sha256(raw).digest() if self._firmware else bytes(raw)

    def _show(self) -> None:
        self.bytes.value = View(*self._details()).html()

    def _answer(self) -> Banner:
        count, words = len(self._marked()), Measures(self._reported, self._computed).words
        changed = f"{count or 'No'} byte{'s' * (count != 1)} of the message changed."
        return Banner(f"{words}. {changed}", "green" if self._computed == self._reported else "pink")

    def _marked(self) -> list[int]:
        return list(compare(self._start, self._message).marked)

    def _details(self) -> list[Block]:
        ribbon = Ribbon(self._message.to_bytes(), self._marked())
        return [ribbon, Letters(), Measures(self._reported, self._computed)]
