"""Exercises of the lessons on SEV-SNP: pages, the report, who signed it, and a whole attestation."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...attestation.id_block import DEFAULT_POLICY, SignedIdBlock, build_id_block, verify_id_block
from ...attestation.session import make_private, seeded
from ...formats.report import ReportV3, TurinReportV3
from ...launch.compare import compare_launch
from ...simulator.kds import KeyServer
from ..snp_samples import PRODUCT, snp_launch, snp_report
from . import Task

if TYPE_CHECKING:
    from random import Random


def _first_link(chance: Random) -> Task:
    number = compare_launch(snp_launch(), snp_launch(kernel=None, initrd=None, cmdline=None)).number
    assert number is not None
    return Task(number + 1)  # counted from 1


def _lost_cpus(chance: Random) -> Task:
    count = chance.randrange(1, 65)
    return Task(count, snp_launch(num_cpus=count).digest, words={"count": count})


def _two_places(chance: Random) -> Task:
    blank = (form.from_bytes(bytes(form.size)) for form in (ReportV3, TurinReportV3))
    return Task([next(span.offset for span in one.spans() if span.name == "reported_tcb.snp") for one in blank])


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


#: How each exercise is made.
TASKS = {
    "first-link": _first_link,
    "lost-cpus": _lost_cpus,
    "two-places": _two_places,
    "lost-vcek": _lost_vcek,
    "bound-key": _bound_key,
    "weak-binding": _weak_binding,
    "id-refusal": _id_refusal,
}
