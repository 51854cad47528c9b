"""The inputs of the debugger: their boxes, and what stands in them as validate takes it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import anywidget
import ipywidgets as w
import traitlets
from ipywidgets import Layout

from ..errors import InputError, SevlabError, escaped
from ..formats.policy import Policy
from ..launch.inputs import DEFAULT_PROFILE, FILES
from ..launch.keys import Secret
from ..launch.values import KEY_SIZE, parse_policy
from ..launch.vmm import PROFILES
from .action import Button

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..launch.vmm import Profile


#: The boxes, in rows: for each input its label, and how wide its box is.
ROWS = (
    {"measurement": ("Measurement", "62em")},
    {
        "api_major": ("API major", "12em"),
        "api_minor": ("API minor", "12em"),
        "build_id": ("Build", "12em"),
        "policy": ("Policy", "16em"),
    },
    {"firmware": ("Firmware", "44em")},
    {"tk": ("Key file", "44em")},
    {"tik": ("TIK alone", "44em")},
    {"kernel": ("Kernel", "44em")},
    {"initrd": ("Initrd", "44em")},
    {"cmdline": ("Command line", "62em")},
    {
        "num_cpus": ("CPUs", "12em"),
        "cpu_family": ("CPU family", "12em"),
        "cpu_model": ("CPU model", "12em"),
        "cpu_stepping": ("CPU stepping", "13em"),
    },
    {"profile": ("Profile", "16em"), "guest_features": ("SEV features", "16em")},
    {"vmsa_cpu0": ("VMSA 0", "30em"), "vmsa_cpu1": ("VMSA 1", "30em")},
)

LABELS = {name: label for row in ROWS for name, (label, width) in row.items()}

CANDIDATES = "Candidates"

UPLOADS = ("firmware", "tk", "kernel", "initrd")

#: What stands in the box of a key that was uploaded.
UPLOADED = "(uploaded)"


def label_of(name: str) -> str:
    """Return what an input is called on the page."""
    return CANDIDATES if name == "candidates" else LABELS.get(name, name)


def write_value(name: str, value: Any) -> str:
    """Return a value as it stands in its box."""
    return f"0x{int(value):x}" if name in ("policy", "guest_features") and isinstance(value, int) else str(value)


def as_evidence(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs as validate takes them: an uploaded key by its size. No measure depends on the TEK."""
    key = inputs.get("tk")
    if key is None and "tik" not in inputs:
        raise InputError(LABELS["tk"], "nothing", "the keys of this launch: a path, or an upload")
    if key is None:
        return {**inputs, "tek": Secret(bytes(KEY_SIZE))}
    if not isinstance(key, Secret):
        return inputs
    if len(key) not in (KEY_SIZE, 2 * KEY_SIZE):
        raise InputError(LABELS["tk"], f"an upload of {len(key)} bytes", "16 raw bytes (TIK) or 32 (TEK, then TIK)")
    rest = {name: value for name, value in inputs.items() if name != "tk"}
    return {**rest, "tik": key.part(-KEY_SIZE), "tek": key.part(0, KEY_SIZE)}


#: JupyterLab drops the connection, without a word, when an upload is larger.
UPLOAD_LIMIT = 9 << 20

STANDARD_INPUT = "-"

WIDE, NARROW = {"width": "46em"}, {"width": "30em"}

STYLE = {"description_width": "8em"}


class FileBox(w.HBox):
    """A box for a path, and a button for an upload. Typing a path drops what was uploaded.

    *refresh* is called when the file is another one, *fail* with the error when an upload cannot be used. *keep* turns
    the bytes of an upload into what is kept of it; without one they are written to a private folder, which goes with
    the kernel, and the path there is kept. With *optional* there is a button that takes the file away. *empty* says
    that a file without content will do.
    """

    def __init__(
        self,
        label: str,
        path: str,
        upload: str,
        refresh: Callable[[], None],
        fail: Callable[[SevlabError], None],
        *,
        keep: Callable[[bytes], object] | None = None,
        held: object = None,
        optional: bool = False,
        empty: bool = False,
    ) -> None:
        #: What was uploaded, or is held for another reason than a path: it counts while the path stays as it is.
        self.held = STANDARD_INPUT if path == STANDARD_INPUT and held is None else held
        self.label, self._refresh, self._fail, self._keep, self._empty = label, refresh, fail, keep, empty
        self._path, self._folder = "" if path == STANDARD_INPUT else path, ""
        self._none = "(none)" if optional else "(nothing: a path, or an upload)"
        placeholder = self._none
        if not self._path and self.held is not None:
            placeholder = "(from standard input)" if path == STANDARD_INPUT else "(given, not from a file)"
        self.text = w.Text(
            value=self._path,
            description=label,
            placeholder=placeholder,
            continuous_update=False,
            layout=w.Layout(**(NARROW if optional else WIDE)),
            style=STYLE,
        )
        self.upload = w.FileUpload(description=upload, layout=w.Layout(width="auto"))
        self.remove = Button(f"Remove {label}", self._removed, [self.text])
        parts = [self.text, self.upload, self.remove] if optional else [self.text, self.upload]
        super().__init__(parts, layout=w.Layout(flex_flow="row wrap"))
        self.text.observe(lambda change: refresh(), "value")
        self.upload.observe(self._uploaded, "value")

    def given(self) -> Any:
        """Return what is to be used: what is held, else the path, else None."""
        path = self.text.value.strip()
        if path == STANDARD_INPUT:
            raise InputError(self.label, "'-'", "a path, or an upload")
        if path != self._path:
            self.held, self._path, self.text.placeholder = None, path, self._none
        return path or None if self.held is None else self.held

    def _uploaded(self, change: Any) -> None:
        """Take what was uploaded, then empty the upload box: a key must not stay in the notebook's widget state."""
        if not self.upload.value:
            return
        item = self.upload.value[0]
        raw = bytes(item.content)
        self.upload.value = ()
        try:
            held = self._keep(raw) if self._keep else self._store(raw, item.name)
        except SevlabError as error:
            self._fail(error)
            return
        self._hold(held, escaped(f"uploaded: {item.name}"))

    def _removed(self) -> None:
        self._hold(None, self._none)

    def _hold(self, held: object, words: str) -> None:
        """Hold something in place of a path."""
        self.held, self._path = held, ""
        self.text.placeholder = words
        if self.text.value:
            self.text.value = ""  # which refreshes
        else:
            self._refresh()

    def _store(self, raw: bytes, name: str) -> str:
        """Write an upload to a folder that only this user can read; return its path."""
        if not raw and not self._empty:
            raise InputError(self.label, "an empty upload", "a file with content")
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="sevlab-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = Path(self._folder, re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[-80:].lstrip(".-") or "upload")
        for old in Path(self._folder).iterdir():
            old.unlink()
        path.write_bytes(raw)
        return str(path)

    def hide_folder(self, words: str) -> str:
        """Return words that may name an upload, with its name alone: the folder tells a reader nothing."""
        return words.replace(f"{self._folder}{os.sep}", "") if self._folder else words


class PolicyBox(w.VBox):
    """The policy as text (``value``, decimal or 0x hex) and one checkbox per flag. Changing either changes the other.

    A text that is no policy stays as it is, with the checkboxes as they were; whoever reads ``value`` reports it.
    """

    value = traitlets.Unicode()

    def __init__(self, policy: Policy) -> None:
        self.number = w.Text(description="Policy", continuous_update=False, layout=w.Layout(width="20em"))
        self.boxes = {
            row.name: w.Checkbox(
                description=f"{row.name.upper()} (bit {row.low})",
                tooltip=f"{row.doc} While clear: {row.clear}",
                indent=False,
                layout=w.Layout(width="11em"),
            )
            for row in Policy.rows
            if row.is_flag
        }
        super().__init__([self.number, w.HBox(list(self.boxes.values()), layout=w.Layout(flex_flow="row wrap"))])
        self._settling = False
        self.number.observe(self._from_number, "value")
        for box in self.boxes.values():
            box.observe(self._from_boxes, "value")
        self.number.value = f"0x{int(policy):x}"

    def _from_number(self, change: Any) -> None:
        try:
            policy = parse_policy(self.number.value.strip())
        except SevlabError:
            pass
        else:
            self._settling = True
            for name, box in self.boxes.items():
                box.value = bool(getattr(policy, name))
            self._settling = False
        self.value = self.number.value.strip()

    def _from_boxes(self, change: Any) -> None:
        if self._settling:
            return
        try:
            policy = parse_policy(self.number.value.strip())
        except SevlabError:
            policy = Policy(0)  # the text is no policy: what is ticked counts
        policy = policy.replace(**{name: int(box.value) for name, box in self.boxes.items()})
        self.number.value = f"0x{int(policy):x}"


#: The inputs of a launch but the firmware, in the order of their boxes, and what these are called.
LAUNCH_LABELS = {
    "kernel": "Kernel",
    "initrd": "Initrd",
    "cmdline": "Command line",
    "num_cpus": "CPU count",
    "cpu_family": "CPU family",
    "cpu_model": "CPU model",
    "cpu_stepping": "CPU stepping",
    "profile": "Profile",
    "guest_features": "SEV features",
    "vmsa_cpu0": "VMSA, CPU 0",
    "vmsa_cpu1": "VMSA, others",
}

NUMBERS = ("num_cpus", "cpu_family", "cpu_model", "cpu_stepping", "guest_features")

TITLE = "What else is loaded: kernel, initrd and command line; registers of the virtual CPUs (SEV-ES)"


class LaunchBox(w.Accordion):
    """Boxes for the inputs of a launch beside the firmware. An empty box is an input that is not given.

    *inputs* are those of the launch at the start; the boxes are shown when there are any, else they wait behind their
    title. *profiles* are those to choose from, *default* the one that holds when none is given, and *features* stands
    where no SEV_FEATURES is given. ``files``, ``numbers``, ``cmdline`` and ``profile`` are the boxes.
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        refresh: Callable[[], None],
        fail: Callable[[SevlabError], None],
        *,
        profiles: Mapping[str, Profile] = PROFILES,
        default: str = DEFAULT_PROFILE,
        features: str = "0",
        title: str = TITLE,
    ) -> None:
        self._default = default

        def changed(change: Any) -> None:
            refresh()

        self.files = {
            name: FileBox(
                LAUNCH_LABELS[name],
                str(inputs.get(name, "")),
                f"Upload (up to {UPLOAD_LIMIT >> 20} MiB)" if name in ("kernel", "initrd") else "Upload (4096 bytes)",
                refresh,
                fail,
                optional=True,
                empty=name == "initrd",
            )
            for name in FILES
            if name in LAUNCH_LABELS
        }
        # Of several lines, so that a line break at the end can be typed, and seen.
        self.cmdline = w.Textarea(
            value=inputs.get("cmdline", ""),
            description=LAUNCH_LABELS["cmdline"],
            placeholder="(none)",
            continuous_update=False,
            layout=w.Layout(height="4em", **WIDE),
            style=STYLE,
        )
        self.numbers = {
            name: w.Text(
                value=str(inputs.get(name, "")),
                description=LAUNCH_LABELS[name],
                placeholder=features if name == "guest_features" else "(none)",
                continuous_update=False,
                layout=w.Layout(width="14em"),
                style=STYLE,
            )
            for name in NUMBERS
        }
        self.profile = w.Dropdown(
            options=list(profiles),
            value=inputs.get("profile", default),
            description=LAUNCH_LABELS["profile"],
            layout=w.Layout(width="18em"),
            style=STYLE,
        )
        for box in (self.cmdline, self.profile, *self.numbers.values()):
            box.observe(changed, "value")
        wrap = w.Layout(flex_flow="row wrap")
        count, *cpu, features = self.numbers.values()
        rows = [
            self.files["kernel"],
            self.files["initrd"],
            self.cmdline,
            w.HBox([count, self.profile, features], layout=wrap),
            w.HBox(cpu, layout=wrap),
            w.HTML("In place of the CPU's numbers, profile and features, the registers themselves:"),
            self.files["vmsa_cpu0"],
            self.files["vmsa_cpu1"],
        ]
        super().__init__(
            [w.VBox(rows)], titles=(title,), selected_index=0 if set(inputs) & set(LAUNCH_LABELS) else None
        )
        self.add_class("sevlab-launch")

    def given(self) -> dict[str, Any]:
        """Return the inputs that are given, as they stand in their boxes."""
        values: dict[str, Any] = {name: box.given() for name, box in self.files.items()}
        values |= {name: box.value.strip() or None for name, box in self.numbers.items()}
        values["cmdline"] = self.cmdline.value or None  # nothing of it is trimmed: every space is hashed
        # Not said is the default: beside VMSA files a profile may not be given.
        values["profile"] = self.profile.value if self.profile.value != self._default else None
        return {name: values[name] for name in LAUNCH_LABELS if values[name] is not None}


class PasteBox(anywidget.AnyWidget):
    """A box for several lines of text. ``value`` is the text, sent when the box is left.

    JupyterLab drops the connection, without a word, when a message is larger than 10 MiB, and the box would be dead.
    So text that would make it longer than ``limit`` characters never gets in: *refuse* is called with the length, and
    what stood there stays.
    """

    _esm = Path(__file__).with_name("pastebox.js")
    value = traitlets.Unicode().tag(sync=True)
    limit = traitlets.Int().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, limit: int, refuse: Callable[[int], None], placeholder: str = "") -> None:
        layout = Layout(width="62em", max_width="100%", height="auto")
        super().__init__(label=label, limit=limit, placeholder=placeholder, layout=layout)
        self._refuse = refuse
        self.on_msg(self._told)

    def _told(self, widget: object, content: Any, buffers: object) -> None:
        if isinstance(content, dict) and isinstance(length := content.get("refused"), int):
            self._refuse(length)
