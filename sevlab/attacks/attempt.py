"""A command that may be refused: an attacker tries, and looks at the answer."""

from __future__ import annotations

from collections import namedtuple

from ..simulator.snp.rmp import RmpFault
from ..simulator.status import FirmwareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Attempt(namedtuple("Attempt", "result caught")):
    """What a command returned, and None; or None, and the refusal."""

    __slots__ = ()

    @property
    def works(self) -> bool:
        """True when nobody refused."""
        return self.caught is None

    def __repr__(self) -> str:
        if self.caught is not None:
            return f"REFUSED: {self.caught}"
        return "It works" + ("" if self.result is None else f": {self.result!r}")


def attempt(command: Callable[..., Any], *arguments: Any, **named: Any) -> Attempt:
    """Call a command of a simulated platform. A refusal of firmware or processor is returned, not raised."""
    try:
        return Attempt(command(*arguments, **named), None)
    except (FirmwareError, RmpFault) as refusal:
        return Attempt(None, refusal)
