"""A fake KDS, AMD's key server: certificates for SEV-SNP in the form of the real ones, below test roots.

::

    ARK (RSA) -> ASK  -> VCEK of a chip at a TCB
              -> ASVK -> VLEK of a cloud at a TCB

A leaf's private key is derived from a seed, the product, the chip or the cloud, and the TCB, as the real ones are from
fuses. Everything is deterministic; dates are constants. The roots have the test keys of
:mod:`~sevlab.simulator.identity`, so certificates below them prove nothing, and ``sevlab report verify`` reports their
ARK as unknown.

Source: snp-launch 7 (AMD 57230).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from ..attestation.session import load_private, make_private, seeded
from ..formats import vcek
from ..formats.report import HOST, Tcb, crl_path
from ..formats.vcek import ARK, ASK, ASVK, SIGNERS, SPL, SUBJECTS, VCEK, VLEK
from .identity import EXPONENT, RSA_SIZE, rsa_primes, rsa_sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


#: A moment at which every certificate and list is valid.
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
_ROOTS_FROM, _ROOTS_TO = datetime(2020, 1, 1, tzinfo=UTC), datetime(2045, 1, 1, tzinfo=UTC)
_LEAF_FROM = datetime(2025, 7, 1, tzinfo=UTC)
#: How many years leaves last.
_YEARS = {VCEK: 7, VLEK: 1}
#: Serial numbers: that of the product in the upper half. Leaves have 0, as AMD's.
_PRODUCTS = {"Milan": 1, "Genoa": 2, "Turin": 3}
_SERIALS = {ARK: 0x000, ASK: 0x001, ASVK: 0x101}
#: Names in the certificates beside the common name; only the organization is not AMD's.
_NAME = (("OU", "Engineering"), ("C", "US"), ("L", "Santa Clara"), ("ST", "CA"), ("O", "sevlab, a made-up AMD"))
_PRODUCT_NAMES = {(VCEK, "Milan"): "Milan-B0"}
#: Offset of the one-byte serial number; the length of all these certificates takes two bytes.
_SERIAL_AT = 15


class KeyServer:
    """Makes keys and certificates; the same *seed* makes the same."""

    def __init__(self, seed: bytes = b"sevlab, a made-up AMD") -> None:
        self.seed = bytes(seed)

    def vcek_key(self, product: str, chip_id: bytes, tcb: Tcb) -> EllipticCurvePrivateKey:
        """Return the key with which a chip signs at a TCB. *chip_id* is as in a report; on Turin 8 bytes count."""
        return self._key(VCEK, product, chip_id[: vcek.HWID_SIZES[product]], tcb)

    def vlek_key(self, product: str, csp_id: str, tcb: Tcb) -> EllipticCurvePrivateKey:
        """Return the key with which the chips of a cloud sign at a TCB. *csp_id* names the cloud (ASCII text)."""
        return self._key(VLEK, product, csp_id.encode("ascii"), tcb)

    def vcek(self, product: str, chip_id: bytes, tcb: Tcb) -> bytes:
        """Return the certificate of a chip's key (DER)."""
        hwid = chip_id[: vcek.HWID_SIZES[product]]
        return self._leaf(VCEK, product, tcb, self.vcek_key(product, chip_id, tcb), (vcek.HWID, hwid))

    def vlek(self, product: str, csp_id: str, tcb: Tcb) -> bytes:
        """Return the certificate of a cloud's key (DER)."""
        return self._leaf(VLEK, product, tcb, self.vlek_key(product, csp_id, tcb), (vcek.CSP_ID, _text(csp_id)))

    def ark(self, product: str) -> bytes:
        """Return the root certificate (DER)."""
        return _authority(ARK, product)

    def ask(self, product: str) -> bytes:
        """Return the certificate that signs VCEKs (DER)."""
        return _authority(ASK, product)

    def asvk(self, product: str) -> bytes:
        """Return the certificate that signs VLEKs (DER)."""
        return _authority(ASVK, product)

    def chain(self, product: str, *, vlek: bool = False) -> bytes:
        """Return the two certificates above a leaf, as the real server does: PEM, the ARK last."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        both = self.asvk(product) if vlek else self.ask(product), self.ark(product)
        return b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in both)

    def crl(self, product: str, revoked: Iterable[int] = (), *, vlek: bool = False) -> bytes:
        """Return the list of revoked certificates (DER), given by their serial numbers."""
        from cryptography import x509

        builder = x509.CertificateRevocationListBuilder().issuer_name(_name(ARK, product))
        builder = builder.last_update(_LEAF_FROM).next_update(_LEAF_FROM.replace(year=_LEAF_FROM.year + 1))
        builder = builder.add_extension(x509.CRLNumber(2 if vlek else 1), critical=False)
        for serial in revoked:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_LEAF_FROM).build()
            builder = builder.add_revoked_certificate(one)
        unsealed = _signed(builder, ARK, product)
        return _sealed(unsealed, x509.load_der_x509_crl(unsealed).tbs_certlist_bytes, ARK, product)

    def fingerprint(self, product: str) -> str:
        """Return the SHA-256 of the root certificate, as lower-case hex."""
        return hashlib.sha256(self.ark(product)).hexdigest()

    @property
    def roots(self) -> dict[str, str]:
        """The roots of all products, as :func:`sevlab.verify_report` takes them."""
        return {self.fingerprint(product): f"{product}, made up" for product in _PRODUCTS}

    def _key(self, kind: str, product: str, owner: bytes, tcb: Tcb) -> EllipticCurvePrivateKey:
        source = repr((self.seed, kind, product, owner, tcb.to_bytes())).encode()
        return load_private(make_private(seeded(hashlib.sha256(source).digest())))

    def _leaf(self, kind: str, product: str, tcb: Tcb, key: EllipticCurvePrivateKey, owner: tuple[str, bytes]) -> bytes:
        from cryptography import x509

        parts = {oid: _number(tcb.parts.get(name, 0)) for name, oid in SPL.items()}
        parts |= {oid: _number(0) for oid in vcek.RESERVED_SPL.values()}
        del parts[vcek.RESERVED_SPL["spl_4"] if product == "Turin" else SPL["fmc"]]
        name = _text(_PRODUCT_NAMES.get((kind, product), product))
        first = {vcek.STRUCT_VERSION: _number(vcek.STRUCT_VERSIONS[product]), vcek.PRODUCT_NAME: name}
        until = _LEAF_FROM.replace(year=_LEAF_FROM.year + _YEARS[kind])
        # The library refuses serial number 0, so it is put in before the final signature.
        builder = _certificate(kind, product, key.public_key(), 1, _LEAF_FROM, until)
        for oid, value in (*first.items(), *parts.items(), owner):
            builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False)
        unsealed = _signed(builder, SIGNERS[kind], product)
        tbs = x509.load_der_x509_certificate(unsealed).tbs_certificate_bytes
        start = unsealed.index(tbs)
        raw = unsealed[:_SERIAL_AT] + b"\0" + unsealed[_SERIAL_AT + 1 :]
        return _sealed(raw, raw[start : start + len(tbs)], SIGNERS[kind], product)


@cache
def _authority(kind: str, product: str) -> bytes:
    from cryptography import x509

    key = _rsa_key(SUBJECTS[kind].format(product)).public_key()
    serial = (_PRODUCTS[product] << 16) + _SERIALS[kind]
    builder = _certificate(kind, product, key, serial, _ROOTS_FROM, _ROOTS_TO)
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    unused = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(key_cert_sign=True, crl_sign=kind == ARK, **unused)
    address = x509.UniformResourceIdentifier(HOST + crl_path(product, vlek=kind == ASVK))
    point = x509.DistributionPoint([address], None, None, None)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    if kind != ARK:
        root = _rsa_key(SUBJECTS[ARK].format(product)).public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(True, None if kind == ARK else 0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    unsealed = _signed(builder, ARK, product)
    return _sealed(unsealed, x509.load_der_x509_certificate(unsealed).tbs_certificate_bytes, ARK, product)


def _certificate(kind: str, product: str, key: Any, serial: int, start: datetime, end: datetime) -> Any:
    from cryptography import x509

    issuer, subject = _name(SIGNERS[kind], product), _name(kind, product)
    return x509.CertificateBuilder(issuer, subject, key, serial, start, end)


def _name(kind: str, product: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    known = {"OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "C": NameOID.COUNTRY_NAME, "L": NameOID.LOCALITY_NAME}
    known |= {"ST": NameOID.STATE_OR_PROVINCE_NAME, "O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
    parts = [*_NAME, ("CN", SUBJECTS[kind].format(product))]
    return x509.Name([x509.NameAttribute(known[key], value) for key, value in parts])


def _signed(builder: Any, signer: str, product: str) -> bytes:
    """Sign with a random salt; :func:`_sealed` replaces the signature."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.serialization import Encoding

    kind = hashes.SHA384()
    pss = padding.PSS(padding.MGF1(kind), kind.digest_size)
    made = builder.sign(_rsa_key(SUBJECTS[signer].format(product)), kind, rsa_padding=pss)
    return bytes(made.public_bytes(Encoding.DER))


def _sealed(raw: bytes, tbs: bytes, signer: str, product: str) -> bytes:
    """Return a certificate or list that ends in a deterministic signature over *tbs*."""
    return raw[:-RSA_SIZE] + rsa_sign(SUBJECTS[signer].format(product), tbs, "sha384")


@cache
def _rsa_key(name: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    p, q = rsa_primes(name)
    d = pow(EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key()


def _number(value: int) -> bytes:
    """Return a number from 0 to 255 as a DER INTEGER; from 128 on it takes two bytes, the first of them zero."""
    body = value.to_bytes(1 + (value >> 7), "big")
    return bytes([0x02, len(body)]) + body


def _text(text: str) -> bytes:
    """Return ASCII text of at most 127 characters as a DER IA5String."""
    raw = text.encode("ascii")
    return bytes([0x16, len(raw)]) + raw
