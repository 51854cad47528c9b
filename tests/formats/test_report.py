"""The attestation report against the tables of the facts (snp-launch 4 and 6), and on a real report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.errors import LayoutError
from sevlab.formats import report as reports
from sevlab.formats.report import SIZE, MilanTcb, Report, TurinTcb, VeniceTcb, parse_report, vcek_urls
from sevlab.layout.structure import Layout
from tests.shared_data import shared_data

#: First offsets and the end, written down from the facts, not from the declarations.
V2 = {
    "version": 0x0,
    "guest_svn": 0x4,
    "policy": 0x8,
    "family_id": 0x10,
    "image_id": 0x20,
    "vmpl": 0x30,
    "signature_algo": 0x34,
    "current_tcb": 0x38,
    "platform_info": 0x40,
    "key_info": 0x48,
    "reserved_4c": 0x4C,
    "report_data": 0x50,
    "measurement": 0x90,
    "host_data": 0xC0,
    "id_key_digest": 0xE0,
    "author_key_digest": 0x110,
    "report_id": 0x140,
    "report_id_ma": 0x160,
    "reported_tcb": 0x180,
    "reserved_188": 0x188,
    "chip_id": 0x1A0,
    "committed_tcb": 0x1E0,
    "current_build": 0x1E8,
    "current_minor": 0x1E9,
    "current_major": 0x1EA,
    "reserved_1eb": 0x1EB,
    "committed_build": 0x1EC,
    "committed_minor": 0x1ED,
    "committed_major": 0x1EE,
    "reserved_1ef": 0x1EF,
    "launch_tcb": 0x1F0,
    "reserved_1f8": 0x1F8,
    "r": 0x2A0,
    "s": 0x2E8,
    "reserved_330": 0x330,
    "": 0x4A0,
}
V3 = {**V2, "cpuid_fam_id": 0x188, "cpuid_mod_id": 0x189, "cpuid_step": 0x18A, "reserved_18b": 0x18B}
del V3["reserved_188"]
V5 = {**V3, "launch_mit_vector": 0x1F8, "current_mit_vector": 0x200, "reserved_208": 0x208}
del V5["reserved_1f8"]
V6 = {**V5, "current_etcb": 0x220, "launch_etcb": 0x240, "committed_etcb": 0x260, "reserved_280": 0x280}
STARTS: dict[type[Layout], dict[str, int]] = {
    MilanTcb: {"bl": 0, "tee": 1, "reserved_2": 2, "snp": 6, "ucode": 7, "": 8},
    TurinTcb: {"fmc": 0, "bl": 1, "tee": 2, "snp": 3, "reserved_4": 4, "ucode": 7, "": 8},
    **dict.fromkeys((reports.ReportV2, reports.TurinReportV2), V2),
    **dict.fromkeys((reports.UnknownReport, reports.UnknownMilanReport, reports.UnknownTurinReport), V2),
    **dict.fromkeys((reports.ReportV3, reports.TurinReportV3), V3),
    **dict.fromkeys((reports.ReportV5, reports.TurinReportV5), V5),
    **dict.fromkeys((reports.ReportV6, reports.TurinReportV6, reports.VeniceReportV6), V6),
    VeniceTcb: {"fmc": 0, "tee": 1, "snp": 2, "reserved_3": 3, "": 8},
}


@pytest.mark.parametrize("layout", STARTS, ids=lambda layout: layout.__name__)
def test_every_field_is_where_the_facts_have_it(layout: type[Layout]) -> None:
    assert {**{row.name: row.offset for row in layout.rows}, "": layout.size} == STARTS[layout]


def test_the_real_report_is_read() -> None:
    raw = shared_data("snp", "milan-v2-report.bin").read_bytes()
    report = parse_report(raw)
    assert type(report) is reports.ReportV2
    assert report.findings() == []
    assert report.product == "Milan or Genoa"
    assert report.reported_tcb.parts == {"bl": 2, "tee": 0, "snp": 5, "ucode": 68}
    assert report.signed == raw[: reports.SIGNED]
    assert report.key_info.signer == "VCEK"


@given(raw=st.binary(min_size=SIZE, max_size=SIZE), version=st.integers(0, 8), product=st.sampled_from(["", "Turin"]))
def test_any_report_is_read_and_kept(raw: bytes, version: int, product: str) -> None:
    raw = bytes([version, 0, 0, 0]) + raw[4:]
    report = parse_report(raw, product)
    assert isinstance(report, Report)
    assert report.to_bytes() == raw
    assert report.is_known == (type(report) is not reports.UnknownReport and version in (2, 3, 5, 6))
    assert str(report)
    report.findings()
    if product:
        assert report.TCB is TurinTcb


@given(raw=st.binary(max_size=2 * SIZE).filter(lambda raw: len(raw) != SIZE))
def test_another_length_is_refused(raw: bytes) -> None:
    with pytest.raises(LayoutError, match="1184 bytes"):
        parse_report(raw)


def make(version: int, **fields: object) -> bytes:
    """Return a report of this version, zero but for *fields*."""
    kind = {2: reports.ReportV2, 3: reports.ReportV3, 5: reports.ReportV5, 6: reports.ReportV6}[version]
    return kind.from_bytes(bytes(SIZE)).replace(version=version, **fields).to_bytes()


@pytest.mark.parametrize(
    ("raw", "product", "form"),
    [
        (make(2), "", MilanTcb),
        (make(2, chip_id=bytes(range(64))), "Milan or Genoa", MilanTcb),
        (make(2, chip_id=bytes(range(8)) + bytes(56)), "Turin", TurinTcb),
        (make(3, cpuid_fam_id=0x19, cpuid_mod_id=1), "Milan", MilanTcb),
        (make(3, cpuid_fam_id=0x19, cpuid_mod_id=0x11), "Genoa", MilanTcb),
        (make(5, cpuid_fam_id=0x19, cpuid_mod_id=0xA0), "Genoa", MilanTcb),
        (make(5, cpuid_fam_id=0x1A, cpuid_mod_id=2), "Turin", TurinTcb),
        (make(5, cpuid_fam_id=0x1A, cpuid_mod_id=0x20), "", MilanTcb),
        (make(5, cpuid_fam_id=0x1A, cpuid_mod_id=0x50), "", MilanTcb),
        (make(6, cpuid_fam_id=0x19, cpuid_mod_id=0x11), "Genoa", MilanTcb),
        (make(6, cpuid_fam_id=0x1A, cpuid_mod_id=2), "Turin", TurinTcb),
        *((make(6, cpuid_fam_id=0x1A, cpuid_mod_id=one), "Venice", VeniceTcb) for one in (0x50, 0x9F, 0xC7)),
    ],
)
def test_the_report_names_its_product(raw: bytes, product: str, form: type[Layout]) -> None:
    report = parse_report(raw)
    assert report.product == product
    assert report.TCB is form


def test_a_venice_is_shown_and_gets_no_address() -> None:
    report = parse_report(make(6, cpuid_fam_id=0x1A, cpuid_mod_id=0x90, chip_id=b"x" * 64, current_etcb=b"e" * 32))
    assert "Version 6, from Venice" in str(report)
    assert "65" * 32 in str(report).replace("\n", "")
    assert vcek_urls(report)[0] == []
    assert "Venice" in vcek_urls(report)[1]


def test_one_tcb_reads_differently_on_turin() -> None:
    """Incident F40: the same bytes, decoded for the wrong product."""
    raw = bytes([4, 0, 0, 0, 0, 0, 24, 219])
    assert MilanTcb.from_bytes(raw).parts == {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}
    assert TurinTcb.from_bytes(raw).parts == {"fmc": 4, "bl": 0, "tee": 0, "snp": 0, "ucode": 219}
    assert MilanTcb.from_bytes(raw).below({"snp": 25, "ucode": 1, "fmc": 0}) == ["snp"]
