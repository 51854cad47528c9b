"""ID blocks as they come: files of bytes, base64 or hex, or the properties of a QEMU object."""

from __future__ import annotations

import re

from ..errors import InputError, quoted
from ..formats.id_block import IdAuth, IdBlock
from ..inputs import decode_base64, load_file
from .signed import SignedIdBlock

#: Most bytes of a file that are read. Both parts take 4192 bytes, or 8384 as hex.
LIMIT = 64 << 10
_KINDS = {"id-block": IdBlock, "id-auth": IdAuth}
_PROPERTY = re.compile(r"""\b(id-block|id-auth)["']?\s*[=:]\s*["']?([^\s,"'}]*)""")
_HEX = re.compile("[0-9a-fA-F]+")


def load_id_block(*paths: str, name: str = "ID block") -> SignedIdBlock:
    """Read an ID block and its authentication information, from a file each or from one that has both.

    A file holds 96 or 4096 bytes, raw or as base64 or hex text, or it holds text with ``id-block=...`` and
    ``id-auth=...``, as ``sevlab id-block build`` and snp-create-id-block print it and QEMU's object takes it; ``-`` is
    standard input. The order of files is free. Raises :class:`~sevlab.errors.InputError`, with *name*, for anything
    else, and for a part that is missing or comes twice.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        for kind, raw in _parts(load_file(path, name, LIMIT), path, name):
            if kind in found:
                raise InputError(name, f"{quoted(path)}: a second {kind}", "one id-block and one id-auth")
            found[kind] = raw
    if missing := [kind for kind in _KINDS if kind not in found]:
        what = " and no ".join(missing)
        raise InputError(name, f"no {what}", "id-block (96 bytes) and id-auth (4096 bytes), in one file or two")
    return SignedIdBlock(IdBlock.from_bytes(found["id-block"]), IdAuth.from_bytes(found["id-auth"]))


def _parts(raw: bytes, path: str, name: str) -> list[tuple[str, bytes]]:
    """Return what a file holds: kinds and their bytes."""
    whole = _kind(raw)
    if whole:
        return [(whole, raw)]
    text = raw.decode("utf-8", "replace")
    is_text = all(char.isprintable() or char in "\t\r\n" for char in text) and "\ufffd" not in text
    if is_text and (properties := _PROPERTY.findall(text)):
        return [(kind, _value(kind, value, path, name)) for kind, value in properties]
    bare = "".join(text.split())
    decoded = bytes.fromhex(bare) if _HEX.fullmatch(bare) and len(bare) % 2 == 0 else None
    for one in (decoded, decode_base64(bare)):
        if one is not None and _kind(one):
            return [(_kind(one), one)]
    needed = "96 or 4096 bytes, raw or as base64 or hex, or text with id-block=... and id-auth=..."
    raise InputError(name, f"{quoted(path)}, {len(raw)} bytes that are neither part", needed)


def _kind(raw: bytes) -> str:
    return next((kind for kind, declared in _KINDS.items() if len(raw) == declared.size), "")


def _value(kind: str, value: str, path: str, name: str) -> bytes:
    raw, size = decode_base64(value), _KINDS[kind].size
    if raw is None or len(raw) != size:
        received = f"{len(value)} characters that do not decode" if raw is None else f"base64 of {len(raw)} bytes"
        raise InputError(name, f"{quoted(path)}: {kind} with {received}", f"base64 of {size} bytes")
    return raw
