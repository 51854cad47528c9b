"""The terminal side of a command: what it prints, streams that are closed or break, and signals that end it."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import time
from contextlib import contextmanager, suppress

from ..errors import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType
    from typing import Any, Protocol, TextIO

    from ..layout.views import Block, Paint, Table, View

    class Explained(Protocol):
        """What has JSON-ready data and a view."""

        def as_dict(self) -> dict[str, object]: ...
        def explain(self) -> View: ...


#: Lines of a terminal; and how the states begin that an answer names one by one.
SCREEN, BAD = 24, ("mismatch", "cannot tell", "applies")
#: The last line of a view about a platform.
ADVISE = "sevlab advise lists the known vulnerabilities of a platform."
#: The streams that a command writes to, by their descriptors.
NAMES = {1: "stdout", 2: "stderr"}
#: Those that end a program and can be handled. (Windows does not have them all.)
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
#: A signal that comes so soon after the first (in seconds) belongs to it: service managers send two.
_TOGETHER = 2.0


def columns(to: TextIO | None = None, piped: int = 0) -> int:
    """Return how wide to write: COLUMNS or the terminal's width, from 40 to 120; *piped* where there is no terminal."""
    stream, given = to or sys.stdout, os.environ.get("COLUMNS", "")
    if not stream.isatty():
        return piped
    wide = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    with suppress(OSError, ValueError):
        wide = wide or os.get_terminal_size(stream.fileno()).columns
    return max(40, min(wide or 80, 120))  # a serial console says 0


def say(*lines: str, to: TextIO | None = None, whole: bool = False) -> None:
    """Print lines, on standard output unless *to* is another stream. A line break within one is shown as ``\\n``.

    A terminal gets them broken between words, except lines to be copied *whole*: commands, rows of data.
    """
    shown, wide = [escaped(line) for line in lines], 0 if whole else columns(to)
    if wide and any(len(line) > wide for line in shown):
        from ..layout.views import filled

        shown = [part for line in shown for part in filled(line, wide)]
    print(*shown, sep="\n", file=to)


def warn(words: str) -> None:
    """Print a warning on standard error."""
    say(f"WARNING: {words}", to=sys.stderr)


def show(view: Block, to: TextIO | None = None) -> None:
    """Print a view. Its blocks have escaped what they hold, before it is coloured."""
    print(view.text(painter(to), columns(to)), file=to)


def tell(thing: Explained, args: Namespace, *last: Block) -> None:
    """Print the data of *thing* as JSON, or else its view, and *last* below it."""
    tell_either(args, thing.as_dict, thing.explain, *last)


def tell_either(args: Namespace, data: Callable[[], object], view: Callable[[], View], *last: Block) -> None:
    """Print *data* as JSON, or else *view*, and *last* below it."""
    if args.json:
        say_json(data())
    else:
        show_answer(view(), args, *last)


def show_answer(view: View, args: Namespace, *last: Block) -> None:
    """Print a view and *last*; on a terminal, without the --verbose that a verb has, on one screen if that can be.

    Then the verdict comes first, and after it the checks that fail, or else those that were required or are missing.
    The others are counted. Words are cut as far as the screen needs it, names, values and warnings never.
    """
    from functools import cache

    from ..layout.views import Heading, Paragraph, View

    def text(blocks: Iterable[Block], draw: Callable[[Block], str]) -> str:
        made, was_line = "", False
        for block in blocks:
            part = draw(block)
            is_line = isinstance(block, Paragraph) and "\n" not in part
            made += ("\n" if made and not (is_line and was_line) else "") + part + "\n"
            was_line = is_line
        return made

    def fits(*blocks: Block) -> bool:
        return text(blocks, drawn).count("\n") < SCREEN  # a line is the prompt's

    def tail(left_out: list[list[Block]]) -> list[Block]:
        titles = "; ".join(one[0].title for one in left_out if isinstance(one[0], Heading))
        return [*last, Paragraph(f"--verbose shows the rest{': ' * bool(titles)}{titles.removesuffix('?')}.")]

    wide = columns()
    drawn: Callable[[Any], str] = cache(lambda block: block.text(width=wide))
    asked = [getattr(args, name, name == "verbose") for name in ("verbose", "show_keys", "show_secret")]
    if not wide or any(asked) or fits(view, *last):
        show(View(view, *last))
        return
    sections: list[list[Block]] = [[]]
    for one in view.flat():
        sections += [[]] if isinstance(one, Heading) else []
        sections[-1].append(one)
    whole, details = _short(sections, (*BAD, "unknown") if getattr(args, "strict", False) else BAD)
    answer = [_cut(block, wide, 1) for block in whole]
    for i, block in enumerate(whole):
        for most in (0, 5, 4, 3, 2, 1):
            answer[i] = _cut(block, wide, most)
            if fits(*answer, *tail(details)):
                break
    for section in list(details):
        others = [one for one in details if one is not section]
        if fits(*answer, *section, *tail(others)):
            answer, details = [*answer, *section], others
    paint = painter()
    print(text([*answer, *tail(details)], lambda block: block.text(paint, wide)), end="")


#: Hex of 16 bytes and more, in one line or several, or what is shown of it: the first 4 bytes say enough.
_LONG_HEX = r"\s([0-9a-f]{8})[0-9a-f]{8,}(?:\.\.\.|(?<=[0-9a-f]{32})(?:\n[0-9a-f]+\b)*)"


def _cut(block: Block, wide: int, most: int) -> Block:
    """Return a block in which no words take more than *most* lines (0: any number). Answers and values stay whole."""
    from textwrap import wrap

    from ..layout.views import Paragraph, Quote, Table

    def cut(words: str, width: int) -> str:
        lines = wrap(words, width, max_lines=most, placeholder=" ...", break_on_hyphens=False) if most else [words]
        short = "\n".join(lines)
        whole, dot, begun = short.rpartition(". ")
        return f"{whole}. ..." if dot and begun.endswith(" ...") and begun.count(" ") < 4 else short

    if isinstance(block, Paragraph) and not block.words.startswith(("WARNING", "Beware")):
        return Paragraph(cut(block.words, wide))
    if isinstance(block, Quote):
        return Quote(block.label, cut(block.words, wide - 6))
    if isinstance(block, Table) and len(block.header) - 1 not in block.mono:
        title = block.text(width=wide).partition("\n")[0]
        last = wide - title.rfind(block.header[-1].split()[0])
        rows = [[*row, cut(words, last)] for *row, words in block.rows]
        return Table(block.header, rows, block.colours, list(block.mono), block.wrapped)
    return block


def _short(sections: list[list[Block]], wrong: tuple[str, ...]) -> tuple[list[Block], list[list[Block]]]:
    """Return the blocks of an answer and the sections of details.

    An answer is what comes before any title, the verdict of each section, one table of the checks whose state is
    *wrong*, and whatever begins as an answer or is called one.
    """
    from ..layout.views import VERDICTS, Banner, Heading, Paragraph, Table

    answer: list[Block] = []
    notes: list[Block] = []
    details: list[list[Block]] = []
    verdicts: list[list[str]] = []
    tables: list[Table] = []
    vital = ("Beware", *VERDICTS)
    for section in sections:
        rest: list[Block] = []
        before = len(tables)
        for one in section:
            header = getattr(one, "header", ())
            if isinstance(one, Table) and "state" in header and "meaning" not in header:
                tables.append(one)
            elif isinstance(one, Paragraph) and one.words.startswith("NOT" if section is sections[0] else vital):
                notes.append(one)
            elif section is sections[0]:
                answer.append(one)
            elif isinstance(one, Banner) and isinstance(section[0], Heading):
                verdicts.append([section[0].title, one.words])
            elif "answer" in header:
                notes += [section[0], one]
            else:
                rest.append(one)
        details += [rest] * (len(rest) > 1 and len(tables) == before)
    answer += [Table(["part", "verdict"], verdicts, mono=[0, 1])] * bool(verdicts)
    return [*answer, *_checks(tables, wrong), *notes], details


def _checks(tables: list[Table], wrong: tuple[str, ...]) -> list[Block]:
    """Return one table of the checks that matter, with name, state and why, and how many others there are."""
    from textwrap import shorten

    from ..layout.views import Paragraph, Table

    shown, colours, hidden = [], [], []
    states = [[row[table.header.index("state")] for row in table.rows] for table in tables]
    fails = any(state.lower().startswith(wrong) for column in states for state in column)
    for table, column in zip(tables, states, strict=True):
        name = int(table.header[0] == "state")
        # If nothing fails: of what is checked and what is not, the fewer. They were required, or are missing.
        fewer = "match" if column.count("not checked") > column.count("match") else "not checked"
        for row, state, colour in zip(table.rows, column, table.colours, strict=True):
            if state.lower().startswith(wrong if fails else fewer):
                begun = [value[1] for value in re.finditer(_LONG_HEX, row[-1])]
                # Values that begin alike stay whole: where they differ is what matters.
                note = row[-1] if len({*begun}) < len(begun) else re.sub(_LONG_HEX, r" \1...", row[-1])
                shown.append([shorten(row[name], 28, placeholder=" ..."), state, note])
                colours.append(colour)
            else:
                hidden.append(state)
    counts = ", ".join(f"{hidden.count(state)} {state}" for state in dict.fromkeys(hidden))
    blocks: list[Block] = [Paragraph(f"{'The others' if shown else 'Checks'}: {counts}.")] * bool(counts)
    return [Table([table.header[name], "state", table.header[-1]], shown, colours), *blocks] if shown else blocks


def say_json(data: Any, indent: int | None = 2) -> None:
    """Print data as JSON, in printable ASCII; without an *indent* in one line.

    A value of an object that is an iterator is printed as a list, of which only one item is kept at a time.
    """
    import json
    from collections.abc import Iterator

    def lines(value: Any, depth: int) -> str:
        # JSON allows a raw DEL in a string. A string in JSON has no line break.
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
    """Print words on standard error, over its last line."""
    print(f"\r{escaped(words)}\x1b[K", end="", file=sys.stderr, flush=True)


def is_plain(to: TextIO) -> bool:
    """Return whether a stream takes text alone: it is no terminal, or one that does nothing but print."""
    return not to.isatty() or os.environ.get("TERM") in ("dumb", "unknown")


def painter(to: TextIO | None = None) -> Paint:
    """Return how to colour text: by field on a terminal, not at all in a pipe or when NO_COLOR is set."""
    from ..layout.views import plain

    stream = sys.stdout if to is None else to
    if is_plain(stream) or os.environ.get("NO_COLOR"):
        return plain
    from rich.console import Console
    from rich.style import Style

    from ..layout.span import COLOURS, INK

    system = Console(file=stream).color_system
    if system is None:
        return plain
    from rich.color import ColorSystem

    depth = {"standard": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT}.get(system, ColorSystem.TRUECOLOR)
    styles = {name: Style(color=INK, bgcolor=value) for name, value in COLOURS.items()}
    return lambda text, colour: styles[colour].render(text, color_system=depth)


class Sink(io.FileIO):
    """A descriptor that is written to until that fails. The ``error`` is kept, and the rest is dropped.

    So a verb runs to its end, and its exit status is right even when its output is lost.
    """

    error: OSError | None = None

    def write(self, raw: bytes) -> int:  # type: ignore[override]
        """Write; return how many bytes are dealt with."""
        try:
            while self.error is None:
                if (done := super().write(raw)) is not None:
                    return done
                from select import select

                select([], [self], [])  # a pipe that does not block, and is full
        except OSError as error:
            self.error = error
        return len(raw)

    @property
    def is_closed(self) -> bool:
        """Whether the stream was closed when the process began: :func:`_fill_closed` put something read-only there."""
        try:
            os.write(self.fileno(), b"")
        except OSError as error:
            return error.errno == errno.EBADF
        return False


@contextmanager
def careful_streams() -> Iterator[Callable[[], list[OSError | None]]]:
    """Replace standard output and error by streams that never raise, and that escape what no encoding can hold.

    Yields a function that flushes both and returns, for each, the error that stopped it, or None. A stream that was
    closed from the start counts as failed. Streams that a caller has put there are left alone.
    """
    _fill_closed()
    before = {number: getattr(sys, name) for number, name in NAMES.items()}
    sinks = {
        number: Sink(number, "w", closefd=False)
        for number, stream in before.items()
        if stream is getattr(sys, f"__{NAMES[number]}__")
    }
    for number, sink in sinks.items():
        setattr(sys, NAMES[number], _text(sink, before[number]))

    def finish() -> list[OSError | None]:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        return [sinks[number].error if number in sinks else None for number in NAMES]

    try:
        yield finish
    finally:
        finish()
        for number, stream in before.items():
            setattr(sys, NAMES[number], stream)


def output_is_closed() -> bool:
    """Return whether this process was started without a standard output."""
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(sink, Sink) and sink.is_closed


def why(error: OSError) -> str:
    """Return why a stream cannot be written; "" if its reader has seen enough (head, less)."""
    if error.errno == errno.EPIPE:
        return ""
    return "it is closed" if error.errno == errno.EBADF else (error.strerror or "error").lower()


def _fill_closed() -> None:
    """Open something read-only for each closed standard stream. Otherwise a file would get its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDONLY)


def _text(sink: Sink, like: TextIO | None) -> TextIO:
    """Return a text stream over a sink, with the settings of another stream; None is a closed one."""
    return io.TextIOWrapper(
        io.BufferedWriter(sink),  # type: ignore[type-var]
        encoding=getattr(like, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(like, "line_buffering", False),
        write_through=getattr(like, "write_through", False),
    )


class Ended(BaseException):
    """A signal ended the command; ``status`` is what a shell reports for that."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status, self.name = 128 + number, signal.Signals(number).name


@contextmanager
def clean_end(clean: Callable[[], object]) -> Iterator[None]:
    """Let signals that would end the program raise :class:`Ended` in here; at the end call *clean*, undisturbed.

    A signal that is ignored (nohup), or that somebody else handles, stays so. Python handles signals in the main thread
    only; in any other, nothing changes.
    """
    owner, first, closing = os.getpid(), 0.0, False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if os.getpid() != owner:  # a worker of a search: it has nothing to take away
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not closing and (not first or time.monotonic() - first > _TOGETHER):
            first = time.monotonic()
            raise Ended(number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not closing:
            signal.default_int_handler(number, frame)

    before: dict[int, Any] = {}
    try:
        try:
            for number in (signal.SIGINT, *ENDING):
                usual, ours = (signal.default_int_handler, interrupt) if number == signal.SIGINT else (0, end)
                if signal.getsignal(number) == usual:
                    with suppress(ValueError):  # this is not the main thread
                        before[number] = signal.signal(number, ours)
            yield
        except RuntimeError as error:
            # While a class is being made, Python 3.11 wraps whatever is raised, a signal's exception too.
            if isinstance(error.__cause__, Ended | KeyboardInterrupt):
                raise error.__cause__ from None
            raise
        finally:
            closing = True
    finally:
        closing = True  # again: a signal may have come before the first
        clean()
        for number, handler in before.items():
            signal.signal(number, handler)
