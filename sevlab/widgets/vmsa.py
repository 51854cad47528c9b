"""The initial registers of a virtual CPU, alive: change who makes them, or any register, and see the chain change."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import ipywidgets as w

from ..cpu import cpu_signature, split_signature
from ..errors import InputError
from ..formats.vmsa import SevFeatures, Vmsa
from ..inputs import parse_bytes, parse_number
from ..launch import Launch, Step
from ..layout.views import Heading, Paragraph, Table, View, narrow
from ..profiles import PROFILES, build_vmsa, parse_reset_address, recognize_vmsa
from .action import EditBox
from .chain import STYLE, ChainExplorer, text_box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..layout.span import Span

BOOT, APPLICATION = "boot processor", "application processor"
LABELS = {
    "family": "CPU family",
    "model": "CPU model",
    "stepping": "CPU stepping",
    "reset": "Reset address",
    "value": "Value",
}
LIMITS = {"family": 270, "model": 255, "stepping": 15}
_BLANK = Vmsa.from_bytes(bytes(Vmsa.size))
#: Fields that have a box of their own, and those that must be zero, are not in the list of fields to edit.
_ELSEWHERE = {"sev_features", *(row.name for row in Vmsa.rows if row.is_reserved)}
FIELDS = [span.name for span in _BLANK.spans() if span.name not in _ELSEWHERE]


class VmsaExplorer(ChainExplorer):
    """A VMSA: what it is built from in boxes, and any register to edit.

    *launch* is the launch the page belongs to; without one the chain is the page alone. ``page`` is the current
    :class:`~sevlab.formats.vmsa.Vmsa`, which is in the chain wherever the given page was. ``edits`` are the fields
    that differ from what the profile makes, by name. A field marked ``*`` differs from the page given.
    """

    def __init__(self, page: Vmsa, *, launch: Launch | None = None) -> None:
        steps = launch.steps if launch else (Step("VMSA", page.to_bytes(), "The page."),)
        if page.to_bytes() not in [step.content for step in steps]:
            raise InputError("launch", "one without this page", "the launch that the page belongs to")
        self.page = self._given = page
        self.edits: dict[str, Any] = {}
        self._written = ""
        self._settling = False
        self._build_inputs(page, _further_start(steps, page))
        self.edits = _difference(self._built(), page)
        self.fields = w.HTML()
        self.fields.add_class("sevlab-registers")
        super().__init__(Launch(steps), self._rows, [self.fields], "sevlab-vmsa-explorer")
        for box in (self.profile, self.cpu, *self.boxes.values(), *self.features.values()):
            box.observe(self.refresh, "value")
        self.field.observe(self._chosen, "value")
        self.value.observe(self.refresh, "value")
        self._show_value()
        self.refresh()

    def _build_inputs(self, page: Vmsa, further: int | None) -> None:
        nearest, is_boot, _ = recognize_vmsa(page)[0]
        start = page.cs.base + page.rip & 0xFFFFFFFF
        # Nothing starts at 0: such a page is shown as edits to the boot processor's.
        is_boot = is_boot or not start
        self.profile = _choice("Profile", list(PROFILES), nearest.name)
        self.cpu = _choice("CPU", [BOOT, APPLICATION], BOOT if is_boot else APPLICATION)
        try:
            sku: Sequence[int] = split_signature(page.rdx & 0xFFFFFFFF)
        except InputError:
            sku = 0, 0, 0  # RDX is then an edit
        address = further if is_boot else start
        starts = [*map(str, sku), f"0x{address:x}" if address else ""]
        self.boxes = {
            name: text_box(LABELS[name], value, width="18em") for name, value in zip(LABELS, starts, strict=False)
        }
        self.boxes["reset"].placeholder = "of the firmware"
        self._other_features = int(page.sev_features) & ~sum(row.mask for row in SevFeatures.rows if row.is_flag)
        self.features = {
            row.name: w.Checkbox(
                value=bool(getattr(page.sev_features, row.name)),
                description=f"{row.name} (bit {row.low})",
                tooltip=row.doc,
                indent=False,
                layout=w.Layout(width="16em"),
            )
            for row in SevFeatures.rows
            if row.is_flag
        }
        self.field = _choice("Field", FIELDS, "rdx")
        self.value = EditBox(LABELS["value"], [self.field], "46em", "(empty: as the profile makes it)")
        self._rows = [
            _row(self.profile, self.cpu, self.boxes["reset"]),
            _row(*(self.boxes[name] for name in LIMITS)),
            w.HTML("SEV features (the field sev_features), ticked where the bit is set:"),
            _row(*self.features.values()),
            _row(self.field, self.value),
        ]

    def _built(self) -> Vmsa:
        """Build the page that the boxes describe; raise the first error."""
        profile, application = PROFILES[self.profile.value], self.cpu.value == APPLICATION
        signature = None
        for box in (self.boxes[name] for name in LIMITS):
            box.disabled = not profile.takes_signature
        if profile.takes_signature:
            sku = [parse_number(self.boxes[n].value.strip(), LABELS[n], limit) for n, limit in LIMITS.items()]
            signature = cpu_signature(*sku)
        address = None
        self.boxes["reset"].disabled = not application
        if application:
            text = self.boxes["reset"].value.strip()
            number = parse_number(text, LABELS["reset"], 0xFFFFFFFF) if text else None
            address = parse_reset_address(number, LABELS["reset"])
        ticked = SevFeatures(self._other_features).replace(**{n: int(b.value) for n, b in self.features.items()})
        return build_vmsa(
            profile.name,
            cpu=int(application),
            signature=signature,
            reset_address=address,
            sev_features=int(ticked),
        )

    def read(self) -> Launch:
        """Read every box. A value that was typed becomes an edit of the chosen field; an empty one takes it back."""
        built = self._built()
        if self.value.value != self._written:
            self._edit(built, self.value.value.strip())
        self.page = built.replace(**self.edits)
        old, new = self._given.to_bytes(), self.page.to_bytes()
        return Launch([step._replace(content=new) if step.content == old else step for step in self.start.steps])

    def _edit(self, built: Vmsa, text: str) -> None:
        made = _span(built, self.field.value)
        name, label, value = made.name, f"{LABELS['value']} of {made.name}", made.value
        if text and isinstance(value, int):
            value = parse_number(text, label, (1 << 8 * made.size) - 1)
        elif text:
            value = parse_bytes(text, label, made.size)
        self.edits.pop(name, None)
        if value != made.value:
            self.edits[name] = value

    def show(self) -> None:
        """Show the registers, and put the chosen one's value into its box."""
        self._show_value()
        self.fields.value = self.result().html()

    def clear(self) -> None:
        """Show no registers."""
        self.fields.value = ""

    def refresh(self, change: Any = None) -> None:
        """Read every box again and show what follows."""
        if not self._settling:
            super().refresh()

    def _chosen(self, change: Any) -> None:
        """Show another field. What was typed for the one before, and could not be read, is dropped."""
        self._show_value()
        self.refresh()

    def _show_value(self) -> None:
        span = _span(self.page, self.field.value)
        self._written = f"0x{span.value:x}" if isinstance(span.value, int) else span.raw.hex()
        self._settling = True
        self.value.value = self._written
        self._settling = False

    def result(self) -> View:
        """Return the fields that are not zero, or were not at the start; ``*`` marks those that differ from it."""
        rows, colours = [], []
        for before, now in zip(self._given.spans(), self.page.spans(), strict=True):
            if any(before.raw) or any(now.raw):
                mark = "*" if before.raw != now.raw else ""
                was = narrow(_short(before)) if mark else "the same"
                rows.append([f"{now.name}{mark}", f"0x{now.offset:03x}", narrow(_short(now)), was, now.doc])
                colours.append(now.colour)
        count = sum(one != other for one, other in zip(self._given.to_bytes(), self.page.to_bytes(), strict=True))
        words = f"{count} of {Vmsa.size} bytes differ from the start. Fields that are not listed are zero."
        if self.edits:
            words += f" Not as profile {self.profile.value} makes them: {', '.join(self.edits)}."
        return View(
            Heading("Registers (* marks a field that differs from the start)"),
            Table(["field", "offset", "value", "at the start", "meaning"], rows, colours=colours, mono=[0, 1, 2, 3]),
            Paragraph(words),
            Paragraph(f"SHA-256 of the page: {hashlib.sha256(self.page.to_bytes()).hexdigest()}"),
        )


def _choice(label: str, options: Sequence[str], value: str) -> w.Dropdown:
    layout = w.Layout(width="20em")
    return w.Dropdown(options=options, value=value, description=label, layout=layout, style=STYLE)


def _row(*boxes: w.Widget) -> w.HBox:
    return w.HBox(boxes, layout=w.Layout(flex_flow="row wrap"))


def _span(page: Vmsa, name: str) -> Span:
    return next(span for span in page.spans() if span.name == name)


def _short(span: Span) -> str:
    """Return a field's value; of a long one, its first bytes."""
    return span.text if len(span.text) <= 80 else f"{span.text[:32]}..."


def _difference(built: Vmsa, page: Vmsa) -> dict[str, Any]:
    """Return the fields of *page* that differ from the page that was built, by name."""
    return {now.name: now.value for was, now in zip(built.spans(), page.spans(), strict=True) if was.raw != now.raw}


def _further_start(steps: Sequence[Step], page: Vmsa) -> int | None:
    """Return where the other virtual CPUs of a launch start, None when there are none."""
    for step in steps:
        if step.size == Vmsa.size and isinstance(step.content, bytes) and step.content != page.to_bytes():
            other = Vmsa.from_bytes(step.content)
            return int(other.cs.base + other.rip) & 0xFFFFFFFF
    return None
