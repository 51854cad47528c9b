"""The space that is searched for SEV and SEV-ES: which inputs can be wrong, and what a change of each does.

Some inputs change what is hashed, and give *contexts*: a key, a digest, a reported measurement. The others (version and
policy) only change the message, and give a *box*: all combinations of four lists of numbers, tried in every context.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from ..errors import InputError
from ..formats.hashtable import HashTable
from .digests import Fold, Kernel
from .engine import Context
from .hypotheses_sev import HYPOTHESES, NUMBERS
from .model import MISSING, Axes, make_subset
from .start import Start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .engine import Box
    from .inputs import Given
    from .model import Axis, Choice, Subset
    from .start import Candidate

#: Which inputs an axis is about, in the order in which contexts are made: what is hashed first comes first.
AXES: dict[str, tuple[str, ...]] = {
    "firmware": ("firmware",),
    "kernel": ("kernel",),
    "initrd": ("initrd",),
    "cmdline": ("cmdline",),
    "table": ("table",),
    "profile": ("profile",),
    "model": ("cpu_family", "cpu_model", "cpu_stepping"),
    "features": ("guest_features",),
    "reset": ("reset_address",),
    "count": ("num_cpus",),
    "key": ("tk",),
    "message": ("message",),
    "measurement": ("measurement",),
    "api_major": ("api_major",),
    "api_minor": ("api_minor",),
    "build_id": ("build_id",),
    "policy": ("policy",),
}
BOX = (*NUMBERS, "policy")
_KERNEL, _TABLE = "kernel", {"initrd", "cmdline", "table"}
#: What does not change what is hashed before it: the number of pages comes last, the rest is not in the digest.
_AFTER = ("count", "key", "message", "measurement")
_CPUS = {"profile", "model", "features", "reset", "count"}
#: What is given of the inputs that no option names.
_UNNAMED = {"message": "56 bytes", "table": HashTable.size, "reset_address": None}
#: What each axis is called in sentences.
WORDS = {
    "firmware": "the firmware file",
    "kernel": "the kernel",
    "initrd": "the initrd",
    "cmdline": "the command line",
    "table": "the padding of the kernel-hashes table",
    "profile": "the profile",
    "model": "the CPU model",
    "features": "SEV_FEATURES",
    "reset": "the start address of further CPUs",
    "count": "the number of virtual CPUs",
    "key": "the key file",
    "message": "the form of the message",
    "measurement": "the form of the measurement",
    "api_major": "API major",
    "api_minor": "API minor",
    "build_id": "the build",
    "policy": "the policy",
}


class Space(Axes):
    """Every axis with its choices."""

    INPUTS, WORDS, UNNAMED = AXES, WORDS, _UNNAMED

    def __init__(self, given: Given, files: Sequence[Candidate] = ()) -> None:
        self.given, self.shown = given, given.shown
        self.start = Start(given, files)
        self.fold = Fold()
        self.axes = {name: self._axis(name) for name in AXES}
        self.is_es = bool(given.policy.es)

    def _base(self, name: str) -> Any:
        start, cpus = self.start, self.start.cpus
        if name in NUMBERS:
            return self.given.numbers[NUMBERS.index(name)]
        if name in ("measurement", "key"):
            reading = (self.given.measurements if name == "measurement" else self.given.keys)[0]
            return MISSING if reading is None else reading.value
        if name == "model":
            fixed = cpus is None or cpus.boot is not None or cpus.signature is not None
            return cpus.signature if cpus and fixed else MISSING
        return {
            "firmware": start.base_image,
            "kernel": start.kernel,
            "initrd": start.initrd or start.nothing,
            "cmdline": start.cmdline,
            "table": HashTable.size,
            "profile": cpus.profile if cpus else MISSING,
            "features": cpus.features if cpus else MISSING,
            "reset": None,
            "count": MISSING if start.count is None else start.count,
            "message": False,
            "policy": self.given.policy,
        }[name]

    def _axis(self, name: str) -> Axis:
        inputs = (self.given.key_input,) if name == "key" else AXES[name]
        measured = "firmware" in self.given.launch or name not in {"firmware", _KERNEL, *_TABLE, *_CPUS}
        return self.gather(name, inputs, self._base(name), HYPOTHESES if measured else (), self.start)

    def kinds(self, names: tuple[str, ...], likely: bool) -> Iterator[Subset]:
        """Yield the kinds of explanation in which just these axes are changed: a policy may switch SEV-ES."""
        for flip in (False, True) if "policy" in names else (False,):
            subset = self._subset(names, flip, likely)
            if subset is not None:
                yield subset

    def _subset(self, names: tuple[str, ...], flip: bool, likely: bool) -> Subset | None:
        chosen, es = set(names), self.is_es != flip
        launch = "firmware" in self.given.launch
        needed = {"measurement", "key", *(_CPUS if es and launch else ())}
        if any(self.axes[name].base.value is MISSING and name not in chosen for name in needed):
            return None
        if (chosen & _CPUS and not (es and launch)) or ("message" in chosen and chosen & set(NUMBERS)):
            return None
        has_kernel = self.start.kernel is not None
        if chosen & _TABLE and not has_kernel and _KERNEL not in chosen:
            return None
        lists = []
        for name in names:
            choices = [choice for choice in self.axes[name].choices if choice.likely or not likely]
            if name == "policy" and launch:
                choices = [choice for choice in choices if bool(choice.value.es) == es]
            if name == _KERNEL and chosen & _TABLE:
                choices = [choice for choice in choices if choice.value is not None]
            lists.append(choices)
        return make_subset(names, lists, flip)

    def box(self, subset: Subset) -> Box:
        """Return the four lists of a subset's box: API major, API minor, build, policy."""
        lists = dict(zip(subset.names, subset.lists, strict=True))

        def values(name: str) -> tuple[int, ...]:
            return tuple(choice.value for choice in lists.get(name, (self.axes[name].base,)))

        major, minor, build = map(values, NUMBERS)
        return major, minor, build, values("policy")

    def contexts(self, subset: Subset) -> Iterator[tuple[Context, tuple[Choice, ...]]]:
        """Yield every context of a subset, with the choices that lead to it."""
        lists = {name: choices for name, choices in zip(subset.names, subset.lists, strict=True) if name not in BOX}
        before = [name for name in lists if name not in _AFTER]
        counts = lists.get("count", (self.axes["count"].base,))
        counted = "count" in lists
        after = [lists.get(name, (self.axes[name].base,)) for name in _AFTER[1:]]
        changed = [name in lists for name in _AFTER[1:]]
        values = {name: axis.base.value for name, axis in self.axes.items()}
        es = self.is_es != subset.flip
        for choices in product(*(lists[name] for name in before)):
            values.update(zip(before, (choice.value for choice in choices), strict=True))
            for count, digest in zip(counts, self._digests(values, es, counts), strict=True):
                if digest is None:
                    continue
                path = (*choices, count) if counted else choices
                for last in product(*after):
                    key, message, measurement = (choice.value for choice in last)
                    taken = tuple(choice for choice, is_changed in zip(last, changed, strict=True) if is_changed)
                    yield Context(key, message, digest, measurement[:32], measurement[32:]), path + taken

    def _digests(self, values: dict[str, Any], es: bool, counts: Sequence[Choice]) -> Sequence[bytes | None]:
        """Return the launch digest for each number of virtual CPUs; None where there is no such launch."""
        if not self.given.launch:
            return [self.given.digest]
        kernel = None
        if values["kernel"] is not None:
            kernel = Kernel(values["kernel"], values["initrd"], values["cmdline"], values["table"])
        if not es:
            return [self.fold.plain(values["firmware"], kernel)] * len(counts)
        base = self.start.cpus
        assert base is not None
        cpus = base._replace(
            profile=values["profile"],
            signature=values["model"],
            features=values["features"],
            reset_address=values["reset"],
        )
        numbers = [choice.value for choice in counts]
        try:
            chain = self.fold.chain(values["firmware"], kernel, cpus, max(numbers))
        except InputError:  # a profile that needs what is not known
            return [None] * len(numbers)
        return [chain[number - 1] if number <= len(chain) else None for number in numbers]

    @cached_property
    def base_context(self) -> Context | None:
        """The context of what was given, None when some of it could not be used."""
        subset = self._subset((), False, False)
        if subset is None:
            return None
        return next((context for context, _ in self.contexts(subset)), None)
