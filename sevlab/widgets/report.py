"""An attestation report, alive: change any byte of it, and see which checks fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w

from ..errors import SevlabError
from ..formats.report import Report, parse_report
from ..inputs import parse_bytes, parse_number
from ..layout.bytemap import explain_spans
from ..layout.views import Banner, Heading, Paragraph, Table, View
from ..report import ReportVerdict, parse_moment, verify_report
from ..report.verify import in_lines
from ..verify import COLOURS
from .action import Button, EditBox
from .bytemap import ByteMap, StaticBox
from .chain import STYLE, text_box

if TYPE_CHECKING:
    from typing import Any

    from ..layout.span import Span
    from ..report import Certificates


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
        self.field = w.Dropdown(options=_names(self.start), value="measurement", description="Field", style=STYLE)
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
