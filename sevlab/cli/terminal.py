"""What is printed: lines, pages and JSON, safe to show, with colour where there is a terminal for it.

Every verb prints through this module alone. Words of strangers (names of files, whatever a case or a host says) may be
part of anything, so they are escaped here, and in the blocks of a page.
"""

from __future__ import annotations

import sys

from ..errors import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol, TextIO

    from ..layout.views import Paint

    class Page(Protocol):
        """What prints as text: a view, or what explains itself as one."""

        def text(self, paint: Paint = ...) -> str: ...

    class Explained(Protocol):
        """What has JSON-ready data and a page."""

        def as_dict(self) -> dict[str, Any]: ...
        def explain(self) -> Page: ...


#: The last line of a page about a platform.
ADVISE = "sevlab advise lists the known vulnerabilities of a platform."


def say(*lines: str, to: TextIO | None = None) -> None:
    """Print lines, on standard output unless told otherwise. A line break within one is shown as ``\\n``."""
    print(*(escaped(line) for line in lines), sep="\n", file=to)


def warn(words: str) -> None:
    """Print a warning on standard error."""
    say(f"WARNING: {words}", to=sys.stderr)


def show(page: Page, to: TextIO | None = None) -> None:
    """Print a page. Its blocks have escaped what they hold, before it is coloured."""
    print(page.text(painter(to)), file=to)


def tell(thing: Explained, as_json: bool) -> None:
    """Print what explains itself: as JSON, or as its page."""
    if as_json:
        say_json(thing.as_dict())
    else:
        show(thing.explain())


def say_json(data: Any, indent: int | None = 2) -> None:
    """Print data as JSON, in printable ASCII; without an *indent* in one line.

    A value of an object that is an iterator is printed as a list, of which only one item is kept at a time.
    """
    import json
    from collections.abc import Iterator

    def lines(value: Any, depth: int) -> str:
        # JSON lets DEL stand in a string as it is. A text in JSON has no line break.
        return json.dumps(value, indent=indent).replace("\x7f", "\\u007f").replace("\n", "\n" + "  " * depth)

    if not isinstance(data, dict) or not any(isinstance(value, Iterator) for value in data.values()):
        print(lines(data, 0))
        return
    before = "{"
    for key, value in data.items():
        print(f"{before}\n  {lines(key, 0)}: ", end="")
        if isinstance(value, Iterator):
            opening = "["
            for item in value:
                print(f"{opening}\n    {lines(item, 2)}", end="")
                opening = ","
            print("[]" if opening == "[" else "\n  ]", end="")
        else:
            print(lines(value, 1), end="")
        before = ","
    print("\n}")


def say_over(words: str) -> None:
    """Print words on standard error, over those that stand on its last line."""
    print(f"\r{escaped(words)}\x1b[K", end="", file=sys.stderr, flush=True)


def painter(to: TextIO | None = None) -> Paint:
    """Return how to colour text: by field on a terminal, not at all in a pipe or when NO_COLOR is set."""
    from ..layout.span import COLOURS, INK
    from ..layout.views import plain

    stream = sys.stdout if to is None else to
    if not stream.isatty():
        return plain
    from rich.console import Console
    from rich.style import Style

    console = Console(file=stream)
    system = console.color_system
    if system is None or console.no_color:  # rich knows a terminal's colours even where NO_COLOR forbids them
        return plain
    from rich.color import ColorSystem

    depth = {"standard": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT}.get(system, ColorSystem.TRUECOLOR)
    styles = {name: Style(color=INK, bgcolor=value) for name, value in COLOURS.items()}
    return lambda text, colour: styles[colour].render(text, color_system=depth)
