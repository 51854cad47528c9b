"""Files that are read whole, or hashed: keys, firmware images, kernels. Each is hashed once for as long as it stays."""

from __future__ import annotations

from ..errors import InputError, named, quoted
from .keys import SecretBytes
from .reading import CHUNK, LARGEST, open_input
from .sev import Hashed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..formats.ovmf import Ovmf
    from .reading import InputStream

#: Largest firmware image accepted, in bytes. Real ones are 1 to 16 MiB; an endless file must not hang us.
FIRMWARE_LIMIT = 64 << 20
#: Largest kernel or initrd accepted, in bytes.
BLOB_LIMIT = LARGEST
_FLASH = "the file QEMU loads as flash unit 0, such as OVMF.fd"
#: What was hashed, by the identity of the file.
_known: dict[tuple[int, ...], Hashed] = {}


class Sha256(bytes):
    """SHA-256 (32 bytes) of a file that is not here: it replaces the file where only its hash is measured."""

    def __str__(self) -> str:
        return f"SHA-256 {self.hex()}"


def load_file(path: str, name: str, limit: int) -> bytes:
    """Return everything in a file, at most *limit* bytes; ``-`` reads standard input."""
    with open_input(path, name) as stream:
        raw = stream.read_up_to(limit)
    if len(raw) > limit:
        raise _too_large(path, name, limit)
    return raw


def load_size(path: str, name: str) -> int:
    with open_input(path, name) as stream:
        return stream.seek(0, 2)  # its end


def load_hidden(path: str, name: str, limit: int) -> SecretBytes:
    """Return everything in a file, as :func:`load_file` does, hidden from the first moment."""
    key = read_hidden(path, name, limit)
    if len(key) > limit:
        raise _too_large(path, name, limit)
    return key


def read_hidden(path: str, name: str, limit: int) -> SecretBytes:
    """Return at most *limit* + 1 bytes of a file, hidden; the last one shows that there are too many."""
    with open_input(path, name) as stream:
        return SecretBytes(stream.read_up_to(limit))


def _too_large(path: str, name: str, limit: int) -> InputError:
    return InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")


def check_standard_input(given: Iterable[tuple[str, str | None]]) -> None:
    """Refuse more than one input from ``-``. *given* are the inputs' names and values."""
    readers = [name for name, value in given if value == "-"]
    if len(readers) > 1:
        raise InputError(readers[1], f"'-' when {named(readers[0])} already reads standard input", "one input from '-'")


def load_hashed(path: str, name: str = "firmware", *, limit: int = FIRMWARE_LIMIT, empty: bool = False) -> Hashed:
    """Hash a file; ``-`` reads standard input.

    Its hash is remembered until the command ends, and for as long as the file stays the same (device, inode, size, time
    of change), so asking again, as a widget does at every key press, costs nothing. Raises
    :class:`~sevlab.errors.InputError` with *name* for a file that is missing, larger than *limit* bytes, or empty
    (unless *empty* allows that).
    """
    with open_input(path, name, hashed=True) as stream:
        key = stream.identity
        if stream.hashed is None and key in _known:
            stream.raw.source.hashed = _known[key]
        total = 0
        while stream.hashed is None and (chunk := stream.read(CHUNK)):
            total += len(chunk)
            if total > limit:
                break
        if stream.hashed is None or stream.hashed[0] > limit:
            received, needed = f"{quoted(path)}, more than {limit >> 20} MiB", f"a file of at most {limit >> 20} MiB"
            raise InputError(name, received, needed, _FLASH if limit == FIRMWARE_LIMIT else "")
        hashed = Hashed(*stream.hashed)
        if key and key == stream.identity:
            _known[key] = hashed
    if not hashed.size and not empty:
        raise InputError(name, f"{quoted(path)}, an empty file", "a file with content", "check how it was copied")
    return hashed


def load_sha256(value: str | Sha256, name: str, *, empty: bool = False) -> bytes:
    """Return the SHA-256 (32 bytes) of a kernel or initrd, given as its path, or as the :class:`Sha256` itself."""
    if isinstance(value, Sha256):
        return bytes(value)
    return load_hashed(str(value), name, limit=BLOB_LIMIT, empty=empty).digest


def read_image(stream: InputStream, path: str, name: str) -> bytes:
    """Return the bytes of a firmware image; InputError with *name* for one that is empty or larger than 64 MiB."""
    image = stream.read_up_to(FIRMWARE_LIMIT, keep=True)
    if len(image) > FIRMWARE_LIMIT:
        received = f"{quoted(path)}, more than {FIRMWARE_LIMIT >> 20} MiB"
        raise InputError(name, received, "a firmware image (1 to 16 MiB is usual)", _FLASH)
    if not image:
        raise InputError(name, f"{quoted(path)}, an empty file", "a firmware image", "check how the file was copied")
    return image


def load_ovmf(path: str, name: str = "firmware") -> Ovmf:
    """Read and parse a firmware file (``-``: standard input); InputError for one unreadable, empty or above 64 MiB."""
    from ..formats.ovmf import parse_ovmf  # not above: validate without a kernel does not need it

    with open_input(path, name) as stream:
        return parse_ovmf(read_image(stream, path, name))
