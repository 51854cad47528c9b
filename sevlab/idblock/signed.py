"""An ID block with its signatures: built from keys, shown byte by byte.

Source: snp-launch 5 (AMD 56860, SNP ABI, ID_BLOCK and ID_AUTH).
"""

from __future__ import annotations

import base64
from collections import namedtuple

from ..arguments import checked
from ..chain import ecdsa_sign
from ..formats.id_block import ECDSA_P384_SHA384, IdAuth, IdBlock
from ..formats.policy import SnpPolicy
from ..formats.sev_certs import ECDSA_SHA384, P384_BYTES, EccKey, EccSignature
from ..keys import Secret, check_key, hide_key, refuse_keys
from ..session import load_private, public_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..layout.views import Block, View

#: The policy that QEMU, sev-snp-measure and the sev crate take when none is given.
DEFAULT_POLICY = 0x30000


class SignedIdBlock(namedtuple("SignedIdBlock", "block auth")):
    """An ID block (96 bytes) and its authentication information (4096 bytes)."""

    __slots__ = ()

    @property
    def properties(self) -> str:
        """Both as properties of QEMU's ``sev-snp-guest`` object, in base64."""
        block, auth = (base64.b64encode(one.to_bytes()).decode() for one in self)
        return f"id-block={block},id-auth={auth}"

    @property
    def key_digests(self) -> dict[str, bytes]:
        """The digests that a report will hold, by the names of its fields (48 bytes each; zeros without a key)."""
        return {"id_key_digest": self.auth.id_key_digest, "author_key_digest": self.auth.author_key_digest}

    def findings(self) -> list[str]:
        """Return a sentence for every field whose value is not allowed."""
        parts = (("ID block", self.block), ("ID authentication", self.auth))
        return [f"{name}, {finding}" for name, part in parts for finding in part.findings()]

    def explain(self) -> View:
        """Show both byte by byte, and the digests of the keys."""
        from ..layout.views import Paragraph, View

        odd = [Paragraph(f"ODD: {finding}.") for finding in self.findings()]
        return View(*self.block.explain().blocks, *self.auth.explain().blocks, *odd, *_digest_table(self.auth))

    def __str__(self) -> str:
        return self.explain().text()

    def _repr_html_(self) -> str:
        return self.explain().html()


@checked
def build_id_block(
    measurement: bytes,
    id_key: Secret,
    author_key: Secret | None = None,
    *,
    policy: int = DEFAULT_POLICY,
    guest_svn: int = 0,
    family_id: bytes = bytes(16),
    image_id: bytes = bytes(16),
) -> SignedIdBlock:
    """Say what a launch must be, and sign it. The same inputs give the same bytes.

    *measurement* is the launch digest (48 bytes); keys are private numbers of P-384 (48 bytes, big-endian; see
    :func:`load_private_key`); *policy* is the guest policy (64 bits), *guest_svn* has 32 bits, *family_id* and
    *image_id* 16 bytes each. Raises :class:`~sevlab.errors.LayoutError` for values that do not fit, and
    :class:`~sevlab.errors.InputError` for keys that are none, and for a value that has a key in it: the block is shown
    to the host.
    """
    id_key, author_key = hide_key(id_key), hide_key(author_key)
    id_key = check_key(id_key, "id_key", P384_BYTES)
    author_key = None if author_key is None else check_key(author_key, "author_key", P384_BYTES)
    for public, name in ((measurement, "measurement"), (family_id, "family_id"), (image_id, "image_id")):
        refuse_keys(public, name, id_key, author_key)
    block = IdBlock(
        launch_digest=measurement,
        family_id=family_id,
        image_id=image_id,
        guest_svn=guest_svn,
        policy=SnpPolicy(policy),
    )
    key = public_key(id_key)
    author = None if author_key is None else public_key(author_key)
    auth = IdAuth(
        auth_key_algo=ECDSA_P384_SHA384 if author else 0,
        id_block_sig=_sign(id_key, block.to_bytes()),
        id_key=key,
        id_key_sig=_sign(author_key, key.to_bytes()) if author_key else bytes(EccSignature.size),
        author_key=author or bytes(EccKey.size),
    )
    return SignedIdBlock(block, auth)


def _sign(private: Secret, signed: bytes) -> EccSignature:
    return ecdsa_sign(load_private(private), signed, ECDSA_SHA384)


def _digest_table(auth: IdAuth) -> list[Block]:
    from ..layout.views import Heading, Table, hex_lines

    digests = [("ID key", auth.id_key_digest)]
    if auth.has_author:
        digests.append(("author key", auth.author_key_digest))
    rows = [[name, hex_lines(digest, 24)] for name, digest in digests]
    return [Heading("SHA-384 of the keys, as the report holds them"), Table(["key", "digest"], rows, mono=[1])]
