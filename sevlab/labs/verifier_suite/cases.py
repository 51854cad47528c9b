"""What a test case is, and the flaws of verifiers that test cases find.

A flawed verifier is sevlab's own checklist without the checks of its flaw. Some do something weaker instead, and some
change the input before they look at it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from ...attestation.certificates import Certificates, parse_certificate, parse_chain, parse_crls
from ...attestation.report import ReportVerdict, verify_report
from ...attestation.requirements import parse_requirements
from ...data import INCIDENTS, read_table
from ...formats.report import SIZE, TCB_FORMS, MilanTcb, parse_report
from ...formats.vcek import VLEK
from ...simulator.curve import add, multiply
from ...simulator.kds import MOMENT

#: Wycheproof's three results: must be accepted, must not be, and correct verifiers may differ.
VALID, INVALID, ACCEPTABLE = "valid", "invalid", "acceptable"


@dataclass(frozen=True)
class VerifierInput:
    """What a verifier gets: *report*, *vcek*, *chain* and *crl* from outside, untrusted; the rest from the owner.

    A policy that allows debugging or migration must be refused.
    """

    #: 1184 bytes, unless the test case is about the length.
    report: bytes
    #: The leaf, DER; in some test cases that of a VLEK.
    vcek: bytes
    #: What signs the leaf and the ARK, PEM.
    chain: bytes
    #: The list of revoked certificates, DER.
    crl: bytes
    #: The one ARK to trust, DER, and its product: "Milan", "Genoa" or "Turin".
    root: bytes
    product: str
    #: 48, 64, 32 and 48 bytes.
    measurement: bytes
    report_data: bytes
    host_data: bytes
    id_key_digest: bytes
    min_tcb: str
    vmpl: int
    policy: int

    @property
    def ask(self) -> bytes:
        """The certificate in ``chain`` that signs leaves, DER."""
        return parse_chain(self.chain, "chain")[0].der

    @property
    def ark(self) -> bytes:
        """The root in ``chain``, DER. The verifier must check that it is ``root``."""
        return parse_chain(self.chain, "chain")[1].der

    @property
    def root_sha256(self) -> str:
        """The SHA-256 of the root to trust, as lower-case hex."""
        return hashlib.sha256(self.root).hexdigest()


@dataclass(frozen=True)
class Flaw:
    """What a flawed verifier omits."""

    key: str
    title: str
    #: The checks of sevlab's checklist that it skips.
    checks: tuple[str, ...] = ()
    #: Changes the input before the verifier reads it.
    prepare: Callable[[VerifierInput], VerifierInput] | None = None
    #: The weaker check instead.
    instead: Callable[[VerifierInput], bool] | None = None

    def accepts(self, given: VerifierInput) -> bool:
        """Return whether a verifier with this flaw accepts."""
        if self.prepare is not None:
            given = self.prepare(given)
        failed = {check.name for check in verify_input(given).failed}
        return not failed - set(self.checks) and (self.instead is None or self.instead(given))


@dataclass(frozen=True)
class TestCase:
    """A report with its certificates, and what a correct verifier does with it."""

    #: For pytest: this is not a test.
    __test__: ClassVar[bool] = False

    key: str
    #: :data:`VALID`, :data:`INVALID` or :data:`ACCEPTABLE`.
    result: str
    title: str
    input: VerifierInput
    #: What is wrong with it, and what a correct verifier does.
    comment: str = "nothing"
    expected: str = "accepts it"
    #: The flaw that would accept it, if it is invalid.
    flaw: Flaw | None = None
    #: The checks of sevlab's own checklist that fail.
    checks: tuple[str, ...] = ()
    #: The key of the public incident or attack that it stands for.
    incident: str = ""

    @property
    def incident_name(self) -> str:
        """The incident in one phrase, with its source; "" for none."""
        return INCIDENTS[self.incident].name if self.incident else ""

    @property
    def sentence(self) -> str:
        """What is wrong with it, and the flaw that would accept it."""
        return f"{self.comment}. Flaw: {self.flaw.title}" if self.flaw is not None else self.comment


def verify_input(given: VerifierInput) -> ReportVerdict:
    """Return sevlab's own verdict; raises InputError or LayoutError for unreadable input."""
    ask, ark = parse_chain(given.chain, "chain")
    return verify_report(
        given.report,
        Certificates(parse_certificate(given.vcek, "leaf"), ask=ask, ark=ark, crls=parse_crls(given.crl)),
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


def _serialise_again(given: VerifierInput) -> VerifierInput:
    report = parse_report(given.report, given.product)
    known = {row.name: getattr(report, row.name) for row in report.rows if not row.is_reserved}
    return replace(given, report=type(report)(**known).to_bytes())


def _parts_that_are_there(given: VerifierInput) -> bool:
    reported = parse_report(given.report, given.product).reported_tcb.parts
    return all(reported[part] == value for part, value in parse_certificate(given.vcek).parts.items())


def _current(given: VerifierInput) -> bool:
    return parse_certificate(given.vcek).parts == parse_report(given.report, given.product).current_tcb.parts


def _as_on_milan(given: VerifierInput) -> bool:
    leaf = parse_certificate(given.vcek).parts
    reported = MilanTcb.from_bytes(parse_report(given.report, given.product).reported_tcb.to_bytes()).parts
    return all(leaf[part] == value for part, value in reported.items())


def _beginning(given: VerifierInput) -> bool:
    leaf, chip_id = parse_certificate(given.vcek), parse_report(given.report).chip_id
    return leaf.kind == VLEK or all(a == b for a, b in zip(leaf.hwid, chip_id, strict=False))


def _as_one_number(given: VerifierInput) -> bool:
    form, least = TCB_FORMS[given.product], parse_requirements(min_tcb=given.min_tcb).min_tcb or {}
    low = form(**{part: least.get(part, 0) for part in form.part_names()})
    reported = parse_report(given.report, given.product).reported_tcb
    return int.from_bytes(reported.to_bytes(), "little") >= int.from_bytes(low.to_bytes(), "little")


#: Order and base point of P-384. Source: FIPS 186-4, D.1.2.4.
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
BASE = (
    0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
)


def naive_signature(given: VerifierInput) -> bool:
    """Verify a report's signature without checking that r and s are from 1 to the order minus 1.

    If both are zero, the inverse of s, computed as a power, is zero, the sum of points is the point at infinity, and
    its x, taken as zero, equals r: the signature is right for every message and key (CVE-2022-21449).
    """
    report, key = parse_report(given.report), parse_certificate(given.vcek).ecc_key
    if key is None:
        return False
    r, s, x, y = (int.from_bytes(part, "little") for part in (report.r, report.s, key.qx, key.qy))
    hashed = int.from_bytes(hashlib.sha384(report.signed).digest(), "big")
    inverse = pow(s, ORDER - 2, ORDER)
    point = add(multiply(BASE, hashed * inverse % ORDER), multiply((x, y), r * inverse % ORDER))
    return ((0 if point is None else point[0]) - r) % ORDER == 0


_PREPARE: dict[str, Callable[[VerifierInput], VerifierInput]] = {
    "put-together": _serialise_again,
    "length": lambda given: replace(given, report=given.report[:SIZE]),
}
_INSTEAD = {
    "range": naive_signature,
    "missing": _parts_that_are_there,
    "tcb-current": _current,
    "tcb-layout": _as_on_milan,
    "chip-id-beginning": _beginning,
    "tcb-number": _as_one_number,
}
#: Every flaw by its key.
FLAWS: dict[str, Flaw] = {
    key: Flaw(key, row["title"], tuple(row["checks"]), _PREPARE.get(key), _INSTEAD.get(key))
    for key, row in read_table("verifier_suite")["flaws"].items()
}
