"""Explorers of one structure: the registers of a virtual CPU, an attestation report, a launch session."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import ipywidgets as w

from ..attestation.report import ReportVerdict, in_lines, parse_moment, verify_report
from ..attestation.session import OpenedSession, open_session
from ..errors import InputError, SevlabError
from ..formats.report import Report, parse_report
from ..formats.sev_certs import SessionBlob
from ..formats.vmsa import SevFeatures, Vmsa
from ..launch.sev import Launch, Step
from ..launch.values import parse_bytes, parse_number, parse_policy
from ..launch.verify import COLOURS
from ..launch.vmm import PROFILES, build_vmsa, cpu_signature, parse_reset_address, recognize_vmsa, split_signature
from ..layout.bytemap import explain_spans
from ..layout.views import Banner, Heading, Paragraph, Table, View, narrow
from .action import Button, EditBox
from .boxes import LABELS, WIDE, choice, flag, output, row, text_box
from .bytemap import ByteMap
from .explorers import BaseExplorer, ChainExplorer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Any

    from ..attestation.certificates import Certificates
    from ..layout.span import Span
    from ..layout.views import Block


BOOT, APPLICATION = "boot processor", "application processor"
RESET = "Reset address"
#: The largest number that each part of a CPU's signature can hold.
LIMITS = {"family": 270, "model": 255, "stepping": 15}
#: Fields to edit: all but those that must be zero and the one that has boxes of its own.
FIELDS = [
    span.name
    for span in Vmsa.from_bytes(bytes(Vmsa.size)).spans()
    if span.name not in {"sev_features", *(one.name for one in Vmsa.rows if one.is_reserved)}
]


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
        self._written = ""
        rows = self._build_inputs(page, _further_start(steps, page))
        pairs = zip(self._built().spans(), page.spans(), strict=True)
        self.edits = {now.name: now.value for was, now in pairs if was.raw != now.raw}
        self.fields = output("registers")
        super().__init__(Launch(steps), rows, [self.fields], "vmsa-explorer")
        self.field.observe(self._chosen, "value")
        self._show_value()
        self._watch(self.profile, self.cpu, *self.boxes.values(), *self.features.values(), self.value)

    def _build_inputs(self, page: Vmsa, further: int | None) -> list[w.Widget]:
        nearest, is_boot, _ = recognize_vmsa(page)[0]
        start = page.cs.base + page.rip & 0xFFFFFFFF
        # Nothing starts at 0: such a page is shown as edits to the boot processor's.
        is_boot = is_boot or not start
        self.profile = choice(LABELS["profile"], list(PROFILES), nearest.name)
        self.cpu = choice("CPU", [BOOT, APPLICATION], BOOT if is_boot else APPLICATION)
        try:
            sku: Sequence[int] = split_signature(page.rdx & 0xFFFFFFFF)
        except InputError:
            sku = 0, 0, 0  # RDX is then an edit
        address = further if is_boot else start
        pairs = zip(LIMITS, sku, strict=True)
        self.boxes = {name: text_box(LABELS[f"cpu_{name}"], str(number), "18em") for name, number in pairs}
        text = f"0x{address:x}" if address else ""
        self.boxes["reset"] = text_box(RESET, text, "18em", placeholder="of the firmware")
        self._other_features, self.features = int(page.sev_features), {}
        for one in (one for one in SevFeatures.rows if one.is_flag):
            self._other_features &= ~one.mask
            value = bool(getattr(page.sev_features, one.name))
            self.features[one.name] = flag(f"{one.name} (bit {one.low})", one.doc, "16em", value=value)
        self.field = choice("Field", FIELDS, "rdx")
        self.value = EditBox("Value", [self.field], WIDE, "(empty: as the profile makes it)")
        return [
            row(self.profile, self.cpu, self.boxes["reset"]),
            row(*(self.boxes[name] for name in LIMITS)),
            w.HTML("SEV features (the field sev_features), ticked where the bit is set:"),
            row(*self.features.values()),
            row(self.field, self.value),
        ]

    def _built(self) -> Vmsa:
        profile, application = PROFILES[self.profile.value], self.cpu.value == APPLICATION
        signature = address = None
        for name in LIMITS:
            self.boxes[name].disabled = not profile.takes_signature
        if profile.takes_signature:
            texts = {name: self.boxes[name].value.strip() for name in LIMITS}
            sku = (parse_number(texts[name], LABELS[f"cpu_{name}"], limit) for name, limit in LIMITS.items())
            signature = cpu_signature(*sku)
        self.boxes["reset"].disabled = not application
        if application:
            text = self.boxes["reset"].value.strip()
            address = parse_reset_address(parse_number(text, RESET, 0xFFFFFFFF) if text else None, RESET)
        ticked = {name: int(box.value) for name, box in self.features.items()}
        features = int(SevFeatures(self._other_features).replace(**ticked))
        return build_vmsa(
            profile.name, cpu=int(application), signature=signature, reset_address=address, sev_features=features
        )

    def _make(self) -> Launch:
        """Read every box. A value that was typed becomes an edit of the chosen field; an empty one takes it back."""
        built = self._built()
        if self.value.value != self._written:
            made = _field(built, self.field.value)
            self.edits.pop(made.name, None)
            if text := self.value.value.strip():
                raw = _parse_field(text, made)
                if raw != made.raw:
                    self.edits[made.name] = int.from_bytes(raw, "little") if isinstance(made.value, int) else raw
        self.page = built.replace(**self.edits)
        return Launch(self._replaced(self._given.to_bytes(), self.page.to_bytes()))

    def _show(self) -> None:
        super()._show()
        self._show_value()
        self.fields.value = self._result().html()

    def _clear(self) -> None:
        super()._clear()
        self.fields.value = ""

    def _chosen(self, change: object) -> None:
        """Show another field. What was typed for the one before, and could not be read, is dropped."""
        self._show_value()
        self.refresh()

    def _show_value(self) -> None:
        self._written = _written(_field(self.page, self.field.value))
        with self.settling():
            self.value.value = self._written

    def _result(self) -> View:
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


def _field(structure: Vmsa | Report, name: str) -> Span:
    return next(span for span in structure.spans() if span.name == name)


def _parse_field(text: str, span: Span) -> bytes:
    label = f"Value of {span.name}"
    if isinstance(span.value, int):
        return parse_number(text, label, (1 << 8 * span.size) - 1).to_bytes(span.size, "little")
    return parse_bytes(text, label, span.size)


def _written(span: Span) -> str:
    return f"0x{int(span.value):x}" if isinstance(span.value, int) else span.raw.hex()


def _short(span: Span) -> str:
    return span.text if len(span.text) <= 80 else f"{span.text[:32]}..."


def _further_start(steps: Sequence[Step], page: Vmsa) -> int | None:
    """Return where the other virtual CPUs of a launch start, None when there are none."""
    for step in steps:
        if step.size == Vmsa.size and isinstance(step.content, bytes) and step.content != page.to_bytes():
            other = Vmsa.from_bytes(step.content)
            return int(other.cs.base + other.rip) & 0xFFFFFFFF
    return None


class ReportExplorer(BaseExplorer):
    """A report byte by byte, with the checklist of :func:`sevlab.verify_report` beside it.

    *certificates*, *at* and *inputs* are what that function takes; without *at* the moment is now, and stays so.
    ``report`` is the current one, ``verdict`` that on it, None while an input cannot be read. A byte marked ``*``
    differs from the report given.
    """

    def __init__(
        self,
        report: Report,
        certificates: Certificates | None = None,
        *,
        at: datetime | str | None = None,
        **inputs: Any,
    ) -> None:
        self._verify = functools.partial(verify_report, certificates=certificates, at=parse_moment(at), **inputs)
        self._before = self._verify(report=report)
        self.start = self.report = self._before.report
        self.verdict: ReportVerdict | None = self._before
        self.field = choice("Field", _names(self.start), "measurement", "auto")
        self.offset = text_box("Byte at", width="16em")
        self.value = EditBox("Value", [self.field], "58em", "(empty: as in the report given)")
        self.byte = EditBox("Byte", [self.offset], "16em", "(empty: as given)")
        self.undo = Button("Take all changes back", self._take_back)
        self.checklist = output("checklist")
        meaning = "* marks bytes that differ from the report given."
        self.map = ByteMap(f"The report: {report.size} bytes", self.start.spans(), mark_meaning=meaning)
        rows = [row(self.field, self.value), row(self.offset, self.byte, self.undo)]
        super().__init__("report-explorer", rows, [self.checklist, self.map])
        self.map.observe(self._selected, "field")
        boxes = self.field, self.offset, self.value, self.byte
        for box, act in zip(boxes, (self._chosen, self._moved, self._edit_field, self._edit_byte), strict=True):
            box.observe(functools.partial(self._act, act), "value")
        span = _field(self.report, self.field.value)
        self._fill(span, span.offset)
        self.refresh()

    def _act(self, act: Callable[[], None], change: object) -> None:
        """Act on what a person did, and not on boxes that are being filled."""
        if self._settling:
            return
        try:
            act()
        except SevlabError as error:
            self._fail(error)

    def _selected(self, change: object) -> None:
        if self.map.field:
            self.field.value = self.map.field

    def _chosen(self) -> None:
        span = _field(self.report, self.field.value)
        self.map.field = span.name
        self._fill(span, span.offset)

    def _moved(self) -> None:
        """The offset of a byte was typed: show that byte, and the field it is part of."""
        at = self._offset()
        self._fill(_span_at(self.report, at), at)
        self.map.field = self.field.value

    def _offset(self) -> int:
        return parse_number(self.offset.value.strip(), "Byte at", self.report.size - 1)

    def _fill(self, span: Span, at: int) -> None:
        """Put a field, and one of its bytes, into the boxes. What could not be read before is then gone."""
        with self.settling():
            self.field.options = _names(self.report)  # a changed byte may make it a report of another version
            self.field.value = span.name
            self.value.value = _written(span)
            self.offset.value = f"0x{at:03x}"
            self.byte.value = f"0x{span.raw[at - span.offset]:02x}"
        if self.error:
            self.refresh()

    def _edit_field(self) -> None:
        span, text = _field(self.report, self.field.value), self.value.value.strip()
        at_start = self.start.to_bytes()[span.offset : span.offset + span.size]
        self._put(span.offset, _parse_field(text, span) if text else at_start)

    def _edit_byte(self) -> None:
        text, at = self.byte.value.strip(), self._offset()
        self._put(at, bytes([parse_number(text, "Byte", 0xFF) if text else self.start.to_bytes()[at]]))

    def _take_back(self) -> None:
        self._set(self.start.to_bytes(), _field(self.report, self.field.value).offset)

    def _put(self, at: int, raw: bytes) -> None:
        whole = self.report.to_bytes()
        self._set(whole[:at] + raw + whole[at + len(raw) :], at)

    def _set(self, raw: bytes, at: int) -> None:
        self.report = parse_report(raw)
        self.refresh()
        self._fill(_span_at(self.report, at), at)

    def _read(self) -> None:
        self.verdict = self._verify(report=self.report)
        self.report = self.verdict.report  # only the certificate may say which product it is

    def _show(self) -> None:
        self.checklist.value = self._checks().html()
        self.map.show(self.report.spans(), self._marked())

    def _clear(self) -> None:
        self.verdict, self.checklist.value = None, ""

    def _marked(self) -> list[int]:
        both = zip(self.start.to_bytes(), self.report.to_bytes(), strict=True)
        return [offset for offset, (one, other) in enumerate(both) if one != other]

    def _answer(self) -> Banner:
        assert self.verdict is not None
        changed = [check.name for check in self.verdict.checks if check.state != self._before[check.name].state]
        count = len(self._marked())
        words = f"{count} byte{'s' * (count != 1)} changed. " if count else ""
        words += f"Checks that changed: {', '.join(changed)}." if changed else "Every check is as at the start."
        return Banner(words, "pink" if changed else "green")

    def _checks(self) -> Table:
        """Return the checklist; a check whose state differs from the start is marked."""
        assert self.verdict is not None
        rows, colours = [], []
        for check in self.verdict.checks:
            was = self._before[check.name].state
            mark, state = ("", was) if was == check.state else ("*", f"{check.state}, was {was}")
            rows.append([check.name + mark, state, in_lines(check).note])
            colours.append(COLOURS[check.state])
        return Table(["check", "state", "note"], rows, colours=colours)

    def _details(self) -> list[Block]:
        marked = self._marked()
        changed = [Paragraph(f"Bytes changed: {', '.join(f'0x{at:03x}' for at in marked)}.")] if marked else []
        heading = Heading("The checklist (* marks a check that is not as at the start)")
        return [*changed, heading, self._checks(), explain_spans(self.report.spans())]


def _names(report: Report) -> list[str]:
    return [span.name for span in report.spans()]


def _span_at(report: Report, at: int) -> Span:
    return next(one for one in report.spans() if one.offset <= at < one.offset + one.size)


class SessionExplorer(BaseExplorer):
    """A launch session as one platform sees it. ``opened`` follows from the boxes; None while one cannot be read."""

    def __init__(self, opened: OpenedSession) -> None:
        self.start = opened
        self.opened: OpenedSession | None = opened
        self.policy = text_box("policy", "" if opened.policy is None else f"0x{int(opened.policy):x}", "16em")
        names = [one.name for one in SessionBlob.rows]
        self.boxes = {name: text_box(name, getattr(opened.blob, name).hex(), "54em") for name in names}
        super().__init__("session-explorer", [self.policy, *self.boxes.values()], [], banner="session-result")
        self._watch(self.policy, *self.boxes.values())

    def _read(self) -> None:
        parts = {one.name: parse_bytes(self.boxes[one.name].value, one.name, one.size) for one in SessionBlob.rows}
        text = self.policy.value.strip()
        policy = parse_policy(text, "policy") if text else None
        self.opened = open_session(SessionBlob(**parts), self.start.godh, self.start.private, policy)

    def _clear(self) -> None:
        self.opened = None

    def _answer(self) -> View:
        assert self.opened is not None
        return self.opened.explain()
