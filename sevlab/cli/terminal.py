"""What is printed: JSON, and colour where there is a terminal to show it."""

from __future__ import annotations

import sys

from ..layout.page import plain
from ..layout.span import INK, TINTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..layout.page import Paint


def say_json(data: dict[str, Any]) -> None:
    """Print an object as JSON. A value that is an iterator is printed as a list, of which only one item is kept."""
    import json
    from collections.abc import Iterator

    def lines(value: Any, depth: int) -> str:
        return json.dumps(value, indent=2).replace("\n", "\n" + "  " * depth)  # a text in JSON has no line break

    before = "{"
    for key, value in data.items():
        print(f"{before}\n  {json.dumps(key)}: ", end="")
        if isinstance(value, Iterator):
            opening = "["
            for item in value:
                print(f"{opening}\n    {lines(item, 2)}", end="")
                opening = ","
            print("[]" if opening == "[" else "\n  ]", end="")
        else:
            print(lines(value, 1), end="")
        before = ","
    print("{}" if before == "{" else "\n}")


def painter() -> Paint:
    """Return how to colour text: by field on a terminal, not at all in a pipe or when NO_COLOR is set."""
    if not sys.stdout.isatty():
        return plain
    from rich.console import Console
    from rich.style import Style

    console = Console()
    system = console.color_system
    if system is None or console.no_color:  # rich knows a terminal's colours even where NO_COLOR forbids them
        return plain
    from rich.color import ColorSystem

    depth = {"standard": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT}.get(system, ColorSystem.TRUECOLOR)
    styles = {tint: Style(color=INK, bgcolor=colour) for tint, colour in TINTS.items()}
    return lambda text, tint: styles[tint].render(text, color_system=depth)
