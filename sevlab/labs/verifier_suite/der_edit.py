"""Certificates and CRLs in DER, changed in one place without changing their length, and signed again.

The keys are those of the fake roots (:mod:`~sevlab.simulator.identity`), which everybody has.
"""

from __future__ import annotations

import base64
import re
import textwrap
from typing import TYPE_CHECKING

from ...attestation.certificates import parse_certificate, parse_crls
from ...simulator.identity import RSA_SIZE, rsa_primes, rsa_sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


#: The two dates of a certificate or CRL: UTCTime, one after the other.
_DATES = re.compile(rb"\x17\x0d(\d{12}Z)\x17\x0d(\d{12}Z)")
#: The key usage of an authority that signs certificates, and of a key that signs data: OID, critical, BIT STRING.
_USAGE = bytes.fromhex("0603551d0f0101ff0404")
_SIGNS_CERTIFICATES, _SIGNS_DATA = bytes.fromhex("03020204"), bytes.fromhex("03020780")
#: What precedes the coordinates of a point of P-384: BIT STRING of 98 bytes, no unused bits, an uncompressed point.
_POINT, _COORDINATE = bytes.fromhex("03620004"), 48


def reseal(raw: bytes, signer: str) -> bytes:
    """Sign a certificate again with the fake key of a name."""
    return raw[:-RSA_SIZE] + rsa_sign(signer, parse_certificate(raw).tbs, "sha384")


def reseal_crl(raw: bytes, signer: str) -> bytes:
    """Sign a CRL again."""
    return raw[:-RSA_SIZE] + rsa_sign(signer, parse_crls(raw)[0].tbs, "sha384")


def redate(raw: bytes, start: str, end: str) -> bytes:
    """Replace the dates of a certificate or CRL: ``YYMMDD`` each, at midnight UTC."""
    dates = b"".join(b"\x17\x0d" + f"{day}000000Z".encode("ascii") for day in (start, end))
    return _DATES.sub(dates, raw, count=1)


def rekey_rsa(raw: bytes, old: str, new: str) -> bytes:
    """Replace the RSA key named *old*."""
    modulus, other = (int.to_bytes(p * q, RSA_SIZE, "big") for p, q in (rsa_primes(old), rsa_primes(new)))
    return raw.replace(modulus, other, 1)


def rekey_ec(raw: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """Replace the P-384 key of a leaf."""
    numbers = key.public_key().public_numbers()
    point = b"".join(number.to_bytes(_COORDINATE, "big") for number in (numbers.x, numbers.y))
    start = raw.index(_POINT) + len(_POINT)
    return raw[:start] + point + raw[start + len(point) :]


def for_data_only(raw: bytes) -> bytes:
    """Change an authority's key usage: it may sign data, but no certificates."""
    return raw.replace(_USAGE + _SIGNS_CERTIFICATES, _USAGE + _SIGNS_DATA, 1)


def change_number(raw: bytes, oid: str, value: int) -> bytes:
    """Change the number in one of AMD's extensions; the old and new values are below 128."""
    start = raw.index(_oid(oid)) + len(_oid(oid))
    at = raw.index(b"\x04\x03\x02\x01", start) + 4
    return raw[:at] + bytes([value]) + raw[at + 1 :]


def rename_extension(raw: bytes, oid: str) -> bytes:
    """Give one of AMD's extensions an unknown OID, so that it is missing."""
    place = raw.index(_oid(oid)) + len(_oid(oid)) - 1
    return raw[:place] + b"\x7f" + raw[place + 1 :]


def pem(raw: bytes) -> bytes:
    """Return a certificate as PEM."""
    lines = textwrap.wrap(base64.b64encode(raw).decode("ascii"), 64)
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]).encode("ascii")


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = bytearray([40 * first + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        body += bytes(reversed(digits))
    return b"\x06" + bytes([len(body)]) + bytes(body)
