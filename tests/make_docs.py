"""Write the generated pages of ``docs/`` from declarations (``make docs``).

``layouts.md`` is the reference of all byte structures.
"""

from __future__ import annotations

import importlib
import pkgutil

import sevlab.formats
from sevlab.layout.bits import Bits, title
from sevlab.layout.structure import Layout
from tests.paths import DOCS

TARGET = DOCS / "layouts.md"

HEAD = """\
# Byte structures

Every structure that sevlab knows, generated from its declaration by `make docs`. Offsets and sizes are in bytes, bits
count from the least significant, and numbers are little-endian unless a row says otherwise.
"""


def declared(base: type) -> list[type]:
    """Every structure of one kind that the package declares, in the order of modules and declarations."""
    names = [module.name for module in pkgutil.iter_modules(sevlab.formats.__path__, "sevlab.formats.")]
    names.append("sevlab.simulator.snp_commands")
    things = [(name, thing) for name in names for thing in vars(importlib.import_module(name)).values()]
    return [
        thing
        for name, thing in things
        if isinstance(thing, type) and issubclass(thing, base) and thing.__module__ == name and thing.size
    ]


def section(kind: type) -> list[str]:
    """The heading, text and source of one structure."""
    text = (kind.__doc__ or "").partition("\n\n")[2]
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    size = "1 byte" if kind.size == 1 else f"{kind.size} bytes"
    return [f"## {kind.__name__}", f"{title(kind)}. {size}. Source: {kind.spec}.", *paragraphs]


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def layout_rows(kind: type[Layout]) -> list[list[str]]:
    return [[f"0x{row.offset:02x}", str(row.size), f"`{row.name}`", row.type.__name__, row.doc] for row in kind.rows]


def bits_rows(kind: type[Bits]) -> list[list[str]]:
    return [
        [row.position, "reserved" if row.reserved else f"`{row.name}`", row.doc, row.governs or "-", row.clear or "-"]
        for row in kind.rows
    ]


def reference() -> str:
    """The whole page."""
    parts = [HEAD.rstrip()]
    for kind in declared(Layout):
        parts += [*section(kind), table(["offset", "size", "field", "type", "meaning"], layout_rows(kind))]
    for kind in declared(Bits):
        header = ["bits", "name", "meaning when set", "governs", "while clear"]
        parts += [*section(kind), table(header, bits_rows(kind))]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    print(TARGET.relative_to(DOCS.parent))
