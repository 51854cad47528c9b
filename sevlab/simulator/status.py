"""How the simulated firmware and processor refuse.

A command of the firmware ends with a status; each that is not SUCCESS is a :class:`FirmwareError`. The processor checks
accesses by itself, against the reverse map table, and refuses with an :class:`RmpFault`.
"""

from __future__ import annotations

from ..errors import SevlabError
from ..formats.status import NUMBER, status_text


class FirmwareError(SevlabError):
    """The firmware refused a command. ``name`` and ``status`` (a number) are its answer; ``why`` is for people."""

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(name, why)
        self.name, self.status, self.why = name, NUMBER[name], why

    def __str__(self) -> str:
        return status_text(self.name) + (f": {self.why}" if self.why else "")


class RmpFault(SevlabError):
    """The processor refused an instruction or an access. ``name`` says how, ``why`` is for people."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def demand(right: object, name: str, why: str = "") -> None:
    """Raise :class:`FirmwareError` unless *right*."""
    if not right:
        raise FirmwareError(name, why)
