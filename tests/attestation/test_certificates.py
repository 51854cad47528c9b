"""Certificates and lists of revoked ones: whatever comes is read to its last byte, or refused in one line."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.certificates import (
    Certificates,
    integer,
    parse_bundle,
    parse_certificate,
    parse_chain,
    parse_crls,
)
from sevlab.attestation.report import verify_report
from sevlab.errors import InputError
from sevlab.formats.vcek import HWID
from sevlab.launch.verify import MATCH, MISMATCH, NOT_CHECKED, Check
from sevlab.simulator import kds
from sevlab.simulator.kds import MOMENT, KeyServer
from tests.snp_reports import (
    CHIPS,
    REAL_MOMENT,
    SERVER,
    TCBS,
    anything,
    certificates,
    crl,
    crl_pem,
    failures,
    made_verdict,
    make,
    one_line,
    pem,
    real,
    real_ders,
    real_verdict,
    signed,
    table,
    unsigned,
)
from tests.soak import many

ASK = SERVER.ask("Milan")
ASK_SERIAL = 0x10001
LEAF = SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"])
REPORT = make("Turin")
TURIN_LEAF = SERVER.vcek("Turin", CHIPS["Turin"], TCBS["Turin"])
TURIN_CRL = SERVER.crl("Turin", (1, 2, 3))


def test_serial_number_0_never_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The release of the library that will refuse it, ahead of time; and no warning in this one."""
    load = x509.load_der_x509_certificate
    seen = []

    def strict(raw: bytes, backend: Any = None) -> x509.Certificate:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one = load(raw)
            seen.append(one.serial_number)
        return one

    monkeypatch.setattr(x509, "load_der_x509_certificate", strict)
    der = real_ders()["vcek"]
    assert der[8:16] == bytes.fromhex("a003020102020100")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert failures(real_verdict()) == []
        assert parse_certificate(der).serial == 0
        negative = bytearray(der)
        negative[15] = 0x80
        assert parse_certificate(bytes(negative)).serial == -128
    assert set(seen) == {1, 0x10000, 0x10001}


def test_integers_are_der() -> None:
    for value in range(256):
        assert integer(b"\x02\x01" + bytes([value]) if value < 128 else b"\x02\x02\x00" + bytes([value])) == value
    for wrong in (b"", b"\x02\x01\x80", b"\x02\x02\x00\x7f", b"\x02\x02\x01\x00", b"\x02\x01\x01\x00", b"\x03\x01\x01"):
        assert integer(wrong) is None


@pytest.mark.parametrize("first", [0x02, 0x04, 0x00])
def test_a_chip_s_name_may_begin_with_any_byte_and_may_be_wrapped(first: int) -> None:
    for product, size in (("Milan", 64), ("Turin", 8)):
        name = bytes([first, size - 2]) + bytes(range(9, 9 + size - 2))
        tcb = TCBS[product]
        raw = signed(unsigned(product, chip_id=name.ljust(64, b"\0")), SERVER.vcek_key(product, name, tcb))
        given = certificates(product, vcek=SERVER.vcek(product, name, tcb))
        assert failures(made_verdict(raw, given)) == []
        assert given.vcek is not None
        given.vcek.extensions[HWID] = bytes([0x04, size]) + name
        assert failures(made_verdict(raw, given)) == []


def test_certificates_are_shown() -> None:
    shown = str(certificates(crl=SERVER.crl("Milan")))
    assert KeyServer().fingerprint("Milan") in shown
    assert "bl 4, tee 0, snp 24, ucode 219" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "<table" in certificates()._repr_html_()
    assert repr(certificates()) == "<Certificates vcek ask ark>"
    assert str(Certificates()) == "No certificates."


def test_a_certificate_table_may_hold_der_or_pem() -> None:
    ders = real_ders()
    raws = (table(**ders), table(vcek=ders["vcek"], ask=pem(ders["ask"]), ark=real("milan-ark.pem")))
    for raw in raws:
        verdict = verify_report(real("milan-v2-report.bin"), parse_bundle(certs=raw), at=REAL_MOMENT)
        assert failures(verdict) == []
    chain = parse_bundle(certs=table(vcek=ders["vcek"]), chain=real("milan-ark.pem") + real("milan-ask.pem"))
    assert failures(verify_report(real("milan-v2-report.bin"), chain, at=REAL_MOMENT)) == []
    cut = parse_bundle(certs=table(**ders)[: -len(ders["ark"]) - 1], chain=real("milan-ark.pem"))
    assert any("ends at byte" in note for note in cut.notes)
    assert "ends at byte" in str(verify_report(real("milan-v2-report.bin"), cut, at=REAL_MOMENT))
    both = certificates(vlek=True, vcek=SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"]))
    assert [one.kind for one in (both.leaf("VCEK"), both.leaf("VLEK")) if one] == ["VCEK", "VLEK"]
    crl = parse_bundle(certs=table(**ders, crl=SERVER.crl("Milan")))
    assert len(crl.crls) == 1


def test_pem_and_chains() -> None:
    ders = real_ders()
    assert parse_certificate(pem(ders["vcek"])).der == ders["vcek"]
    assert [one.der for one in parse_chain(pem(ders["ask"]) + b"text\n" + pem(ders["ark"]))] == [
        ders["ask"],
        ders["ark"],
    ]
    everything = parse_bundle(chain=pem(ders["vcek"]) + pem(ders["ark"]) + pem(ders["ask"]))
    assert failures(verify_report(real("milan-v2-report.bin"), everything, at=REAL_MOMENT)) == []
    crl = SERVER.crl("Milan")
    as_pem = b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(crl) + b"-----END X509 CRL-----\n"
    assert [one.der for one in parse_crls(as_pem)] == [crl]
    hostile = b"-----BEGIN CERTIFICATE-----" * 2400
    refused = {
        "many": (hostile, "breaks off"),
        "half": (b"-----BEGIN CERT", "without a whole BEGIN"),
        "end first": (b"-----END CERTIFICATE-----" + pem(ders["vcek"]), "breaks off"),
        "two": (pem(ders["vcek"]) * 2, "2 certificates"),
        "cut": (pem(ders["vcek"])[:-40], "breaks off"),
        "label": (pem(ders["vcek"]).replace(b"CERTIFICATE", b"PRIVATE KEY"), "PEM of PRIVATE KEY"),
        "text": (pem(ders["vcek"]).replace(b"MII", b"M!I", 1), "not base64"),
        "empty": (b"", "nothing"),
        "short": (ders["vcek"][:-1], "not an X.509 certificate"),
        "long": (ders["vcek"] + b"\0", "not an X.509 certificate"),
    }
    for raw, words in refused.values():
        with pytest.raises(InputError, match=words):
            parse_certificate(raw, "--vcek")
    with pytest.raises(InputError, match="two for one place"):
        parse_bundle(chain=pem(ders["ask"]) * 2)
    with pytest.raises(InputError, match="together with ask"):
        parse_bundle(chain=pem(ders["ask"]), ask=ders["ask"])
    with pytest.raises(InputError, match="without a certificate"):
        parse_bundle(certs=b"\x01" * 100)
    with pytest.raises(TypeError, match="leaf"):
        parse_bundle(leaf=b"")


def test_files_are_read_by_path(tmp_path: Path) -> None:
    report, leaf = tmp_path / "report", tmp_path / "vcek"
    report.write_bytes(real("milan-v2-report.bin"))
    leaf.write_bytes(real_ders()["vcek"])
    chain = tmp_path / "chain.pem"
    chain.write_bytes(real("milan-ask.pem") + real("milan-ark.pem"))
    given = sevlab.load_certificates(vcek=str(leaf), chain=str(chain))
    assert failures(sevlab.verify_report(sevlab.load_report(str(report)), given, at=REAL_MOMENT)) == []
    with pytest.raises(TypeError, match="leaf"):
        sevlab.load_certificates(leaf=str(leaf))
    report.write_bytes(b"x" * 70_000)
    with pytest.raises(InputError, match="more than 65536 bytes"):
        sevlab.load_report(str(report))


def test_two_certificates_for_one_place_are_refused_or_noted() -> None:
    other = SERVER.vcek("Milan", CHIPS["Genoa"], TCBS["Milan"])
    chain = SERVER.chain("Milan")
    with pytest.raises(InputError, match="vcek: received another VCEK than chain has"):
        parse_bundle(vcek=LEAF, chain=chain + pem(other))
    assert parse_bundle(vcek=LEAF, chain=chain + pem(LEAF)).notes == ()
    with pytest.raises(InputError, match="two for one place"):
        parse_bundle(chain=chain + SERVER.chain("Genoa"))
    with pytest.raises(InputError, match="vcek: received two for one place"):
        parse_bundle(vcek=pem(LEAF) * 2 + chain)
    assert parse_bundle(vcek=LEAF, certs=table(vcek=other, ask=ASK)).notes == (
        "certs: its vcek is not used, because another one was given",
    )
    assert [one.der for one in parse_chain(ASK + LEAF)] == [ASK, LEAF]


def test_a_table_accounts_for_every_byte() -> None:
    raw = table(vcek=LEAF, ask=ASK)
    assert parse_bundle(certs=raw + bytes(4096 - len(raw) % 4096)).notes == ()
    assert "belong to no entry" in parse_bundle(certs=raw + b"x").notes[0]
    gap = bytearray(raw)
    offset = int.from_bytes(raw[40:44], "little")
    gap[40:44], gap[44:48] = (offset + 1).to_bytes(4, "little"), (len(ASK)).to_bytes(4, "little")
    shifted = bytes(gap[:offset]) + b"x" + raw[offset:]
    assert f"bytes {offset} to {offset} belong to no entry" in parse_bundle(certs=shifted).notes[0]
    gap[40:44] = (offset - len(LEAF)).to_bytes(4, "little")
    gap[44:48] = len(LEAF).to_bytes(4, "little")
    assert any("belong to two entries" in note for note in parse_bundle(certs=bytes(gap)).notes)
    twice = bytearray(raw)
    twice[24:40] = twice[:16]
    with pytest.raises(InputError, match="two entries of the kind vcek"):
        parse_bundle(certs=bytes(twice))
    lists = bytearray(table(vcek=EMPTY, ask=REVOKING))
    lists[:16] = lists[24:40] = bytes.fromhex("92f81bc358114d3d97ffd19f88dc67ea")
    assert len(parse_bundle(certs=bytes(lists)).crls) == 2


# --- lists of revoked certificates


EMPTY, REVOKING, OTHER = crl(), crl(ASK_SERIAL), crl(5, product="Genoa")
OLD, OLD_REVOKING = crl(days=(-60, -30)), crl(ASK_SERIAL, days=(-60, -30))
YET_TO_COME, TAMPERED = crl(days=(10, 60)), EMPTY[:-1] + bytes([EMPTY[-1] ^ 1])


def revocation(raw: bytes, **raws: bytes) -> Check:
    return verify_report(make(), certificates(crl=raw, **raws), roots=SERVER.roots, at=MOMENT)["revocation"]


@pytest.mark.parametrize("join", [crl_pem, lambda *ders: b"".join(ders)], ids=["PEM", "DER"])
@pytest.mark.parametrize(
    ("lists", "state", "words"),
    [
        ((EMPTY,), MATCH, "not among 0 revoked"),
        ((EMPTY, EMPTY), MATCH, "not among 0 revoked"),
        ((EMPTY, crl(5), crl(6)), MATCH, "not among 2 revoked"),
        ((REVOKING,), MISMATCH, "ASK is revoked (serial number 0x10001)"),
        ((EMPTY, REVOKING), MISMATCH, "ASK is revoked"),
        ((REVOKING, EMPTY), MISMATCH, "ASK is revoked"),
        ((EMPTY, crl(5), REVOKING, crl(6)), MISMATCH, "ASK is revoked"),
        ((OTHER,), MISMATCH, "the CRL is one of 'ARK-Genoa', not of 'ARK-Milan'"),
        ((OTHER, EMPTY), MATCH, "not used: CRL 1 of 2 is one of 'ARK-Genoa'"),
        ((EMPTY, crl(ASK_SERIAL, product="Genoa")), MATCH, "not used: CRL 2 of 2 is one of 'ARK-Genoa'"),
        ((OTHER, REVOKING), MISMATCH, "ASK is revoked"),
        ((OLD,), MISMATCH, "the CRL holds from"),
        ((YET_TO_COME,), MISMATCH, "the CRL holds from"),
        ((OLD, YET_TO_COME), MISMATCH, "CRL 2 of 2 holds from"),
        ((OLD, EMPTY), MATCH, "not used: CRL 1 of 2 holds from"),
        ((OLD_REVOKING, EMPTY), MISMATCH, "ASK is revoked"),
        ((TAMPERED,), MISMATCH, "the CRL's own signature"),
        ((EMPTY, TAMPERED), MISMATCH, "CRL 2 of 2's own signature"),
    ],
)
def test_every_list_of_a_file_counts(lists: tuple[bytes, ...], state: str, words: str, join: Any) -> None:
    check = revocation(join(*lists))
    assert check.state == state
    assert words in check.note
    assert len(parse_crls(join(*lists))) == len(lists)


def point(**given: Any) -> x509.IssuingDistributionPoint:
    names = ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs")
    parts = {"full_name": None, "relative_name": None, "only_some_reasons": None, **dict.fromkeys(names, False)}
    return x509.IssuingDistributionPoint(**(parts | given))


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
LIMITS: dict[str, tuple[x509.ExtensionType, str]] = {
    "delta": (x509.DeltaCRLIndicator(1), "is a delta list (deltaCRLIndicator)"),
    "user certificates": (point(only_contains_user_certs=True), "for user certificates only"),
    "attribute certificates": (point(only_contains_attribute_certs=True), "for attribute certificates only"),
    "reasons": (point(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])), "only some reasons"),
    "indirect": (point(indirect_crl=True), "an indirect list"),
    "one point": (point(full_name=[x509.UniformResourceIdentifier("http://a.example")]), "one distribution point"),
}


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("name", LIMITS)
def test_a_list_with_limits_is_not_a_whole_list(name: str, critical: bool) -> None:
    extension, words = LIMITS[name]
    limited = crl(extensions=((extension, critical),))
    for lists in ((limited,), (EMPTY, limited), (limited, EMPTY)):
        check = revocation(crl_pem(*lists))
        assert check.state == MISMATCH
        assert words in check.note
    assert words in str(certificates(crl=limited))
    assert "ASK is revoked" in revocation(crl(ASK_SERIAL, extensions=((extension, critical),))).note
    other = crl(product="Genoa", extensions=((extension, critical),))
    assert revocation(crl_pem(EMPTY, other)).state == MATCH


def test_critical_extensions_of_a_list_are_judged_as_those_of_certificates() -> None:
    known = (x509.CRLNumber(7), x509.AuthorityKeyIdentifier(b"x", None, None), point(only_contains_ca_certs=True))
    for extension in known:
        for critical in (True, False):
            assert revocation(crl(extensions=((extension, critical),))).state == MATCH
    assert revocation(crl(extensions=((UNKNOWN, False),))).state == MATCH
    check = revocation(crl(extensions=((UNKNOWN, True),)))
    assert (check.state, check.note) == (MISMATCH, "the CRL has the critical extension 1.2.3.4, which is not known")
    assert revocation(crl(5, entry=((UNKNOWN, False),))).state == MATCH
    check = revocation(crl(5, entry=((UNKNOWN, True),)))
    assert (check.state, check.note) == (
        MISMATCH,
        "the CRL has an entry with the critical extension 1.2.3.4, which is not known",
    )
    issuer = x509.CertificateIssuer([x509.DirectoryName(kds._name("ARK", "Genoa"))])
    assert "another issuer's certificate" in revocation(crl(5, entry=((issuer, True),))).note


@pytest.mark.parametrize("critical", [True, False])
def test_an_entry_that_takes_back_does_not_revoke(critical: bool) -> None:
    for reason in x509.ReasonFlags:
        if reason is x509.ReasonFlags.unspecified:
            continue
        check = revocation(crl(ASK_SERIAL, entry=((x509.CRLReason(reason), critical),)))
        assert check.state == (MATCH if reason is x509.ReasonFlags.remove_from_crl else MISMATCH), reason


def test_the_list_of_a_table_counts_beside_the_given_one() -> None:
    authorities = {"vcek": LEAF, "ask": ASK, "ark": SERVER.ark("Milan")}
    for in_table, beside in ((REVOKING, EMPTY), (EMPTY, REVOKING)):
        both = parse_bundle(certs=table(**authorities, crl=in_table), crl=beside)
        assert verify_report(make(), both, roots=SERVER.roots, at=MOMENT)["revocation"].state == MISMATCH
    assert verify_report(make(), parse_bundle(certs=table(**authorities)), at=MOMENT)["revocation"].state == NOT_CHECKED


# --- any bytes


@settings(max_examples=many(150, 30))
@given(
    raw=anything(TURIN_LEAF) | anything(pem(TURIN_LEAF)) | anything(SERVER.ask("Turin")),
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
@given(certs=anything(table(vcek=TURIN_LEAF, ask=SERVER.ask("Turin"), ark=SERVER.ark("Turin"), crl=TURIN_CRL)))
def test_any_table_is_read_or_one_line(certs: bytes) -> None:
    try:
        given = parse_bundle(certs=certs)
    except InputError as error:
        one_line(error)
        return
    assert str(verify_report(REPORT, given, at=MOMENT))


@settings(max_examples=many(150, 30))
@given(crl=anything(TURIN_CRL))
def test_any_crl_is_read_or_one_line(crl: bytes) -> None:
    try:
        given = certificates("Turin", crl=crl)
    except InputError as error:
        one_line(error)
        return
    verdict = verify_report(REPORT, given, roots=SERVER.roots, at=MOMENT)
    assert (verdict["revocation"].state == MATCH) == (crl == TURIN_CRL)
