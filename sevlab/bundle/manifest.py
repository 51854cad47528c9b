"""The manifest of a bundle: its version, and every file in it by hash and size."""

from __future__ import annotations

import hashlib
import json
import re
from collections import namedtuple

from ..arguments import checked
from ..errors import InputError, quoted
from ..inputs import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: The version of bundles that is written; it and all before it are read.
VERSION = 1
_SHA256 = re.compile("[0-9a-f]{64}")


class Manifest(namedtuple("Manifest", "version case blobs")):
    """What is in a bundle.

    ``case`` is (SHA-256 in hex, bytes) of the case file, ``blobs`` maps the SHA-256 (hex) of every other file to its
    size in bytes.
    """

    __slots__ = ()

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON, the same bytes for the same content."""
        document = {
            "version": self.version,
            "case": dict(zip(("sha256", "size"), self.case, strict=True)),
            "blobs": [{"sha256": sha256, "size": self.blobs[sha256]} for sha256 in sorted(self.blobs)],
        }
        return json.dumps(document, indent=2).encode() + b"\n"


def build_manifest(case: bytes, blobs: Mapping[str, int]) -> Manifest:
    """Return the manifest of a bundle with the case file *case* and these blobs."""
    return Manifest(VERSION, (hashlib.sha256(case).hexdigest(), len(case)), dict(blobs))


@checked
def parse_manifest(raw: bytes, name: str) -> Manifest:
    """Read a manifest. Raises :class:`~sevlab.errors.InputError` with *name* for whatever is none."""
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError(name, "what is not JSON with every key once", "a manifest", "docs/case-format.md") from None
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is not int or version < 1:
        raise InputError(name, "no version", f'a manifest with "version": 1 to {VERSION}')
    if version > VERSION:
        raise InputError(name, f"version {quoted(version)}", f"version 1 to {VERSION}", "a newer sevlab")
    if set(document) != {"version", "case", "blobs"} or not isinstance(document["blobs"], list):
        raise InputError(name, "other keys than belong there", "version, case and a list of blobs")
    blobs = dict(_file(one, name) for one in document["blobs"])
    if len(blobs) != len(document["blobs"]):
        raise InputError(name, "a blob that is listed twice", "every blob once")
    return Manifest(version, _file(document["case"], name), blobs)


def _file(value: Any, name: str) -> tuple[str, int]:
    if isinstance(value, dict) and set(value) == {"sha256", "size"}:
        sha256, size = value["sha256"], value["size"]
        if isinstance(sha256, str) and _SHA256.fullmatch(sha256) and type(size) is int and size >= 0:
            return sha256, size
    raise InputError(name, "a file without its sha256 and size", '{"sha256": 64 hex digits, "size": bytes}')
