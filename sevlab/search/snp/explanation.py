"""What a search found about a SEV-SNP launch, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...cpu import CPU_MODELS
from ...errors import UnsupportedError, quoted
from ...formats.policy import SnpPolicy
from ...launch import SKU, as_peer
from ...layout.views import Banner, Paragraph, View
from ..diagnosis import NO_INPUT, NO_KERNEL, Diagnosis, Explanation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ...formats.report import Report
    from ...layout.views import Block
    from ..axis import Change

#: Changes that no option of digest can say, and what they are called.
NO_OPTION = {
    "pages": "order and types of pages",
    "part": "what the digest is of",
    "reset_address": "start address of further CPUs",
}
#: What of a policy the owner must not overlook when it is set.
_DANGEROUS = ("debug", "migrate_ma")
UNCHECKED = "The signature of the report is not checked here; sevlab report verify checks it."
_COMPARED = "launch digest"
#: How many digits of a reported digest a table has room for.
_DIGITS = 24


class SnpExplanation(Explanation):
    """Changed inputs under which the computed launch digest is the reported one, and the mistakes they point to."""

    __slots__ = ()
    COMPARED = _COMPARED

    def named(self, name: str) -> str:
        """Return what an input is called: the option of digest, or words for what is none."""
        return NO_OPTION.get(name) or as_peer(name)

    def shown(self, change: Change, side: str) -> str:
        """Return a value for people; a CPU's signature and SEV_FEATURES in hex, as options take them."""
        value = getattr(change, side)
        if change.input == "cpu_signature" and isinstance(value, int):
            model = next((name for name, cpu in CPU_MODELS.items() if cpu.signature == value), "no model of QEMU")
            return f"0x{value:x} ({model})"
        if change.input == "measurement":
            digits, form = (str(value), "") if side == "given" else str(value).split(" ", 1)
            return f"{quoted(digits[:_DIGITS])}{'...' * (len(digits) > _DIGITS)} {form}".rstrip()
        if change.input == "ovmf_hash" and isinstance(value, str) and len(value) > _DIGITS:
            return f"{value[:_DIGITS]}..."
        if change.input in ("guest_features", "reset_address") and isinstance(value, int):
            return f"0x{value:x}"
        return super().shown(change, side)

    @property
    def inputs(self) -> dict[str, Any]:
        """The changes as inputs of :func:`sevlab.load_snp_launch`; None takes an input away.

        Raises :class:`~sevlab.errors.UnsupportedError` for what no input can say: pages in another order, another start
        of further CPUs, a part of the launch, other bytes of a file or of the command line.
        """
        inputs: dict[str, Any] = {}
        for change in self.changes:
            if change.input in NO_OPTION or any(one.name in NO_INPUT for one in self.hypotheses):
                raise UnsupportedError(
                    f"a launch with {self.named(change.input)} as found", "what digest's options say"
                )
            inputs[change.input] = change.found
        inputs.pop("measurement", None)
        if "cpu_signature" in inputs:
            inputs |= dict.fromkeys(SKU)
        if "vars_size" in inputs:
            inputs["vars_file"] = None
        if "kernel" in inputs and inputs["kernel"] is None:
            inputs |= {"initrd": None, "cmdline": None}
        return inputs

    @property
    def alarms(self) -> list[str]:
        """What the owner must not overlook in the values found."""
        return [NO_KERNEL] if self.found.get("kernel", "") is None else []


class SnpDiagnosis(Diagnosis):
    """The outcome of :func:`sevlab.diagnose_snp`; see :class:`sevlab.Diagnosis`.

    ``alarms`` are what the owner must not overlook in the report, whatever explains it; ``notes`` is what was odd
    about the inputs, and what was not looked at.
    """

    COMPARED = _COMPARED

    def __init__(self, *found: Any, alarms: Sequence[str] = (), notes: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*found, **more)
        self.alarms, self.notes = tuple(alarms), tuple(notes)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, as docs/diagnose.md describes it."""
        return super().as_dict() | {"alarms": list(self.alarms), "notes": list(self.notes)}

    def explain(self) -> View:
        """Show the answer first, then what it rests on."""
        first, *rest = super().explain().blocks
        told: list[Block] = [Banner(alarm, "pink") for alarm in self.alarms]
        return View(first, *told, *rest, *(Paragraph(note) for note in self.notes))


def report_alarms(report: Report) -> list[str]:
    """Say what the owner must not overlook in a report, whatever its measurement is."""
    policy = report.policy
    alarms = [
        f"The report's policy sets {row.name.upper()}: {row.doc}"
        for row, value in policy.items()
        if row.name in _DANGEROUS and value
    ]
    if report.key_info.signer not in ("VCEK", "VLEK"):
        alarms.append("The report names no key that signed it: anyone can make such a report, and it proves nothing.")
    return alarms + [f"The report's policy: {finding}." for finding in SnpPolicy(policy).findings()]
