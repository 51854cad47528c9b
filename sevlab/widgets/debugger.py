"""The debugger: paste what you have, see the verdict, press a button, read why, apply it, continue."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as w

from ..cases.capture import COMMAND_LINE, TEXT_LIMIT, XML, Capture
from ..cases.case import Case
from ..cases.case_toml import parse_case
from ..cases.coverage import cover_command_line, cover_domain
from ..cases.recognize import parse_anything
from ..diagnosis.result import Diagnosis
from ..diagnosis.run import diagnose
from ..errors import InputError, SevlabError, renaming
from ..launch.evidence import Evidence, load_evidence
from ..launch.keys import SecretBytes
from ..launch.values import KEY_SIZE
from ..launch.verify import GOOD, Verdict, compare_measure
from ..layout.views import Banner, Paragraph, View
from .action import Button
from .boxes import LABELS, STYLE, UPLOAD_LIMIT, PasteBox, alert, label_of, output, row, status, text_box, tik_of
from .bytemap import StaticBox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..diagnosis.engine import Progress
    from ..diagnosis.result import Explanation


#: The boxes, in rows: for each input how wide its box is.
ROWS = (
    {"measurement": "62em"},
    {"api_major": "12em", "api_minor": "12em", "build_id": "12em", "policy": "16em"},
    {"firmware": "44em"},
    {"tk": "44em"},
    {"tik": "44em"},
    {"kernel": "44em"},
    {"initrd": "44em"},
    {"cmdline": "62em"},
    {"num_cpus": "12em", "cpu_family": "12em", "cpu_model": "12em", "cpu_stepping": "13em"},
    {"profile": "16em", "guest_features": "16em"},
    {"vmsa_cpu0": "30em", "vmsa_cpu1": "30em"},
)
UPLOADS = ("firmware", "tk", "kernel", "initrd")
#: What the box of a key says when the key was uploaded.
UPLOADED = "(uploaded)"
PASTE = "the output of virsh domlaunchsecinfo, a domain XML, a QEMU command line, QMP answers, or a case file"


def read_evidence(inputs: dict[str, Any]) -> Evidence:
    """Read the inputs; an uploaded key is its bytes. No measure depends on the TEK, so it need not be given."""
    key = inputs.get("tk")
    if key is None and "tik" not in inputs:
        raise InputError("tk", "nothing", "the keys of this launch: a path, or an upload")
    if isinstance(key, SecretBytes):
        inputs = {**inputs, "tk": None, "tik": tik_of(key)}
    if inputs.get("tk") is None:
        inputs = {**inputs, "tek": SecretBytes(bytes(KEY_SIZE))}
    return load_evidence(**inputs)


class Debugger(StaticBox):
    """One form from what somebody has to why it does not match.

    ``inputs`` are the current inputs, ``verdict`` is theirs (None while they cannot be read, then ``error`` says why),
    ``diagnosis`` is the last one. The search runs in the background, and can be stopped.
    """

    def __init__(self, inputs: Mapping[str, object] | None = None) -> None:
        self.capture = Capture()
        self.verdict: Verdict | None = None
        self.diagnosis: Diagnosis | None = None
        self.error = ""
        self._key: SecretBytes | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._stop, self._quiet, self._outdated = threading.Event(), False, ""
        self._build()
        super().__init__(self._parts())
        self.add_class("sevlab-debugger")
        self.set_inputs(inputs or {})

    def _build(self) -> None:
        self.paste = PasteBox("What you have", TEXT_LIMIT, self._refused, PASTE)
        self.paste.add_class("sevlab-paste")
        self.understood, self.coverage = output("understood"), output("coverage-result")
        self.boxes = {name: text_box(LABELS[name], width=width) for one in ROWS for name, width in one.items()}
        for box in self.boxes.values():
            box.observe(lambda change: self.refresh(), "value")
        self.uploads = {name: self._upload(name) for name in UPLOADS}
        self.alert, self.banner = output("error"), output("verdict")
        look = {"layout": w.Layout(width="13em"), "style": STYLE}
        self.budget = w.BoundedFloatText(value=60, min=0.1, max=3600, description="Seconds", **look)
        folder = "a folder of firmware, kernels and initrds to try"
        self.candidates = text_box(LABELS["candidates"], width="44em", placeholder=folder)
        self.progress, self.result, self.note = output("progress"), w.VBox(), w.HTML()
        self.result.add_class("sevlab-diagnosis")
        self.read = self._button("Read it", self.read_paste, "primary")
        self.clear = self._button("Start again", self.start_again)
        self.why = self._button("Find out why", self.start, "primary")
        self.stop = self._button("Stop", self.stop_search)
        self.stop.disabled = True

    def _button(self, words: str, act: Callable[[], object], look: str = "") -> Button:
        return Button(words, act, [self.paste, *self.boxes.values(), self.candidates, self.budget], look)

    def _parts(self) -> list[w.Widget]:
        self._details = w.Accordion([self.coverage], titles=("What of it is measured",))
        self._details.layout.display = "none"
        rows = [
            row(*(self.boxes[name] for name in widths), *(self.uploads[name] for name in widths if name in UPLOADS))
            for widths in ROWS
        ]
        return [
            w.HTML("<h3>1. Paste what you have</h3>"),
            self.paste,
            w.HBox([self.read, self.clear]),
            self.understood,
            self._details,
            w.HTML("<h3>2. Look at the inputs, and add what is missing</h3>"),
            w.HTML(f"Uploads take up to {UPLOAD_LIMIT >> 20} MiB each. Of larger files give the path."),
            *rows,
            w.HTML("<h3>3. Does it match?</h3>"),
            self.alert,
            self.banner,
            w.HTML("<h3>4. Why not?</h3>"),
            self.candidates,
            row(self.why, self.stop, self.budget),
            self.progress,
            self.result,
        ]

    def _upload(self, name: str) -> w.FileUpload:
        upload = w.FileUpload(description=f"Upload {LABELS[name].lower()}", layout=w.Layout(width="auto"))
        upload.observe(lambda change: self._uploaded(name), "value")
        return upload

    def read_paste(self) -> None:
        """Read what was pasted, and fill the boxes with what it says. Several pastes add up."""
        text = self.paste.value
        try:
            if len(text) > TEXT_LIMIT:
                raise _too_long(len(text))
            if "[reported]" in text or text.lstrip().startswith("format"):
                found = parse_case(text, os.path.join(os.curdir, "pasted case")).part()
                shown = View(Banner(f"A case file with {len(found)} inputs", "green"))
            else:
                new = parse_anything(text)
                self.capture += new
                found = {name: one.value for name, one in self.capture.inputs.items()}
                shown = self.capture.explain()
                if new.source in (XML, COMMAND_LINE):
                    covered = cover_domain(text) if new.source == XML else cover_command_line(text)
                    self.coverage.value, self._details.layout.display = covered.explain().html(), ""
        except SevlabError as error:
            self.understood.value = alert(str(error))
        else:
            self.understood.value = status(shown)
            self.set_inputs(found)

    def _refused(self, length: int) -> None:
        self.understood.value = alert(str(_too_long(length)))

    def start_again(self) -> None:
        """Reset the form. Cancels a running search and discards its result."""
        self._stop.set()
        self._stop = threading.Event()
        self.why.disabled, self.stop.disabled = False, True
        self.capture, self._key, self.diagnosis = Capture(), None, None
        self.paste.value = self.understood.value = self.coverage.value = self.progress.value = ""
        self._details.layout.display = "none"
        self.result.children = ()
        self.set_inputs(dict.fromkeys(self.boxes))

    def _uploaded(self, name: str) -> None:
        """Take an upload, then empty the upload box: a key must not stay in the widget's state."""
        upload = self.uploads[name]
        if not upload.value:
            return
        item = upload.value[0]
        raw = bytes(item.content)
        upload.value = ()
        if not raw or len(raw) > UPLOAD_LIMIT:
            self._fail(InputError(LABELS[name], f"an upload of {len(raw)} bytes", f"1 to {UPLOAD_LIMIT} bytes"))
        elif name == "tk":
            self._key = SecretBytes(raw)
            self.set_inputs({"tk": UPLOADED})
        else:
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="sevlab-")
            path = Path(self._folder.name, name)
            path.write_bytes(raw)
            self.set_inputs({name: str(path)})

    def set_inputs(self, found: Mapping[str, object]) -> None:
        """Write values into the boxes; None empties one. What has no box is left out."""
        self._quiet = True
        try:
            for name, value in found.items():
                if isinstance(value, SecretBytes):
                    if name == "tek":  # no measure depends on it
                        continue
                    self._key, name, value = value, "tk", UPLOADED
                if name in self.boxes:
                    self.boxes[name].value = _written(name, value)
        finally:
            self._quiet = False
        self.refresh()

    @property
    def inputs(self) -> dict[str, object]:
        """The content of the boxes, by name. An uploaded key is a :class:`~sevlab.SecretBytes`."""
        texts = {name: box.value if name == "cmdline" else box.value.strip() for name, box in self.boxes.items()}
        given: dict[str, object] = {name: text for name, text in texts.items() if text}
        if given.get("tk") == UPLOADED and self._key is not None:
            given["tk"] = self._key
        for name in ("firmware", "kernel", "initrd", "tk"):
            if given.get(name) == "-":
                raise InputError(LABELS[name], "'-'", "a path, or an upload")
        return given

    def refresh(self) -> None:
        """Read the boxes and verify."""
        if self._quiet:
            return
        self._outdate("The inputs have changed since this search.")
        try:
            inputs = self.inputs
            if not inputs:
                self.verdict, self.error, self.alert.value = None, "", ""
                self.banner.value = Banner("Nothing is given yet.", "grey").html()
                return
            with renaming(label_of):
                self.verdict = compare_measure(read_evidence(inputs))
        except SevlabError as error:
            self._fail(error)
            return
        self.error, self.alert.value = "", ""
        self.banner.value = status(self.verdict.explain())

    def _fail(self, error: SevlabError) -> None:
        self.error, self.verdict, self.banner.value = str(error), None, ""
        self.alert.value = alert(self.error)

    def start(self) -> None:
        """Search in the background; where there are no threads, as in a browser, search now."""
        if self.why.disabled:
            return
        self._stop = threading.Event()
        self.why.disabled, self.stop.disabled = True, False
        self.result.children = ()
        thread = threading.Thread(target=self.search, daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:
            self.search()

    def stop_search(self) -> None:
        """Stop the search soon."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the search to end."""
        if self._thread is not None:
            self._thread.join(seconds)

    def search(self) -> None:
        """Search now, and show the result, unless the form was reset meanwhile."""
        stop, self._outdated = self._stop, ""
        try:
            folder, show = self.candidates.value.strip() or None, functools.partial(self._show_progress, stop)
            with renaming(label_of):
                diagnosis = diagnose(self.inputs, candidates=folder, budget=self.budget.value, progress=show)
            if stop is self._stop:
                self.diagnosis = diagnosis
                self.progress.value = Paragraph(diagnosis.effort).html()
                self._show(diagnosis)
        except Exception as error:  # nobody sees what a thread raises
            is_ours = isinstance(error, SevlabError)
            if stop is self._stop:
                words = str(error) if is_ours else f"An error in sevlab: {type(error).__name__}. Please report it."
                self.progress.value = alert(words)
            if not is_ours:
                raise
        finally:
            if stop is self._stop:
                self.why.disabled, self.stop.disabled = False, True

    def _show_progress(self, stop: threading.Event, progress: Progress) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        speed = f"{progress.tried:,} tried, {progress.rate:,.0f} per second"
        self.progress.value = Paragraph(f"{progress.seconds:.0f} s: {speed}. Now: {progress.now}.").html()

    def _show(self, diagnosis: Diagnosis) -> None:
        parts: list[w.Widget] = [w.HTML(status(diagnosis.explain()))]
        for number, explanation in enumerate(diagnosis.explanations):
            name = "Apply this" if len(diagnosis.explanations) == 1 else f"Apply explanation {number + 1}"
            parts.append(self._button(name, functools.partial(self.apply, explanation), "success"))
        self.note = w.HTML()
        self.result.children = [*parts, self.note]
        if self._outdated:
            self._outdate(self._outdated)

    def _outdate(self, words: str) -> None:
        """Mark the result as outdated: it is about other inputs than the current ones, and cannot be applied."""
        self._outdated = words
        for part in self.result.children:
            if isinstance(part, Button):
                part.disabled = True
        if self.result.children:
            self.note.value = status(View(Paragraph(words)))

    def apply(self, explanation: Explanation) -> None:
        """Change the inputs as an explanation says, and verify again."""
        try:
            self.set_inputs(explanation.inputs)
        except SevlabError as error:
            self.progress.value = alert(str(error))
        else:
            self._outdate("Applied: section 3 shows the verdict on the new inputs.")

    def static(self) -> View:
        if self.diagnosis is not None and not self._outdated:
            return self.diagnosis.explain()
        if self.verdict is not None:
            good = View(Banner(GOOD, "green"), *map(Paragraph, self.verdict.remarks))
            return good if self.verdict.matches else self.verdict.explain()
        return View(Banner("The debugger: paste what you have, see the verdict, find out why.", "grey"))


def _written(name: str, value: object) -> str:
    if value is None:
        return ""
    return f"0x{value:x}" if name in ("policy", "guest_features") and isinstance(value, int) else str(value)


def _too_long(length: int) -> InputError:
    return InputError("pasted text", f"{length} characters", f"at most {TEXT_LIMIT}", "only the part that matters")


def debugger(inputs: Mapping[str, object] | Case | None = None) -> Debugger:
    """Return the debugger, empty or with some inputs (those of :func:`sevlab.load_evidence`, or a case)."""
    return Debugger(inputs.part() if isinstance(inputs, Case) else inputs)
