"""A core of the CPU that takes microcode patches: who may change what an instruction does.

A core takes a patch when its maker's signature over the patch's hash is right. AMD's hash was AES-CMAC, which is none:
with the key known, anybody makes another patch of the same hash (CVE-2024-56161). The core has one instruction, CMP,
and a patch is text in blocks of 16 bytes that say how it works. Real patches have another format, and another signature
than the one here; what matters is that it covers 16 bytes.

Source: incidents A17.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple
from functools import cache

from ..chain import ecdsa_fault, ecdsa_sign
from ..formats.sev_certs import ECDSA_SHA384
from ..session import make_private, public_key, seeded
from .cmac import BLOCK, compute_cmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: The fault that can be switched on, and what it does.
FAULTS = {"cmac-as-hash": "patches are hashed with AES-CMAC under the standard's example key (CVE-2024-56161)"}
#: How CMP works while no patch says otherwise: exclusive-or of the operands, then the flag is whether that is zero.
BUILT_IN = ("XOR", "FLAG")


class Patch(namedtuple("Patch", "body signature")):
    """Blocks of 16 bytes, and the maker's signature over their hash."""

    __slots__ = ()

    @property
    def blocks(self) -> list[bytes]:
        """The body, block by block."""
        return [self.body[at : at + BLOCK] for at in range(0, len(self.body), BLOCK)]

    @property
    def steps(self) -> list[str]:
        """The blocks as text, without the spaces that fill them up; bytes that are none stand as a dot each."""
        return [_text(block).rstrip() for block in self.blocks]

    def __repr__(self) -> str:
        rows = (f"{BLOCK * at:4}  {block.hex(' ')}  {_text(block)}" for at, block in enumerate(self.blocks))
        return "\n".join(map(str.rstrip, rows))


class Core:
    """A core. *faults* are keys of :data:`FAULTS`; ``patch`` is the last patch it took, None before the first."""

    def __init__(self, faults: frozenset[str] | set[str] = frozenset()) -> None:
        if unknown := sorted(set(faults) - set(FAULTS)):
            raise TypeError(f"no fault is named {unknown[0]!r}; there is {', '.join(FAULTS)}")
        self.faults = frozenset(faults)
        self.patch: Patch | None = None

    def load(self, patch: Patch) -> bool:
        """Take a patch if its maker's signature is right; tell whether that was so."""
        key = public_key(make_private(seeded(_MAKER)))
        if ecdsa_fault(key, patch.signature, hash_patch(patch.body, self.faults), ECDSA_SHA384):
            return False
        self.patch = patch
        return True

    def compare(self, one: bytes, other: bytes) -> bool:
        """CMP: whether two strings of bytes are the same, as the microcode has it. Unknown blocks do nothing."""
        register, flag = 1, False
        for step in self.patch.steps if self.patch else BUILT_IN:
            if step == "XOR":
                size = max(len(one), len(other)) + 1  # a byte in front tells strings of other lengths apart
                first, second = (int.from_bytes((b"\1" + raw).rjust(size, b"\0"), "big") for raw in (one, other))
                register = first ^ second
            elif step == "CLEAR":
                register = 0
            elif step == "FLAG":
                flag = register == 0
        return flag


#: The made-up maker's private number follows from this, so everybody has it.
_MAKER = b"sevlab, a made-up maker of microcode"


def hash_patch(body: bytes, faults: frozenset[str] | set[str] = frozenset()) -> bytes:
    """Return what the maker signs: SHA-384 of the body (48 bytes), with ``cmac-as-hash`` its AES-CMAC (16 bytes)."""
    return compute_cmac(body) if "cmac-as-hash" in faults else hashlib.sha384(body).digest()


def write_body(steps: Iterable[str]) -> bytes:
    """Return steps as a patch's body: each in a block of 16 bytes, filled up with spaces."""
    return b"".join(step.encode("ascii").ljust(BLOCK) for step in steps)


def sign_patch(body: bytes, faults: frozenset[str] | set[str] = frozenset()) -> Patch:
    """Return a patch as its maker gives it out, for cores with these *faults*."""
    return Patch(body, ecdsa_sign(_maker(), hash_patch(body, faults), ECDSA_SHA384).to_bytes())


@cache
def _maker() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    number = int.from_bytes(make_private(seeded(_MAKER)).reveal(), "big")
    return ec.derive_private_key(number, ec.SECP384R1())


def _text(block: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in block)
