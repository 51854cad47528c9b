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
from itertools import groupby, zip_longest

from .arguments import checked
from .digest import Hashed, load_hashed, load_sha256
from .errors import InputError, named
from .layout.span import Explainable
from .reading import opened_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .formats.efi_modules import Enforcement
    from .formats.kernel_hashes import KernelHashes
    from .formats.ovmf import Ovmf
    from .formats.policy import Policy
    from .layout.views import View

#: Inputs that stand for the CPU's signature.
SKU = ("cpu_family", "cpu_model", "cpu_stepping")
#: What describes a launch, by the names of the command line's options.
INPUTS = (
    *("firmware", "kernel", "initrd", "cmdline", "num_cpus", "vmsa_cpu0", "vmsa_cpu1"),
    *(*SKU, "profile", "guest_features"),
)
#: Inputs that only a SEV-SNP launch has. ``ovmf_hash`` is the digest after the firmware, ``vars_*`` go with ``svsm``.
SNP_INPUTS = ("ovmf_hash", "svsm", "vars_size", "vars_file")
#: What sev-snp-measure calls the inputs of a launch, where it has another name.
PEER_NAMES = {
    "firmware": "ovmf",
    "cmdline": "append",
    "num_cpus": "vcpus",
    "cpu_signature": "vcpu_sig",
    **{f"cpu_{part}": f"vcpu_{part}" for part in ("family", "model", "stepping")},
    "ovmf_hash": "snp_ovmf_hash",
}
#: Those about virtual CPUs.
_ABOUT_CPUS = {*INPUTS, "cpu_signature"} - {"firmware", "kernel", "initrd", "cmdline"}
#: Those that name files.
FILES = ("firmware", "kernel", "initrd", "vmsa_cpu0", "vmsa_cpu1")
#: The profile of libvirt 9.0's tool and of sevctl.
DEFAULT_PROFILE = "qemu-legacy"
#: The colour of each step in every table and drawing; whatever is not named has the last.
STEP_COLOURS = {"firmware": "blue", "kernel hashes": "orange", "vCPU 0": "green", "": "purple"}


class Step(namedtuple("Step", "name content doc")):
    """One thing that is loaded: a name, its bytes (or a :class:`~sevlab.digest.Hashed` file), one sentence."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """Number of bytes loaded."""
        return self.content.size if isinstance(self.content, Hashed) else len(self.content)

    @property
    def digest(self) -> bytes:
        """SHA-256 of this step's bytes alone (32 bytes)."""
        return self.content.digest if isinstance(self.content, Hashed) else hashlib.sha256(self.content).digest()


class Run(namedtuple("Run", "first last count after")):
    """Equal steps in a row, shown as one: the first and the last, how many, and the launch digest after the last."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """What they are called; of several, the names of the first and the last, in two lines."""
        return str(self.first.name) if self.count == 1 else f"{self.first.name} to\n{self.last.name}"

    @property
    def amount(self) -> str:
        """How much is loaded, in bytes, for people."""
        return str(self.first.size) if self.count == 1 else f"{self.count} x {self.first.size}"

    @property
    def colour(self) -> str:
        """Name of the colour it has in every table and drawing."""
        return STEP_COLOURS.get(self.first.name, STEP_COLOURS[""])


class Booting(Explainable):
    """What every launch has that may boot a kernel: what its owner should know of it.

    *given* are sentences about inputs that fit together badly. *firmware* is the image, where a kernel is measured with
    it: ``warnings`` and ``notes`` then tell too whether its code checks the kernel's hash. The code is read when one of
    these is first asked for.
    """

    def __init__(self, given: Sequence[str] = (), firmware: Ovmf | None = None) -> None:
        self._given, self._firmware = tuple(given), firmware

    @property
    def lacks_place(self) -> bool:
        """Whether a kernel is given for a firmware without a place for its hash: QEMU does not start such a guest."""
        return self._firmware is not None and self._firmware.hash_area is None

    @cached_property
    def enforcement(self) -> Enforcement | None:
        """Whether the firmware enforces the measured kernel's hash. None without a kernel or a place for its hash."""
        if self._firmware is None or self.lacks_place:
            return None
        return self._firmware.enforcement

    @property
    def warnings(self) -> list[str]:
        """What is wrong: sentences about inputs that fit together badly, and a kernel that nothing checks."""
        return [*self._given, *self._said("warning")]

    @property
    def notes(self) -> list[str]:
        """What is only worth knowing: a kernel of which sevlab cannot tell whether anything checks it."""
        return self._said("note")

    def _said(self, how: str) -> list[str]:
        if self.enforcement is None:
            return []
        words = getattr(self.enforcement, how)("firmware")
        return [words] if words else []

    def judged(self) -> dict[str, object]:
        """Return ``warnings`` as JSON-ready data; with them ``notes`` and ``enforcement``, where it is asked about."""
        if self.enforcement is None:
            return {"warnings": self.warnings}
        return {"warnings": self.warnings, "notes": self.notes, "enforcement": self.enforcement.as_dict()}

    @property
    def remarks(self) -> list[str]:
        """Warnings and notes as lines, each with the word that says which it is."""
        return [f"WARNING: {words}" for words in self.warnings] + [f"NOTE: {words}" for words in self.notes]


class Launch(Booting):
    """Steps in order. ``digest`` is the launch digest, ``digests`` the digest after each step (32 bytes each).

    A launch of which only the digest is known has no steps. For the other arguments see :class:`Booting`.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        warnings: Sequence[str] = (),
        digest: bytes = b"",
        firmware: Ovmf | None = None,
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

    def runs(self) -> list[Run]:
        """Return the steps as they are shown: equal ones in a row as one."""
        pairs = zip(self.steps, self.digests, strict=True)
        return [_run(list(group)) for _, group in groupby(pairs, key=lambda pair: pair[0].content)]

    def explain(self) -> View:
        """Show the chain: every step with its size, its own SHA-256, and the launch digest after it."""
        from .layout.views import Paragraph, Table, View, hex_lines

        if not self.steps:
            return View(Paragraph(f"The launch digest was given: {self.digest.hex()}. What was loaded is not known."))
        runs = self.runs()
        rows = [
            [run.name, run.amount, hex_lines(run.first.digest, 8), hex_lines(run.after, 8), run.first.doc]
            for run in runs
        ]
        header = ["step", "bytes", "SHA-256 of it alone", "launch digest after it", "what it is"]
        table = Table(header, rows, colours=[run.colour for run in runs], mono=[0, 1, 2, 3])
        return View(table, *(Paragraph(line) for line in self.remarks))


def _run(pairs: Sequence[tuple[Step, bytes]]) -> Run:
    """Return steps, each with the digest after it, as one run."""
    return Run(pairs[0][0], pairs[-1][0], len(pairs), pairs[-1][1])


class Pair(namedtuple("Pair", "reported computed same")):
    """The same places in two launches: a :class:`Run` of each, None where it has no such step.

    ``same`` says whether the launch digests after them are equal.
    """

    __slots__ = ()

    @property
    def kept(self) -> bool:
        """Whether the same bytes are loaded on both sides, whatever the digests are."""
        sides = self.reported, self.computed
        return None not in sides and len({_loaded(side.first) for side in sides}) == 1


class LaunchComparison(Explainable):
    """Two launches, step by step. ``first`` names the first step after which the digests differ.

    It is "" when there is none, and when it cannot be known: of one launch only the digest was given.
    """

    def __init__(self, reported: Launch, computed: Launch) -> None:
        self.reported, self.computed = reported, computed
        self.matches = reported.digest == computed.digest
        parted = [pair.reported or pair.computed for pair in self.pairs() if not pair.same]
        self.first = str(parted[0].first.name) if parted and self.is_known else ""

    @property
    def is_known(self) -> bool:
        """Whether the steps of both launches are known."""
        return bool(self.reported.steps and self.computed.steps)

    def pairs(self) -> list[Pair]:
        """Return both chains side by side, in runs that are equal on each side."""

        def alike(row: tuple[Any, ...]) -> tuple[object, ...]:
            one, other = row
            same = one is not None and other is not None and one[1] == other[1]
            return same, *(side and _loaded(side[0]) for side in row)

        sides = (zip(launch.steps, launch.digests, strict=True) for launch in (self.reported, self.computed))
        made = []
        for (same, *_), group in groupby(zip_longest(*sides), key=alike):
            columns = ([side for side in column if side] for column in zip(*group, strict=True))
            reported, computed = (_run(column) if column else None for column in columns)
            made.append(Pair(reported, computed, same))
        return made

    def explain(self) -> View:
        """Show both chains, and where they part."""
        from .layout.views import Banner, Heading, View

        return View(
            Banner(self.words, "green" if self.matches else "pink"),
            *(Heading("reported"), self.reported.explain()),
            *(Heading("computed"), self.computed.explain()),
        )

    @property
    def words(self) -> str:
        """The answer in one line."""
        if self.matches:
            return "The launch digests are equal"
        return f"First step that differs: {self.first or 'not known, since only the digest of one was given'}"


def _loaded(step: Step) -> object:
    """Return what compares equal for steps that load the same bytes, also of files that were hashed twice."""
    return (step.size, step.digest) if isinstance(step.content, Hashed) else step.content


def as_peer(name: str) -> str:
    """Return an input's name as sev-snp-measure's command line spells it."""
    return "--" + PEER_NAMES.get(name, name).replace("_", "-")


@checked
def compare_launch(reported: Launch, computed: Launch) -> LaunchComparison:
    """Compare two launches step by step. Never raises on difference."""
    return LaunchComparison(reported, computed)


@opened_once()
def load_launch(policy: Policy, **inputs: Any) -> Launch:
    """Read what a launch is made of, and return it.

    *inputs* are those of :data:`INPUTS`: ``firmware``, ``kernel``, ``initrd``, ``vmsa_cpu0`` and ``vmsa_cpu1`` are
    paths (of kernel and initrd also a :class:`~sevlab.digest.Sha256`), ``cmdline`` is text, the rest are numbers (or
    text in decimal or 0x hex) and the name of a profile; ``cpu_signature`` (CPUID 1, EAX) may stand for family, model
    and stepping. Registers of virtual CPUs are loaded when *policy* asks for SEV-ES; for plain SEV what describes them
    has no effect.

    Raises :class:`~sevlab.errors.InputError` for inputs that cannot be used or do not go together.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    if unknown := sorted(set(given) - {*INPUTS, "cpu_signature"}):
        raise TypeError(f"a launch has no input named {unknown[0]!r}")
    if "firmware" not in given:
        raise InputError("firmware", "nothing", "a firmware image")
    check_together(given)
    ovmf = _ovmf(given) if _needs_tables(given, policy) else None
    firmware = load_hashed(str(given["firmware"]), "firmware")  # of the bytes that the tables are from
    steps = [Step("firmware", firmware, "The firmware image, all of it.")]
    warnings = []
    if "kernel" in given:
        doc = "SHA-256 of command line, initrd and kernel, in one table."
        steps.append(Step("kernel hashes", load_table(given).to_bytes(), doc))
        if ovmf is not None and ovmf.hash_area is None:
            warnings.append(
                "firmware: this firmware has no area for kernel hashes. QEMU refuses to start such a "
                "guest, and the firmware would not check them"
            )
    if policy.es or not set(given).isdisjoint(_ABOUT_CPUS):
        from .registers import read_cpus  # not above: a plain SEV launch has no use for any of it

        cpus = read_cpus(given, DEFAULT_PROFILE)
        if policy.es:
            steps += _vmsas(cpus, ovmf)
    return Launch(steps, warnings, firmware=ovmf if "kernel" in given else None)


def check_together(given: Mapping[str, Any]) -> None:
    """Refuse inputs that do not go together, with :class:`~sevlab.errors.InputError`. No file is looked at."""
    for name in ("initrd", "cmdline"):
        if name in given and "kernel" not in given:
            raise InputError(name, f"it without {named('kernel')}", named("kernel"))
    sku = [name for name in SKU if name in given]
    signature = [name for name in ("cpu_signature",) if name in given]
    files = [name for name in ("vmsa_cpu0", "vmsa_cpu1") if name in given]
    if sku and signature:
        raise InputError(signature[0], f"together with {named(sku[0])}", "one of the two")
    if files and (numbers := sku + signature):
        raise InputError(files[0], f"together with {named(numbers[0])}", "VMSA files, or the CPU's numbers")
    for name in ("profile", "guest_features"):
        if files and name in given:
            raise InputError(name, f"together with {named(files[0])}", "VMSA files, or how to make them")
    if 0 < len(sku) < 3:
        missing = next(name for name in SKU if name not in given)
        raise InputError(missing, f"nothing beside {named(sku[0])}", "family, model and stepping together")
    if files == ["vmsa_cpu1"]:
        raise InputError("vmsa_cpu1", f"it without {named('vmsa_cpu0')}", named("vmsa_cpu0"))


def _needs_tables(given: dict[str, Any], policy: Policy) -> bool:
    """Say whether the firmware's tables are needed: for its hash area, or for where further CPUs start."""
    return "kernel" in given or (policy.es and "vmsa_cpu0" not in given)


def _ovmf(given: dict[str, Any]) -> Ovmf:
    from .firmware import load_ovmf

    ovmf = load_ovmf(str(given["firmware"]), "firmware")
    if not ovmf.size:
        raise InputError("firmware", "an empty file", "a file with content", "check how it was copied")
    return ovmf


def load_table(given: Mapping[str, Any], *, empty: bool = False) -> KernelHashes:
    """Hash the files ``kernel`` and ``initrd`` and the text ``cmdline`` of *given*; return the table of their hashes.

    An empty kernel is refused unless *empty* allows it. Raises :class:`~sevlab.errors.InputError` for a file that
    cannot be read.
    """
    from .formats.kernel_hashes import build_kernel_hashes, hash_cmdline

    kernel = load_sha256(given["kernel"], "kernel", empty=empty)
    initrd = load_sha256(given["initrd"], "initrd", empty=True) if "initrd" in given else None
    try:
        hash_cmdline(given.get("cmdline"))
    except InputError as error:
        raise InputError("cmdline", error.received, error.needed, error.advice) from None
    return build_kernel_hashes(kernel, initrd, given.get("cmdline"))


def _vmsas(cpus: dict[str, Any], ovmf: Ovmf | None) -> list[Step]:
    """Return one step for each virtual CPU. All but the first start from the same registers."""
    from .registers import build_registers

    if "count" not in cpus:
        raise InputError("num_cpus", "nothing", "the number of virtual CPUs, which SEV-ES measures")
    count = cpus["count"]
    start = ovmf.reset_address if ovmf is not None else None
    boot, further = build_registers(cpus, start, count)
    doc = "Initial registers of the boot CPU.", "Initial registers of a further CPU."
    steps = [Step("vCPU 0", boot.to_bytes(), doc[0])]
    if count > 1 and further is not None:
        page = further.to_bytes()
        steps += [Step(f"vCPU {number}", page, doc[1]) for number in range(1, count)]
    return steps
