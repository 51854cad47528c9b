"""Exercises of the lessons on SEV and SEV-ES: the message, keys, the digest, registers, secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from random import Random

from ...attestation.secret import build_secret
from ...attestation.session import SessionKeys, derive_session_keys, seeded, wrap_keys
from ...attestation.sev_chain import Chain
from ...cases.coverage import cover_command_line
from ...formats.kernel_hashes import KernelHashes, build_kernel_hashes
from ...formats.launch_measure import MeasureMessage
from ...formats.policy import Policy, SnpPolicy
from ...formats.secret import table_size
from ...formats.sev_certs import CEK, OCA, PDH, PEK, Usage
from ...launch.compare import compare_launch
from ...launch.measure import compute_measure
from ...launch.sev import compute_digest
from ...launch.vmm import build_vmsa, cpu_signature
from ...layout.structure import compare
from ...simulator.psp import Platform
from .. import samples
from . import Task

# Whom do you trust?

#: What a matching measure of a SEV-ES launch tells, and what it does not.
_TOLD = (
    "which guest firmware was loaded, to the last byte",
    "whether the host may use the debug commands",
    "with how many virtual CPUs the guest started",
    "the version of the SEV firmware that measured",
    "that the one who answered has this launch's TIK",
)
_NOT_TOLD = (
    "what is on the guest's disk",
    "that the guest is running now",
    "that the program has not been changed since it started",
    "that the guest's kernel has no holes",
    "that no other guest shares its caches",
    "in which country the machine stands",
    "how much memory the guest has",
)


def _what_it_tells(chance: Random) -> Task:
    told = chance.sample(_TOLD, chance.randrange(2, 5))
    lines = [*told, *chance.sample(_NOT_TOLD, 6 - len(told))]
    chance.shuffle(lines)
    listed = dict(zip("abcdef", lines, strict=True))
    text = "\n".join(f"  {letter}: {line}" for letter, line in listed.items())
    return Task({letter for letter, line in listed.items() if line in told}, words={"lines": text})


def _open_policies(chance: Random) -> Task:
    sev = [chance.randrange(0, 64, 2), *chance.sample(range(1, 64, 2), 2)]
    snp = [0x30000 | 1 << 19, 0x30000 | 1 << chance.choice((18, 20)), 0x30000 | 1 << 19 | 1 << chance.choice((20, 23))]
    chance.shuffle(sev)
    chance.shuffle(snp)
    solution = {number for number in sev if not Policy(number).nodbg} | {n for n in snp if SnpPolicy(n).debug}
    words = {"sev": ", ".join(map(hex, sev)), "snp": ", ".join(map(hex, snp))}
    return Task(solution, words=words)


# The message


def _random_message(chance: Random, policy: int | None = None) -> MeasureMessage:
    """Return the sample's message with the numbers of another host, another policy and another nonce."""
    numbers = {"api_minor": chance.randrange(17, 56), "build_id": chance.randrange(1, 17)}
    number = chance.randrange(64) if policy is None else policy
    return samples.message().replace(policy=Policy(number), mnonce=chance.randbytes(16), **numbers)


def _measurement(message: MeasureMessage) -> bytes:
    return compute_measure(message, samples.TIK) + message.mnonce


def _which_guest(chance: Random) -> Task:
    good, image = samples.message(), bytearray(samples.firmware())
    image[chance.randrange(len(image))] ^= 1 << chance.randrange(8)
    evil = bytes(image)
    wrong = (
        good.replace(policy=Policy(0)),
        good.replace(build_id=14),
        good.replace(digest=compute_digest([evil])),
    )
    nonces = [good.replace(mnonce=chance.randbytes(16)) for _ in range(4)]
    messages = [one.replace(mnonce=new.mnonce) for one, new in zip((good, *wrong), nonces, strict=True)]
    order = chance.sample(range(4), 4)
    given = [base64.b64encode(_measurement(messages[number])).decode() for number in order]
    return Task(order.index(0) + 1, given, words={"number": order.index(0) + 1})


def _wrong_order(chance: Random) -> Task:
    """A message with all the right bytes, a few of them in the wrong order."""
    message = _random_message(chance, chance.randrange(1, 17) << 24 | chance.randrange(17, 64))
    raw = message.to_bytes()
    what, order = chance.choice((("the policy", [4, 7]), ("the version", [1, 2]), ("minor version and build", [2, 3])))
    wrong = bytearray(raw)
    wrong[order[0]], wrong[order[1]] = raw[order[1]], raw[order[0]]
    words = {"minor": message.api_minor, "build": message.build_id, "policy": f"0x{int(message.policy):08x}"}
    given = {"message": bytes(wrong), "measure": compute_measure(message, samples.TIK)}
    return Task(set(order), given, words={**words, "what": what})


def _lost_byte(chance: Random) -> Task:
    message = _random_message(chance)
    offset, raw = chance.randrange(56), bytearray(message.to_bytes())
    right = raw[offset]
    raw[offset] ^= chance.randrange(1, 256)
    given = {"message": bytes(raw), "measure": compute_measure(message, samples.TIK)}
    return Task([offset, right], given, words={"offset": offset, "value": right})


def _one_key(chance: Random) -> Task:
    days = [samples.message().replace(mnonce=chance.randbytes(16)) for _ in range(chance.randrange(3, 7))]
    shown = [_measurement(day) for day in days]
    shown += chance.choices(shown, k=chance.randrange(1, 4))
    shown.append(_measurement(days[0].replace(policy=Policy(0), mnonce=chance.randbytes(16))))
    chance.shuffle(shown)
    return Task(len(days), shown, words={"shown": len(shown), "count": len(days)})


def _write_validate(chance: Random) -> Task:
    """Ten launches, of which some are as the owner means them; each other is wrong in one thing."""
    cases: list[tuple[tuple[object, ...], bool]] = []
    for wrong in ("", "", "", "policy", "api_major", "api_minor", "build_id", "firmware", "nonce", "short"):
        firmware, tik, policy = chance.randbytes(512), chance.randbytes(16), chance.randrange(1, 17) << 24 | 1
        digest = compute_digest([firmware])
        message = _random_message(chance, policy).replace(digest=digest)
        blob = compute_measure(message, tik) + message.mnonce
        told = {name: int(getattr(message, name)) for name in ("api_major", "api_minor", "build_id", "policy")}
        if wrong in told:
            told[wrong] ^= 1
        elif wrong == "firmware":
            firmware = firmware[:-1] + bytes([firmware[-1] ^ 1])
        elif wrong == "nonce":
            blob = blob[:-1] + bytes([blob[-1] ^ 1])
        elif wrong == "short":
            blob = blob[:47]
        cases.append(((blob, *told.values(), firmware, tik), not wrong))

    def accepts(answer: object) -> bool:
        if not callable(answer):
            return False
        try:
            return all(answer(*given) is right for given, right in chance.sample(cases, len(cases)))
        except (Exception, SystemExit):  # a function that fails on a case is a wrong answer, like any other
            return False

    return Task(None, accepts=accepts)


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


def _overwritten(chance: Random) -> Task:
    packet = build_secret([("luks-key", chance.randbytes(23))], samples.TIK, samples.TEK, samples.es_measurement()[:32])
    image, size = bytearray(samples.firmware()), len(packet.table.to_bytes())
    offsets = chance.sample(range(0, len(image), size), chance.randrange(2, 6))
    for offset in offsets:
        image[offset : offset + size] = packet.table.to_bytes()
    return Task(set(offsets), bytes(image), words={"count": len(offsets)})


def _lost_pin(chance: Random) -> Task:
    pin = f"{chance.randrange(10**4):04}".encode()
    iv, keys = bytes(range(0x70, 0x80)), (samples.TIK, samples.TEK, samples.es_measurement()[:32])
    packets = [build_secret([("luks-key", secret)], *keys, iv=iv) for secret in (b"0000", pin)]
    return Task(pin, tuple(packets), words={"pin": pin.decode()})


# The legacy chain


def _platform(chance: Random) -> Platform:
    platform = Platform(random=seeded(chance.randbytes(16)))
    platform.init()
    return platform


def _changed_certificate(chance: Random) -> Task:
    genuine = _platform(chance).pdh_cert_export()
    usage = chance.choice((PDH, PEK, OCA, CEK))
    one = genuine[usage]
    place = chance.randrange(48)
    x = one.key.qx[:place] + bytes([one.key.qx[place] ^ 1 << chance.randrange(8)]) + one.key.qx[place + 1 :]
    changed = {**genuine.certificates, usage: one.replace(key=one.key.replace(qx=x))}
    name = Usage(usage).short
    return Task(name, Chain(changed.values()), words={"name": name})


def _lost_point(chance: Random) -> Task:
    certificate = _platform(chance).pdh_cert_export()[PDH]
    return Task(certificate.key.x, certificate.to_bytes())


#: Links that an owner may forget, and the certificates that a host then has to replace.
_REPLACED = {
    "CEK signed by ASK": {"PDH", "PEK", "OCA", "CEK"},
    "ASK signed by ARK": {"PDH", "PEK", "OCA", "CEK", "ASK"},
    "ARK is a known root": {"PDH", "PEK", "OCA", "CEK", "ASK", "ARK"},
}


def _forgotten_link(chance: Random) -> Task:
    link = chance.choice(list(_REPLACED))
    return Task(_REPLACED[link], words={"link": link})


# From a host


def _answers(chance: Random) -> dict[str, int]:
    """Return what a made-up host answers to ``query-sev``, in any order."""
    answers = {"api-major": chance.choice((0, 1)), "api-minor": chance.randrange(17, 56)}
    answers |= {"build-id": chance.randrange(1, 100), "policy": chance.randrange(64) | chance.randrange(18) << 24}
    names = chance.sample(list(answers), 4)
    return {name: answers[name] for name in names}


def _first_eight(chance: Random) -> Task:
    answers = _answers(chance)
    lines = [{"enabled": True, **answers, "state": "launch-secret", "handle": 1}, {"data": "A" * 64}]
    text = "\n".join(json.dumps({"return": line}) for line in lines)
    known = {name.replace("-", "_"): value for name, value in answers.items() if name != "policy"}
    message = samples.message().replace(policy=Policy(answers["policy"]), **known)
    return Task(message.to_bytes()[:8].hex(), text)


def _two_stories(chance: Random) -> Task:
    answers = _answers(chance)
    name = chance.choice(list(answers))
    other = answers | {name: answers[name] + 1}
    secinfo = "".join(f"{f'sev-{key}':<15}: {answers[key]}\n" for key in sorted(answers))
    return Task(name, (secinfo, json.dumps({"return": {"enabled": True, **other}})), words={"name": name})


#: How each exercise is made.
TASKS = {
    "which-guest": _which_guest,
    "wrong-order": _wrong_order,
    "lost-byte": _lost_byte,
    "one-key": _one_key,
    "write-validate": _write_validate,
    "lost-policy": _lost_policy,
    "lost-iv": _lost_iv,
    "other-tool": _other_tool,
    "label-words": _label_words,
    "who-stops": _who_stops,
    "good-loads": _good_loads,
    "first-step": _first_step,
    "line-break": _line_break,
    "lost-cmdline": _lost_cmdline,
    "start-address": _start_address,
    "odd-register": _odd_register,
    "lost-launch": _lost_launch,
    "lost-pair": _lost_pair,
    "payload-size": _payload_size,
    "overwritten": _overwritten,
    "lost-pin": _lost_pin,
    "changed-certificate": _changed_certificate,
    "lost-point": _lost_point,
    "forgotten-link": _forgotten_link,
    "what-it-tells": _what_it_tells,
    "open-policies": _open_policies,
    "first-eight": _first_eight,
    "two-stories": _two_stories,
}
