r"""Text that may be a key, and what is said instead of it.

A key gets into the wrong place: pasted as an option's value, or its file given where another was needed. What is said
about that must not show it. So text is described instead of shown wherever it may be a key: hex digits (also with
spaces, colons, ``0x`` or ``\x`` between them), numbers of bytes, base64 of 16, 32 or 48 bytes, and bytes as they are.
"""

from __future__ import annotations

import re

#: Sizes of keys in bytes: a TEK or TIK, both in one file, a private number of P-384.
SIZES = (16, 32, 48)
#: Most characters of a text that are looked at.
_LIMIT = 4096
_HEX = re.compile(r"(?:(?:0[xX]|\\x|%)?[0-9a-fA-F]++[\s:;,.|/_\-]*+)++")
_TOKEN = re.compile(r"(?:0[xX]|\\x|%)?([0-9a-fA-F]+)")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: What stands before hex digits that are a hash, such as that of a file system in a kernel's command line.
_HASH = re.compile(r"(?<![\w-])(?:root|usr|verity)?(?:hash|sha256)[=:]$")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{22,}+={0,2}+")
#: How many characters of base64 such keys have without padding, and what the last can be.
_LAST = {22: "AQgw", 43: "AEIMQUYcgkosw048", 64: ""}
#: More than so many different ones of these, in a text that has the size of a key: it is no name and no option.
_ODD = frozenset("!\"#$%&'()*,:;<=>?@[\\]^`{|}~ ")
_MANY = 4


def describe_text(text: str) -> str:
    """Say what *text* is when the whole of it may be a key, as in ``32 hex digits``; "" when it is none."""
    text = text[:_LIMIT]
    core = text.strip(" \t\r\n[](){}<>'\"`,;")
    hidden = hide_keys(core, "{}")
    if (match := re.fullmatch(r"\{([^{}]+)\}[\s:;,.|/_\-]*", hidden)) and hidden != core:
        return match[1]
    bare = re.sub(r"[\s:;,]+", "", text)
    if _BASE64.fullmatch(bare) and _is_base64_key(bare):
        return f"{len(bare)} characters of base64"
    if _is_raw(text):
        return f"{len(text)} characters"
    return ""


def hide_keys(text: str, marks: str = "<>") -> str:
    """Return *text* with every part of it that may be a key described, between two *marks*."""

    def hex_digits(match: re.Match[str]) -> str:
        whole = match[0].rstrip(" \t\r\n:;,.|/_-")
        tokens = _TOKEN.findall(whole)
        count = sum(map(len, tokens))
        is_long = count >= 2 * min(SIZES)
        is_bytes = len(tokens) >= min(SIZES) and all(int(one) < 256 for one in tokens if one.isdigit())
        is_public = _GUID.fullmatch(whole) or _HASH.search(text[max(0, match.start() - 20) : match.start()])
        if is_public or not (is_long or is_bytes):
            return match[0]
        what = f"{count} hex digits" if is_long else f"{len(tokens)} numbers"
        return f"{marks[0]}{what}{marks[1]}{match[0][len(whole) :]}"

    def base64(match: re.Match[str]) -> str:
        return f"{marks[0]}{len(match[0])} characters of base64{marks[1]}" if _is_base64_key(match[0]) else match[0]

    if len(text) < min(SIZES):
        return text
    return _BASE64.sub(base64, _HEX.sub(hex_digits, text))


def describe_content(raw: bytes) -> str:
    """Say what a file holds, without showing any of it: its size, and what kind of text it is, if it is text."""
    text = "".join(map(chr, raw.strip()[:_LIMIT]))
    bare = "".join(text.split())
    if not raw:
        return "an empty file"
    if re.fullmatch("[0-9a-fA-F]+", bare):
        return f"{len(bare)} hex digits"
    if re.fullmatch("[A-Za-z0-9+/_-]{20,}={0,2}", bare):
        return f"{len(bare)} characters of base64"
    return f"{len(raw)} bytes of text" if _is_text(raw) else f"{len(raw)} raw bytes"


def _is_text(raw: bytes) -> bool:
    return len(raw) not in SIZES and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in raw)


def _is_base64_key(text: str) -> bool:
    """Say whether base64 text may be a key: by its padding, or by its length and how mixed it is."""
    bare = text.rstrip("=")
    if text.endswith("==") or (text != bare and len(bare) >= 43):
        return _is_mixed(bare)
    last = _LAST.get(len(bare))
    return (
        last is not None and (not last or bare[-1] in last) and _is_mixed(bare) and (bare[0] != "/" or len(bare) > 22)
    )


def _is_mixed(text: str) -> bool:
    return any(map(str.isupper, text)) and any(map(str.islower, text))


def _is_raw(text: str) -> bool:
    """Say whether text may be a key's own bytes, or what Python prints of them."""
    if re.match("(bytearray[(])?b['\"]", text):
        return True
    try:
        size = len(text.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        return False
    if size not in SIZES:
        return False
    return not text.isprintable() or len(_ODD & set(text)) > _MANY
