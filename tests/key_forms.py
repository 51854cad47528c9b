"""A key in every form in which it could be shown, and a search for any of them."""

from __future__ import annotations

import base64
import hashlib

#: Keys that no other bytes of a test look like.
TEK, TIK = (hashlib.sha256(name).digest()[:16] for name in (b"a TEK of the tests", b"a TIK of the tests"))
#: A key is looked for in pieces of so many bytes.
WINDOW = 4


def forms(key: bytes) -> dict[str, str]:
    """Return a key as text, in every form in which people or programs write bytes."""
    pairs = [f"{byte:02x}" for byte in key]
    return {
        "hex": key.hex(),
        "HEX": key.hex().upper(),
        "0x": "0x" + key.hex(),
        "spaced": " ".join(pairs),
        "colons": ":".join(pairs),
        "words": key.hex(" ", 2),
        "escapes": "".join(rf"\x{pair}" for pair in pairs),
        "C": ", ".join(f"0x{pair}" for pair in pairs),
        "reversed": key[::-1].hex(),
        "decimal": ", ".join(map(str, key)),
        "list": str(list(key)),
        "number": str(int.from_bytes(key, "big")),
        "repr": repr(key),
        "base64": base64.b64encode(key).decode(),
        "urlsafe": base64.urlsafe_b64encode(key).decode(),
        "unpadded": base64.b64encode(key).decode().rstrip("="),
        "text": key.decode("utf-8", "surrogateescape").replace("\0", "\1"),
    }


def _needles(key: bytes) -> list[bytes]:
    """Return what shows that a part of a key is there."""
    found: set[str] = set()
    raw = [key, key[::-1]]
    for whole in raw:
        for part in (whole[at : at + WINDOW] for at in range(0, len(whole), WINDOW)):
            pairs = [f"{byte:02x}" for byte in part]
            made = ["".join(pairs), " ".join(pairs), ":".join(pairs), part.hex(" ", 2)]
            made += ["".join(rf"\x{pair}" for pair in pairs), ", ".join(f"0x{pair}" for pair in pairs)]
            found |= {*made, *(one.upper() for one in made)}
            found |= {", ".join(map(str, part)), ",".join(map(str, part)), repr(part)[2:-1]}
        for at in range(0, len(whole) - 5, 6):
            found |= {encode(whole[at : at + 6]).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)}
        found.add(str(int.from_bytes(whole, "big")))
    return [*(text.encode() for text in found), *(one[at : at + 8] for one in raw for at in (0, 8))]


_NEEDLES = {key: _needles(key) for key in (TEK, TIK)}


def shown(text: str | bytes, *keys: bytes) -> list[bytes]:
    """Return what of the keys, those of this module without any, stands in a text, in whatever form."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return [needle for key in keys or (TEK, TIK) for needle in _NEEDLES.get(key) or _needles(key) if needle in raw]
