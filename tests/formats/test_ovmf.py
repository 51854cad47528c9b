"""Firmware images: real ones, hand-broken ones, arbitrary ones."""

from __future__ import annotations

import io
import json
import re
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab import explain
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.formats import ovmf_tables
from sevlab.formats.guid import Guid
from sevlab.formats.ovmf import Ovmf, parse_ovmf
from sevlab.formats.ovmf_tables import (
    FOOTER,
    HASH_BLOCK,
    NVRAM,
    RESET_BLOCK,
    SECRET_BLOCK,
    SECTION_LIMIT,
    SEV_METADATA,
    SVSM_INFO,
    Section,
    VolumeHeader,
    find_volumes,
)
from sevlab.formats.ovmf_view import REGION_LIMIT
from sevlab.launch.inputs import FIRMWARE_LIMIT, load_ovmf
from sevlab.layout.views import BAR_WIDTH, Bar, shares
from tests.made_images import AMD_SEV, FFS, entry, image, metadata, tail, volume, with_metadata
from tests.paths import DOCS, ROOT
from tests.shared_data import shared_data
from tests.soak import many

DEBIAN = Path("/usr/share/OVMF")
COMBINED = Path("/usr/share/ovmf/OVMF.fd")
UNKNOWN = Guid.from_text("01234567-89ab-cdef-0123-456789abcdef")


def debian(name: str) -> Path:
    path = COMBINED if name == "OVMF.fd" else DEBIAN / name
    if not path.exists():
        pytest.skip("Debian's package ovmf is not installed")
    return path


def real_tails() -> list[bytes]:
    return [
        shared_data("firmware", name).read_bytes() for name in ("ovmf_AmdSev_suffix.bin", "ovmf_OvmfX64_suffix.bin")
    ]


# Real images.


def test_the_amdsev_build_of_2024() -> None:
    ovmf = load_ovmf(str(shared_data("firmware", "ovmf_AmdSev_suffix.bin")))
    assert ovmf.reset_address == 0x80B004
    assert ovmf.secret_area == (0x810000, 0xC00)
    assert ovmf.hash_area == (0x810C00, 0x400)
    assert tuple(map(tuple, ovmf.sections)) == AMD_SEV
    assert ovmf.table is not None
    assert ovmf.table.size == 136
    assert ovmf.metadata is not None
    assert ovmf.metadata.size == 100
    assert [e.name for e in ovmf.entries] == [
        "SEV-ES reset block",
        "SEV secret block",
        "SEV hash table block",
        "SEV metadata offset",
        "TDX metadata offset",
    ]
    assert [a.answer for a in ovmf.abilities()] == ["unknown", "yes", "yes", "yes"]  # of its code there is nothing
    assert "KERNEL_HASHES" not in ovmf.abilities()[0].sentence, "the hash area lies in its section: nothing to warn of"
    assert ovmf.findings == []
    assert (ovmf.kind_key, ovmf.size, ovmf.base_address) == ("fragment", 4096, 0xFFFFF000)


def test_the_plain_build() -> None:
    ovmf = load_ovmf(str(shared_data("firmware", "ovmf_OvmfX64_suffix.bin")))
    assert (ovmf.reset_address, ovmf.secret_area, ovmf.hash_area) == (0x80B004, None, None)
    assert [tuple(section) for section in ovmf.sections] == [
        (0x800000, 0x9000, 1),
        (0x80A000, 0x3000, 1),
        (0x80D000, 0x1000, 2),
        (0x80E000, 0x1000, 3),
        (0x80F000, 0x1000, 4),
        (0x810000, 0x10000, 1),
    ]
    assert ovmf.table is not None
    assert (ovmf.table.size, ovmf.metadata and ovmf.metadata.size) == (136, 88)
    assert [a.answer for a in ovmf.abilities()] == ["no", "yes", "yes", "no"]


@pytest.mark.parametrize(
    ("name", "key", "build"),
    [
        ("OVMF.fd", "combined", "(2M build)"),
        ("OVMF_CODE.fd", "code", "(2M build)"),
        ("OVMF_CODE.secboot.fd", "code", "(2M build)"),
        ("OVMF_CODE_4M.fd", "code", "(4M build)"),
        ("OVMF_CODE_4M.secboot.fd", "code", "(4M build)"),
        ("OVMF_VARS.fd", "vars", "(1M or 2M build)"),
        ("OVMF_VARS.ms.fd", "vars", "(1M or 2M build)"),
        ("OVMF_VARS_4M.fd", "vars", "(4M build)"),
    ],
)
def test_debians_files(name: str, key: str, build: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = debian(name)
    ovmf = load_ovmf(str(path))
    assert ovmf.kind_key == key
    assert build in ovmf.kind
    assert ovmf.findings == []
    assert ovmf.is_usable is (key != "vars")
    assert main(["ovmf", str(path)]) == (0 if ovmf.is_usable else 1)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    if key == "vars":
        assert {a.answer for a in ovmf.abilities()} == {"unknown"}
    else:
        assert ovmf.reset_address in (0x80B004, 0x808004)
        assert ovmf.abilities()[1].answer == "yes"


def test_joined_halves_are_the_combined_image() -> None:
    code, store, both = (debian(name).read_bytes() for name in ("OVMF_CODE.fd", "OVMF_VARS.fd", "OVMF.fd"))
    assert parse_ovmf(store + code).kind == parse_ovmf(both).kind
    swapped = parse_ovmf(code + store)
    assert swapped.kind_key == "swapped"
    assert not swapped.is_usable


@pytest.mark.parametrize("cut", [100, 0x20000 - 1, 0x20000 + 5000, 1_000_000, 0x1CC000, 0x1CC000 + 100, 0x1FFFFF])
def test_a_truncated_image(cut: int) -> None:
    ovmf = parse_ovmf(debian("OVMF.fd").read_bytes()[:cut])
    assert ovmf.kind_key == "truncated", ovmf.kind
    assert not ovmf.is_usable
    assert ovmf.faults


def test_an_image_without_its_beginning() -> None:
    ovmf = parse_ovmf(debian("OVMF.fd").read_bytes()[1000:])
    assert ovmf.kind_key == "fragment"
    assert "not at 0" in ovmf.kind


# What stands around the image.


@given(st.integers(1, 5000), st.sampled_from([0x00, 0xFF, 0x41]))
def test_padding_after_the_footer(count: int, byte: int) -> None:
    good = image(tail(entry(RESET_BLOCK, struct.pack("<I", 0x80B004))))
    ovmf = parse_ovmf(good + bytes([byte]) * count)
    assert ovmf.kind == f"an OVMF image followed by {count} bytes of padding (0x{byte:02x})"
    assert f"truncate -s {len(good)} FILE" in ovmf.findings[0]
    assert (ovmf.reset_address, ovmf.sections, ovmf.is_usable) == (None, (), False)
    assert len(ovmf.entries) == 1, "what the table holds is still shown"
    assert {a.answer for a in ovmf.abilities()} == {"no"}
    assert parse_ovmf(ovmf.image[: ovmf.end]).is_usable


def test_other_bytes_after_the_footer() -> None:
    ovmf = parse_ovmf(image(tail()) + b"hello\n")
    assert ovmf.kind_key == "trailing"
    assert "6 bytes" in ovmf.kind


def test_two_images_in_a_row() -> None:
    good = volume(NVRAM, 0x1000) + image(tail())
    assert parse_ovmf(good).is_usable
    twice = parse_ovmf(good + good)
    assert not twice.is_usable
    assert "another variable store" in twice.findings[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x7fELF" + bytes(200) + FOOTER + bytes(200), "ELF"),
        (b"MZ" + bytes(0x200) + b"HdrS" + bytes(100), "Linux kernel"),
        (b"QFI\xfb" + bytes(100), "qcow2"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (b"IGVM" + bytes(100), "IGVM"),
        (b"\xff" * 4096, "all 0xff"),
        (bytes(range(256)) * 256 + b"\xea" + bytes(15), "SeaBIOS"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"hello", "not OVMF: 5 bytes"),
    ],
)
def test_what_is_not_ovmf(content: bytes, words: str) -> None:
    ovmf = parse_ovmf(content)
    assert ovmf.kind_key == "other"
    assert words in ovmf.kind
    assert not ovmf.is_usable
    assert {a.answer for a in ovmf.abilities()} == {"unknown"}


def test_an_image_from_before_the_table() -> None:
    legacy = entry(RESET_BLOCK, struct.pack("<I", 0x80B004)) + bytes(12) + b"VTF\0" + bytes(16)
    ovmf = parse_ovmf(image(legacy))
    assert (ovmf.kind_key, ovmf.reset_address, ovmf.table) == ("old", 0x80B004, None)
    assert [a.answer for a in ovmf.abilities()] == ["no", "yes", "no", "no"]
    older = parse_ovmf(image(bytes(12) + b"VTF\0" + bytes(16)))
    assert (older.kind_key, older.reset_address) == ("old", None)
    assert [a.answer for a in older.abilities()] == ["no"] * 4


def test_an_svsm_image_is_not_ovmf() -> None:
    ovmf = parse_ovmf(bytes(100) + tail(entry(SVSM_INFO, struct.pack("<I", 64))))
    assert ovmf.kind_key == "svsm"
    assert not ovmf.is_usable


# The table.


def test_unknown_entries_are_kept() -> None:
    ovmf = parse_ovmf(image(tail(entry(UNKNOWN, b"abc"), entry(RESET_BLOCK, struct.pack("<I", 7)))))
    reset, unknown = ovmf.entries
    assert (reset.as_dict()["known"], unknown.as_dict()["known"]) == (True, False)
    assert (reset.value.address, unknown.value) == (7, None)
    assert (unknown.guid, unknown.data, unknown.name) == (UNKNOWN, b"abc", "unknown")
    assert ovmf.image[unknown.offset :][:3] == b"abc"
    assert ovmf.is_usable


def test_the_entry_nearest_the_end_counts() -> None:
    ovmf = parse_ovmf(image(tail(*(entry(RESET_BLOCK, struct.pack("<I", n)) for n in (1, 2)))))
    assert ovmf.reset_address == 2
    assert "comes 2 times" in ovmf.findings[0]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (tail(total=0), "its total length is 0"),
        (tail(total=17), "its total length is 17"),
        (tail(total=0xFFFF), "only 8160 bytes lie before"),
        (tail(entry(UNKNOWN, b"", 0)), "has length 0"),
        (tail(entry(UNKNOWN, b"", 17)), "has length 17"),
        (tail(entry(UNKNOWN, b"", 19)), "only 18 bytes of the table are left"),
        (tail(entry(UNKNOWN, b"", 0xFFFF)), "has length 65535"),
        (tail(b"xyz"), "3 stray bytes"),
        (tail(entry(RESET_BLOCK, b"ab")), "2 bytes of data, but it needs 4"),
        (tail(entry(RESET_BLOCK, bytes(4))), "the address is 0"),
        (tail(entry(HASH_BLOCK, struct.pack("<II", 0xFFFFF000, 0x2000))), "beyond 4 GiB"),
    ],
)
def test_a_broken_table(end: bytes, words: str) -> None:
    ovmf = parse_ovmf(image(end))
    assert words in " ".join(ovmf.findings)
    assert not ovmf.is_usable
    assert ovmf.reset_address is None
    str(ovmf)


def test_what_is_read_before_the_break_stays() -> None:
    good = entry(RESET_BLOCK, struct.pack("<I", 0x80B004))
    ovmf = parse_ovmf(image(tail(entry(UNKNOWN, b"", 3), good)))
    assert ovmf.reset_address == 0x80B004
    assert [a.answer for a in ovmf.abilities()] == ["unknown", "yes", "unknown", "unknown"]


def test_a_hash_area_that_is_too_small() -> None:
    ovmf = parse_ovmf(image(tail(entry(HASH_BLOCK, struct.pack("<II", 0x1000, 175)))))
    assert ovmf.hash_area == (0x1000, 175)
    assert ovmf.abilities()[0].answer == "no"
    assert ovmf.is_usable, "it is only no good for kernel hashes"


def test_thousands_of_odd_sections_are_told_in_a_few_lines() -> None:
    ovmf = parse_ovmf(
        image(metadata(*[(1, 1, 99)] * 250) + tail(entry(SEV_METADATA, struct.pack("<I", 16 + 3000 + 72))))
    )
    assert len(ovmf.findings) > 500
    assert str(ovmf).count("FINDING") == REGION_LIMIT
    assert f"And {len(ovmf.findings) - REGION_LIMIT} more findings" in str(ovmf)


def test_areas_with_base_0_are_none() -> None:
    blocks = (entry(guid, struct.pack("<II", 0, 0x400)) for guid in (HASH_BLOCK, SECRET_BLOCK))
    ovmf = parse_ovmf(image(tail(*blocks)))
    assert (ovmf.hash_area, ovmf.secret_area) == (None, None)
    assert "names base 0" in ovmf.abilities()[0].sentence


# The SEV metadata.


def test_sections_in_file_order() -> None:
    sections = [(0x9000, 0x1000, 2), (0x1000, 0x2000, 3)]
    ovmf = parse_ovmf(with_metadata(metadata(*sections)))
    assert list(ovmf.sections) == [Section(*s) for s in sections]
    assert [s.name for s in ovmf.sections] == ["SECRETS", "CPUID"]
    assert ovmf.abilities()[2].answer == "yes"
    assert ovmf.is_usable


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"BSEV" + metadata()[4:], "not with 'ASEV'"),
        (metadata(version=2), "its version is 2"),
        (metadata((0x1000, 0x1000, 1), length=16), "its length is 16, but 1 sections need 28"),
        (metadata(count=0xFFFFFFFF, length=0xFFFFFFFF), "only 6 fit"),
        (metadata(count=1 << 20), "only 6 fit"),
    ],
)
def test_broken_metadata(body: bytes, words: str) -> None:
    ovmf = parse_ovmf(with_metadata(body))
    assert words in " ".join(ovmf.faults)
    assert not ovmf.is_usable
    assert ovmf.abilities()[2].answer == "unknown"


@pytest.mark.parametrize("offset", [0, 1, 15, 0x2001, 0xFFFFFFFF])
def test_metadata_outside_the_image(offset: int) -> None:
    ovmf = parse_ovmf(image(tail(entry(SEV_METADATA, struct.pack("<I", offset)))))
    assert "outside the image" in ovmf.findings[0]
    assert ovmf.metadata is None


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ([(0x1000, 0x1000, 9)], "unknown type"),
        ([(0x1001, 0x1000, 1)], "not whole pages"),
        ([(0x1000, 0, 1)], "not whole pages"),
        ([(0xFFFFF000, 0x2000, 1)], "beyond 4 GiB"),
        ([(0x2000, 0x1000, 1), (0x1000, 0x1001, 1)], "sections 2 and 1 overlap"),
    ],
)
def test_odd_sections_are_notes(sections: list[tuple[int, int, int]], words: str) -> None:
    ovmf = parse_ovmf(with_metadata(metadata(*sections)))
    assert words in " ".join(ovmf.notes)
    assert len(ovmf.sections) == len(sections)
    str(ovmf)


def test_a_hash_area_outside_its_section_is_told() -> None:
    sections = metadata((0x1000, 0x1000, 0x10), (0x2000, 0x1000, 2), (0x3000, 0x1000, 3))
    for base, told in ((0x1C00, False), (0x9000, True)):
        block = entry(HASH_BLOCK, struct.pack("<II", base, 0x400))
        distance = len(tail(block, entry(SEV_METADATA, bytes(4)))) + len(sections)
        end = sections + tail(block, entry(SEV_METADATA, struct.pack("<I", distance)))
        assert ("not under SEV-SNP" in parse_ovmf(image(end)).abilities()[0].sentence) is told


def test_thousands_of_sections_and_entries_stay_few_on_the_page() -> None:
    many = with_metadata(metadata(*[(n << 13, 4096, 1) for n in range(400)]))
    ovmf = parse_ovmf(many)
    assert len(ovmf.sections) == SECTION_LIMIT
    assert f"only the first {SECTION_LIMIT}" in ovmf.findings[0]
    entries = parse_ovmf(image(tail(*[entry(UNKNOWN, b"")] * 3000), 0x10000))
    assert len(entries.entries) == 3000
    for one in (ovmf, entries):
        assert all(len(made.regions) <= REGION_LIMIT for made in one.maps())
        assert len(str(one)) < 100_000


# Whatever the bytes.


def check(ovmf: Ovmf) -> None:
    """Assert what holds for every file."""
    made = ovmf.maps()
    for one in made:
        place = one.regions[0].start
        for region in one.regions:
            assert region.start == place
            assert region.size > 0
            place += region.size
    if ovmf.size:
        assert made[0].regions[0].start == 0
        assert sum(region.size for region in made[0].regions) == ovmf.size
    for one_entry in ovmf.entries:
        assert ovmf.image[one_entry.offset : one_entry.offset + len(one_entry.data)] == one_entry.data
    assert len(ovmf.entries) <= 0xFFFF // 18
    assert len(ovmf.sections) <= SECTION_LIMIT
    assert len(ovmf.abilities()) == 4
    assert all(line.isprintable() for line in str(ovmf).splitlines())
    assert ovmf.explain().html() == explain(ovmf).html()
    json.dumps(ovmf.as_dict())


@given(st.binary(max_size=600))
def test_arbitrary_bytes(raw: bytes) -> None:
    check(parse_ovmf(raw))


@given(st.binary(max_size=400), st.integers(0, 0xFFFF), st.binary(max_size=40))
def test_arbitrary_bytes_before_a_footer(raw: bytes, total: int, after: bytes) -> None:
    check(parse_ovmf(raw + tail(total=total) + after))


@settings(max_examples=many(60, 12))
@given(st.data())
def test_mutated_real_tails(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(real_tails())))
    # Where the tables are: the last 0xb0 bytes, and the metadata.
    places = st.one_of(st.integers(4096 - 0xB0, 4095), st.integers(4096 - 0x560, 4096 - 0x4D0), st.integers(0, 4095))
    for place in data.draw(st.lists(places, min_size=1, max_size=8)):
        raw[place] = data.draw(st.integers(0, 255))
    check(parse_ovmf(bytes(raw)))


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 17)), max_size=6))
def test_arbitrary_sections(sections: list[tuple[int, int, int]]) -> None:
    ovmf = parse_ovmf(with_metadata(metadata(*sections)))
    assert [tuple(s) for s in ovmf.sections] == sections
    check(ovmf)


@given(st.lists(st.tuples(st.sampled_from([NVRAM, FFS]), st.integers(72, 300), st.integers(0, 600)), max_size=5))
def test_arbitrary_volumes(parts: list[tuple[Guid, int, int]]) -> None:
    check(parse_ovmf(b"".join(volume(guid, size, claimed) for guid, size, claimed in parts)))


def test_a_file_full_of_volume_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(ovmf_tables, "read_volume", lambda image, offset: looked.append(offset))
    assert find_volumes(b"_FVH" * 100_000) == ()
    assert len(looked) == ovmf_tables.PLACES_LIMIT


def test_the_header_declaration_reads_what_was_built() -> None:
    header = VolumeHeader.from_bytes(volume(NVRAM, 100, 0x20000)[:56])
    assert (header.file_system, header.length, header.header_length, header.findings()) == (NVRAM, 0x20000, 72, [])


def test_only_bytes_are_parsed() -> None:
    with pytest.raises(InputError, match="load_ovmf"):
        parse_ovmf("OVMF.fd")  # type: ignore[arg-type]
    assert parse_ovmf(bytearray(b"x")).size == 1  # type: ignore[arg-type]


# Files and the command.


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, large = tmp_path / "empty", tmp_path / "large"
    empty.touch()
    with large.open("wb") as stream:
        stream.truncate(FIRMWARE_LIMIT + 1)
    for path, words in (
        (empty, "empty file"),
        (large, "64 MiB"),
        (tmp_path / "no", "no such file"),
        (tmp_path, "folder"),
    ):
        assert main(["ovmf", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert words in err
        assert err.startswith("ERROR: FILE: ")
        assert err.count("\n") == 1
        with pytest.raises(InputError):
            load_ovmf(str(path))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    good = image(tail(entry(RESET_BLOCK, struct.pack("<I", 0x80B004))))
    path = tmp_path / "OVMF_CODE.fd"
    path.write_bytes(good)
    assert main(["ovmf", str(path)]) == 0
    text = capsys.readouterr().out
    assert text == f"{load_ovmf(str(path))}\n"
    for words in ("CODE half", "0x80b004", "Map of the file", "reset vector"):
        assert words in text
    assert main(["ovmf", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "good"
    assert told["reset_address"] == 0x80B004
    assert told["entries"][0]["value"] == {"address": 0x80B004}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(good[:-1])))
    assert main(["ovmf", "-", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kind"] == "truncated"
    assert main(["ovmf"]) == 2


def test_the_manual_lists_every_key_and_kind() -> None:
    manual = (DOCS / "ovmf.md").read_text(encoding="utf-8")
    source = (ROOT / "sevlab" / "formats" / "ovmf.py").read_text(encoding="utf-8")
    kinds = set(re.findall(r'return "(\w+)", ', source))
    assert kinds >= {"other", "swapped", "combined"}
    keys = {*parse_ovmf(b"x").as_dict(), *kinds}
    assert len(keys) > 20
    assert [key for key in sorted(keys) if f"`{key}`" not in manual] == []


# The map.


@given(st.lists(st.integers(0, 1 << 64), max_size=200), st.integers(0, 100))
def test_shares_are_whole_fair_and_never_none(sizes: list[int], width: int) -> None:
    given_ = shares(sizes, width)
    assert all(share >= 1 for share in given_)
    if any(sizes):
        assert sum(given_) == max(width, len(sizes))
    ordered = sorted(zip(sizes, given_, strict=True))
    assert [share for _, share in ordered] == sorted(given_) or len(set(sizes)) < len(sizes)


def test_a_bar() -> None:
    bar = Bar([("left", 3, "blue"), ("<right>", 1, "grey")])
    drawn = bar.text()
    assert (drawn.count("A"), drawn.count("B")) == (60, 20)
    assert len(drawn) == BAR_WIDTH + 3
    assert "&lt;right&gt;" in bar.html()
    assert " id=" not in bar.html()
