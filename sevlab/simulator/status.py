"""How the simulated firmware refuses, and the states it knows.

Sources: sev-launch 1.1 and 1.2.
"""

from __future__ import annotations

from ..errors import SevlabError
from ..formats.status import NUMBER, status_text

#: The first API whose measure has a context byte and a version, and whose secret's MAC covers the measure.
NEW_MESSAGES = (0, 17)
PLATFORM_STATES = ("UNINIT", "INIT", "WORKING")
GUEST_STATES = ("UNINIT", "LUPDATE", "LSECRET", "RUNNING", "SUPDATE", "RUPDATE", "SENT")


class FirmwareError(SevlabError):
    """The firmware refused a command. ``name`` and ``status`` (a number) are its answer; ``why`` is for people."""

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(name, why)
        self.name, self.status, self.why = name, NUMBER[name], why

    def __str__(self) -> str:
        return status_text(self.name) + (f": {self.why}" if self.why else "")


def demand(right: object, name: str, why: str = "") -> None:
    """Raise :class:`FirmwareError` unless *right*."""
    if not right:
        raise FirmwareError(name, why)
