"""Does a firmware check the kernel hashes that are measured? Made volumes, real images, and every verb that says so."""

from __future__ import annotations

import base64
import itertools
import json
import lzma
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab import Measurement, MeasureMessage, Policy, SecretBytes, compute_measure
from sevlab.cli import main
from sevlab.formats import efi_modules
from sevlab.formats.efi_modules import (
    CANNOT_TELL,
    DECODED_LIMIT,
    DEPTH_LIMIT,
    ENFORCES,
    LOADER,
    LZMA,
    PLACE_ONLY,
    WORDS,
    Enforcement,
    Programs,
)
from sevlab.formats.guid import Guid
from sevlab.formats.ovmf import parse_ovmf
from sevlab.formats.ovmf_tables import HASH_BLOCK, SECRET_BLOCK, find_volumes
from sevlab.labs import sample_files, samples
from tests.made_images import FFS, entry, metadata, tail
from tests.peers import real_validate, why_no_real_tool
from tests.soak import many, some

FFS3 = Guid.from_text("5473c07a-3dcb-4dca-bd6f-1e9689e7349a")
OTHER = Guid.from_text("01234567-89ab-cdef-0123-456789abcdef")
TIANO = Guid.from_text("a31280ad-481e-41b6-95e8-127f4c984779")
CRC32 = Guid.from_text("fc1bcdb0-7d31-49aa-936a-a4600d9dd083")
GUIDS = [
    Guid.from_text(text)
    for text in (
        "4de79437-abd2-427f-b835-d5b172d2045b",
        "44baf731-3a2f-4bd7-9af1-41e29169781d",
        "97d02dd8-bd20-4c94-aa78-e7714d36ab2a",
    )
]
CHECKS, NULL = b"MZ" + bytes(100) + b"/".join(GUIDS) + bytes(50), b"MZ" + bytes(200)
DEBIANS = sorted({*Path("/usr/share/OVMF").glob("OVMF*.fd"), *Path("/usr/share/ovmf").glob("OVMF*.fd")})


def section(kind: int, content: bytes, size: int | None = None) -> bytes:
    raw = (4 + len(content) if size is None else size).to_bytes(3, "little") + bytes([kind]) + content
    return raw + bytes(-len(raw) % 4)


def guided(guid: bytes, content: bytes, offset: int = 24, attributes: int = 1) -> bytes:
    return section(0x02, guid + struct.pack("<HH", offset, attributes) + content)


def packed(content: bytes, guid: bytes = LZMA) -> bytes:
    """A section whose content is compressed as edk2 does it: the header tells the size."""
    raw = lzma.compress(content, lzma.FORMAT_ALONE, preset=1)
    return guided(guid, raw[:5] + struct.pack("<Q", len(content)) + raw[13:])


def name(text: str) -> bytes:
    return section(0x15, text.encode("utf-16-le") + b"\0\0")


def file(guid: bytes, *sections: bytes, kind: int = 7, state: int = 0xF8, large: bool = False) -> bytes:
    body = b"".join(sections)
    more = struct.pack("<Q", 32 + len(body)) if large else b""
    size = b"\xff\xff\xff" if large else (24 + len(body)).to_bytes(3, "little")
    head = guid + bytes([0, 0xAA, kind, int(large)]) + size + bytes([state]) + more
    head = head[:16] + bytes([-(sum(head) - 0xAA - state) & 0xFF]) + head[17:]
    return (head + body).ljust(-(-len(head + body) // 8) * 8, b"\xff")


def volume(*files: bytes, guid: bytes = FFS, size: int = 0, ext: int = 0) -> bytes:
    body = b"".join(files)
    begin = 72 + (24 if ext else 0)
    size = size or -(-(begin + len(body) + 32) // 8) * 8
    head = bytes(16) + guid + struct.pack("<Q4sIHHHBB", size, b"_FVH", 0x800, 72, 0, ext, 0, 2) + bytes(16)
    head = head[:0x32] + struct.pack("<H", -sum(struct.unpack("<36H", head)) & 0xFFFF) + head[0x34:]
    if ext:
        head += OTHER + struct.pack("<I", 24 - 4 + 4) + bytes(4)
    return (head + body).ljust(size, b"\xff")


def compressed(inner: bytes) -> bytes:
    """A volume within a volume, compressed."""
    return volume(file(OTHER, packed(section(0x17, inner))))


def loader(code: bytes, kind: int = 0x10) -> bytes:
    return file(LOADER, section(kind, code), name("QemuKernelLoaderFsDxe"))


def firmware(*volumes: bytes, hashes: bool = True) -> bytes:
    """An image of volumes whose last one ends in a footer table, with a place for hashes or without."""
    body = metadata((0x810000, 0x1000, 0x10), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3))
    areas = [entry(HASH_BLOCK, struct.pack("<II", 0x810C00 * hashes, 0x400)), entry(SECRET_BLOCK, bytes(8))]
    pointer = Guid.from_text("dc886566-984a-4798-a75e-5585a7bf67cc")
    reset = entry(Guid.from_text("00f771de-1a7e-4fcb-890e-68c77e2fb44e"), struct.pack("<I", 0x80B004))
    size = len(body) + len(tail(entry(pointer, bytes(4)), *areas, reset))
    end = body + tail(entry(pointer, struct.pack("<I", size)), *areas, reset)
    boot = volume(size=4096)
    whole = b"".join(volumes) + boot
    whole += bytes(-len(whole) % 4096)
    return volume(guid=Guid.from_text("fff12b8d-7696-4c8b-a985-2747075b4f50"), size=4096) + whole[: -len(end)] + end


def ovmf_like(code: bytes) -> bytes:
    """An image nested as OVMF is: one compressed section with two volumes, the driver in the second."""
    peim = volume(file(OTHER, section(0x12, b"VZ" + bytes(64)), name("PlatformPei"), kind=6))
    dxe = volume(file(OTHER, section(0x10, NULL), name("DxeCore"), kind=5), loader(code), ext=72)
    inside = section(0x19, bytes(8)) + section(0x17, peim) + section(0x17, dxe)
    return firmware(volume(file(OTHER, packed(inside), kind=11)))


def judge(image: bytes) -> Enforcement:
    efi_modules._known.clear()
    found = parse_ovmf(image).enforcement
    assert found is not None
    return found


# What it says.

NAMED = file(OTHER, section(0x10, CHECKS), name("SomeVerifier"))
IMAGES: dict[str, tuple[bytes, str, str]] = {
    "nested as OVMF is, with the verifier": (ovmf_like(CHECKS), ENFORCES, "QemuKernelLoaderFsDxe (806040ca-"),
    "nested as OVMF is, with the null verifier": (ovmf_like(NULL), PLACE_ONLY, "names none of its hashes"),
    "not compressed, with": (firmware(volume(loader(CHECKS))), ENFORCES, "kernel, initrd, cmdline"),
    "not compressed, without": (firmware(volume(loader(NULL))), PLACE_ONLY, "806040ca"),
    "firmware file system 3, a large file": (
        firmware(volume(file(LOADER, section(0x10, CHECKS), large=True), guid=FFS3)),
        *(ENFORCES, "without a name"),
    ),
    "a second header": (firmware(volume(loader(CHECKS), ext=72)), ENFORCES, "0x1000"),
    "as a terse executable": (firmware(volume(loader(CHECKS, 0x12))), ENFORCES, "0x1000"),
    "GUIDs in two halves": (
        firmware(volume(loader(b"mov".join(part for guid in GUIDS for part in (guid[:8], guid[8:]))))),
        *(ENFORCES, "kernel, initrd, cmdline"),
    ),
    "twice compressed": (
        firmware(compressed(compressed(volume(loader(NULL))))),
        *(PLACE_ONLY, "compressed volume at file offset 0x1000"),
    ),
    "in a section with a checksum": (
        firmware(volume(file(LOADER, guided(CRC32, bytes(4) + section(0x10, CHECKS), 28, 2)))),
        *(ENFORCES, "kernel"),
    ),
    "in a section that is compressed by not being": (
        firmware(volume(file(LOADER, section(0x01, bytes(5) + section(0x10, CHECKS))))),
        *(ENFORCES, "kernel"),
    ),
    "one GUID is missing": (
        firmware(volume(loader(b"-".join(GUIDS[:2])))),
        *(CANNOT_TELL, "names the hash of kernel and initrd only"),
    ),
    "no driver at all": (
        firmware(volume(file(OTHER, section(0x10, NULL)))),
        *(PLACE_ONLY, "none of its 1 programs names the hashes"),
    ),
    "another driver names them": (firmware(volume(NAMED)), CANNOT_TELL, "SomeVerifier"),
    "another names them, the driver does not": (firmware(volume(NAMED, loader(NULL))), PLACE_ONLY, "QemuKernel"),
    "the GUIDs are in data": (
        firmware(volume(file(OTHER, section(0x19, CHECKS)), file(OTHER, CHECKS, kind=1), loader(NULL))),
        *(PLACE_ONLY, "QemuKernel"),
    ),
    "the GUIDs are in a file that was deleted": (
        firmware(volume(file(LOADER, section(0x10, CHECKS), state=0xE8), loader(NULL))),
        *(PLACE_ONLY, "QemuKernel"),
    ),
    "the GUIDs are behind the volume": (
        firmware(volume(loader(NULL)), CHECKS.ljust(4096, b"\0")),
        *(PLACE_ONLY, "QemuKernel"),
    ),
    "another compression": (
        firmware(volume(file(OTHER, guided(TIANO, CHECKS)))),
        *(CANNOT_TELL, "an encoding that sevlab does not read (a31280ad-"),
    ),
    "EFI's standard compression": (
        firmware(volume(file(OTHER, section(0x01, struct.pack("<IB", 9, 1) + CHECKS)))),
        *(CANNOT_TELL, "a compression that sevlab does not read"),
    ),
    "no volume": (samples.firmware_for_kernels(), CANNOT_TELL, "it has no firmware volume"),
    "no program": (firmware(volume()), CANNOT_TELL, "hold no program"),
    "a volume of another kind": (firmware(volume(guid=OTHER)), CANNOT_TELL, f"unknown kind ({OTHER})"),
    "a name of a stranger": (
        firmware(volume(file(LOADER, section(0x10, NULL), name("\x1b[2Jevil\u202e")))),
        *(PLACE_ONLY, "a program without a name"),
    ),
}


@pytest.mark.parametrize("what", IMAGES)
def test_the_code_is_read(what: str) -> None:
    image, answer, words = IMAGES[what]
    found = judge(image)
    assert (found.answer, words in found.text) == (answer, True), found
    assert WORDS[answer] in found.text
    assert found.text.isascii()
    assert found.text.isprintable()
    assert bool(found.warnings) == (answer == PLACE_ONLY)
    assert bool(found.notes) == (answer == CANNOT_TELL)


def test_without_a_place_no_code_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efi_modules, "_read", lambda ovmf: 1 / 0)
    ovmf = parse_ovmf(firmware(volume(loader(CHECKS)), hashes=False))
    assert ovmf.enforcement is None
    assert ovmf.as_dict()["enforcement"] is None
    assert ovmf.abilities()[0].answer == "no"
    assert parse_ovmf(ovmf_like(CHECKS) + b"x").enforcement is None


def test_the_ovmf_verb_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {ENFORCES: "yes", PLACE_ONLY: "no", CANNOT_TELL: "unknown"}
    for image, answer, words in IMAGES.values():
        (tmp_path / "f.fd").write_bytes(image)
        main(["ovmf", str(tmp_path / "f.fd"), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert told["enforcement"] == judge(image).as_dict()
        assert told["enforcement"]["answer"] == answer
        assert (told["abilities"][0]["answer"], words in told["abilities"][0]["sentence"]) == (answers[answer], True)
        main(["ovmf", str(tmp_path / "f.fd")])
        assert WORDS[answer] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("path", DEBIANS, ids=[path.name for path in DEBIANS])
def test_debians_images_have_a_loader_that_checks_nothing(path: Path) -> None:
    """Of 2022, so without the place; with it their code would be that of stock builds of 2025."""
    ovmf = sevlab.load_ovmf(str(path))
    assert ovmf.enforcement is None
    programs = Programs(ovmf.image, ovmf.volumes)
    found = {program.guid: program for program in programs}
    assert programs.lost == []
    if ovmf.kind_key == "vars":
        assert not found
        return
    assert len(found) > 100
    assert found[LOADER].name == "QemuKernelLoaderFsDxe"
    assert efi_modules.names_hashes(found[LOADER].content) == []
    place = ovmf.image.rfind(HASH_BLOCK) - 10
    patched = ovmf.image[:place] + struct.pack("<II", 0x810C00, 0x400) + ovmf.image[place + 8 :]
    assert judge(patched).answer == PLACE_ONLY
    assert "QemuKernelLoaderFsDxe" in judge(patched).text


def test_the_samples_show_both_answers() -> None:
    made = sample_files.samples(["firmware-enforcing.fd", "firmware-stock.fd", "firmware-snp.fd", "firmware-kernel.fd"])
    answers = {file: judge(raw).answer for file, raw in made.items()}
    assert answers == {
        "firmware-enforcing.fd": ENFORCES,
        "firmware-stock.fd": PLACE_ONLY,
        "firmware-snp.fd": CANNOT_TELL,
        "firmware-kernel.fd": CANNOT_TELL,
    }
    one, other = (parse_ovmf(made[f"firmware-{which}.fd"]) for which in ("enforcing", "stock"))
    assert (one.is_usable, one.sections, one.hash_area) == (True, other.sections, other.hash_area)


# Broken and hostile images.


def test_cut_off_anywhere_nothing_is_claimed_that_was_not_seen() -> None:
    """The driver is the last thing in its volume, so that most cuts lose it. Never is it then said to check."""
    for code, told in ((CHECKS, ENFORCES), (NULL, PLACE_ONLY)):
        whole = ovmf_like(code)
        for end in some(range(len(whole)), 150):
            programs = Programs(whole[:end], find_volumes(whole[:end]))
            found = [program for program in programs if program.guid == LOADER]
            for program in found:
                assert bool(efi_modules.names_hashes(program.content)) <= (told == ENFORCES)
    image = ovmf_like(CHECKS)
    start = image.index(LZMA) + 24
    for length in some(range(1, 200), 60):  # the compressed part alone is cut, and the tables stand
        broken = image[: start + length] + bytes(image.index(b"\xff" * 32, start) - start - length)
        broken += image[len(broken) :]
        assert judge(broken).answer == CANNOT_TELL, length


def test_damage_is_never_an_answer_about_what_was_not_read() -> None:
    whole = ovmf_like(CHECKS)
    start = whole.index(LZMA) + 24
    for at in some(range(start, start + 300), 60):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        assert judge(bytes(broken)).answer in (CANNOT_TELL, ENFORCES), at


def bomb(size: int, header: bytes = b"") -> bytes:
    compressor = lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=1)
    raw = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()
    raw = raw[:5] + struct.pack("<Q", size) + raw[13:]
    return (header or raw[:13]) + raw[13:]


def zeros_with_head(size: int) -> bytes:
    """A bomb whose content is one section, so that somebody has to look at its end."""
    compressor = lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=1)
    head = b"\xff\xff\xff\x10" + struct.pack("<I", size - 64)
    raw = compressor.compress(head)
    raw += b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()
    return raw[:5] + struct.pack("<Q", size) + raw[13:]


HOSTILE = {
    "a bomb of 256 MiB": guided(LZMA, zeros_with_head(256 << 20)),
    "a bomb of zeros": guided(LZMA, bomb(128 << 20)),
    "a dictionary of 4 GiB": guided(LZMA, bomb(1 << 20, b"\x5d\xff\xff\xff\xff" + struct.pack("<Q", 1 << 20))),
    "a size of 2^64": guided(LZMA, bomb(1 << 20, b"\x5d\0\0\x01\0" + b"\xff" * 8)),
    "bombs in a row": b"".join([guided(LZMA, zeros_with_head(32 << 20))] * 40),
    "garbage for a stream": guided(LZMA, b"\x5d" + b"\xa5" * 5000),
    "no stream": guided(LZMA, b""),
    "a section of its own content": guided(CRC32, b"", 0, 0),
    "an offset beyond": guided(CRC32, b"", 0xFFFF, 0),
    "a section of size 0": section(0x10, b"", 0),
    "a section larger than its file": section(0x10, b"", 0xFFFFF0),
    "a hundred thousand sections": section(0x19, b"") * 100_000,
    "a volume that is none": section(0x17, b"\xff" * 5000),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_section_is_bounded(what: str) -> None:
    image = firmware(volume(file(OTHER, HOSTILE[what], large=True)))
    tracemalloc.start()
    began = time.perf_counter()
    found = judge(image)
    spent, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.answer == CANNOT_TELL
    assert spent < 20
    assert peak < 3 * DECODED_LIMIT + len(image)


def test_depth_is_bounded() -> None:
    inside = section(0x10, CHECKS)
    for _ in range(DEPTH_LIMIT - 1):
        inside = guided(CRC32, inside, attributes=0)
    assert judge(firmware(volume(file(LOADER, inside)))).answer == ENFORCES
    for _ in range(2000):
        inside = guided(CRC32, inside, attributes=0)
    found = judge(firmware(volume(file(LOADER, inside, large=True))))
    assert (found.answer, "levels deep" in found.text) == (CANNOT_TELL, True)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 0xFFFFFF])
def test_files_of_odd_sizes_end_a_volume(size: int) -> None:
    raw = bytearray(file(OTHER, section(0x10, NULL)))
    raw[20:23] = size.to_bytes(3, "little")
    raw[16] = 0
    raw[16] = -(sum(raw[:24]) - 0xAA - 0xF8) & 0xFF
    assert judge(firmware(volume(bytes(raw)))).answer == CANNOT_TELL


def test_what_was_not_read_is_told_a_few_times_only() -> None:
    sections = b"".join(guided(struct.pack("<QQ", number, 1), b"x" * 8) for number in range(100))
    programs = Programs(image := firmware(volume(file(OTHER, sections))), find_volumes(image))
    assert list(programs) == []
    assert len(programs.lost) == efi_modules.LOST_LIMIT


SEEDS = [image for image, _, _ in IMAGES.values() if len(image) < 20_000]


@settings(max_examples=many(4000, 150), deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=24)), max_size=8),
    st.integers(0, 1 << 20),
)
def test_mutated_images_are_read_or_not_and_never_raise(
    image: bytes, changes: list[tuple[int, bytes]], cut: int
) -> None:
    raw = bytearray(image)
    for place, new in changes:
        place %= len(raw)
        raw[place : place + len(new)] = new
    raw = raw[: len(raw) - cut % 64] if cut % 3 == 0 else raw
    programs = Programs(bytes(raw), find_volumes(bytes(raw)))
    for program in programs:
        assert len(program.content) <= len(raw) + DECODED_LIMIT
        assert program.text.isprintable()
    assert len(programs.lost) <= efi_modules.LOST_LIMIT
    efi_modules._known.clear()
    found = parse_ovmf(bytes(raw)).enforcement
    assert found is None or found.answer in WORDS


def test_without_lzma_it_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzma", None)
    found = judge(ovmf_like(CHECKS))
    assert (found.answer, "module lzma" in found.text) == (CANNOT_TELL, True)
    assert judge(firmware(volume(loader(CHECKS)))).answer == ENFORCES


def test_an_image_is_decompressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = efi_modules._read
    monkeypatch.setattr(efi_modules, "_read", lambda *given: reads.append(1) or read(*given))  # type: ignore[func-returns-value]
    efi_modules._known.clear()
    for _ in range(3):
        str(parse_ovmf(ovmf_like(NULL)))
    assert len(reads) == 1
    for number in range(efi_modules._KEPT + 5):
        _ = parse_ovmf(firmware(volume(loader(NULL + bytes([number]))))).enforcement
    assert len(efi_modules._known) == efi_modules._KEPT


# The verbs.

CASES = {
    ENFORCES: ("firmware-enforcing.fd", ""),
    PLACE_ONLY: ("firmware-stock.fd", "WARNING: "),
    CANNOT_TELL: ("firmware-snp.fd", "NOTE: "),
}
NUMBERS = {"api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enforcement")
    sample_files.write_samples(folder)
    return folder


def options(desk: Path, file: str, kernel: bool = True) -> dict[str, str]:
    """Options of validate for a launch that validates."""
    given = {"firmware": str(desk / file)} | ({"kernel": str(desk / "kernel.bin"), "cmdline": "a b"} if kernel else {})
    digest = sevlab.load_launch(Policy(1), **given).digest
    numbers = {name: value for name, value in NUMBERS.items() if name != "policy"}
    message = MeasureMessage(**numbers, policy=Policy(1), digest=digest, mnonce=samples.MNONCE)
    raw = Measurement(measure=compute_measure(message, SecretBytes(samples.TIK)), mnonce=samples.MNONCE).to_bytes()
    values = {"measurement": base64.b64encode(raw).decode(), **NUMBERS, "tk": desk / "tk.bin", **given}
    return {name: str(value) for name, value in values.items()}


def spelled(given: dict[str, str]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


def command_line(desk: Path, file: str, form: str) -> str:
    """A configuration that boots a kernel with hashes: as QEMU's command line, or as libvirt's XML."""
    path = desk / f"{form}.txt"
    if form == "xml":
        path.write_text(
            "<domain type='kvm'><name>a</name><vcpu>1</vcpu><os><type>hvm</type>"
            f"<loader type='rom'>{desk / file}</loader><kernel>/k</kernel></os>"
            "<launchSecurity type='sev' kernelHashes='yes'><policy>0x1</policy></launchSecurity></domain>"
        )
    else:
        path.write_text(
            "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s,policy=1,"
            f"kernel-hashes=on -drive if=pflash,unit=0,format=raw,file={desk / file} -kernel k -append a"
        )
    return str(path)


def case_file(desk: Path, file: str) -> str:
    path = desk / f"{file}.toml"
    lines = [f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in options(desk, file).items()]
    main(["case", "new", "-o", str(path), "--force", *spelled(options(desk, file))])
    assert path.exists(), lines
    return str(path)


def words_of(verb: str, desk: Path, file: str) -> list[str]:
    """A command that measures a kernel with a firmware."""
    given = options(desk, file)
    peer = ["--ovmf", given["firmware"], "--kernel", given["kernel"], "--append", "a b"]
    cpus = ["--vcpus", "2", "--vcpu-type", "EPYC-Milan"]
    parts = {name: given[name] for name in ("api_major", "api_minor", "build_id", "policy", "firmware", "kernel")}
    return {
        "validate": ["validate", *spelled(given)],
        "validate, not the same": ["validate", *spelled({**given, "build_id": "12"})],
        "validate --json": ["validate", *spelled(given), "--json"],
        "explain": ["explain", *spelled(given)],
        "explain --json": ["explain", *spelled(given), "--json"],
        "explain --html": ["explain", *spelled(given), "--html", "-"],
        "digest sev": ["digest", "--mode", "sev", *peer],
        "digest seves": ["digest", "--mode", "seves", *peer, *cpus],
        "digest snp": ["digest", "--mode", "snp", *peer, *cpus],
        "digest snp --trace": ["digest", "--mode", "snp", *peer, *cpus, "--trace"],
        "digest snp --verbose": ["digest", "--mode", "snp", *peer, *cpus, "--verbose"],
        "digest snp --json": ["digest", "--mode", "snp", *peer, *cpus, "--json"],
        "measure": ["measure", *spelled({**parts, "tik": str(desk / "tik.bin"), "nonce": "00" * 16})],
        "measure --json": ["measure", *spelled({**parts, "tik": str(desk / "tik.bin"), "nonce": "00" * 16}), "--json"],
        "coverage of a command line": ["coverage", "--qemu-cmdline", command_line(desk, file, "qemu")],
        "coverage of a domain": ["coverage", "--xml", command_line(desk, file, "xml")],
        "coverage of a case": ["coverage", "--case", case_file(desk, file)],
        "coverage --json": ["coverage", "--json", "--xml", command_line(desk, file, "xml")],
    }[verb]


SPEAKING = [
    *("validate", "validate, not the same", "validate --json", "explain", "explain --json", "explain --html"),
    *("digest sev", "digest seves", "digest snp", "digest snp --trace", "digest snp --verbose", "digest snp --json"),
    *("measure", "measure --json", "coverage of a command line", "coverage of a domain", "coverage of a case"),
    "coverage --json",
]


@pytest.mark.parametrize("answer", CASES)
@pytest.mark.parametrize("verb", SPEAKING)
def test_every_verb_that_measures_a_kernel_says_it(
    desk: Path, capsys: pytest.CaptureFixture[str], verb: str, answer: str
) -> None:
    file, mark = CASES[answer]
    argv = words_of(verb, desk, file)
    capsys.readouterr()
    status = main(argv)
    out, err = capsys.readouterr()
    said = " ".join((out + err).replace("\\", "").split())
    if answer != ENFORCES:
        assert WORDS[answer] in said
        assert verb.startswith("coverage") or (mark in err) or mark.strip() in out or "--json" in argv
    if not verb.startswith("coverage") and "--json" not in argv:
        assert [word for word in ("WARNING: ", "NOTE: ") if word in out + err] == [mark] * bool(mark)
    assert status == (verb == "validate, not the same")
    if answer != PLACE_ONLY:
        assert WORDS[PLACE_ONLY] not in said
        assert "while any kernel boots" not in said or answer == CANNOT_TELL


@pytest.mark.parametrize("verb", SPEAKING[:3])
def test_validate_s_verdict_comes_first_and_stays(desk: Path, verb: str) -> None:
    runs = {}
    for answer, (file, mark) in CASES.items():
        argv = [sys.executable, "-m", "sevlab", *words_of(verb, desk, file)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        first = (done.stderr if done.returncode else done.stdout).splitlines()[:1]
        runs[answer] = (done.returncode, first)
        doubts = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "NOTE"))]
        assert len(doubts) == (mark != "" and "--json" not in argv)
        both = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert verb != "validate" or both.stdout.startswith("OK: Looks good to me\n")
    assert len(set(map(str, runs.values()))) == 1


def test_libvirt_s_tool_says_the_same_first(desk: Path) -> None:
    if reason := why_no_real_tool():
        pytest.skip(reason)
    for file, _ in CASES.values():
        real = real_validate(*itertools.chain(*(word.split("=", 1) for word in spelled(options(desk, file)))))
        assert (real.status, real.first_line) == (0, "OK: Looks good to me")


def test_quiet_is_quiet(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--quiet", *spelled(options(desk, "firmware-stock.fd"))]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kernel", [False, True])
def test_without_a_kernel_it_costs_nothing(desk: Path, kernel: bool) -> None:
    given = spelled(options(desk, "firmware-stock.fd", kernel))
    names = {"lzma", "sevlab.formats.efi_modules"}
    program = f"import sys; from sevlab.cli import main; main({['validate', *given]})"
    code = f"{program}; print(sorted({names} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    # The stock sample is not compressed, so lzma is not needed even then.
    loaded = ["sevlab.formats.efi_modules"] if kernel else []
    assert done.stdout.splitlines() == ["OK: Looks good to me", str(loaded)], done.stderr


def test_coverage_labels_a_kernel_that_nothing_checks(desk: Path) -> None:
    text = Path(command_line(desk, "firmware-stock.fd", "qemu")).read_text()
    covered = sevlab.cases.coverage.cover_command_line(text)
    labels = {line.words: line.label for line in covered.lines}
    assert labels["-kernel k"] == labels["-append a"] == "not measured"
    assert [line.path for line in covered.broken] == ["absent enforcement"]
    fine = sevlab.cases.coverage.cover_command_line(text.replace("stock", "enforcing"))
    assert {line.words: line.label for line in fine.lines}["-kernel k"] == "measured"
    assert (fine.broken, fine.setup.enforcement) == ([], ENFORCES)
    for path in ("nothing-here.fd", "/nothing/here.fd", str(desk), "/dev/zero", str(desk / "firmware-\x1b.fd")):
        unknown = sevlab.cases.coverage.cover_command_line(text.replace(str(desk / "firmware-stock.fd"), path))
        assert (unknown.setup.enforcement, unknown.broken) == (CANNOT_TELL, [])
        assert WORDS[CANNOT_TELL] in unknown.firmware
    without = sevlab.cases.coverage.cover_command_line(text.replace("firmware-stock.fd", "firmware.fd"))
    assert [line.path for line in without.broken] == ["absent place"]
    for off in (text.replace("=on", "=off"), text.replace("-kernel k -append a", "")):
        assert sevlab.cases.coverage.cover_command_line(off).setup.enforcement == ""


@pytest.mark.parametrize("answer", CASES)
def test_the_widgets_say_it(desk: Path, answer: str) -> None:
    from sevlab.widgets.debugger import Debugger

    file, mark = CASES[answer]
    given = options(desk, file)
    snp = {name: given[name] for name in ("firmware", "kernel", "cmdline")}
    explorer = sevlab.explore(sevlab.load_evidence(**given))
    debugger = Debugger(given)
    chain = sevlab.explore(sevlab.load_snp_launch(**snp, num_cpus=1, cpu_signature=0xA00F11))
    for shown in (explorer.chain.value, debugger.compared.value, repr(debugger), repr(chain), str(explorer.verdict)):
        said = " ".join(shown.split())
        assert (mark.strip() in said and WORDS[answer] in said) if mark else "kernel boots" not in said


def test_case_verify_says_it_of_snp(desk: Path) -> None:
    given = {"firmware": str(desk / "firmware-stock.fd"), "kernel": str(desk / "kernel.bin"), "num_cpus": 1}
    launch = sevlab.load_snp_launch(**given, cpu_signature=0xA00F11)
    check = sevlab.cases.verify.DigestCheck(launch.digest, launch.digest, launch.warnings, launch.notes)
    assert WORDS[PLACE_ONLY] in " ".join(check.explain().text().split())
    assert check.as_dict()["warnings"] == launch.warnings
