"""Boxes for the inputs of a launch: text and numbers, files and uploads, a policy, pasted text."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import anywidget
import ipywidgets as w
import traitlets

from ..cases.case import BY_NAME, with_registers
from ..errors import InputError, SevlabError, escaped, quoted
from ..formats.policy import Policy
from ..launch.inputs import DEFAULT_PROFILE, FILES, FIRMWARE_LIMIT, LaunchInputs
from ..launch.keys import SecretBytes
from ..launch.reading import ReadPath, load_file
from ..launch.values import KEY_SIZE, load_key, parse_number, parse_policy
from ..launch.vmm import PROFILES, Profile
from ..layout.views import Banner, View
from .action import Button

if TYPE_CHECKING:
    Refuse: TypeAlias = Callable[[int, str], None]
    Take: TypeAlias = Callable[[str, bytes], None]


#: What the boxes call each input.
LABELS = {"measurement": "Measurement", "api_major": "API major", "api_minor": "API minor", "build_id": "Build"}
LABELS |= {"policy": "Policy", "firmware": "Firmware", "tk": "Key file", "tik": "TIK alone", "kernel": "Kernel"}
LABELS |= {"initrd": "Initrd", "cmdline": "Command line", "num_cpus": "CPU count", "cpu_family": "CPU family"}
LABELS |= {"cpu_model": "CPU model", "cpu_stepping": "CPU stepping", "profile": "Profile"}
LABELS |= {"guest_features": "SEV features", "vmsa_cpu0": "VMSA, CPU 0", "vmsa_cpu1": "VMSA, others"}
LABELS |= {"tek": "TEK alone", "vcpu_type": "CPU type", "cpu_signature": "CPU signature", "chain": "ASK and ARK"}
LABELS |= {name: name.upper() for name in ("vcek", "vlek", "ask", "ark", "crl", "svsm")}
LABELS["candidates"] = "Candidates"
LABELS["reported_measurement"] = "SNP digest"
NUMBERS = ("num_cpus", "cpu_family", "cpu_model", "cpu_stepping", "guest_features")
#: The inputs in a :class:`LaunchBox`.
LOADED = (*FILES[1:], "cmdline", "profile", *NUMBERS)
#: JupyterLab drops the connection, without a word, when an upload is larger.
UPLOAD_LIMIT = 9 << 20
UPLOAD_FIRMWARE = f"Upload firmware (up to {UPLOAD_LIMIT >> 20} MiB)"
STANDARD_INPUT = "-"
WIDE, NARROW = "46em", "30em"
STYLE = {"description_width": "8em"}


def label_of(name: str) -> str:
    """Return what the box of an input is called; any other name as it is."""
    words = BY_NAME[name].key.removeprefix("snp-").replace("-", " ") if name in BY_NAME else name
    is_required = name.startswith("snp_") and words != name and not words.startswith("forbid")
    return LABELS.get(name, f"Required {words}" if is_required else words.capitalize() if name in BY_NAME else name)


def tik_of(given: str | bytes | SecretBytes) -> SecretBytes:
    """Return the TIK from a key file, or from an upload: 16 bytes are the TIK, 32 are TEK and then TIK."""
    key = SecretBytes(given) if isinstance(given, bytes) else given
    try:
        return load_key(key, LABELS["tk"], 2 * KEY_SIZE).part(KEY_SIZE)
    except InputError:
        return load_key(key, LABELS["tk"])


def text_box(label: str, value: str = "", width: str = "14em", **more: Any) -> w.Text:
    """Return a labelled box whose value counts when it is left or Enter is pressed."""
    layout = w.Layout(width=width)
    return w.Text(value=value, description=label, continuous_update=False, layout=layout, **{"style": STYLE, **more})


def text_area(label: str, value: str, placeholder: str = "") -> w.Textarea:
    """Return a labelled box of several lines, so that a line break at the end can be typed, and seen."""
    look = {"layout": w.Layout(height="4em", width=WIDE), "style": STYLE}
    return w.Textarea(value=value, description=label, placeholder=placeholder, continuous_update=False, **look)


class NumberBox(w.Text):
    """A labelled box for a whole number, as text: ipywidgets' own boxes of numbers change what is being typed."""

    value = traitlets.CUnicode().tag(sync=True)

    def __init__(self, label: str, value: int, least: int, most: int, width: str = "16em", **more: Any) -> None:
        self.min, self.max, layout = least, most, w.Layout(width=width)
        super().__init__(value=value, description=label, continuous_update=False, layout=layout, **more)
        self.add_class("sevlab-number")

    @property
    def number(self) -> int:
        """The number that stands in it. Raises :class:`~sevlab.errors.InputError` with the label for any other text."""
        text = self.value.strip()
        if re.fullmatch("-?[0-9]{1,20}", text, re.ASCII) and self.min <= int(text) <= self.max:
            return int(text)
        needed = f"a whole number from {self.min} to {self.max}"
        raise InputError(self.description, quoted(text) if text else "nothing", needed)

    def limit(self, most: int) -> None:
        """Allow no number above *most*. One that was allowed until now becomes that."""
        with contextlib.suppress(InputError):
            self.value = min(self.number, most)
        self.max = most


def choice(label: str, options: object, value: str | None = None, width: str = "20em") -> w.Dropdown:
    """Return a labelled list to choose from."""
    return w.Dropdown(options=options, value=value, description=label, layout=w.Layout(width=width), style=STYLE)


def flag(label: str, tooltip: str, width: str, *, value: bool = False) -> w.Checkbox:
    """Return a checkbox for one bit."""
    return w.Checkbox(value=value, description=label, tooltip=tooltip, indent=False, layout=w.Layout(width=width))


def row(*boxes: w.Widget) -> w.HBox:
    """Return boxes in a row, which wraps where it is too long."""
    return w.HBox(boxes, layout=w.Layout(flex_flow="row wrap"))


def output(name: str) -> w.HTML:
    """Return a place for results, of the class ``sevlab-`` and *name*."""
    box: w.HTML = w.HTML().add_class(f"sevlab-{name}")
    return box


def alert(words: str) -> str:
    """Return an error as HTML that a screen reader reads out at once."""
    return f'<div role="alert">{Banner(words, "orange").html()}</div>'


def status(shown: Banner | View) -> str:
    """Return HTML that a screen reader reads out when it changes."""
    return f'<div role="status">{shown.html()}</div>'


def keep_file(owner: object, name: str, raw: bytes) -> str:
    """Write an upload to a folder that only this user can read, and that goes with its *owner*; return its path."""
    folder = tempfile.mkdtemp(prefix="sevlab-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[-80:].lstrip(".-") or "upload")
    path.write_bytes(raw)
    return str(path)


class FileBox(w.HBox):
    """A box for a path, and a button for an upload. Typing a path drops what was uploaded.

    *refresh* is called when the file changes, *fail* with the error when an upload cannot be used. *keep* turns the
    bytes of an upload into what is kept of it; without it they are written to a private folder, which goes with the
    kernel, and the path there is kept. With *optional* there is a button that removes the file. *empty* allows a file
    without content.
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
        #: What was uploaded, or is held without a path: it counts while the path stays as it is.
        self.held = STANDARD_INPUT if path == STANDARD_INPUT and held is None else held
        self.label, self._refresh, self._fail, self._keep, self._empty = label, refresh, fail, keep, empty
        self._path, self._folder = "" if path == STANDARD_INPUT else path, ""
        self._none = placeholder = "(none)" if optional else "(nothing: a path, or an upload)"
        if not self._path and self.held is not None:
            placeholder = "(from standard input)" if path == STANDARD_INPUT else "(given, not from a file)"
        self.text = text_box(label, self._path, NARROW if optional else WIDE, placeholder=placeholder)
        self.upload = w.FileUpload(description=upload, layout=w.Layout(width="auto"))
        self.remove = Button(f"Remove {label}", lambda: self._hold(None, self._none), [self.text])
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
        else:
            self._hold(held, escaped(f"uploaded: {item.name}"))

    def _hold(self, held: object, words: str) -> None:
        self.held, self._path, self.text.placeholder = held, "", words
        if self.text.value:
            self.text.value = ""  # which refreshes
        else:
            self._refresh()

    def _store(self, raw: bytes, name: str) -> str:
        if not raw and not self._empty:
            raise InputError(self.label, "an empty upload", "a file with content")
        path = keep_file(self, name, raw)
        self._folder = os.path.dirname(path)
        return path

    def hide_folder(self, words: str) -> str:
        """Return words that may name an upload, with its name alone: the folder means nothing to a reader."""
        return words.replace(f"{self._folder}{os.sep}", "") if self._folder else words


class PolicyBox(w.VBox):
    """The policy as text (``value``, decimal or 0x hex) and one checkbox per flag. Changing either changes the other.

    A text that is not a policy stays as it is, and so do the checkboxes; what reads ``value`` reports the error. Beside
    each flag is what it does as it is; ``warning`` is a place for what to say about the policy.
    """

    value = traitlets.Unicode()

    def __init__(self, policy: Policy) -> None:
        self.number, self.warning = text_box(LABELS["policy"], width="20em"), output("warning")
        self._flags = [one for one in Policy.rows if one.is_flag]
        self.boxes = {
            one.name: flag(f"{one.name.upper()} (bit {one.low})", f"{one.doc} While clear: {one.clear}", "auto")
            for one in self._flags
        }
        self.words = {name: w.HTML() for name in self.boxes}
        each = [w.VBox([box, self.words[name]]) for name, box in self.boxes.items()]
        super().__init__([row(self.number, self.warning), w.Box(each).add_class("sevlab-bits")])
        self.parts = [self.number, *self.boxes.values()]
        self._settling = False
        self.number.observe(self._from_number, "value")
        for box in self.boxes.values():
            box.observe(self._from_boxes, "value")
        traitlets.link((self.number, "value"), (self, "value"))
        self.value = f"0x{int(policy):x}"
        self._explain()

    def _parsed(self) -> Policy | None:
        try:
            return parse_policy(self.number.value.strip())
        except SevlabError:
            return None

    def _from_number(self, change: object) -> None:
        if (policy := self._parsed()) is not None:
            self._settling = True
            for name, box in self.boxes.items():
                box.value = bool(getattr(policy, name))
            self._settling = False
            self._explain()

    def _from_boxes(self, change: object) -> None:
        if self._settling:
            return
        ticked = {name: int(box.value) for name, box in self.boxes.items()}
        # Where the text is not a policy, what is ticked counts.
        self.number.value = f"0x{int((self._parsed() or Policy(0)).replace(**ticked)):x}"

    def _explain(self) -> None:
        for one in self._flags:
            self.words[one.name].value = one.doc if self.boxes[one.name].value else f"Not set: {one.clear}"


class Disclosure(anywidget.AnyWidget):
    """A button that opens and closes *part*, by mouse and by keyboard."""

    _esm = Path(__file__).with_name("explorer.js")
    _css = Path(__file__).with_name("explorer.css")
    title = traitlets.Unicode().tag(sync=True)
    is_open = traitlets.Bool().tag(sync=True)

    def __init__(self, title: str, part: w.DOMWidget, is_open: bool) -> None:
        super().__init__(title=title, is_open=is_open)
        part.layout.display = None if is_open else "none"
        self.observe(lambda change: part.layout.set_trait("display", None if change.new else "none"), "is_open")


class LaunchBox(w.VBox):
    """Boxes for the inputs of a launch beside the firmware. An empty box is an input that is not given.

    *inputs* are those of the launch at the start; the boxes are shown when there are any, else they wait behind their
    title, which ``disclosure`` opens. *profiles* are those to choose from, *default* the one that holds when none is
    given, and *features* is shown where no SEV_FEATURES is given. ``files`` are the files, ``boxes`` the other inputs.
    """

    def __init__(
        self,
        inputs: LaunchInputs,
        refresh: Callable[[], None],
        fail: Callable[[SevlabError], None],
        *,
        profiles: Mapping[str, Profile] = PROFILES,
        default: str = DEFAULT_PROFILE,
        features: str = "0",
        title: str = "What else is loaded: kernel, initrd and command line; registers of the virtual CPUs (SEV-ES)",
    ) -> None:
        given, self._default = inputs.given, default
        self.files = {}
        for name in FILES[1:]:
            size = f"up to {UPLOAD_LIMIT >> 20} MiB" if name in ("kernel", "initrd") else "4096 bytes"
            label, path, empty = LABELS[name], str(given.get(name, "")), name == "initrd"
            self.files[name] = FileBox(label, path, f"Upload ({size})", refresh, fail, optional=True, empty=empty)
        self.cmdline = text_area(LABELS["cmdline"], inputs.cmdline or "", "(none)")
        self.numbers = {
            name: text_box(LABELS[name], str(given.get(name, "")), placeholder="(none)") for name in NUMBERS
        }
        self.numbers["guest_features"].placeholder = features
        self.profile = choice(LABELS["profile"], list(profiles), inputs.profile or default, "18em")
        self.boxes = [self.cmdline, self.profile, *self.numbers.values()]
        count, *cpu, feature_box = self.numbers.values()
        kernel, initrd, *registers = self.files.values()
        rows = [kernel, initrd, self.cmdline, row(count, self.profile, feature_box), row(*cpu)]
        words = w.HTML("Instead of the CPU's numbers, profile and features, the registers themselves:")
        part = w.VBox([*rows, words, *registers])
        self.disclosure = Disclosure(title, part, bool(set(given) & set(LOADED)))
        super().__init__([self.disclosure, part])

    def given(self) -> LaunchInputs:
        """Return the inputs that are given, as they are in their boxes."""
        return LaunchInputs(
            **with_registers({name: box.given() for name, box in self.files.items()}),
            **{name: box.value.strip() or None for name, box in self.numbers.items()},
            cmdline=self.cmdline.value or None,  # nothing of it is trimmed: every space is hashed
            # The default is not said: beside VMSA files a profile may not be given.
            profile=self.profile.value if self.profile.value != self._default else None,
        )


class FlipBox(w.HBox):
    """A bit to flip, or a byte to change, in what ``choice`` names: a file, or one of *more*; "" for none."""

    def __init__(self, *more: str) -> None:
        names = {LABELS[name]: name for name in FILES} | {name.capitalize(): name for name in more}
        self.choice = choice("Flip a bit in", {"(nothing)": "", **names}, "")
        self.offset, self.bit = text_box("At byte", "0", "15em"), text_box("Bit", "0", "12em")
        self.byte = text_box("New value", "", "18em", placeholder="(flip the bit)")
        self.boxes = [self.choice, self.offset, self.bit, self.byte]
        self._folder = tempfile.TemporaryDirectory(prefix="sevlab-")  # which only this user can read
        super().__init__(self.boxes, layout=w.Layout(flex_flow="row wrap"))

    def apply(self, raw: bytes) -> bytes:
        """Return *raw* with its bit flipped, or its byte changed."""
        if not raw:
            raise InputError(self.choice.description, "nothing", "something with content")
        at = parse_number(self.offset.value.strip(), self.offset.description, len(raw) - 1)
        value = raw[at] ^ 1 << parse_number(self.bit.value.strip(), self.bit.description, 7)
        if text := self.byte.value.strip():
            value = parse_number(text, self.byte.description, 0xFF)
        return raw[:at] + bytes([value]) + raw[at + 1 :]

    def changed(self, inputs: LaunchInputs) -> LaunchInputs:
        """Return *inputs* with a changed copy of the file that is chosen, if one is."""
        if (target := self.choice.value) not in FILES:
            return inputs
        if not isinstance(path := getattr(inputs, target), str) or path == STANDARD_INPUT:
            raise InputError(self.choice.description, f"{LABELS[target]}, which is no file here", "a file")
        copy = Path(self._folder.name, Path(path).name)
        raw = path.raw if isinstance(path, ReadPath) else load_file(path, target, FIRMWARE_LIMIT)
        copy.write_bytes(self.apply(raw))
        return inputs.replace(**{target: str(copy)})

    def hide_folder(self, words: str) -> str:
        """Return words that may name the changed copy, without its folder."""
        return words.replace(f"{self._folder.name}{os.sep}", "")


class PasteBox(anywidget.AnyWidget):
    """A box for several lines of text, and for files. ``value`` is the text, sent when the box is left.

    JupyterLab drops the connection, without a word, when a message is larger than 10 MiB, and the box would be dead.
    So text that would make it longer than ``limit`` characters never gets in: *refuse* is called with the length, and
    the text before stays. With *take*, files are taken too, dropped or uploaded: it is called with the name and the
    bytes of each, which never are in the widget's state; of one that is too large *refuse* gets the size and the name.
    """

    _esm = Path(__file__).with_name("pastebox.js")
    _css = Path(__file__).with_name("debugger.css")
    value = traitlets.Unicode().tag(sync=True)
    limit = traitlets.Int().tag(sync=True)
    file_limit = traitlets.Int().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)

    def __init__(self, label: str, limit: int, refuse: Refuse, placeholder: str = "", take: Take | None = None) -> None:
        layout, limits = w.Layout(max_width="100%", height="auto"), (limit, UPLOAD_LIMIT if take else 0)
        super().__init__(label=label, limit=limits[0], file_limit=limits[1], placeholder=placeholder, layout=layout)
        self._refuse, self._take = refuse, take
        self.on_msg(self._received)

    def _received(self, widget: object, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        name = content.get("file", "")
        if isinstance(name, str) and isinstance(length := content.get("refused"), int):
            self._refuse(length, name)
        elif isinstance(name, str) and name and buffers and self._take:
            self._take(name, bytes(buffers[0]))
