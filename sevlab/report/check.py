"""One line of the checklist."""

from __future__ import annotations

import re
from collections import namedtuple

PASS, FAIL, NOT_DONE = "pass", "fail", "not done"
_DIGITS, _LINE = re.compile(r" ([0-9a-f]{48,})"), re.compile(".{1,64}")


class Check(namedtuple("Check", "name state note incident", defaults=("",))):
    """One check: its name, "pass", "fail" or "not done", and why in a sentence.

    ``incident`` is the key of the public incident (:data:`sevlab.INCIDENTS`) that it resembles, "" for none.
    """

    __slots__ = ()

    @property
    def words(self) -> str:
        """The sentence, and the incident by name."""
        from ..data import INCIDENTS

        return f"{self.note}. It resembles {INCIDENTS[self.incident].name}" if self.incident else str(self.note)

    @property
    def lines(self) -> str:
        """The sentence with long runs of hex digits on lines of their own, 64 to a line."""
        return _DIGITS.sub(lambda found: "\n" + "\n".join(_LINE.findall(found[1])), self.words)

    def as_dict(self) -> dict[str, str]:
        """Return the check as JSON-ready data, the incident by its name."""
        from ..data import INCIDENTS

        return {**self._asdict(), "incident": INCIDENTS[self.incident].name if self.incident else ""}


def passed(name: str, note: str) -> Check:
    """Return a check that passed."""
    return Check(name, PASS, note)


def failed(name: str, note: str, incident: str = "") -> Check:
    """Return a check that failed."""
    return Check(name, FAIL, note, incident)


def not_done(name: str, note: str, incident: str = "") -> Check:
    """Return a check that was not made."""
    return Check(name, NOT_DONE, note, incident)


def judged(name: str, faults: list[str], note: str) -> Check:
    """Return a check that failed for *faults*, or passed with *note* when there are none."""
    return failed(name, "; ".join(faults)) if faults else passed(name, note)
