"""Who made a report: a real one, every bit of it changed, and what no real one can show, made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import sevlab
from sevlab.attestation import authenticity
from sevlab.attestation.authenticity import check_report_signature
from sevlab.attestation.certificates import (
    Certificates,
    parse_bundle,
    parse_certificate,
    parse_crls,
)
from sevlab.attestation.report import ReportVerdict, verify_report
from sevlab.data import INCIDENTS
from sevlab.errors import InputError
from sevlab.formats.report import SIGNED, SIZE, MilanTcb, TurinTcb, parse_report, vcek_urls
from sevlab.formats.vcek import CSP_ID, EXTENSIONS, HWID, RESERVED_SPL, ROOTS, SPL, tell_kind
from sevlab.launch.verify import CANNOT_TELL, MATCH, MISMATCH, NOT_CHECKED
from sevlab.simulator.kds import MOMENT, KeyServer
from tests.snp_reports import (
    CHIPS,
    CPUS,
    CSP,
    OTHER_FORM,
    REAL_MOMENT,
    SERVER,
    TCBS,
    certificates,
    failures,
    made_verdict,
    make,
    real,
    real_ders,
    signed,
    states,
    unsigned,
)


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
        verdict = verify_report(bytes(raw), given, at=REAL_MOMENT)
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
        verdict = verify_report(report, Certificates(**(whole | {name: changed})), at=REAL_MOMENT)
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
    # Whatever is changed in what is signed, the signature fails, of unknown versions too.
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
    assert failures(verify_report(real("milan-v2-report.bin"), real_one, roots=SERVER.roots, at=REAL_MOMENT)) == [
        "ARK known"
    ]


def test_dates() -> None:
    early, late = datetime(2019, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    for at, words in ((early, "not valid before"), (late, "VCEK: expired on 2032-07-01")):
        verdict = verify_report(make(), certificates(), roots=SERVER.roots, at=at)
        assert failures(verdict) == ["validity"]
        assert words in verdict["validity"].note
    last = datetime(2032, 7, 1, tzinfo=UTC)
    assert failures(verify_report(make(), certificates(), roots=SERVER.roots, at=last)) == []
    assert failures(verify_report(make(), certificates(), roots=SERVER.roots, at=last + timedelta(seconds=1))) != []


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
            crls = parse_crls(broken)
        except InputError:
            continue
        verdict = made_verdict(make(), Certificates(ask=ask, ark=parse_certificate(SERVER.ark("Milan")), crls=crls))
        assert verdict["revocation"].state == MISMATCH, hex(place)


#: What no extension may hold: nothing, another number, numbers that are no DER, text of another type, no text.
MALFORMED = ("", "020155", "02020001", "02020100", "040161", "1601ff")


@pytest.mark.parametrize("product", TCBS)
def test_a_missing_or_malformed_extension_fails(product: str) -> None:
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
        for text in MALFORMED:
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
    crl = Certificates(crls=parse_crls(SERVER.crl("Milan")))
    assert made_verdict(make(), crl)["revocation"].state == CANNOT_TELL
    with pytest.raises(KeyError):
        verdict["colour"]


def test_authorities_in_each_other_s_places_fail() -> None:
    ask, ark = SERVER.ask("Milan"), SERVER.ark("Milan")
    verdict = made_verdict(make(), certificates(ask=ark, ark=ask))
    assert {"leaf signature", "ASK signature", "ARK signature", "ARK known", "names"} <= set(failures(verdict))
    leaf = SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"])
    verdict = made_verdict(make(), certificates(ask=leaf))
    assert {"leaf signature", "names", "key usage"} <= set(failures(verdict))
    verdict = made_verdict(make(), certificates(vcek=ask))
    assert {"signing key", "report signature", "names", "extensions", "TCB", "key usage"} <= set(failures(verdict))


def test_the_roots_are_three_and_products_follow_the_processor() -> None:
    assert sorted(ROOTS.values()) == ["Genoa", "Milan", "Turin"]
    for product, cpu in CPUS.items():
        assert sevlab.formats.report.parse_report(make(product)).product == product
        assert sevlab.formats.report.parse_report(make(product)).cpuid == cpu
    assert isinstance(sevlab.formats.report.parse_report(make("Turin")).reported_tcb, TurinTcb)
    assert isinstance(sevlab.formats.report.parse_report(make("Genoa")).reported_tcb, MilanTcb)
    assert KeyServer().roots != {}


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
    other = made_verdict(make("Turin", 2), certificates("Milan"))
    assert named(other, "processor") == "F13"
    mixed = made_verdict(make(), certificates(ask=SERVER.ask("Genoa")))
    assert named(mixed, "one product") == "F13"
    assert {"leaf signature", "ASK signature"} <= set(failures(mixed))


def test_a_processor_that_nobody_knows_fails() -> None:
    raw = make(cpuid_fam_id=0x17)
    verdict = made_verdict(raw, certificates())
    assert failures(verdict) == ["processor"]


def test_f38_current_instead_of_reported() -> None:
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
