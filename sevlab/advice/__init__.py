"""Which public vulnerabilities a platform has, as far as its report, its version and the policy tell.

:mod:`.platform` holds what is known, :mod:`.judge` judges every advisory (:data:`sevlab.data.ADVISORIES`) by it, and
:mod:`.findings` shows what came of it.
"""

from __future__ import annotations

from ..data import ADVISORIES
from ..errors import InputError, quoted
from .findings import APPLIES, CURED, NOT_AFFECTED, NOT_NAMED, STATES, Advice, Finding
from .judge import judge
from .platform import (
    NAMES,
    Platform,
    likely_product,
    platform_of_case,
    platform_of_evidence,
    platform_of_numbers,
    platform_of_report,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..case import Case
    from ..evidence import Evidence
    from ..formats.report import Report
    from ..report import ReportVerdict

__all__ = [
    "APPLIES",
    "CURED",
    "NAMES",
    "NOT_AFFECTED",
    "NOT_NAMED",
    "STATES",
    "Advice",
    "Finding",
    "Platform",
    "advise",
    "judge",
    "likely_product",
]


def advise(
    thing: Report | ReportVerdict | Evidence | Case | None = None,
    *,
    product: str | None = None,
    accept: Iterable[str] = (),
    **numbers: Any,
) -> Advice:
    """Say which public vulnerabilities a platform has, which are cured and by what, and which cannot be decided.

    *thing* is a report, the verdict about one, the evidence of a SEV or SEV-ES launch, or a case. Without it *numbers*
    are: ``api`` ("M.N"), ``build``, ``policy`` and ``technology`` ("sev", "sev-es" or "snp"); what is left out is not
    known. *product* ("Naples" to "Turin") helps where the thing does not tell. *accept* are keys of
    :data:`sevlab.ADVISORIES` that the owner knows and bears.

    Raises :class:`~sevlab.errors.InputError` for what cannot be, TypeError for anything else.
    """
    accept = set(accept)
    if unknown := sorted(accept - set(ADVISORIES)):
        raise InputError("accept", quoted(unknown[0]), f"one of {', '.join(ADVISORIES)}")
    if odd := sorted(set(numbers) - {"api", "build", "policy", "technology"}):
        raise TypeError(f"advise has no input named {odd[0]!r}")
    if thing is None:
        return judge(platform_of_numbers(product=product, **numbers), accept)
    if given := [name for name, value in numbers.items() if value is not None]:
        raise TypeError(f"{given[0]} together with {type(thing).__name__}, which tells it")
    return judge(_platform(thing, product or ""), accept)


def _platform(thing: Any, product: str) -> Platform:
    from ..case import Case
    from ..evidence import Evidence
    from ..formats.report import Report

    if isinstance(thing, Case):
        return platform_of_case(thing, product)
    if isinstance(thing, Evidence):
        return platform_of_evidence(thing, product)
    if isinstance(thing, Report):
        return platform_of_report(thing, product)
    if isinstance(getattr(thing, "report", None), Report):  # a verdict about a report
        return platform_of_report(thing.report, product or likely_product(thing.report, thing.product))
    raise TypeError(f"advise takes a report, a verdict, evidence or a case, not {type(thing).__name__}")
