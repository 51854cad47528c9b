"""The inputs of a launch: files that are hashed once, and those that are asked for again."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.launch import inputs as digest
from sevlab.launch.reading import InputStream

MIB = 1 << 20


class Reads:
    """Counts how many bytes were hashed, through the one hash that the module makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        made, counter = hashlib.sha256, self

        class Counting:
            def __init__(self) -> None:
                self.real = made()

            def update(self, part: bytes) -> None:
                counter.bytes += len(part)
                self.real.update(part)

            def copy(self) -> object:
                return self.real.copy()

        monkeypatch.setattr(hashlib, "sha256", Counting)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def sha256(content: bytes) -> bytes:
    return hashlib.new("sha256", content).digest()


@given(parts=st.lists(st.binary(max_size=100), max_size=6))
def test_only_the_bytes_in_order_count(parts: list[bytes]) -> None:
    assert sevlab.compute_digest(parts) == sha256(b"".join(parts)) == sevlab.compute_digest([b"".join(parts)])


def test_the_digest_of_the_facts() -> None:
    known = "fc62724f1358b968902e70c8821040fe459c7b03f1c4e11b5e4c119f7df2c90e"
    assert sevlab.compute_digest([b"sevlab"]).hex() == known
    assert sevlab.compute_digest([b"labsev"]).hex() != known
    assert sevlab.compute_digest([]) == sha256(b"")


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 4 * MIB])
def test_a_file_of_any_size(tmp_path: Path, size: int) -> None:
    content = hashlib.shake_128(b"firmware").digest(size)
    (tmp_path / "firmware").write_bytes(content)
    assert sevlab.launch.inputs.load_hashed(str(tmp_path / "firmware")).digest == sha256(content)


def test_a_file_is_read_once_while_it_is_unchanged(tmp_path: Path, reads: Reads) -> None:
    path = tmp_path / "firmware"
    path.write_bytes(b"once" * 1000)
    for _ in range(5):
        assert sevlab.launch.inputs.load_hashed(str(path)).digest == sha256(b"once" * 1000)
    assert reads.bytes == 4000
    linked = tmp_path / "link"
    linked.symlink_to(path)
    assert sevlab.launch.inputs.load_hashed(str(linked)).digest == sha256(b"once" * 1000)
    assert reads.bytes == 4000


def test_a_change_of_the_same_size_is_read(tmp_path: Path, reads: Reads) -> None:
    path = tmp_path / "firmware"
    path.write_bytes(b"old!" * 1000)
    sevlab.launch.inputs.load_hashed(str(path))
    before = path.stat()
    path.write_bytes(b"new!" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as an attacker would; the change time stays true
    assert sevlab.launch.inputs.load_hashed(str(path)).digest == sha256(b"new!" * 1000)
    assert reads.bytes == 8000


def test_another_file_in_its_place_is_read(tmp_path: Path, reads: Reads) -> None:
    path, other = tmp_path / "firmware", tmp_path / "other"
    path.write_bytes(b"old!")
    other.write_bytes(b"new!")
    assert sevlab.launch.inputs.load_hashed(str(path)).digest == sha256(b"old!")
    os.replace(other, path)
    assert sevlab.launch.inputs.load_hashed(str(path)).digest == sha256(b"new!")
    assert reads.bytes == 8


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: Reads
) -> None:
    path = tmp_path / "firmware"
    path.write_bytes(b"old!")
    identities = iter([(1,), (2,), (1,), (1,)])
    monkeypatch.setattr(InputStream, "identity", property(lambda stream: next(identities)))
    monkeypatch.setattr(digest, "_known", {})
    for _ in range(2):
        sevlab.launch.inputs.load_hashed(str(path))
    assert reads.bytes == 8


def test_standard_input_is_never_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "file").write_bytes(content)
        with (tmp_path / "file").open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            assert sevlab.launch.inputs.load_hashed("-").digest == sha256(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"three")))
    assert sevlab.launch.inputs.load_hashed("-").digest == sha256(b"three")


def test_the_largest_firmware_is_64_mib(tmp_path: Path) -> None:
    path = tmp_path / "firmware"
    with path.open("wb") as stream:
        stream.truncate(64 * MIB)
    assert len(sevlab.launch.inputs.load_hashed(str(path)).digest) == 32
    with path.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(sevlab.InputError, match="more than 64 MiB") as caught:
        sevlab.launch.inputs.load_hashed(str(path), "--firmware")
    assert caught.value.input == "--firmware"


def test_an_empty_file_stays_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for _ in range(2):  # the second time it is known
        with pytest.raises(sevlab.InputError, match="an empty file"):
            sevlab.launch.inputs.load_hashed(str(tmp_path / "empty"))
    assert digest.load_hashed(str(tmp_path / "empty"), empty=True).size == 0


def test_hashing_goes_on_from_a_hashed_file(tmp_path: Path) -> None:
    (tmp_path / "firmware").write_bytes(b"firmware")
    for _ in range(2):
        hashed = digest.load_hashed(str(tmp_path / "firmware"))
        further = hashed.running.copy()
        further.update(b"more")
        assert further.digest() == sha256(b"firmwaremore")
        assert hashed.digest == sha256(b"firmware")
