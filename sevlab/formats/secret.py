"""A launch secret: the packet that carries it through the host, and the table that the guest finds.

After the owner has validated the measurement, and before the guest runs, the owner may send it a secret, such as the
key of its disk. Three structures:

* the **header**, 52 bytes, travels beside the payload: IV (initialisation vector) and MAC (message authentication
  code, a hash under a secret key);
* the **message**, never sent, is what the MAC is made of: a fixed head, the payload, and the measure of the launch;
* the **table** is the payload after decryption: secrets one after another, each named by a GUID.

Numbers are little-endian. Sources: AMD 55766 (SEV API), LAUNCH_SECRET, as sev-launch 8.1 to 8.4 gives it; the table is
edk2's and Linux's (``efi_secret``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..layout.bits import Bits, bit, reserved_bits
from ..layout.bytemap import ByteMap, legend
from ..layout.span import Explainable, Span
from ..layout.structure import Layout, at
from ..layout.views import Heading, Paragraph, View
from .guid import Guid

if TYPE_CHECKING:
    from collections.abc import Iterable

SPEC = "AMD 55766 (SEV API), LAUNCH_SECRET"
TABLE_SPEC = "edk2 and Linux efi_secret: launch secret table"
TABLE = Guid.from_text("1e74f542-71dd-4d66-963e-ef4287ff173b")
#: Short names for what secrets are for. The names are libvirt's.
ALIASES = {"luks-key": Guid.from_text("736869e5-84f0-4973-92ec-06879ce3da0b")}
#: The firmware encrypts memory in blocks of this many bytes, so a payload is a multiple of it.
BLOCK = 16
#: Largest table, in bytes, that a byte map is drawn of.
MAP_LIMIT = 1024
_IV = "Initialisation vector: the first counter block of AES-128-CTR, counted up big-endian over all 16 bytes."


class SecretFlags(Bits, size=4, spec=SPEC):
    """Flags of a secret packet. All clear in every packet the firmware accepts."""

    compressed = bit(0, "The payload is compressed, which the firmware refuses (UNSUPPORTED).", governs="LAUNCH_SECRET")
    reserved_1 = reserved_bits(1, 31)


class SecretHeader(Layout, size=52, spec=SPEC + ", packet header"):
    """The header of a secret packet. It is not encrypted."""

    flags: SecretFlags = at(0x00, 4, "Flags of the packet.", type=SecretFlags, colour="grey")
    iv: bytes = at(0x04, 16, _IV, type=bytes, colour="orange")
    mac: bytes = at(0x14, 32, "HMAC-SHA256 of the message under the owner's TIK.", type=bytes, colour="green")


class SecretMessageHead(Layout, size=29, spec=SPEC + ", header MAC"):
    """The head of the message under the MAC. The payload and the measure (32 bytes) follow it."""

    context: int = at(0x00, 1, "Always 0x01, 'secret': no other use of the TIK can be taken for this.", const=0x01)
    flags: SecretFlags = at(0x01, 4, "The header's flags.", type=SecretFlags, colour="grey")
    iv: bytes = at(0x05, 16, "The header's IV.", type=bytes, colour="orange")
    guest_length: int = at(0x15, 4, "Bytes of guest memory that are filled.")
    trans_length: int = at(0x19, 4, "Bytes of payload; the same number, since nothing is compressed.")


class SecretTableHead(Layout, size=20, spec=TABLE_SPEC):
    """The head of a secrets table."""

    table_guid: Guid = at(0x00, 16, "Says that this is the table.", type=Guid, const=TABLE, colour="grey")
    table_length: int = at(0x10, 4, "Bytes of this head and all entries, without the padding.", colour="blue")


class SecretEntryHead(Layout, size=20, spec=TABLE_SPEC + ", entry"):
    """The head of one entry of a secrets table. The secret follows it, with neither terminator nor padding."""

    guid: Guid = at(0x00, 16, "Says what the secret is for.", type=Guid, colour="yellow")
    length: int = at(0x10, 4, "Bytes of this entry: 20 and the secret.", colour="teal")


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """One secret: ``guid`` says what it is for, ``data`` is the secret itself, which its repr hides."""

    guid: Guid
    data: bytes = field(repr=False)


class SecretTable(Explainable):
    """A secrets table: any bytes, read as far as they can be.

    ``entries`` are the secrets in their order. ``is_table`` is False when the bytes do not begin with the table's GUID;
    then nothing more is read. What is unexpected is a sentence of :meth:`findings`. Secrets are hidden wherever a table
    is shown, unless asked for.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = bytes(raw)
        self.entries: list[SecretEntry] = []
        self._spans: list[Span] = []
        self._hidden: set[str] = set()
        self.is_table = self._raw[: len(TABLE)] == TABLE and len(self._raw) >= SecretTableHead.size
        if self.is_table:
            end = self._read_head()
            self._read_entries(end)
            self._add_padding(end)
        else:
            short = f" in the {len(self._raw)} bytes there are" if len(self._raw) < SecretTableHead.size else ""
            finding = f"no secrets table{short}: it would begin with {TABLE}"
            self._add("data", 0, len(self._raw), "Bytes that are no secrets table.", "pink", finding)

    def _read_head(self) -> int:
        head, finding = SecretTableHead.from_bytes(self._raw[: SecretTableHead.size]), ""
        if head.table_length < head.size:
            finding = f"must be {head.size} or more"
        elif head.table_length > len(self._raw):
            finding = f"reaches past the {len(self._raw)} bytes there are"
        guid, length = head.spans()
        self._spans += [guid, length._replace(finding=finding)]
        return min(max(head.table_length, head.size), len(self._raw))

    def _read_entries(self, end: int) -> None:
        position, size = SecretTableHead.size, SecretEntryHead.size
        seen: dict[Guid, int] = {}
        while end - position >= size:
            head = SecretEntryHead.from_bytes(self._raw[position : position + size])
            number, body, stop = len(self.entries) + 1, position + size, position + head.length
            finding = short = ""
            if head.guid in seen:
                finding = f"same GUID as entry {seen[head.guid]}; Linux then refuses the whole table"
            elif not any(head.guid):
                finding = "all zero, which marks a deleted entry: Linux passes over it"
            if not body <= stop <= end:
                short = f"must be {size} to {end - position} here; nothing can be read from here on"
            for span, words in zip(head.spans(), (finding, short), strict=True):
                name, offset = f"entry{number}.{span.name}", position + span.offset
                self._spans.append(span._replace(name=name, offset=offset, finding=words))
            if short:
                position = body
                break
            seen.setdefault(head.guid, number)
            self.entries.append(SecretEntry(head.guid, self._raw[body:stop]))
            doc = f"The secret: {head.guid.name or 'for the program that knows its GUID'}."
            self._add(f"entry{number}.data", body, stop, doc, "pink")
            position = stop
        self._add("unread", position, end, "Bytes that are no whole entry.", "pink", "cannot be read")

    def _add_padding(self, end: int) -> None:
        size, finding = len(self._raw) - end, ""
        if dirty := any(self._raw[end:]):
            finding = "padding must be 0"
        elif size >= BLOCK:
            finding = f"{size} bytes where {-end % BLOCK} do"
            finding += " (libvirt 9.0 adds 16 to an aligned table; harmless)" if size == BLOCK else ""
        doc = f"Zeros up to a multiple of {BLOCK} bytes."
        self._add("padding", end, len(self._raw), doc, "grey", finding, secret=dirty)

    def _add(
        self, name: str, start: int, end: int, doc: str, colour: str, finding: str = "", *, secret: bool = True
    ) -> None:
        if start < end:
            raw = self._raw[start:end]
            self._spans.append(Span(name, start, end - start, raw, raw, raw.hex(), doc, colour, finding))
            if secret:
                self._hidden.add(name)

    def to_bytes(self) -> bytes:
        """Return the table's bytes, secrets and padding included."""
        return self._raw

    def spans(self, *, show_secret: bool = False) -> list[Span]:
        """Return every field in order. Secrets are hidden unless *show_secret* is set."""
        if show_secret:
            return list(self._spans)
        return [span.hide() if span.name in self._hidden else span for span in self._spans]

    def findings(self) -> list[str]:
        """Return a sentence for everything unexpected; none repeats a secret."""
        return [f"{span.name}: {span.finding}" for span in self._spans if span.finding]

    def explain(self, *, show_secret: bool = False) -> View:
        """Show the table byte by byte. Secrets are hidden unless *show_secret* is set."""
        spans, heading = self.spans(show_secret=show_secret), Heading(f"Launch secret table ({len(self)} bytes)")
        if len(self) > MAP_LIMIT:
            return View(heading, Paragraph("Too long for a byte map; every field is below."), legend(spans))
        return View(heading, ByteMap(spans), legend(spans))

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return f"<SecretTable: {len(self.entries)} entries in {len(self)} bytes, hidden>"


def table_size(sizes: Iterable[int]) -> int:
    """Return the size in bytes of the table that holds secrets of these *sizes*, padding included."""
    length = SecretTableHead.size + sum(SecretEntryHead.size + size for size in sizes)
    return length + -length % BLOCK


def build_secret_table(secrets: Iterable[tuple[Guid, bytes]]) -> SecretTable:
    """Return the table that holds *secrets* in their order, padded to a multiple of 16 bytes and not beyond."""
    body = b"".join(
        SecretEntryHead(guid=guid, length=SecretEntryHead.size + len(data)).to_bytes() + data for guid, data in secrets
    )
    head = SecretTableHead(table_length=SecretTableHead.size + len(body)).to_bytes()
    return SecretTable(head + body + bytes(-(len(head) + len(body)) % BLOCK))
