"""``diagnose_snp``: from a launch digest that does not match to the input that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...arguments import checked
from ...reading import opened_once
from ...snp.order import has_hashes
from ..course import BUDGET, Task, search
from ..mistakes.cpus import COUNT_LIMIT
from .explanation import UNCHECKED, SnpDiagnosis, SnpExplanation, report_alarms
from .firmware import measure_firmware
from .given import is_zero, read_snp_given
from .space import SnpSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ...formats.report import Report
    from ..axis import Subset
    from ..diagnosis import Explanation
    from ..engine import Engine, Progress


@opened_once()
@checked
def diagnose_snp(
    inputs: Mapping[str, Any],
    measurement: bytes | str | Report,
    *,
    candidates: str | None = None,
    budget: float = BUDGET,
    max_changes: int = 3,
    progress: Callable[[Progress], object] | bool | None = None,
) -> SnpDiagnosis:
    """Find the fewest changes of inputs under which the computed launch digest of SEV-SNP equals the reported one.

    *inputs* are those of :func:`sevlab.load_snp_launch`, as a dictionary; the number of virtual CPUs and the CPU's
    signature may be left out, and are then searched. *measurement* is the reported launch digest: 48 bytes, or their
    hex or base64 text, or a whole report, whose signature is not checked. *candidates* is a folder of files that may
    have been loaded. *budget* is in seconds, *max_changes* 1 to 4. *progress* is called about ten times a second; True
    shows a bar, for notebooks.

    An interrupt (Ctrl-C) ends the search and returns what is known so far. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used at all.
    """
    task = _Chained(inputs, measurement, candidates)
    found = search(task, budget, max_changes, progress, jobs=1)
    assert isinstance(found, SnpDiagnosis)
    if task.space is not None:
        given = task.space.given
        found.notes = (
            *given.remarks,
            *([UNCHECKED] if given.report is not None else []),
        )
        found.alarms = () if given.report is None else tuple(report_alarms(given.report))
    return found


class _Chained(Task):
    """A launch digest of SEV-SNP: a chain of hashes, of which a candidate costs those after the first change."""

    outcome = SnpDiagnosis
    space: SnpSpace | None = None

    def __init__(
        self,
        inputs: Mapping[str, Any],
        measurement: bytes | str | Report,
        candidates: str | None,
    ) -> None:
        super().__init__(candidates)
        self.inputs, self.measurement = inputs, measurement

    def open(self, engine: Engine, not_tried: list[str]) -> SnpSpace:
        given = read_snp_given(self.inputs, self.measurement)
        self.space = SnpSpace(given, self.read_candidates(engine, not_tried, measure=measure_firmware))
        return self.space

    @property
    def _space(self) -> SnpSpace:
        assert self.space is not None
        return self.space

    def matches(self) -> bool:
        return self._space.matches()

    def explanations(self, subset: Subset, engine: Engine) -> list[Explanation]:
        for chosen in self._space.hits(subset, engine):
            changes = tuple(change for choice in chosen for change in choice.changes)
            # A digest fits one chain only: what else would be found says the same.
            return [SnpExplanation(changes, tuple(choice.hypothesis for choice in chosen), None)]
        return []

    def impossible(self) -> list[str]:
        start = self._space.start
        launch = self._space.given.launch
        sentences = []
        if is_zero(self._space.given):
            sentences.append(
                "A digest of zeros: no launch has it; it is what a report holds before anything is loaded."
            )
        if self.candidates is None:
            sentences.append("Other firmware, kernel and initrd files: no folder of candidates was named.")
        if start.svsm is not None:
            sentences.append(
                "Kernel hashes, other profiles: with an SVSM there is one profile, and no kernel is measured."
            )
        elif "kernel" not in launch:
            why = "no kernel was given; if the host loads one, name it"
            if not has_hashes(start.base_image):
                why = "no kernel was given, and this firmware has no section for the hashes of one"
            sentences.append(f"Kernel hashes: {why}.")
        elif "cmdline" not in launch:
            sentences.append("Other command lines: none was given to start from.")
        if start.svsm is None and start.base_image.reset_address is None and "vmsa_cpu0" not in launch:
            sentences.append("More than one virtual CPU: this firmware does not say where further ones start.")
        if "vmsa_cpu0" in launch and "vmsa_cpu1" not in launch:
            sentences.append("More than one virtual CPU: vmsa_cpu1 was not given.")
        sentences.append(f"More than {COUNT_LIMIT} virtual CPUs: that is where the search ends.")
        sentences.append("Changed bytes in a file: no search can find these.")
        return sentences
