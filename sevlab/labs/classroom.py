"""Classroom mode: a wrong deployment, in which students find the faults.

The launch that really ran is drawn first, as one that a host can make: a released SEV firmware, a policy that this
firmware accepts, registers as QEMU makes them. Then the owner's record of it is spoilt by human mistakes, which
``data/faults.toml`` lists. :func:`sevlab.diagnose` finds each of them.
"""

from __future__ import annotations

import base64
import hmac
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import EllipsisType

from ..data import HOSTS, read_table
from ..diagnosis.hypotheses_sev import RELEASES as SEEN
from ..diagnosis.hypotheses_sev import USUAL_WORDS
from ..diagnosis.sev import PARAMETERS
from ..errors import InputError, quoted
from ..formats.launch_measure import Measurement, MeasureMessage
from ..formats.policy import Policy
from ..launch.inputs import load_launch
from ..launch.keys import SecretBytes
from ..launch.measure import compute_measure
from ..launch.vmm import CPU_MODELS
from ..layout.span import Explainable
from ..layout.views import Code, Heading, Paragraph, Table, View
from .exercises import Mark, agrees
from .sample_files import write_samples
from .samples import TEK, TIK

Value = str | int | None
#: By fault: each of its inputs, with the value in the record and the one with which the host launched.
Solution = Mapping[str, Mapping[str, tuple[Value, Value]]]

MOST_FAULTS = 3
#: Bytes of a solution before it is sealed, whatever it says (its length would tell), and of the nonce.
SOLUTION_SIZE, NONCE_SIZE = 1024, 12
#: The files of every launch, and the inputs that name them.
FILES = {"firmware": "firmware-kernel.fd", "kernel": "kernel.bin", "initrd": "initrd.bin", "tk": "tk.bin"}
#: Releases of the SEV firmware: API major and minor, build. Before API 0.17 the message is another.
RELEASES = [row[:3] for row in SEEN if row[:2] >= (0, 17)]
#: QEMU's CPU models, by the API major of the hosts that can show them: none is newer than its host.
MODELS = {0: ("EPYC", "EPYC-Rome"), 1: ("EPYC", "EPYC-Rome", "EPYC-Milan")}
#: How SEV-ES hosts start a guest: profile and SEV_FEATURES.
STARTS = sorted({(host.profile, host.features) for host in HOSTS.values() if host.mode == "seves"})
PROFILES = sorted({profile for profile, _ in STARTS})
FEATURES = sorted({features for _, features in STARTS})
DEBUG_SWAP = 0x20
#: Faults that cannot come together: one would hide the other.
_CLASHES = ({"version", "build"}, {"kernel", "initrd"}, {"kernel", "cmdline"})
_KERNEL, _CPUS = {"kernel", "initrd", "cmdline"}, {"profile", "features", "count", "model"}
_LINES = (
    "console=ttyS0 root=/dev/vda1 quiet",
    "root=LABEL=guest console=ttyS0 rootfstype=ext4",
    "console=ttyS0 root=/dev/mapper/root panic=10",
)


@dataclass(frozen=True)
class Fault:
    """One human mistake: the inputs that hold it, what may be wrong, and how and ``where`` it shows."""

    inputs: list[str]
    about: str
    where: str
    clue: str


@cache
def faults() -> dict[str, Fault]:
    """Return the vocabulary: every fault that there can be, by its name."""
    words = {
        "releases": ", ".join("{}.{}.{}".format(*row) for row in RELEASES),
        "words": " ".join(USUAL_WORDS),
        "features": " or ".join(hex(number) for number in FEATURES),
        "models": " or ".join(MODELS[1]),
    }
    rows = {name: Fault(**row) for name, row in read_table("faults").items()}
    return {name: Fault(row.inputs, row.about.format(**words), row.where, row.clue) for name, row in rows.items()}


def vocabulary() -> list[list[str]]:
    """Return the vocabulary as rows for people: the inputs, and what may be wrong with them."""
    return [["\n".join(map(_option, fault.inputs)), fault.about] for fault in faults().values()]


@dataclass(frozen=True, repr=False)
class _Plan:
    """One launch: what ran, what the owner wrote down, and what the two differ in."""

    truth: dict[str, Value]
    record: dict[str, Value]
    solution: Solution
    nonce: bytes
    journal: list[str]
    notes: list[str]


class BrokenLaunch(Explainable):
    """A launch that does not match its record. Made by :func:`broken_launch`.

    ``inputs`` is the record with the host's report, for :func:`sevlab.load_evidence` and :func:`sevlab.diagnose`. The
    solution is not in here: :meth:`mark` draws the launch again.
    """

    def __init__(self, seed: int | str, count: int, folder: str, title: str, keep: object = None) -> None:
        plan = _draw(seed, count)
        self.seed, self.title, self._count, self._keep = seed, title, count, keep
        measurement = _report(plan, Path(folder))
        self.inputs: dict[str, str | int] = {"measurement": base64.b64encode(measurement.to_bytes()).decode()}
        for name, value in plan.record.items():
            if value is not None:
                self.inputs[name] = str(Path(folder) / str(value)) if name in FILES else value
        #: What the host gives, and what the owner wrote down.
        self.journal, self.notes = plan.journal, plan.notes

    def mark(self, answer: Iterable[str] | Mapping[str, object] | EllipsisType) -> Mark:
        """Mark an answer: the names of the wrong inputs (``["build-id", "num-cpus"]``).

        A dictionary also gives the right values, which are marked too. ``...`` means not tried yet. Raises
        :class:`~sevlab.errors.InputError` for names that are not inputs.
        """
        if answer is ...:
            return Mark("not tried", f"Not tried yet. How many faults: {self._count}.")
        marked = mark_answer(_draw(self.seed, self._count).solution, answer)
        if marked.unknown:
            known = [_option(name) for fault in faults().values() for name in fault.inputs]
            needed = f"names of inputs: {', '.join(dict.fromkeys(['firmware', *known]))}"
            raise InputError("answer", quoted(marked.unknown[0]), needed)
        words = f"{len(marked.right)} of {self._count} faults named"
        if marked.extra:
            words += f"; not wrong: {', '.join(marked.extra)}"
        if marked.wrong_values:
            words += f"; another value is right for: {', '.join(marked.wrong_values)}"
        if len(marked.right) == self._count and not marked.extra and not marked.wrong_values:
            return Mark("right", f"Right: {words}.")
        if marked.right:
            return Mark("partly", f"Partly: {words}.")
        return Mark("wrong", f"Not yet: {words}.")

    def seal(self, key: SecretBytes, bound: bytes, tasks: int) -> bytes:
        """Return the solution, one of so many *tasks*, encrypted under *key* (AES-256-GCM) and tied to *bound*.

        The nonce comes first. It is an HMAC of all the rest, so the same is sealed the same, and none is used twice.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # not above: a launch is made without it

        solution = {"of": tasks, "faults": _draw(self.seed, self._count).solution}
        padded = json.dumps(solution).encode().ljust(SOLUTION_SIZE)
        assert len(padded) == SOLUTION_SIZE
        nonce = hmac.digest(key.reveal(), b"nonce" + bound + padded, "sha256")[:NONCE_SIZE]
        return nonce + AESGCM(key.reveal()).encrypt(nonce, padded, bound)

    def evidence(self) -> list[Heading | Paragraph | Code | Table]:
        """Return what there is to see, without the vocabulary."""
        rows = []
        for name, value in self.inputs.items():
            shown = Path(str(value)).name if name in FILES else str(value)
            shown = f"0x{value:x}" if name in ("policy", "guest_features") else shown
            rows += [[_option(name), shown]] if name != "measurement" else []
        return [
            Heading(self.title),
            Paragraph(f"The host did not launch what the owner's record says. Faults: {self._count}."),
            Paragraph("Name the inputs that differ, and their values in the launch. Clues may mislead."),
            Paragraph("The host: virsh domlaunchsecinfo guest7 (here it gives the measurement alone)"),
            Code(f"sev-measurement: {self.inputs['measurement']}"),
            Paragraph("The host: its journal, since the last launch that matched"),
            Code("\n".join(f"node7 {line}" for line in self.journal)),
            Paragraph("The owner: notes"),
            Code("\n".join(self.notes)),
            Paragraph("The owner: the record"),
            Table(["input", "value"], rows, mono=[1]),
        ]

    def explain(self) -> View:
        """Show what the student gets, and what may be wrong."""
        about = "What may be wrong. One row is one fault, and every fault is one of these:"
        words = Table(["inputs", "what may be wrong"], vocabulary(), mono=[0], wrapped={1: 70})
        return View(*self.evidence(), Paragraph(about), words)


def broken_launch(seed: int, faults: int = 2) -> BrokenLaunch:
    """Make a wrong deployment with 1 to 3 *faults* (else InputError), the same for the same *seed*."""
    check_count(faults, "faults")
    folder = TemporaryDirectory(prefix="sevlab-classroom-")
    write_samples(folder.name, FILES.values())
    return BrokenLaunch(seed, faults, folder.name, f"Broken launch {seed}", folder)  # which lives as long as the launch


def check_count(count: object, name: str) -> None:
    """Refuse a number of faults that there cannot be."""
    if count not in range(1, MOST_FAULTS + 1):
        raise InputError(name, quoted(count), f"1 to {MOST_FAULTS}")


@dataclass(frozen=True)
class Marked:
    """An answer beside the solution. Faults by their names: named ``right``, ``missing``, and with every value right.

    Names as the student wrote them: ``extra`` ones, ``unknown`` ones, and those with ``wrong_values``.
    """

    right: list[str]
    missing: list[str]
    values: list[str]
    extra: list[str]
    unknown: list[str]
    wrong_values: list[str]


def mark_answer(solution: Solution, answer: object) -> Marked:
    """Compare an answer, names or a mapping of names to values, with a solution. Nothing of it is run."""
    if isinstance(answer, str):
        answer = [answer]
    if not isinstance(answer, Mapping | list | tuple | set | frozenset):
        raise InputError("answer", quoted(answer), 'names of inputs, such as ["build-id", "tk"]')
    given = dict(answer) if isinstance(answer, Mapping) else {}
    inputs = {one for about in PARAMETERS.values() for one in about.inputs}
    alone = {name: fault.inputs[0] for name, fault in faults().items() if len(fault.inputs) == 1}
    aliases = {name: input for name, input in alone.items() if name not in inputs} | {"tik": "tk", "tek": "tk"}
    extra, unknown, wrong, good = list[str](), list[str](), list[str](), dict[str, set[str]]()
    for name in dict.fromkeys(map(str, answer)):
        plain = name.strip().lower().removeprefix("--").replace("-", "_")
        plain = aliases.get(plain, plain)
        fault = next((one for one in solution if plain == one or plain in solution[one]), None)
        if fault is None:
            (extra if plain in faults() or plain in inputs else unknown).append(name)
            continue
        good.setdefault(fault, set())
        if name in given and plain in solution[fault]:
            is_right = _is_value(given[name], solution[fault][plain][1], plain)
            good[fault].add(plain if is_right else "")
            wrong += [] if is_right else [name]
    changed = {one: {name for name, (wrote, found) in solution[one].items() if wrote != found} for one in solution}
    values = [one for one in solution if one in good and changed[one] <= good[one] and "" not in good[one]]
    missing = [one for one in solution if one not in good]
    return Marked([one for one in solution if one in good], missing, values, extra, unknown, wrong)


def _is_value(value: object, found: Value, name: str) -> bool:
    if isinstance(found, int):
        return not isinstance(value, list | float) and agrees(value, found)
    text = value.strip().lower() if isinstance(value, str) else ""
    if found is None:
        return value is None or text in ("none", "nothing")
    if name == "tk":
        return "swap" in text or "exchang" in text
    return value == found


def _draw(seed: int | str, count: int) -> _Plan:
    """Draw a launch that can happen, then the record that has it wrong."""
    chance = random.Random(f"sevlab {seed} {count}")
    names = set(chance.sample(list(faults()), count))
    while any(clash <= names for clash in _CLASHES):
        names = set(chance.sample(list(faults()), count))
    has_cpus = bool(names & _CPUS) or chance.random() < 0.4
    has_kernel = has_cpus or bool(names & _KERNEL) or chance.random() < 0.5
    releases = [row for row in RELEASES if row[0] == 1 or "features" not in names]
    if "build" in names:
        releases = [row for row in releases if _misread(row[2])]
    if "version" in names:
        releases = [row for row in releases if _other_releases(row, count)]
    version = chance.choice(releases)
    truth: dict[str, Value] = dict(zip(faults()["version"].inputs, version, strict=True))
    least = chance.choice([(0, 0), chance.choice([row[:2] for row in RELEASES if row <= version])])
    truth["policy"] = chance.choice((0x1, 0x1, 0x3, 0x9, 0xB)) | has_cpus << 2 | least[0] << 16 | least[1] << 24
    truth |= {"firmware": FILES["firmware"], "tk": FILES["tk"]}
    if has_kernel:
        truth |= {"kernel": FILES["kernel"], "initrd": FILES["initrd"], "cmdline": chance.choice(_LINES)}
    if has_cpus:
        starts = [start for start in STARTS if version[0] == 1 or start[1] != DEBUG_SWAP]
        profile, features = chance.choice(starts)
        truth |= {"num_cpus": chance.randint(1, 16), **_cpu(chance.choice(MODELS[version[0]]))}
        truth |= {"profile": profile, "guest_features": features}
    record = dict(truth)
    for name in sorted(names):
        if name == "version":
            record |= zip(faults()[name].inputs, chance.choice(_other_releases(version, count)), strict=True)
        else:
            _spoil(name, chance, truth, record)
    solution = {name: {one: (record[one], truth[one]) for one in faults()[name].inputs} for name in sorted(names)}
    told = chance.sample(sorted({*names, *chance.sample(sorted(set(faults()) - names), 2)}), count + 2)
    journal = [faults()[name].clue for name in told if faults()[name].where == "journal"] or ["(nothing)"]
    notes = [faults()[name].clue for name in told if faults()[name].where == "notes"]
    notes += ["I asked the host for:", *_command(record)]
    return _Plan(truth, record, solution, chance.randbytes(16), journal, notes)


def _cpu(model: str) -> dict[str, Value]:
    return dict(zip(faults()["model"].inputs, CPU_MODELS[model], strict=True))


def _other_releases(version: tuple[int, int, int], count: int) -> list[tuple[int, int, int]]:
    """Return releases of the same API major; beside two other faults those of which one number differs, as diagnose
    finds three changes."""
    others = [row for row in RELEASES if row[0] == version[0] and row != version]
    return [row for row in others if count < 3 or version[1] == row[1] or version[2] == row[2]]


def _misread(build: int) -> list[int]:
    """Return a build as it is misread: decimal digits as hex, hex digits as decimal."""
    digits = f"{build:x}"
    return [number for number in (int(str(build), 16), int(digits) if digits.isdigit() else build) if number != build]


def _spoil(name: str, chance: random.Random, truth: dict[str, Value], record: dict[str, Value]) -> None:
    """Make one mistake. Most are in the record; what the host left out or wrote differently is in the truth."""
    major, build, policy = (int(truth[one] or 0) for one in ("api_major", "build_id", "policy"))
    if name == "build":
        record["build_id"] = chance.choice(_misread(build))
    elif name == "policy":
        flags = [policy ^ 1 << bit for bit in (0, 1, 3, 4, 5)]
        minimums = [0, *(row[0] << 16 | row[1] << 24 for row in RELEASES)]
        versions = [policy & 0xFFFF | one for one in minimums if one != policy & ~0xFFFF]
        record["policy"] = chance.choice([chance.choice(flags), chance.choice(versions)])
    elif name == "key":
        truth["tk"] = "swapped"
    elif name in ("kernel", "initrd"):
        truth[name] = None
    elif name == "cmdline":
        truth["cmdline"] = chance.choice(_other_lines(str(record["cmdline"]), chance))
    elif name == "count":
        record["num_cpus"] = chance.choice([one for one in range(1, 17) if one != truth["num_cpus"]])
    elif name == "model":
        record |= chance.choice([_cpu(one) for one in MODELS[major] if not _cpu(one).items() <= truth.items()])
    elif name == "profile":
        record["profile"] = chance.choice([one for one in PROFILES if one != truth["profile"]])
    elif name == "features":
        record["guest_features"] = chance.choice([one for one in FEATURES if one != truth["guest_features"]])


def _other_lines(line: str, chance: random.Random) -> list[str]:
    """Return a command line in other forms, one of each kind; diagnose knows them all."""
    words, word = line.split(" "), chance.choice(USUAL_WORDS)
    at = chance.randrange(1, len(words))
    fewer = " ".join(words[:at] + words[at + 1 :])
    doubled = f"{' '.join(words[:at])}  {' '.join(words[at:])}"
    return [f"{line}\n", f"{line} ", doubled, f'"{line}"', fewer, f"{line} {word}", f"{word} {line}"]


def _report(plan: _Plan, folder: Path) -> Measurement:
    """Return what the host reports about the launch that ran."""
    given = {name: value for name, value in plan.truth.items() if value is not None}
    if "kernel" not in given:  # without its hash, nothing else of it is measured
        given = {name: value for name, value in given.items() if name not in ("initrd", "cmdline")}
    values = {name: int(given.pop(name)) for name in ("api_major", "api_minor", "build_id", "policy")}
    key = SecretBytes(TEK if given.pop("tk") == "swapped" else TIK)
    given |= {name: str(folder / str(given[name])) for name in FILES if name in given}
    values["policy"] = policy = Policy(values["policy"])
    message = MeasureMessage(**values, digest=load_launch(policy, **given).digest, mnonce=plan.nonce)
    return Measurement(measure=compute_measure(message, key), mnonce=plan.nonce)


def _command(record: Mapping[str, Value]) -> list[str]:
    """Return the QEMU command line that the owner asked for, in lines that fit a terminal."""
    lines = ["qemu-system-x86_64 -machine q35,confidential-guest-support=sev0"]
    if "num_cpus" in record:
        cpu = tuple(record[name] for name in faults()["model"].inputs)
        name = next(name for name, known in CPU_MODELS.items() if known == cpu)
        lines.append(f"-cpu {name} -smp {record['num_cpus']}")
    hashes = ",kernel-hashes=on" if "kernel" in record else ""
    lines.append(f"-object sev-guest,id=sev0,policy=0x{record['policy']:x},cbitpos=51{hashes}")
    lines.append(f"-drive if=pflash,unit=0,file={record['firmware']},readonly=on")
    if "kernel" in record:
        lines.append(f"-kernel {record['kernel']} -initrd {record['initrd']}")
        lines.append(f"-append '{record['cmdline']}'")
    return ["  " + line + (" \\" if line != lines[-1] else "") for line in lines]


def _option(name: str) -> str:
    return name.replace("_", "-")
