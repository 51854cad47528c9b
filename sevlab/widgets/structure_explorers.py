"""The initial registers of a virtual CPU, alive: change who makes them, or any register, and see the chain change."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import ipywidgets as w

from ..attestation.report import ReportVerdict, in_lines, parse_moment, verify_report
from ..attestation.session import OpenedSession, open_session
from ..errors import InputError, SevlabError
from ..formats.report import Report, parse_report
from ..formats.sev_certs import SessionBlob
from ..formats.vmsa import SevFeatures, Vmsa
from ..launch.cpu import cpu_signature, split_signature
from ..launch.sev import Launch, Step
from ..launch.values import parse_bytes, parse_number, parse_policy
from ..launch.verify import COLOURS
from ..launch.vmm import PROFILES, build_vmsa, parse_reset_address, recognize_vmsa
from ..layout.bytemap import explain_spans
from ..layout.views import Banner, Heading, Paragraph, Table, View, narrow
from .action import Button, EditBox
from .bytemap import ByteMap, StaticBox
from .explorers import CHAIN_STYLE, ChainExplorer, text_box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..attestation.certificates import Certificates
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
    return w.Dropdown(options=options, value=value, description=label, layout=layout, style=CHAIN_STYLE)


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


class ReportExplorer(StaticBox):
    """A report byte by byte, with the checklist of :func:`sevlab.verify_report` beside it.

    *certificates*, *at* and *inputs* are what that function takes; without *at* the moment is now, and stays so.
    ``report`` is the current one, ``verdict`` what comes of it, None while an input cannot be read; ``error`` is then
    the sentence that says why. A byte marked ``*`` differs from the report given.
    """

    def __init__(
        self, report: Report, certificates: Certificates | None = None, *, at: Any = None, **inputs: Any
    ) -> None:
        self._verify = {**inputs, "certificates": certificates, "at": parse_moment(at)}
        self._before = verify_report(report, **self._verify)
        self.start = self.report = self._before.report
        self.verdict: ReportVerdict | None = self._before
        self.error = ""
        self._settling = False
        self.field = w.Dropdown(options=_names(self.start), value="measurement", description="Field", style=CHAIN_STYLE)
        self.offset = text_box("Byte at", "", width="16em")
        self.value = EditBox("Value", [self.field], "58em", "(empty: as in the report given)")
        self.byte = EditBox("Byte", [self.offset], "16em", "(empty: as given)")
        self.undo = Button("Take all changes back", self._take_back)
        self.alert, self.banner, self.checklist = w.HTML(), w.HTML(), w.HTML()
        for box, what in ((self.alert, "error"), (self.banner, "banner"), (self.checklist, "checklist")):
            box.add_class(f"sevlab-{what}")
        self.map = ByteMap(f"The report: {report.size} bytes", self.start.spans())
        self.map.mark_meaning = "* marks bytes that differ from the report given."
        wrap = w.Layout(flex_flow="row wrap")
        super().__init__(
            [
                w.HBox([self.field, self.value], layout=wrap),
                w.HBox([self.offset, self.byte, self.undo], layout=wrap),
                *(self.alert, self.banner, self.checklist, self.map),
            ]
        )
        self.add_class("sevlab-report-explorer")
        self.map.observe(self._selected, "field")
        self.field.observe(self._chosen, "value")
        self.offset.observe(self._moved, "value")
        self.value.observe(self._edited_field, "value")
        self.byte.observe(self._edited_byte, "value")
        self._chosen(None)
        self._show()

    def _selected(self, change: Any) -> None:
        """A field was selected in the map."""
        if self.map.field:
            self.field.value = self.map.field

    def _chosen(self, change: Any) -> None:
        """A field was chosen in the list, or in the map."""
        if self._settling:
            return
        span = self._span()
        self.map.field = span.name if change is not None else ""
        self._fill(span, span.offset)

    def _moved(self, change: Any) -> None:
        """The offset of a byte was typed: show that byte, and the field it is part of."""
        if self._settling:
            return
        try:
            at = parse_number(self.offset.value.strip(), "Byte at", self.report.size - 1)
        except SevlabError as error:
            self._fail(error)
            return
        self._fill(_span_at(self.report, at), at)
        self.map.field = self.field.value

    def _fill(self, span: Span, at: int) -> None:
        """Put a field, and one of its bytes, into the boxes. What could not be read before is then gone."""
        self._settling = True
        self.field.options = _names(self.report)  # a byte that was changed may make it a report of another version
        self.field.value = span.name
        self.value.value = _written(span)
        self.offset.value = f"0x{at:03x}"
        self.byte.value = f"0x{span.raw[at - span.offset]:02x}"
        self._settling = False
        if self.error:
            self._show()

    def _edited_field(self, change: Any) -> None:
        if self._settling:
            return
        span, text = self._span(), self.value.value.strip()
        try:
            if not text:
                raw = self.start.to_bytes()[span.offset : span.offset + span.size]
            elif isinstance(span.value, int):
                raw = parse_number(text, f"Value of {span.name}", (1 << 8 * span.size) - 1).to_bytes(
                    span.size, "little"
                )
            else:
                raw = parse_bytes(text, f"Value of {span.name}", span.size)
        except SevlabError as error:
            self._fail(error)
            return
        self._put(span.offset, raw)

    def _edited_byte(self, change: Any) -> None:
        if self._settling:
            return
        text = self.byte.value.strip()
        try:
            at = parse_number(self.offset.value.strip(), "Byte at", self.report.size - 1)
            value = parse_number(text, "Byte", 0xFF) if text else self.start.to_bytes()[at]
        except SevlabError as error:
            self._fail(error)
            return
        self._put(at, bytes([value]))

    def _take_back(self) -> None:
        self._set(self.start.to_bytes(), self._span().offset)

    def _put(self, at: int, raw: bytes) -> None:
        """Change bytes of the report."""
        whole = self.report.to_bytes()
        self._set(whole[:at] + raw + whole[at + len(raw) :], at)

    def _set(self, raw: bytes, at: int) -> None:
        """Take a report's bytes, and show the field at an offset of it."""
        self.report = parse_report(raw)
        self._show()
        self._fill(_span_at(self.report, at), at)

    def _show(self) -> None:
        """Verify the report as it is now, and show what comes of it."""
        self.error, self.alert.value = "", ""
        self.verdict = verify_report(self.report, **self._verify)
        self.report = self.verdict.report  # the certificate may tell what the report does not: which product it is
        self.checklist.value = self._checks().html()
        self.map.show(self.report.spans(), self._marked())
        self.banner.value = f'<div role="status">{self._banner().html()}</div>'  # last: what it speaks of is there

    def _fail(self, error: SevlabError) -> None:
        """Say what is wrong with an input, and take back the verdict: it would be of other bytes."""
        self.error, self.verdict = str(error), None
        self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>'
        self.checklist.value = ""
        self.banner.value = f'<div role="status">{self._banner().html()}</div>'

    def _span(self) -> Span:
        """Return the chosen field."""
        return next(one for one in self.report.spans() if one.name == self.field.value)

    def _marked(self) -> list[int]:
        both = zip(self.start.to_bytes(), self.report.to_bytes(), strict=True)
        return [offset for offset, (one, other) in enumerate(both) if one != other]

    def _banner(self) -> Banner:
        if self.verdict is None:
            return Banner("CANNOT TELL: an input cannot be read, see above.", "grey")
        changed = [check.name for check in self.verdict.checks if check.state != self._before[check.name].state]
        bytes_ = len(self._marked())
        words = f"{bytes_} byte{'s' * (bytes_ != 1)} changed. " if bytes_ else ""
        words += f"Other than at the start: {', '.join(changed)}." if changed else "Every check is as at the start."
        return Banner(words, "pink" if changed else "green")

    def _checks(self) -> Table:
        """Return the checklist; a check whose state is another one than at the start is marked."""
        assert self.verdict is not None
        rows, colours = [], []
        for check in self.verdict.checks:
            was = self._before[check.name].state
            changed = was != check.state
            state = f"{check.state}, was {was}" if changed else check.state
            rows.append([check.name + "*" * changed, state, in_lines(check).note])
            colours.append(COLOURS[check.state])
        return Table(["check", "state", "note"], rows, colours=colours)

    def static(self) -> View:
        if self.verdict is None:
            return View(Banner(self.error, "orange"), self._banner())
        marked = self._marked()
        changed = [Paragraph(f"Bytes changed: {', '.join(f'0x{at:03x}' for at in marked)}.")] if marked else []
        heading = Heading("The checklist (* marks a check that is not as at the start)")
        return View(self._banner(), *changed, heading, self._checks(), explain_spans(self.report.spans()))


def _names(report: Report) -> list[str]:
    return [span.name for span in report.spans()]


def _span_at(report: Report, at: int) -> Span:
    """Return the field that holds the byte at an offset."""
    return next(one for one in report.spans() if one.offset <= at < one.offset + one.size)


def _written(span: Span) -> str:
    """Return a field's value as it stands in its box."""
    return f"0x{int(span.value):x}" if isinstance(span.value, int) else span.raw.hex()


_STYLE = {"description_width": "7em"}


class SessionExplorer(StaticBox):
    """A launch session as one platform sees it. ``opened`` is what follows from the boxes, None while one cannot be
    read; ``error`` is then the sentence that says why."""

    def __init__(self, opened: OpenedSession) -> None:
        self.start = opened
        self.opened: OpenedSession | None = opened
        self.error = ""
        policy = "" if opened.policy is None else f"0x{int(opened.policy):x}"
        self.policy = self._box("policy", policy, "16em")
        self.boxes = {
            row.name: self._box(row.name, getattr(opened.blob, row.name).hex(), "54em") for row in SessionBlob.rows
        }
        self.alert, self.result = w.HTML(), w.HTML()
        self.alert.add_class("sevlab-error")
        self.result.add_class("sevlab-session-result")
        super().__init__([self.policy, *self.boxes.values(), self.alert, self.result])
        self.add_class("sevlab-session-explorer")
        self.refresh()

    def _box(self, name: str, value: str, width: str) -> w.Text:
        box = w.Text(value=value, description=name, continuous_update=False, layout=w.Layout(width=width), style=_STYLE)
        box.observe(self.refresh, "value")
        return box

    def refresh(self, change: Any = None) -> None:
        """Read every box, and open what they say."""
        try:
            parts = {row.name: parse_bytes(self.boxes[row.name].value, row.name, row.size) for row in SessionBlob.rows}
            text = self.policy.value.strip()
            policy = None if not text else parse_policy(text, "policy")
        except (InputError, SevlabError) as error:
            self.error, self.opened = str(error), None
            self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>'
            self.result.value = ""
            return
        self.error, self.alert.value = "", ""
        self.opened = open_session(SessionBlob(**parts), self.start.godh, self.start.private, policy)
        self.result.value = f'<div role="status">{self.opened.explain().html()}</div>'

    def static(self) -> View:
        return self.opened.explain() if self.opened else View(Banner(self.error, "orange"))
