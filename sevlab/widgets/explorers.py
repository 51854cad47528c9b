"""Explorers: every input in a box, and what follows from it beside it."""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as w
import traitlets

from ..errors import InputError, SevlabError, renaming
from ..formats.page_info import PageInfo
from ..launch.compare import LaunchComparison, Pair, compare_launch
from ..launch.evidence import Evidence, load_evidence
from ..launch.inputs import FILES, REPORTED, LaunchInputs
from ..launch.keys import SecretBytes
from ..launch.pages import Link
from ..launch.sev import Launch, Step
from ..launch.snp import DEFAULT_PROFILE, SVSM_PROFILE, SnpLaunch, load_snp_launch, place
from ..launch.values import KEY_SIZE, parse_measurement, parse_number
from ..launch.verify import BAD, GOOD, compare_measure
from ..launch.vmm import SNP_PROFILES, split_signature
from ..layout.bytemap import explain_spans, legend
from ..layout.compare import Comparison
from ..layout.structure import compare
from ..layout.views import Banner, Heading, Paragraph, Table, View, hex_lines
from .action import Button
from .boxes import (
    LABELS,
    LOADED,
    STANDARD_INPUT,
    STYLE,
    UPLOAD_FIRMWARE,
    FileBox,
    FlipBox,
    LaunchBox,
    NumberBox,
    PolicyBox,
    alert,
    choice,
    label_of,
    output,
    row,
    status,
    text_area,
    text_box,
    tik_of,
)
from .bytemap import ByteMap, StaticBox

if TYPE_CHECKING:
    Widgets = Sequence[w.DOMWidget]
    from ..layout.views import Block


#: The class of what is shown of inputs before.
STALE = "sevlab-stale"


class Frame(anywidget.AnyWidget):
    """What the page does for an explorer that it is in: text counts after a pause, and what belongs together is marked.

    ``links`` say with which row of the chain or the checklist (0 is the header) a field of the map is marked, "*" for
    any; ``wrong`` is the label of the box that cannot be read.
    """

    _esm = Path(__file__).with_name("explorer.js")
    _css = Path(__file__).with_name("explorer.css")
    links: traitlets.Dict[Any, Any] = traitlets.Dict().tag(sync=True)
    wrong = traitlets.Unicode().tag(sync=True)


def unless_error(name: str) -> property:
    """Return an attribute of an explorer: what is kept as *name*, and None while an input cannot be read."""
    return property(lambda self: None if self.error else getattr(self, name))


class BaseExplorer(StaticBox):
    """Inputs in boxes; an error while one of them cannot be read, else a verdict and what follows from them.

    ``error`` is the sentence that says which input cannot be read, and why; "" when all can. What was computed from
    earlier inputs is dimmed beside an error. *beside* is what follows and is shown next to the inputs where there is
    room, *results* what is shown below. A press of ``undo`` takes all changes back.
    """

    error = ""
    #: The boxes that a launch is loaded from, where there are any.
    loaded: LaunchBox | None = None
    _files: Sequence[FileBox | FlipBox] = ()
    #: The attributes with what is edited in place.
    _edited: Sequence[str] = ()
    _settling = False
    _cannot_tell = "CANNOT TELL: an input cannot be read."

    def __init__(
        self, name: str, inputs: Widgets, results: Widgets, banner: str = "banner", beside: Widgets = ()
    ) -> None:
        self.alert, self.banner, self.frame = output("error"), output(banner), Frame()
        self.undo = Button("Take all changes back", self.take_back).add_class("sevlab-undo")
        self._results = [*beside, *results]
        for map in (one for one in results if isinstance(one, ByteMap)):  # one at most
            # What was typed for the field before, and could not be read, is then dropped.
            map.observe(lambda change: self.refresh() if change.owner.error else None, "field")
            map.add_class("sevlab-linked-map")
        head = w.HBox([self.banner, self.undo]).add_class("sevlab-head")
        parts = [*inputs, self.alert, head]
        if beside:
            columns = [w.VBox(inputs), w.VBox([self.alert, head, *beside])]
            parts = [w.Box(columns).add_class("sevlab-columns")]
        super().__init__([self.frame, *parts, *results])
        self.add_class(f"sevlab-{name}").add_class("sevlab-frame")

    def _read(self) -> None:
        """Read every box and compute what follows; raise the first error."""
        raise NotImplementedError

    def _answer(self) -> Banner | View:
        raise NotImplementedError

    def _show(self) -> None:
        """Show what was read, below the verdict."""

    def _details(self) -> list[Block]:
        """Return what is shown below the verdict, for where widgets do not run."""
        return []

    def refresh(self, change: object = None) -> None:
        """Read every box again and show what follows."""
        if self._settling:
            return
        try:
            self._read()
        except SevlabError as error:
            self._fail(error)
            return
        self.error = self.alert.value = self.frame.wrong = ""
        self._show()
        for result in self._results:
            result.remove_class(STALE)
        self.undo.disabled = not self.is_changed
        self.banner.value = status(self._answer())  # last: what it is about is there

    def _watch(self, *boxes: w.Widget) -> None:
        """Show what follows from the boxes, now and whenever one of them changes."""
        for box in boxes:
            box.observe(self.refresh, "value")
        files = [box for box in self._files if isinstance(box, FileBox)]
        parts = [part for box in boxes for part in (box.parts if isinstance(box, PolicyBox) else [box])]
        self.undo.beside = [*parts, *(box.text for box in files)]
        self._starts = [(box, "value", box.value) for box in boxes]
        self._starts += [(self, name, getattr(self, name)) for name in self._edited]
        self._files_at_start = [(box, box.text.value, box.text.placeholder, box.held) for box in files]
        self.refresh()

    @property
    def is_changed(self) -> bool:
        """Whether there is a change to take back."""
        return any(getattr(of, name) != start for of, name, start in self._starts) or any(
            (box.text.value, box.text.placeholder) != (path, words) for box, path, words, _ in self._files_at_start
        )

    def take_back(self) -> None:
        """Set everything as it was at the start."""
        with self.settling():
            for of, name, start in self._starts:
                setattr(of, name, start)
            for box, path, words, held in self._files_at_start:
                if (box.text.value, box.text.placeholder) != (path, words):
                    box._hold(held, words)
                    box._path = box.text.value = path
        self.refresh()

    def _fail(self, error: SevlabError, typed: bool = False) -> None:
        """Say what is wrong with an input, unless it was *typed* at a map that says it; take back the verdict."""
        self.error = functools.reduce(lambda words, box: box.hide_folder(words), self._files, str(error))
        self.frame.wrong = error.input if isinstance(error, InputError) else ""
        self.alert.value = "" if typed else alert(self.error)
        for result in self._results:
            result.add_class(STALE)
        self.undo.disabled = False
        dimmed = " What is dimmed is from the inputs before." if self._results else ""
        self.banner.value = status(Banner(self._cannot_tell + dimmed, "grey"))
        if self.loaded and self.frame.wrong in [LABELS[name] for name in LOADED]:
            self.loaded.disclosure.is_open = True

    def _choice_of(self, box: NumberBox, place: w.HTML) -> int:
        """Return the number of what is to be shown; 0 where there is none, which is then said at *place*."""
        try:
            self.frame.wrong, number = "", box.number
        except InputError as error:
            self.frame.wrong, place.value, number = error.input, alert(str(error)), 0
        return number

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        """Set boxes in this block without acting on their changes."""
        self._settling = True
        try:
            yield
        finally:
            self._settling = False

    def static(self) -> View:
        if self.error:
            return View(Banner(self.error, "orange"), Banner(self._cannot_tell, "grey"))
        return View(self._answer(), *self._details())


class Explorer(BaseExplorer):
    """A launch of SEV or SEV-ES whose every input can be changed.

    ``verdict`` is the current :class:`~sevlab.launch.verify.Verdict`, None while an input cannot be read.
    ``evidence`` is the last evidence that could be read; what was uploaded is a file of it as long as the kernel runs.
    A byte of the message marked ``*`` differs from the evidence the explorer was opened with, one of the measurement
    from the computed one, which is below it. ``flip`` changes a byte of what was loaded or reported.
    """

    loaded: LaunchBox
    verdict = unless_error("_verdict")

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = self._start = evidence
        rows = self._build_inputs()
        self.chain, self.comparison = output("loaded"), output("comparison")
        self.message = ByteMap("The message under the HMAC: 56 bytes", evidence.message.spans())
        title, meaning = "The measurement: 48 bytes, reported above computed", "* marks bytes unlike those below."
        self.blob = ByteMap(title, evidence.measurement.spans(), mark_meaning=meaning)
        results, beside = [self.message, self.chain], [self.blob, self.comparison]
        super().__init__("explorer", rows, results, banner="verdict", beside=beside)
        self._watch(self.measurement, self.policy, *self.numbers.values(), *self.loaded.boxes, *self.flip.boxes)

    def _build_inputs(self) -> list[w.Widget]:
        evidence, files = self.evidence, self.evidence.files
        text = base64.b64encode(evidence.measurement.to_bytes()).decode()
        placeholder = "base64 (64 characters, line breaks are fine) or hex (96 digits)"
        self.measurement = text_area(LABELS["measurement"], text, placeholder)
        self.numbers = {name: text_box(LABELS[name], str(getattr(evidence, name))) for name in REPORTED[1:4]}
        self.policy = PolicyBox(evidence.policy)
        #: What else is loaded, and the two files that every launch has.
        self.loaded = LaunchBox(evidence.inputs or LaunchInputs(), self.refresh, self._fail)
        act, key_file = (self.refresh, self._fail), files.get("tk", files.get("tik", ""))
        upload = "Upload key (16 bytes TIK, or 32 bytes TEK and TIK)"
        held = None if evidence.inputs else evidence.digest
        self.files = {
            "firmware": FileBox(LABELS["firmware"], files.get("firmware", ""), UPLOAD_FIRMWARE, *act, held=held),
            "tik": FileBox(LABELS["tk"], key_file, upload, *act, keep=tik_of, held=evidence.tik),
        }
        self.flip = FlipBox("digest", "measurement")
        self._files = [*self.files.values(), *self.loaded.files.values(), self.flip]
        self._given_at_start = self._given().given
        numbers = row(*self.numbers.values())
        return [self.measurement, numbers, self.policy, *self.files.values(), self.loaded, self.flip]

    def _given(self) -> LaunchInputs:
        return self.flip.changed(self.loaded.given().replace(firmware=self.files["firmware"].given()))

    def _read(self) -> None:
        with renaming(label_of):
            self.evidence = self._read_evidence()
            self._launch = self.evidence.launch
            if self.flip.choice.value == "digest":
                self.evidence = self.evidence.replace(digest=self.flip.apply(self.evidence.digest))
        self._verdict = compare_measure(self.evidence)

    def _read_evidence(self) -> Evidence:
        key = self.files["tik"].given()
        if key is None:
            raise InputError("tk", "nothing", "a path, or an upload")
        if isinstance(key, str):
            key = self.files["tik"].held = tik_of(key)
        measurement = parse_measurement(self.measurement.value, LABELS["measurement"], allow_hex=True)
        if self.flip.choice.value == "measurement":
            measurement = measurement.from_bytes(self.flip.apply(measurement.to_bytes()))
        load = functools.partial(
            load_evidence,
            measurement=measurement,
            policy=self.policy.value.strip(),
            tik=key,
            tek=self._start.tek or SecretBytes(bytes(KEY_SIZE)),
            **{name: box.value.strip() for name, box in self.numbers.items()},
        )
        inputs = self._given()
        # What the host reported is read first, by itself: what was loaded may be known by its digest alone.
        reported = load(digest=self._start.digest)
        if self._holds_launch(inputs, reported):
            return self._start.replace(**{name: getattr(reported, name) for name in (*REPORTED, "tik", "tek")})
        firmware: object = inputs.firmware
        if not isinstance(firmware, str):
            received = "nothing" if firmware is None else "a digest alone, for a launch of more than firmware"
            raise InputError("firmware", received, "a path, or an upload")
        if gone := [name for name in FILES if getattr(inputs, name) == STANDARD_INPUT]:
            received = "standard input, which can be read only once, but the launch has changed since"
            raise InputError(gone[0], received, "a path, or an upload")
        return load(**inputs.given)

    def _holds_launch(self, inputs: LaunchInputs, reported: Evidence) -> bool:
        """Whether the launch is the one the explorer was opened with, and cannot be read again."""
        if inputs.given != self._given_at_start:
            return False
        is_read_once = STANDARD_INPUT in [getattr(inputs, name) for name in FILES]
        return not self._start.inputs or (is_read_once and reported.policy.es == self._start.policy.es)

    def _show(self) -> None:
        evidence, verdict = self.evidence, self._verdict
        self.chain.value = self._chain().html()
        # The field of the message and the step of the launch that made it.
        self.frame.links = {len(self._launch.runs()): "digest"}
        self.message.show(evidence.message.spans(), compare(self._start.message, evidence.message).marked)
        computed = evidence.measurement.replace(measure=verdict.computed)
        differing = compare(evidence.measurement, computed)
        self.blob.show(evidence.measurement.spans(), differing.marked, computed.to_bytes())
        words = f"Fields that differ: {', '.join(differing.differing)}." if differing.differing else "All fields match."
        warnings = [f"WARNING: {one}" for one in verdict.warnings if one not in evidence.launch.warnings]
        of_policy = [Paragraph(one) for one in warnings if one.startswith("WARNING: policy")]
        self.policy.warning.value = status(View(*of_policy)) if of_policy else ""
        measure = f"{words} Computed measure: {hex_lines(verdict.computed, 32)}"
        others = [Paragraph(one) for one in (measure, *warnings) if not one.startswith("WARNING: policy")]
        self.comparison.value = View(*others).html()

    def _chain(self) -> View:
        """Return what was loaded, step by step, and where it diverges from the start."""
        first = compare_launch(self._start.launch, self._launch).first
        differs = [Paragraph(f"First step that differs from the start: {first}")] if first else []
        heading = Heading("What was loaded, and the launch digest after each step")
        return View(heading, *differs, self._launch.explain())

    def _answer(self) -> Banner:
        return Banner(GOOD, "green") if self._verdict.matches else Banner(BAD, "pink")

    def _details(self) -> list[Block]:
        return [self._chain(), explain_spans(self.evidence.message.spans())]


AS_AT_START = Banner("The launch digest is as at the start.", "green")
SAME, CHANGED, FOLLOWS = "as at the start", "CHANGED *", "differs because an earlier step differs"


def _state(pair: Pair) -> str:
    return SAME if pair.same else FOLLOWS if pair.kept else CHANGED


def _chain_table(header: Sequence[str], rows: list[list[str]]) -> Table:
    colours = ["pink" if cells[-1] == CHANGED else "" for cells in rows]
    return Table(header, rows, colours=colours, mono=list(range(len(header) - 1)))


class ChainExplorer(BaseExplorer):
    """One part of a launch whose inputs can be changed, and the chain of digests that follows.

    ``launch`` is the current :class:`~sevlab.launch.sev.Launch`, None while an input cannot be read. ``changed`` names
    the first step that differs from the start, "" for none.
    """

    launch, changed = unless_error("_launch"), unless_error("_changed")

    def __init__(self, start: Launch, inputs: Sequence[w.Widget], results: Sequence[w.Widget], name: str) -> None:
        self.start, self.chain = start, output("chain")
        super().__init__(name, inputs, [results[0], self.chain, *results[1:]])

    def _make(self) -> Launch:
        """Read every box and return the launch that follows; raise the first error."""
        raise NotImplementedError

    def _result(self) -> View:
        raise NotImplementedError

    def _replaced(self, old: bytes, new: bytes) -> list[Step]:
        """Return the steps of the start, those of one content with another: the part that is changed here."""
        self._part = new
        return [step._replace(content=new) if step.content == old else step for step in self.start.steps]

    def _read(self) -> None:
        self._launch = self._make()
        self._changed = compare_launch(self.start, self._launch).first

    def _show(self) -> None:
        self.chain.value = self._chain().html()
        pairs = enumerate(compare_launch(self.start, self._launch).pairs(), 1)
        self.frame.links = {row: "*" for row, pair in pairs if pair.computed.first.content == self._part}

    def _answer(self) -> Banner:
        if self._changed:
            return Banner(f"The launch digest differs from the start. First step that differs: {self._changed}", "pink")
        return AS_AT_START

    def _chain(self) -> Table:
        """Return the chain, each step marked; equal steps in a row share one line."""
        rows = []
        for pair in compare_launch(self.start, self._launch).pairs():
            run = pair.computed
            digests = hex_lines(run.first.digest, 8), hex_lines(run.after, 8)
            rows.append([run.name, run.amount, *digests, _state(pair)])
        return _chain_table(["step", "bytes", "SHA-256 of it alone", "launch digest after it", "state"], rows)

    def _details(self) -> list[Block]:
        return [self._chain(), self._result()]


#: Bytes of a digest that the table of regions shows; that of the whole launch is shown in full below it.
SHORT = 12


class SnpExplorer(BaseExplorer):
    """A SEV-SNP launch, link by link.

    *launch* are the inputs of :func:`sevlab.load_snp_launch`, which then have a box each, or a launch that was read,
    whose inputs are not known. ``launch`` is the current one, None while an input cannot be read. ``comparison`` is
    that of the launch at the start (reported) with the current one (computed). ``number`` is the box with the number
    of the link shown, from 1; ``map`` its PAGE_INFO, in which bytes are marked that differ from those of the same link
    at the start.
    """

    launch, comparison = unless_error("_launch"), unless_error("_comparison")

    def __init__(self, launch: SnpLaunch | Mapping[str, object]) -> None:
        self.firmware: FileBox | None = None
        #: Inputs without a box of their own, which stay as they are.
        self.fixed: dict[str, object] = {}
        rows: list[w.Widget] = []
        if isinstance(launch, SnpLaunch):
            self.start = launch
        else:
            with renaming(label_of):
                self.start = load_snp_launch(**launch)
                rows = self._build_inputs(LaunchInputs(**launch))  # type: ignore[arg-type]
        self.chain, self.link = output("chain"), output("link")
        # A box of text, not a slider or a button: keys that are pressed in it are no shortcuts of the notebook.
        self.number, self._number = NumberBox("Link", 1, 1, 1, style=STYLE), 1
        self.region = choice("Region", [""], width="34em")
        self.map = ByteMap("PAGE_INFO", [], mark_meaning="* marks bytes that differ from this link at the start.")
        super().__init__("snp-explorer", rows, [self.chain, row(self.number, self.region), self.link, self.map])
        self.number.observe(self._step, "value")
        self.region.observe(self._jump, "value")
        self._watch(*((*self.loaded.boxes, *self.flip.boxes) if self.loaded else ()))

    def _build_inputs(self, inputs: LaunchInputs) -> list[w.Widget]:
        if inputs.cpu_signature is not None:
            numbers = split_signature(parse_number(inputs.cpu_signature, "cpu_signature", 0xFFFFFFFF))
            sku = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), numbers, strict=True))
            inputs = inputs.replace(cpu_signature=None, **sku)
        self.fixed = {name: value for name, value in inputs.given.items() if name not in LABELS}
        act = self.refresh, self._fail
        self.firmware = FileBox(LABELS["firmware"], str(inputs.firmware), UPLOAD_FIRMWARE, *act)
        title = "What else is loaded: kernel, initrd and command line; virtual CPUs"
        default, features = SVSM_PROFILE if inputs.svsm is not None else DEFAULT_PROFILE, "(profile)"
        self.loaded = LaunchBox(inputs, *act, profiles=SNP_PROFILES, default=default, features=features, title=title)
        self.flip = FlipBox()
        self._files = [self.firmware, *self.loaded.files.values(), self.flip]
        also = [w.HTML(Paragraph(f"Also given, and kept: {', '.join(self.fixed)}.").html())] if self.fixed else []
        return [self.firmware, self.loaded, self.flip, *also]

    def _read(self) -> None:
        launch = self.start
        if self.firmware is not None and self.loaded is not None:
            with renaming(label_of):
                if (firmware := self.firmware.given()) is None:
                    raise InputError("firmware", "nothing", "a path, or an upload")
                inputs = self.flip.changed(self.loaded.given().replace(firmware=firmware, **self.fixed))
                launch = load_snp_launch(**inputs.given)
        self._launch, self._comparison = launch, LaunchComparison(self.start, launch)

    def _show(self) -> None:
        self.chain.value = self._chain().html()
        with self.settling():
            self.number.limit(max(1, self._launch.pages))
            self.number.disabled = not self._launch.pages
            if self._comparison.number is not None:
                self.number.value = min(self._comparison.number + 1, self.number.max)
            first, options = 1, []
            for region in self._launch.regions:
                options.append((f"{region.name}, from link {first}", first))
                first += len(region.contents)
            self.region.options = options or [("(none)", 0)]
        self._show_link()

    def _step(self, change: object) -> None:
        if not self._settling and not self.error:
            self._show_link()

    def _jump(self, change: object) -> None:
        if not self._settling and self.region.value:
            self.number.value = self.region.value

    @property
    def shown(self) -> Link | None:
        """The link that is shown; None while there is none."""
        if self.error or not self._number:
            return None
        return next(islice(self._launch.links(), self._number - 1, None), None)

    def _show_link(self) -> None:
        self.link.value, self.map.title = "", "PAGE_INFO"
        self._number = self._choice_of(self.number, self.link)
        if (link := self.shown) is None:
            self.map.show([])
            return
        with self.settling():
            firsts = [first for _, first in self.region.options if first <= self._number]
            self.region.value = firsts[-1]
        # The link's region, and the one that made the digest before it.
        before = len(firsts) - (self._number == firsts[-1])
        self.frame.links = {before: "digest_cur", len(firsts): "*"}
        self.link.value = View(*self._words(link)).html()
        info, differing = self._info()
        self.map.title = f"PAGE_INFO of link {self._number}: {link.name}"
        self.map.show(info.spans(), differing.marked)

    def _words(self, link: Link) -> list[Block]:
        return [
            Heading(f"Link {self._number}: {link.name}"),
            Paragraph(f"SHA-384 of the {PageInfo.size} bytes below is the digest after it: {link.digest.hex()}"),
        ]

    def _info(self) -> tuple[PageInfo, Comparison]:
        """Return PAGE_INFO of the link that is shown, and how it differs from the same link at the start."""
        info, was = (_page_info(one, self._number) for one in (self._launch, self.start))
        assert info is not None
        return info, compare(was or info, info)

    def _answer(self) -> Banner:
        if self._comparison.matches:
            return AS_AT_START
        return Banner(f"The launch digest differs from the start. {self._comparison.words}", "pink")

    def _chain(self) -> View:
        """Return the chain region by region, each marked, and the launch digest."""
        rows, first = [], 1
        for pair in self._comparison.pairs():
            if pair.computed is None:
                continue
            region, after = pair.computed
            last = first + len(region.contents) - 1
            links = str(first) if first == last else f"{first} to {last}"
            digest = f"{hex_lines(after[:SHORT], SHORT)} ..."
            rows.append([links, region.name, place(region), region.type_name, digest, _state(pair)])
            first = last + 1
        return View(
            _chain_table(["links", "what", "guest address", "type", "launch digest after it", "state"], rows),
            *(Paragraph(line) for line in self._launch.remarks),
            Paragraph(f"Launch digest: {self._launch.digest.hex()}"),
        )

    def _details(self) -> list[Block]:
        link = self.shown
        if link is None:
            return [self._chain()]
        info, compared = self._info()
        differ = ", ".join(compared.differing)
        words = [Paragraph(f"Not as in this link at the start: {differ}.")] if differ else []
        return [self._chain(), *self._words(link), *words, legend(info.spans())]


def _page_info(launch: SnpLaunch, number: int) -> PageInfo | None:
    """Return PAGE_INFO of a link by its number, from 1; None beyond the last."""
    links = list(islice(launch.links(), number))
    if len(links) < number:
        return None
    digest = links[-2].digest if number > 1 else launch.start
    info: PageInfo = links[-1].region.info(links[-1].number, digest)
    return info
