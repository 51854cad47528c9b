"""Exercises of the lessons on SEV and SEV-ES: the message, keys, the digest, registers, secrets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...attestation.secret import build_secret
from ...attestation.session import derive_session_keys, wrap_keys
from ...formats.kernel_hashes import KernelHashes, build_kernel_hashes
from ...formats.launch_measure import Measurement
from ...formats.policy import Policy
from ...formats.secret import table_size
from ...launch.compare import compare_launch
from ...launch.measure import compute_measure
from ...launch.vmm import build_vmsa
from ...layout.structure import compare
from .. import samples
from . import Task

if TYPE_CHECKING:
    from random import Random


# The message


def _policy(chance: Random) -> Task:
    names = chance.sample([row.name for row in Policy.rows if row.is_flag], 3)
    number = int(Policy().replace(**dict.fromkeys(names, 1)))
    return Task(number, words={"flags": ", ".join(name.upper() for name in names), "number": f"0x{number:x}"})


def _offsets(chance: Random) -> Task:
    message, policy = samples.message(), Policy(chance.randrange(1, 56) << 24 | 1)
    offsets = list(compare(message, message.replace(policy=policy)).marked)
    return Task(offsets, words={"policy": f"0x{int(policy):08x}"})


def _next_minor(chance: Random) -> Task:
    minor = samples.API_MINOR + chance.randrange(1, 9)
    measure = compute_measure(samples.message().replace(api_minor=minor), samples.TIK)
    return Task(measure.hex(), words={"minor": minor})


def _lost_build(chance: Random) -> Task:
    build = chance.randrange(256)
    message = samples.message().replace(build_id=build)
    measurement = Measurement(measure=compute_measure(message, samples.TIK), mnonce=message.mnonce)
    return Task(build, measurement, words={"build": build})


# Keys and the session


def _who_notices(chance: Random) -> Task:
    return Task("policy_mac")


def _lost_policy(chance: Random) -> Task:
    policy = chance.randrange(64)
    keys = derive_session_keys(bytes(range(48)), samples.MNONCE)
    session = wrap_keys(keys, samples.TEK, samples.TIK, bytes(range(0x50, 0x60)), Policy(policy))
    return Task(policy, session, words={"policy": f"0x{policy:x}"})


#: What a host may do with the launch of notebook 08, and who notices.
CHEATS = {
    "reports an API minor that is one lower": "owner",
    "leaves out the registers of the last virtual CPU": "owner",
    "adds 16 zero bytes after the firmware": "owner",
    "changes the last byte of the launch session": "secure processor",
    "changes the first byte of the IV of the secret's packet": "secure processor",
    "loads one more page after it has asked for the measurement": "secure processor",
    "gives the secret's packet to the secure processor twice": "nobody",
    "gives the secret's packet another address in the guest": "nobody",
}


def _who_stops(chance: Random) -> Task:
    by_party = {who: [cheat for cheat in CHEATS if CHEATS[cheat] == who] for who in set(CHEATS.values())}
    chosen = [chance.choice(by_party[who]) for who in sorted(by_party)]
    chosen.append(chance.choice([cheat for cheat in CHEATS if cheat not in chosen]))
    chance.shuffle(chosen)
    lines = "\n".join(f"{number}. The host {cheat}." for number, cheat in enumerate(chosen, 1))
    return Task([CHEATS[cheat] for cheat in chosen], words={"lines": lines})


def _good_loads(chance: Random) -> Task:
    """Ways to load the sample firmware in four pieces: (address, offset in the image, size)."""
    step = samples.FIRMWARE_SIZE // 4
    meant = [(0x100000 + number * step, number * step, step) for number in range(4)]
    shuffled = chance.sample(range(4), 4)
    loads = {
        "as meant": (meant, True),
        "addresses": ([(meant[i][0], *piece[1:]) for i, piece in zip(shuffled, meant, strict=True)], True),
        "halves": ([(meant[0][0], 0, 2 * step), (meant[2][0], 2 * step, 2 * step)], True),
        "on top": ([(meant[0][0], *piece[1:]) for piece in meant], True),
        "backwards": (meant[::-1], False),
        "twice": ([*meant, meant[chance.randrange(4)]], False),
        "short": (meant[: chance.randrange(1, 4)], False),
    }
    chosen = chance.sample(sorted(loads), 5)
    given = {letter: loads[name][0] for letter, name in zip("ABCDE", chosen, strict=True)}
    return Task({letter for letter, name in zip("ABCDE", chosen, strict=True) if loads[name][1]}, given)


# The digest, kernel hashes and registers


def _first_step(chance: Random) -> Task:
    fewer = chance.randrange(1, samples.ES_CPUS)
    first = compare_launch(samples.es_launch(), samples.es_launch(num_cpus=fewer)).first
    return Task(first, words={"fewer": fewer, "count": samples.ES_CPUS})


def _table(cmdline: str) -> KernelHashes:
    kernel, initrd = (hashlib.sha256(content).digest() for content in (samples.KERNEL, samples.INITRD))
    return build_kernel_hashes(kernel, initrd, cmdline)


def _line_break(chance: Random) -> Task:
    cmdline = f"{samples.CMDLINE} seed={chance.randrange(10**6)}"
    return Task(len(compare(_table(cmdline), _table(f"{cmdline}\n")).marked), words={"cmdline": cmdline})


def _lost_cmdline(chance: Random) -> Task:
    cmdline = f"console=ttyS{chance.randrange(100)}"
    return Task(cmdline.encode(), _table(cmdline), words={"cmdline": cmdline})


def _start_address(chance: Random) -> Task:
    address = 0xFFFC0000 | chance.randrange(0x1000, 0xFFF0)
    page = build_vmsa("qemu", cpu=1, signature=0, reset_address=address)
    return Task([int(page.cs.base), int(page.rip)], words={"address": f"0x{address:x}"})


def _lost_launch(chance: Random) -> Task:
    profile, count = chance.choice(("qemu", "qemu-legacy")), chance.randrange(1, 9)
    digest = samples.es_launch(profile=profile, num_cpus=count).digest
    return Task({profile, count}, digest, words={"profile": profile, "count": count})


# The search


def _lost_pair(chance: Random) -> Task:
    """Two of four inputs of the second sample's message are not as noted. No two values are equal."""
    values = {
        "api_minor": chance.randrange(40, 64),
        "build_id": chance.randrange(24, 40),
        "policy": chance.choice((0x4, 0x6, 0x7, 0xD)),
        "num_cpus": chance.randrange(14, 24),
    }
    names = sorted(chance.sample(sorted(values), 2))
    changed = {name: values[name] for name in names}
    count = changed.pop("num_cpus", samples.ES_CPUS)
    message = samples.message().replace(
        mnonce=samples.ES_MNONCE,
        digest=samples.es_launch(num_cpus=count).digest,
        **{"policy": Policy(samples.ES_POLICY), **changed},
    )
    solution = {one for name in names for one in (name, values[name])}
    words = {"one": names[0], "other": names[1]}
    return Task(solution, compute_measure(message, samples.TIK), words=words)


# Secrets


def _payload_size(chance: Random) -> Task:
    sizes = chance.randrange(17, 64), chance.randrange(65, 200)
    return Task(table_size(list(sizes)), words={"one": sizes[0], "other": sizes[1], "size": table_size(list(sizes))})


def _lost_pin(chance: Random) -> Task:
    pin = f"{chance.randrange(10**4):04}".encode()
    iv, keys = bytes(range(0x70, 0x80)), (samples.TIK, samples.TEK, samples.es_measurement()[:32])
    packets = [build_secret([("luks-key", secret)], *keys, iv=iv) for secret in (b"0000", pin)]
    return Task(pin, tuple(packets), words={"pin": pin.decode()})


#: How each exercise is made.
TASKS = {
    "policy": _policy,
    "offsets": _offsets,
    "next-minor": _next_minor,
    "lost-build": _lost_build,
    "who-notices": _who_notices,
    "lost-policy": _lost_policy,
    "who-stops": _who_stops,
    "good-loads": _good_loads,
    "first-step": _first_step,
    "line-break": _line_break,
    "lost-cmdline": _lost_cmdline,
    "start-address": _start_address,
    "lost-launch": _lost_launch,
    "lost-pair": _lost_pair,
    "payload-size": _payload_size,
    "lost-pin": _lost_pin,
}
