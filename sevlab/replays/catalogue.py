"""The table of all field incidents: what was seen, what kind of cause it had, and where it is done again."""

from __future__ import annotations

from collections import namedtuple

from ..incidents import INCIDENTS
from ..layout.span import Explainable
from .rows import REPLAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..layout.views import Block, View

#: After how many characters a cell is wrapped in text.
_WIDTH = 32
#: Kinds of causes, and which incidents had them.
KINDS = {
    "registers": "F01 F02 F03 F04 F05 F06 F07 F08 F09 F10 F11 F12 F14 F15",
    "pages": "F21 F22 F23",
    "firmware image": "F16 F24 F25",
    "kernel hashes": "F17 F18 F19 F20 F26",
    "numbers": "F27 F28 F29",
    "keys": "F30 F31 F32 F33 F34",
    "certificates": "F13 F35 F37 F38 F39 F40 F42 F43 F44",
    "report": "F36 F41 F45 F47",
    "ID block": "F46",
    "kernel": "F48",
}
#: The notebooks of notebooks/incidents, and what each tells.
NOTEBOOKS = {
    "F01-debug-swap": "F01 F02 F03 F05",
    "F04-two-measurements": "F04",
    "F07-clouds": "F07 F09 F21",
    "F10-two-bugs": "F10",
    "F15-cpu-count": "F11 F12 F15",
    "F16-hash-section": "F16 F17 F22 F23 F25",
    "F18-random-bytes": "F18",
    "F27-decimal-hex": "F27 F28",
    "F38-tcb": "F13 F38 F40 F42 F43",
    "F41-rewritten-report": "F41 F46 F47",
}
#: Incidents without a bundle: where something of them is shown, "" for nowhere, and what can be done again or why not.
OTHERS = {
    "F06": ("", "Only by search: diagnose tries every SEV_FEATURES and profile. The reporter's image is not at hand."),
    "F08": ("F07-clouds", "The profiles of EC2. The instance's image is not at hand."),
    "F14": ("", "Signature 0 is one of our test vectors, and is taken."),
    "F19": ("", "Not done again: it is an assertion within QEMU."),
    "F20": ("", "Not done again: it takes a real kernel's setup header."),
    "F24": ("", "sevlab ovmf says of any file where its table is, or why there is none."),
    "F26": ("06-when-it-does-not-match", "diagnose tries the table's other sizes."),
    "F29": ("08-a-launch-from-start-to-finish", "The simulated firmware tells the digest that a real one keeps."),
    "F30": ("06-when-it-does-not-match", "diagnose tries keys of zeros."),
    "F31": ("07-keys-and-the-session", "The session blob, field by field."),
    "F32": ("07-keys-and-the-session", "The session blob, field by field."),
    "F33": ("06-when-it-does-not-match", "diagnose reads a value in every form that it may have."),
    "F34": ("05-secret-injection", "A secret under the wrong key: the MAC is right, and the text is not."),
    "F35": ("", "sevlab zoo has leaves that no key above them signed."),
    "F36": ("", "Not done again: our own declaration is checked against a real report."),
    "F37": ("", "sevlab chain verify says which link has no signature."),
    "F39": ("11-who-signed-it", "The address of a certificate is made from the report."),
    "F44": ("", "Not done again: the cause was not told."),
    "F45": ("10-a-report-byte-by-byte", "Versions of the report are told apart."),
    "F48": ("", "Not done again: two threads of a kernel raced."),
}


class Entry(namedtuple("Entry", "key kind symptom notebook replayed")):
    """One incident: its key, the kind of its cause, what was seen (or the lesson), the notebook that tells it ("" for
    none), and what is done again.
    """

    __slots__ = ()

    @property
    def has_bundle(self) -> bool:
        """Whether there is a bundle to judge."""
        return self.key in REPLAYS


class Catalogue(Explainable):
    """All field incidents, or some of them: ``entries`` in the order of their keys."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    def of(self, kind: str) -> Catalogue:
        """Return those with one kind of cause, a key of :data:`KINDS`."""
        return Catalogue([entry for entry in self.entries if entry.kind == kind])

    def counts(self) -> View:
        """Show how many there are of each kind, and how many of those have a bundle."""
        from ..layout.views import Table, View

        rows = []
        for kind in KINDS:
            some = self.of(kind).entries
            rows.append([kind, str(len(some)), str(sum(entry.has_bundle for entry in some))])
        return View(Table(["kind of cause", "incidents", "with a bundle"], rows))

    def explain(self) -> View:
        """Show a table for each kind of cause."""
        from ..layout.views import Heading, Table, View

        blocks: list[Block] = []
        header = ["", "incident", "what was seen", "notebook, and what is done again"]
        for kind in KINDS:
            rows = [_row(entry) for entry in self.of(kind).entries]
            if rows:
                blocks += [Heading(f"Cause: {kind}"), Table(header, rows, wrapped={1: _WIDTH, 2: _WIDTH})]
        return View(*blocks)


def _row(entry: Entry) -> list[str]:
    incident = INCIDENTS[entry.key]
    where = "\n".join(filter(None, (entry.notebook, entry.replayed)))
    return [entry.key, f"{incident.title}\n({incident.source}, {incident.date})", entry.symptom, where]


def catalogue() -> Catalogue:
    """Return the table of all field incidents (those whose key begins with F)."""
    kinds = {key: kind for kind, keys in KINDS.items() for key in keys.split()}
    places = {key: name for name, keys in NOTEBOOKS.items() for key in keys.split()}
    entries = []
    for key in sorted(key for key in INCIDENTS if key.startswith("F")):
        row = REPLAYS.get(key)
        notebook, words = OTHERS.get(key, ("", ""))
        if row is not None:
            words = f"cases/{row.file_name}" + ("" if row.is_searchable else "; no search can find the cause")
        symptom = row.symptom if row is not None else INCIDENTS[key].lesson
        entries.append(Entry(key, kinds[key], symptom, places.get(key, notebook), words))
    return Catalogue(entries)
