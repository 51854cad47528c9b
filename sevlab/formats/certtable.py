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


class CertTable(namedtuple("CertTable", "certificates unknown findings")):
    """A table that was read: certificates (bytes, DER or PEM) by kind, GUIDs that are not known, and what is odd."""

    __slots__ = ()


@checked
def read_cert_table(raw: bytes) -> CertTable:
    """Read a certificate table; what is odd becomes a sentence, never an exception."""
    certificates: dict[str, bytes] = {}
    unknown: list[str] = []
    findings: list[str] = []
    for number in range(LIMIT + 1):
        place = number * CertTableEntry.size
        part = raw[place : place + CertTableEntry.size]
        if number == LIMIT or len(part) < CertTableEntry.size:
            findings.append(f"the table does not end within {min(LIMIT, len(raw) // CertTableEntry.size)} entries")
            break
        if not any(part):
            break
        entry = CertTableEntry.from_bytes(part)
        kind, end = KINDS.get(entry.guid.written, ""), entry.offset + entry.length
        if not kind:
            unknown.append(entry.guid.written)
        elif end > len(raw):
            findings.append(f"{kind}: it ends at byte {end}, but there are {len(raw)}")
        elif kind in certificates:
            findings.append(f"{kind}: it comes twice; the first counts")
        else:
            certificates[kind] = raw[entry.offset : end]
    return CertTable(certificates, tuple(unknown), tuple(findings))
