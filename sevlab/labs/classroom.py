"""Classroom mode: a wrong deployment, in which students find the faults.

The faults are drawn from the mistakes that :func:`sevlab.diagnose` looks for, so every launch has an explanation. The
record is what the owner wrote down; the host ran something else, and reports that.
"""

from __future__ import annotations

import base64
import random
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..diagnosis.inputs import read_sev_inputs
from ..diagnosis.model import Combination
from ..diagnosis.sev import BOX, PARAMETERS, SevSpace
from ..errors import InputError, quoted
from ..formats.launch_measure import Measurement, MeasureMessage
from ..launch.inputs import DEFAULT_PROFILE
from ..launch.measure import compute_measure
from ..layout.span import Explainable
from ..layout.views import Heading, Paragraph, Table, View
from .exercises import Mark, as_number
from .sample_files import SEV_FILES, write_samples
from .samples import ES_CPU, MNONCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import EllipsisType

    from ..diagnosis.model import Choice


#: What may be wrong: the parameters with options of their own.
FAULTY = (
    *("kernel", "initrd", "cmdline", "profile", "model", "features", "count"),
    *("key", "api_major", "api_minor", "build_id", "policy"),
)
MOST_FAULTS = 3
FILES = ("firmware", "kernel", "initrd")


class BrokenLaunch(Explainable):
    """A launch that does not match its record. Made by :func:`broken_launch`.

    ``inputs`` is the record with the host's report, for :func:`sevlab.load_evidence` and :func:`sevlab.diagnose`.
    """

    def __init__(
        self, seed: int, chosen: Mapping[str, Choice], inputs: Mapping[str, str | int], folder: TemporaryDirectory[str]
    ) -> None:
        self.seed, self.inputs = seed, dict(inputs)
        self._chosen, self._folder = dict(chosen), folder  # the folder lives as long as the launch

    def mark(self, answer: Iterable[str] | Mapping[str, object] | EllipsisType) -> Mark:
        """Mark an answer: the names of the wrong inputs (``["build-id", "num-cpus"]``).

        A dictionary also gives the right values, which are marked too. ``...`` means not tried yet. Raises
        :class:`~sevlab.errors.InputError` for names that are not inputs.
        """
        if answer is ...:
            return Mark("not tried", f"Not tried yet. How many faults: {len(self._chosen)}.")
        if isinstance(answer, str):
            answer = [answer]
        if not hasattr(answer, "__iter__"):
            raise InputError("answer", quoted(answer), 'a list of names of inputs, such as ["build-id", "tk"]')
        named = {self._parameter_of(name): name for name in answer}
        right = set(named) & set(self._chosen)
        values = answer.items() if hasattr(answer, "items") else ()
        marked = ((name, value) for name, value in values if self._parameter_of(name) in right)
        wrong_values = [str(name) for name, value in marked if not self._is_value(name, value)]
        words = f"{len(right)} of {len(self._chosen)} faults named"
        if extra := [named[parameter] for parameter in named if parameter not in right]:
            words += f"; not wrong: {', '.join(map(str, extra))}"
        if wrong_values:
            words += f"; another value is right for: {', '.join(wrong_values)}"
        if len(right) == len(self._chosen) and not extra and not wrong_values:
            return Mark("right", f"Right: {words}.")
        if right:
            return Mark("partly", f"Partly: {words}.")
        return Mark("wrong", f"Not yet: {words}.")

    def _parameter_of(self, name: object) -> str:
        plain = _plain(name)
        if plain in ("tk", "tik", "tek"):
            return "key"
        found = next((parameter for parameter, about in PARAMETERS.items() if plain in about.inputs), None)
        if found is None:
            known = [name.replace("_", "-") for parameter in FAULTY for name in PARAMETERS[parameter].inputs]
            raise InputError("answer", quoted(name), f"names of inputs: {', '.join(known)}")
        return found

    def _is_value(self, name: object, value: object) -> bool:
        plain, changes = _plain(name), self._chosen[self._parameter_of(name)].changes
        found = next((str(change.found) for change in changes if change.input == plain), None)
        # Files are shown by their names, so a name will do.
        names = {found, Path(found).name} if found is not None and plain in FILES else {found}
        return str(as_number(value)) in names

    @property
    def solution(self) -> dict[str, object]:
        """The faults: by input, the value with which the host launched."""
        changes = (change for choice in self._chosen.values() for change in choice.changes)
        return {change.input.replace("_", "-"): change.found for change in changes}

    def explain(self) -> View:
        """Show what the student gets."""
        rows = []
        for name, value in self.inputs.items():
            shown = Path(str(value)).name if name in (*FILES, "tk") else str(value)
            shown = f"0x{value:x}" if name in ("policy", "guest_features") else shown
            rows.append([name.replace("_", "-"), "the host" if name == "measurement" else "the record", shown])
        count = len(self._chosen)
        task = f"{count} of these values {'is' if count == 1 else 'are'} not what the host launched with. Which?"
        return View(
            Heading(f"Broken launch {self.seed}"), Table(["input", "from", "value"], rows, mono=[2]), Paragraph(task)
        )


def broken_launch(seed: int, faults: int = 2) -> BrokenLaunch:
    """Make a wrong deployment with 1 to 3 *faults* (else InputError), the same for the same *seed*."""
    if faults not in range(1, MOST_FAULTS + 1):
        raise InputError("faults", quoted(faults), f"1 to {MOST_FAULTS}")
    folder = TemporaryDirectory(prefix="sevlab-classroom-")
    write_samples(folder.name, SEV_FILES)
    chance = random.Random(f"sevlab {seed} {faults}")
    record = _record(Path(folder.name), chance)
    space = SevSpace(read_sev_inputs(record))
    while True:
        names = tuple(name for name in PARAMETERS if name in chance.sample(FAULTY, faults))
        chosen = _draw(space, names, chance) if len(names) == faults else None
        report = _report(space, chosen) if chosen is not None else None
        if chosen is not None and report is not None and _all_count(space, chosen, report):
            text = base64.b64encode(report.to_bytes()).decode()
            return BrokenLaunch(seed, chosen, {**record, "measurement": text}, folder)


def _record(folder: Path, chance: random.Random) -> dict[str, str | int]:
    """Return what the owner wrote down: one of three launches of the samples, with a version of its own."""
    record: dict[str, str | int] = {
        "measurement": base64.b64encode(bytes(Measurement.size)).decode(),
        "api_major": 0,
        "api_minor": chance.randrange(17, 25),
        "build_id": chance.randrange(10, 40),
        "policy": 1,
        "firmware": str(folder / "firmware-kernel.fd"),
        "tk": str(folder / "tk.bin"),
    }
    kind = chance.randrange(3)
    if kind:
        record |= {name: str(folder / f"{name}.bin") for name in ("kernel", "initrd")}
        record["cmdline"] = "console=ttyS0 root=/dev/vda1 quiet"
    if kind == 2:
        family, model, stepping = ES_CPU
        record |= {"policy": 5, "num_cpus": 4, "cpu_family": family, "cpu_model": model, "cpu_stepping": stepping}
        # The defaults: what may be wrong must be shown.
        record |= {"profile": DEFAULT_PROFILE, "guest_features": 0}
    return record


def _draw(space: SevSpace, names: tuple[str, ...], chance: random.Random) -> dict[str, Choice] | None:
    """Draw a likely choice for each parameter; None if they do not go together."""
    drawn = space.combinations(len(names), likely=True)
    combination = next((one for one in drawn if one.names == names and not one.flip), None)
    if combination is None:
        return None
    # Keys that are all zero would give the fault away.
    lists = [[one for one in choices if one.changes[0].found != "all zero"] for choices in combination.lists]
    if not all(lists):
        return None
    return {name: chance.choice(choices) for name, choices in zip(names, lists, strict=True)}


def _all_count(space: SevSpace, chosen: Mapping[str, Choice], report: Measurement) -> bool:
    """Return whether every fault matters: a wrong CPU model, say, does nothing under a profile without one."""
    fewer = (names for size in range(len(chosen)) for names in combinations(chosen, size))
    return all(_report(space, {name: chosen[name] for name in names}) != report for names in fewer)


def _report(space: SevSpace, chosen: Mapping[str, Choice]) -> Measurement | None:
    """Return what the host reports for the actual launch; None if there is no such launch."""
    combination = Combination(tuple(chosen), tuple((choice,) for choice in chosen.values()))
    found = next(space.contexts(combination), None)
    if found is None:
        return None
    context, _ = found
    values = {name: chosen[name].value if name in chosen else space.parameters[name].base.value for name in BOX}
    message = MeasureMessage(**values, digest=context.digest, mnonce=MNONCE)
    return Measurement(measure=compute_measure(message, context.key), mnonce=MNONCE)


def _plain(name: object) -> str:
    return str(name).strip().removeprefix("--").replace("-", "_")
