"""The ID block: what the owner wants a SEV-SNP launch to be, signed, and checked by the firmware before the guest runs.

With it a wrong launch does not start at all: LAUNCH_FINISH compares its digest and policy with those of the launch. The
ID authentication information holds the signatures and the keys. The report names both keys by their digests.

Sources: snp-launch 5 (AMD 56860, SNP ABI, ID_BLOCK and ID_AUTH).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..layout.structure import Layout, Named, at, reserved
from .policy import SnpPolicy
from .sev_certs import EccKey, EccSignature

if TYPE_CHECKING:
    from typing import ClassVar

SPEC = "AMD 56860 (SNP ABI), ID block"
ECDSA_P384_SHA384 = 1


class SnpAlgorithm(Named):
    """How an ID block or a report is signed."""

    NAMES: ClassVar = {0: "none", ECDSA_P384_SHA384: "ECDSA on P-384, SHA-384"}


class IdBlock(Layout, size=0x60, spec=SPEC):
    """The ID block."""

    launch_digest: bytes = at(0x00, 48, "The launch digest that the launch must have.", type=bytes, colour="teal")
    family_id: bytes = at(0x30, 16, "Family of the guest, chosen by the owner.", type=bytes)
    image_id: bytes = at(0x40, 16, "Image of the guest, chosen by the owner.", type=bytes)
    version: int = at(0x50, 4, "Version of this structure.", const=1)
    guest_svn: int = at(0x54, 4, "Security version number (SVN) of the guest.")
    policy: SnpPolicy = at(0x58, 8, "The policy that the launch must have.", type=SnpPolicy, colour="yellow")


class IdAuth(Layout, size=0x1000, spec=SPEC + ", ID authentication information"):
    """ID authentication information: signatures and keys."""

    id_key_algo: SnpAlgorithm = at(0x000, 4, "How the ID key signs.", type=SnpAlgorithm, const=1)
    auth_key_algo: SnpAlgorithm = at(0x004, 4, "How the author key signs.", type=SnpAlgorithm)
    reserved_8: bytes = reserved(0x008, 56)
    id_block_sig: EccSignature = at(0x040, 0x200, "Signature of the ID key over the ID block.", type=EccSignature)
    id_key: EccKey = at(0x240, 0x404, "The ID key's public half.", type=EccKey)
    reserved_644: bytes = reserved(0x644, 60)
    id_key_sig: EccSignature = at(0x680, 0x200, "Signature of the author key over the ID key.", type=EccSignature)
    author_key: EccKey = at(0x880, 0x404, "The author key's public half.", type=EccKey)
    reserved_c84: bytes = reserved(0xC84, 892)

    @property
    def has_author(self) -> bool:
        return any(self.author_key.to_bytes()) or any(self.id_key_sig.to_bytes())

    @property
    def id_key_digest(self) -> bytes:
        """SHA-384 of the ID key (48 bytes), as the report holds it."""
        return key_digest(self.id_key)

    @property
    def author_key_digest(self) -> bytes:
        """SHA-384 of the author key (48 bytes); zeros without one."""
        return key_digest(self.author_key) if self.has_author else bytes(48)


def key_digest(key: EccKey) -> bytes:
    """Return the SHA-384 of a public key's 1028 bytes (48 bytes)."""
    return hashlib.sha384(key.to_bytes()).digest()
