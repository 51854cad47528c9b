"""What the three parties say to each other, byte by byte, and what each computes in between."""

from __future__ import annotations

from collections import namedtuple

from ..layout.span import Explainable
from ..layout.views import Heading, Table, View, hex_lines, narrow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..keys import Secret

OWNER, HOST, PSP, GUEST = "owner", "host", "secure processor", "guest"
#: The colour of each party.
COLOUR_OF = {OWNER: "green", HOST: "orange", PSP: "blue", GUEST: "purple"}
#: Of longer messages the beginning and the end are shown.
_SHOWN = 32


class Entry(namedtuple("Entry", "sender receiver name raw doc")):
    """One line. A message has a receiver; what a party computes by itself has none. ``raw`` is bytes, or a Secret."""

    __slots__ = ()

    @property
    def is_message(self) -> bool:
        """True for what is on the wire."""
        return bool(self.receiver)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.raw)


class Transcript(Explainable):
    """The record of one launch: entries in their order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def send(self, sender: str, receiver: str, name: str, raw: bytes, doc: str) -> bytes:
        """Record a message; return its bytes."""
        self.entries.append(Entry(sender, receiver, name, raw, doc))
        return raw

    def compute(self, party: str, name: str, raw: bytes | Secret, doc: str) -> None:
        """Record what a party computes for itself."""
        self.entries.append(Entry(party, "", name, raw, doc))

    @property
    def messages(self) -> list[Entry]:
        """What was on the wire."""
        return [entry for entry in self.entries if entry.is_message]

    def explain(self) -> View:
        """Show the time line."""
        rows = []
        for number, entry in enumerate(self.entries, 1):
            way = f"{entry.sender}\n-> {entry.receiver}" if entry.is_message else f"{entry.sender}\n   computes"
            rows.append([str(number), way, narrow(entry.name, 24), str(entry.size), _bytes(entry.raw), entry.doc])
        colours = [COLOUR_OF[entry.sender] for entry in self.entries]
        header = ["", "who", "what", "bytes", "content", "meaning"]
        return View(Heading("The launch, message by message"), Table(header, rows, colours=colours, mono=[0, 3, 4]))


def _bytes(raw: bytes | Secret) -> str:
    if not isinstance(raw, bytes):
        return repr(raw)
    if len(raw) <= _SHOWN:
        return hex_lines(raw, 8)
    return f"{hex_lines(raw[:16], 8)}\n...\n{hex_lines(raw[-8:], 8)}"
