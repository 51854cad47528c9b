"""The explorer: every input of a launch in a box, every consequence beside it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import ipywidgets as w

from ..errors import InputError, SevlabError, renaming
from ..evidence import REPORTED, Evidence, load_evidence
from ..inputs import KEY_SIZE, load_key, parse_measurement
from ..keys import Secret
from ..launch import FILES, compare_launch
from ..layout.bytemap import explain_spans
from ..layout.structure import compare
from ..layout.views import Banner, Heading, Paragraph, View
from ..verify import BAD, GOOD, Verdict, compare_measure
from . import launch
from .bytemap import ByteMap, with_static
from .filebox import STANDARD_INPUT, STYLE, UPLOAD_LIMIT, WIDE, FileBox
from .launch import LaunchBox
from .policy import PolicyBox

if TYPE_CHECKING:
    from typing import Any

LABELS = {
    "measurement": "Measurement",
    "api_major": "API major",
    "api_minor": "API minor",
    "build_id": "Build",
    "policy": "Policy",
    "firmware": "Firmware",
    "tik": "Key file",
    **launch.LABELS,
}


class Explorer(w.VBox):
    """A launch whose every input can be changed.

    ``verdict`` is the current :class:`~sevlab.verify.Verdict`, None while an input cannot be read; ``error`` is then
    the sentence that says why. ``evidence`` is the last evidence that could be read; what was uploaded is a file of it
    as long as the kernel runs. A byte marked ``*`` differs from the evidence the explorer was opened with.
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
        self.loaded = LaunchBox(evidence.inputs, self.refresh, self._fail)
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
        if isinstance(error, InputError) and error.input in launch.LABELS.values():
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
