"""The legacy attestation report: what the secure processor says of a running guest, signed with the platform's key.

The host asks for it, so it proves only that some guest with this digest exists on this platform; the nonce, which the
asker chooses, makes it fresh. Source: sev-launch 9.1 (AMD 55766, SEV API, ATTESTATION). No real report was at hand when
this was written.
"""

from __future__ import annotations

from ..layout.rows import Layout, at, reserved
from .policy import Policy
from .sevcert import ECDSA_SHA256, PEK, SCALAR, Algorithm, Usage

#: Bytes that the signature covers: all before its own description.
SIGNED = 0x34


class AttestationReport(Layout, size=0xD0, spec="AMD 55766 (SEV API), ATTESTATION"):
    """A legacy attestation report."""

    mnonce: bytes = at(0x00, 16, "The nonce of whoever asked.", type=bytes, tint="pink")
    digest: bytes = at(0x10, 32, "The launch digest.", type=bytes, tint="teal")
    policy: Policy = at(0x30, 4, "The guest policy.", type=Policy, tint="yellow")
    sig_usage: Usage = at(SIGNED, 4, "Which key signed.", type=Usage, const=Usage(PEK))
    sig_algorithm: Algorithm = at(0x38, 4, "How.", type=Algorithm, const=Algorithm(ECDSA_SHA256))
    reserved_3c: bytes = reserved(0x3C, 4)
    r: bytes = at(0x40, SCALAR, "First number of the signature, little-endian.", type=bytes)
    s: bytes = at(0x88, SCALAR, "Second number of the signature, little-endian.", type=bytes)

    @property
    def signed(self) -> bytes:
        """The bytes under the signature (52 bytes)."""
        return self.to_bytes()[:SIGNED]
