"""RSA signatures of the made-up roots, the same to the last byte each time.

Their keys follow from a sentence each, so everybody has them, and what they sign proves nothing.
They have 2048 bits, where AMD's real ones since Rome have 4096: nobody is to be kept out, and half the size is faster.
"""

from __future__ import annotations

import hashlib

EXPONENT = 65537
#: Bytes of a modulus, and of a signature.
RSA_SIZE = 256
#: What is added to the numbers that a sentence makes, to get the next primes p and q.
_PRIMES = {
    "ARK": (546, 478),
    "ASK": (114, 802),
    "ARK-Milan": (256, 670),
    "SEV-Milan": (144, 964),
    "SEV-VLEK-Milan": (64, 250),
    "ARK-Genoa": (2108, 382),
    "SEV-Genoa": (516, 478),
    "SEV-VLEK-Genoa": (268, 8),
    "ARK-Turin": (494, 642),
    "SEV-Turin": (586, 1904),
    "SEV-VLEK-Turin": (1118, 548),
}


def rsa_primes(name: str) -> tuple[int, int]:
    """Return p and q of a made-up key (1024 bits each)."""

    def prime(letter: str, more: int) -> int:
        text = f"sevlab sample root, not a secret: {name} {letter}"
        raw = b"".join(hashlib.sha256(f"{text} {number}".encode()).digest() for number in range(4))
        return (int.from_bytes(raw, "big") | 3 << 1022 | 1) + more

    p, q = _PRIMES[name]
    return prime("p", p), prime("q", q)


def rsa_sign(name: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    """Sign with a made-up key (RSASSA-PSS of RFC 8017, MGF1, a salt as long as the hash); 256 bytes, big-endian.

    The salt, which should be random, follows from what is signed.
    """

    def digest(raw: bytes) -> bytes:
        return hashlib.new(algorithm, raw).digest()

    p, q = rsa_primes(name)
    salt = digest(b"salt of a sample" + signed)
    size = len(salt)
    inner = digest(bytes(8) + digest(signed) + salt)
    block = b"\x01".rjust(RSA_SIZE - 2 * size - 1, b"\0") + salt
    mask = b"".join(digest(inner + number.to_bytes(4, "big")) for number in range(-(-len(block) // size)))
    masked = bytes(one ^ other for one, other in zip(block, mask, strict=False))
    encoded = bytes([masked[0] & 0x7F]) + masked[1:] + inner + b"\xbc"
    # Modulo p and q apart, then put together: four times as fast as modulo their product.
    number = int.from_bytes(encoded, "big")
    by_p, by_q = (pow(number, pow(EXPONENT, -1, prime - 1), prime) for prime in (p, q))
    return (by_q + (by_p - by_q) * pow(q, -1, p) % p * q).to_bytes(RSA_SIZE, "big")
