"""ID blocks: built, read and checked in the firmware's order, and set against snp-create-id-block."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.id_block import (
    STAGES,
    SignedIdBlock,
    build_id_block,
    load_id_block,
    load_private_key,
    verify_id_block,
)
from sevlab.cli import main
from sevlab.data import INCIDENTS
from sevlab.errors import InputError
from sevlab.formats.id_block import IdAuth, IdBlock
from sevlab.launch.keys import SecretBytes
from tests.peers import run
from tests.soak import many

DIGEST = bytes(range(48))
ID, AUTHOR = (SecretBytes(number.to_bytes(48, "big")) for number in (0x1234567890ABCDEF, 0xFEDCBA0987654321))
PEER = Path(sys.executable).parent / "snp-create-id-block"
KEY_DIGEST = "8991a8cb80b84eb852e52a4dce794ef82f9ee406d21c5f2f916df38f9fc0b024256180c660a33ae3593c7c88480b89fb"


def pem(key: object, protection: KeySerializationEncryption | None = None) -> bytes:
    made: bytes = key.private_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption()
    )
    return made


def curve_key(secret: SecretBytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret.reveal(), "big"), ec.SECP384R1())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both keys, and the current one."""
    monkeypatch.chdir(tmp_path)
    Path("id.pem").write_bytes(pem(curve_key(ID)))
    Path("author.pem").write_bytes(pem(curve_key(AUTHOR)))
    return tmp_path


def both(**changes: int) -> SignedIdBlock:
    return build_id_block(DIGEST, ID, AUTHOR, **changes)


def says(signed: SignedIdBlock, digest: bytes = DIGEST, policy: int = 0x30000, on: bool | None = None) -> list[str]:
    """What fails, each with the firmware's answer."""
    verdict = verify_id_block(signed, digest, policy, author_key_enabled=on)
    return [f"{check.name}: {STAGES[check.name]}" for check in verdict.checks if check.state == "mismatch"]


# --- what is built


def test_the_facts_have_this_key_digest() -> None:
    """snp-launch 10."""
    signed = both()
    assert signed.auth.id_key_digest.hex() == KEY_DIGEST
    assert verify_id_block(signed, DIGEST).reported["id_key_digest"] == signed.key_digests["id_key_digest"]


def test_the_bytes_are_where_the_facts_have_them() -> None:
    signed = build_id_block(DIGEST, ID, AUTHOR, policy=0xB0000, guest_svn=7, family_id=b"f" * 16, image_id=b"i" * 16)
    block, auth = signed.block.to_bytes(), signed.auth.to_bytes()
    svn, policy = (7).to_bytes(4, "little"), (0xB0000).to_bytes(8, "little")
    assert block == DIGEST + b"f" * 16 + b"i" * 16 + b"\1\0\0\0" + svn + policy
    assert auth[:8] == b"\1\0\0\0\1\0\0\0"
    for key, place, signature, over in ((ID, 0x240, 0x40, block), (AUTHOR, 0x880, 0x680, auth[0x240:0x644])):
        point = curve_key(key).public_key().public_numbers()
        assert auth[place : place + 0x94] == b"\2\0\0\0" + b"".join(
            number.to_bytes(72, "little") for number in (point.x, point.y)
        )
        r, s = (int.from_bytes(auth[at : at + 72], "little") for at in (signature, signature + 72))
        hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
        curve_key(key).public_key().verify(encode_dss_signature(r, s), over, ec.ECDSA(hashes.SHA384()))
    assert signed == build_id_block(
        DIGEST, ID, AUTHOR, policy=0xB0000, guest_svn=7, family_id=b"f" * 16, image_id=b"i" * 16
    )


def test_without_an_author_key_nothing_of_it_is_there() -> None:
    signed = build_id_block(DIGEST, ID)
    assert signed.auth.to_bytes()[0x644:] == bytes(0x1000 - 0x644)
    assert signed.auth.auth_key_algo == 0
    assert says(signed) == []
    assert says(signed, on=True) == [
        "author key algorithm: INVALID_PARAM",
        "author key: BAD_SIGNATURE",
        "ID key signature: BAD_SIGNATURE",
    ]


def test_findings_are_shown() -> None:
    zeros = SignedIdBlock(IdBlock.from_bytes(bytes(96)), IdAuth.from_bytes(bytes(4096)))
    assert [line for line in str(zeros).splitlines() if line.startswith("FINDING: ")] == [
        "FINDING: ID block, version: must be 0x00000001.",
        "FINDING: ID block, policy: bit 17 must be 1.",
        "FINDING: ID authentication, id_key_algo: must be 0x00000001.",
    ]
    assert "FINDING" not in str(both())


# --- one defect a stage


def changed(part: str, **changes: object) -> SignedIdBlock:
    signed = both()
    return replace(signed, **{part: getattr(signed, part).replace(**changes)})


DEFECTS = {
    "launch digest": (both(), bytes(48), 0x30000, ["launch digest: BAD_MEASUREMENT"]),
    "policy": (both(), DIGEST, 0x20000, ["policy: POLICY_FAILURE"]),
    "ID key algorithm": (changed("auth", id_key_algo=2), DIGEST, 0x30000, ["ID key algorithm: INVALID_PARAM"]),
    "author key algorithm": (
        changed("auth", auth_key_algo=0),
        DIGEST,
        0x30000,
        ["author key algorithm: INVALID_PARAM"],
    ),
    "ID key": (
        changed("auth", **{"id_key.curve": 1}),
        DIGEST,
        0x30000,
        ["ID key: BAD_SIGNATURE", "ID block signature: BAD_SIGNATURE", "ID key signature: BAD_SIGNATURE"],
    ),
    "ID block signature": (
        changed("auth", **{"id_block_sig.r": bytes([9]) * 48 + bytes(24)}),
        DIGEST,
        0x30000,
        ["ID block signature: BAD_SIGNATURE"],
    ),
    "author key": (
        changed("auth", **{"author_key.qy": bytes(72)}),
        DIGEST,
        0x30000,
        ["author key: BAD_SIGNATURE", "ID key signature: BAD_SIGNATURE"],
    ),
    "ID key signature": (
        changed("auth", **{"id_key_sig.s": bytes([9]) * 48 + bytes(24)}),
        DIGEST,
        0x30000,
        ["ID key signature: BAD_SIGNATURE"],
    ),
    "form": (changed("auth", reserved_644=b"\1" + bytes(59)), DIGEST, 0x30000, ["form: "]),
}


def test_every_stage_has_its_defect() -> None:
    assert [*DEFECTS, "report"] == list(STAGES)


@pytest.mark.parametrize("stage", DEFECTS)
def test_one_defect_a_stage(stage: str) -> None:
    signed, digest, policy, failing = DEFECTS[stage]
    verdict = verify_id_block(signed, digest, policy)
    assert says(signed, digest, policy) == failing
    assert not verdict.matches
    first = failing[0].partition(": ")[2]
    assert (verdict.firmware_status if verdict.refusal else "") == first
    assert INCIDENTS["F46"].name in " ".join(str(verdict).split())
    assert ("the firmware would answer" in str(verdict)) == bool(first)


def test_the_version_is_not_for_the_firmware() -> None:
    """snp-launch 1.4: it is stored without being compared. It is signed all the same."""
    block = IdBlock.from_bytes(both().block.to_bytes()).replace(version=2)
    signed = replace(both(), block=block)
    assert says(signed) == ["ID block signature: BAD_SIGNATURE", "form: "]


def test_an_author_key_that_is_not_enabled_is_not_looked_at() -> None:
    broken = changed("auth", **{"author_key.qy": bytes(72)})
    assert says(broken, on=False) == []
    verdict = verify_id_block(broken, DIGEST, author_key_enabled=False)
    assert verdict.reported["author_key_digest"] == bytes(48)
    assert [check.note for check in verdict.checks if check.name == "author key"] == ["AUTH_KEY_EN is off"]


def test_without_a_measurement_nothing_is_validated() -> None:
    verdict = verify_id_block(both())
    assert (verdict.matches, verdict.failed) == (False, [])
    assert "NOT VALIDATED" in str(verdict)


@given(place=st.integers(0, 8 * 96 - 1))
@settings(max_examples=many(60, 12))
def test_no_bit_of_the_block_changes_unseen(place: int) -> None:
    raw = bytearray(GOOD.block.to_bytes())
    raw[place // 8] ^= 1 << place % 8
    assert "ID block signature: BAD_SIGNATURE" in says(replace(GOOD, block=IdBlock.from_bytes(bytes(raw))))


@given(
    raw=st.binary(min_size=96, max_size=96), auth=st.binary(max_size=0x1000), on=st.sampled_from([True, False, None])
)
@settings(max_examples=many(60, 12))
def test_any_bytes_are_judged(raw: bytes, auth: bytes, on: bool | None) -> None:
    signed = SignedIdBlock(IdBlock.from_bytes(raw), IdAuth.from_bytes(auth.ljust(0x1000, b"\0")))
    verdict = verify_id_block(signed, raw[:48], int(signed.block.policy), author_key_enabled=on)
    assert not verdict.matches
    assert str(signed)
    assert [check["name"] for check in json.loads(json.dumps(verdict.as_dict()))["checks"]] == list(DEFECTS)


GOOD = both()


# --- files


def forms(raw: bytes) -> list[bytes]:
    text = base64.b64encode(raw)
    return [raw, raw.hex().encode(), raw.hex().upper().encode() + b"\n", text, text[:40] + b"\n" + text[40:]]


def test_both_parts_are_read_in_every_form(folder: Path) -> None:
    for block in forms(GOOD.block.to_bytes()):
        for auth in forms(GOOD.auth.to_bytes()):
            Path("b").write_bytes(block)
            Path("a").write_bytes(auth)
            assert load_id_block("b", "a") == load_id_block("a", "b") == GOOD
    block, auth = GOOD.properties.split(",")
    for text in (
        GOOD.properties,
        f"-object 'sev-snp-guest,id=sev0,policy=0x30000,{GOOD.properties},author-key-enabled=on' \\\n",
        json.dumps(dict(part.split("=", 1) for part in (auth, block))),
    ):
        Path("t").write_text(text)
        assert load_id_block("t") == GOOD


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing"),
        (bytes(95), "95 bytes, binary"),
        (b"id-block=AAAA,id-auth=AAAA", "id-block with base64 of 3 bytes"),
        (b"id-block=A,", "id-block with 1 characters that do not decode"),
        (GOOD.block.to_bytes(), "no id-auth"),
        (GOOD.auth.to_bytes(), "no id-block"),
        ((GOOD.properties + "\n" + GOOD.properties).encode(), "a second id-block"),
    ],
)
def test_what_is_no_id_block_is_refused(folder: Path, content: bytes, words: str) -> None:
    Path("f").write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_id_block("f")


@given(raw=st.one_of(st.binary(max_size=9000), st.text(alphabet="id-blockauth=,\"':A\n ").map(str.encode)))
@settings(max_examples=many(150, 30))
def test_any_file_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any id block"
    path.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        load_id_block(str(path))
    assert "\n" not in str(caught.value)


RSA = rsa.generate_private_key(65537, 2048)
OTHER_KEYS = {
    "an RSA key of 2048 bits": pem(RSA),
    "a key of the curve secp256r1": pem(ec.generate_private_key(ec.SECP256R1())),
    "a key of the curve secp521r1": pem(ec.generate_private_key(ec.SECP521R1())),
    "a key of another kind": pem(ed25519.Ed25519PrivateKey.generate()),
    "an encrypted key": pem(curve_key(ID), BestAvailableEncryption(b"x")),
    "a PEM of 'PUBLIC KEY'": curve_key(ID).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "a file that is not PEM": curve_key(ID).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    "an empty file": b"",
    "a PEM that holds no key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
}


@pytest.mark.parametrize("what", OTHER_KEYS)
def test_other_keys_are_refused_by_name(folder: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    Path("k").write_bytes(OTHER_KEYS[what])
    for option in ("--idkey", "--authorkey"):
        other = {"--idkey": "--authorkey", "--authorkey": "--idkey"}[option]
        assert main(["id-block", "build", "--measurement", DIGEST.hex(), option, "k", other, "id.pem"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"ERROR: {option}: received 'k', {what}")
        assert err.count("\n") == 1


def test_keys_are_read_in_every_form_of_pem(folder: Path) -> None:
    key = curve_key(ID)
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"
    for raw in (pem(key), old, parameters + old):
        Path("k").write_bytes(raw)
        assert load_private_key("k") == ID


# --- the command


BUILD = ["id-block", "build", "--measurement", DIGEST.hex(), "--idkey", "id.pem"]


def test_build_show_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BUILD, "--authorkey", "author.pem", "--out-block", "b", "--out-auth", "a"]) == 0
    out, err = capsys.readouterr()
    digests = {name: base64.b64encode(raw).decode() for name, raw in GOOD.key_digests.items()}
    assert out.splitlines() == [
        GOOD.properties,
        f"id_key_hash: {digests['id_key_digest']}",
        f"author_key: {digests['author_key_digest']}",
    ]
    assert err == ""
    assert (Path("b").read_bytes(), Path("a").read_bytes()) == (GOOD.block.to_bytes(), GOOD.auth.to_bytes())
    assert main(["id-block", "show", "a", "b"]) == 0
    assert KEY_DIGEST[:8] in capsys.readouterr().out.replace(" ", "")
    launch = ["--measurement", base64.b64encode(DIGEST).decode(), "--policy", "196608"]
    assert main(["id-block", "verify", "a", "b", *launch]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
    assert main(["id-block", "verify", "a", "b", "--json", *launch]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["status"], printed["firmware_status"]) == ("match", "SUCCESS")
    assert printed["reported"]["id_key_digest"] == KEY_DIGEST
    assert main(["id-block", "verify", "a", "b"]) == 1
    assert main(["id-block", "verify", "a", "b", *launch[:2], "--policy", "0"]) == 1
    assert "0x07 POLICY_FAILURE" in capsys.readouterr().out


def test_build_writes_all_or_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a").write_text("kept")
    assert main([*BUILD, "--out-block", "b", "--out-auth", "a"]) == 2
    assert not Path("b").exists()
    assert Path("a").read_text() == "kept"
    assert main([*BUILD, "--out-block", "id.pem", "--force"]) == 2
    assert "which is an input" in capsys.readouterr().err
    assert main([*BUILD, "--out-auth", "a", "--force", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert base64.b64decode(printed["id_auth"]) == Path("a").read_bytes() == build_id_block(DIGEST, ID).auth.to_bytes()
    assert "author_key_digest" not in printed


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--policy", "-1"], "--policy"),
        (["--policy", str(1 << 64)], "--policy"),
        (["--svn", str(1 << 32)], "--svn"),
        (["--family-id", "text"], "--family-id"),
        (["--image-id", "00" * 15], "--image-id"),
        (["--idkey", "-", "--authorkey", "-"], "--authorkey"),
        (["--authorkey", "missing"], "--authorkey"),
        (["--measurement", "00" * 47], "--measurement"),
    ],
)
def test_bad_options_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    assert main([*BUILD, *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"ERROR: {error}: received ")
    assert err.count("\n") == 1


def test_an_unusual_policy_is_built_with_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BUILD, "--policy", "0x10000"]) == 0
    assert capsys.readouterr().err == "WARNING: --policy: bit 17 must be 1\n"


def test_public_names() -> None:
    assert sevlab.attestation.id_block.build_id_block is build_id_block
    assert sevlab.attestation.id_block.verify_id_block is verify_id_block


# --- others


@pytest.mark.peer
@pytest.mark.skipif(not PEER.exists(), reason="no snp-create-id-block: pip install sev-snp-measure")
def test_snp_create_id_block_and_we_agree(folder: Path) -> None:
    options = ["--measurement", base64.b64encode(DIGEST).decode(), "--idkey", "id.pem", "--authorkey", "author.pem"]
    theirs = run([str(PEER), *options], folder)
    ours = run([sys.executable, "-m", "sevlab", "id-block", "build", *options], folder)
    assert theirs.status == ours.status == 0, theirs.err + ours.err
    Path("theirs").write_text(theirs.out)
    Path("ours").write_text(ours.out)
    read, built = load_id_block("theirs"), load_id_block("ours")
    assert verify_id_block(read, DIGEST, 0x30000).matches
    assert verify_id_block(built, DIGEST, 0x30000).matches
    assert read.block == built.block
    signatures = {"id_block_sig": bytes(0x200), "id_key_sig": bytes(0x200)}
    assert read.auth.replace(**signatures) == built.auth.replace(**signatures)
    assert theirs.out.splitlines()[1:] == ours.out.splitlines()[1:]
    assert len(theirs.out) == len(ours.out)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl: apt-get install openssl")
def test_openssl_verifies_the_signature(folder: Path) -> None:
    """The second route of docs/id-block.md."""
    raw = GOOD.auth.to_bytes()
    numbers = (int.from_bytes(raw[at : at + 48], "little") for at in (0x40, 0x88))
    Path("signature.der").write_bytes(encode_dss_signature(*numbers))
    Path("id-block.bin").write_bytes(GOOD.block.to_bytes())
    subprocess.run(["openssl", "pkey", "-in", "id.pem", "-pubout", "-out", "id-public.pem"], check=True)
    words = ["openssl", "dgst", "-sha384", "-verify", "id-public.pem", "-signature", "signature.der", "id-block.bin"]
    assert subprocess.run(words, capture_output=True, text=True, check=False).stdout == "Verified OK\n"
