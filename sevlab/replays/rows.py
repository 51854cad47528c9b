"""Every incident that is done again, by its key."""

from __future__ import annotations

from .launches import LAUNCHES
from .messages import MESSAGES
from .replay import Replay
from .reports import REPORTS

#: The rows of all modules.
REPLAYS: dict[str, Replay] = dict(sorted((row.key, row) for row in (*LAUNCHES, *REPORTS, *MESSAGES)))
