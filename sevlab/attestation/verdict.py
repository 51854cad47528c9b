"""The verdict of a list of checks, for a chain, a session, a secret, an ID block and a report alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..launch.verify import CANNOT_TELL, COLOURS, MATCH, MISMATCH, NOT_CHECKED, NOT_DECIDED, Check
from ..layout.span import Explainable
from ..layout.views import Banner, Table


def judged(name: str, fault: str, note: str) -> Check:
    """Return a mismatch because of *fault*; without one, a match with *note*."""
    return Check(name, MISMATCH, fault) if fault else Check(name, MATCH, note)


def check_table(checks: Iterable[Check], what: str = "check") -> Table:
    """Show the name, state and note of checks; *what* heads the names."""
    rows = [[check.name, check.state, check.note] for check in checks]
    return Table([what, "state", "note"], rows, colours=[COLOURS[state] for _, state, _ in rows])


class Checklist(Explainable):
    """What follows from checks. A subclass has ``checks``, ``words`` (the answer in a line) and ``explain()``."""

    #: The names of the checks without which nothing is decided.
    decisive: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:

        @property
        def checks(self) -> Sequence[Check]: ...
        @property
        def words(self) -> str: ...

    def __getitem__(self, name: str) -> Check:
        return {check.name: check for check in self.checks}[name]

    @property
    def failed(self) -> list[Check]:
        """The checks that found a mismatch, or cannot tell because something is missing."""
        return [check for check in self.checks if check.state in (MISMATCH, CANNOT_TELL)]

    @property
    def status(self) -> str:
        """ "match", "mismatch", or "not_decided" when nothing is wrong and something decisive is missing."""
        if any(check.state == MISMATCH for check in self.failed):
            return MISMATCH
        undecided = bool(self.failed) or any(self[name].state == NOT_CHECKED for name in self.decisive)
        return NOT_DECIDED if undecided else MATCH

    @property
    def matches(self) -> bool:
        """Whether the status is "match"."""
        return self.status == MATCH

    def banner(self) -> Banner:
        """Show the answer in a line."""
        return Banner(self.words, "green" if self.matches else "pink")

    def as_dict(self) -> dict[str, object]:
        """Return status and checks as JSON-ready data."""
        return {"status": self.status, "checks": [check.as_dict() for check in self.checks]}


def names_of(checks: Iterable[Check]) -> str:
    """Return the names of checks, with commas between them."""
    return ", ".join(check.name for check in checks)
