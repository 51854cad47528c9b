"""Whatever comes as a report, a certificate, a table or a CRL: it is read, or refused in one line."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab.attestation.certificates import parse_bundle
from sevlab.attestation.report import verify_report
from sevlab.attestation.report_file import read_report
from sevlab.errors import InputError
from sevlab.formats.report import SIZE
from sevlab.launch.verify import MATCH
from sevlab.simulator.kds import MOMENT
from tests.snp_reports import CHIPS, SERVER, TCBS, certificates, make, pem, table
from tests.soak import many

REPORT = make("Turin")
LEAF = SERVER.vcek("Turin", CHIPS["Turin"], TCBS["Turin"])
CRL = SERVER.crl("Turin", (1, 2, 3))


def one_line(error: InputError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 400


def anything(seed: bytes) -> st.SearchStrategy[bytes]:
    """Bytes at random, or *seed* cut, lengthened, or with some bytes changed."""

    def changed(changes: list[tuple[int, int]]) -> bytes:
        raw = bytearray(seed)
        for place, value in changes:
            raw[place % len(raw)] = value
        return bytes(raw)

    some = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6).map(changed)
    cut = st.integers(0, len(seed)).map(lambda end: seed[:end])
    return st.one_of(st.binary(max_size=300), some, cut, st.binary(max_size=8).map(lambda more: seed + more))


@settings(max_examples=many(150, 30))
@given(raw=anything(make()) | anything(make().hex().encode()))
def test_any_file_is_a_report_or_one_line(raw: bytes) -> None:
    try:
        found = read_report(raw)
    except InputError as error:
        one_line(error)
        return
    verdict = verify_report(found.report, at=MOMENT)
    assert not verdict.matches
    assert str(found.report.explain(note=found.note))
    assert json.dumps(found.report.as_dict())


@settings(max_examples=many(150, 30))
@given(
    raw=anything(LEAF) | anything(pem(LEAF)) | anything(SERVER.ask("Turin")),
    place=st.sampled_from(["vcek", "vlek", "ask", "ark", "chain"]),
)
def test_any_certificate_is_read_or_one_line(raw: bytes, place: str) -> None:
    try:
        given = parse_bundle(**{place: raw})
    except InputError as error:
        one_line(error)
        return
    verdict = verify_report(REPORT, given, at=MOMENT)
    assert not verdict.matches
    assert str(verdict)
    assert json.dumps(verdict.as_dict())


@settings(max_examples=many(150, 30))
@given(certs=anything(table(vcek=LEAF, ask=SERVER.ask("Turin"), ark=SERVER.ark("Turin"), crl=CRL)))
def test_any_table_is_read_or_one_line(certs: bytes) -> None:
    try:
        given = parse_bundle(certs=certs)
    except InputError as error:
        one_line(error)
        return
    assert str(verify_report(REPORT, given, at=MOMENT))


@settings(max_examples=many(150, 30))
@given(crl=anything(CRL))
def test_any_crl_is_read_or_one_line(crl: bytes) -> None:
    try:
        given = certificates("Turin", crl=crl)
    except InputError as error:
        one_line(error)
        return
    verdict = verify_report(REPORT, given, roots=SERVER.roots, at=MOMENT)
    assert (verdict["revocation"].state == MATCH) == (crl == CRL)


@settings(max_examples=many(100, 20))
@given(report=st.binary(min_size=SIZE, max_size=SIZE))
def test_any_1184_bytes_verify_or_not(report: bytes) -> None:
    for product in ("Milan", "Turin"):
        verdict = verify_report(report, certificates(product), at=MOMENT, measurement=report[0x90:0xC0])
        assert not verdict.matches
