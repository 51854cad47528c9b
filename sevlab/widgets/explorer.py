"""The explorer: every input of a launch in a box, every consequence beside it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import ipywidgets as w

from ..digest import compute_digest
from ..errors import InputError, SevlabError
from ..evidence import Evidence, load_evidence
from ..inputs import KEY_SIZE, load_key, parse_measurement
from ..keys import Secret
from ..layout.diff import compare
from ..layout.explain import explain_spans
from ..layout.page import Banner, Paragraph, View
from ..verify import BAD, GOOD, Verdict, compare_measure
from .bytemap import ByteMap, with_static
from .policy import PolicyBox

if TYPE_CHECKING:
    from typing import Any

#: JupyterLab drops the connection, without a word, when an upload is larger.
UPLOAD_LIMIT = 9 << 20
LABELS = {
    "measurement": "Measurement",
    "api_major": "API major",
    "api_minor": "API minor",
    "build_id": "Build",
    "policy": "Policy",
    "firmware": "Firmware",
    "tik": "Key file",
}
_WIDE = {"width": "46em"}
_STYLE = {"description_width": "7em"}


class Explorer(w.VBox):
    """A launch whose every input can be changed.

    ``verdict`` is the current :class:`~sevlab.verify.Verdict`, None while an input cannot be read; ``error`` is then
    the sentence that says why. ``evidence`` is the last evidence that could be read. A byte marked ``*`` differs from
    the evidence the explorer was opened with.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = self._start = evidence
        self.verdict: Verdict | None = None
        self.error = ""
        #: What was uploaded or given instead of a file: the digest under "firmware", the key under "tik".
        self._held: dict[str, Any] = {"firmware": evidence.digest, "tik": evidence.tik}
        self._shown_paths: dict[str, str] = {}
        self._build_inputs()
        self.banner = w.HTML()
        self.banner.add_class("sevlab-verdict")
        self.alert = w.HTML()
        self.alert.add_class("sevlab-error")
        self.comparison = w.HTML()
        self.comparison.add_class("sevlab-comparison")
        self.message = ByteMap("The message under the HMAC: 56 bytes", evidence.message.spans())
        self.blob = ByteMap("The measurement the host reported: 48 bytes", evidence.measurement.spans())
        super().__init__(
            [
                *self._rows,
                self.alert,
                self.banner,
                self.message,
                self.blob,
                self.comparison,
            ]
        )
        self.add_class("sevlab-explorer")
        self.refresh()

    def _build_inputs(self) -> None:
        evidence = self.evidence

        def text(name: str, value: str, **more: Any) -> w.Text:
            layout = w.Layout(**more.pop("layout", {"width": "14em"}))
            box = w.Text(
                value=value, description=LABELS[name], continuous_update=False, layout=layout, style=_STYLE, **more
            )
            box.observe(self.refresh, "value")
            return box

        self.measurement = w.Textarea(
            value=base64.b64encode(evidence.measurement.to_bytes()).decode(),
            description=LABELS["measurement"],
            placeholder="base64 (64 characters, line breaks are fine) or hex (96 digits)",
            continuous_update=False,
            layout=w.Layout(height="4em", **_WIDE),
            style=_STYLE,
        )
        self.measurement.observe(self.refresh, "value")
        self.numbers = {
            name: text(name, str(getattr(evidence, name))) for name in ("api_major", "api_minor", "build_id")
        }
        self.policy = PolicyBox(evidence.policy)
        self.policy.number.style = _STYLE
        self.policy.observe(self.refresh, "value")
        files = evidence.files
        self._shown_paths = {"firmware": files.get("firmware", ""), "tik": files.get("tk", files.get("tik", ""))}
        self.paths = {
            name: text(name, path, layout=_WIDE, placeholder="(given, not from a file)")
            for name, path in self._shown_paths.items()
        }
        self.uploads = {
            "firmware": w.FileUpload(description=f"Upload firmware (up to {UPLOAD_LIMIT >> 20} MiB)"),
            "tik": w.FileUpload(description="Upload key (16 bytes TIK, or 32 bytes TEK and TIK)"),
        }
        for name, upload in self.uploads.items():
            upload.layout.width = "auto"
            upload.observe(lambda change, name=name: self._uploaded(name), "value")
        self._rows = [
            self.measurement,
            w.HBox(list(self.numbers.values()), layout=w.Layout(flex_flow="row wrap")),
            self.policy,
            *(
                w.HBox([self.paths[name], self.uploads[name]], layout=w.Layout(flex_flow="row wrap"))
                for name in self.paths
            ),
        ]

    def _uploaded(self, name: str) -> None:
        """Take what was uploaded, then empty the upload box: a key must not stay in the notebook's widget state."""
        upload = self.uploads[name]
        if not upload.value:
            return
        item = upload.value[0]
        raw = bytes(item.content)
        upload.value = ()
        try:
            self._held[name] = compute_digest([_image(raw)]) if name == "firmware" else _tik(raw)
        except SevlabError as error:
            self._fail(error)
            return
        self._shown_paths[name] = ""
        self.paths[name].placeholder = f"uploaded: {item.name}"
        if self.paths[name].value:
            self.paths[name].value = ""  # which refreshes
        else:
            self.refresh()

    def _read(self) -> Evidence:
        """Read every box; raise the first error."""
        inputs: dict[str, Any] = {
            "measurement": parse_measurement(self.measurement.value, LABELS["measurement"], allow_hex=True),
            **{name: box.value.strip() for name, box in self.numbers.items()},
            "policy": self.policy.value,
            "tek": self._start.tek or Secret(bytes(KEY_SIZE)),
        }
        others = {name: value for name, value in self._start.inputs.items() if name != "firmware"}
        for name, box in self.paths.items():
            path = box.value.strip()
            if path == "-":
                raise InputError(LABELS[name], "'-'", "a path, or an upload")
            if path != self._shown_paths[name]:
                self._held.pop(name, None)
                self._shown_paths[name] = path
            if name == "firmware" and path:
                inputs |= {"firmware": path, **others}
            elif name == "firmware" and "firmware" in self._held and others:
                raise InputError(
                    LABELS[name], "an upload", "a path, since more than firmware is measured in this launch"
                )
            elif name == "firmware" and "firmware" in self._held:
                inputs["digest"] = self._held["firmware"]
            elif name == "tik" and "tik" in self._held:
                inputs["tik"] = self._held["tik"]
            elif name == "tik" and path:
                inputs["tik"] = self._held["tik"] = _load_tik(path)
            else:
                raise InputError(LABELS[name], "nothing", "a path, or an upload")
        return load_evidence(names=lambda name: LABELS.get(name, name), **inputs)

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
        self.banner.value = _spoken(self._banner())
        self.message.show(evidence.message.spans(), compare(self._start.message, evidence.message).marked)
        self.blob.show(evidence.measurement.spans(), compare(self._start.measurement, evidence.measurement).marked)
        computed = evidence.measurement.replace(measure=verdict.computed)
        warnings = [Paragraph(f"WARNING: {warning}") for warning in verdict.warnings]
        self.comparison.value = View(compare(evidence.measurement, computed).explain(), *warnings).html()

    def _fail(self, error: SevlabError) -> None:
        """Say what is wrong with an input, and take back the verdict: an old one would be a wrong one."""
        self.error, self.verdict = str(error), None
        self.alert.value = f'<div role="alert">{Banner(self.error, "orange").html()}</div>'
        self.banner.value = _spoken(self._banner())
        self.comparison.value = ""

    def _banner(self) -> Banner:
        if self.verdict is None:
            return Banner(
                "CANNOT TELL: an input cannot be read, see above. Shown below: the last that could be.", "grey"
            )
        return Banner(GOOD, "green") if self.verdict.matches else Banner(BAD, "pink")

    def static(self) -> View:
        """Return what is shown now, without the inputs, for where widgets do not run."""
        return View(self._banner(), explain_spans(self.evidence.message.spans()))

    def __repr__(self) -> str:
        return self.static().text()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_static(super()._repr_mimebundle_(**kwargs), repr(self), self.static().html())


def _spoken(banner: Banner) -> str:
    """Return a banner that a screen reader reads out when it changes."""
    return f'<div role="status">{banner.html()}</div>'


def _image(raw: bytes) -> bytes:
    if not raw:
        raise InputError(LABELS["firmware"], "an empty upload", "a firmware image")
    return raw


def _tik(raw: bytes) -> Secret:
    """Take the TIK from uploaded bytes: 16 are the TIK, 32 are TEK and then TIK."""
    if len(raw) not in (KEY_SIZE, 2 * KEY_SIZE):
        raise InputError(LABELS["tik"], f"an upload of {len(raw)} bytes", "16 raw bytes (TIK) or 32 (TEK, then TIK)")
    return Secret(raw[-KEY_SIZE:])


def _load_tik(path: str) -> Secret:
    """Read the TIK from a file of 16 bytes (TIK) or 32 (TEK, then TIK)."""
    try:
        return Secret(load_key(path, LABELS["tik"], 2 * KEY_SIZE).reveal()[KEY_SIZE:])
    except InputError:
        return load_key(path, LABELS["tik"])
