"""Bundles from strangers, and disks that fail: one line, nothing outside, nothing half written."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevlab.cases.archive import MEMBER_LIMIT, RATIO_LIMIT
from sevlab.cases.bundle import build_manifest, load_bundle, pack_case, parse_manifest, unpack_bundle
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import is_bundle
from sevlab.errors import InputError
from tests.paths import SAMPLES
from tests.soak import some

FIRMWARE = SAMPLES / "firmware.fd"


def plain_case() -> Case:
    return make_case({"policy": 1, "firmware": str(FIRMWARE)})


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def toml(sha256: str = "", **values: object) -> bytes:
    text = "format = 2\n[owner]\n" + "".join(f"{name} = {value!r}\n" for name, value in values.items())
    return (text + (f'firmware = {{ path = "blobs/{sha256}", sha256 = "{sha256}" }}\n' if sha256 else "")).encode()


BLOB = b"firmware of a few bytes"
NAME = hashlib.sha256(BLOB).hexdigest()


def parts(blob: bytes = BLOB) -> list[tuple[str, bytes]]:
    """The members of a small bundle."""
    sha256 = hashlib.sha256(blob).hexdigest()
    case = toml(sha256)
    manifest = build_manifest(case, {sha256: len(blob)}).to_bytes()
    return [("manifest.json", manifest), ("case.toml", case), (f"blobs/{sha256}", blob)]


def written(path: Path, members: list[tuple[str, bytes]], **how: int) -> Path:
    """Write an archive with any members."""
    with zipfile.ZipFile(path, "w", how.get("method", zipfile.ZIP_STORED)) as archive:
        for name, raw in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = how.get("method", zipfile.ZIP_STORED)
            info.external_attr = how.get("attr", 0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of a name that comes twice, which is what we want
                archive.writestr(info, raw)
    return path


def patched(path: Path, *changes: tuple[int, bytes]) -> Path:
    """Change bytes of an archive at places; negative ones count from its end."""
    raw = bytearray(path.read_bytes())
    for place, value in changes:
        place = place if place >= 0 else len(raw) + place
        raw[place : place + len(value)] = value
    path.write_bytes(raw)
    return path


def central(path: Path) -> int:
    """Where the list of members begins."""
    return int.from_bytes(path.read_bytes()[-6:-2], "little")


def with_flag(path: Path, flag: int) -> Path:
    """Set a flag of the first member, where it lies and in the list."""
    place = central(path)
    return patched(path, (6, flag.to_bytes(2, "little")), (place + 8, flag.to_bytes(2, "little")))


def with_method(path: Path, method: int) -> Path:
    place = central(path)
    return patched(path, (8, method.to_bytes(2, "little")), (place + 10, method.to_bytes(2, "little")))


def many(path: Path, claimed: int) -> Path:
    """An archive of 100,000 empty members that claims to have fewer, since its last record has two bytes for that."""
    locals_, listed = [], []
    place = 0
    for number in range(100_000):
        name = f"blobs/{number:064x}".encode()
        head = struct.pack("<5H3L2H", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0)
        locals_.append(b"PK\x03\x04" + head + name)
        listed.append(b"PK\x01\x02\x14\x03" + head + struct.pack("<3H2L", 0, 0, 0, 0, place) + name)
        place += len(locals_[-1])
    directory = b"".join(listed)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, claimed, claimed, len(directory), place, 0)
    path.write_bytes(b"".join(locals_) + directory + end)
    return path


def lying(path: Path, size: int, *, is_agreed: bool = False) -> Path:
    """A deflated blob that claims another size, in both places where it is told; if agreed, in the manifest too."""
    blob = b"x" * 4000
    members = parts(blob)
    if is_agreed:
        told = build_manifest(members[1][1], {hashlib.sha256(blob).hexdigest(): size}).to_bytes()
        members[0] = ("manifest.json", told)
    written(path, members, method=zipfile.ZIP_DEFLATED)
    raw = path.read_bytes()
    sized = (4000).to_bytes(4, "little")
    spots = [at for at in range(len(raw)) if raw.startswith(sized, at)]
    assert len(spots) == 2
    return patched(path, *((spot, size.to_bytes(4, "little")) for spot in spots))


def overlapping(path: Path) -> Path:
    """Two members of the list that are one in the archive, as in bombs that need no nesting."""
    written(path, parts())
    place = central(path)
    raw = path.read_bytes()
    second = raw.index(b"PK\x01\x02", place + 1)
    return patched(path, (second + 42, raw[place + 42 : place + 46]))


def with_gap(path: Path) -> Path:
    """Bytes between two members."""
    raw = written(path, parts()).read_bytes()
    place = central(path)
    path.write_bytes(raw[:place] + b"hidden" + raw[place:])
    return patched(path, (-6, (place + 6).to_bytes(4, "little")))


def with_extra(path: Path, local: bytes = b"", listed: bytes = b"", comment: bytes = b"") -> Path:
    """Bytes that belong to a member by every number of the archive, and that no reader shows."""
    raw = written(path, parts()).read_bytes()
    place = central(path)
    size = int.from_bytes(raw[26:28], "little")
    head = raw[:28] + len(local).to_bytes(2, "little") + raw[30 : 30 + size] + local + raw[30 + size : place]
    lengths = b"".join(len(one).to_bytes(2, "little") for one in (listed, comment))
    entry = raw[place : place + 30] + lengths + raw[place + 34 : place + 46 + size] + listed + comment
    others, end = raw[place + 46 + size : -22], raw[-22:]
    for moved in range(others.count(b"PK\x01\x02")):
        at = [at for at in range(len(others)) if others.startswith(b"PK\x01\x02", at)][moved] + 42
        there = int.from_bytes(others[at : at + 4], "little") + len(local)
        others = others[:at] + there.to_bytes(4, "little") + others[at + 4 :]
    told = (len(entry) + len(others)).to_bytes(4, "little") + len(head).to_bytes(4, "little")
    path.write_bytes(head + entry + others + end[:12] + told + end[20:])
    return path


def with_packed_surplus(path: Path, method: int) -> Path:
    """A last member with bytes behind its end that its own numbers count as packed."""
    raw = written(path, parts(bytes(BLOB * 9)), method=method).read_bytes()
    place, entry = central(path), raw.rindex(b"PK\x01\x02")
    local = int.from_bytes(raw[entry + 42 : entry + 46], "little")
    packed = (int.from_bytes(raw[entry + 20 : entry + 24], "little") + 6).to_bytes(4, "little")
    path.write_bytes(raw[:place] + b"hidden" + raw[place:])
    moved = (place + 6).to_bytes(4, "little")
    return patched(path, (local + 18, packed), (entry + 6 + 20, packed), (-6, moved))


def prefixed(path: Path) -> Path:
    raw = written(path, parts()).read_bytes()
    path.write_bytes(b"#!/bin/sh\n" + raw)
    return path


def zip64(path: Path) -> Path:
    """A record that points elsewhere, hidden where Python's zipfile looks for it: a member's comment."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in parts():
            info = zipfile.ZipInfo(name)
            info.comment = b"PK\x06\x07" + bytes(16) if name.startswith("blobs") else b""
            archive.writestr(info, raw)
    return path


def nested(path: Path) -> Path:
    """An archive in an archive: one more member that is no name of ours."""
    inner = written(path, parts()).read_bytes()
    return written(path, [*parts(), ("inner.sevcase", inner)])


def odd_manifest(path: Path, change: Callable[[dict[str, object]], object]) -> Path:
    members = parts()
    document = json.loads(members[0][1])
    change(document)
    return written(path, [("manifest.json", json.dumps(document).encode()), *members[1:]])


def with_case(path: Path, case: bytes, blobs: list[bytes]) -> Path:
    """A bundle whose manifest is right and whose case is any text."""
    names = [(f"blobs/{hashlib.sha256(blob).hexdigest()}", blob) for blob in blobs]
    sizes = {name.removeprefix("blobs/"): len(blob) for name, blob in names}
    manifest = build_manifest(case, sizes).to_bytes()
    return written(path, [("manifest.json", manifest), ("case.toml", case), *names])


def named(name: str) -> Callable[[Path], Path]:
    """An archive with one more member of this name."""
    return lambda path: written(path, [*parts(), (name, b"x")])


def with_zero(path: Path) -> Path:
    """A name that ends at its zero byte for some and goes on for others."""
    raw = written(path, [*parts(), ("case.toml!.py", b"x")]).read_bytes()
    path.write_bytes(raw.replace(b"case.toml!.py", b"case.toml\0.py"))
    return path


LINK, FOLDER, DEVICE, PIPE = (mode << 16 for mode in (0o120777, 0o040755, 0o060600, 0o010600))
OTHER = hashlib.sha256(b"other").hexdigest()
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "parent": (named("../evil"), "a member named '../evil'"),
    "parent in blobs": (named("blobs/../../evil"), "a member named"),
    "absolute": (named("/etc/cron.d/evil"), "a member named '/etc/cron.d/evil'"),
    "backslash": (named("blobs\\..\\evil"), "a member named"),
    "drive": (named("C:evil"), "a member named 'C:evil'"),
    "share": (named("//host/share"), "a member named"),
    "upper case": (named("CASE.TOML"), "a member named 'CASE.TOML'"),
    "upper hash": (named(f"blobs/{NAME.upper()}"), "a member named"),
    "short hash": (named("blobs/abc"), "a member named 'blobs/abc'"),
    "folder entry": (named("blobs/"), "a member named 'blobs/'"),
    "device name": (named("nul"), "a member named 'nul'"),
    "control character": (named("a\x1b[2Jb"), "a member named 'a\\x1b[2Jb'"),
    "zero byte": (with_zero, "a member named 'case.toml\\x00.py'"),
    "line break": (named("a\nERROR: b"), "a member named 'a\\nERROR: b'"),
    "empty name": (named(""), "a member named ''"),
    "code": (named("__main__.py"), "a member named '__main__.py'"),
    "duplicate": (named(f"blobs/{NAME}"), "two members named"),
    "second case": (named("case.toml"), "two members named case.toml"),
    "link": (lambda path: written(path, parts(), attr=LINK), "a link"),
    "folder mode": (lambda path: written(path, parts(), attr=FOLDER), "a folder"),
    "folder bit": (lambda path: written(path, parts(), attr=0x10), "not a regular file"),
    "device": (lambda path: written(path, parts(), attr=DEVICE), "not a regular file"),
    "pipe": (lambda path: written(path, parts(), attr=PIPE), "not a regular file"),
    "bzip2": (lambda path: written(path, parts(), method=zipfile.ZIP_BZIP2), "packed in an unknown way"),
    "lzma": (lambda path: written(path, parts(), method=zipfile.ZIP_LZMA), "packed in an unknown way"),
    "method 99": (lambda path: with_method(written(path, parts()), 99), "packed in an unknown way"),
    "encrypted": (lambda path: with_flag(written(path, parts()), 1), "encrypted"),
    "size behind": (lambda path: with_flag(written(path, parts()), 8), "whose size comes after its data"),
    "strongly encrypted": (lambda path: with_flag(written(path, parts()), 0x40), "packed in an unknown way"),
    "patch data": (lambda path: with_flag(written(path, parts()), 0x20), "packed in an unknown way"),
    "bomb": (lambda path: written(path, parts(bytes(1 << 22)), method=zipfile.ZIP_DEFLATED), "bytes from one"),
    "100,000 members": (lambda path: many(path, 100_000 & 0xFFFF), "needed at most 64"),
    "100,000 that claim to be 3": (lambda path: many(path, 3), "list of members is not where it must be"),
    "more than 64": (
        lambda path: written(path, [(f"blobs/{number:064x}", b"") for number in range(MEMBER_LIMIT + 1)]),
        f"{MEMBER_LIMIT + 1} members; needed at most {MEMBER_LIMIT}",
    ),
    "claims less": (lambda path: lying(path, 400), "differs between manifest and archive"),
    "claims more": (lambda path: lying(path, 4001), "differs between manifest and archive"),
    "all claim less": (lambda path: lying(path, 400, is_agreed=True), "cannot be unpacked"),
    "all claim more": (lambda path: lying(path, 4001, is_agreed=True), "another size than it claims"),
    "claims 4 GiB": (lambda path: lying(path, 0xFFFFFFFE), "needed at most"),
    "overlap": (overlapping, "overlaps another member"),
    "gap": (with_gap, "bytes that belong to no member"),
    "extra field before the data": (lambda path: with_extra(path, local=b"\1\2\3\0abc"), "an extra field or another"),
    "extra field in the list": (lambda path: with_extra(path, listed=b"\1\2\3\0abc"), "extra fields or comments"),
    "comment of a member": (lambda path: with_extra(path, comment=b"hidden"), "extra fields or comments"),
    "surplus behind stored": (lambda path: with_packed_surplus(path, zipfile.ZIP_STORED), "stored in"),
    "surplus behind deflated": (lambda path: with_packed_surplus(path, zipfile.ZIP_DEFLATED), "cannot be unpacked"),
    "something before": (prefixed, "not where it must be"),
    "something after": (
        lambda path: path.write_bytes(written(path, parts()).read_bytes() + b"x") and path,
        "not a zip",
    ),
    "zip64": (zip64, "zip64"),
    "nested": (nested, "a member named 'inner.sevcase'"),
    "count too small": (lambda path: patched(written(path, parts()), (-14, b"\2\0\2\0")), "claims 2"),
    "in two files": (lambda path: patched(written(path, parts()), (-18, b"\1\0")), "several files"),
    "other header": (lambda path: patched(written(path, parts()), (14, b"xxxx")), "whose header differs"),
    "other content": (lambda path: patched(written(path, parts()), (45, b"xx")), "cannot be unpacked"),
    "no case": (lambda path: written(path, parts()[:1]), "without case.toml"),
    "no manifest": (lambda path: written(path, parts()[1:]), "without manifest.json"),
    "empty": (lambda path: path.write_bytes(b"") or path, "0 bytes"),
    "empty archive": (lambda path: written(path, []), "without manifest.json"),
    "text": (lambda path: path.write_bytes(b"format = 2\n" * 9) and path, "not a zip archive"),
    "long manifest": (lambda path: written(path, [("manifest.json", bytes(70000)), *parts()[1:]]), "at most 65536"),
    "long case": (lambda path: written(path, [parts()[0], ("case.toml", b"#" * 70000)]), "at most 65536"),
    "manifest no JSON": (lambda path: written(path, [("manifest.json", b"{"), *parts()[1:]]), "not JSON"),
    "manifest nested": (lambda path: written(path, [("manifest.json", b"[" * 60000), *parts()[1:]]), "not JSON"),
    "manifest twice": (
        lambda path: written(
            path, [("manifest.json", parts()[0][1].replace(b"{", b'{"version": 1, ', 1)), *parts()[1:]]
        ),
        "unique keys",
    ),
    "newer version": (lambda path: odd_manifest(path, lambda one: one.update(version=2)), "Try: a newer sevlab"),
    "no version": (lambda path: odd_manifest(path, lambda one: one.pop("version")), "no version"),
    "true as version": (lambda path: odd_manifest(path, lambda one: one.update(version=True)), "no version"),
    "one more key": (lambda path: odd_manifest(path, lambda one: one.update(run="x")), "other keys"),
    "blobs no list": (lambda path: odd_manifest(path, lambda one: one.update(blobs={})), "other keys"),
    "blob without size": (lambda path: odd_manifest(path, lambda one: one["blobs"][0].pop("size")), "sha256 and size"),
    "blob twice": (lambda path: odd_manifest(path, lambda one: one["blobs"].append(one["blobs"][0])), "listed twice"),
    "blob missing": (lambda path: odd_manifest(path, lambda one: one.update(blobs=[])), "differs between manifest"),
    "size wrong": (
        lambda path: odd_manifest(path, lambda one: one["blobs"][0].update(size=1)),
        "differs between manifest",
    ),
    "case wrong": (lambda path: odd_manifest(path, lambda one: one["case"].update(sha256="0" * 64)), "another SHA-256"),
    "hash wrong": (
        lambda path: written(path, [*parts()[:2], (parts()[2][0], BLOB[::-1])]),
        f"with the SHA-256 {hashlib.sha256(BLOB[::-1]).hexdigest()}",
    ),
    "path out": (
        lambda path: with_case(path, toml(NAME).replace(f"blobs/{NAME}".encode(), b"/etc/passwd"), [BLOB]),
        "firmware: the path '/etc/passwd'",
    ),
    "path up": (
        lambda path: with_case(path, toml(NAME).replace(b'"blobs/', b'"blobs/../blobs/'), [BLOB]),
        "firmware: the path",
    ),
    "key out": (lambda path: with_case(path, toml(NAME, tik="../../tik.bin"), [BLOB]), "tik: the path"),
    "blob not there": (lambda path: with_case(path, toml(OTHER), [BLOB]), "firmware: the path"),
    "blob of another": (
        lambda path: with_case(path, toml(NAME).replace(f'"{NAME}"'.encode(), f'"{OTHER}"'.encode()), [BLOB]),
        "the path of another file than its sha256",
    ),
    "stray blob": (lambda path: with_case(path, toml(NAME), [BLOB, b"other"]), "which case.toml does not name"),
    "blob too large": (
        lambda path: with_case(
            path,
            toml(NAME)
            .replace(b"firmware", b"vmsa-cpu0")
            .replace(NAME.encode(), hashlib.sha256(bytes(70_000)).hexdigest().encode()),
            [bytes(70_000)],
        ),
        "a file of 70000 bytes; needed at most 65536",
    ),
    "case no TOML": (lambda path: with_case(path, b"=", []), "'case.toml': received text that is not TOML"),
    "case no UTF-8": (lambda path: with_case(path, b"\xff\xfe", []), "not UTF-8"),
    "case unknown key": (lambda path: with_case(path, b"format = 2\n[owner]\nrun = 'x'\n", []), "line 3, owner.run"),
    "case too new": (lambda path: with_case(path, b"format = 9\n", []), "needed 2, the only"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bundles_are_refused_in_one_line_and_leave_nothing(name: str, tmp_path: Path) -> None:
    make, words = HOSTILE[name]
    path = make(tmp_path / "x.sevcase")
    before = everything(tmp_path)
    for read in (
        lambda: load_bundle(str(path)),
        lambda: unpack_bundle(str(path), str(tmp_path / "out")),
    ):
        tracemalloc.start()
        with pytest.raises(InputError) as caught:
            read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500
        assert peak < 8 << 20
    assert everything(tmp_path) == before


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_no_bundle_takes_one_more_byte_anywhere(method: int, tmp_path: Path) -> None:
    """Nothing hides between members, nor in what is said of them."""
    whole = written(tmp_path / "whole", parts(), method=method).read_bytes()
    path = tmp_path / "x.sevcase"
    for place in some(range(len(whole) + 1), 150):
        for byte in b"\0P\xff":
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place:])
            with pytest.raises(InputError):
                load_bundle(str(path))


def test_the_small_bundle_itself_is_read(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = written(tmp_path / f"{method}.sevcase", parts(), method=method)
        assert load_bundle(str(path)).case.hashes == {"firmware": NAME}
    blob = bytes(range(256)) * 64
    often = written(tmp_path / "often.sevcase", parts(blob), method=zipfile.ZIP_DEFLATED)
    assert load_bundle(str(often)).manifest.blobs == {hashlib.sha256(blob).hexdigest(): len(blob)}
    assert often.stat().st_size * RATIO_LIMIT > len(blob) > 10 * often.stat().st_size


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "none"), str(tmp_path), str(tmp_path / "pipe"), "-", "a\0b"):
        with pytest.raises(InputError):
            load_bundle(path)
        assert not is_bundle(path)


def test_every_cut_and_every_changed_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    raw = written(tmp_path / "x.sevcase", parts()).read_bytes()
    good = load_bundle(str(tmp_path / "x.sevcase"))
    path = tmp_path / "y.sevcase"
    for length in (*range(0, len(raw), 7), *range(len(raw) - 30, len(raw))):
        path.write_bytes(raw[:length])
        with pytest.raises(InputError):
            load_bundle(str(path))
    harmless = 0
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :])
        try:
            read = load_bundle(str(path))
        except InputError:
            continue
        harmless += 1
        assert (read.text, read.manifest) == (good.text, good.manifest)
    assert harmless < len(raw) // 8  # dates and versions of tools, which nobody reads


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300) | st.binary(max_size=100).map(lambda raw: b"PK\x03\x04" + raw + b"PK\x05\x06" + bytes(18))
)
def test_any_bytes_are_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.sevcase"
    path.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        unpack_bundle(str(path), str(tmp_path / "out"))
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == [path]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5), st.booleans()
)
def test_mutated_bundles_give_what_was_packed_or_one_line(
    tmp_path: Path, changes: list[tuple[int, bytes]], is_deflated: bool
) -> None:
    path = written(tmp_path / "x.sevcase", parts(), method=zipfile.ZIP_DEFLATED if is_deflated else 0)
    size = path.stat().st_size
    patched(path, *((place % size, value) for place, value in changes))
    before = everything(tmp_path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            case = unpack_bundle(str(path), os.path.join(folder, "out"))
        except InputError as error:
            said, left = str(error), os.listdir(folder)
        else:
            said, left = "", []
            assert Path(case.inputs["firmware"]).read_bytes() == BLOB
            assert sorted(os.listdir(os.path.join(folder, "out"))) == ["blobs", "case.toml", "manifest.json"]
    assert said.isprintable()
    assert left == []
    assert everything(tmp_path) == before


@given(st.binary(max_size=60) | st.text('{}[]":,version1casesha256blob', max_size=60).map(str.encode))
def test_any_manifest_is_read_or_refused(raw: bytes) -> None:
    try:
        said = repr(parse_manifest(raw, "m"))
    except InputError as error:
        said = str(error)
    assert said.isprintable()


@given(
    st.binary(max_size=9), st.dictionaries(st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 1 << 40))
)
def test_manifests_come_back(case: bytes, blobs: dict[str, int]) -> None:
    manifest = build_manifest(case, blobs)
    assert parse_manifest(manifest.to_bytes(), "m") == manifest


# Writing.


def test_unpacking_never_replaces_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(written(tmp_path / "x.sevcase", parts()))
    (tmp_path / "full").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = everything(tmp_path)
    for folder in ("full", "link", "x.sevcase", "none/deeper", "a\0b"):
        with pytest.raises(InputError):
            unpack_bundle(path, str(tmp_path / folder))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sevlab.cases.bundle._copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack_bundle(path, str(tmp_path / "new"))
    assert everything(tmp_path) == before


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(written(tmp_path / "x.sevcase", parts()))
    before = everything(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sevlab.cases.bundle._copy", full)
    with pytest.raises(InputError, match="no space left"):
        unpack_bundle(path, str(tmp_path / "new"))
    monkeypatch.setattr("sevlab.cases.bundle._add_file", full)
    with pytest.raises(InputError, match="no space left"):
        pack_case(plain_case(), str(tmp_path / "y.sevcase"))
    assert everything(tmp_path) == before


def test_packing_replaces_only_when_forced(tmp_path: Path) -> None:
    path = tmp_path / "x.sevcase"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"):
        pack_case(plain_case(), str(path))
    assert path.read_bytes() == b"mine"
    pack_case(plain_case(), str(path), force=True)
    assert load_bundle(str(path)).case.hashes
    with pytest.raises(InputError):
        pack_case(plain_case(), str(tmp_path / "none" / "x.sevcase"))
    with pytest.raises(InputError):
        pack_case(plain_case().replace(about={"note": "x" * 70000}), str(tmp_path / "y.sevcase"))
    assert [one.name for one in tmp_path.iterdir()] == ["x.sevcase"]


def test_a_file_that_grows_while_it_is_packed_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sevlab.cases.bundle.load_size", lambda *_: 1)
    with pytest.raises(InputError, match="has changed"):
        pack_case(plain_case(), str(tmp_path / "x.sevcase"))
    monkeypatch.setattr("sevlab.cases.bundle.load_size", lambda *_: 3 << 30)
    with pytest.raises(InputError, match="bytes of files"):
        pack_case(plain_case(), str(tmp_path / "x.sevcase"))
    assert list(tmp_path.iterdir()) == []
