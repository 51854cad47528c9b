"""A SEV-SNP launch, alive: change any input, see at which link the chain parts, and step through its links."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import ipywidgets as w

from ..cpu import split_signature
from ..errors import InputError, SevlabError, renaming
from ..formats.page_info import PageInfo
from ..inputs import parse_number
from ..layout.bytemap import legend
from ..layout.structure import compare
from ..layout.views import Banner, Heading, Paragraph, Table, View, hex_lines
from ..profiles import SNP_PROFILES
from ..snp import SnpComparison, SnpLaunch, load_snp_launch
from ..snp.launch import place
from ..snp.load import DEFAULT_PROFILE, SVSM_PROFILE
from . import launch
from .bytemap import ByteMap, with_static
from .chain import CHANGED, FOLLOWS, SAME
from .filebox import STYLE, UPLOAD_LIMIT, FileBox
from .launch import LaunchBox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..snp import Link

LABELS = {"firmware": "Firmware", **launch.LABELS}
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
        self.comparison: SnpComparison | None = None
        self.error = ""
        self._settling = False
        self.firmware: FileBox | None = None
        self.loaded: LaunchBox | None = None
        #: Inputs without a box of their own, which stay as they are.
        self.fixed: dict[str, Any] = {}
        if isinstance(launch, SnpLaunch):
            self.start, rows = launch, []
        else:
            with renaming(_name):
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
        self.fixed = {name: value for name, value in inputs.items() if name not in LABELS}
        upload = f"Upload firmware (up to {UPLOAD_LIMIT >> 20} MiB)"
        self.firmware = FileBox(LABELS["firmware"], str(inputs["firmware"]), upload, self.refresh, self._fail)
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
            raise InputError(LABELS["firmware"], "nothing", "a path, or an upload")
        with renaming(_name):
            return load_snp_launch(firmware=firmware, **self.loaded.given(), **self.fixed)

    def refresh(self, change: Any = None) -> None:
        """Read every box again and show what follows, at the first link that differs."""
        try:
            launch = self._read()
        except SevlabError as error:
            self._fail(error)
            return
        self.launch, self.error, self.alert.value = launch, "", ""
        self.comparison = SnpComparison(self.start, launch)
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
            if isinstance(error, InputError) and error.input in launch.LABELS.values():
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


def _name(name: str) -> str:
    """Return what the boxes call an input."""
    return LABELS.get(name, name)


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
