"""The certificate table: how a host hands certificates to a guest, along with the report.

Entries of 24 bytes, each a GUID, an offset from the start of the table and a length; then an entry of zeros; then the
certificates. Unlike in OVMF's tables, GUIDs stand in the order in which they are written (RFC 4122, big-endian).

Source: snp-launch 9 (AMD 56421, GHCB specification, extended guest request).
"""

from __future__ import annotations

from collections import namedtuple

from ..arguments import checked
from ..layout.rows import Hex, Layout, at

VCEK, VLEK, ASK, ARK, CRL = "vcek", "vlek", "ask", "ark", "crl"
#: What each entry holds, by its GUID. ``ask`` is ASK or ASVK, whichever signs the leaf.
KINDS = {
    "63da758d-e664-4564-adc5-f4b93be8accd": VCEK,
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1": VLEK,
    "4ab7b379-bbac-4fe4-a02f-05aef327c782": ASK,
    "c0b406a4-a803-4952-9743-3fb6014cd0ae": ARK,
    "92f81bc3-5811-4d3d-97ff-d19f88dc67ea": CRL,
}
#: Most entries that are read. A real table has 3 or 4.
LIMIT = 64


class TableGuid(bytes):
    """A GUID in the order in which it is written."""

    @property
    def text(self) -> str:
        """The GUID as text, and what it names."""
        return f"{self.written} ({KINDS.get(self.written, 'unknown')})"

    @property
    def written(self) -> str:
        """The GUID as text alone."""
        digits = self.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class CertTableEntry(Layout, size=24, spec="AMD 56421 (GHCB), certificate table"):
    """One entry of the certificate table."""

    guid: TableGuid = at(0x00, 16, "What the certificate is; in the order in which it is written.", type=TableGuid)
    offset: Hex = at(0x10, 4, "Bytes from the start of the table to the certificate.", type=Hex)
    length: int = at(0x14, 4, "Bytes of the certificate.")


class CertTable(namedtuple("CertTable", "certificates unknown findings again", defaults=((),))):
    """A table that was read: the first certificate (bytes, DER or PEM) of each kind, unknown GUIDs, and what is odd.

    ``again`` are further certificates of a kind, as pairs of kind and bytes.
    """

    __slots__ = ()


@checked
def read_cert_table(raw: bytes) -> CertTable:
    """Read a certificate table; what is odd becomes a sentence, never an exception.

    Odd are an end that is missing, entries that reach over the end or over each other, and bytes other than zero that
    belong to no entry. (A host hands a table over in whole pages, with zeros at their end.)
    """
    certificates: dict[str, bytes] = {}
    again: list[tuple[str, bytes]] = []
    unknown: list[str] = []
    findings: list[str] = []
    taken: list[tuple[int, int]] = []
    head = len(raw)
    for number in range(LIMIT + 1):
        place = number * CertTableEntry.size
        part = raw[place : place + CertTableEntry.size]
        if number == LIMIT or len(part) < CertTableEntry.size:
            findings.append(f"the table does not end within {min(LIMIT, len(raw) // CertTableEntry.size)} entries")
            break
        if not any(part):
            head = place + CertTableEntry.size
            break
        entry = CertTableEntry.from_bytes(part)
        kind, end = KINDS.get(entry.guid.written, ""), entry.offset + entry.length
        if end > len(raw):
            findings.append(f"{kind or entry.guid.written}: it ends at byte {end}, but there are {len(raw)}")
            continue
        taken.append((int(entry.offset), end))
        if not kind:
            unknown.append(entry.guid.written)
        elif kind in certificates:
            again.append((kind, raw[entry.offset : end]))
        else:
            certificates[kind] = raw[entry.offset : end]
    return CertTable(certificates, tuple(unknown), (*findings, *_gaps(raw, head, taken)), tuple(again))


def _gaps(raw: bytes, head: int, taken: list[tuple[int, int]]) -> list[str]:
    """Return what is odd about the places of entries behind a list of entries that ends at byte *head*."""
    findings, place = [], head
    for start, end in [*sorted(taken), (len(raw), len(raw))]:
        if start < place and start < end:
            findings.append(f"bytes {start} to {min(end, place) - 1} belong to two entries")
        elif any(raw[place:start]):
            findings.append(f"bytes {place} to {start - 1} belong to no entry, and are not zero")
        place = max(place, end)
    return findings
