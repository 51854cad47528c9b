"""Who a simulated platform is: its keys and certificates, up to a root that is visibly a sample.

The sample root takes the place of AMD's. Its RSA keys follow from a sentence, so everybody has them: a chain below it
proves nothing, and ``sevlab chain verify`` says that its root is not known.
"""

from __future__ import annotations

import hashlib
from functools import cache

from ..chain import Chain, ecdsa_sign
from ..formats.sev_certs import (
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
from .signing import EXPONENT, RSA_SIZE, rsa_primes, rsa_sign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
    """The keys of one platform, and their certificates. *random* returns random bytes.

    *chip* is a CEK with its certificate, for a platform that has one already; without it a new chip is made.
    """

    def __init__(
        self, random: Callable[[int], bytes], api: tuple[int, int], chip: tuple[Secret, SevCertificate] | None = None
    ) -> None:
        self._random, self._api = random, api
        self.keys: dict[int, Secret] = {usage: make_private(random) for usage in (CEK, OCA, PEK, PDH)}
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

    def sign(self, usage: int, signed: bytes) -> EccSignature:
        """Sign with one of the platform's keys (ECDSA, SHA-256; the same bytes give the same signature)."""
        from cryptography.hazmat.primitives.asymmetric import ec

        number = int.from_bytes(self.keys[usage].reveal(), "big")
        return ecdsa_sign(ec.derive_private_key(number, ec.SECP384R1()), signed, ECDSA_SHA256)

    def _certify(self) -> None:
        """Make every certificate, from the chip's down. The chip's own is made once, in the factory."""
        for usage, signers in ((CEK, (ASK,)), (OCA, (OCA,)), (PEK, (OCA, CEK)), (PDH, (PEK,))):
            if usage == CEK and CEK in self.certificates:
                continue
            certificate = self._unsigned(usage)
            for number, signer in enumerate(signers, 1):
                algorithm = RSA_SHA256 if signer == ASK else ECDSA_SHA256
                if signer == ASK:
                    made = rsa_sign(_NAMES[ASK], certificate.signed)[::-1].ljust(512, b"\0")
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
