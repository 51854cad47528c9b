"""A17: a different microcode patch under the same signature, because AES-CMAC is not a hash (EntrySign).

A core takes a patch if AMD's signature over its hash is right. That hash was AES-CMAC: with the key known, anybody can
make a different patch with the same hash. The core here has one instruction, CMP, and a patch is text in blocks of 16
bytes that say how it works. Real patches differ in format and signature; what matters is that 16 bytes are signed.

AES-CMAC is a chain: ``C[j] = E(C[j-1] ^ M[j])`` for each block of 16 bytes. The last link is the tag; the last block is
masked with a number that follows from the key. The chain can be walked in both directions: ``C[j-1] = D(C[j]) ^ M[j]``.
So write any message, leave one block open, walk forward to it from zero and back to it from the tag, and solve:
``M[j] = D(C[j]) ^ C[j-1]``. That is why the chain is computed link by link here.

Sources: CVE-2024-56161; incidents A17; NIST SP 800-38B; RFC 4493.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ...attestation.crypto import ecdsa_fault, ecdsa_sign
from ...attestation.session import make_private, public_key, seeded
from ...errors import InputError
from ...formats.sev_certs import ECDSA_SHA384
from ...layout.span import Explainable
from ...layout.views import Banner, Table, View

BLOCK = 16
#: The key of the examples in both standards.
EXAMPLE_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")


class BlockCipher:
    """AES-128 on single blocks, which are numbers here (big-endian). *key* is 16 bytes."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        # ECB is right here: the chain connects the blocks.
        self._cipher = Cipher(algorithms.AES128(key), modes.ECB())

    def encrypt(self, block: int) -> int:
        """Return one block, encrypted."""
        return int.from_bytes(self._cipher.encryptor().update(block.to_bytes(BLOCK, "big")), "big")

    def decrypt(self, block: int) -> int:
        """Return one block, decrypted."""
        return int.from_bytes(self._cipher.decryptor().update(block.to_bytes(BLOCK, "big")), "big")


def masks(cipher: BlockCipher) -> tuple[int, int]:
    """Return the masks of the last block: for a whole one, and for one that was padded (SP 800-38B, 6.1)."""

    def double(number: int) -> int:
        number <<= 1
        return number ^ (1 << 8 * BLOCK | 0x87) if number >> 8 * BLOCK else number

    whole = double(cipher.encrypt(0))
    return whole, double(whole)


def masked_blocks(cipher: BlockCipher, message: bytes) -> list[int]:
    """Return the blocks that go into the chain; the last one is padded if necessary, and masked."""
    whole, padded = masks(cipher)
    mask = whole if message and len(message) % BLOCK == 0 else padded
    if mask == padded:
        message = (message + b"\x80").ljust(len(message) // BLOCK * BLOCK + BLOCK, b"\0")
    blocks = [int.from_bytes(message[at : at + BLOCK], "big") for at in range(0, len(message), BLOCK)]
    blocks[-1] ^= mask
    return blocks


def links(cipher: BlockCipher, blocks: list[int]) -> list[int]:
    """Return every link of the chain over masked blocks; the last one is the tag."""
    found, link = [], 0
    for block in blocks:
        link = cipher.encrypt(link ^ block)
        found.append(link)
    return found


def compute_cmac(message: bytes, key: bytes = EXAMPLE_KEY) -> bytes:
    """Return the tag (16 bytes) of a message of any length, under a key of 16 bytes."""
    cipher = BlockCipher(key)
    return links(cipher, masked_blocks(cipher, message))[-1].to_bytes(BLOCK, "big")


#: The fault that can be switched on, and what it does.
FAULTS = {"cmac-as-hash": "patches are hashed with AES-CMAC under the standard's example key (CVE-2024-56161)"}
#: How CMP works without a patch: exclusive-or of the operands, then the flag says whether that is zero.
BUILT_IN = ("XOR", "FLAG")


@dataclass(frozen=True, repr=False)
class Patch:
    """Blocks of 16 bytes, and the vendor's signature over their hash."""

    body: bytes
    signature: bytes

    @property
    def blocks(self) -> list[bytes]:
        """The body, block by block."""
        return [self.body[at : at + BLOCK] for at in range(0, len(self.body), BLOCK)]

    @property
    def steps(self) -> list[str]:
        """The blocks as text, without trailing spaces; a byte that is not text is a dot."""
        return [_text(block).rstrip() for block in self.blocks]

    def __repr__(self) -> str:
        rows = (f"{BLOCK * at:4}  {block.hex(' ')}  {_text(block)}" for at, block in enumerate(self.blocks))
        return "\n".join(map(str.rstrip, rows))


class Core:
    """A core. *faults* are keys of :data:`FAULTS`; ``patch`` is the last patch that it took, None before the first."""

    def __init__(self, faults: frozenset[str] | set[str] = frozenset()) -> None:
        if unknown := sorted(set(faults) - set(FAULTS)):
            raise TypeError(f"no fault is named {unknown[0]!r}; there is {', '.join(FAULTS)}")
        self.faults = frozenset(faults)
        self.patch: Patch | None = None

    def load(self, patch: Patch) -> bool:
        """Take a patch if the vendor's signature is right; return whether it is."""
        key = public_key(make_private(seeded(_VENDOR)))
        if ecdsa_fault(key, patch.signature, hash_patch(patch.body, self.faults), ECDSA_SHA384):
            return False
        self.patch = patch
        return True

    def compare(self, one: bytes, other: bytes) -> bool:
        """CMP: whether two strings of bytes are equal, according to the microcode. Unknown blocks do nothing."""
        register, flag = 1, False
        for step in self.patch.steps if self.patch else BUILT_IN:
            if step == "XOR":
                size = max(len(one), len(other)) + 1  # a leading byte, so that strings of different lengths differ
                first, second = (int.from_bytes((b"\1" + raw).rjust(size, b"\0"), "big") for raw in (one, other))
                register = first ^ second
            elif step == "CLEAR":
                register = 0
            elif step == "FLAG":
                flag = register == 0
        return flag


#: The fake vendor's private key follows from this, so everybody has it.
_VENDOR = b"sevlab, a made-up maker of microcode"


def hash_patch(body: bytes, faults: frozenset[str] | set[str] = frozenset()) -> bytes:
    """Return what the vendor signs: SHA-384 of the body (48 bytes), with ``cmac-as-hash`` its AES-CMAC (16 bytes)."""
    return compute_cmac(body) if "cmac-as-hash" in faults else hashlib.sha384(body).digest()


def write_body(steps: Iterable[str]) -> bytes:
    """Return steps as a patch's body: each in a block of 16 bytes, padded with spaces."""
    return b"".join(step.encode("ascii").ljust(BLOCK) for step in steps)


def sign_patch(body: bytes, faults: frozenset[str] | set[str] = frozenset()) -> Patch:
    """Return a patch as its vendor publishes it, for cores with these *faults*."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.derive_private_key(int.from_bytes(make_private(seeded(_VENDOR)).reveal(), "big"), ec.SECP384R1())
    return Patch(body, ecdsa_sign(key, hash_patch(body, faults), ECDSA_SHA384).to_bytes())


def _text(block: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in block)


class Preimage(Explainable):
    """A message whose AES-CMAC is a given tag.

    ``index`` is the number of the block that was solved (from 0), ``block`` the solution (16 bytes); ``links`` are the
    chain's links after each block (16 bytes each), of which the last is the tag.
    """

    def __init__(self, message: bytes, index: int, chain: list[bytes]) -> None:
        self.message, self.index, self.links = message, index, chain
        self.block = message[BLOCK * index : BLOCK * (index + 1)]

    def explain(self) -> View:
        """Show the chain block by block, and from which end each link was computed."""
        rows, last = [], len(self.links) - 1
        for number, link in enumerate(self.links):
            text = _text(self.message[BLOCK * number : BLOCK * (number + 1)])
            way = "from zero on" if number < self.index else "given" if number == last else "back from the tag"
            solved = ", and this block solved" if number == self.index else ""
            rows.append([str(number), text, link.hex(), way + solved])
        header = ["block", "content", "link after it", "how the link is known"]
        colours = ["pink" if number == self.index else "" for number in range(len(rows))]
        banner = Banner(f"The tag is {self.links[-1].hex()} because of block {self.index}", "pink")
        return View(banner, Table(header, rows, colours=colours, mono=[0, 1, 2]))


def solve_block(message: bytes, index: int, tag: bytes, key: bytes = EXAMPLE_KEY) -> Preimage:
    """Return *message* with its block *index* (from 0) replaced, so that its AES-CMAC under *key* is *tag* (16 bytes).

    Raises :class:`~sevlab.errors.InputError` for a missing or partial block, and for a tag or key of the wrong length.
    """
    for name, raw in (("tag", tag), ("key", key)):
        if len(raw) != BLOCK:
            raise InputError(name, f"{len(raw)} bytes", f"{BLOCK} bytes")
    if not 0 <= index < len(message) // BLOCK:
        raise InputError("index", str(index), f"a whole block of the message, 0 to {len(message) // BLOCK - 1}")
    cipher = BlockCipher(key)
    blocks = masked_blocks(cipher, message)
    before = links(cipher, blocks[:index])
    link = int.from_bytes(tag, "big")
    after = [link]
    for block in reversed(blocks[index + 1 :]):
        link = cipher.decrypt(link) ^ block
        after.insert(0, link)
    solved = cipher.decrypt(link) ^ (before[-1] if before else 0)
    if index == len(blocks) - 1:
        solved ^= masks(cipher)[0]
    start = BLOCK * index
    whole = message[:start] + solved.to_bytes(BLOCK, "big") + message[start + BLOCK :]
    return Preimage(whole, index, [one.to_bytes(BLOCK, "big") for one in (*before, *after)])
