"""The made-up AMD: its certificates in the shape that the facts tell (snp-launch 7), the same each time."""

from __future__ import annotations

import hashlib
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sevlab.formats.report import MilanTcb, Tcb, TurinTcb, crl_path, vcek_path
from sevlab.simulator.kds import KeyServer
from tests.shared_data import shared_data

CHIP = bytes(range(1, 65))
MILAN = MilanTcb(bl=4, tee=0, snp=24, ucode=219)
TURIN = TurinTcb(fmc=1, bl=4, tee=0, snp=24, ucode=219)
TCBS: dict[str, Tcb] = {"Milan": MILAN, "Genoa": MILAN, "Turin": TURIN}
PREFIX = "1.3.6.1.4.1.3704.1."
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


def loaded(raw: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # serial number 0, the very thing that is to be made
        return x509.load_der_x509_certificate(raw)


def serial(raw: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(raw).serial_number


def extensions(raw: bytes) -> dict[str, bytes]:
    found = {}
    for one in loaded(raw).extensions:
        assert not one.critical
        assert isinstance(one.value, x509.UnrecognizedExtension)
        found[one.oid.dotted_string.removeprefix(PREFIX)] = one.value.value
    return found


def test_the_same_each_time_and_to_the_last_byte() -> None:
    server, again, other = KeyServer(), KeyServer(), KeyServer(b"another")
    assert server.vcek("Milan", CHIP, MILAN) == again.vcek("Milan", CHIP, MILAN) != other.vcek("Milan", CHIP, MILAN)
    assert server.crl("Milan", (5,)) == again.crl("Milan", (5,)) != server.crl("Milan")
    # Golden values: whoever changes a byte of the made-up AMD breaks what others stored.
    assert server.fingerprint("Milan") == other.fingerprint("Milan") == hashlib.sha256(server.ark("Milan")).hexdigest()
    assert {one: server.fingerprint(one)[:16] for one in TCBS} == {
        "Milan": "de39c0ec0f4bdd04",
        "Genoa": "6cc6a233e6c32436",
        "Turin": "30eb45b131d5bcba",
    }


def test_every_key_is_another_one() -> None:
    server = KeyServer()
    newer = MILAN.replace(snp=25)
    keys = [
        server.vcek_key("Milan", CHIP, MILAN),
        server.vcek_key("Milan", CHIP, newer),
        server.vcek_key("Milan", CHIP[::-1], MILAN),
        server.vcek_key("Genoa", CHIP, MILAN),
        server.vlek_key("Milan", "cloud", MILAN),
        server.vlek_key("Milan", "clouds", MILAN),
        KeyServer(b"another").vcek_key("Milan", CHIP, MILAN),
    ]
    assert len({key.private_numbers().private_value for key in keys}) == len(keys)
    turin = [server.vcek_key("Turin", chip, TURIN) for chip in (CHIP, CHIP[:8], CHIP[:8] + bytes(56))]
    assert len({key.private_numbers().private_value for key in turin}) == 1


@pytest.mark.parametrize("product", TCBS)
def test_the_library_verifies_every_link(product: str) -> None:
    server = KeyServer()
    ark, ask, asvk = (loaded(one) for one in (server.ark(product), server.ask(product), server.asvk(product)))
    vcek, vlek = loaded(server.vcek(product, CHIP, TCBS[product])), loaded(server.vlek(product, "a", TCBS[product]))
    for signer, one in ((ark, ark), (ark, ask), (ark, asvk), (ask, vcek), (asvk, vlek)):
        one.verify_directly_issued_by(signer)
        key = signer.public_key()
        key.verify(one.signature, one.tbs_certificate_bytes, PSS, hashes.SHA384())  # type: ignore[call-arg, union-attr, arg-type]
    for vlek_too in (False, True):
        crl = x509.load_der_x509_crl(server.crl(product, vlek=vlek_too))
        assert crl.is_signature_valid(ark.public_key())  # type: ignore[arg-type]
    form = Encoding.X962, PublicFormat.UncompressedPoint
    mine = server.vcek_key(product, CHIP, TCBS[product]).public_key()
    assert vcek.public_key().public_bytes(*form) == mine.public_bytes(*form)
    leaves = server.vcek(product, CHIP, TCBS[product]), server.vlek(product, "a", TCBS[product])
    assert [serial(one) for one in leaves] == [0, 0]
    assert len({one.serial_number for one in (ark, ask, asvk)}) == 3


def test_the_shape_is_that_of_a_real_certificate() -> None:
    """Names, key, extensions and their order of kinds, compared with a real VCEK, field by field."""
    real_raw = shared_data("snp", "milan-v2-vcek.der").read_bytes()
    made_raw = KeyServer().vcek("Milan", CHIP, MILAN)
    real, made = loaded(real_raw), loaded(made_raw)
    assert real.version == made.version
    assert serial(real_raw) == serial(made_raw) == 0
    for one, other in ((real.subject, made.subject), (real.issuer, made.issuer)):
        assert [part.oid for part in one] == [part.oid for part in other]
        assert [part.value for part in one if "Advanced" not in str(part.value)] == [
            part.value for part in other if "made-up" not in str(part.value)
        ]
    theirs, ours = extensions(real_raw), extensions(made_raw)
    assert set(theirs) == set(ours)
    assert (theirs["1"], theirs["2"]) == (ours["1"], ours["2"]) == (b"\x02\x01\x00", b"\x16\x08Milan-B0")
    assert len(theirs["4"]) == len(ours["4"]) == 64


def test_extensions_are_those_of_the_facts() -> None:
    server = KeyServer()
    milan = extensions(server.vcek("Milan", CHIP, MILAN))
    assert milan["4"] == CHIP
    assert [milan[one] for one in ("3.1", "3.2", "3.3", "3.8")] == [
        b"\x02\x01\x04", b"\x02\x01\x00", b"\x02\x01\x18", b"\x02\x02\x00\xdb",
    ]  # fmt: skip
    assert "3.9" not in milan
    turin = extensions(server.vcek("Turin", CHIP, TURIN))
    assert (turin["4"], turin["1"], turin["3.9"]) == (CHIP[:8], b"\x02\x01\x01", b"\x02\x01\x01")
    assert "3.4" not in turin
    assert {"3.5", "3.6", "3.7"} <= set(turin)
    vlek = extensions(server.vlek("Genoa", "cloud", MILAN))
    assert (vlek["5"], vlek["2"]) == (b"\x16\x05cloud", b"\x16\x05Genoa")
    assert "4" not in vlek


def test_authorities_have_the_bits_of_the_facts() -> None:
    server = KeyServer()
    for raw, length, crl_sign in ((server.ark("Genoa"), None, True), (server.ask("Genoa"), 0, False)):
        one = loaded(raw)
        basic = one.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (basic.ca, basic.path_length) == (True, length)
        assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, crl_sign, False)


def test_paths_are_those_of_the_facts() -> None:
    """Incidents F39, F40 and F42: decimal numbers, the product's own parts, and 8 bytes of a Turin's name."""
    asked = "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"
    assert vcek_path("Milan", CHIP, MILAN) == f"/vcek/v1/Milan/{CHIP.hex()}{asked}"
    assert vcek_path("Turin", CHIP, TURIN) == f"/vcek/v1/Turin/0102030405060708{asked.replace('?', '?fmcSPL=01&')}"
    assert (crl_path("Turin"), crl_path("Turin", vlek=True)) == ("/vcek/v1/Turin/crl", "/vlek/v1/Turin/crl")
