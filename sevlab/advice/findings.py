"""Advice: every advisory, judged for one platform, and what it looks like."""

from __future__ import annotations

from collections import namedtuple

from ..advisories import UNKNOWN
from ..layout.span import Explainable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..layout.views import Block, View
    from .platform import Platform

APPLIES, CURED, NOT_AFFECTED, NOT_NAMED = "applies", "cured", "not affected", "not named"
#: Every state, the worst first, and what it means.
STATES = {
    APPLIES: "the platform has it, and nothing that is known here cures it",
    UNKNOWN: "what was given does not decide it; the words say what would tell",
    NOT_NAMED: "its sources name other products alone, which is not the same as safe",
    CURED: "a version, a TCB or a bit cures it",
    NOT_AFFECTED: "it cannot hit this technology",
}
_COLOURS = {APPLIES: "pink", UNKNOWN: "yellow", NOT_NAMED: "grey", CURED: "green", NOT_AFFECTED: "green"}


class Finding(namedtuple("Finding", "advisory state words accepted", defaults=(False,))):
    """One advisory, its state (a key of :data:`STATES`) and why. ``accepted``: the owner knows and bears it."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """The state, and whether it was accepted."""
        return f"{self.state}, accepted" if self.accepted else str(self.state)

    @property
    def advice(self) -> str:
        """Why, and what the guest's owner can look at where that is still to be done."""
        is_done = self.state in (CURED, NOT_AFFECTED)
        return str(self.words) if is_done else f"{self.words} Look at: {self.advisory.check}."

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready data."""
        return {"state": self.state, "why": self.words, "accepted": self.accepted, **self.advisory.as_dict()}


class Advice(Explainable):
    """Every advisory, judged for one platform: ``findings`` in the order of the advisories."""

    def __init__(self, platform: Platform, findings: list[Finding]) -> None:
        self.platform, self.findings = platform, findings

    def __getitem__(self, key: str) -> Finding:
        return next(one for one in self.findings if one.advisory.key == key)

    def of(self, *states: str) -> list[Finding]:
        """Return the findings in these states that were not accepted."""
        return [one for one in self.findings if one.state in states and not one.accepted]

    @property
    def applies(self) -> bool:
        """Whether any vulnerability applies that was not accepted."""
        return bool(self.of(APPLIES))

    @property
    def is_certain(self) -> bool:
        """Whether nothing applies and nothing is unknown, but for what was accepted."""
        return not self.of(APPLIES, UNKNOWN)

    @property
    def words(self) -> str:
        """The answer in one line."""
        count, open_ones = len(self.of(APPLIES)), len(self.of(UNKNOWN))
        unknown = f"{open_ones} cannot be decided" if open_ones else "none is left undecided"
        if count:
            return f"{count} known {'vulnerability applies' if count == 1 else 'vulnerabilities apply'}; {unknown}"
        return f"No known vulnerability is seen to apply; {unknown}"

    def as_dict(self) -> dict[str, Any]:
        """Return the advice as JSON-ready data."""
        return {
            "words": self.words,
            "platform": dict(self.platform.words),
            "told": list(self.platform.told),
            "findings": [one.as_dict() for one in self.findings],
        }

    def brief(self) -> dict[str, Any]:
        """Return the answer and the keys of what applies or is unknown, as JSON-ready data for another page."""
        open_ones = {state: [one.advisory.key for one in self.of(state)] for state in (APPLIES, UNKNOWN)}
        return {"words": self.words, **open_ones}

    def section(self, command: str) -> list[Block]:
        """Return a short section for another page: those that apply or are unknown, a line each.

        *command* is what tells the whole.
        """
        from ..layout.views import Code, Heading, Paragraph, Table

        listed = [*self.of(APPLIES), *self.of(UNKNOWN)]
        rows, colours = [[one.state, one.advisory.short] for one in listed], [_COLOURS[one.state] for one in listed]
        table = [Table(["state", "vulnerability"], rows, colours=colours)] if rows else []
        return [Heading("Known vulnerabilities"), *table, Paragraph(f"{self.words}. What tells more:"), Code(command)]

    def explain(self) -> View:
        """Show the answer, what it was worked out from, and every advisory, the worst first."""
        from ..layout.views import Banner, Heading, Paragraph, Table, View, narrow

        ordered = sorted(self.findings, key=lambda one: list(STATES).index(one.state))
        rows = [
            [
                one.shown.replace(", ", ",\n"),
                narrow(one.advisory.name, 34),
                one.advice,
            ]
            for one in ordered
        ]
        present = {one.state for one in ordered}
        colour = "pink" if self.applies else "green" if self.is_certain else "yellow"
        return View(
            Banner(self.words, colour),
            Heading("Judged by"),
            Table(["what", "value"], self.platform.words),
            *(Paragraph(f"{told}.") for told in self.platform.told),
            Heading("Advisories"),
            Table(["state", "vulnerability", "why"], rows, colours=[_COLOURS[one.state] for one in ordered]),
            Table(["state", "meaning"], [[state, STATES[state]] for state in STATES if state in present]),
        )
