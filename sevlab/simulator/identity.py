"""Who a simulated platform is: its keys and certificates, up to a root that is visibly a sample.

The sample root takes the place of AMD's. Its RSA keys follow from a sentence, so everybody has them: a chain below it
proves nothing, and ``sevlab chain verify`` says that its root is not known.
"""

from __future__ import annotations

import hashlib
from functools import cache

from ..chain import Chain, ecdsa_sign
from ..formats.sevcert import (
    ARK,
    ASK,
    CEK,
    ECDH_SHA256,
    ECDSA_SHA256,
    INVALID,
    OCA,
    PDH,
    PEK,
    RSA_SHA256,
    AmdCertificate2048,
    EccSignature,
    SevCertificate,
)
from ..keys import Secret
from ..session import make_private, public_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_EXPONENT = 65537
_SIZE = 256
#: What is added to the number that a sentence makes, to get the next prime.
_PRIMES = {(ARK, "p"): 546, (ARK, "q"): 478, (ASK, "p"): 114, (ASK, "q"): 802}
_NAMES = {ARK: "ARK", ASK: "ASK"}


def _prime(usage: int, letter: str) -> int:
    """Return one prime of the sample root (1024 bits)."""
    text = f"sevlab sample root, not a secret: {_NAMES[usage]} {letter}"
    raw = b"".join(hashlib.sha256(f"{text} {number}".encode()).digest() for number in range(4))
    return (int.from_bytes(raw, "big") | 3 << 1022 | 1) + _PRIMES[usage, letter]


def _rsa_sign(usage: int, signed: bytes) -> bytes:
    """Sign with a key of the sample root (RSASSA-PSS of RFC 8017, SHA-256); little-endian.

    The salt, which should be random, follows from what is signed, so that samples are the same each time.
    """
    p, q = _prime(usage, "p"), _prime(usage, "q")
    size = hashlib.sha256().digest_size
    salt = hashlib.sha256(b"salt of a sample" + signed).digest()
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(signed).digest() + salt).digest()
    block = b"\x01".rjust(_SIZE - 2 * size - 1, b"\0") + salt
    mask = b"".join(
        hashlib.sha256(digest + number.to_bytes(4, "big")).digest() for number in range(-(-len(block) // size))
    )
    masked = bytes(one ^ other for one, other in zip(block, mask, strict=False))
    encoded = bytes([masked[0] & 0x7F]) + masked[1:] + digest + b"\xbc"
    number = pow(int.from_bytes(encoded, "big"), pow(_EXPONENT, -1, (p - 1) * (q - 1)), p * q)
    return number.to_bytes(_SIZE, "little")


@cache
def sample_root() -> tuple[AmdCertificate2048, AmdCertificate2048]:
    """Return ASK and ARK of the sample root."""

    def certificate(usage: int, signer: int) -> AmdCertificate2048:
        modulus = _prime(usage, "p") * _prime(usage, "q")
        unsigned = AmdCertificate2048(
            key_id=f"sevlab {_NAMES[usage]} key".encode().ljust(16, b"."),
            certifying_key_id=f"sevlab {_NAMES[signer]} key".encode().ljust(16, b"."),
            key_usage=usage,
            exponent=_EXPONENT.to_bytes(_SIZE, "little"),
            modulus=modulus.to_bytes(_SIZE, "little"),
            signature=bytes(_SIZE),
        )
        return unsigned.replace(signature=_rsa_sign(signer, unsigned.signed))

    return certificate(ASK, ARK), certificate(ARK, ARK)


def sample_roots() -> dict[str, str]:
    """Return the sample root as :func:`sevlab.verify_chain` takes roots."""
    return {hashlib.sha256(sample_root()[1].to_bytes()).hexdigest(): "sample"}


class Identity:
    """The keys of one platform, and their certificates. *random* returns random bytes."""

    def __init__(self, random: Callable[[int], bytes], api: tuple[int, int]) -> None:
        self._random, self._api = random, api
        self.keys: dict[int, Secret] = {usage: make_private(random) for usage in (CEK, OCA, PEK, PDH)}
        self.chip_id = random(64)
        self.certificates: dict[int, SevCertificate] = {}
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

    def sign(self, usage: int, signed: bytes) -> EccSignature:
        """Sign with one of the platform's keys (ECDSA, SHA-256; the same bytes give the same signature)."""
        from cryptography.hazmat.primitives.asymmetric import ec

        number = int.from_bytes(self.keys[usage].reveal(), "big")
        return ecdsa_sign(ec.derive_private_key(number, ec.SECP384R1()), signed, ECDSA_SHA256)

    def _certify(self) -> None:
        """Make every certificate, from the chip's down."""
        for usage, signers in ((CEK, (ASK,)), (OCA, (OCA,)), (PEK, (OCA, CEK)), (PDH, (PEK,))):
            certificate = self._unsigned(usage)
            for number, signer in enumerate(signers, 1):
                algorithm = RSA_SHA256 if signer == ASK else ECDSA_SHA256
                if signer == ASK:
                    made = _rsa_sign(ASK, certificate.signed).ljust(512, b"\0")
                else:
                    made = self.sign(signer, certificate.signed).to_bytes()
                names = (f"sig{number}_usage", f"sig{number}_algorithm", f"sig{number}")
                certificate = certificate.replace(**dict(zip(names, (signer, algorithm, made), strict=True)))
            self.certificates[usage] = certificate

    def _unsigned(self, usage: int) -> SevCertificate:
        slot = {"usage": INVALID, "algorithm": 0}
        return SevCertificate(
            api_major=self._api[0],
            api_minor=self._api[1],
            key_usage=usage,
            key_algorithm=ECDH_SHA256 if usage == PDH else ECDSA_SHA256,
            key=public_key(self.keys[usage]),
            sig1=bytes(512),
            sig2=bytes(512),
            **{f"sig{number}_{name}": value for number in (1, 2) for name, value in slot.items()},
        )
