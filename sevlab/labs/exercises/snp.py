"""Exercises of the lessons on SEV-SNP: pages, the report, who signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


#: How each exercise is made.
TASKS = {
    "first-link": _first_link,
    "lost-cpus": _lost_cpus,
    "two-places": _two_places,
    "lost-vcek": _lost_vcek,
}
