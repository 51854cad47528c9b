"""Verifying a report: every check, none of which stops another."""

from __future__ import annotations

from datetime import UTC, datetime

from ..arguments import checked
from ..errors import InputError, quoted
from ..formats.report import TCB_FORMS, Report, parse_report, tell_product
from ..formats.vcek import ROOTS
from .binding import check_chip, check_extensions, check_product, check_tcb, check_version
from .bundle import Certificates
from .links import (
    check_names,
    check_products,
    check_revocation,
    check_root,
    check_signed_by,
    check_uses,
    check_validity,
)
from .signature import check_report_signature, check_signing_key
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
    raw = bytes(report) if isinstance(report, bytes | bytearray | memoryview) else report.to_bytes()
    parsed = parse_report(raw)
    leaf = given.leaf(parsed.key_info.signer)
    parsed = parse_report(raw, _form(parsed, leaf))
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
        check_product(parsed, leaf),
        check_tcb(parsed, leaf),
        check_chip(parsed, leaf, csp_id),
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


def _form(report: Report, leaf: Certificate | None) -> str:
    """Return the product whose form the TCBs of a report have: by its processor, else by its certificate."""
    told = tell_product(report.to_bytes())
    if report.cpuid is not None and told:
        return told
    return leaf.product if leaf is not None and leaf.product in TCB_FORMS else told
