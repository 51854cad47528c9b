"""Explorers of one structure: a VMSA, a kernel-hashes table, an attestation report, a launch session."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from ..attestation.certificates import Certificates
from ..attestation.report import in_lines, parse_moment, verify_report
from ..attestation.session import OpenedSession, open_session
from ..errors import InputError, renaming
from ..formats.kernel_hashes import KernelHashes, hash_cmdline
from ..formats.report import Report, parse_report
from ..formats.sev_certs import SessionBlob
from ..formats.vmsa import SevFeatures, Vmsa
from ..launch.inputs import BLOB_LIMIT, FIRMWARE_LIMIT, load_hashed
from ..launch.sev import Hashed, Launch, Step
from ..launch.values import parse_bytes, parse_number, parse_policy
from ..launch.verify import COLOURS
from ..launch.vmm import PROFILES, build_vmsa, cpu_signature, parse_reset_address, recognize_vmsa, split_signature
from ..layout.bytemap import explain_spans
from ..layout.span import Span
from ..layout.structure import compare
from ..layout.views import Banner, Heading, Paragraph, Table, View, narrow
from .boxes import LABELS, STANDARD_INPUT, WIDE, choice, flag, label_of, output, row, text_area, text_box
from .bytemap import ByteMap
from .explorers import BaseExplorer, ChainExplorer, unless_error

if TYPE_CHECKING:
    from ..layout.views import Block


BOOT, APPLICATION = "boot processor", "application processor"
RESET = "Reset address"
#: The largest number that each part of a CPU's signature can hold.
LIMITS = {"family": 270, "model": 255, "stepping": 15}


class VmsaExplorer(ChainExplorer):
    """A VMSA: what it is built from in boxes, and any register to edit.

    *launch* is the launch the page belongs to; without one the chain is the page alone. ``page`` is the current
    :class:`~sevlab.formats.vmsa.Vmsa`, which is in the chain wherever the given page was. ``edits`` are the fields
    that differ from what the profile makes, by name. A field marked ``*`` differs from the page given.
    """

    _edited = ("edits", "_features")

    def __init__(self, page: Vmsa, *, launch: Launch | None = None) -> None:
        steps = launch.steps if launch else (Step("VMSA", page.to_bytes(), "The page."),)
        if page.to_bytes() not in [step.content for step in steps]:
            raise InputError("launch", "one without this page", "the launch that the page belongs to")
        self.page = self._given = page
        rows = self._build_inputs(page, _further_start(steps, page))
        self.edits = self._edits_of(page)
        self.fields = output("registers")
        title = "The VMSA: 4096 bytes. Choose a field or a byte to edit it"
        act = self._edit, functools.partial(self._fail, typed=True)
        self.map = ByteMap(title, page.spans(), act=act, field="rdx")
        super().__init__(Launch(steps), rows, [self.map, self.fields], "vmsa-explorer")
        self._watch(self.profile, self.cpu, *self.boxes.values(), *self.features.values())

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
        flags = [one for one in SevFeatures.rows if one.is_flag]
        self.features = {one.name: flag(f"{one.name} (bit {one.low})", one.doc, "auto") for one in flags}
        self._tick(page)
        return [
            row(self.profile, self.cpu, self.boxes["reset"]),
            row(*(self.boxes[name] for name in LIMITS)),
            w.HTML("SEV features (the field sev_features), ticked where the bit is set:"),
            w.Box(list(self.features.values())).add_class("sevlab-bits"),
        ]

    def _tick(self, page: Vmsa) -> None:
        """Tick the features of a page; those without a box are kept."""
        self._features = page.sev_features
        for name, box in self.features.items():
            box.value = bool(getattr(page.sev_features, name))

    def _edits_of(self, page: Vmsa) -> dict[str, object]:
        """Return the fields of a page that are not as they are built from the boxes."""
        pairs = zip(self._built().spans(), page.spans(), strict=True)
        return {now.name: now.value for was, now in pairs if was.raw != now.raw}

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
        features = int(self._features.replace(**ticked))
        return build_vmsa(
            profile.name, cpu=int(application), signature=signature, reset_address=address, sev_features=features
        )

    def _make(self) -> Launch:
        self.page = self._built().replace(**self.edits)
        return Launch(self._replaced(self._given.to_bytes(), self.page.to_bytes()))

    def _edit(self, at: int, size: int, raw: bytes) -> None:
        """Put bytes at an offset, and keep what differs from the boxes; no bytes are those that the boxes make."""
        whole = self.page.to_bytes()
        raw = raw or self._built().to_bytes()[at : at + size]
        page = Vmsa.from_bytes(whole[:at] + raw + whole[at + size :])
        with self.settling():
            self._tick(page)
        self.edits = self._edits_of(page)
        self.refresh()

    def _show(self) -> None:
        super()._show()
        self.map.show(self.page.spans(), compare(self._given, self.page).marked)
        self.fields.value = self._result().html()

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


def _short(span: Span) -> str:
    return span.text if len(span.text) <= 80 else f"{span.text[:32]}..."


def _further_start(steps: Sequence[Step], page: Vmsa) -> int | None:
    """Return where the other virtual CPUs of a launch start, None when there are none."""
    for step in steps:
        if step.size == Vmsa.size and isinstance(step.content, bytes) and step.content != page.to_bytes():
            other = Vmsa.from_bytes(step.content)
            return int(other.cs.base + other.rip) & 0xFFFFFFFF
    return None


class TableExplorer(ChainExplorer):
    """A kernel-hashes table, with a box for each thing that is hashed.

    *launch* is the launch the table belongs to; without one the chain is the table alone, until a firmware is named.
    *firmware*, *kernel* and *initrd* are paths, *cmdline* is text: what the boxes hold at the start. While a box that
    was empty at the start is left so, its hash is the one in the table given. ``table`` is the current
    :class:`~sevlab.formats.kernel_hashes.KernelHashes`; a byte marked ``*`` differs from the table given.
    """

    def __init__(
        self,
        table: KernelHashes,
        *,
        launch: Launch | None = None,
        firmware: str = "",
        kernel: str = "",
        initrd: str = "",
        cmdline: str = "",
    ) -> None:
        self.table = self._given = table
        kept = "(as in the table)"
        self.boxes: dict[str, w.Text | w.Textarea] = {
            "firmware": text_box(LABELS["firmware"], firmware, WIDE, placeholder="(as in the launch given)"),
            "kernel": text_box(LABELS["kernel"], kernel, WIDE, placeholder=kept),
            "initrd": text_box(LABELS["initrd"], initrd, WIDE, placeholder="(no initrd)" if initrd else kept),
            "cmdline": text_area(LABELS["cmdline"], cmdline),
        }
        self._empty_at_start = {name for name, box in self.boxes.items() if not box.value}
        self.map = ByteMap("The kernel-hashes table: 176 bytes", table.spans())
        steps = launch.steps if launch else (Step("kernel hashes", table.to_bytes(), "The table."),)
        if firmware and not launch:
            steps = (Step("firmware", load_hashed(firmware, LABELS["firmware"]), "The firmware image."), *steps)
        if table.to_bytes() not in [step.content for step in steps]:
            raise InputError("launch", "one without this table", "the launch that the table belongs to")
        super().__init__(Launch(steps), list(self.boxes.values()), [self.map], "table-explorer")
        self._watch(*self.boxes.values())

    def _make(self) -> Launch:
        given = self._given
        with renaming(label_of):
            # Whatever else is in the table that was given, such as a wrong length, stays in it.
            self.table = given.replace(
                kernel=given.kernel if self._keeps("kernel") else self._file("kernel").digest,
                initrd=given.initrd if self._keeps("initrd") else self._initrd(),
                cmdline=given.cmdline if self._keeps("cmdline") else hash_cmdline(self.boxes["cmdline"].value),
            )
            steps = self._replaced(given.to_bytes(), self.table.to_bytes())
            if not self._keeps("firmware"):
                if steps[0].name != "firmware":
                    needed = "an empty box, for a table without a launch"
                    raise InputError("firmware", "a file", needed, "give explore the launch, or a firmware")
                steps[0] = steps[0]._replace(content=self._file("firmware"))
        return Launch(steps)

    def _keeps(self, name: str) -> bool:
        return name in self._empty_at_start and not self.boxes[name].value

    def _file(self, name: str) -> Hashed:
        path = self.boxes[name].value.strip()
        if path in ("", STANDARD_INPUT):
            raise InputError(name, repr(path) if path else "nothing", "a path")
        limit = FIRMWARE_LIMIT if name == "firmware" else BLOB_LIMIT
        return load_hashed(path, name, limit=limit, empty=name == "initrd")

    def _initrd(self) -> bytes:
        return self._file("initrd").digest if self.boxes["initrd"].value.strip() else hashlib.sha256(b"").digest()

    def _show(self) -> None:
        super()._show()
        self.map.show(self.table.spans(), compare(self._given, self.table).marked)

    def _result(self) -> View:
        return self.map.static()


class ReportExplorer(BaseExplorer):
    """A report byte by byte, with the checklist of :func:`sevlab.verify_report` beside it.

    *certificates*, *at* and *inputs* are what that function takes; without *at* the moment is now, and stays so.
    ``report`` is the current one, ``verdict`` that on it, None while an input cannot be read. A byte marked ``*``
    differs from the report given.
    """

    _edited = ("report",)
    verdict = unless_error("_verdict")

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
        self.checklist = output("checklist")
        title = f"The report: {report.size} bytes. Choose a field or a byte to edit it"
        act = self._edit, functools.partial(self._fail, typed=True)
        self.map = ByteMap(title, self.start.spans(), act=act, field="measurement")
        super().__init__("report-explorer", [], [self.map, self.checklist])
        self._watch()

    def _edit(self, at: int, size: int, raw: bytes) -> None:
        """Put bytes at an offset; no bytes are those of the report given."""
        whole = self.report.to_bytes()
        raw = raw or self.start.to_bytes()[at : at + size]
        self.report = parse_report(whole[:at] + raw + whole[at + size :])
        self.refresh()

    def _read(self) -> None:
        self._verdict = self._verify(report=self.report)
        self.report = self._verdict.report  # only the certificate may say which product it is

    def _show(self) -> None:
        self.checklist.value = self._checks().html()
        self.map.show(self.report.spans(), self._marked())
        names = {span.name: span.name for span in self.report.spans()} | {"report_signature": "*"}
        named = [names.get(check.name.replace(" ", "_")) for check in self._verdict.checks]
        self.frame.links = {number: name for number, name in enumerate(named, 1) if name}

    def _marked(self) -> list[int]:
        both = zip(self.start.to_bytes(), self.report.to_bytes(), strict=True)
        return [offset for offset, (one, other) in enumerate(both) if one != other]

    def _answer(self) -> Banner:
        changed = [check.name for check in self._verdict.checks if check.state != self._before[check.name].state]
        count = len(self._marked())
        words = f"{count} byte{'s' * (count != 1)} changed. " if count else ""
        words += f"Checks that changed: {', '.join(changed)}." if changed else "Every check is as at the start."
        return Banner(words, "pink" if changed else "green")

    def _checks(self) -> Table:
        """Return the checklist; a check whose state differs from the start is marked."""
        rows, colours = [], []
        for check in self._verdict.checks:
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


class SessionExplorer(BaseExplorer):
    """A launch session as one platform sees it. ``opened`` follows from the boxes; None while one cannot be read."""

    opened = unless_error("_opened")

    def __init__(self, opened: OpenedSession) -> None:
        self.start = self._opened = opened
        self.policy = text_box("policy", "" if opened.policy is None else f"0x{int(opened.policy):x}", "16em")
        names = [one.name for one in SessionBlob.rows]
        self.boxes = {name: text_box(name, getattr(opened.blob, name).hex(), "54em") for name in names}
        super().__init__("session-explorer", [self.policy, *self.boxes.values()], [], banner="session-result")
        self._watch(self.policy, *self.boxes.values())

    def _read(self) -> None:
        parts = {one.name: parse_bytes(self.boxes[one.name].value, one.name, one.size) for one in SessionBlob.rows}
        text = self.policy.value.strip()
        policy = parse_policy(text, "policy") if text else None
        self._opened = open_session(SessionBlob(**parts), self.start.godh, self.start.private, policy)

    def _answer(self) -> View:
        return self._opened.explain()
