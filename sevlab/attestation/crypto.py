"""Signatures and ciphers as AMD's firmware uses them: RSASSA-PSS, ECDSA with little-endian numbers, AES-128-CTR.

A thin layer over pyca/cryptography, which is imported when the first key is used. Every ``*_fault`` checks a signature
and returns what is wrong with it, "" for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formats.sev_certs import (
    ECDSA_SHA256,
    ECDSA_SHA384,
    P384,
    P384_BYTES,
    RSA_SHA256,
    RSA_SHA384,
    SCALAR,
    AmdCertificate,
    EccKey,
    EccSignature,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm


_WRONG = "the signature is wrong"


def _hash_of(algorithm: int) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256() if algorithm in (RSA_SHA256, ECDSA_SHA256) else hashes.SHA384()


def aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt with AES-128 in counter mode; the counter is all 16 bytes of *iv*, big-endian."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return bytes(Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data))


def rsa_fault(key: AmdCertificate, signature: bytes, signed: bytes, algorithm: int) -> str:
    """Check RSASSA-PSS with AMD's key, whose numbers and signatures are little-endian."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    if algorithm not in (RSA_SHA256, RSA_SHA384):
        return "the signature's algorithm is not RSA"
    try:
        numbers = rsa.RSAPublicNumbers(int.from_bytes(key.exponent, "little"), int.from_bytes(key.modulus, "little"))
        return pss_fault(numbers.public_key(), signature[::-1], signed, algorithm)
    except ValueError:
        return _WRONG


def pss_fault(public: RSAPublicKey, signature: bytes, signed: bytes, algorithm: int = RSA_SHA384) -> str:
    """Check RSASSA-PSS, big-endian, with a salt as long as the hash."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding

    kind = _hash_of(algorithm)
    try:
        public.verify(signature, signed, padding.PSS(padding.MGF1(kind), kind.digest_size), kind)
    except (InvalidSignature, ValueError):
        return _WRONG
    return ""


def ecdsa_fault(key: EccKey, signature: bytes, signed: bytes, algorithm: int) -> str:
    """Check an ECDSA signature (512 bytes) over *signed*."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if algorithm not in (ECDSA_SHA256, ECDSA_SHA384):
        return "the signature's algorithm is not ECDSA"
    parts = EccSignature.from_bytes(signature)
    if parts.findings() or any(parts.r[P384_BYTES:]) or any(parts.s[P384_BYTES:]):
        return "bytes around the signature are not zero"
    public = load_point(key)
    if public is None:
        return "the signer's key is not a point on P-384"
    r, s = (int.from_bytes(part, "little") for part in (parts.r, parts.s))
    try:
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(_hash_of(algorithm)))
    except (InvalidSignature, ValueError):
        return _WRONG
    return ""


def ecdsa_sign(key: EllipticCurvePrivateKey, signed: bytes, algorithm: int) -> EccSignature:
    """Sign with a private key of P-384, as the library ``cryptography`` has it; the same bytes, the same signature."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    numbers = decode_dss_signature(key.sign(signed, ec.ECDSA(_hash_of(algorithm), deterministic_signing=True)))
    r, s = (number.to_bytes(SCALAR, "little") for number in numbers)
    return EccSignature(r=r, s=s)


def load_point(key: EccKey) -> EllipticCurvePublicKey | None:
    """Return a public key as the library ``cryptography`` has it; None if it is not a point on P-384."""
    from cryptography.hazmat.primitives.asymmetric import ec

    if key.curve != P384 or any(key.qx[P384_BYTES:]) or any(key.qy[P384_BYTES:]) or key.findings():
        return None
    try:
        return ec.EllipticCurvePublicNumbers(key.x, key.y, ec.SECP384R1()).public_key()
    except ValueError:
        return None


def ecc_key(public: EllipticCurvePublicKey) -> EccKey:
    """Return a public key of P-384 as AMD's certificates hold it: the reverse of :func:`load_point`."""
    point = public.public_numbers()
    return EccKey(curve=P384, qx=point.x.to_bytes(SCALAR, "little"), qy=point.y.to_bytes(SCALAR, "little"))
