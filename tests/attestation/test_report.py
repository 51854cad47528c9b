"""Attestation reports verified: a real one, every bit of it changed, and what no real one can show, made up."""

from __future__ import annotations

import base64
import json
import warnings
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

import sevlab
from sevlab.attestation import authenticity
from sevlab.attestation.authenticity import check_report_signature
from sevlab.attestation.certificates import (
    Certificates,
    integer,
    parse_bundle,
    parse_certificate,
    parse_chain,
    parse_crl,
)
from sevlab.attestation.report import ReportVerdict, parse_moment, verify_report
from sevlab.attestation.report_file import read_report
from sevlab.attestation.requirements import BYTES, REQUIREMENTS, SIZES, parse_requirements
from sevlab.data import INCIDENTS
from sevlab.errors import InputError, LayoutError
from sevlab.formats.report import SIGNED, SIZE, MilanTcb, TurinTcb, parse_report
from sevlab.formats.report_view import report_as_dict, vcek_urls
from sevlab.formats.vcek import CSP_ID, EXTENSIONS, HWID, RESERVED_SPL, ROOTS, SPL, tell_kind
from sevlab.launch.trust import CANNOT_TELL, MATCH, MISMATCH, NOT_CHECKED
from sevlab.simulator.kds import MOMENT, KeyServer
from tests.shared_data import shared_data
from tests.snp_reports import (
    CHIPS,
    CPUS,
    CSP,
    OTHER_FORM,
    SERVER,
    TCBS,
    certificates,
    make,
    pem,
    signed,
    table,
    unsigned,
)

#: A moment within all dates of the real certificates.
AT = "2024-01-01"
GENUINE = [
    "signing key", "version", "report signature", "leaf signature", "ASK signature", "ARK signature", "ARK known",
    "names", "one product", "key usage", "validity", "revocation", "extensions", "processor", "TCB", "chip id",
]  # fmt: skip


@cache
def real(name: str) -> bytes:
    return shared_data("snp", name).read_bytes()


@cache
def real_ders() -> dict[str, bytes]:
    return {
        "vcek": real("milan-v2-vcek.der"),
        "ask": parse_certificate(real("milan-ask.pem")).der,
        "ark": parse_certificate(real("milan-ark.pem")).der,
    }


def real_verdict(report: bytes = b"", **raws: bytes) -> ReportVerdict:
    return verify_report(report or real("milan-v2-report.bin"), parse_bundle(**(real_ders() | raws)), at=AT)


def made_verdict(raw: bytes, given: Certificates, **wanted: Any) -> ReportVerdict:
    return verify_report(raw, given, roots=SERVER.roots, at=MOMENT, **wanted)


def states(verdict: ReportVerdict) -> dict[str, str]:
    return {check.name: check.state for check in verdict.checks}


def failures(verdict: ReportVerdict) -> list[str]:
    return [check.name for check in verdict.failed]


# --- the real one


def test_the_real_report_verifies() -> None:
    verdict = real_verdict()
    assert [check.name for check in verdict.checks] == [*GENUINE, *REQUIREMENTS]
    done = {name for name, state in states(verdict).items() if state == MATCH}
    assert done == set(GENUINE) - {"revocation", "processor"}
    assert failures(verdict) == []
    assert (verdict.product, verdict.status, verdict.matches) == ("Milan", "not_decided", False)
    assert verdict["measurement"].incident == "F47"
    measurement = real("milan-v2-report.bin")[0x90:0xC0]
    wanted = verify_report(real("milan-v2-report.bin"), parse_bundle(**real_ders()), at=AT, measurement=measurement)
    assert (wanted.status, wanted.matches) == ("match", True)
    assert "OK: a genuine Milan" in str(wanted)
    assert "allows debugging" in wanted.notes[0]


def test_the_real_roots_are_those_of_the_facts() -> None:
    for product in ("Milan", "Genoa", "Turin"):
        ask, ark = (real(f"{product.lower()}-{name}.pem") for name in ("ask", "ark"))
        verdict = verify_report(make(product), parse_bundle(chain=ask + b"\n" + ark), at="2026-01-01")
        for name in ("ASK signature", "ARK signature", "ARK known"):
            assert verdict[name].state == MATCH, (product, name)
        assert verdict["ARK known"].note.startswith(f"{product}: SHA-256")
        assert verdict["one product"].state == MATCH
        assert verdict["report signature"].state == CANNOT_TELL


def test_every_byte_of_the_report_is_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit of each byte that is signed, every bit of the signature and of the bytes around it."""
    leaf = parse_certificate(real_ders()["vcek"])
    monkeypatch.setattr(authenticity, "_rewritten", lambda report: iter(()))
    raw = bytearray(real("milan-v2-report.bin"))
    assert check_report_signature(parse_report(bytes(raw), "Milan"), leaf).state == MATCH
    for place in [*(8 * byte + byte % 8 for byte in range(SIGNED)), *range(8 * SIGNED, 8 * SIZE)]:
        raw[place // 8] ^= 1 << place % 8
        assert check_report_signature(parse_report(bytes(raw), "Milan"), leaf).state == MISMATCH, hex(place // 8)
        raw[place // 8] ^= 1 << place % 8


def test_a_changed_byte_of_the_report_fails_at_the_signature() -> None:
    given = parse_bundle(**real_ders())
    untouched = {"leaf signature", "ASK signature", "ARK signature", "ARK known", "names", "one product", "validity"}
    for place in range(0, SIZE, 9):
        raw = bytearray(real("milan-v2-report.bin"))
        raw[place] ^= 1 << place % 8
        verdict = verify_report(bytes(raw), given, at=AT)
        assert verdict["report signature"].state == MISMATCH, hex(place)
        assert all(verdict[name].state == MATCH for name in untouched), hex(place)


@pytest.mark.parametrize(
    ("name", "lines"),
    [("vcek", {"leaf signature"}), ("ask", {"ASK signature"}), ("ark", {"ARK signature", "ARK known"})],
)
def test_a_changed_byte_of_a_certificate_fails_at_its_line(name: str, lines: set[str]) -> None:
    """Every second byte of the VCEK, every fourth of the others: no certificate any more, or it fails where it must."""
    report, der = real("milan-v2-report.bin"), real_ders()[name]
    whole = {one: parse_certificate(raw) for one, raw in real_ders().items()}
    refused = 0
    for place in range(0, len(der), 2 if name == "vcek" else 4):
        raw = bytearray(der)
        raw[place] ^= 1 << place % 8
        try:
            changed = parse_certificate(bytes(raw))
        except InputError:
            refused += 1
            continue
        verdict = verify_report(report, Certificates(**(whole | {name: changed})), at=AT)
        assert lines <= set(failures(verdict)), hex(place)
        others = {"leaf signature", "ASK signature", "ARK signature", "ARK known"} - lines
        # A changed key or name of an authority is missed by what it signed, never by what signed it.
        allowed = {"vcek": set(), "ask": {"leaf signature"}, "ark": {"ASK signature"}}[name]
        assert not (others - allowed) & set(failures(verdict)), hex(place)
    assert refused < len(der) // 4


@pytest.mark.parametrize("change", ["chip", "tcb"])
def test_a_report_under_another_certificate_of_the_same_platform_kind_fails_there(change: str) -> None:
    newer = TCBS["Milan"].replace(snp=25)
    other = SERVER.vcek("Milan", CHIPS["Genoa"], TCBS["Milan"]) if change == "chip" else None
    other = other or SERVER.vcek("Milan", CHIPS["Milan"], newer)
    verdict = made_verdict(make(), certificates(vcek=other))
    line = {"chip": "chip id", "tcb": "TCB"}[change]
    assert failures(verdict) == ["report signature", line]
    if change == "tcb":
        assert verdict["TCB"].note == "the certificate is for another TCB: snp is 25, reported 24"
    assert "Where the certificate of its key is" in str(verdict)


# --- serial number 0


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


# --- made-up platforms


@pytest.mark.parametrize("product", TCBS)
@pytest.mark.parametrize("version", [2, 3, 5, 4, 1, 77])
@pytest.mark.parametrize("vlek", [False, True])
def test_every_product_version_and_key_verifies(product: str, version: int, vlek: bool) -> None:
    raw = make(product, version, vlek=vlek)
    given = certificates(product, vlek=vlek, crl=SERVER.crl(product, vlek=vlek))
    verdict = made_verdict(raw, given, measurement=raw[0x90:0xC0])
    assert failures(verdict) == [], str(verdict)
    assert verdict.matches
    found = states(verdict)
    assert found["version"] == (MATCH if version in (2, 3, 5) else NOT_CHECKED)
    assert found["processor"] == (MATCH if version in (3, 5) else NOT_CHECKED)
    assert found["chip id"] == (NOT_CHECKED if vlek else MATCH)
    assert found["TCB"] == found["revocation"] == MATCH
    if vlek:
        assert CSP in verdict["chip id"].note
    # Which cloud it must be is asked for by name; a chip's key is no cloud's.
    assert made_verdict(raw, given, csp_id=CSP)["chip id"].state == (MATCH if vlek else MISMATCH)
    assert made_verdict(raw, given, csp_id="elsewhere")["chip id"].state == MISMATCH
    assert "no list can name this one" in verdict["revocation"].note
    # Whatever is changed in what is signed, the signature tells, of unknown versions too.
    for place in range(0, SIGNED, 211):
        broken = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]
        assert verify_report(broken, verdict.certificates, at=MOMENT)["report signature"].state == MISMATCH


def test_a_masked_chip_is_not_compared() -> None:
    raw = signed(unsigned(chip_id=bytes(64)), SERVER.vcek_key("Milan", CHIPS["Milan"], TCBS["Milan"]))
    verdict = made_verdict(raw, certificates())
    assert (failures(verdict), verdict["chip id"].state) == ([], NOT_CHECKED)
    assert "masks" in verdict["chip id"].note


@pytest.mark.parametrize(
    ("key_info", "words"),
    [(7 << 2, "no key signed"), (7 << 2 | 2, "no key signed"), (2, "both cannot be"), (3 << 2, "unknown key 3")],
)
def test_reports_that_no_key_signed_fail_with_the_reason(key_info: int, words: str) -> None:
    raw = unsigned(key_info=key_info)
    verdict = made_verdict(raw, certificates())
    assert words in verdict["signing key"].note
    assert failures(verdict)[:2] == ["signing key", "report signature"]
    assert vcek_urls(verdict.report)[0] == [] or key_info == 2


def test_a_masked_key_beside_a_vlek_is_no_contradiction() -> None:
    raw = make(vlek=True, key_info=1 << 2 | 2)
    assert failures(made_verdict(raw, certificates(vlek=True))) == []


def test_the_leaf_must_be_of_the_kind_that_the_report_names() -> None:
    verdict = made_verdict(make(), certificates(vlek=True))
    assert {"signing key", "report signature"} <= set(failures(verdict))
    assert "names a VCEK, the certificate is for 'SEV-VLEK'" in verdict["signing key"].note
    verdict = made_verdict(make(vlek=True), certificates())
    assert {"signing key", "report signature"} <= set(failures(verdict))
    mixed = certificates(ask=SERVER.asvk("Milan"))
    assert failures(made_verdict(make(), mixed)) == ["leaf signature", "names"]


def test_an_unknown_root_fails_there_and_a_trusted_one_does_not() -> None:
    verdict = verify_report(make(), certificates(), at=MOMENT)
    assert failures(verdict) == ["ARK known"]
    assert failures(made_verdict(make(), certificates())) == []
    real_one = parse_bundle(**real_ders())
    assert failures(verify_report(real("milan-v2-report.bin"), real_one, roots=SERVER.roots, at=AT)) == ["ARK known"]


def test_dates() -> None:
    early, late = datetime(2019, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    for at, words in ((early, "not valid before"), (late, "VCEK: expired on 2032-07-01")):
        verdict = verify_report(make(), certificates(), roots=SERVER.roots, at=at)
        assert failures(verdict) == ["validity"]
        assert words in verdict["validity"].note
    last = datetime(2032, 7, 1, tzinfo=UTC)
    assert failures(verify_report(make(), certificates(), roots=SERVER.roots, at=last)) == []
    assert failures(verify_report(make(), certificates(), roots=SERVER.roots, at=last + timedelta(seconds=1))) != []


def test_moments() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00:00Z") == parse_moment("2026-01-31T14:00:00+02:00") == noon
    assert parse_moment("2026-01-31T12:00:00") == parse_moment(datetime(2026, 1, 31, 12)) == noon
    assert parse_moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert parse_moment(datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))) == noon
    assert abs(parse_moment(None) - datetime.now(UTC)) < timedelta(minutes=1)
    for bad in ("", "yesterday", "2026-02-30", "0001-01-01T00:00:00+14:00", "9" * 5000):
        with pytest.raises(InputError, match="--at: received"):
            parse_moment(bad, "--at")


def test_revocation() -> None:
    ask = parse_certificate(SERVER.ask("Milan"))
    asvk = parse_certificate(SERVER.asvk("Milan"))
    good = made_verdict(make(), certificates(crl=SERVER.crl("Milan", (5,))))
    assert (failures(good), good["revocation"].state) == ([], MATCH)
    revoked = made_verdict(make(), certificates(crl=SERVER.crl("Milan", (5, ask.serial))))
    assert failures(revoked) == ["revocation"]
    assert "ASK is revoked (serial number 0x10001)" in revoked["revocation"].note
    cloud = made_verdict(make(vlek=True), certificates(vlek=True, crl=SERVER.crl("Milan", (asvk.serial,), vlek=True)))
    assert failures(cloud) == ["revocation"]
    foreign = made_verdict(make(), certificates(crl=SERVER.crl("Genoa")))
    assert failures(foreign) == ["revocation"]
    assert "the CRL is one of 'ARK-Genoa', not of 'ARK-Milan'" in foreign["revocation"].note
    raw = SERVER.crl("Milan", (5,))
    late = datetime(2027, 1, 1, tzinfo=UTC)
    old = verify_report(make(), certificates(crl=raw), roots=SERVER.roots, at=late)
    assert failures(old) == ["revocation"]
    assert "holds from 2025-07-01 to 2026-07-01" in old["revocation"].note
    for place in range(0, len(raw), 3):
        broken = raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]
        try:
            crl = parse_crl(broken)
        except InputError:
            continue
        verdict = made_verdict(make(), Certificates(ask=ask, ark=parse_certificate(SERVER.ark("Milan")), crl=crl))
        assert verdict["revocation"].state == MISMATCH, hex(place)


#: What no extension may hold: nothing, another number, numbers that are no DER, text of another type, no text.
ODD_VALUES = ("", "020155", "02020001", "02020100", "040161", "1601ff")


@pytest.mark.parametrize("product", TCBS)
def test_a_missing_or_odd_extension_fails(product: str) -> None:
    """Each extension left out in turn, or with a value it must not have, as if a right authority had signed it."""
    raw, given = make(product), certificates(product)
    assert given.vcek is not None
    whole = given.vcek.extensions
    mine = {SPL[part] for part in TCBS[product].part_names()}
    for oid in {*whole, *mine, SPL["fmc"]}:
        given.vcek.extensions = {one: value for one, value in whole.items() if one != oid}
        failed = set(failures(made_verdict(raw, given)))
        optional = oid in RESERVED_SPL.values() or oid not in whole
        assert bool(failed) != optional, EXTENSIONS[oid]
        for text in ODD_VALUES:
            given.vcek.extensions = {**whole, oid: bytes.fromhex(text)}
            failed = set(failures(made_verdict(raw, given)))
            other_number = oid in mine and text == "020155"
            assert ("TCB" if other_number else "extensions") in failed, (EXTENSIONS[oid], text)
            assert oid not in mine or "TCB" in failed
            assert oid != HWID or "chip id" in failed
    given.vcek.extensions = whole
    assert failures(made_verdict(raw, given)) == []


def test_a_vlek_must_name_its_cloud() -> None:
    given = certificates(vlek=True)
    assert given.vlek is not None
    del given.vlek.extensions[CSP_ID]
    assert failures(made_verdict(make(vlek=True), given)) == ["extensions"]


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


# --- incidents by name


def named(verdict: ReportVerdict, line: str) -> str:
    check = verdict[line]
    assert check.state == MISMATCH
    assert INCIDENTS[check.incident].name in str(verdict).replace("\n" + " " * 29, " ") or check.incident
    return str(check.incident)


def test_f13_the_wrong_product_s_certificate() -> None:
    verdict = made_verdict(make("Genoa"), certificates("Milan"))
    assert named(verdict, "processor") == "F13"
    assert "means Genoa; the certificate is for 'Milan'" in verdict["processor"].note
    told = made_verdict(make("Turin", 2), certificates("Milan"))
    assert named(told, "processor") == "F13"
    mixed = made_verdict(make(), certificates(ask=SERVER.ask("Genoa")))
    assert named(mixed, "one product") == "F13"
    assert {"leaf signature", "ASK signature"} <= set(failures(mixed))


def test_a_processor_that_nobody_knows_fails() -> None:
    raw = make(cpuid_fam_id=0x17)
    verdict = made_verdict(raw, certificates())
    assert failures(verdict) == ["processor"]


def test_f38_current_in_place_of_reported() -> None:
    newer = TCBS["Milan"].replace(snp=25)
    raw = make(current_tcb=newer)
    assert failures(made_verdict(raw, certificates())) == []
    verdict = made_verdict(raw, certificates(vcek=SERVER.vcek("Milan", CHIPS["Milan"], newer)))
    assert failures(verdict) == ["report signature", "TCB"]
    assert named(verdict, "TCB") == "F38"
    (url,) = vcek_urls(verdict.report)[0]
    assert "snpSPL=24" in url


@pytest.mark.parametrize("product", TCBS)
def test_f40_decoded_for_the_other_product(product: str) -> None:
    swapped = OTHER_FORM[product].from_bytes(TCBS[product].to_bytes())
    form = type(TCBS[product])
    asked = form(**{part: swapped.parts.get(part, 0) for part in form.part_names()})
    verdict = made_verdict(make(product), certificates(product, vcek=SERVER.vcek(product, CHIPS[product], asked)))
    assert named(verdict, "TCB") == "F40"


@pytest.mark.parametrize("product", ["Milan", "Turin"])
def test_f41_a_report_that_was_written_again(product: str) -> None:
    raw = make(product, 2)
    parsed = parse_report(raw, product)
    other = OTHER_FORM[product]
    names = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")
    moved = bytearray(raw)
    for row in parsed.rows:
        if row.name in names:
            parts = getattr(parsed, row.name).parts
            moved[row.offset : row.offset + 8] = other(
                **{part: parts.get(part, 0) for part in other.part_names()}
            ).to_bytes()
    # What a Turin has and the others do not (fmc) cannot come back, so it must be 0 for a rewrite to be undone.
    if product == "Turin":
        zero = {name: TCBS["Turin"].replace(fmc=0) for name in names}
        raw = signed(unsigned("Turin", 2, **zero), SERVER.vcek_key("Turin", CHIPS["Turin"], TCBS["Turin"]))
        moved[SIGNED:] = raw[SIGNED:]
    verdict = made_verdict(bytes(moved), certificates(product))
    assert named(verdict, "report signature") == "F41"
    assert "parts of its TCBs" in verdict["report signature"].note
    filled = make(product)[:0x18B] + b"\x01" + make(product)[0x18C:]
    verdict = made_verdict(filled, certificates(product))
    assert named(verdict, "report signature") == "F41"
    assert "its reserved bytes are zero" in verdict["report signature"].note
    other_byte = make(product)[:0x150] + b"\x99" + make(product)[0x151:]
    assert made_verdict(other_byte, certificates(product))["report signature"].incident == ""


def test_f42_a_chip_id_of_8_bytes() -> None:
    long = CHIPS["Turin"][:8] + bytes(range(1, 57))
    raw = signed(unsigned("Turin", chip_id=long), SERVER.vcek_key("Turin", long, TCBS["Turin"]))
    verdict = made_verdict(raw, certificates("Turin"))
    assert failures(verdict) == ["chip id"]
    assert named(verdict, "chip id") == "F42"
    given = certificates("Turin")
    assert given.vcek is not None
    given.vcek.extensions[HWID] = CHIPS["Turin"]
    verdict = made_verdict(make("Turin"), given)
    assert failures(verdict) == ["extensions", "chip id"]
    assert named(verdict, "chip id") == "F42"
    (url,) = vcek_urls(parse_report(make("Turin")))[0]
    assert f"/vcek/v1/Turin/{CHIPS['Turin'][:8].hex()}?fmcSPL=01&" in url


def test_f43_the_chip_is_compared() -> None:
    raw = signed(unsigned(chip_id=CHIPS["Genoa"]), SERVER.vcek_key("Milan", CHIPS["Milan"], TCBS["Milan"]))
    verdict = made_verdict(raw, certificates())
    assert failures(verdict) == ["chip id"]
    assert named(verdict, "chip id") == "F43"
    names = {"SEV-VCEK": "VCEK", "SEV-VLEK": "VLEK", "SEV-Milan": "ASK", "SEV-VLEK-Milan": "ASVK", "ARK-Milan": "ARK"}
    assert {name: tell_kind(name)[0] for name in (*names, "sev")} == {**names, "sev": ""}


def test_f47_the_measurement_is_asked_for() -> None:
    verdict = made_verdict(make(), certificates())
    assert (verdict["measurement"].state, verdict["measurement"].incident) == (NOT_CHECKED, "F47")
    assert not verdict.matches
    assert "F47" in str(verdict)


# --- what was wanted


@pytest.mark.parametrize("name", BYTES)
def test_wanted_bytes(name: str) -> None:
    value = bytes(range(100, 100 + SIZES[name]))
    raw = make(**{name: value})
    for form in (value, value.hex(), base64.b64encode(value).decode()):
        assert made_verdict(raw, certificates(), **{name: form})[name].state == MATCH
    for place in range(SIZES[name]):
        other = value[:place] + bytes([value[place] ^ 0x80]) + value[place + 1 :]
        check = made_verdict(raw, Certificates(), **{name: other})[name]
        assert check.state == MISMATCH
        assert value.hex() in check.note
        assert other.hex() in check.note
    for wrong in (b"", value + b"\0", "zz", 5):
        with pytest.raises(InputError, match=name):
            made_verdict(raw, certificates(), **{name: wrong})


def test_wanted_policy_and_vmpl() -> None:
    raw = make(policy=0xB0000, vmpl=2)
    verdict = made_verdict(raw, certificates(), policy="0xb0000", vmpl=2)
    assert (verdict["policy"].state, verdict["vmpl"].state) == (MATCH, MATCH)
    verdict = made_verdict(raw, certificates(), policy=0x30000, vmpl="0")
    assert failures(verdict) == ["policy", "vmpl"]
    assert "DEBUG is 1, required 0" in verdict["policy"].note
    for wrong in ({"policy": 1 << 64}, {"vmpl": 4}, {"policy": "x"}):
        with pytest.raises(InputError):
            parse_requirements(**wrong)
    with pytest.raises(TypeError, match="colour"):
        verify_report(raw, colour=1)


def test_forbidden() -> None:
    free, strict = make(policy=0xF0000, platform_info=1), make(policy=0x20000)
    forbid = {"forbid_debug": True, "forbid_smt": True, "forbid_migration": True}
    verdict = made_verdict(free, certificates(), **forbid)
    assert failures(verdict) == list(forbid)
    assert verdict["forbid_debug"].incident == "A07"
    assert "on the platform it is on now" in verdict["forbid_smt"].note
    verdict = made_verdict(strict, certificates(), **forbid)
    assert all(verdict[name].state == MATCH for name in forbid)
    assert "off now" in verdict["forbid_smt"].note
    verdict = made_verdict(free, certificates())
    assert all(verdict[name].state == NOT_CHECKED for name in forbid)
    assert verdict.notes
    assert made_verdict(strict, certificates()).notes == []


def test_the_least_tcb_is_compared_part_by_part() -> None:
    for product in ("Milan", "Turin"):
        mine = TCBS[product].parts
        text = ",".join(f"{part}={value}" for part, value in mine.items())
        for least in (text, mine, TCBS[product]):
            assert made_verdict(make(product), certificates(product), min_tcb=least)["min_tcb"].state == MATCH
        for part, value in mine.items():
            # Everything else may be newer: that does not make up for one part that is older.
            least = dict.fromkeys(mine, 0) | {part: value + 1}
            check = made_verdict(make(product), certificates(product), min_tcb=least)["min_tcb"]
            assert check.state == MISMATCH
            assert f"{part} is {value}, required {value + 1} or more" in check.note
    assert "no fmc" in made_verdict(make(), certificates(), min_tcb="fmc=0")["min_tcb"].note
    newer = TCBS["Milan"].replace(snp=99)
    assert made_verdict(make(current_tcb=newer), certificates(), min_tcb={"snp": 99})["min_tcb"].state == MISMATCH
    unknown = verify_report(make("Milan", 4), min_tcb={"snp": 1})["min_tcb"]
    assert unknown.state == MISMATCH
    for wrong in ("", "bl", "bl=", "bl=256", "bl=-1", "bl=1,bl=2", "cpu=1", "bl=1;tee=2", 5, {"bl": "x"}):
        with pytest.raises(InputError, match="min_tcb"):
            parse_requirements(min_tcb=wrong)


def test_missing_certificates_fail_where_they_are_needed() -> None:
    verdict = verify_report(make(), at=MOMENT)
    assert failures(verdict) == ["report signature", "leaf signature", "ASK signature", "ARK signature", "ARK known"]
    leaf = SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"])
    ders = {"vcek": leaf, "ask": SERVER.ask("Milan"), "ark": SERVER.ark("Milan")}
    lost = {
        "vcek": ["report signature", "leaf signature"],
        "ask": ["leaf signature", "ASK signature"],
        "ark": ["ASK signature", "ARK signature", "ARK known"],
    }
    for name, lines in lost.items():
        given = parse_bundle(**{one: raw for one, raw in ders.items() if one != name})
        assert failures(made_verdict(make(), given, measurement=make()[0x90:0xC0])) == lines
    crl = Certificates(crl=parse_crl(SERVER.crl("Milan")))
    assert made_verdict(make(), crl)["revocation"].state == CANNOT_TELL
    with pytest.raises(KeyError):
        verdict["colour"]


def test_certificates_are_shown() -> None:
    shown = str(certificates(crl=SERVER.crl("Milan")))
    assert KeyServer().fingerprint("Milan") in shown
    assert "bl 4, tee 0, snp 24, ucode 219" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "<table" in certificates()._repr_html_()
    assert repr(certificates()) == "<Certificates vcek ask ark>"
    assert str(Certificates()) == "No certificates."


def test_authorities_in_each_other_s_places_fail() -> None:
    ask, ark = SERVER.ask("Milan"), SERVER.ark("Milan")
    verdict = made_verdict(make(), certificates(ask=ark, ark=ask))
    assert {"leaf signature", "ASK signature", "ARK signature", "ARK known", "names"} <= set(failures(verdict))
    leaf = SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"])
    verdict = made_verdict(make(), certificates(ask=leaf))
    assert {"leaf signature", "names", "key usage"} <= set(failures(verdict))
    verdict = made_verdict(make(), certificates(vcek=ask))
    assert {"signing key", "report signature", "names", "extensions", "TCB", "key usage"} <= set(failures(verdict))


# --- files


def test_a_certificate_table_may_hold_der_or_pem() -> None:
    ders = real_ders()
    raws = (table(**ders), table(vcek=ders["vcek"], ask=pem(ders["ask"]), ark=real("milan-ark.pem")))
    for raw in raws:
        verdict = verify_report(real("milan-v2-report.bin"), parse_bundle(certs=raw), at=AT)
        assert failures(verdict) == []
    chain = parse_bundle(certs=table(vcek=ders["vcek"]), chain=real("milan-ark.pem") + real("milan-ask.pem"))
    assert failures(verify_report(real("milan-v2-report.bin"), chain, at=AT)) == []
    odd = parse_bundle(certs=table(**ders)[: -len(ders["ark"]) - 1], chain=real("milan-ark.pem"))
    assert any("ends at byte" in note for note in odd.notes)
    assert "ends at byte" in str(verify_report(real("milan-v2-report.bin"), odd, at=AT))
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
    assert failures(verify_report(real("milan-v2-report.bin"), everything, at=AT)) == []
    crl = SERVER.crl("Milan")
    as_pem = b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(crl) + b"-----END X509 CRL-----\n"
    assert parse_crl(as_pem).der == crl
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


def test_reports_in_every_form() -> None:
    raw = real("milan-v2-report.bin")
    header = (0).to_bytes(4, "little") + SIZE.to_bytes(4, "little") + bytes(24)
    for whole, headed in ((raw, False), (header + raw, True)):
        forms = {
            "binary": whole,
            "hex text": whole.hex().encode() + b"\n",
            "base64 text": base64.encodebytes(whole),
        }
        for form, content in forms.items():
            found = read_report(content)
            assert (found.report.to_bytes(), found.form, found.header is not None) == (raw, form, headed)
            assert ("header of the firmware's answer" in found.note) == headed
    assert "odd" in read_report(b"\x16" + header[1:] + raw).note
    guesses = {
        b"": "nothing",
        raw[:-1]: "breaks off after 1183 bytes",
        raw + b"\n": "head -c 1184",
        bytes(32) + raw + bytes(400): r"tail -c \+33 FILE | head -c 1184",
        real_ders()["vcek"]: "this is a certificate",
        raw.hex()[:-2].encode(): "1183 bytes, hex text",
        b"\xff" * 500: "500 bytes",
    }
    for content, words in guesses.items():
        with pytest.raises(InputError, match=words):
            read_report(content)
    with pytest.raises(LayoutError):
        verify_report(raw[:-1])


# --- shown


def test_the_tcb_ladder_tells_what_is_out_of_order() -> None:
    newer = TCBS["Milan"].replace(snp=25)
    broken = {"reported_tcb": "REPORTED_TCB is 25, above COMMITTED_TCB with 24", "committed_tcb": "above CURRENT_TCB"}
    for field, words in broken.items():
        report = parse_report(make(**{field: newer}))
        assert any(words in one for one in report_as_dict(report)["findings"])  # type: ignore[attr-defined]
        assert "NOT REPORTED <= COMMITTED <= CURRENT" in " ".join(
            str(sevlab.formats.report_view.explain_report(report)).split()
        )
    assert report_as_dict(parse_report(make()))["findings"] == []


@pytest.mark.parametrize("version", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("product", TCBS)
def test_a_report_is_shown_in_full(product: str, version: int) -> None:
    raw = make(product, version)
    report = parse_report(raw, product)
    shown = str(sevlab.formats.report_view.explain_report(report, product))
    assert str(sevlab.explain(report)) == str(sevlab.formats.report_view.explain_report(report))
    digits = raw[0x90:0xC0].hex()
    assert digits[:64] in shown
    assert digits[64:] in shown
    assert max(len(line) for line in shown.splitlines() if "https://" not in line) <= 100
    said = report_as_dict(report, product)
    assert json.loads(json.dumps(said)) == said
    assert said["fields"]["measurement"] == digits  # type: ignore[index]
    assert said["tcb"]["reported_tcb"] == TCBS[product].parts  # type: ignore[index]
    assert len(said["vcek_urls"]) == 1  # type: ignore[arg-type]
    if version not in (2, 3, 5):
        assert "not known to sevlab" in shown
        bare = report_as_dict(parse_report(raw))
        assert (bare["known"], bare["tcb"], bare["vcek_urls"]) == (False, {}, [])
        assert "--product" in str(bare["no_url"])


def test_where_there_is_no_address_the_reason_is_told() -> None:
    assert "VLEK" in vcek_urls(parse_report(make(vlek=True)))[1]
    assert "masked" in vcek_urls(parse_report(unsigned(chip_id=bytes(64))))[1]
    assert "No key" in vcek_urls(parse_report(unsigned(key_info=7 << 2)))[1]
    both = vcek_urls(parse_report(make(version=2)))[0]
    assert [url.split("/")[5] for url in both] == ["Milan", "Genoa"]
    assert len(vcek_urls(parse_report(make(version=2), "Genoa"), "Genoa")[0]) == 1
    wrong = report_as_dict(parse_report(make("Genoa"), "Turin"), "Turin")
    assert any("from Genoa, not Turin" in one for one in wrong["findings"])  # type: ignore[attr-defined]


def test_verdicts_are_pages_and_data() -> None:
    verdict = made_verdict(make(), certificates(), measurement=bytes(48))
    html = verdict._repr_html_()
    assert html == made_verdict(make(), certificates(), measurement=bytes(48))._repr_html_()
    assert "<script" not in html
    assert repr(verdict) == str(verdict)
    assert max(map(len, str(verdict).splitlines())) <= 100
    said = verdict.as_dict()
    assert json.loads(json.dumps(said)) == said
    assert set(said) == {"status", "product", "signing_key", "at", "checks", "certificates", "vcek_urls", "notes"}
    assert said["status"] == "mismatch"
    assert repr(verdict.leaf) == "<Certificate 'SEV-VCEK', serial 0x0>"


def test_the_roots_are_three_and_products_follow_the_processor() -> None:
    assert sorted(ROOTS.values()) == ["Genoa", "Milan", "Turin"]
    for product, cpu in CPUS.items():
        assert sevlab.formats.report.parse_report(make(product)).product == product
        assert sevlab.formats.report.parse_report(make(product)).cpuid == cpu
    assert isinstance(sevlab.formats.report.parse_report(make("Turin")).reported_tcb, TurinTcb)
    assert isinstance(sevlab.formats.report.parse_report(make("Genoa")).reported_tcb, MilanTcb)
    assert KeyServer().roots != {}


def test_files_are_read_by_path(tmp_path: Path) -> None:
    report, leaf = tmp_path / "report", tmp_path / "vcek"
    report.write_bytes(real("milan-v2-report.bin"))
    leaf.write_bytes(real_ders()["vcek"])
    chain = tmp_path / "chain.pem"
    chain.write_bytes(real("milan-ask.pem") + real("milan-ark.pem"))
    given = sevlab.load_certificates(vcek=str(leaf), chain=str(chain))
    assert failures(sevlab.verify_report(sevlab.load_report(str(report)), given, at=AT)) == []
    with pytest.raises(TypeError, match="leaf"):
        sevlab.load_certificates(leaf=str(leaf))
    report.write_bytes(b"x" * 70_000)
    with pytest.raises(InputError, match="more than 65536 bytes"):
        sevlab.load_report(str(report))
