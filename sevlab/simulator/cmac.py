"""AES-CMAC: a tag of 16 bytes over a message, under a key.

Each block of 16 bytes goes into the chain by exclusive-or, and AES makes the next link: ``C[j] = E(C[j-1] ^ M[j])``.
The last link is the tag. Before that the last block is masked with a number that follows from the key, so that no
message goes on from another one's tag. The chain is computed link by link here, because an attack walks it backwards.

Source: NIST SP 800-38B; RFC 4493.
"""

from __future__ import annotations

BLOCK = 16
#: The key of the examples in both standards.
EXAMPLE_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
#: What a bit that is shifted out of 128 comes back as.
_CARRY = 0x87


class BlockCipher:
    """AES-128 on single blocks, which are numbers here (big-endian). *key* is 16 bytes."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        # One block at a time: what this mode leaves open between blocks is the business of the chain.
        self._cipher = Cipher(algorithms.AES128(key), modes.ECB())

    def encrypt(self, block: int) -> int:
        """Return one block, encrypted."""
        return int.from_bytes(self._cipher.encryptor().update(block.to_bytes(BLOCK, "big")), "big")

    def decrypt(self, block: int) -> int:
        """Return one block, decrypted."""
        return int.from_bytes(self._cipher.decryptor().update(block.to_bytes(BLOCK, "big")), "big")


def masks(cipher: BlockCipher) -> tuple[int, int]:
    """Return what the last block is masked with: when it is whole, and when it had to be filled up."""

    def double(number: int) -> int:
        number <<= 1
        return number ^ (1 << 8 * BLOCK | _CARRY) if number >> 8 * BLOCK else number

    whole = double(cipher.encrypt(0))
    return whole, double(whole)


def masked_blocks(cipher: BlockCipher, message: bytes) -> list[int]:
    """Return the blocks that go into the chain; the last one is filled up if it must be, and masked."""
    whole, filled = masks(cipher)
    mask = whole if message and len(message) % BLOCK == 0 else filled
    if mask == filled:
        message = (message + b"\x80").ljust(len(message) // BLOCK * BLOCK + BLOCK, b"\0")
    blocks = [int.from_bytes(message[at : at + BLOCK], "big") for at in range(0, len(message), BLOCK)]
    blocks[-1] ^= mask
    return blocks


def links(cipher: BlockCipher, blocks: list[int]) -> list[int]:
    """Return every link of the chain over blocks that are masked already; the last one is the tag."""
    found, link = [], 0
    for block in blocks:
        link = cipher.encrypt(link ^ block)
        found.append(link)
    return found


def compute_cmac(message: bytes, key: bytes = EXAMPLE_KEY) -> bytes:
    """Return the tag (16 bytes) of a message of any length, under a key of 16 bytes."""
    cipher = BlockCipher(key)
    return links(cipher, masked_blocks(cipher, message))[-1].to_bytes(BLOCK, "big")
