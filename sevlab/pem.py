"""PEM, and DER one after the other: a file is taken apart so that none of its bytes is passed over.

Sources: RFC 7468 (PEM); X.690, 8.1.3 (the length of a DER element).
"""

from __future__ import annotations

import re

from .errors import InputError
from .inputs import decode_base64

_MARK = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
#: What no text around blocks may hold: a broken mark, or a line of base64 whose marks are lost.
_STRAY = re.compile(r"-----|^[ \t]*[A-Za-z0-9+/]{48,}={0,2}[ \t\r]*$", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"
_SEQUENCE = 0x30


def is_pem(raw: bytes) -> bool:
    """Say whether bytes hold the beginning of a PEM block."""
    return b"-----BEGIN " in raw


def split_pem(raw: bytes, name: str, needed: str) -> list[tuple[str, bytes]]:
    """Return the label of every PEM block, and what stands between its marks.

    Text around the blocks is allowed, as openssl prints it; anything else there is refused, with
    :class:`~sevlab.errors.InputError`, *name* and *needed*, and so is a block without its end.
    """
    marks = list(_MARK.finditer(raw))
    found, around, place = [], [], len(_BOM) if raw.startswith(_BOM) else 0
    for begin, end in zip(marks[::2], [*marks[1::2], None], strict=False):
        if end is None or (begin[1], end[1], end[2]) != (b"BEGIN", b"END", begin[2]):
            raise InputError(name, "PEM that breaks off", f"{needed}, each with its BEGIN and its END")
        found.append((begin[2].decode("ascii"), raw[begin.end() : end.start()]))
        around.append(raw[place : begin.start()])
        place = end.end()
    if not found:
        raise InputError(name, "PEM without a whole BEGIN", needed)
    for piece in (*around, raw[place:]):
        if not _is_text(piece):
            raise InputError(name, "PEM with something else than text around its blocks", f"{needed}, and no more")
    return found


def pem_or_der(raw: bytes, name: str, label: str) -> list[bytes]:
    """Return the DER inside every PEM block of *raw*, all of which must have this *label*; or DER elements.

    What is neither PEM nor DER elements without a rest is returned as it is, for its reader to refuse.
    """
    if not is_pem(raw):
        return split_der(raw)
    needed, found = f"PEM of {label}", []
    for words, text in split_pem(raw, name, needed):
        der = decode_base64("".join(text.decode("latin-1").split()))
        if words != label or der is None:
            received = f"PEM of {words}" if words != label else "PEM whose text is not base64"
            raise InputError(name, received, needed)
        found.append(der)
    return found


def split_der(raw: bytes) -> list[bytes]:
    """Return the DER SEQUENCEs that stand one after the other; [*raw*] when something is left over."""
    found, place = [], 0
    while place < len(raw):
        size = _size(raw[place : place + 6])
        if not size or place + size > len(raw):
            return [raw]
        found.append(raw[place : place + size])
        place += size
    return found or [raw]


def _size(head: bytes) -> int:
    """Return the size of a whole SEQUENCE in bytes from its first six; 0 for anything else."""
    if len(head) < 2 or head[0] != _SEQUENCE:
        return 0
    count = head[1] - 0x80
    if count < 0:
        return 2 + head[1]
    if not 1 <= count <= 4 or len(head) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(head[2 : 2 + count], "big")


def _is_text(raw: bytes) -> bool:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n" for char in text) and not _STRAY.search(text)
