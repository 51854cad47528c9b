"""Careless checks, as data: what a verifier leaves out, or does in its place.

A careless verifier is sevlab's own checklist without the lines of its lapse. Some do something weaker instead, and one
changes what it is given before it looks.
"""

from __future__ import annotations

from collections import namedtuple

from ..formats.report import SIZE, TCB_FORMS, MilanTcb, parse_report
from ..formats.vcek import VLEK
from ..report import FAIL, Certificates, parse_certificate, parse_chain, parse_crls, parse_wanted, verify_report
from ..simulator.kds import MOMENT
from .naive import naive_signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..report import ReportVerdict
    from .animal import Given


class Lapse(namedtuple("Lapse", "key title lines prepare instead", defaults=((), None, None))):
    """A careless check: its key, what it is in a sentence, and the lines of sevlab's checklist that it leaves out.

    ``prepare`` changes what is given, before it is looked at; ``instead`` is the weaker check in their place.
    """

    __slots__ = ()
    prepare: Callable[[Given], Given] | None
    instead: Callable[[Given], bool] | None

    def accepts(self, given: Given) -> bool:
        """Return what a verifier with this lapse says."""
        if self.prepare is not None:
            given = self.prepare(given)
        failed = {check.name for check in judge(given).checks if check.state == FAIL}
        return not failed - set(self.lines) and (self.instead is None or self.instead(given))


def judge(given: Given) -> ReportVerdict:
    """Return what sevlab itself says; raises InputError or LayoutError for what it cannot read."""
    ask, ark = parse_chain(given.chain, "chain")
    return verify_report(
        given.report,
        Certificates(parse_certificate(given.vcek, "leaf"), ask=ask, ark=ark, crl=parse_crls(given.crl)),
        roots={given.root_sha256: given.product},
        at=MOMENT,
        measurement=given.measurement,
        report_data=given.report_data,
        host_data=given.host_data,
        id_key_digest=given.id_key_digest,
        min_tcb=given.min_tcb,
        vmpl=given.vmpl,
        forbid_debug=True,
        forbid_migration=True,
    )


def _put_together(given: Given) -> Given:
    """Take the report apart, and make one of the fields that are known."""
    report = parse_report(given.report, given.product)
    known = {row.name: getattr(report, row.name) for row in report.rows if not row.is_reserved}
    return given._replace(report=type(report)(**known).to_bytes())


def _cut(given: Given) -> Given:
    return given._replace(report=given.report[:SIZE])


def _parts_that_are_there(given: Given) -> bool:
    reported = parse_report(given.report, given.product).reported_tcb.parts
    return all(reported[part] == value for part, value in parse_certificate(given.vcek).parts.items())


def _current(given: Given) -> bool:
    return parse_certificate(given.vcek).parts == parse_report(given.report, given.product).current_tcb.parts


def _as_on_milan(given: Given) -> bool:
    leaf = parse_certificate(given.vcek).parts
    reported = MilanTcb.from_bytes(parse_report(given.report, given.product).reported_tcb.to_bytes()).parts
    return all(leaf[part] == value for part, value in reported.items())


def _beginning(given: Given) -> bool:
    leaf, chip_id = parse_certificate(given.vcek), parse_report(given.report).chip_id
    return leaf.kind == VLEK or all(a == b for a, b in zip(leaf.hwid, chip_id, strict=False))


def _as_one_number(given: Given) -> bool:
    form, least = TCB_FORMS[given.product], parse_wanted(min_tcb=given.min_tcb).min_tcb
    low = form(**{part: least.get(part, 0) for part in form.part_names()})
    reported = parse_report(given.report, given.product).reported_tcb
    return int.from_bytes(reported.to_bytes(), "little") >= int.from_bytes(low.to_bytes(), "little")


_KNOWN = (
    Lapse("signature", "a wrong signature of the report does not decide", ("report signature",)),
    Lapse("range", "r and s of a signature are taken as they come", ("report signature",), None, naive_signature),
    Lapse("no-key", "a report that says nobody signed it is not checked", ("signing key", "report signature")),
    Lapse("put-together", "the report is taken apart and put together before it is verified", (), _put_together),
    Lapse("length", "of a longer file the beginning is taken", (), _cut),
    Lapse("signing-key", "which kind of key signed, by KEY_INFO, is not looked at", ("signing key",)),
    Lapse("leaf-signature", "a wrong signature of the leaf does not decide", ("leaf signature",)),
    Lapse(
        "chain-apart",
        "the chain is verified by itself, and not whether it is the leaf's",
        ("leaf signature", "names", "one product"),
    ),
    Lapse("ask-signature", "a wrong signature of the ASK does not decide", ("ASK signature",)),
    Lapse("any-root", "every root that signs itself is trusted", ("ARK known",)),
    Lapse("key-usage", "what a key may be used for is not looked at", ("key usage",)),
    Lapse("dates", "the dates of certificates are not looked at", ("validity",)),
    Lapse("revocation", "the list of revoked certificates is not looked at", ("revocation",)),
    Lapse("processor", "the report's processor and the leaf's product are not compared", ("processor",)),
    Lapse(
        "missing",
        "an extension that the leaf does not have is not compared",
        ("extensions", "TCB"),
        None,
        _parts_that_are_there,
    ),
    Lapse("tcb", "the leaf's TCB is not compared", ("TCB",)),
    Lapse("tcb-current", "the leaf's TCB is compared with CURRENT_TCB", ("TCB",), None, _current),
    Lapse("tcb-layout", "every TCB is read in the order of Milan", ("TCB",), None, _as_on_milan),
    Lapse("chip-id", "the leaf's chip is not compared", ("chip id",)),
    Lapse("chip-id-beginning", "of two chip ids the shorter length is compared", ("chip id",), None, _beginning),
    Lapse("measurement", "the measurement is not compared", ("measurement",)),
    Lapse("report-data", "REPORT_DATA is not compared", ("report_data",)),
    Lapse("host-data", "HOST_DATA is not compared", ("host_data",)),
    Lapse("id-key", "who signed the ID block is not compared", ("id_key_digest",)),
    Lapse("vmpl", "the VMPL is not looked at", ("vmpl",)),
    Lapse("debug", "a policy that allows debugging is taken", ("forbid_debug",)),
    Lapse("migration", "a policy that allows migration is taken", ("forbid_migration",)),
    Lapse("min-tcb", "an old TCB is taken", ("min_tcb",)),
    Lapse("tcb-number", "two TCBs are compared as one number each", ("min_tcb",), None, _as_one_number),
)
#: Every careless check by its key.
LAPSES: dict[str, Lapse] = {lapse.key: lapse for lapse in _KNOWN}
