"""Verifying a report: every check, none of which stops another."""

from __future__ import annotations

from datetime import UTC, datetime

from ..arguments import checked
from ..errors import InputError, quoted
from ..formats.report import TCB_FORMS, Report, parse_report
from ..formats.tcb import MilanTcb
from ..formats.vcek import ROOTS
from .authenticity import (
    check_chip,
    check_extensions,
    check_names,
    check_product,
    check_products,
    check_report_signature,
    check_revocation,
    check_root,
    check_signed_by,
    check_signing_key,
    check_tcb,
    check_uses,
    check_validity,
    check_version,
)
from .bundle import Certificates
from .verdict import ReportVerdict
from .wanted import check_wanted, parse_wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..outcome import Trust
    from .certificate import Certificate


@checked
def verify_report(
    report: Report | bytes | bytearray | memoryview,
    certificates: Certificates | None = None,
    *,
    roots: Mapping[str, str] = ROOTS,
    at: datetime | str | None = None,
    csp_id: str | None = None,
    trust: Trust | None = None,
    **wanted: Any,
) -> ReportVerdict:
    """Verify a report: who made it, and whether it says what was wanted. Never raises on a check that fails.

    *certificates* come from :func:`sevlab.load_certificates`. *roots* are the root certificates to trust, by the
    SHA-256 (hex) of their DER. *at* is the moment at which certificates must be valid, now without it; text is read by
    :func:`parse_moment`. *csp_id* is the cloud that a VLEK must be for. *wanted* are ``measurement``, ``policy``,
    ``host_data``, ``report_data``, ``family_id``, ``image_id``, ``id_key_digest``, ``author_key_digest``, ``min_tcb``,
    ``vmpl``, ``forbid_debug``, ``forbid_smt`` and ``forbid_migration``, each as
    :func:`~sevlab.report.wanted.parse_wanted` takes it.
    *trust* is what of it a case wanted (:meth:`sevlab.Case.trust`), where there is a case.

    Raises :class:`~sevlab.errors.InputError` for a wanted value that cannot be or that asks for nothing,
    :class:`~sevlab.errors.LayoutError` for a report of another length than 1184 bytes.
    """
    asked = parse_wanted(**wanted)
    if asked.min_tcb is not None and not asked.min_tcb:
        raise InputError("min_tcb", "no part", "at least one part and its least number, or no such requirement")
    if csp_id is not None and not csp_id:
        raise InputError("csp_id", "an empty text", "the name of a cloud, or no such requirement")
    moment = parse_moment(at, "at")
    if csp_id == "":
        raise InputError("csp_id", "nothing", "the CSP_ID of a cloud")
    given = certificates or Certificates()
    parsed = report if isinstance(report, Report) else parse_report(bytes(report))
    leaf, told = given.leaf(parsed.key_info.signer), parsed.product
    parsed = _in_form(parsed, told, leaf)
    kind = leaf.kind if leaf is not None and leaf.is_leaf else parsed.key_info.signer
    above = "ASVK" if kind == "VLEK" else "ASK"
    genuine = [
        check_signing_key(parsed, leaf),
        check_version(parsed),
        check_report_signature(parsed, leaf),
        check_signed_by("leaf signature", leaf, given.ask, (kind if kind in ("VCEK", "VLEK") else "leaf", above)),
        check_signed_by("ASK signature", given.ask, given.ark, (above, "ARK")),
        check_signed_by("ARK signature", given.ark, given.ark, ("ARK", "ARK")),
        check_root(given.ark, roots),
        check_names(leaf, given),
        check_products(leaf, given),
        check_uses(leaf, given),
        check_validity(leaf, given, moment),
        check_revocation(leaf, given, moment),
        check_extensions(leaf),
        check_product(parsed, leaf, told),
        check_tcb(parsed, leaf),
        check_chip(parsed, leaf, told, csp_id),
    ]
    return ReportVerdict(parsed, given, leaf, moment, genuine, check_wanted(parsed, asked), trust)


@checked
def parse_moment(value: datetime | str | None, name: str = "at") -> datetime:
    """Return a moment in UTC: now for None; text is a date (its first second) or a full ISO 8601 time.

    A time without a zone is taken for UTC. Raises :class:`~sevlab.errors.InputError` with *name* for other text.
    """
    if value is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(value if len(value) <= 40 else "") if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            raise ValueError
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (AttributeError, TypeError, ValueError, OverflowError):
        needed = "a date (YYYY-MM-DD) or a time in ISO 8601, such as 2026-01-31T12:00:00Z"
        raise InputError(name, quoted(value), needed) from None


def _in_form(report: Report, told: str, leaf: Certificate | None) -> Report:
    """Return a report with its TCBs in their product's form: by its processor, else by its certificate."""
    product = told
    if leaf is not None and leaf.product in TCB_FORMS and (report.cpuid is None or not told):
        product = leaf.product
    form = TCB_FORMS.get(product) or (MilanTcb if report.is_known else None)
    return report if report.TCB is form else parse_report(report.to_bytes(), product)
