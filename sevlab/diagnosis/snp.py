"""The space that is searched for SEV-SNP: which inputs can be wrong, and the digests that follow from their values."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from ..profiles import SNP_PROFILES
from ..snp.load import DEFAULT_PROFILE
from .digests import Cpus, Kernel, Loaded, SnpFold, walk
from .hypotheses_snp import HYPOTHESES
from .model import MISSING, Axes, make_subset
from .start import SnpStart, features_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .engine import Engine
    from .inputs import SnpGiven
    from .model import Choice, Option, Subset
    from .start import Candidate

#: Which inputs an axis is about, in the order in which they enter the chain.
AXES: dict[str, tuple[str, ...]] = {
    "firmware": ("firmware",),
    "ovmf_hash": ("ovmf_hash",),
    "svsm": ("svsm",),
    "vars": ("vars_size",),
    "kernel": ("kernel",),
    "initrd": ("initrd",),
    "cmdline": ("cmdline",),
    "pages": ("pages",),
    "profile": ("profile",),
    "model": ("cpu_signature",),
    "features": ("guest_features",),
    "reset": ("reset_address",),
    "count": ("num_cpus",),
    "part": ("part",),
    "measurement": ("measurement",),
}
#: What each axis is called in sentences.
WORDS = {
    "firmware": "the firmware file",
    "ovmf_hash": "the digest in the firmware's place",
    "svsm": "the SVSM image",
    "vars": "the size of the variable store",
    "kernel": "the kernel",
    "initrd": "the initrd",
    "cmdline": "the command line",
    "pages": "the order and types of pages",
    "profile": "the profile",
    "model": "the CPU model",
    "features": "SEV_FEATURES",
    "reset": "the start address of further CPUs",
    "count": "the number of virtual CPUs",
    "part": "which part of the launch the digest is of",
    "measurement": "the form of the digest",
}
UNNAMED = {"pages": "as the profile loads them", "part": "the whole launch", "reset_address": None}
#: What is loaded before the registers; the profile belongs to both.
_BEFORE = ("firmware", "ovmf_hash", "svsm", "vars", "kernel", "initrd", "cmdline", "pages", "profile")
_REGISTERS = ("model", "features", "reset")
_TABLE = {"initrd", "cmdline"}
#: What cannot be otherwise beside an SVSM.
_NOT_WITH_SVSM = {"ovmf_hash", "kernel", *_TABLE, "profile", "reset"}


class SnpSpace(Axes):
    """Every axis with its choices."""

    INPUTS, WORDS, UNNAMED = AXES, WORDS, UNNAMED

    def __init__(self, given: SnpGiven, files: Sequence[Candidate] = ()) -> None:
        self.given, self.start, self.fold = given, SnpStart(given, files), SnpFold()  # type: ignore[arg-type]
        self.shown = dict(given.shown)
        if self.start.cpus.signature is not None:
            self.shown["cpu_signature"] = self.start.cpus.signature
        if self.start.features is not None:
            self.shown["guest_features"] = self.start.features
        left_out = _NOT_WITH_SVSM if self.start.svsm is not None else set()
        self.axes = {
            name: self.gather(name, inputs, self._base(name), () if name in left_out else HYPOTHESES, self.start)
            for name, inputs in AXES.items()
        }

    def _base(self, name: str) -> Any:
        start, cpus = self.start, self.start.cpus
        if name == "measurement":
            reading = self.given.measurements[0]
            return MISSING if reading is None else reading.value
        if name == "model":
            return cpus.signature if cpus.boot is not None or cpus.signature is not None else MISSING
        return {
            "firmware": start.base_image,
            "ovmf_hash": start.ovmf_hash,
            "svsm": start.svsm,
            "vars": start.vars_size,
            "kernel": start.kernel,
            "initrd": start.initrd or start.nothing,
            "cmdline": start.cmdline,
            "pages": (),
            "profile": cpus.profile,
            "features": cpus.features,
            "reset": None,
            "count": MISSING if start.count is None else start.count,
            "part": None,
        }[name]

    def is_other(self, name: str, option: Option, base: Any) -> bool:
        """Say whether an option is another value than the one that was given, and one there can be."""
        if name == "firmware" and option.value is None:  # no whole pages
            return False
        return super().is_other(name, option, base)

    def kinds(self, names: tuple[str, ...], likely: bool) -> Iterator[Subset]:
        """Yield the kind of explanation in which just these axes are changed, if there can be one."""
        chosen = set(names)
        if self._lacks(chosen):
            return
        if "part" in chosen and chosen & {*_REGISTERS, "count"}:
            return
        if chosen & _TABLE and self.start.kernel is None and "kernel" not in chosen:
            return
        lists = []
        for name in names:
            choices = [choice for choice in self.axes[name].choices if choice.likely or not likely]
            if name == "kernel" and chosen & _TABLE:
                choices = [choice for choice in choices if choice.value is not None]
            lists.append(choices)
        subset = make_subset(names, lists)
        if subset is not None:
            yield subset

    def _lacks(self, chosen: set[str]) -> bool:
        """Say whether something is needed that was neither given nor is searched. A profile may do without a model."""
        missing = {name for name, axis in self.axes.items() if axis.base.value is MISSING} - chosen
        if "part" in chosen:
            missing -= {"count", "model"}
        if "profile" in chosen or not self._takes_model(self.start.cpus.profile):
            missing.discard("model")
        return bool(missing)

    @staticmethod
    def _takes_model(profile: str | None) -> bool:
        return profile is None or SNP_PROFILES[profile].takes_signature

    def matches(self) -> bool:
        """Say whether the launch as it was given has the digest that was reported."""
        if self._lacks(set()):
            return False
        count = int(self.axes["count"].base.value)
        digests = self.cpu_digests(count)
        return len(digests) == count and digests[-1] == bytes(self.axes["measurement"].base.value)

    def cpu_digests(self, count: int) -> list[bytes]:
        """Return the launch digests (48 bytes each) of what was given with 1, 2, ... *count* virtual CPUs.

        None at all where there is no such launch, one alone where nothing says how further CPUs start.
        """
        values = self._values()
        before = self.fold.before(self._loaded(values))
        links = before and self.fold.links(self._cpus(values, before[1]))
        return walk(before[0][-1], links, count) if before and links else []

    def hits(self, subset: Subset, engine: Engine) -> Iterator[list[Choice]]:
        """Try a kind of explanation to its end; yield the choices of those whose digest is the reported one."""
        lists = dict(zip(subset.names, subset.lists, strict=True))
        values = self._values()
        readings = lists.get("measurement", (self.axes["measurement"].base,))
        wanted = {choice.value: [choice] if "measurement" in lists else [] for choice in readings}
        before = [name for name in subset.names if name in _BEFORE]
        for chosen in product(*(lists[name] for name in before)):
            values.update(zip(before, (choice.value for choice in chosen), strict=True))
            engine.check()
            loaded = self.fold.before(self._loaded(values))
            if loaded is None:
                continue
            after, start = loaded
            if "part" in lists:
                engine.tried += len(lists["part"]) * len(wanted)
                for part in lists["part"]:
                    if part.value < len(after) and after[part.value] in wanted:
                        yield [*chosen, part, *wanted[after[part.value]]]
            elif "model" not in lists or self._takes_model(values["profile"]):
                for more, digest in self._ends(values, lists, after[-1], start, wanted, engine):
                    yield [*chosen, *more, *wanted[digest]]

    def _ends(
        self,
        values: dict[str, Any],
        lists: Mapping[str, Sequence[Choice]],
        digest: bytes,
        start: int | None,
        wanted: Mapping[bytes, object],
        engine: Engine,
    ) -> Iterator[tuple[list[Choice], bytes]]:
        """Go on from *digest* with every combination of registers and number of CPUs; yield those that are wanted."""
        names = [name for name in _REGISTERS if name in lists]
        counts = {choice.value: [choice] for choice in lists.get("count", ())} or {values["count"]: []}
        most, tried = max(counts), len(counts) * len(wanted)
        is_none_wanted = wanted.keys().isdisjoint
        for chosen in product(*(lists[name] for name in names)):
            values.update(zip(names, (choice.value for choice in chosen), strict=True))
            engine.check()
            links = self.fold.links(self._cpus(values, start))
            if links is None:
                continue
            digests = walk(digest, links, most)
            engine.tried += tried
            if is_none_wanted(digests):
                continue
            for count, after in enumerate(digests, 1):
                if after in wanted and count in counts:
                    yield [*chosen, *counts[count]], after

    def _values(self) -> dict[str, Any]:
        return {name: axis.base.value for name, axis in self.axes.items()}

    def _loaded(self, values: Mapping[str, Any]) -> Loaded:
        kernel = None
        if values["kernel"] is not None:
            kernel = Kernel(values["kernel"], values["initrd"], values["cmdline"], 0)
        rules = SNP_PROFILES[values["profile"] or DEFAULT_PROFILE].pages._replace(**dict(values["pages"]))
        return Loaded(values["firmware"], values["ovmf_hash"], values["svsm"], values["vars"], kernel, rules)

    def _cpus(self, values: Mapping[str, Any], start: int | None) -> Cpus:
        """Return how CPUs start with these values. With registers from files, only what differs from them is given."""
        base, profile, signature = self.start.cpus, values["profile"], values["model"]
        if signature is MISSING or not self._takes_model(profile):
            signature = None
        if base.boot is not None:
            return base._replace(
                profile=profile, signature=signature, features=values["features"], reset_address=values["reset"]
            )
        features = features_of(profile, values["features"])
        return Cpus(profile, signature, features, start if values["reset"] is None else values["reset"], None, None)
