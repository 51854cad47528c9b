"""Nothing that was given is dropped in silence: it is used, refused, or told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sevlab.attestation.certificates import parse_bundle, parse_chain, parse_crl, parse_crls
from sevlab.attestation.id_block import build_id_block
from sevlab.attestation.report import verify_report as verify
from sevlab.attestation.requirements import parse_requirements
from sevlab.attestation.session import godh_certificate, make_session, seeded
from sevlab.cases.case_toml import parse_case
from sevlab.cases.domain_xml import parse_domain
from sevlab.cases.qemu_cmdline import parse_command_line
from sevlab.cases.sources import parse_qmp
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.formats.report import SIZE
from sevlab.launch.keys import Secret
from sevlab.launch.trust import MATCH, MISMATCH, NOT_CHECKED
from sevlab.launch.verify import Check
from sevlab.simulator import kds
from sevlab.simulator.kds import MOMENT
from tests.snp_reports import CHIPS, SERVER, TCBS, certificates, make, pem, table

AT = f"{MOMENT:%Y-%m-%d}"
ASK = SERVER.ask("Milan")
ASK_SERIAL = 0x10001
LEAF = SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"])
MEASUREMENT = make()[0x90:0xC0].hex()

# --- used as validated

#: What asks for nothing, asks twice, or asks for what no product has.
NO_LEAST_TCB: list[Any] = [
    *("", " ", ",", "=", "bl", "bl=", "bl= ", "=4", "bl=4,", ",bl=4", "bl=4,,tee=0", "bl=256", "bl=-1", "bl=4;tee=0"),
    *("bl=200,bl=0", "bl=200, bl=0", "bl=200,bl =0", "bl=200,\tbl=0", " bl=200,bl=0", "bl=200,bl=0 ", "bl=200,BL=0"),
    *("bl=200,tee=0, bl=200", "BL=4", "cpu=1", "bl=200,cpu=1", "cpu=1, cpu=1", "bl=0=4", "bl=٤", "bl=1_0", "ﬂ=4"),
]
NO_LEAST_TCB_IN_PYTHON: list[Any] = [
    {},
    [],
    4,
    b"bl=4",
    {"": 4},
    {"BL": 4},
    {"bl": None},
    {"bl": True},
    {"bl": 256},
    {4: 4},
]


@pytest.mark.parametrize("value", [*NO_LEAST_TCB, *NO_LEAST_TCB_IN_PYTHON], ids=repr)
def test_a_least_tcb_is_read_once_or_refused(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_requirements(min_tcb=value)
    assert str(caught.value).startswith("min_tcb")
    if not isinstance(value, str):
        return
    assert main(["report", "verify", "none", "--min-tcb", value]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["case", "new", f"--snp-min-tcb={value}", "-o", "/nowhere/x.toml"]) == 2
    assert "snp-min-tcb" in capsys.readouterr().err
    with pytest.raises(InputError, match="snp-min-tcb"):
        parse_case(f"format = 2\n[snp]\nsnp-min-tcb = {json.dumps(value)}\n", "case.toml")


@pytest.mark.parametrize("text", ["bl=4", " bl = 4 ", "snp=0x18, bl=4", "ucode=219,snp=24,tee=0,bl=4,fmc=1"])
def test_what_a_case_wants_is_what_is_used(text: str) -> None:
    wanted = parse_requirements(min_tcb=text).min_tcb
    case = parse_case(f"format = 2\n[snp]\nsnp-min-tcb = {json.dumps(text)}\n", "case.toml")
    assert parse_requirements(min_tcb=case.inputs["snp_min_tcb"]).min_tcb == wanted
    assert " " not in case.inputs["snp_min_tcb"]
    encoded = base64.b64encode(bytes(48)).decode()
    case = parse_case(f"format = 2\n[snp]\nsnp-measurement = '{encoded}'\n", "case.toml")
    assert case.inputs["snp_measurement"] == "00" * 48


@pytest.mark.parametrize("name", ["forbid_debug", "forbid_smt", "forbid_migration"])
def test_what_is_forbidden_is_true_or_false(name: str) -> None:
    for value in (0, 1, "", "no", "true", [], b"x"):
        with pytest.raises(InputError, match=name):
            parse_requirements(**{name: value})


@pytest.mark.parametrize("at", [5, 5.0, b"2026-01-01", MOMENT.date(), [], "", " 2026-01-01", "2026-01-01\n"])
def test_a_moment_is_a_moment(at: Any) -> None:
    with pytest.raises(InputError, match="at: received"):
        verify(make(), at=at)


#: Words of a command after which one more value would be dropped, and where its refusal begins.
DROPPED = {
    "two least TCBs": (
        ["report", "verify", "x", "--min-tcb", "bl=200", "--min-tcb", "bl=0"],
        "--min-tcb: received it more",
    ),
    "two lists": (["report", "verify", "x", "--crl", "a", "--crl", "b"], "--crl: received it more"),
    "two moments": (["case", "verify", "x", "--at", AT, "--at", AT], "--at: received it more"),
    "two answers": (
        ["id-block", "verify", "x", "--author-key-enabled", "--no-author-key-enabled"],
        "--author-key-enabled: received it more",
    ),
    "two policies": (["advise", "--policy", "1", "--policy", "2"], "--policy: received it more"),
    "found twice": (["case", "new", "--policy=1", "-F", "policy=1", "-F", "policy=2", "-o", "/nowhere/x"], "--found"),
    "model beside a type": (
        ["digest", "--mode=snp", "--ovmf=x", "--vcpus=1", "--vcpu-type=EPYC", "--vcpu-model=1"],
        "--vcpu-type: received together with --vcpu-model",
    ),
    "stepping beside a signature": (
        ["digest", "--mode=snp", "--ovmf=x", "--vcpus=1", "--vcpu-sig=1", "--vcpu-stepping=1"],
        "--vcpu-sig: received together with --vcpu-stepping",
    ),
    "family beside a type": (
        ["case", "new", "--cpu-family=25", "--vcpu-type=EPYC", "-o", "/nowhere/x"],
        "--vcpu-type: received together with --cpu-family",
    ),
    "no cloud": (["report", "verify", "report", "--csp-id", ""], "--csp-id: received an empty text"),
    "no product": (["report", "show", "report", "--product", ""], "--product: received ''"),
    "no product to advise": (["advise", "--product", ""], "--product: received nothing"),
    "seconds": (["verifier-suite", "run", "--timeout", "1_0", "--", "true", "{report}"], "--timeout: received '1_0'"),
    "seconds of other digits": (["diagnose", "--budget", "٣"], "--budget: received"),
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_value_that_would_be_dropped_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report").write_bytes(make())
    words, error = DROPPED[name]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ERROR: {error}")
    assert said.count("\n") == 1


def test_other_verbs_tell_that_the_last_value_counts(capsys: pytest.CaptureFixture[str]) -> None:
    samples = Path(__file__).resolve().parents[2] / "notebooks" / "samples"
    words = ["digest", "--mode", "sev", "--ovmf", "none", "--ovmf", str(samples / "firmware.fd")]
    assert main(words) == 0
    assert capsys.readouterr().err == "WARNING: --ovmf was given more than once; the last one counts\n"
    assert main([*words, "--mode", "none"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# --- lists of revoked certificates


def crl(
    *serials: int,
    product: str = "Milan",
    days: tuple[int, int] = (-30, 30),
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    entry: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:
    """Make a list (DER) that the made-up ARK of a product signed."""
    start, end = (MOMENT + timedelta(days=number) for number in days)
    builder = x509.CertificateRevocationListBuilder(kds._name("ARK", product), start, end)
    for value, is_critical in extensions:
        builder = builder.add_extension(value, is_critical)
    for serial in serials:
        one = x509.RevokedCertificateBuilder(serial, start)
        for value, is_critical in entry:
            one = one.add_extension(value, is_critical)
        builder = builder.add_revoked_certificate(one.build())
    return kds._signed(builder, "ARK", product)


def crl_pem(*ders: bytes) -> bytes:
    return b"".join(pem(der).replace(b"CERTIFICATE", b"X509 CRL") for der in ders)


def revocation(raw: bytes, **raws: bytes) -> Check:
    return verify(make(), certificates(crl=raw, **raws), roots=SERVER.roots, at=MOMENT)["revocation"]


EMPTY, REVOKING, OTHER = crl(), crl(ASK_SERIAL), crl(5, product="Genoa")
OLD, OLD_REVOKING = crl(days=(-60, -30)), crl(ASK_SERIAL, days=(-60, -30))
YET_TO_COME, TAMPERED = crl(days=(10, 60)), EMPTY[:-1] + bytes([EMPTY[-1] ^ 1])


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
    if len(lists) > 1:
        with pytest.raises(InputError, match=f"{len(lists)} lists"):
            parse_crl(join(*lists))


def point(**given: Any) -> x509.IssuingDistributionPoint:
    names = ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs")
    parts = {"full_name": None, "relative_name": None, "only_some_reasons": None, **dict.fromkeys(names, False)}
    return x509.IssuingDistributionPoint(**(parts | given))


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
LIMITS: dict[str, tuple[x509.ExtensionType, str]] = {
    "delta": (x509.DeltaCRLIndicator(1), "is a delta list (deltaCRLIndicator)"),
    "user certificates": (point(only_contains_user_certs=True), "for user certificates alone"),
    "attribute certificates": (point(only_contains_attribute_certs=True), "for attribute certificates alone"),
    "reasons": (point(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])), "only some reasons"),
    "indirect": (point(indirect_crl=True), "an indirect list"),
    "one point": (point(full_name=[x509.UniformResourceIdentifier("http://a.example")]), "one distribution point"),
}


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("name", LIMITS)
def test_a_list_with_limits_is_no_whole_list(name: str, critical: bool) -> None:
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
    for in_table, given in ((REVOKING, EMPTY), (EMPTY, REVOKING)):
        both = parse_bundle(certs=table(**authorities, crl=in_table), crl=given)
        assert verify(make(), both, roots=SERVER.roots, at=MOMENT)["revocation"].state == MISMATCH
    assert verify(make(), parse_bundle(certs=table(**authorities)), at=MOMENT)["revocation"].state == NOT_CHECKED


def test_a_revoked_certificate_is_exit_1_and_a_file_that_is_no_list_exit_2(files: Path) -> None:
    for raw, status in ((EMPTY, 0), (EMPTY + REVOKING, 1), (EMPTY + b"\0", 2), (crl_pem(EMPTY) + LEAF, 2), (b"", 2)):
        Path("crl").write_bytes(raw)
        assert main([*VERIFY, "--vcek", "leaf.der", "--chain", "chain.pem", "--crl", "crl"]) == status


# --- every structure with something more

KEY = ec.derive_private_key(7, ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PRIVATE = Secret((0x1234567890ABCDEF).to_bytes(48, "big"))
SESSION = make_session(godh_certificate(PRIVATE), 5, random=seeded(b"surplus"))
VERIFY = ["report", "verify", "report", "--at", AT, "--trust-root", "ark.der", "--measurement", MEASUREMENT]
OPEN = ["session", "open", "--pdh-key", "pdh.key", "godh", "session"]
BLOCK = build_id_block(bytes(range(48)), PRIVATE)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    chain = SERVER.chain("Milan")
    parts = {
        "report": make(),
        "headed": (0).to_bytes(4, "little") + SIZE.to_bytes(4, "little") + bytes(24) + make(),
        "leaf.der": LEAF,
        "leaf.pem": pem(LEAF),
        "ask.der": ASK,
        "ark.der": SERVER.ark("Milan"),
        "chain.pem": chain,
        "chain.der": ASK + SERVER.ark("Milan"),
        "crl.der": EMPTY,
        "crl.pem": crl_pem(EMPTY),
        "key.pem": KEY,
        "pdh.key": PRIVATE.reveal(),
        "godh": SESSION.godh.to_bytes(),
        "session": SESSION.blob.to_bytes(),
        "block": BLOCK.block.to_bytes(),
        "auth": BLOCK.auth.to_bytes(),
        "properties": BLOCK.properties.encode(),
        "vmsa": bytes(4096),
        "tik": bytes(range(16)),
        "tk": bytes(range(32)),
        "case.toml": b"format = 2\n[reported]\npolicy = 1\n",
        "digest": bytes(range(48)),
    }
    for name, raw in parts.items():
        Path(name).write_bytes(raw)
    return tmp_path


ALL = ["--vcek", "leaf.der", "--chain", "chain.pem", "--crl", "crl.der"]
MEASURE = [
    *("measure", "--api-major=0", "--api-minor=22", "--build-id=13", "--policy=1", "--tik=tik", f"--nonce={'11' * 16}"),
    f"--launch-digest={'00' * 32}",
]
#: Every file that holds a structure, the command that reads it, and its status for the good file.
STRUCTURES: dict[str, tuple[list[str], str, int]] = {
    "report": ([*VERIFY, *ALL], "report", 0),
    "report shown": (["report", "show", "report"], "report", 0),
    "report with a header": (["report", "show", "headed"], "headed", 0),
    "report to advise": (["advise", "--report", "report"], "report", 1),
    "vcek": ([*VERIFY, *ALL], "leaf.der", 0),
    "vcek in PEM": ([*VERIFY, "--vcek", "leaf.pem", "--chain", "chain.pem"], "leaf.pem", 0),
    "ask": ([*VERIFY, "--vcek", "leaf.der", "--ask", "ask.der", "--ark", "ark.der"], "ask.der", 0),
    "root": ([*VERIFY, *ALL], "ark.der", 0),
    "chain": ([*VERIFY, *ALL], "chain.pem", 0),
    "chain in DER": ([*VERIFY, "--vcek", "leaf.der", "--chain", "chain.der"], "chain.der", 0),
    "private key": (
        ["id-block", "build", f"--measurement={'00' * 48}", "--idkey", "key.pem"],
        "key.pem",
        0,
    ),
    "ID block": (["id-block", "show", "block", "auth"], "block", 0),
    "ID authentication": (["id-block", "show", "block", "auth"], "auth", 0),
    "ID block as text": (["id-block", "show", "properties"], "properties", 0),
    "launch digest": (["id-block", "verify", "properties", "--measurement", "digest"], "digest", 0),
    "owner's certificate": (OPEN, "godh", 0),
    "session": (OPEN, "session", 0),
    "PDH's key": (OPEN, "pdh.key", 0),
    "SEV certificate": (["chain", "show", "godh"], "godh", 0),
    "save area": (["vmsa", "show", "vmsa"], "vmsa", 0),
    "key": (MEASURE, "tik", 0),
    "case": (["case", "show", "case.toml"], "case.toml", 0),
}
#: Something more, from what was there. None of it is text that a PEM file may have around its blocks.
SURPLUS: dict[str, Callable[[bytes], bytes]] = {
    "zero behind": lambda raw: raw + b"\0",
    "escape behind": lambda raw: raw + b"\x1b",
    "byte behind": lambda raw: raw + b"\xff",
    "zero before": lambda raw: b"\0" + raw,
    "byte before": lambda raw: b"\xff" + raw,
    "twice": lambda raw: raw + raw,
    "half of it again": lambda raw: raw + raw[: len(raw) // 2],
    "empty sequence behind": lambda raw: raw + b"\x30\x00",
    "page of zeros behind": lambda raw: raw + bytes(4096),
}
#: What is used, or told, when it comes twice.
SEVERAL = {("SEV certificate", "twice")}


@pytest.mark.parametrize("name", STRUCTURES)
def test_no_structure_takes_more_than_itself(name: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, file, status = STRUCTURES[name]
    assert main(words) == status, capsys.readouterr().err
    good = Path(file).read_bytes()
    for surplus, change in SURPLUS.items():
        if (name, surplus) in SEVERAL:
            continue
        capsys.readouterr()
        Path(file).write_bytes(change(good))
        assert main(words) == 2, surplus
        assert capsys.readouterr().err.count("\n") == 1, surplus


def broken_marks(raw: bytes) -> dict[str, bytes]:
    """PEM with a second block whose marks are damaged."""
    return {
        "begin lost": raw + raw.replace(b"-----BEGIN", b"----BEGIN"),
        "end lost": raw + raw.replace(b"-----END", b"----END"),
        "lower case": raw + raw.replace(b"BEGIN", b"begin").replace(b"END", b"end"),
        "no marks": raw + b"\n".join(line for line in raw.splitlines() if b"-----" not in line),
        "begin alone": raw + b"-----BEGIN CERTIFICATE-----\n",
        "end alone": raw + b"-----END CERTIFICATE-----\n",
        "another label": raw + raw.replace(b"CERTIFICATE", b"X509 CRL").replace(b"PRIVATE KEY", b"PUBLIC KEY"),
        "binary between": raw + b"\0" + raw,
        "DER behind": raw + LEAF,
    }


@pytest.mark.parametrize("name", ["vcek in PEM", "chain", "private key"])
def test_pem_has_text_around_its_blocks_and_nothing_else(
    name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, file, status = STRUCTURES[name]
    good = Path(file).read_bytes()
    for text in ("subject=CN = SEV-Milan\r\nissuer: ü\n\n", "# a note with dashes - -- ---\n", "\ufeff"):
        Path(file).write_bytes(text.encode() + good + text.lstrip("\ufeff").encode())
        assert main(words) == status, (text, capsys.readouterr().err)
    for what, raw in broken_marks(good).items():
        Path(file).write_bytes(raw)
        assert main(words) == 2, what
    capsys.readouterr()


def test_two_certificates_for_one_place_are_refused_or_told() -> None:
    other = SERVER.vcek("Milan", CHIPS["Genoa"], TCBS["Milan"])
    chain = SERVER.chain("Milan")
    with pytest.raises(InputError, match="vcek: received another VCEK than chain has"):
        parse_bundle(vcek=LEAF, chain=chain + pem(other))
    assert parse_bundle(vcek=LEAF, chain=chain + pem(LEAF)).notes == ()
    with pytest.raises(InputError, match="two for one place"):
        parse_bundle(chain=chain + SERVER.chain("Genoa"))
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


def test_a_header_that_is_none_is_told_or_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headed = bytearray(Path("headed").read_bytes())
    for place in (0, 4, 8, 31):
        changed = bytes(headed[:place]) + b"\7" + bytes(headed[place + 1 :])
        Path("odd").write_bytes(changed)
        words = ["report", "verify", "odd", *VERIFY[3:], *ALL]
        assert main(words) == 0
        assert "odd: it says" in " ".join(capsys.readouterr().out.split())
        assert main([*words, "--json"]) == 0
        assert "odd: it says" in json.loads(capsys.readouterr().out)["notes"][-1]
        assert main(["advise", "--report", "odd"]) == 2
        assert "whose header is odd" in capsys.readouterr().err


def test_sev_certificates_that_come_twice_are_shown_twice(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("two").write_bytes(Path("godh").read_bytes() * 2)
    assert main(["chain", "show", "two", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["PDH", "PDH 2"]
    assert main(["chain", "show", "two"]) == 0
    assert ", again" in capsys.readouterr().out
    assert main(["chain", "verify", "two"]) == 1
    assert "came twice" in capsys.readouterr().out


def test_keys_that_come_twice_in_json_are_no_json() -> None:
    answer = '{"return": {"enabled": true, "api-major": 1, "api-minor": 2, "policy": 1%s}}'
    assert parse_qmp(answer % "").chosen["policy"].value == 1
    twice = parse_qmp(answer % ', "policy": 5')
    assert not twice.found
    assert "is not a JSON object" in twice.remarks[0].words
    line = 'qemu-kvm -object \'{"qom-type":"sev-guest","id":"a","policy":1,"policy":5}\''
    assert any("is not JSON" in one.words for one in parse_command_line(line).remarks)


DOMAIN = (
    "<domain><vcpu>1</vcpu><cpu><model>EPYC</model></cpu><os><loader>a</loader><kernel>k</kernel><initrd>i</initrd>"
    "<cmdline>c</cmdline></os><launchSecurity type='sev'><policy>1</policy><dhCert>x</dhCert><session>y</session>"
    "</launchSecurity></domain>"
)


@pytest.mark.parametrize(
    "element",
    ["vcpu", "cpu", "model", "loader", "kernel", "initrd", "cmdline", "policy", "dhCert", "session", "launchSecurity"],
)
def test_elements_that_count_come_once(element: str) -> None:
    assert parse_domain(DOMAIN).chosen["policy"].value == 1
    start, end = DOMAIN.index(f"<{element}"), DOMAIN.index(f"</{element}>") + len(f"</{element}>")
    with pytest.raises(InputError, match=f"{element} 2 times"):
        parse_domain(DOMAIN[:end] + DOMAIN[start:end] + DOMAIN[end:])
    with pytest.raises(InputError, match="2 domains"):
        parse_domain(f"<all>{DOMAIN}{DOMAIN}</all>")


def test_options_that_come_twice_in_a_command_line_are_told() -> None:
    line = "qemu-kvm -object sev-guest,id=a,policy=1,policy=5 -kernel a -kernel b -machine confidential-guest-support=a"
    told = [one.words for one in parse_command_line(line).remarks]
    assert "-kernel comes more than once; the last one counts, as in QEMU" in told
    assert "-object sev-guest,policy comes more than once; the last one counts" in told
    more = parse_command_line(f"{line} -object sev-guest,id=b")
    assert any(one.words.startswith("2 objects can make it") for one in more.remarks)
    once = parse_command_line("qemu-kvm -object sev-guest,id=a,policy=1 -kernel a -kernel a")
    assert not any("more than once" in one.words for one in once.remarks)
