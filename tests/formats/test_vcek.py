"""The certificate table against the facts (snp-launch 9)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sevlab.formats.vcek import CertTableEntry, read_cert_table

VCEK_GUID = bytes.fromhex("63da758de6644564adc5f4b93be8accd")


def test_every_field_is_where_the_facts_have_it() -> None:
    assert {row.name: (row.offset, row.size) for row in CertTableEntry.rows} == {
        "guid": (0, 16),
        "offset": (0x10, 4),
        "length": (0x14, 4),
    }


def test_a_certificate_table_is_read() -> None:
    blob = b"certificate"
    entry = CertTableEntry(guid=VCEK_GUID, offset=72, length=len(blob)).to_bytes()
    other = CertTableEntry(guid=bytes(range(16)), offset=0, length=0).to_bytes()
    table = read_cert_table(entry + other + bytes(24) + blob)
    assert table.certificates == {"vcek": blob}
    assert len(table.unknown) == 1
    assert table.findings == []
    assert "ends at byte 83" in read_cert_table(entry + bytes(24) + blob).findings[0]


@given(raw=st.binary(max_size=400), head=st.booleans())
def test_any_certificate_table_is_read(raw: bytes, head: bool) -> None:
    raw = VCEK_GUID + raw if head else raw
    for blob in read_cert_table(raw).certificates.values():
        assert blob in raw
