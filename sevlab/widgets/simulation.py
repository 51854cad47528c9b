"""A simulated launch to step through, with a host to make dishonest; and what a configuration has measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w

from ..cases.coverage import cover_command_line, cover_domain
from ..layout.views import Banner, Paragraph, View, hex_lines
from ..simulator.launch import SimulatedLaunch
from .boxes import NumberBox, output, row, text_area
from .explorers import BaseExplorer, unless_error

if TYPE_CHECKING:
    from ..layout.views import Block


NOTHING = "nothing"
_STYLE = {"description_width": "9em"}
#: Bytes of a message that are shown.
SHORT = 256


class TranscriptExplorer(BaseExplorer):
    """A simulated launch. ``run`` is the current one, with whatever the host changed; ``start`` is the honest one."""

    def __init__(self, run: SimulatedLaunch) -> None:
        self.start = self.run = run
        self._sizes = run.changeable
        names = [NOTHING, *self._sizes]
        self.target = w.Dropdown(options=names, description="The host changes", style=_STYLE, layout={"width": "26em"})
        self.offset = NumberBox("byte", 0, 0, 0, style=_STYLE)
        self.mask = NumberBox("exclusive-or with", 1, 1, 255, style=_STYLE)
        self.step = NumberBox("Message", 1, 1, 1, style=_STYLE)
        self.message, self.record = output("message"), output("transcript")
        inputs, results = [row(self.target, self.offset, self.mask)], [self.step, self.message, self.record]
        super().__init__("transcript-explorer", inputs, results, banner="verdict")
        self.target.observe(self._choose, "value")
        self.step.observe(self._show_step, "value")
        self._watch(self.target, self.offset, self.mask)

    def _choose(self, change: object) -> None:
        self.offset.max = self._sizes.get(self.target.value, 1) - 1

    def _read(self) -> None:
        """Launch again, with the host's change."""
        self.run = self.start
        if self.target.value != NOTHING:
            offset, mask = self.offset.number, self.mask.number

            def change_it(raw: bytes) -> bytes:
                at = offset % len(raw)
                return raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]

            self.run = self.start.again({self.target.value: change_it})

    def _show(self) -> None:
        self.step.limit(len(self.run.transcript.entries))
        self.record.value = self.run.transcript.explain().html()
        self._show_step()

    def _answer(self) -> Banner:
        if self.run.caught is None:
            same = self.run is self.start
            words = "The guest runs and has its secret" if same else "Nobody noticed: the guest runs and has its secret"
            return Banner(words, "green" if same else "orange")
        who, why = self.run.caught
        return Banner(f"CAUGHT by the {who}: {why}", "pink")

    def _show_step(self, change: object = None) -> None:
        if not (number := self._choice_of(self.step, self.message)):
            return
        entry = self.run.transcript.entries[number - 1]
        way = f"{entry.sender} to {entry.receiver}" if entry.is_message else f"{entry.sender}, for itself"
        raw = entry.raw if isinstance(entry.raw, bytes) else None
        shown = repr(entry.raw) if raw is None else hex_lines(raw[:SHORT], 16)
        more = f" The first {SHORT} of them:" if raw is not None and len(raw) > SHORT else ""
        words = Paragraph(f"{number}. {entry.name} ({way}), {entry.size} bytes. {entry.doc}{more}")
        self.message.value = f"{words.html()}<pre>{shown}</pre>"

    def _details(self) -> list[Block]:
        return list(self.run.transcript.explain().blocks)


class CoverageBox(BaseExplorer):
    """A box for a QEMU command line or a libvirt domain XML, and what the launch measurement covers of it.

    ``coverage`` is the current :class:`~sevlab.cases.coverage.Coverage`, None while the text cannot be read.
    """

    coverage = unless_error("_coverage")

    def __init__(self, text: str) -> None:
        self.text = text_area("Configuration", text, "a QEMU command line, or a libvirt domain XML")
        self.text.layout = w.Layout(width="60em", height="12em")
        super().__init__("coverage", [self.text], [], banner="coverage-result")
        self._watch(self.text)

    def _read(self) -> None:
        text = self.text.value
        self._coverage = cover_domain(text) if text.lstrip().startswith("<") else cover_command_line(text)

    def _answer(self) -> View:
        return self._coverage.explain()
