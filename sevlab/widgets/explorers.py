"""The explorer: every input of a launch in a box, every consequence beside it."""

from __future__ import annotations

import base64
import hashlib
from itertools import islice
from typing import TYPE_CHECKING

import ipywidgets as w

from ..errors import InputError, SevlabError, renaming
from ..formats.kernel_hashes import KernelHashes, hash_cmdline
from ..formats.page_info import PageInfo
from ..launch.compare import LaunchComparison, compare_launch
from ..launch.cpu import split_signature
from ..launch.evidence import REPORTED, Evidence, load_evidence
from ..launch.files import BLOB_LIMIT, load_hashed
from ..launch.inputs import FILES
from ..launch.keys import Secret
from ..launch.sev import Hashed, Launch, Step
from ..launch.snp import DEFAULT_PROFILE, SVSM_PROFILE, SnpLaunch, load_snp_launch, place
from ..launch.values import KEY_SIZE, load_key, parse_measurement, parse_number
from ..launch.verify import BAD, GOOD, Verdict, compare_measure
from ..launch.vmm import SNP_PROFILES
from ..layout.bytemap import explain_spans, legend
from ..layout.structure import compare
from ..layout.views import Banner, Heading, Paragraph, Table, View, hex_lines
from .boxes import LAUNCH_LABELS, STANDARD_INPUT, STYLE, UPLOAD_LIMIT, WIDE, FileBox, LaunchBox, PolicyBox
from .bytemap import ByteMap, StaticBox, with_static

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..launch.pages import Link


LABELS = {
    "measurement": "Measurement",
    "api_major": "API major",
    "api_minor": "API minor",
    "build_id": "Build",
    "policy": "Policy",
    "firmware": "Firmware",
    "tik": "Key file",
    **LAUNCH_LABELS,
}


class Explorer(w.VBox):
    """A launch whose every input can be changed.

    ``verdict`` is the current :class:`~sevlab.launch.verify.Verdict`, None while an input cannot be read; ``error`` is
    then the sentence that says why. ``evidence`` is the last evidence that could be read; what was uploaded is a file
    of it as long as the kernel runs. A byte marked ``*`` differs from the evidence the explorer was opened with.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = self._start = evidence
        self.verdict: Verdict | None = None
        self.error = ""
        self._build_inputs()
        self.banner = w.HTML()
        self.banner.add_class("sevlab-verdict")
        self.alert = w.HTML()
        self.alert.add_class("sevlab-error")
        self.chain = w.HTML()
        self.chain.add_class("sevlab-loaded")
        self.comparison = w.HTML()
        self.comparison.add_class("sevlab-comparison")
        self.message = ByteMap("The message under the HMAC: 56 bytes", evidence.message.spans())
        self.blob = ByteMap("The measurement the host reported: 48 bytes", evidence.measurement.spans())
        super().__init__(
            [
                *self._rows,
                self.alert,
                self.banner,
                self.chain,
                self.message,
                self.blob,
                self.comparison,
            ]
        )
        self.add_class("sevlab-explorer")
        self.refresh()

    def _build_inputs(self) -> None:
        evidence = self.evidence

        self.measurement = w.Textarea(
            value=base64.b64encode(evidence.measurement.to_bytes()).decode(),
            description=LABELS["measurement"],
            placeholder="base64 (64 characters, line breaks are fine) or hex (96 digits)",
            continuous_update=False,
            layout=w.Layout(height="4em", **WIDE),
            style=STYLE,
        )
        self.numbers = {
            name: w.Text(
                value=str(getattr(evidence, name)),
                description=LABELS[name],
                continuous_update=False,
                layout=w.Layout(width="14em"),
                style=STYLE,
            )
            for name in ("api_major", "api_minor", "build_id")
        }
        self.policy = PolicyBox(evidence.policy)
        self.policy.number.style = STYLE
        for box in (self.measurement, self.policy, *self.numbers.values()):
            box.observe(self.refresh, "value")
        files = evidence.files
        #: What else is loaded, and the two files that every launch has.
        self.loaded = LaunchBox({} if evidence.inputs is None else evidence.inputs.given, self.refresh, self._fail)
        self.files = {
            "firmware": FileBox(
                LABELS["firmware"],
                files.get("firmware", ""),
                f"Upload firmware (up to {UPLOAD_LIMIT >> 20} MiB)",
                self.refresh,
                self._fail,
                held=None if evidence.inputs else evidence.digest,
            ),
            "tik": FileBox(
                LABELS["tik"],
                files.get("tk", files.get("tik", "")),
                "Upload key (16 bytes TIK, or 32 bytes TEK and TIK)",
                self.refresh,
                self._fail,
                keep=_tik,
                held=evidence.tik,
            ),
        }
        self.paths = {name: box.text for name, box in self.files.items()}
        self.uploads = {name: box.upload for name, box in self.files.items()}
        self._given_at_start = self._given()
        self._rows = [
            self.measurement,
            w.HBox(list(self.numbers.values()), layout=w.Layout(flex_flow="row wrap")),
            self.policy,
            *self.files.values(),
            self.loaded,
        ]

    def _given(self) -> dict[str, Any]:
        """Return the inputs of the launch, as they stand in their boxes."""
        firmware = self.files["firmware"].given()
        return {"firmware": firmware, **self.loaded.given()}

    def _read(self) -> Evidence:
        """Read every box; raise the first error."""
        key, box = self.files["tik"].given(), self.files["tik"]
        if key is None:
            raise InputError(LABELS["tik"], "nothing", "a path, or an upload")
        if isinstance(key, str):
            key = box.held = _load_tik(key)
        reported: dict[str, Any] = {
            "measurement": parse_measurement(self.measurement.value, LABELS["measurement"], allow_hex=True),
            **{name: box.value.strip() for name, box in self.numbers.items()},
            "policy": self.policy.value,
            "tik": key,
            "tek": self._start.tek or Secret(bytes(KEY_SIZE)),
        }
        given = self._given()
        # What is said about the host is read first, and by itself: what was loaded may be known by its digest alone.
        with renaming(_name):
            read = load_evidence(digest=self._start.digest, **reported)
        if self._holds_launch(given, read):
            return self._start.replace(**{name: getattr(read, name) for name in (*REPORTED, "tik", "tek")})
        if not isinstance(given["firmware"], str):
            received = "nothing" if given["firmware"] is None else "a digest alone, for a launch of more than firmware"
            raise InputError(LABELS["firmware"], received, "a path, or an upload")
        if gone := [name for name in FILES if given.get(name) == STANDARD_INPUT]:
            received = "standard input, which can be read only once, for a launch that is another one now"
            raise InputError(LABELS[gone[0]], received, "a path, or an upload")
        with renaming(_name):
            return load_evidence(**reported, **given)

    def _holds_launch(self, given: dict[str, Any], read: Evidence) -> bool:
        """Say whether the launch is the one the explorer was opened with, and cannot be read again."""
        if given != self._given_at_start:
            return False
        is_read_once = STANDARD_INPUT in [given.get(name) for name in FILES]
        return not self._start.inputs or (is_read_once and read.policy.es == self._start.policy.es)

    def refresh(self, change: Any = None) -> None:
        """Read every box again and show what follows."""
        try:
            evidence = self._read()
        except SevlabError as error:
            self._fail(error)
            return
        self.error, self.evidence, self.verdict = "", evidence, compare_measure(evidence)
        self.alert.value = ""
        verdict = self.verdict
        self.chain.value = self._chain().html()
        self.message.show(evidence.message.spans(), compare(self._start.message, evidence.message).marked)
        self.blob.show(evidence.measurement.spans(), compare(self._start.measurement, evidence.measurement).marked)
        computed = evidence.measurement.replace(measure=verdict.computed)
        told = [warning for warning in verdict.warnings if warning not in evidence.launch.warnings]
        warnings = [Paragraph(f"WARNING: {warning}") for warning in told]
        self.comparison.value = View(compare(evidence.measurement, computed).explain(), *warnings).html()
        self.banner.value = _spoken(self._banner())  # last: what it speaks of is there

    def _fail(self, error: SevlabError) -> None:
        """Say what is wrong with an input, and take back the verdict: an old one would be a wrong one."""
        self.error, self.verdict = str(error), None
        for box in (*self.files.values(), *self.loaded.files.values()):
            self.error = box.hide_folder(self.error)
        if isinstance(error, InputError) and error.input in LAUNCH_LABELS.values():
            self.loaded.selected_index = 0  # where the box is that has to be mended
        self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>'
        self.comparison.value = self.chain.value = ""
        self.banner.value = _spoken(self._banner())

    def _chain(self) -> View:
        """Return what was loaded, step by step, and where that parts from the start."""
        first = compare_launch(self._start.launch, self.evidence.launch).first
        return View(
            Heading("What was loaded, and the launch digest after each step"),
            *([Paragraph(f"First step that differs from the start: {first}")] if first else []),
            self.evidence.launch.explain(),
        )

    def _banner(self) -> Banner:
        if self.verdict is None:
            return Banner(
                "CANNOT TELL: an input cannot be read, see above. Explainable below: the last that could be.", "grey"
            )
        return Banner(GOOD, "green") if self.verdict.matches else Banner(BAD, "pink")

    def static(self) -> View:
        """Return what is shown now, without the inputs, for where widgets do not run."""
        chain = [self._chain()] if self.verdict else []
        return View(self._banner(), *chain, explain_spans(self.evidence.message.spans()))

    def __repr__(self) -> str:
        return self.static().text()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_static(super()._repr_mimebundle_(**kwargs), repr(self), self.static().html())


def _spoken(banner: Banner) -> str:
    """Return a banner that a screen reader reads out when it changes."""
    return f'<div role="status">{banner.html()}</div>'


def _name(name: str) -> str:
    """Return what the boxes call an input."""
    return LABELS.get(name, name)


def _tik(raw: bytes) -> Secret:
    """Take the TIK from uploaded bytes: 16 are the TIK, 32 are TEK and then TIK."""
    key, raw = Secret(raw), b""
    if len(key) not in (KEY_SIZE, 2 * KEY_SIZE):
        raise InputError(LABELS["tik"], f"an upload of {len(key)} bytes", "16 raw bytes (TIK) or 32 (TEK, then TIK)")
    return key.part(-KEY_SIZE)


def _load_tik(path: str) -> Secret:
    """Read the TIK from a file of 16 bytes (TIK) or 32 (TEK, then TIK)."""
    try:
        return load_key(path, LABELS["tik"], 2 * KEY_SIZE).part(KEY_SIZE)
    except InputError:
        return load_key(path, LABELS["tik"])


CHAIN_STYLE = {"description_width": "8em"}

SAME, CHANGED, FOLLOWS = "as at the start", "CHANGED *", "differs because an earlier step differs"


class ChainExplorer(StaticBox):
    """One part of a launch whose inputs can be changed, and the chain of digests that follows.

    ``launch`` is the current :class:`~sevlab.launch.sev.Launch`, None while an input cannot be read; ``error`` is then
    the sentence that says why. ``changed`` names the first step that differs from the start, "" for none.
    """

    def __init__(self, start: Launch, inputs: Sequence[w.Widget], results: Sequence[w.Widget], name: str) -> None:
        self.start = start
        self.launch: Launch | None = None
        self.error = self.changed = ""
        self.alert, self.banner, self.chain = w.HTML(), w.HTML(), w.HTML()
        for box, what in ((self.alert, "error"), (self.banner, "banner"), (self.chain, "chain")):
            box.add_class(f"sevlab-{what}")
        super().__init__([*inputs, self.alert, self.banner, self.chain, *results])
        self.add_class(name)

    def read(self) -> Launch:
        """Read every box and return the launch that follows; raise the first error."""
        raise NotImplementedError

    def show(self) -> None:
        """Show what was read."""
        raise NotImplementedError

    def clear(self) -> None:
        """Show nothing that was computed: it would be of other inputs."""
        raise NotImplementedError

    def result(self) -> View:
        """Return what was read, for where widgets do not run."""
        raise NotImplementedError

    def refresh(self, change: Any = None) -> None:
        """Read every box again and show what follows. After an error nothing that was computed before stays."""
        try:
            self.launch, self.error = self.read(), ""
        except SevlabError as error:
            self.launch, self.error = None, str(error)
        self.changed = compare_launch(self.start, self.launch).first if self.launch else ""
        self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>' if self.error else ""
        self.chain.value = self._chain(self.launch).html() if self.launch else ""
        if self.launch:
            self.show()
        else:
            self.clear()
        self.banner.value = f'<div role="status">{self._banner().html()}</div>'  # last: what it speaks of is there

    def _banner(self) -> Banner:
        if self.launch is None:
            return Banner("CANNOT TELL: an input cannot be read, see above.", "grey")
        if self.changed:
            return Banner(f"The launch digest differs from the start. First step that differs: {self.changed}", "pink")
        return Banner("The launch digest is as at the start.", "green")

    def _chain(self, launch: Launch) -> Table:
        """Return the chain, each step marked; equal steps in a row share one line."""
        rows = []
        for pair in compare_launch(self.start, launch).pairs():
            run, state = pair.computed, SAME if pair.same else FOLLOWS if pair.kept else CHANGED
            rows.append([run.name, run.amount, hex_lines(run.first.digest, 8), hex_lines(run.after, 8), state])
        header = ["step", "bytes", "SHA-256 of it alone", "launch digest after it", "state"]
        return Table(header, rows, colours=["pink" if row[4] == CHANGED else "" for row in rows], mono=[0, 1, 2, 3])

    def static(self) -> View:
        if self.launch is None:
            return View(Banner(self.error, "orange"), self._banner())
        return View(self._banner(), self._chain(self.launch), self.result())


def text_box(label: str, value: str, **more: Any) -> w.Text:
    """Return a labelled box whose value counts when it is left or Enter is pressed."""
    layout = w.Layout(width=more.pop("width", "14em"))
    return w.Text(value=value, description=label, continuous_update=False, layout=layout, style=CHAIN_STYLE, **more)


TABLE_LABELS = {"firmware": "Firmware", "kernel": "Kernel", "initrd": "Initrd", "cmdline": "Command line"}

STEP = "kernel hashes"


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
        self._at_start = {"firmware": firmware, "kernel": kernel, "initrd": initrd, "cmdline": cmdline}
        kept = {"firmware": "(as in the launch given)", "initrd": "(no initrd)" if initrd else "(as in the table)"}
        self.boxes: dict[str, w.Text | w.Textarea] = {
            name: text_box(TABLE_LABELS[name], value, width="46em", placeholder=kept.get(name, "(as in the table)"))
            for name, value in self._at_start.items()
            if name != "cmdline"
        }
        # Of several lines, so that a line break at the end can be typed, and seen.
        self.boxes["cmdline"] = w.Textarea(
            value=cmdline,
            description=TABLE_LABELS["cmdline"],
            continuous_update=False,
            layout=w.Layout(width="46em", height="4em"),
            style=CHAIN_STYLE,
        )
        self.map = ByteMap("The kernel-hashes table: 176 bytes", table.spans())
        steps = launch.steps if launch else (Step(STEP, table.to_bytes(), "The table."),)
        if firmware and not launch:
            steps = (Step("firmware", load_hashed(firmware, TABLE_LABELS["firmware"]), "The firmware image."), *steps)
        if table.to_bytes() not in [step.content for step in steps]:
            raise InputError("launch", "one without this table", "the launch that the table belongs to")
        super().__init__(Launch(steps), list(self.boxes.values()), [self.map], "sevlab-table-explorer")
        for box in self.boxes.values():
            box.observe(self.refresh, "value")
        self.refresh()

    def read(self) -> Launch:
        """Read every box, the files too."""
        at_start = self._given
        # Whatever else is in the table that was given, such as a wrong length, stays in it.
        self.table = at_start.replace(
            kernel=at_start.kernel if self._keeps("kernel") else self._file("kernel").digest,
            initrd=at_start.initrd if self._keeps("initrd") else self._initrd(),
            cmdline=at_start.cmdline if self._keeps("cmdline") else _cmdline(self.boxes["cmdline"].value),
        )
        steps = [
            step._replace(content=self.table.to_bytes()) if step.content == at_start.to_bytes() else step
            for step in self.start.steps
        ]
        if not self._keeps("firmware"):
            if steps[0].name != "firmware":
                advice = "give explore the launch, or a firmware"
                raise InputError(
                    TABLE_LABELS["firmware"], "a file", "an empty box, for a table without a launch", advice
                )
            steps[0] = steps[0]._replace(content=self._file("firmware"))
        return Launch(steps)

    def _keeps(self, name: str) -> bool:
        """Say whether a box was empty at the start and still is."""
        return not self._at_start[name] and not self.boxes[name].value

    def _file(self, name: str) -> Hashed:
        path = self.boxes[name].value.strip()
        if not path or path == "-":
            raise InputError(TABLE_LABELS[name], repr(path) if path else "nothing", "a path")
        if name == "firmware":
            return load_hashed(path, TABLE_LABELS[name])
        return load_hashed(path, TABLE_LABELS[name], limit=BLOB_LIMIT, empty=name == "initrd")

    def _initrd(self) -> bytes:
        return self._file("initrd").digest if self.boxes["initrd"].value.strip() else hashlib.sha256(b"").digest()

    def show(self) -> None:
        """Show the table, and which of its bytes differ."""
        self.map.show(self.table.spans(), self._marked())

    def clear(self) -> None:
        """Show no bytes."""
        self.map.show([])

    def _marked(self) -> list[int]:
        return compare(self._given, self.table).marked

    def result(self) -> View:
        """Return the table byte by byte."""
        return explain_spans(self.table.spans(), self._marked())


def _cmdline(text: str) -> bytes:
    try:
        return hash_cmdline(text)
    except InputError as error:
        raise InputError(TABLE_LABELS["cmdline"], error.received, error.needed, error.advice) from None


SNP_LABELS = {"firmware": "Firmware", **LAUNCH_LABELS}

TITLE = "What else is loaded: kernel, initrd and command line; virtual CPUs"

#: Bytes of a digest that the table of regions shows; that of the whole launch is shown in full below it.
_SHOWN = 12


class SnpExplorer(w.VBox):
    """A SEV-SNP launch, link by link.

    *launch* are the inputs of :func:`sevlab.load_snp_launch`, which then have a box each, or a launch that was read,
    whose inputs are not known. ``launch`` is the current one, None while an input cannot be read; ``error`` is then the
    sentence that says why. ``comparison`` is that of the launch at the start (reported) with the current one
    (computed). ``number`` is the box with the number of the link shown, from 1; ``map`` its PAGE_INFO, in which bytes
    are marked that differ from those of the same link at the start.
    """

    def __init__(self, launch: SnpLaunch | Mapping[str, Any]) -> None:
        self.launch: SnpLaunch | None = None
        self.comparison: LaunchComparison | None = None
        self.error = ""
        self._settling = False
        self.firmware: FileBox | None = None
        self.loaded: LaunchBox | None = None
        #: Inputs without a box of their own, which stay as they are.
        self.fixed: dict[str, Any] = {}
        if isinstance(launch, SnpLaunch):
            self.start, rows = launch, []
        else:
            with renaming(_snp_name):
                self.start, rows = load_snp_launch(**launch), self._build_inputs(dict(launch))
        self.alert, self.banner, self.chain, self.link = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        for box, what in (
            *((self.alert, "error"), (self.banner, "banner")),
            *((self.chain, "chain"), (self.link, "link")),
        ):
            box.add_class(f"sevlab-{what}")
        # A box of text, not a slider or a button: keys that are pressed in it are no shortcuts of the notebook.
        self.number = w.BoundedIntText(
            value=1, min=1, max=1, description="Link", layout=w.Layout(width="14em"), style=STYLE
        )
        self.region = w.Dropdown(options=[""], description="Region", layout=w.Layout(width="34em"), style=STYLE)
        self.map = ByteMap("PAGE_INFO", [], mark_meaning="* marks bytes that differ from this link at the start.")
        steps = w.HBox([self.number, self.region], layout=w.Layout(flex_flow="row wrap"))
        super().__init__([*rows, self.alert, self.banner, self.chain, steps, self.link, self.map])
        self.add_class("sevlab-snp-explorer")
        self.number.observe(self._step, "value")
        self.region.observe(self._jump, "value")
        self.refresh()

    def _build_inputs(self, inputs: dict[str, Any]) -> list[w.Widget]:
        if inputs.get("cpu_signature") is not None:
            numbers = split_signature(parse_number(inputs.pop("cpu_signature"), "cpu_signature", 0xFFFFFFFF))
            inputs |= zip(("cpu_family", "cpu_model", "cpu_stepping"), numbers, strict=True)
        inputs = {name: value for name, value in inputs.items() if value is not None}
        self.fixed = {name: value for name, value in inputs.items() if name not in SNP_LABELS}
        upload = f"Upload firmware (up to {UPLOAD_LIMIT >> 20} MiB)"
        self.firmware = FileBox(SNP_LABELS["firmware"], str(inputs["firmware"]), upload, self.refresh, self._fail)
        self.loaded = LaunchBox(
            inputs,
            self.refresh,
            self._fail,
            profiles=SNP_PROFILES,
            default=SVSM_PROFILE if "svsm" in inputs else DEFAULT_PROFILE,
            features="(profile)",
            title=TITLE,
        )
        also = [w.HTML(Paragraph(f"Also given, and kept: {', '.join(self.fixed)}.").html())] if self.fixed else []
        return [self.firmware, self.loaded, *also]

    def _read(self) -> SnpLaunch:
        if self.firmware is None or self.loaded is None:
            return self.start
        firmware = self.firmware.given()
        if firmware is None:
            raise InputError(SNP_LABELS["firmware"], "nothing", "a path, or an upload")
        with renaming(_snp_name):
            return load_snp_launch(firmware=firmware, **self.loaded.given(), **self.fixed)

    def refresh(self, change: Any = None) -> None:
        """Read every box again and show what follows, at the first link that differs."""
        try:
            launch = self._read()
        except SevlabError as error:
            self._fail(error)
            return
        self.launch, self.error, self.alert.value = launch, "", ""
        self.comparison = LaunchComparison(self.start, launch)
        self.chain.value = self._chain().html()
        self._settling = True
        self.number.max, self.number.disabled = max(1, launch.pages), not launch.pages
        if self.comparison.number is not None:
            self.number.value = min(self.comparison.number + 1, self.number.max)
        first, options = 1, []
        for region in launch.regions:
            options.append((f"{region.name}, from link {first}", first))
            first += len(region.contents)
        self.region.options = options or [("(none)", 0)]
        self._settling = False
        self._show_link()
        self.banner.value = f'<div role="status">{self._banner().html()}</div>'  # last: what it speaks of is there

    def _fail(self, error: SevlabError) -> None:
        """Say what is wrong with an input, and take back what was computed: it would be of other inputs."""
        self.error, self.launch, self.comparison = str(error), None, None
        if self.firmware is not None and self.loaded is not None:
            for box in (self.firmware, *self.loaded.files.values()):
                self.error = box.hide_folder(self.error)
            if isinstance(error, InputError) and error.input in LAUNCH_LABELS.values():
                self.loaded.selected_index = 0  # where the box is that has to be mended
        self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>'
        self.chain.value = self.link.value = ""
        self.map.show([])
        self.banner.value = f'<div role="status">{self._banner().html()}</div>'

    def _step(self, change: Any) -> None:
        if not self._settling:
            self._show_link()

    def _jump(self, change: Any) -> None:
        if not self._settling and self.region.value:
            self.number.value = self.region.value

    @property
    def shown(self) -> Link | None:
        """The link that is shown; None while there is none."""
        return _link(self.launch, self.number.value) if self.launch else None

    def _show_link(self) -> None:
        link = self.shown
        if link is None:
            self.link.value = ""
            self.map.show([])
            return
        inside = [first for _, first in self.region.options if first <= self.number.value]
        self._settling = True
        self.region.value = inside[-1]
        self._settling = False
        self.link.value = View(*self._words(link)).html()
        info, marked = self._info()
        self.map.title = f"PAGE_INFO of link {self.number.value}: {link.name}"
        self.map.show(info.spans(), marked)

    def _words(self, link: Link) -> list[Any]:
        return [
            Heading(f"Link {self.number.value}: {link.name}"),
            Paragraph(f"SHA-384 of the {PageInfo.size} bytes below is the digest after it: {link.digest.hex()}"),
        ]

    def _info(self) -> tuple[PageInfo, list[int]]:
        """Return PAGE_INFO of the link that is shown, and the offsets that differ from the same link at the start."""
        assert self.launch is not None
        number = self.number.value
        info, was = (_info(one, number) for one in (self.launch, self.start))
        assert info is not None
        return info, [] if was is None else list(compare(was, info).marked)

    def _banner(self) -> Banner:
        if self.comparison is None:
            return Banner("CANNOT TELL: an input cannot be read, see above.", "grey")
        if self.comparison.matches:
            return Banner("The launch digest is as at the start.", "green")
        return Banner(f"The launch digest differs from the start. {self.comparison.words}", "pink")

    def _chain(self) -> View:
        """Return the chain region by region, each marked, and the launch digest."""
        assert self.comparison is not None
        assert self.launch is not None
        rows, first = [], 1
        for pair in self.comparison.pairs():
            if pair.computed is None:
                continue
            region, after = pair.computed
            state = SAME if pair.same else FOLLOWS if pair.kept else CHANGED
            links = str(first) if len(region.contents) == 1 else f"{first} to {first + len(region.contents) - 1}"
            digest = f"{hex_lines(after[:_SHOWN], _SHOWN)} ..."
            rows.append([links, region.name, place(region), region.type_name, digest, state])
            first += len(region.contents)
        header = ["links", "what", "guest address", "type", "launch digest after it", "state"]
        colours = ["pink" if row[-1] == CHANGED else "" for row in rows]
        return View(
            Table(header, rows, colours=colours, mono=[0, 1, 2, 3, 4]),
            *(Paragraph(line) for line in self.launch.remarks),
            Paragraph(f"Launch digest: {self.launch.digest.hex()}"),
        )

    def static(self) -> View:
        """Return what is shown now, without the inputs, for where widgets do not run."""
        if self.launch is None:
            return View(Banner(self.error, "orange"), self._banner())
        link = self.shown
        if link is None:
            return View(self._banner(), self._chain())
        info, marked = self._info()
        differ = [span.name for span in info.spans() if set(marked) & set(range(span.offset, span.offset + span.size))]
        words = [Paragraph(f"Not as in this link at the start: {', '.join(differ)}.")] if differ else []
        return View(self._banner(), self._chain(), *self._words(link), *words, legend(info.spans()))

    def __repr__(self) -> str:
        return self.static().text()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_static(super()._repr_mimebundle_(**kwargs), repr(self), self.static().html())


def _snp_name(name: str) -> str:
    """Return what the boxes call an input."""
    return SNP_LABELS.get(name, name)


def _link(launch: SnpLaunch, number: int) -> Link | None:
    """Return a link by its number, from 1; None beyond the last."""
    return next(islice(launch.links(), number - 1, None), None)


def _info(launch: SnpLaunch, number: int) -> PageInfo | None:
    """Return PAGE_INFO of a link by its number, from 1; None beyond the last."""
    link = _link(launch, number)
    if link is None:
        return None
    before = _link(launch, number - 1) if number > 1 else None
    info: PageInfo = link.region.info(link.number, launch.start if before is None else before.digest)
    return info
