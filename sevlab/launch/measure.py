"""The measure: HMAC-SHA256 of the 56-byte message under the owner's TIK.

Source: AMD 55766 (SEV API), LAUNCH_MEASURE; HMAC itself is RFC 2104. The published example of AMDESE/sev-tool is the
first test vector.
"""

from __future__ import annotations

import hashlib
import hmac

from ..errors import checked
from .keys import SecretBytes, check_key, hide_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..formats.launch_measure import MeasureMessage, OldMeasureMessage
    from ..layout.views import Table

#: Bytes that SHA-256 takes in at a time; HMAC pads its key to one such block.
BLOCK = 64
#: A warning above shell lines that give a key to OpenSSL, which takes it only as an argument.
KEY_IS_SHOWN = "# While this runs, every user of this machine can see the key in ps."


@checked
def compute_measure(message: MeasureMessage | OldMeasureMessage, tik: SecretBytes | bytes) -> bytes:
    """Return the measure (32 bytes) of *message* under *tik* (16 bytes; InputError for a key of another size)."""
    return hmac.digest(check_key(tik, "tik").reveal(), message.to_bytes(), "sha256")


class HmacSteps:
    """The same HMAC, computed step by step from SHA-256 alone, with every intermediate value.

    ``key_block`` is the key, padded with zeros to 64 bytes. ``inner_block`` and ``outer_block`` are the key block with
    every byte XORed with 0x36 and 0x5c; each reveals the key, so all three are secret.
    ``inner`` is SHA-256(inner_block, message) and ``measure`` is SHA-256(outer_block, inner), 32 bytes each.
    """

    def __init__(self, message: bytes, tik: SecretBytes | bytes) -> None:
        tik = hide_key(tik)  # before anything is raised, whose traceback would show it
        tik = check_key(tik, "tik")
        block = tik.reveal().ljust(BLOCK, b"\0")
        inner_block, outer_block = bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block)
        kind = type(tik)  # what is made from a sample key may be shown as it may
        self.key_block, self.inner_block, self.outer_block = kind(block), kind(inner_block), kind(outer_block)
        self.inner = hashlib.sha256(inner_block + message).digest()
        self.measure = hashlib.sha256(outer_block + self.inner).digest()

    def explain(self, result: str = "measure", *, show_keys: bool = False) -> Table:
        """Show the four steps of RFC 2104; *result* is what the last one is called."""
        from ..layout.views import Table

        def secret(value: SecretBytes) -> str:
            return value.reveal().hex() if show_keys else repr(value)

        rows = [
            ["key block", "TIK, then zero bytes up to 64", secret(self.key_block)],
            ["inner block", "key block, every byte XOR 0x36", secret(self.inner_block)],
            ["outer block", "key block, every byte XOR 0x5c", secret(self.outer_block)],
            ["inner", "SHA-256(inner block, message)", self.inner.hex()],
            [result, "SHA-256(outer block, inner)", self.measure.hex()],
        ]
        return Table(["step", "how", "value"], rows, mono=[2])
