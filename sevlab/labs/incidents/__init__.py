"""Public incidents reproduced: for each a bundle with what the reporter had, the same to the last byte each time.

:mod:`.replays` makes them from the rows of data/replays.toml. docs/incidents.md explains how to add one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from ...cases.bundle import pack_case
from ...data import INCIDENTS
from ...diagnosis.case import CaseDiagnosis
from ...layout.views import Paragraph, Table, View
from .replays import FILES, REPLAYS

__all__ = ["CAUSES", "FILES", "NOTEBOOKS", "REPLAYS", "pack_replay", "published", "write_replays"]
#: Kinds of causes, in the order in which they are shown.
CAUSES = (
    *("registers", "pages", "firmware image", "kernel hashes", "numbers"),
    *("keys", "certificates", "report", "ID block", "kernel"),
)
#: The notebooks of notebooks/incidents, and the incidents with a bundle in each.
NOTEBOOKS = {
    name: [key for key in REPLAYS if INCIDENTS[key].notebook == name]
    for name in sorted({INCIDENTS[key].notebook for key in REPLAYS})
}


def pack_replay(key: str) -> bytes:
    """Return the bundle of an incident. It contains keys if the case needs them; they are visibly samples."""
    row = REPLAYS[key]
    with tempfile.TemporaryDirectory(prefix="sevlab-") as folder:
        case, path = row.case(Path(folder)), Path(folder) / row.file_name
        pack_case(case, str(path), with_keys="tk" in case.inputs)
        return path.read_bytes()


def write_replays(folder: str | Path, keys: Iterable[str] = ()) -> None:
    """Write the bundles of *keys* (default: all) into *folder*, which is made if it is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys or REPLAYS:
        (folder / REPLAYS[key].file_name).write_bytes(pack_replay(key))


def published(key: str, result: CaseDiagnosis | None = None) -> View:
    """Show the published digests of an incident, and beside them those of a replay's *result*.

    The published ones are of the reporter's own firmware, which we do not have. So they cannot be computed here, and
    none must equal one of ours: only the difference between them is reproduced.
    """
    incident = INCIDENTS[key]
    rows = [["public", what, value] for what, value in incident.digests.items()]
    verdict = result.verdict if result is not None else None
    if verdict is not None and verdict.digest is not None:
        rows += [["ours", "the report", verdict.digest.reported.hex()]]
        rows += [["ours", "computed from the inputs", verdict.digest.computed.hex()]]
    rows = [[whose, what, f"{digits[:48]}\n{digits[48:]}"] for whose, what, digits in rows]
    words = (
        f"Public: {incident.source}, {incident.date}. These are digests of the reporter's firmware, which we do not "
        "have, so they cannot be computed here. Ours are of the sample firmware: they reproduce the change, not the "
        "digest."
    )
    return View(Table(["whose", "what", "launch digest"], rows, mono=[2]), Paragraph(words))
