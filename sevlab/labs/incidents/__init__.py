"""Public incidents reproduced: for each a bundle with what the reporter had, the same to the last byte each time.

:mod:`.rows` has a row for each, :mod:`.replay` says what a row is. To add an incident, add its row (docs/incidents.md).
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
from .replay import FILES, Replay
from .rows import REPLAYS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...data import Incident
    from ...diagnosis.case import CaseDiagnosis
    from ...layout.views import Block


__all__ = [
    "CAUSES",
    "FILES",
    "NOTEBOOKS",
    "REPLAYS",
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


#: After how many characters a cell is wrapped in text.
_WIDTH = 32

#: Kinds of causes, in the order in which they are shown.
CAUSES = (
    "registers",
    "pages",
    "firmware image",
    "kernel hashes",
    "numbers",
    "keys",
    "certificates",
    "report",
    "ID block",
    "kernel",
)

#: The notebooks of notebooks/incidents, and the bundles that each tells.
NOTEBOOKS = {
    name: [key for key in REPLAYS if INCIDENTS[key].notebook == name]
    for name in sorted({INCIDENTS[key].notebook for key in REPLAYS})
}


@dataclass(frozen=True)
class Entry:
    """One incident: what was seen (or the lesson), and what is reproduced."""

    incident: Incident
    symptom: str
    reproduced: str

    @property
    def key(self) -> str:
        """The key of the incident."""
        return self.incident.key

    @property
    def has_bundle(self) -> bool:
        """Whether there is a bundle to diagnose."""
        return self.key in REPLAYS


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
        header = ["", "incident", "what was seen", "notebook, and what is done again"]
        for cause in CAUSES:
            if rows := [_row(entry) for entry in self.of(cause).entries]:
                blocks += [Heading(f"Cause: {cause}"), Table(header, rows, wrapped={1: _WIDTH, 2: _WIDTH})]
        return View(*blocks)


def _row(entry: Entry) -> list[str]:
    incident = entry.incident
    where = "\n".join(filter(None, (incident.notebook, entry.reproduced)))
    return [incident.key, f"{incident.title}\n({incident.source}, {incident.date})", entry.symptom, where]


def _entry(incident: Incident) -> Entry:
    row = REPLAYS.get(incident.key)
    if row is None:
        return Entry(incident, incident.lesson, incident.reproduced)
    words = f"cases/{row.file_name}" + ("" if row.is_searchable else "; no search can find the cause")
    return Entry(incident, row.symptom, words)


def catalogue() -> Catalogue:
    """Return the table of all field incidents (those whose key begins with F)."""
    return Catalogue(_entry(INCIDENTS[key]) for key in sorted(INCIDENTS) if key.startswith("F"))


def published(key: str, result: CaseDiagnosis | None = None) -> View:
    """Show the published digests of an incident; those of a replay's diagnosis beside them.

    They are of the reporters' own firmware, which is not at hand. So none of them can be computed here, and none must
    equal one of ours: what is reproduced is the difference between them.
    """
    incident = INCIDENTS[key]
    rows = [["public", what, _lines(value)] for what, value in incident.digests.items()]
    verdict = result.verdict if result is not None else None
    if verdict is not None and verdict.digest is not None:
        rows += [["ours", "the report", _lines(verdict.digest.reported.hex())]]
        rows += [["ours", "computed from what was given", _lines(verdict.digest.computed.hex())]]
    words = (
        f"Public: {incident.source}, {incident.date}. These are digests of the reporter's firmware, which is not at "
        "hand, so they cannot be computed here. Ours are of the sample firmware: done again is what was changed, not "
        "the digest."
    )
    return View(Table(["whose", "what", "launch digest"], rows, mono=[2]), Paragraph(words))


def _lines(digits: str) -> str:
    """Return a digest in two lines, as hex: so it can be searched for in a thread, half by half."""
    return "\n".join((digits[:48], digits[48:]))
