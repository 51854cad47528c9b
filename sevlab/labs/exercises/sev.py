"""Exercises of the lessons on SEV and SEV-ES: the message, keys, the digest, registers, secrets."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from ...attestation.secret import build_secret
from ...attestation.session import SessionKeys, derive_session_keys, wrap_keys
from ...cases.coverage import cover_command_line
from ...formats.kernel_hashes import KernelHashes, build_kernel_hashes
from ...formats.launch_measure import Measurement
from ...formats.policy import Policy
from ...formats.secret import table_size
from ...launch.compare import compare_launch
from ...launch.measure import compute_measure
from ...launch.vmm import build_vmsa, cpu_signature
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


def _lost_policy(chance: Random) -> Task:
    policy = chance.randrange(64)
    keys = derive_session_keys(bytes(range(48)), samples.MNONCE)
    session = wrap_keys(keys, samples.TEK, samples.TIK, bytes(range(0x50, 0x60)), Policy(policy))
    return Task(policy, session, words={"policy": f"0x{policy:x}"})


def _lost_iv(chance: Random) -> Task:
    z, nonce, iv, tek, tik = (chance.randbytes(size) for size in (48, 16, 16, 16, 16))
    policy, last = chance.randrange(64), chance.randrange(1, 256)
    session = wrap_keys(derive_session_keys(z, nonce), tek, tik, iv[:15] + bytes([last]), Policy(policy))
    given = z, session.replace(wrap_iv=iv[:15] + bytes(1)).to_bytes()
    return Task(last, given, words={"policy": f"0x{policy:x}"})


#: Mistakes of another tool, and how each shows.
_MISTAKES = {
    "A": "wrap_mac fits under the KIK of a big-endian derivation",
    "B": "wrap_tk decrypts to the TIK and then the TEK, and both MACs fit",
    "C": "the last MAC fits under the KIK",
    "D": "wrap_tk decrypts to both keys when the counter begins one later",
}


def _other_tool(chance: Random) -> Task:
    z, nonce, iv, tek, tik = (chance.randbytes(size) for size in (48, 16, 16, 16, 16))
    mistake, policy = chance.choice(list(_MISTAKES)), Policy(chance.randrange(64))
    keys, after = derive_session_keys(z, nonce), ((int.from_bytes(iv) + 1) % 2**128).to_bytes(16)
    session = {
        "A": lambda: wrap_keys(_big_endian(z, nonce), tek, tik, iv, policy),
        "B": lambda: wrap_keys(keys, tik, tek, iv, policy),
        "C": lambda: wrap_keys(keys, tek, tik, iv, policy).replace(
            policy_mac=hmac.digest(keys.kik, int(policy).to_bytes(4, "little"), "sha256")
        ),
        "D": lambda: wrap_keys(keys, tek, tik, after, policy).replace(wrap_iv=iv),
    }[mistake]()
    words = {"policy": f"0x{int(policy):x}", "why": _MISTAKES[mistake]}
    return Task(mistake, (z, tek, tik, session.to_bytes()), words=words)


def _big_endian(z: bytes, nonce: bytes) -> SessionKeys:
    def derive(key: bytes, label: bytes, context: bytes = b"") -> bytes:
        return hmac.digest(key, bytes([0, 0, 0, 1]) + label + b"\0" + context + bytes([0, 0, 0, 128]), "sha256")[:16]

    master = derive(z, b"sev-master-secret", nonce)
    return SessionKeys(z, nonce, master, derive(master, b"sev-kek"), derive(master, b"sev-kik"))


def _who_catches(chance: Random) -> Task:
    return Task("owner")


# The digest, kernel hashes and registers


def _first_step(chance: Random) -> Task:
    fewer = chance.randrange(1, samples.ES_CPUS)
    first = compare_launch(samples.es_launch(), samples.es_launch(num_cpus=fewer)).first
    return Task(first, words={"fewer": fewer, "count": samples.ES_CPUS})


def _label_words(chance: Random) -> Task:
    es, hashes, split = (chance.random() < 0.5 for _ in range(3))
    count = chance.randrange(2, 9)
    words = [
        "qemu-system-x86_64 -machine q35,confidential-guest-support=sev0",
        f"-cpu EPYC-Genoa -smp {count} -m {count}G",
        f"-object sev-guest,id=sev0,policy={'0x5' if es else '0x1'}{',kernel-hashes=on' if hashes else ''}",
        "-drive if=pflash,unit=0,readonly=on,file=OVMF.fd",
        *(["-drive if=pflash,unit=1,file=VARS.fd"] if split else []),
        "-drive if=virtio,file=disk.qcow2 -kernel vmlinuz -append quiet",
    ]
    asked = ["-cpu", "-smp", "-m ", "policy", "kernel-hashes", "-drive", "-kernel", "-append", "(absent)"]
    lines = [line for line in cover_command_line("\n".join(words)).lines if line.words.strip().startswith(tuple(asked))]
    why = "registers are measured under SEV-ES" if es else "registers are measured only under SEV-ES, policy bit 2"
    why += ", and the table of hashes covers the kernel" if hashes else ", and nothing covers this kernel"
    given = {"parts": "\n".join(f"  {line.words.strip()}" for line in lines), "why": why}
    return Task(
        [{"measured": "M", "not measured": "-"}.get(line.label, "!") for line in lines], "\n".join(words), given
    )


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


def _odd_register(chance: Random) -> Task:
    page = build_vmsa("qemu-legacy", signature=cpu_signature(*samples.ES_CPU))
    general = ("rcx", "rbx", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
    name, value = chance.choice(general), chance.randrange(1, 256) << 8 * chance.randrange(8)
    return Task(name, page.replace(**{name: value}).to_bytes(), words={"name": name.upper()})


def _lost_launch(chance: Random) -> Task:
    profile, count = chance.choice(("qemu", "qemu-legacy")), chance.randrange(1, 9)
    digest = samples.es_launch(profile=profile, num_cpus=count).digest
    return Task({profile, count}, digest, words={"profile": profile, "count": count})


# Secrets


def _payload_size(chance: Random) -> Task:
    sizes = chance.randrange(17, 64), chance.randrange(65, 200)
    return Task(table_size(list(sizes)), words={"one": sizes[0], "other": sizes[1], "size": table_size(list(sizes))})


def _overwritten(chance: Random) -> Task:
    packet = build_secret([("luks-key", chance.randbytes(23))], samples.TIK, samples.TEK, samples.es_measurement()[:32])
    image, size = bytearray(samples.firmware()), len(packet.table.to_bytes())
    offsets = sorted(chance.sample(range(0, len(image), size), chance.randrange(2, 6)))
    for offset in offsets:
        image[offset : offset + size] = packet.table.to_bytes()
    return Task(offsets, bytes(image), words={"count": len(offsets)})


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
    "lost-policy": _lost_policy,
    "lost-iv": _lost_iv,
    "other-tool": _other_tool,
    "who-catches": _who_catches,
    "label-words": _label_words,
    "first-step": _first_step,
    "line-break": _line_break,
    "lost-cmdline": _lost_cmdline,
    "start-address": _start_address,
    "odd-register": _odd_register,
    "lost-launch": _lost_launch,
    "payload-size": _payload_size,
    "overwritten": _overwritten,
    "lost-pin": _lost_pin,
}
