"""Keys that do not show themselves."""

from __future__ import annotations

import hmac
import os

from ..errors import InputError, describe_text, hide_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: So many bytes of a key must not occur in any other input: the size of the smallest key.
_WINDOW = 16


class SecretBytes:
    """Bytes that stay hidden: ``<16 bytes, hidden>`` in every print, log, traceback and notebook.

    :meth:`reveal` gives the bytes, so every use of a key can be found by searching for that word. Two secrets compare
    in constant time, and none is pickled.
    """

    __slots__ = ("_bytes",)

    def __init__(self, raw: Any) -> None:
        self._bytes = b""
        if not isinstance(raw, bytes | bytearray | memoryview):
            kind = type(raw).__name__
            raw = b""  # or a traceback that shows local variables would show it
            raise TypeError(f"a Secret is made of bytes, not of {kind}")
        self._bytes = bytes(raw)

    def reveal(self) -> bytes:
        return self._bytes

    def part(self, start: int, end: int | None = None) -> SecretBytes:
        return type(self)(self._bytes[start:end])  # part of a sample key is a sample key

    def is_in(self, public: bytes) -> bool:
        """Return whether *public* holds 16 bytes in a row of this secret, as bytes, hex or base64, or is a part of it.

        Reversed bytes count too. A secret of one byte over and over, such as the all-zero TIK, is no secret.
        """
        from base64 import b64encode, urlsafe_b64encode  # not above: validate does not ask this

        windows = [self._bytes[at : at + _WINDOW] for at in range(max(1, len(self) - _WINDOW + 1))]
        windows = [one for both in windows for one in (both, both[::-1]) if len(set(one)) > 1]
        text = public.lower()
        return any(
            one in public
            or one.hex().encode() in text
            or any(encode(one).rstrip(b"=")[:-1] in public for encode in (b64encode, urlsafe_b64encode))
            or (len(public) >= _WINDOW // 2 and len(set(public)) > 1 and public in one)
            for one in windows
        )

    def hide_in(self, text: str) -> str:
        """Return *text* with this secret's hex digits hidden."""
        return text if len(set(self._bytes)) < 2 else text.replace(self._bytes.hex(), repr(self))

    def __len__(self) -> int:
        return len(self._bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretBytes) and hmac.compare_digest(self._bytes, other._bytes)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __repr__(self) -> str:
        return f"<{len(self)} bytes, hidden>"


class NoKey:
    """Replaces something that was given as a key and cannot be one; ``what`` describes it."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"<{self.what}, hidden>"


def hide_key(value: Any) -> Any:
    """Return what was given as a key so that no traceback shows it. Never raises.

    Bytes become :class:`SecretBytes`. The path of a key file comes back as it is. Text that names no file and may be a
    key becomes a :class:`NoKey`, as does everything else.
    """
    if value is None or isinstance(value, SecretBytes | NoKey):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return SecretBytes(value)
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        if isinstance(path, str) and (value == "-" or not (what := describe_path(path))):
            return path
        return NoKey(what if isinstance(path, str) else "a path of bytes")
    return NoKey(type(value).__name__)


def describe_path(path: str) -> str:
    """Describe a *path* that names no file and may be a key that was given instead of its file; "" for others."""
    try:
        if os.path.lexists(path):
            return ""
        size = len(os.fsencode(path))
    except (ValueError, UnicodeError):
        size = len(path)
    is_one = size in (16, 32) or (os.sep not in path and hide_keys(path) != path)
    return describe_text(path) or (f"{len(path)} characters" if is_one else "")


def check_key(key: Any, name: str, size: int = 16) -> SecretBytes:
    """Return a key of *size* bytes as :class:`SecretBytes`; raise :class:`~sevlab.errors.InputError` otherwise."""
    key = hide_key(key)
    if not isinstance(key, SecretBytes):
        received = key.what if isinstance(key, NoKey) else "the path of a file"
        key = None
        raise InputError(name, received, f"a key of {size} bytes")
    if len(key) != size:
        raise InputError(name, f"a key of {len(key)} bytes", f"{size} bytes")
    return key


def refuse_keys(public: bytes, name: str, *keys: SecretBytes | None) -> None:
    """Refuse an input that is public, or will be shown, when it has one of *keys* in it: a file in the wrong place."""
    if any(key is not None and key.is_in(public) for key in keys):
        received, public = f"{len(public)} bytes that have a key in them, which was given too", b""
        raise InputError(name, received, "a value that has no key in it", "another file")
