"""Exercises of the lessons on SEV-SNP: pages, the report, who signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.page_info import PAGE
from ...formats.report import TurinTcb
from ...launch.compare import compare_launch
from ...simulator.kds import KeyServer
from ..snp_samples import PRODUCT, sign_report, snp_launch, snp_report
from . import Task

if TYPE_CHECKING:
    from random import Random


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
    "new-enough": _new_enough,
}
