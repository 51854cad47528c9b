"""Memory that is encrypted: what a guest reads, and what the host sees in its place.

Each guest has a key. A page is encrypted under it with AES-128-XTS, whose tweak is the page's address: the same bytes
look otherwise in another place, and the same in the same place, which is what some attacks live on. The real engine's
mode differs in detail, not in this. Nothing guards the ciphertext against change: plain SEV has no integrity.
"""

from __future__ import annotations

from .status import FirmwareError

PAGE = 4096
#: Bytes of memory there can be, so that no address makes us take more.
LIMIT = 1 << 30


class Memory:
    """The machine's memory. A key is 32 bytes for XTS; without one, the bytes are what the host sees."""

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}
        #: Pages behind which there is another page's cell, by their numbers: a memory module that lies about its size.
        self.aliases: dict[int, int] = {}

    def read(self, address: int, size: int, key: bytes | None = None) -> bytes:
        """Return *size* bytes from *address*, decrypted under *key* when one is given."""
        first, last = _pages(address, size)
        whole = b"".join(_crypt(self._page(number), number, key, decrypt=True) for number in range(first, last))
        return whole[address - first * PAGE :][:size]

    def write(self, address: int, data: bytes, key: bytes | None = None) -> None:
        """Write bytes to *address*, encrypted under *key* when one is given. The rest of a page keeps its content."""
        first, last = _pages(address, len(data))
        if not data:
            return
        whole = bytearray(self.read(first * PAGE, (last - first) * PAGE, key))
        whole[address - first * PAGE : address - first * PAGE + len(data)] = data
        for number in range(first, last):
            page = bytes(whole[(number - first) * PAGE : (number - first + 1) * PAGE])
            self._pages[self.aliases.get(number, number)] = _crypt(page, number, key, decrypt=False)

    def encrypt(self, address: int, size: int, key: bytes) -> None:
        """Encrypt in place what the host wrote in clear."""
        self.write(address, self.read(address, size), key)

    def _page(self, number: int) -> bytes:
        return self._pages.get(self.aliases.get(number, number), bytes(PAGE))


def _pages(address: int, size: int) -> tuple[int, int]:
    if not 0 <= address <= LIMIT or not 0 <= size <= LIMIT - address:
        raise FirmwareError("INVALID_ADDRESS", f"0x{address:x} and {size} bytes are outside the memory")
    return address // PAGE, -(-(address + size) // PAGE)


def _crypt(page: bytes, number: int, key: bytes | None, *, decrypt: bool) -> bytes:
    if key is None:
        return page
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(key), modes.XTS((number * PAGE).to_bytes(16, "little")))
    return bytes((cipher.decryptor() if decrypt else cipher.encryptor()).update(page))
