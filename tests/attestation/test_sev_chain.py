"""SEV's certificates and their chain, on a real platform's certificates and on broken ones."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.sev_chain import ROOTS, Chain, load_chain
from sevlab.cli import main
from sevlab.formats.sev_certs import ARK, ASK, CEK, OCA, PDH, PEK, AmdCertificate, SevCertificate, parse_certificates
from tests.shared_data import shared_data

PRODUCTS = {"naples": "Naples", "rome": "Rome", "milan": "Milan", "genoa": "Genoa", "turin": "Turin"}
PLATFORM = ("pdh", "pek", "oca", "cek", "ask", "ark")
SEED = 5


def path_of(name: str) -> str:
    return str(shared_data("legacy", f"{name}.cert"))


@pytest.fixture(scope="module")
def naples() -> bytes:
    """A real platform's chain, as ``sevctl export --full`` writes it."""
    return b"".join(Path(path_of(f"naples-{name}")).read_bytes() for name in PLATFORM)


def verdict_of(raw: bytes) -> sevlab.attestation.sev_chain.ChainVerdict:
    return Chain(parse_certificates(raw)).verify()


def test_a_real_platform_verifies(naples: bytes) -> None:
    verdict = verdict_of(naples)
    assert verdict.matches
    assert verdict.product == "Naples"
    assert len(verdict.checks) == 8
    assert Chain(parse_certificates(naples)).to_bytes() == naples


@pytest.mark.parametrize("product", PRODUCTS)
def test_amd_s_keys_verify_and_have_the_known_fingerprints(product: str) -> None:
    chain = load_chain(path_of(f"{product}-ark"), path_of(f"{product}-ask"))
    verdict = chain.verify()
    states = {link.name: link.state for link in verdict.checks}
    assert verdict.product == PRODUCTS[product]
    assert states["ARK is a known root"] == states["ARK signed by itself"] == states["ASK signed by ARK"] == "match"
    assert states["PDH signed by PEK"] == "cannot tell"
    assert not verdict.matches


def test_the_fields_are_where_the_table_of_the_facts_has_them(naples: bytes) -> None:
    """By offsets alone, apart from the declaration."""
    pdh = naples[:2084]
    certificate = sevlab.formats.sev_certs.SevCertificate.from_bytes(pdh)
    version, major, minor, _, usage, algorithm, curve = struct.unpack_from("<IBBHIII", pdh)
    assert (version, usage, algorithm, curve) == (1, 0x1003, 3, 2)
    assert (certificate.api_major, certificate.api_minor) == (major, minor) == (0, 16)
    assert certificate.key.x == int.from_bytes(pdh[0x14:0x44], "little")
    assert certificate.key.y == int.from_bytes(pdh[0x5C:0x8C], "little")
    prime = 2**384 - 2**128 - 2**96 + 2**32 - 1
    b = 0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF
    x, y = certificate.key.x, certificate.key.y
    assert (y * y - (x**3 - 3 * x + b)) % prime == 0


def test_one_flipped_bit_anywhere_does_not_verify(naples: bytes) -> None:
    chance = random.Random(SEED)
    # Every field of every certificate, its reserved bytes and unused slots, and places between.
    places = {chance.randrange(8 * len(naples)) for _ in range(400)}
    position = 0
    for certificate in parse_certificates(naples):
        for span in certificate.spans():
            places.add(8 * (position + span.offset) + chance.randrange(8 * span.size))
        position += certificate.size
    for place in sorted(places):
        raw = bytearray(naples)
        raw[place // 8] ^= 1 << place % 8
        try:
            verdict = verdict_of(bytes(raw))
        except sevlab.LayoutError:
            continue
        assert not verdict.matches, hex(place // 8)


def test_certificates_of_another_generation_do_not_fit(naples: bytes) -> None:
    platform = parse_certificates(naples)[:4]
    rome = parse_certificates(Path(path_of("rome-ask")).read_bytes() + Path(path_of("rome-ark")).read_bytes())
    verdict = Chain([*platform, *rome]).verify()
    states = {link.name: link.state for link in verdict.checks}
    assert states["ARK is a known root"] == "match"
    assert states["CEK signed by ASK"] == "mismatch"
    assert states["PEK signed by OCA"] == "match"
    assert not verdict.matches


def test_missing_twice_and_foreign_certificates_are_noted(naples: bytes) -> None:
    certificates = parse_certificates(naples)
    for number, certificate in enumerate(certificates):
        rest = [one for one in certificates if one is not certificate]
        verdict = Chain(rest).verify()
        assert not verdict.matches
        assert any(link.state == "cannot tell" for link in verdict.checks), number
    assert not Chain([*certificates, certificates[0]]).verify().matches
    foreign = Chain(certificates).verify(roots={"00" * 32: "Nowhere"})
    assert (foreign.checks[0].state, foreign.product) == ("mismatch", "")
    assert sum(link.state == "match" for link in foreign.checks) == 7


def test_the_order_of_the_pek_s_signatures_does_not_matter(naples: bytes) -> None:
    chain = Chain(parse_certificates(naples))
    pek = chain[PEK]
    swapped = pek.replace(
        sig1_usage=pek.sig2_usage, sig1_algorithm=pek.sig2_algorithm, sig1=pek.sig2,
        sig2_usage=pek.sig1_usage, sig2_algorithm=pek.sig1_algorithm, sig2=pek.sig1,
    )  # fmt: skip
    others = [chain[usage] for usage in (PDH, OCA, CEK, ASK, ARK)]
    assert Chain([*others, swapped]).verify().matches


@given(raw=st.binary(max_size=3000))
def test_any_bytes_are_certificates_or_one_error(raw: bytes) -> None:
    try:
        found = parse_certificates(raw)
    except sevlab.LayoutError:
        return
    assert b"".join(one.to_bytes() for one in found) == raw


@given(tail=st.binary(min_size=2084 - 16, max_size=2084 - 16), usage=st.sampled_from([0x1001, 0x1002, 0x1003, 0x1004]))
def test_any_content_of_a_certificate_verifies_or_not(tail: bytes, usage: int) -> None:
    head = struct.pack("<IBBHII", 1, 0, 0, 0, usage, 2)
    (certificate,) = parse_certificates(head + tail)
    assert isinstance(certificate, SevCertificate)
    assert certificate.to_bytes() == head + tail
    verdict = Chain([certificate]).verify()
    assert not verdict.matches
    assert str(verdict)
    assert str(Chain([certificate]))


def test_the_unsigned_ark_of_naples_is_refused_as_such() -> None:
    raw = Path(path_of("naples-ark")).read_bytes()[:576]
    with pytest.raises(sevlab.LayoutError, match="Naples ARK as first published"):
        parse_certificates(raw)


def test_fingerprints_are_of_the_files() -> None:
    for product, name in PRODUCTS.items():
        digest = hashlib.sha256(Path(path_of(f"{product}-ark")).read_bytes()).hexdigest()
        assert ROOTS[digest] == name


def test_files_may_be_base64(naples: bytes, tmp_path: Path) -> None:
    (tmp_path / "chain").write_text(base64.encodebytes(naples).decode())
    assert load_chain(str(tmp_path / "chain")).verify().matches


def test_the_command_verifies_and_shows(naples: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chain"
    path.write_bytes(naples)
    assert main(["chain", "verify", str(path)]) == 0
    assert "OK: a genuine Naples platform" in capsys.readouterr().out
    assert main(["chain", "verify", "--json", str(path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["product"], len(said["links"])) == ("match", "Naples", 8)
    assert main(["chain", "show", str(path)]) == 0
    assert "PDH, platform Diffie-Hellman key" in capsys.readouterr().out
    assert main(["chain", "show", "--json", str(path)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"PDH", "PEK", "OCA", "CEK", "ASK", "ARK"}
    path.write_bytes(naples[:-1] + bytes([naples[-1] ^ 1]))
    assert main(["chain", "verify", str(path)]) == 1
    assert "ERROR: " in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"hello", bytes(2084), b"\xff" * 100_000, "\u20ac".encode() * 50])
def test_bad_files_are_one_line(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").write_bytes(content)
    for words in (["chain", "verify"], ["chain", "show"]):
        assert main([*words, str(tmp_path / "bad")]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert main(["chain", "verify", str(tmp_path / "none")]) == 2


def test_amd_s_two_sizes_are_one_declaration(naples: bytes) -> None:
    small, large = AmdCertificate.__subclasses__()
    assert [row.name for row in small.rows] == [row.name for row in large.rows]
    assert (small.size, large.size) == (64 + 3 * 256, 64 + 3 * 512)
