"""What else a host loads beside the firmware, as boxes: a kernel with its hashes, the registers of virtual CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as w

from ..launch_inputs import DEFAULT_PROFILE, FILES
from ..profiles import PROFILES
from .filebox import STYLE, UPLOAD_LIMIT, WIDE, FileBox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..errors import SevlabError
    from ..profiles import Profile

#: The inputs of a launch but the firmware, in the order of their boxes, and what these are called.
LABELS = {
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
                LABELS[name],
                str(inputs.get(name, "")),
                f"Upload (up to {UPLOAD_LIMIT >> 20} MiB)" if name in ("kernel", "initrd") else "Upload (4096 bytes)",
                refresh,
                fail,
                optional=True,
                empty=name == "initrd",
            )
            for name in FILES
            if name in LABELS
        }
        # Of several lines, so that a line break at the end can be typed, and seen.
        self.cmdline = w.Textarea(
            value=inputs.get("cmdline", ""),
            description=LABELS["cmdline"],
            placeholder="(none)",
            continuous_update=False,
            layout=w.Layout(height="4em", **WIDE),
            style=STYLE,
        )
        self.numbers = {
            name: w.Text(
                value=str(inputs.get(name, "")),
                description=LABELS[name],
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
            description=LABELS["profile"],
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
        super().__init__([w.VBox(rows)], titles=(title,), selected_index=0 if set(inputs) & set(LABELS) else None)
        self.add_class("sevlab-launch")

    def given(self) -> dict[str, Any]:
        """Return the inputs that are given, as they stand in their boxes."""
        values: dict[str, Any] = {name: box.given() for name, box in self.files.items()}
        values |= {name: box.value.strip() or None for name, box in self.numbers.items()}
        values["cmdline"] = self.cmdline.value or None  # nothing of it is trimmed: every space is hashed
        # Not said is the default: beside VMSA files a profile may not be given.
        values["profile"] = self.profile.value if self.profile.value != self._default else None
        return {name: values[name] for name in LABELS if values[name] is not None}
