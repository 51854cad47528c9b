"""The certificates above an attestation report: how they are named, what AMD's own extensions carry, how they travel.

All are X.509. The ARK (root) signs itself, the ASK and the ASVK; the ASK signs a chip's VCEK, the ASVK a cloud's VLEK.
A host hands them to a guest, along with the report, in the certificate table: entries of 24 bytes, each a GUID, an
offset from the start of the table and a length; then an entry of zeros; then the certificates. Unlike in OVMF's tables,
GUIDs are in the order in which they are written (RFC 4122, big-endian).

Data only: :mod:`sevlab.attestation` reads and judges them. Sources: snp-launch 7 and 9 (AMD 57230, VCEK certificate and
KDS interface; AMD 56421, GHCB specification, extended guest request).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import checked
from ..layout.structure import Hex, Layout, at
from .guid import Guid, hyphenated
from .report import TURIN_CHIP_ID

ARK, ASK, ASVK, VCEK, VLEK = "ARK", "ASK", "ASVK", "VCEK", "VLEK"
#: The common name of each certificate's subject; ``{}`` is the product.
SUBJECTS = {ARK: "ARK-{}", ASK: "SEV-{}", ASVK: "SEV-VLEK-{}", VCEK: "SEV-VCEK", VLEK: "SEV-VLEK"}
#: Who signs each.
SIGNERS = {ARK: ARK, ASK: ARK, ASVK: ARK, VCEK: ASK, VLEK: ASVK}
_PREFIX = "1.3.6.1.4.1.3704.1"
STRUCT_VERSION, PRODUCT_NAME, HWID, CSP_ID = (f"{_PREFIX}.{number}" for number in (1, 2, 4, 5))
_NUMBERS = {"fmc": 9, "bl": 1, "tee": 2, "snp": 3, "ucode": 8}
#: The extension for each part of the TCB. ``fmc`` is Turin's alone.
SPL = {part: f"{_PREFIX}.3.{number}" for part, number in _NUMBERS.items()}
#: Parts without a meaning so far; always 0. Turin lacks the first.
RESERVED_SPL = {f"spl_{number}": f"{_PREFIX}.3.{number}" for number in (4, 5, 6, 7)}
#: What each extension is called.
EXTENSIONS = {
    STRUCT_VERSION: "structVersion",
    PRODUCT_NAME: "productName",
    **{oid: f"{part}SPL" for part, oid in SPL.items()},
    **{oid: name.upper() for name, oid in RESERVED_SPL.items()},
    HWID: "HWID",
    CSP_ID: "CSP_ID",
}
#: Bytes of a chip's name in its certificate, and in the address that asks for it.
HWID_SIZES = {"Milan": 64, "Genoa": 64, "Turin": TURIN_CHIP_ID}
STRUCT_VERSIONS = {"Milan": 0, "Genoa": 0, "Turin": 1}
#: AMD's roots by the SHA-256 of the certificate (DER), and the products below them (snp-launch 7.5).
ROOTS = {
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "Milan",
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "Genoa",
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "Turin",
}
#: What each entry holds, by its GUID. ``ask`` is ASK or ASVK, whichever signs the leaf.
KINDS = {
    "63da758d-e664-4564-adc5-f4b93be8accd": "vcek",
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1": "vlek",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782": "ask",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae": "ark",
    "92f81bc3-5811-4d3d-97ff-d19f88dc67ea": "crl",
    "9f4116cd-c503-4f5a-8f6f-fb68882f4ce2": "gce endorsement",
}
#: Entries that are no certificate: a cloud's signed list of launch digests (gce-tcb-verifier).
OTHER = ("gce endorsement",)
#: Most entries that are read. A real table has 3 or 4.
LIMIT = 64


def tell_kind(common_name: str) -> tuple[str, str]:
    """Return what a certificate is by its subject's common name, and its product; ("", "") for an unknown name.

    The name of a leaf holds no product. Leaves come first: "SEV-VCEK" is not the ASK of a product "VCEK" (F43).
    """
    for kind in (VCEK, VLEK, ARK, ASVK, ASK):
        if found := re.fullmatch(SUBJECTS[kind].format("([A-Za-z0-9]{1,20})"), common_name):
            return kind, found[1] if found.groups() else ""
    return "", ""


class TableGuid(bytes):
    """A GUID in the order in which it is written."""

    @property
    def text(self) -> str:
        """The GUID as text, and what it names."""
        return f"{self.written} ({self.kind or 'unknown'})"

    @property
    def kind(self) -> str:
        """What it names, "" for nothing known. Some hosts store GUIDs in EFI's mixed order: either counts."""
        return KINDS.get(self.written, "") or KINDS.get(str(Guid(self)), "")

    @property
    def written(self) -> str:
        """The GUID as text alone."""
        return hyphenated(self)


class CertTableEntry(Layout, size=24, spec="AMD 56421 (GHCB), certificate table"):
    """One entry of the certificate table."""

    guid: TableGuid = at(0x00, 16, "What the certificate is; in the order in which it is written.", type=TableGuid)
    offset: Hex = at(0x10, 4, "Bytes from the start of the table to the certificate.", type=Hex)
    length: int = at(0x14, 4, "Bytes of the certificate.")


@dataclass(frozen=True)
class CertTable:
    """A table that was read: the first certificate (DER or PEM) of each kind, and further ones with their kind.

    ``other`` are the kinds of :data:`OTHER` that it holds, ``unknown`` the GUIDs that name no known kind, and
    ``findings`` is a sentence for everything unexpected.
    """

    certificates: dict[str, bytes] = field(default_factory=dict)
    again: list[tuple[str, bytes]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


@checked
def read_cert_table(raw: bytes) -> CertTable:
    """Read a certificate table; what is unexpected becomes a sentence, never an exception.

    That is an end that is missing, entries that reach over the end or over each other, and bytes other than zero that
    belong to no entry. (A host hands a table over in whole pages, with zeros at their end.)
    """
    table, taken, size = CertTable(), [], CertTableEntry.size
    head = len(raw)
    for number in range(LIMIT + 1):
        place = number * size
        part = raw[place : place + size]
        if number == LIMIT or len(part) < size:
            table.findings.append(f"the table does not end within {min(LIMIT, len(raw) // size)} entries")
            break
        if not any(part):
            head = place + size
            break
        entry = CertTableEntry.from_bytes(part)
        guid, start, end = entry.guid.written, int(entry.offset), entry.offset + entry.length
        kind = entry.guid.kind
        if end > len(raw):
            table.findings.append(f"{kind or guid}: it ends at byte {end}, but there are {len(raw)}")
            continue
        taken.append((start, end))
        if not kind:
            table.unknown.append(guid)
        elif kind in OTHER:
            table.other.append(kind)
        elif kind in table.certificates:
            table.again.append((kind, raw[start:end]))
        else:
            table.certificates[kind] = raw[start:end]
    table.findings.extend(_gaps(raw, head, taken))
    return table


def _gaps(raw: bytes, head: int, taken: list[tuple[int, int]]) -> list[str]:
    """Return what is unexpected about the places of entries behind a list of entries that ends at byte *head*."""
    findings, place = [], head
    for start, end in [*sorted(taken), (len(raw), len(raw))]:
        if start < place and start < end:
            findings.append(f"bytes {start} to {min(end, place) - 1} belong to two entries")
        elif any(raw[place:start]):
            findings.append(f"bytes {place} to {start - 1} belong to no entry, and are not zero")
        place = max(place, end)
    return findings
