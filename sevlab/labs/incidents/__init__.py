"""Public incidents reproduced: for each a bundle with what the reporter had, the same to the last byte each time.

:mod:`.replays` makes them from the rows of data/replays.toml. docs/incidents.md explains how to add one.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...cases.bundle import pack_case
from ...data import INCIDENTS
from ...layout.span import Explainable
from ...layout.views import Heading, Paragraph, Table, View
from .replays import FILES, REPLAYS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...data import Incident
    from ...diagnosis.case import CaseDiagnosis
    from ...layout.views import Block


__all__ = ["CAUSES", "FILES", "NOTEBOOKS", "REPLAYS", "catalogue", "pack_replay", "published", "write_replays"]
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
#: Text in a table is wrapped after so many characters.
_WIDTH = 32


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


@dataclass(frozen=True)
class Entry:
    """One incident: what was seen (or the lesson), and what is reproduced."""

    incident: Incident
    symptom: str
    reproduced: str
    has_bundle: bool

    @property
    def key(self) -> str:
        """The key of the incident."""
        return self.incident.key

    def row(self) -> list[str]:
        """Return the entry as a row of a table."""
        one = self.incident
        where = "\n".join(filter(None, (one.notebook, self.reproduced)))
        return [one.key, f"{one.title}\n({one.source}, {one.date})", self.symptom, where]


class Catalogue(Explainable):
    """All field incidents, or some of them: ``entries`` in the order of their keys."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)

    def of(self, cause: str) -> Catalogue:
        """Return those with one kind of cause, one of :data:`CAUSES`."""
        return Catalogue(entry for entry in self.entries if entry.incident.cause == cause)

    def counts(self) -> View:
        """Show how many there are of each kind, and how many of those have a bundle."""
        found = {cause: self.of(cause).entries for cause in CAUSES}
        rows = [[cause, str(len(some)), str(sum(entry.has_bundle for entry in some))] for cause, some in found.items()]
        return View(Table(["kind of cause", "incidents", "with a bundle"], rows))

    def explain(self) -> View:
        """Show a table for each kind of cause."""
        blocks: list[Block] = []
        header = ["", "incident", "what was seen", "notebook, and what is reproduced"]
        for cause in CAUSES:
            if rows := [entry.row() for entry in self.of(cause).entries]:
                blocks += [Heading(f"Cause: {cause}"), Table(header, rows, wrapped={1: _WIDTH, 2: _WIDTH})]
        return View(*blocks)


def catalogue() -> Catalogue:
    """Return the table of all field incidents (those with a key that begins with F)."""
    entries = []
    for key in sorted(key for key in INCIDENTS if key.startswith("F")):
        incident, replay = INCIDENTS[key], REPLAYS.get(key)
        if replay is None:
            entries.append(Entry(incident, incident.lesson, incident.reproduced, False))
        else:
            more = "" if replay.is_searchable else "; no search can find the cause"
            entries.append(Entry(incident, replay.symptom, f"cases/{replay.file_name}{more}", True))
    return Catalogue(entries)


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
