"""Keys that do not show themselves."""

from __future__ import annotations

import hmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Secret:
    """Bytes that stay hidden: ``<16 bytes, hidden>`` in every print, log, traceback and notebook.

    :meth:`reveal` gives the bytes, so every use of a key can be found by searching for that word. Two secrets compare
    in constant time. A secret is never pickled or copied into a file by accident.
    """

    __slots__ = ("_bytes",)

    def __init__(self, raw: bytes) -> None:
        self._bytes = bytes(raw)

    def reveal(self) -> bytes:
        """Return the bytes themselves."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        raise TypeError("a Secret is not hashable")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __repr__(self) -> str:
        return f"<{len(self)} bytes, hidden>"
