"""The JSON Schema of bundles, made from the declarations that their reader and writer follow."""

from __future__ import annotations

from ..case import ABOUT, BY_NAME, FORMAT, MODES, ROWS, Row
from ..case.rows import BY_HASH, BYTES, COUNT, FILE, FORBID, KEY, LAUNCH, MODE, NUMBER, SNP
from .archive import MEMBER_LIMIT
from .manifest import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_SIZED = {"sha256": {"$ref": "#/$defs/sha256"}, "size": {"type": "integer", "minimum": 0}}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12): of ``manifest.json``, and under ``$defs/case`` of ``case.toml`` once parsed."""
    file = _table(_SIZED, required=list(_SIZED))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "manifest.json of a .sevcase bundle of sevlab; $defs/case is its case.toml, parsed",
        **_table(
            {
                "version": {"type": "integer", "minimum": 1, "maximum": VERSION},
                "case": file,
                "blobs": {"type": "array", "items": file, "maxItems": MEMBER_LIMIT - 2, "uniqueItems": True},
            },
            required=["version", "case", "blobs"],
        ),
        "$defs": {"sha256": _SHA256, "case": _case()},
    }


def _case() -> dict[str, Any]:
    sections = {name: [row for row in ROWS if row.section == name] for name in (*LAUNCH, "launch", *SNP)}
    tables = {name: _table({row.key: _value(row) for row in rows}) for name, rows in sections.items()}
    found = {row.key: {"anyOf": [_value(row), {"const": False}]} for row in ROWS if row.kind != KEY}
    return _table(
        {
            "format": {"type": "integer", "minimum": 1, "maximum": FORMAT},
            "about": _table({row.key: _value(row) for row in ABOUT}),
            **tables,
            "found": _table(found),
            "origin": _table({row.key: {"type": "string"} for row in BY_NAME.values()}),
        },
        required=["format"],
    )


def _table(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": required} if required else {})


def _value(row: Row) -> dict[str, Any]:
    """Return the schema of one value of a case file."""
    doc = {"description": row.doc}
    if row.kind in (NUMBER, COUNT):
        return {"type": "integer", "minimum": int(row.kind == COUNT), "maximum": row.limit, **doc}
    if row.kind == FORBID:
        return {"type": "boolean", **doc}
    if row.kind == MODE:
        return {"enum": list(MODES), **doc}
    if row.kind == FILE:
        sha256 = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
        properties = {"path": {"type": "string", "minLength": 1}, "sha256": sha256}
        required = ["sha256"] if row.name in BY_HASH else ["path", "sha256"]
        return _table(properties, required) | doc
    if row.kind == BYTES:
        digits, characters = 2 * row.limit, 4 * ((row.limit + 2) // 3)
        doc["description"] += f" {digits} hex digits, or {characters} characters of base64."
    return {"type": "string", **doc}
