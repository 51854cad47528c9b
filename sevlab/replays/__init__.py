"""Public incidents done again: for each a bundle with what the reporter had, the same to the last byte each time.

``python -m sevlab.replays FOLDER`` writes the bundles. :mod:`.launches` has the rows about what was launched,
:mod:`.reports` those about who made a report, :mod:`.messages` those of SEV without SEV-SNP; :mod:`.replay` says what
a row is. :mod:`.published` has the digests that were told in public, and :mod:`.catalogue` the table of all incidents.
To add an incident, add its row (docs/incidents.md).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..bundle import pack_case
from .catalogue import KINDS, NOTEBOOKS, catalogue
from .published import published
from .replay import FILES, Replay
from .rows import REPLAYS
from .tasks import TASKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FILES",
    "KINDS",
    "NOTEBOOKS",
    "REPLAYS",
    "TASKS",
    "Replay",
    "catalogue",
    "pack_replay",
    "published",
    "write_replays",
]


def pack_replay(key: str) -> bytes:
    """Return the bundle of an incident. Keys are in it where the case needs them; they are visibly samples."""
    row = REPLAYS[key]
    with tempfile.TemporaryDirectory(prefix="sevlab-") as folder:
        case, path = row.case(Path(folder)), Path(folder) / row.file_name
        pack_case(case, str(path), with_keys="tk" in case.inputs)
        return path.read_bytes()


def write_replays(folder: str | Path, keys: Iterable[str] = ()) -> None:
    """Write bundles into *folder*, which is made when it is missing; all of them unless *keys* says which."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys or REPLAYS:
        (folder / REPLAYS[key].file_name).write_bytes(pack_replay(key))
