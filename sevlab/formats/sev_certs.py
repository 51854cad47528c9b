"""Certificates of legacy SEV, and the two structures that go with them: launch session and attestation report.

No certificate is X.509. A platform has four (PDH, PEK, OCA, CEK) of one form, 2084 bytes each; the owner's certificate
for one launch (GODH) has it too. AMD has two, ASK and ARK, of another form, whose length depends on the size of their
RSA key. All numbers are little-endian, those of keys and signatures too.

The launch session carries the owner's keys to the secure processor through a host that cannot read them. The legacy
attestation report is what the secure processor says of a running guest, signed with the platform's key. The host asks
for it, so it proves only that some guest with this digest exists on this platform; the nonce, which the asker chooses,
makes it fresh. sevlab has seen no real one.

Sources: sev-launch 6.4, 9.1, 10 and 11 (AMD 55766, SEV API, LAUNCH_START, ATTESTATION, appendix C; AMDESE/sev-tool; the
sev crate).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LayoutError, checked
from ..layout.structure import Layout, Named, at, reserved
from .policy import Policy

if TYPE_CHECKING:
    from typing import ClassVar

SPEC = "AMD 55766 (SEV API), SEV certificate"
AMD_SPEC = "AMD 55766 (SEV API), ASK and ARK certificate"
#: Bytes of one coordinate or one half of an ECDSA signature, and how many of them P-384 fills.
SCALAR, P384_BYTES = 72, 48
P256, P384 = 1, 2
#: Bytes of a certificate, and of an attestation report, that signatures cover: all before the first.
SIGNED, ATTESTATION_SIGNED = 0x414, 0x34
#: The Naples ARK as it was first published, without its signature.
_UNSIGNED_ARK = 576
ARK, ASK, INVALID, OCA, PEK, PDH, CEK = 0x0000, 0x0013, 0x1000, 0x1001, 0x1002, 0x1003, 0x1004
RSA_SHA256, ECDSA_SHA256, ECDH_SHA256 = 0x001, 0x002, 0x003
RSA_SHA384, ECDSA_SHA384, ECDH_SHA384 = 0x101, 0x102, 0x103


class Usage(Named):
    """What a key is for."""

    NAMES: ClassVar = {
        ARK: "ARK, AMD root key",
        ASK: "ASK, AMD SEV signing key",
        INVALID: "none, an unused slot",
        OCA: "OCA, owner certificate authority",
        PEK: "PEK, platform endorsement key",
        PDH: "PDH, platform Diffie-Hellman key",
        CEK: "CEK, chip endorsement key",
    }


class Algorithm(Named):
    """How a key is used."""

    NAMES: ClassVar = {
        0: "none",
        RSA_SHA256: "RSA, SHA-256",
        ECDSA_SHA256: "ECDSA, SHA-256",
        ECDH_SHA256: "ECDH, SHA-256",
        RSA_SHA384: "RSA, SHA-384",
        ECDSA_SHA384: "ECDSA, SHA-384",
        ECDH_SHA384: "ECDH, SHA-384",
    }


class Curve(Named):
    """An elliptic curve."""

    NAMES: ClassVar = {P256: "P-256", P384: "P-384"}


class EccKey(Layout, size=0x404, spec=SPEC + ", ECC public key"):
    """A point on an elliptic curve, as a public key."""

    curve: Curve = at(0x000, 4, "Which curve; in practice always P-384.", type=Curve)
    qx: bytes = at(0x004, SCALAR, "x coordinate, little-endian; P-384 fills 48 bytes.", type=bytes)
    qy: bytes = at(0x04C, SCALAR, "y coordinate, little-endian.", type=bytes)
    reserved_94: bytes = reserved(0x094, 880)

    @property
    def x(self) -> int:
        return int.from_bytes(self.qx, "little")

    @property
    def y(self) -> int:
        return int.from_bytes(self.qy, "little")


class EccSignature(Layout, size=0x200, spec=SPEC + ", ECDSA signature"):
    """An ECDSA signature: two numbers."""

    r: bytes = at(0x000, SCALAR, "First number, little-endian.", type=bytes)
    s: bytes = at(0x048, SCALAR, "Second number, little-endian.", type=bytes)
    reserved_90: bytes = reserved(0x090, 368)


class SevCertificate(Layout, size=0x824, spec=SPEC):
    """A certificate of SEV: PDH, PEK, OCA, CEK, or the owner's for one launch.

    It has room for two signatures, each under the bytes before the first. An unused slot has usage 0x1000, algorithm
    0 and zeros.
    """

    version: int = at(0x000, 4, "Version of this form.", const=1)
    api_major: int = at(0x004, 1, "Major version of the SEV API that made it.")
    api_minor: int = at(0x005, 1, "Minor version of the SEV API that made it.")
    reserved_6: bytes = reserved(0x006, 2)
    key_usage: Usage = at(0x008, 4, "What the key is for.", type=Usage)
    key_algorithm: Algorithm = at(0x00C, 4, "How the key is used.", type=Algorithm)
    key: EccKey = at(0x010, 0x404, "The public key.", type=EccKey)
    sig1_usage: Usage = at(SIGNED, 4, "Which key made the first signature.", type=Usage)
    sig1_algorithm: Algorithm = at(0x418, 4, "How it was made.", type=Algorithm)
    sig1: bytes = at(0x41C, 0x200, "The first signature.", type=bytes)
    sig2_usage: Usage = at(0x61C, 4, "Which key made the second signature.", type=Usage)
    sig2_algorithm: Algorithm = at(0x620, 4, "How it was made.", type=Algorithm)
    sig2: bytes = at(0x624, 0x200, "The second signature.", type=bytes)

    @property
    def signed(self) -> bytes:
        """The bytes under both signatures (0x414 bytes)."""
        return self.to_bytes()[:SIGNED]

    @property
    def signatures(self) -> list[tuple[Usage, Algorithm, bytes]]:
        """Both slots: usage of the signing key, algorithm, signature (512 bytes)."""
        return [(self.sig1_usage, self.sig1_algorithm, self.sig1), (self.sig2_usage, self.sig2_algorithm, self.sig2)]


class AmdCertificate(Layout, size=0, spec=AMD_SPEC):
    """A certificate of AMD: the root key ARK, or the signing key ASK. The size of its RSA key decides the rest."""

    BITS: ClassVar[int]

    version: int = at(0x00, 4, "Version of this form.", const=1)
    key_id: bytes = at(0x04, 16, "Names the key.", type=bytes)
    certifying_key_id: bytes = at(0x14, 16, "Names the key that signed it; the ARK signs itself.", type=bytes)
    key_usage: Usage = at(0x24, 4, "What the key is for.", type=Usage)
    reserved_28: bytes = reserved(0x28, 16)
    exponent_bits: int
    modulus_bits: int
    exponent: bytes
    modulus: bytes
    signature: bytes

    def __init_subclass__(cls, *, size: int, spec: str, bits: int) -> None:
        cls.BITS, part = bits, bits // 8
        cls.exponent_bits = at(0x38, 4, "Bits of the field of the public exponent (not of its value).", const=bits)
        cls.modulus_bits = at(0x3C, 4, "Bits of the modulus.", const=bits)
        cls.exponent = at(0x40, part, "The public exponent, little-endian.", type=bytes)
        cls.modulus = at(0x40 + part, part, "The modulus, little-endian.", type=bytes)
        cls.signature = at(0x40 + 2 * part, part, "RSA-PSS signature, little-endian.", type=bytes)
        super().__init_subclass__(size=size, spec=spec)

    @property
    def signed(self) -> bytes:
        """The bytes under the signature: all before it."""
        return self.to_bytes()[: -self.BITS // 8]


class AmdCertificate2048(AmdCertificate, size=832, spec=AMD_SPEC + ", RSA-2048", bits=2048):
    """A certificate of AMD with an RSA key of 2048 bits (Naples)."""


class AmdCertificate4096(AmdCertificate, size=1600, spec=AMD_SPEC + ", RSA-4096", bits=4096):
    """A certificate of AMD with an RSA key of 4096 bits (Rome and later)."""


@checked
def parse_certificates(raw: bytes) -> list[SevCertificate | AmdCertificate]:
    """Take certificates apart that follow one another, as ``sevctl export`` and the firmware write them.

    What each is follows from its own bytes. Raises :class:`~sevlab.errors.LayoutError` for bytes that are neither
    form, or end within one.
    """
    found: list[SevCertificate | AmdCertificate] = []
    position = 0
    while (rest := len(raw) - position) > 0:
        declared = _form(raw[position : position + 0x40])
        if declared is None or rest < declared.size:
            what = f"of a certificate of {declared.size}" if declared else "that are no SEV certificate"
            if declared and rest == _UNSIGNED_ARK and issubclass(declared, AmdCertificate):
                what += ": the Naples ARK as first published, without its signature"
            received = f"{rest} bytes at offset 0x{position:x} {what}"
            raise LayoutError("certificate", received, "SEV certificates (2084 bytes) and AMD's (832 or 1600)")
        found.append(declared.from_bytes(raw[position : position + declared.size]))
        position += declared.size
    return found


def _form(head: bytes) -> type[SevCertificate] | type[AmdCertificate] | None:
    if len(head) < 0x40:
        return None
    usage, amd_usage, exponent, modulus = (
        int.from_bytes(head[place : place + 4], "little") for place in (0x08, 0x24, 0x38, 0x3C)
    )
    for declared in (AmdCertificate2048, AmdCertificate4096):
        if amd_usage in (ARK, ASK) and exponent == modulus == declared.BITS:
            return declared
    return SevCertificate if usage in Usage.NAMES and usage > INVALID else None


class SessionBlob(Layout, size=128, spec="AMD 55766 (SEV API), LAUNCH_START, launch session"):
    """The launch session.

    TEK and TIK, encrypted for one platform, and two MACs: one over them, one over the policy.
    """

    nonce: bytes = at(0x00, 16, "Random; makes another master secret each time.", type=bytes, colour="pink")
    wrap_tk: bytes = at(0x10, 32, "TEK and TIK, encrypted with AES-128-CTR under the KEK.", type=bytes, colour="purple")
    wrap_iv: bytes = at(0x30, 16, "The first counter of that encryption, random.", type=bytes, colour="orange")
    wrap_mac: bytes = at(
        0x40, 32, "HMAC-SHA256 of wrap_tk under the KIK. It covers nothing else.", type=bytes, colour="green"
    )
    policy_mac: bytes = at(
        0x60, 32, "HMAC-SHA256 of the policy (4 bytes, little-endian) under the TIK.", type=bytes, colour="yellow"
    )


class AttestationReport(Layout, size=0xD0, spec="AMD 55766 (SEV API), ATTESTATION"):
    """A legacy attestation report."""

    mnonce: bytes = at(0x00, 16, "The nonce of the asker.", type=bytes, colour="pink")
    digest: bytes = at(0x10, 32, "The launch digest.", type=bytes, colour="teal")
    policy: Policy = at(0x30, 4, "The guest policy.", type=Policy, colour="yellow")
    sig_usage: Usage = at(ATTESTATION_SIGNED, 4, "Which key signed.", type=Usage, const=Usage(PEK))
    sig_algorithm: Algorithm = at(0x38, 4, "How.", type=Algorithm, const=Algorithm(ECDSA_SHA256))
    reserved_3c: bytes = reserved(0x3C, 4)
    r: bytes = at(0x40, SCALAR, "First number of the signature, little-endian.", type=bytes)
    s: bytes = at(0x88, SCALAR, "Second number of the signature, little-endian.", type=bytes)

    @property
    def signed(self) -> bytes:
        """The bytes under the signature (52 bytes)."""
        return self.to_bytes()[:ATTESTATION_SIGNED]
