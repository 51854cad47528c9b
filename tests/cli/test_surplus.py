"""Nothing that was given is dropped in silence: it is used, refused, or noted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sevlab.attestation.id_block import build_id_block
from sevlab.attestation.session import godh_certificate, make_session, seeded
from sevlab.cases.domain_xml import parse_domain
from sevlab.cases.qemu_cmdline import parse_command_line
from sevlab.cases.sources import parse_qmp
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.formats.report import SIZE
from sevlab.launch.keys import SecretBytes
from sevlab.simulator.kds import MOMENT
from tests.attestation.test_certificates import ASK, EMPTY, LEAF, REVOKING
from tests.paths import SAMPLES
from tests.snp_reports import SERVER, crl_pem, make, pem

AT = f"{MOMENT:%Y-%m-%d}"
MEASUREMENT = make()[0x90:0xC0].hex()


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


def test_other_verbs_say_that_the_last_value_counts(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["digest", "--mode", "sev", "--ovmf", "none", "--ovmf", str(SAMPLES / "firmware.fd")]
    assert main(words) == 0
    assert capsys.readouterr().err == "WARNING: --ovmf was given more than once; the last one counts\n"
    assert main([*words, "--mode", "none"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_revoked_certificate_is_exit_1_and_a_file_that_is_no_list_exit_2(files: Path) -> None:
    for raw, status in ((EMPTY, 0), (EMPTY + REVOKING, 1), (EMPTY + b"\0", 2), (crl_pem(EMPTY) + LEAF, 2), (b"", 2)):
        Path("crl").write_bytes(raw)
        assert main([*VERIFY, "--vcek", "leaf.der", "--chain", "chain.pem", "--crl", "crl"]) == status


KEY = ec.derive_private_key(7, ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PRIVATE = SecretBytes((0x1234567890ABCDEF).to_bytes(48, "big"))
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


def test_a_header_of_another_answer_is_shown_or_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headed = bytearray(Path("headed").read_bytes())
    for place in (0, 4, 8, 31):
        changed = bytes(headed[:place]) + b"\7" + bytes(headed[place + 1 :])
        Path("wrong").write_bytes(changed)
        words = ["report", "verify", "wrong", *VERIFY[3:], *ALL]
        assert main(words) == 0
        assert "FINDING: it says" in " ".join(capsys.readouterr().out.split())
        assert main([*words, "--json"]) == 0
        assert "FINDING: it says" in json.loads(capsys.readouterr().out)["notes"][-1]
        assert main(["advise", "--report", "wrong"]) == 2
        assert "whose header is not that of a good answer" in capsys.readouterr().err


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


def test_options_that_come_twice_in_a_command_line_are_noted() -> None:
    line = "qemu-kvm -object sev-guest,id=a,policy=1,policy=5 -kernel a -kernel b -machine confidential-guest-support=a"
    told = [one.words for one in parse_command_line(line).remarks]
    assert "-kernel comes more than once; the last one counts, as in QEMU" in told
    assert "-object sev-guest,policy comes more than once; the last one counts" in told
    more = parse_command_line(f"{line} -object sev-guest,id=b")
    assert any(one.words.startswith("2 objects can make it") for one in more.remarks)
    once = parse_command_line("qemu-kvm -object sev-guest,id=a,policy=1 -kernel a -kernel a")
    assert not any("more than once" in one.words for one in once.remarks)
