"""Exercises of the lessons on SEV and SEV-ES: the message, keys, the digest, registers, secrets."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from ...attestation.secret import build_secret
from ...attestation.session import derive_session_keys, wrap_keys
from ...formats.kernel_hashes import KernelHashes, build_kernel_hashes
from ...formats.launch_measure import MeasureMessage
from ...formats.policy import Policy
from ...formats.secret import table_size
from ...launch.compare import compare_launch
from ...launch.measure import compute_measure
from ...launch.sev import compute_digest
from ...launch.vmm import build_vmsa
from ...layout.structure import compare
from .. import samples
from . import Task

if TYPE_CHECKING:
    from random import Random


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
    return Task(order, given, words={**words, "what": what})


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


def _who_notices(chance: Random) -> Task:
    return Task("policy_mac")


def _lost_policy(chance: Random) -> Task:
    policy = chance.randrange(64)
    keys = derive_session_keys(bytes(range(48)), samples.MNONCE)
    session = wrap_keys(keys, samples.TEK, samples.TIK, bytes(range(0x50, 0x60)), Policy(policy))
    return Task(policy, session, words={"policy": f"0x{policy:x}"})


def _who_catches(chance: Random) -> Task:
    return Task("owner")


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
    "which-guest": _which_guest,
    "wrong-order": _wrong_order,
    "lost-byte": _lost_byte,
    "one-key": _one_key,
    "write-validate": _write_validate,
    "who-notices": _who_notices,
    "lost-policy": _lost_policy,
    "who-catches": _who_catches,
    "first-step": _first_step,
    "line-break": _line_break,
    "lost-cmdline": _lost_cmdline,
    "start-address": _start_address,
    "lost-launch": _lost_launch,
    "payload-size": _payload_size,
    "lost-pin": _lost_pin,
}
