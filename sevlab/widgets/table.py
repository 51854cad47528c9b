"""The kernel-hashes table, alive: change a file or the command line, see its bytes and the chain change."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import ipywidgets as w

from ..digest import BLOB_LIMIT, Hashed, load_hashed
from ..errors import InputError
from ..formats.kernel_hashes import KernelHashes, hash_cmdline
from ..launch import Launch, Step
from ..layout.bytemap import explain_spans
from ..layout.structure import compare
from .bytemap import ByteMap
from .chain import STYLE, ChainExplorer, text_box

if TYPE_CHECKING:
    from ..layout.views import View

LABELS = {"firmware": "Firmware", "kernel": "Kernel", "initrd": "Initrd", "cmdline": "Command line"}
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
            name: text_box(LABELS[name], value, width="46em", placeholder=kept.get(name, "(as in the table)"))
            for name, value in self._at_start.items()
            if name != "cmdline"
        }
        # Of several lines, so that a line break at the end can be typed, and seen.
        self.boxes["cmdline"] = w.Textarea(
            value=cmdline,
            description=LABELS["cmdline"],
            continuous_update=False,
            layout=w.Layout(width="46em", height="4em"),
            style=STYLE,
        )
        self.map = ByteMap("The kernel-hashes table: 176 bytes", table.spans())
        steps = launch.steps if launch else (Step(STEP, table.to_bytes(), "The table."),)
        if firmware and not launch:
            steps = (Step("firmware", load_hashed(firmware, LABELS["firmware"]), "The firmware image."), *steps)
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
                raise InputError(LABELS["firmware"], "a file", "an empty box, for a table without a launch", advice)
            steps[0] = steps[0]._replace(content=self._file("firmware"))
        return Launch(steps)

    def _keeps(self, name: str) -> bool:
        """Say whether a box was empty at the start and still is."""
        return not self._at_start[name] and not self.boxes[name].value

    def _file(self, name: str) -> Hashed:
        path = self.boxes[name].value.strip()
        if not path or path == "-":
            raise InputError(LABELS[name], repr(path) if path else "nothing", "a path")
        if name == "firmware":
            return load_hashed(path, LABELS[name])
        return load_hashed(path, LABELS[name], limit=BLOB_LIMIT, empty=name == "initrd")

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
        raise InputError(LABELS["cmdline"], error.received, error.needed, error.advice) from None
