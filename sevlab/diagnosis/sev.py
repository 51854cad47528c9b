"""The space that is searched for SEV and SEV-ES: which inputs can be wrong, and what a change of each does.

Some inputs change what is hashed, and give *contexts*: a key, a digest, a reported measurement. The others (version and
policy) only change the message, and give a *box*: all combinations of four lists of numbers, tried in every context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..formats.kernel_hashes import KernelHashes
from .digests import Cpus, Kernel, SevDigests
from .engine import Box, Context, Engine, Hit, try_box
from .hypotheses_sev import HYPOTHESES, NUMBERS
from .model import MISSING, About, Choice, Combination
from .space import Space
from .start import Candidate, SevStart

if TYPE_CHECKING:
    from .inputs import SevInputs


#: API major, API minor and build together.
RELEASE = "release"
#: Every parameter, in the order in which contexts are made: what is hashed first comes first.
PARAMETERS = {
    "firmware": About("the firmware file", ("firmware",)),
    "kernel": About("the kernel", ("kernel",)),
    "initrd": About("the initrd", ("initrd",)),
    "cmdline": About("the command line", ("cmdline",)),
    "table": About("the padding of the kernel-hashes table", ("table",), KernelHashes.size),
    "profile": About("the profile", ("profile",)),
    "model": About("the CPU model", ("cpu_family", "cpu_model", "cpu_stepping")),
    "features": About("SEV_FEATURES", ("guest_features",)),
    "reset": About("the start address of further CPUs", ("reset_address",)),
    "count": About("the number of virtual CPUs", ("num_cpus",)),
    "key": About("the key file", ("tk",)),
    "message": About("the form of the message", ("message",), "56 bytes"),
    "measurement": About("the form of the measurement", ("measurement",)),
    "api_major": About("API major", ("api_major",)),
    "api_minor": About("API minor", ("api_minor",)),
    "build_id": About("the build", ("build_id",)),
    "policy": About("the policy", ("policy",)),
    RELEASE: About("the version of the SEV firmware", NUMBERS),
}
BOX = (*NUMBERS, "policy")
_KERNEL, _TABLE = "kernel", {"initrd", "cmdline", "table"}
#: What is not in the digest.
_REST = ("key", "message", "measurement")
_CPUS = {"profile", "model", "features", "reset", "count"}
_LAUNCH = {"firmware", _KERNEL, *_TABLE, *_CPUS}


class SevSpace(Space):
    """Every parameter with its choices."""

    HYPOTHESES = HYPOTHESES

    def __init__(self, inputs: SevInputs, files: Sequence[Candidate] = ()) -> None:
        self.inputs, self.shown = inputs, inputs.shown
        self.about = {**PARAMETERS, "key": About("the key file", (inputs.key_input,))}
        self.start, self.digests = SevStart(inputs, files), SevDigests()
        self.is_es, self.is_known = bool(inputs.policy.es), inputs.launch.firmware is not None
        key = MISSING if inputs.keys[0] is None else inputs.keys[0].value
        message = {
            "key": key,
            "message": False,
            "policy": inputs.policy,
            RELEASE: inputs.numbers,
            **dict(zip(NUMBERS, inputs.numbers, strict=True)),
        }
        self.base = {**self.start.values(inputs.measurements[0]), "table": KernelHashes.size, **message}
        self.gather(self.start, self.base, () if self.is_known else _LAUNCH)

    def combine(self, names: tuple[str, ...], likely: bool) -> Iterator[Combination]:
        """Yield the combinations in which exactly these parameters change: a policy may switch SEV-ES."""
        for flip in (False, True) if "policy" in names else (False,):
            if self._fits(set(names), flip):
                # A version that the wrong base makes of the one given has likelier explanations, unless more is wrong.
                lists = {name: self.choices(name, names, likely or names == (RELEASE,)) for name in names}
                if "policy" in names and self.is_known:
                    is_es = self.is_es != flip
                    lists["policy"] = tuple(one for one in lists["policy"] if bool(one.value.es) == is_es)
                yield Combination(lists, flip)

    def _fits(self, chosen: set[str], flip: bool) -> bool:
        """Whether these parameters can change together, and only they need to."""
        has_cpus = self.is_es != flip and self.is_known
        needed = {"measurement", "key", *(_CPUS if has_cpus else ())} - chosen
        if any(self.parameters[name].base.value is MISSING for name in needed):
            return False
        if (chosen & _CPUS and not has_cpus) or ("message" in chosen and chosen & {*NUMBERS, RELEASE}):
            return False
        if RELEASE in chosen and chosen & set(NUMBERS):
            return False
        return not (chosen & _TABLE and self.start.kernel is None and _KERNEL not in chosen)

    def matches(self) -> bool:
        if not self._fits(set(), False):
            return False
        unchanged = Combination({})
        return any(try_box([context], self.box(unchanged)) for context, _ in self.contexts(unchanged))

    def hits(self, combination: Combination, engine: Engine) -> Iterator[Iterable[Choice]]:
        releases = combination.lists.get(RELEASE)
        for _, choices, hit in engine.run(self.contexts(combination), self.box(combination), combination.size):
            if releases is None or any(one.value == hit[1:4] for one in releases):
                yield _chosen(combination, choices, hit)

    def impossible(self, has_candidates: bool) -> Iterator[str]:
        start, inputs = self.start, self.inputs
        if not self.is_known:
            yield "What was loaded: only its digest was given; with the firmware file its parts can be tried."
            return
        if not has_candidates:
            yield self.NO_CANDIDATES
        if inputs.launch.kernel is None:
            yield self.NO_KERNEL
        elif inputs.launch.cmdline is None:
            yield self.NO_CMDLINE
        if not self.is_es:
            yield "Registers and number of virtual CPUs: plain SEV does not measure them."
        else:
            yield self.TOO_MANY_CPUS
        if start.ovmf is not None and start.ovmf.reset_address is None and inputs.launch.vmsa_cpu0 is None:
            yield self.NO_RESET_ADDRESS
        yield "Changed bytes in a file, and keys of somebody else: no search can find these."

    def box(self, combination: Combination) -> Box:
        """Return the four lists of a combination's box: API major, API minor, build, policy."""
        lists = combination.lists
        major, minor, build, policy = (
            tuple(choice.value for choice in lists.get(name, (self.parameters[name].base,))) for name in BOX
        )
        if RELEASE in lists:  # a box has every combination of its lists; of the hits only releases count
            releases = (choice.value for choice in lists[RELEASE])
            major, minor, build = (tuple(dict.fromkeys(numbers)) for numbers in zip(*releases, strict=True))
        return major, minor, build, policy

    def contexts(self, combination: Combination) -> Iterator[tuple[Context, tuple[Choice, ...]]]:
        """Yield every context of a combination, with the choices that lead to it."""
        changed = combination.lists
        before = [name for name in changed if name not in (*BOX, RELEASE, "count", *_REST)]
        counts = changed.get("count", (self.parameters["count"].base,))
        rest = [changed.get(name, (self.parameters[name].base,)) for name in _REST]
        is_es = self.is_es != combination.flip
        for choices in product(*(changed[name] for name in before)):
            values = self.base | dict(zip(before, (choice.value for choice in choices), strict=True))
            for count, digest in zip(counts, self._digests(values, is_es, counts), strict=True):
                if digest is None:
                    continue
                path = (*choices, count) if count.changes else choices
                for key, message, measurement in product(*rest):
                    blob = measurement.value
                    context = Context(key.value, message.value, digest, blob[:32], blob[32:])
                    yield context, path + tuple(one for one in (key, message, measurement) if one.changes)

    def _digests(self, values: dict[str, Any], is_es: bool, counts: Sequence[Choice]) -> Sequence[bytes | None]:
        """Return the launch digest for each number of virtual CPUs; None if there is no such launch."""
        if not self.is_known:
            return [self.inputs.digest]
        kernel = None
        if values["kernel"] is not None:
            kernel = Kernel(*(values[name] for name in ("kernel", "initrd", "cmdline", "table")))
        if not is_es:
            return [self.digests.plain(values["firmware"], kernel)] * len(counts)
        profile, signature, features, reset = (values[name] for name in ("profile", "model", "features", "reset"))
        cpus = Cpus(profile, signature, features, reset, self.start.cpus.boot, self.start.cpus.further)
        numbers = [choice.value for choice in counts]
        try:
            chain = self.digests.chain(values["firmware"], kernel, cpus, max(numbers))
        except InputError:  # a profile that needs what is not known
            return [None] * len(numbers)
        return [chain[number - 1] if number <= len(chain) else None for number in numbers]


def _chosen(combination: Combination, choices: Iterable[Choice], hit: Hit) -> Iterator[Choice]:
    """Yield the choices of a hit: those of its context, and those of the box by their values."""
    rest = iter(choices)
    for name, options in combination.lists.items():
        if name == RELEASE:
            yield next(option for option in options if option.value == hit[1:4])
        elif name in BOX:
            yield next(option for option in options if int(option.value) == getattr(hit, name))
        else:
            yield next(rest)
