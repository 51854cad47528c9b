"""The space that is searched for SEV-SNP: which inputs can be wrong, and the digests that follow from their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from ..formats.page_info import ZEROS
from ..launch.snp import DEFAULT_PROFILE
from ..launch.vmm import SNP_PROFILES, PageRules
from .digests import Cpus, Kernel, Loaded, SnpDigests, walk
from .hypotheses_snp import HYPOTHESES
from .model import MISSING, About, Choice, Combination
from .result import UNCHECKED, report_alarms
from .space import Space
from .start import Candidate, SnpStart, features_of

if TYPE_CHECKING:
    from .engine import Engine
    from .inputs import SnpInputs


#: Every parameter, in the order in which it enters the chain.
PARAMETERS = {
    "firmware": About("the firmware file", ("firmware",)),
    "ovmf_hash": About("the digest in the firmware's place", ("ovmf_hash",)),
    "svsm": About("the SVSM image", ("svsm",)),
    "vars": About("the size of the variable store", ("vars_size",)),
    "kernel": About("the kernel", ("kernel",)),
    "initrd": About("the initrd", ("initrd",)),
    "cmdline": About("the command line", ("cmdline",)),
    "pages": About("the order and types of pages", ("pages",), "as the profile loads them"),
    "profile": About("the profile", ("profile",)),
    "model": About("the CPU model", ("cpu_signature",)),
    "features": About("SEV_FEATURES", ("guest_features",)),
    "reset": About("the start address of further CPUs", ("reset_address",)),
    "count": About("the number of virtual CPUs", ("num_cpus",)),
    "part": About("which part of the launch the digest is of", ("part",), "the whole launch"),
    "measurement": About("the form of the digest", ("measurement",)),
}
#: What is loaded before the registers; the profile belongs to both.
_BEFORE = ("firmware", "ovmf_hash", "svsm", "vars", "kernel", "initrd", "cmdline", "pages", "profile")
_REGISTERS = ("model", "features", "reset")
_TABLE = {"initrd", "cmdline"}
#: What cannot differ with an SVSM.
_NOT_WITH_SVSM = {"ovmf_hash", "kernel", *_TABLE, "profile", "reset"}


class SnpSpace(Space):
    """Every parameter with its choices."""

    HYPOTHESES = HYPOTHESES

    def __init__(self, inputs: SnpInputs, files: Sequence[Candidate] = ()) -> None:
        self.inputs, self.start, self.digests = inputs, SnpStart(inputs, files), SnpDigests()
        self.shown = dict(inputs.shown)
        self.about = PARAMETERS
        if self.start.features is not None:
            self.shown["guest_features"] = self.start.features
        self.notes = inputs.remarks
        if inputs.report is not None:
            self.notes, self.alarms = (*inputs.remarks, UNCHECKED), tuple(report_alarms(inputs.report))
        start = self.start
        images = {"ovmf_hash": start.ovmf_hash, "svsm": start.svsm, "vars": start.vars_size}
        #: The values given; ``pages`` are changed rules by name.
        self.base = {**start.values(inputs.measurements[0]), **images, "pages": (), "part": None}
        self.gather(start, self.base, () if start.svsm is None else _NOT_WITH_SVSM)

    def combine(self, names: tuple[str, ...], likely: bool) -> Iterator[Combination]:
        chosen = set(names)
        if self._lacks(chosen) or ("part" in chosen and chosen & {*_REGISTERS, "count"}):
            return
        if chosen & _TABLE and self.start.kernel is None and "kernel" not in chosen:
            return
        yield Combination({name: self.choices(name, names, likely) for name in names})

    def _lacks(self, chosen: set[str]) -> bool:
        """Whether something is needed that was neither given nor is searched. Some profiles need no model."""
        missing = {name for name, one in self.parameters.items() if one.base.value is MISSING} - chosen
        if "part" in chosen:
            missing -= {"count", "model"}
        if "profile" in chosen or not self._takes_model(self.start.cpus.profile):
            missing.discard("model")
        return bool(missing)

    @staticmethod
    def _takes_model(profile: str | None) -> bool:
        return profile is None or SNP_PROFILES[profile].takes_signature

    def matches(self) -> bool:
        if self._lacks(set()):
            return False
        count = int(self.parameters["count"].base.value)
        digests = self.cpu_digests(count)
        return len(digests) == count and digests[-1] == bytes(self.parameters["measurement"].base.value)

    def impossible(self, has_candidates: bool) -> Iterator[str]:
        start, launch = self.start, self.inputs.launch
        if any(reading is not None and reading.value == ZEROS for reading in self.inputs.measurements):
            yield "A digest of zeros: no launch has it; it is what a report holds before anything is loaded."
        if not has_candidates:
            yield self.NO_CANDIDATES
        if start.svsm is not None:
            yield "Kernel hashes, other profiles: with an SVSM there is one profile, and no kernel is measured."
        elif launch.kernel is None and start.base_image.has_hashes:
            yield self.NO_KERNEL
        elif launch.kernel is None:
            yield "Kernel hashes: no kernel was given, and this firmware has no section for the hashes of one."
        elif launch.cmdline is None:
            yield self.NO_CMDLINE
        if start.svsm is None and start.base_image.reset_address is None and launch.vmsa_cpu0 is None:
            yield self.NO_RESET_ADDRESS
        if launch.vmsa_cpu0 is not None and launch.vmsa_cpu1 is None:
            yield "More than one virtual CPU: vmsa_cpu1 was not given."
        yield self.TOO_MANY_CPUS
        yield "Changed bytes in a file: no search can find these."

    def cpu_digests(self, count: int) -> list[bytes]:
        """Return the digests (48 bytes each) with 1 to *count* virtual CPUs; fewer where there is no such launch."""
        before = self.digests.before(self._loaded(self.base))
        hashes = before and self.digests.page_hashes(self._cpus(self.base, before[1]))
        return walk(before[0][-1], hashes, count, _rules(self.base).vmsa_gpa) if before and hashes else []

    def hits(self, combination: Combination, engine: Engine) -> Iterator[list[Choice]]:
        lists = combination.lists
        readings = lists.get("measurement", (self.parameters["measurement"].base,))
        reported = {choice.value: [choice] if "measurement" in lists else [] for choice in readings}
        before = [name for name in lists if name in _BEFORE]
        for chosen in product(*(lists[name] for name in before)):
            values = self.base | dict(zip(before, (choice.value for choice in chosen), strict=True))
            engine.check()
            loaded = self.digests.before(self._loaded(values))
            if loaded is None:
                continue
            after, start = loaded
            if "part" in lists:
                engine.tried += len(lists["part"]) * len(reported)
                for part in lists["part"]:
                    if part.value < len(after) and after[part.value] in reported:
                        yield [*chosen, part, *reported[after[part.value]]]
            elif "model" not in lists or self._takes_model(values["profile"]):
                for more, digest in self._ends(values, lists, after[-1], start, reported, engine):
                    yield [*chosen, *more, *reported[digest]]

    def _ends(
        self,
        values: dict[str, Any],
        lists: Mapping[str, Sequence[Choice]],
        digest: bytes,
        start: int | None,
        reported: Mapping[bytes, object],
        engine: Engine,
    ) -> Iterator[tuple[list[Choice], bytes]]:
        """Continue from *digest* with every combination of registers and number of CPUs; yield those reported."""
        names = [name for name in _REGISTERS if name in lists]
        counts = {choice.value: [choice] for choice in lists.get("count", ())} or {values["count"]: []}
        most, tried = max(counts), len(counts) * len(reported)
        is_none_reported = reported.keys().isdisjoint
        for chosen in product(*(lists[name] for name in names)):
            values = values | dict(zip(names, (choice.value for choice in chosen), strict=True))
            engine.check()
            hashes = self.digests.page_hashes(self._cpus(values, start))
            if hashes is None:
                continue
            digests = walk(digest, hashes, most, _rules(values).vmsa_gpa)
            engine.tried += tried
            if is_none_reported(digests):
                continue
            for count, after in enumerate(digests, 1):
                if after in reported and count in counts:
                    yield [*chosen, *counts[count]], after

    def _loaded(self, values: dict[str, Any]) -> Loaded:
        table = [values[name] for name in ("kernel", "initrd", "cmdline")]
        kernel = None if table[0] is None else Kernel(*table)
        rules = _rules(values)
        firmware, ovmf_hash, svsm, size = (values[name] for name in ("firmware", "ovmf_hash", "svsm", "vars"))
        return Loaded(firmware, ovmf_hash, svsm, size, kernel, rules)

    def _cpus(self, values: dict[str, Any], start: int | None) -> Cpus:
        """Return how CPUs start with these values. With registers from files, only what differs from them is given."""
        base = self.start.cpus
        profile, signature, features, reset = (values[name] for name in ("profile", "model", "features", "reset"))
        if signature is MISSING or not self._takes_model(profile):
            signature = None
        if base.boot is None:
            features = features_of(profile, features)
        reset = reset if base.boot is not None or reset is not None else start
        return base._replace(profile=profile, signature=signature, features=features, reset_address=reset)


def _rules(values: dict[str, Any]) -> PageRules:
    """Return how a host loads pages, by its profile and what is changed of it."""
    rules: PageRules = SNP_PROFILES[values["profile"] or DEFAULT_PROFILE].pages._replace(**dict(values["pages"]))
    return rules
