"""A simulated platform's keys and certificates, up to a root that is visibly a sample.

The sample root replaces AMD's. Each deterministic test key is derived from a sentence, so everybody has it: a chain
below such a root proves nothing, and ``sevlab chain verify`` reports the root as unknown. The keys have 2048 bits
because that is faster; AMD's since Rome have 4096. Signatures are deterministic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

from ..attestation.crypto import ecdsa_sign
from ..attestation.session import load_private, make_private, public_key
from ..attestation.sev_chain import Chain
from ..formats import sev_certs
from ..formats.sev_certs import ARK, ASK, CEK, ECDSA_SHA256, OCA, PDH, PEK, AmdCertificate2048, SevCertificate
from ..launch.keys import SecretBytes

EXPONENT = 65537
#: Bytes of a modulus, and of a signature.
RSA_SIZE = 256
#: What is added to the numbers from a sentence to get the next primes p and q.
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
    """Return p and q of a test key (1024 bits each)."""

    def prime(letter: str, more: int) -> int:
        text = f"sevlab sample root, not a secret: {name} {letter}"
        raw = b"".join(hashlib.sha256(f"{text} {number}".encode()).digest() for number in range(4))
        return (int.from_bytes(raw, "big") | 3 << 1022 | 1) + more

    p, q = _PRIMES[name]
    return prime("p", p), prime("q", q)


def rsa_sign(name: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    """Sign with a test key (RSASSA-PSS, RFC 8017; MGF1; salt of the hash's size, not random); 256 bytes, big-endian."""

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


_NAMES = {ARK: "ARK", ASK: "ASK"}


@cache
def sample_root() -> tuple[AmdCertificate2048, AmdCertificate2048]:
    """Return ASK and ARK of the sample root."""

    def certificate(usage: int, signer: int) -> AmdCertificate2048:
        p, q = rsa_primes(_NAMES[usage])
        unsigned = AmdCertificate2048(
            key_id=f"sevlab {_NAMES[usage]} key".encode().ljust(16, b"."),
            certifying_key_id=f"sevlab {_NAMES[signer]} key".encode().ljust(16, b"."),
            key_usage=usage,
            exponent=EXPONENT.to_bytes(RSA_SIZE, "little"),
            modulus=(p * q).to_bytes(RSA_SIZE, "little"),
            signature=bytes(RSA_SIZE),
        )
        return unsigned.replace(signature=rsa_sign(_NAMES[signer], unsigned.signed)[::-1])

    return certificate(ASK, ARK), certificate(ARK, ARK)


def sample_roots() -> dict[str, str]:
    """Return the sample root as :func:`sevlab.verify_chain` takes roots."""
    return {hashlib.sha256(sample_root()[1].to_bytes()).hexdigest(): "sample"}


class Identity:
    """The keys of one platform, and their certificates. *chip* is a CEK with its certificate; without it, a new one."""

    def __init__(
        self,
        random: Callable[[int], bytes],
        api: tuple[int, int],
        chip: tuple[SecretBytes, SevCertificate] | None = None,
    ) -> None:
        self._random, self._api = random, api
        self.keys: dict[int, SecretBytes] = {usage: make_private(random) for usage in (CEK, OCA, PEK, PDH)}
        self.chip_id = random(64)
        self.certificates: dict[int, SevCertificate] = {}
        if chip is not None:
            self.keys[CEK], self.certificates[CEK] = chip
        self._certify()

    def make_oca(self) -> None:
        """Make a new owner's certificate authority; PEK and PDH are made anew with it."""
        self.keys[OCA] = make_private(self._random)
        self.make_pek()

    def make_pek(self) -> None:
        """Make a new platform endorsement key; the PDH is made anew with it."""
        self.keys[PEK] = make_private(self._random)
        self.make_pdh()

    def make_pdh(self) -> None:
        """Make a new Diffie-Hellman key."""
        self.keys[PDH] = make_private(self._random)
        self._certify()

    @property
    def chain(self) -> Chain:
        """All six certificates."""
        return Chain([*(self.certificates[usage] for usage in (PDH, PEK, OCA, CEK)), *sample_root()])

    def sign(self, usage: int, signed: bytes) -> sev_certs.EccSignature:
        """Sign with one of the platform's keys (ECDSA, SHA-256; the same bytes give the same signature)."""
        return ecdsa_sign(load_private(self.keys[usage]), signed, ECDSA_SHA256)

    def _certify(self) -> None:
        """Make every certificate below the root. The chip's own is made once, in the factory."""
        for usage, signers in ((CEK, (ASK,)), (OCA, (OCA,)), (PEK, (OCA, CEK)), (PDH, (PEK,))):
            if usage == CEK and CEK in self.certificates:
                continue
            certificate = self._unsigned(usage)
            for number, signer in enumerate(signers, 1):
                algorithm = sev_certs.RSA_SHA256 if signer == ASK else ECDSA_SHA256
                if signer == ASK:
                    made = rsa_sign(_NAMES[ASK], certificate.signed)[::-1].ljust(512, b"\0")
                else:
                    made = self.sign(signer, certificate.signed).to_bytes()
                slot = f"sig{number}"
                signature = {f"{slot}_usage": signer, f"{slot}_algorithm": algorithm, slot: made}
                certificate = certificate.replace(**signature)
            self.certificates[usage] = certificate

    def _unsigned(self, usage: int) -> SevCertificate:
        algorithm, (major, minor) = sev_certs.ECDH_SHA256 if usage == PDH else ECDSA_SHA256, self._api
        key = {"key_usage": usage, "key_algorithm": algorithm, "key": public_key(self.keys[usage])}
        empty = {"usage": sev_certs.INVALID, "algorithm": 0}
        unsigned = {f"sig{slot}_{part}": value for slot in (1, 2) for part, value in empty.items()}
        return SevCertificate(api_major=major, api_minor=minor, **key, **unsigned, sig1=bytes(512), sig2=bytes(512))
