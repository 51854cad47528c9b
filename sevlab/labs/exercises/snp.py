"""Exercises of the lessons on SEV-SNP: pages, the report, who signed it, and a whole attestation."""

from __future__ import annotations

import hashlib
from random import Random

from ...attestation.id_block import DEFAULT_POLICY, SignedIdBlock, build_id_block, verify_id_block
from ...attestation.session import make_private, seeded
from ...formats.page_info import PAGE
from ...formats.report import TurinTcb
from ...launch.compare import compare_launch
from ...simulator.kds import KeyServer
from ..snp_samples import PRODUCT, sign_report, snp_launch, snp_report
from . import Task


def _first_link(chance: Random) -> Task:
    """The first link that differs after one byte of the firmware changed, or with other CPUs."""
    at, count = chance.randrange(0x1000, 0xF000), chance.randrange(1, 4)
    if chance.randrange(2):
        return Task(at // PAGE + 1, words={"change": f"with another byte at offset 0x{at:x} of the firmware file"})
    number = compare_launch(snp_launch(), snp_launch(num_cpus=count)).number
    assert number is not None
    return Task(number + 1, words={"change": f"with {count} virtual CPUs instead of 4"})  # counted from 1


def _lost_cpus(chance: Random) -> Task:
    count = chance.randrange(1, 65)
    return Task(count, snp_launch(num_cpus=count).digest, words={"count": count})


def _acceptable(chance: Random) -> Task:
    """Five reports of the sample's chip, and the nonce that was sent. Which of them are good?"""
    nonce = chance.randbytes(64)
    good = snp_report().replace(report_data=nonce)
    made = {
        "good": good,
        "host data": good.replace(host_data=chance.randbytes(32)),
        "old nonce": good.replace(report_data=chance.randbytes(64)),
        "debug": good.replace(policy=good.policy.replace(debug=1)),
        "other launch": good.replace(measurement=chance.randbytes(48)),
    }
    signed = {name: sign_report(report) for name, report in made.items()}
    signed["unsigned"] = signed["good"].replace(report_id=chance.randbytes(32))
    chosen = chance.sample(sorted(signed), 5)
    given = {letter: signed[name].to_bytes() for letter, name in zip("ABCDE", chosen, strict=True)}
    right = {letter for letter, name in zip("ABCDE", chosen, strict=True) if name in ("good", "host data")}
    return Task(right, (nonce, given))


def _lost_vcek(chance: Random) -> Task:
    tcb, report = chance.choice(("committed_tcb", "launch_tcb")), snp_report()
    return Task(tcb, KeyServer().vcek(PRODUCT, report.chip_id, getattr(report, tcb)), words={"tcb": tcb})


def _bound_key(chance: Random) -> Task:
    nonce, keys = chance.randbytes(32), {letter: chance.randbytes(32) for letter in "abcdefgh"}
    letter = chance.choice(list(keys))
    bound = hashlib.sha512(nonce + keys[letter]).digest()
    report = snp_report().replace(report_data=bound).to_bytes()
    return Task(letter, (report, nonce, keys), words={"letter": letter})


#: What a guest may put into report_data, and which of a, b and c go through then.
_BINDINGS = {
    "the SHA-512 of the owner's nonce": {"b", "c"},
    "the SHA-512 of its public key": {"a", "c"},
    "64 zero bytes": {"a", "b", "c"},
    "the SHA-512 of the owner's nonce and of its public key": {"c"},
}


def _weak_binding(chance: Random) -> Task:
    binding = chance.choice(list(_BINDINGS))
    return Task(_BINDINGS[binding], words={"binding": binding})


def _id_refusal(chance: Random) -> Task:
    digest, policy = snp_report().measurement, DEFAULT_POLICY
    keys = [make_private(seeded(chance.randbytes(8))) for _ in range(2)]
    signed, other = (build_id_block(digest, key) for key in keys)
    fault = chance.choice(("digest", "policy", "signature"))
    if fault == "digest":
        digest = digest[:-1] + bytes([digest[-1] ^ chance.randrange(1, 256)])
    elif fault == "policy":
        policy |= 1 << chance.choice((18, 19, 20))
    else:
        signed = SignedIdBlock(signed.block, signed.auth.replace(id_block_sig=other.auth.id_block_sig))
    status = verify_id_block(signed, digest, policy).firmware_status
    return Task(status, (signed, digest, policy), words={"fault": fault})


def _new_enough(chance: Random) -> Task:
    """The TCBs of five Turins, of which some have a part below the minimum."""
    least = {"fmc": 1, "bl": chance.randrange(3, 9), "tee": 1, "snp": chance.randrange(3, 9), "ucode": 0x30}
    good = {name: number + chance.randrange(2) for name, number in least.items()}
    changes = {name: {name: least[name] - 1} for name in ("bl", "snp", "ucode")}
    # Too old in one part, and newer in the part that has the highest byte.
    changes["snp"]["ucode"] = 0x40
    tcbs = [least, good] + [{**good, **change} for change in changes.values()]
    chance.shuffle(tcbs)
    given = {letter: TurinTcb(**tcb).to_bytes() for letter, tcb in zip("ABCDE", tcbs, strict=True)}
    enough = [all(tcb[name] >= least[name] for name in least) for tcb in tcbs]
    right = {letter for letter, is_right in zip("ABCDE", enough, strict=True) if is_right}
    return Task(right, given, words=least)


#: How each exercise is made.
TASKS = {
    "first-link": _first_link,
    "lost-cpus": _lost_cpus,
    "acceptable": _acceptable,
    "lost-vcek": _lost_vcek,
    "bound-key": _bound_key,
    "weak-binding": _weak_binding,
    "id-refusal": _id_refusal,
    "new-enough": _new_enough,
}
