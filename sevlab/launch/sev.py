"""A launch: the ordered list of what a hypervisor loads before the guest runs.

The launch digest is a fold over that list: one SHA-256, fed step by step. The same list is shown as a chain, drawn,
and compared with another launch to find the first step that differs.

Order, for SEV and SEV-ES under QEMU: the firmware image; the 176-byte kernel-hashes table, when a kernel is booted
directly with hashes; then, for SEV-ES only, the initial registers (VMSA, virtual machine save area, 4096 bytes) of
each virtual CPU. Source: AMD 55766 (SEV API), LAUNCH_UPDATE_DATA, LAUNCH_UPDATE_VMSA; QEMU, SEV documentation.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple
from functools import cached_property
from itertools import groupby

from ..layout.span import Explainable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..formats.efi_modules import Enforcement
    from ..formats.ovmf import Ovmf
    from ..layout.views import View

#: The colour of each step in every table and drawing; the last is for all others.
STEP_COLOURS = {"firmware": "blue", "kernel hashes": "orange", "vCPU 0": "green", "": "purple"}


class Hashed(namedtuple("Hashed", "size running")):
    """Bytes that were hashed and are not kept: how many, and the running SHA-256 after them."""

    __slots__ = ()

    @property
    def digest(self) -> bytes:
        return self.running.copy().digest()  # type: ignore[no-any-return]


def compute_digest(parts: Iterable[bytes]) -> bytes:
    """Return the launch digest (32 bytes) over *parts* in the order the host loads them."""
    running = hashlib.sha256()
    for part in parts:
        running.update(part)
    return running.digest()


class Step(namedtuple("Step", "name content doc")):
    """One thing that is loaded (LAUNCH_UPDATE_DATA): a name, its bytes (or :class:`Hashed` ones), one sentence."""

    __slots__ = ()

    @property
    def size(self) -> int:
        return self.content.size if isinstance(self.content, Hashed) else len(self.content)

    @property
    def digest(self) -> bytes:
        """SHA-256 of this step's bytes alone (32 bytes)."""
        return self.content.digest if isinstance(self.content, Hashed) else hashlib.sha256(self.content).digest()

    @property
    def loaded(self) -> object:
        """A value that is equal for steps that load the same bytes."""
        return (self.size, self.digest) if isinstance(self.content, Hashed) else self.content


class Link(namedtuple("Link", "step digest")):
    """One step of a launch, and the launch digest after it (32 bytes)."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self.step.name)

    @property
    def loaded(self) -> object:
        return self.step.loaded


class Run(namedtuple("Run", "first last count after")):
    """Equal steps in a row, shown as one: the first and the last, how many, and the launch digest after the last."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Their name; of several, the names of the first and the last, in two lines."""
        return str(self.first.name) if self.count == 1 else f"{self.first.name} to\n{self.last.name}"

    @property
    def amount(self) -> str:
        return str(self.first.size) if self.count == 1 else f"{self.count} x {self.first.size}"

    @property
    def loaded(self) -> object:
        return self.first.loaded

    @property
    def colour(self) -> str:
        return STEP_COLOURS.get(self.first.name, STEP_COLOURS[""])


class BaseLaunch(Explainable):
    """What the owner of a launch should know about it.

    *given* are sentences about inputs that do not fit together. *firmware* is the image when a kernel is measured with
    it: ``warnings`` and ``notes`` then also say whether its code checks the kernel's hash. The code is read when one of
    them is first used.
    """

    def __init__(self, given: Sequence[str] = (), firmware: Ovmf | None = None) -> None:
        self._given, self._firmware = tuple(given), firmware

    @property
    def lacks_place(self) -> bool:
        """Whether a kernel is given for a firmware without an area for its hash: QEMU does not start such a guest."""
        return self._firmware is not None and self._firmware.hash_area is None

    @cached_property
    def enforcement(self) -> Enforcement | None:
        """Whether the firmware enforces the measured kernel's hash. None without a kernel or an area for its hash."""
        return None if self._firmware is None or self.lacks_place else self._firmware.enforcement

    @property
    def warnings(self) -> list[str]:
        """What is wrong: inputs that do not fit together, and a kernel that nothing checks."""
        return [*self._given, *(self.enforcement.warnings if self.enforcement is not None else ())]

    @property
    def notes(self) -> list[str]:
        """What is only worth knowing: a kernel for which sevlab cannot tell whether anything checks it."""
        return self.enforcement.notes if self.enforcement is not None else []

    def judged(self) -> dict[str, object]:
        """Return ``warnings`` as JSON-ready data, and with a kernel ``notes`` and ``enforcement``."""
        if self.enforcement is None:
            return {"warnings": self.warnings}
        return {"warnings": self.warnings, "notes": self.notes, "enforcement": self.enforcement.as_dict()}

    @property
    def remarks(self) -> list[str]:
        """Warnings and notes as lines that begin with WARNING or NOTE."""
        return [f"WARNING: {words}" for words in self.warnings] + [f"NOTE: {words}" for words in self.notes]


class Launch(BaseLaunch):
    """Steps in order. ``digest`` is the launch digest, ``digests`` those after each step (32 bytes each).

    A launch of which only the *digest* is known has no steps. For the other arguments see :class:`BaseLaunch`.
    """

    def __init__(
        self, steps: Sequence[Step], warnings: Sequence[str] = (), digest: bytes = b"", firmware: Ovmf | None = None
    ) -> None:
        super().__init__(warnings, firmware)
        self.steps = tuple(steps)
        self.digests: list[bytes] = []
        running = hashlib.sha256()
        for number, step in enumerate(self.steps):
            if not isinstance(step.content, Hashed):
                running.update(step.content)
            elif number == 0:
                running = step.content.running.copy()
            else:
                raise TypeError("only the first step of a launch may be a hashed file")
            self.digests.append(running.copy().digest())
        self.digest = self.digests[-1] if self.steps else digest

    def links(self) -> list[Link]:
        return [Link(*pair) for pair in zip(self.steps, self.digests, strict=True)]

    def runs(self) -> list[Run]:
        """Return the steps as they are shown: equal neighbours as one."""
        return [run_of(list(group)) for _, group in groupby(self.links(), key=lambda link: link.step.content)]

    def explain(self) -> View:
        """Show the chain: every step with its size, its own SHA-256, and the launch digest after it."""
        from ..layout.views import Paragraph, Table, View, hex_lines

        if not self.steps:
            return View(Paragraph(f"The launch digest was given: {self.digest.hex()}. What was loaded is not known."))
        runs = self.runs()
        rows = [[r.name, r.amount, hex_lines(r.first.digest, 8), hex_lines(r.after, 8), r.first.doc] for r in runs]
        header = ["step", "bytes", "SHA-256 of it alone", "launch digest after it", "what it is"]
        table = Table(header, rows, colours=[run.colour for run in runs], mono=[0, 1, 2, 3])
        return View(table, *(Paragraph(line) for line in self.remarks))


def run_of(links: Sequence[Link]) -> Run:
    return Run(links[0].step, links[-1].step, len(links), links[-1].digest)
