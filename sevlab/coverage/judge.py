"""Labels for every part of a configuration."""

from __future__ import annotations

from collections import namedtuple
from functools import lru_cache

from ..arguments import checked
from ..capture.found import shown
from ..layout.span import Explainable
from .configuration import Part, Setup, of_case, of_command_line, of_domain
from .rules import BREAKS, MEASURED, NOT_MEASURED, find_rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..case import Case
    from ..layout.views import View

#: How a label is told apart without colour, and its colour.
MARKS = {MEASURED: ("M", "green"), NOT_MEASURED: ("-", "grey"), BREAKS: ("!", "pink")}
#: Most parts shown; a hostile text can hold more than anyone reads.
SHOWN_LIMIT = 2000
_WORDS_LIMIT, _CELL = 160, 44


class Line(namedtuple("Line", "words path label reason")):
    """One part of a configuration with its label and the reason, one sentence or two."""

    __slots__ = ()

    @property
    def mark(self) -> str:
        """The label as one character: M, - or !."""
        return MARKS[self.label][0]

    @property
    def colour(self) -> str:
        """The label as a colour of the common palette."""
        return MARKS[self.label][1]


class Coverage(Explainable):
    """A configuration, labelled. ``lines`` are in the configuration's order; what is absent comes last."""

    def __init__(self, parts: Sequence[Part], setup: Setup, firmware: str = "") -> None:
        self.setup = setup
        #: What the firmware makes of a kernel that is measured: one sentence. "" where none is.
        self.firmware = firmware

        @lru_cache(maxsize=4096)
        def rule(path: str) -> tuple[str, str]:
            found = find_rule(path, setup.holds)
            return found.label, found.reason

        self.lines = [Line(part.words, part.path, *rule(part.path)) for part in parts]

    def count(self, label: str) -> int:
        """Return how many parts have a label."""
        return sum(line.label == label for line in self.lines)

    @property
    def broken(self) -> list[Line]:
        """The parts that break the measurement."""
        return [line for line in self.lines if line.label == BREAKS]

    def explain(self) -> View:
        """Show every part with its label and reason: M measured, - not measured, ! breaks measurement."""
        from ..layout.views import Banner, Paragraph, Table, View

        lines = self.lines[:SHOWN_LIMIT]
        rows = [[line.mark, line.label, _cell(line.words), line.reason] for line in lines]
        counts = ", ".join(f"{self.count(label)} {label} [{mark}]" for label, (mark, _) in MARKS.items())
        words = "Nothing here breaks the measurement" if not self.broken else "Something here breaks the measurement"
        table = Table(["", "label", "part", "why"], rows, [line.colour for line in lines], mono=[0, 2])
        rest = [Paragraph(f"{len(self.lines) - len(lines)} more parts are not shown.")] * (len(lines) < len(self.lines))
        said = [Paragraph(f"Firmware: {self.firmware}.")] if self.firmware else []
        return View(Banner(f"{words}: {counts}", "pink" if self.broken else "green"), *said, table, *rest)

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON-ready data."""
        return {
            "status": "breaks" if self.broken else "covered",
            "setup": self.setup._asdict(),
            "counts": {label: self.count(label) for label in MARKS},
            "parts": [line._asdict() for line in self.lines],
            **({"firmware": self.firmware} if self.firmware else {}),
        }


def _cell(words: str) -> str:
    """Return a part's words for a narrow column. The indent of a part that belongs to the one above stays."""
    bare = words.lstrip(" ")
    indent = words[: len(words) - len(bare)]
    text = indent + shown(bare, _WORDS_LIMIT)
    return "\n".join(text[start : start + _CELL] for start in range(0, len(text), _CELL))


@checked
def cover_command_line(text: str) -> Coverage:
    """Label a QEMU command line. Raises InputError for what is none, UnsupportedError for SEV-SNP."""
    return Coverage(*of_command_line(text))


@checked
def cover_domain(text: str) -> Coverage:
    """Label a libvirt domain XML. Raises InputError for what is none, UnsupportedError for SEV-SNP."""
    return Coverage(*of_domain(text))


@checked
def cover_case(case: Case) -> Coverage:
    """Label the inputs of a case."""
    return Coverage(*of_case(case))
