"""The kernel-hashes table and the GUIDs in it."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.errors import InputError, LayoutError
from sevlab.formats.guid import NAMES, Guid
from sevlab.formats.kernel_hashes import KernelHashes, build_kernel_hashes, hash_cmdline
from sevlab.layout.structure import Layout, at, compare

#: measured-direct-boot 2.7: kernel "BZ", initrd "RD", command line "console=ttyS0".
WORKED = bytes.fromhex(
    "06d63894224fc94cb479a793d411fd21a800"
    "d82dd09720bd944caa78e7714d36ab2a3200f18aae9b3c09e55bc3047ad361e2442d7c53372470b2958fb83293209a784f71"
    "31f7ba442f3ad74b9af141e29169781d32004414cdcb7cc80ae51939e6a62686e947b0e73ce636857d8d4d4e883d48a63a96"
    "3794e74dd2ab7f42b835d5b172d2045b3200a0029ec80695df905545b98a2453cd6376e1fcd26767cf94b02eb6a6f4160a36"
    "0000000000000000"
)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_the_worked_example() -> None:
    table = build_kernel_hashes(sha256(b"BZ"), sha256(b"RD"), "console=ttyS0")
    assert table.to_bytes() == WORKED
    assert sha256(WORKED).hex() == "f3d804761da801b2a835ad18a389acdacb46b72e8bf520b808605a0b69e4ec38"
    assert table.findings() == []


def test_a_kernel_alone() -> None:
    table = build_kernel_hashes(sha256(b"BZ"))
    digest = "45eed5a8a4f59e1229cb3a0e99e7071117ea64544759807c683e4a6b6c9a85d4"
    assert sha256(table.to_bytes()).hex() == digest
    assert table.initrd == sha256(b"")
    assert table.cmdline == sha256(b"\0")
    assert table == build_kernel_hashes(sha256(b"BZ"), cmdline="")


def test_nothing_is_trimmed_and_text_is_utf8() -> None:
    assert hash_cmdline("a ") == sha256(b"a \0") != hash_cmdline("a")
    assert hash_cmdline("a\n") == sha256(b"a\n\0")
    assert hash_cmdline("ü") == hash_cmdline("ü".encode()) == sha256(b"\xc3\xbc\0")
    assert hash_cmdline("\udcff") == sha256(b"\xff\0"), "a byte that is no UTF-8, as Python hands it on in arguments"


@pytest.mark.parametrize("cmdline", ["a\0b", b"a\0", "\0", "\ud800", 7])
def test_command_lines_that_no_host_could_pass_on(cmdline: object) -> None:
    with pytest.raises(InputError) as caught:
        build_kernel_hashes(bytes(32), None, cmdline)  # type: ignore[arg-type]
    assert caught.value.input == "cmdline"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kernel", [b"", bytes(31), bytes(33), "ab" * 32, None])
def test_a_digest_has_32_bytes(kernel: object) -> None:
    with pytest.raises(LayoutError, match=r"kernel: .*needed 32 bytes"):
        build_kernel_hashes(kernel)  # type: ignore[arg-type]


@given(st.binary(min_size=176, max_size=176))
def test_any_bytes_round_trip(raw: bytes) -> None:
    table = KernelHashes.from_bytes(raw)
    assert table.to_bytes() == raw
    assert b"".join(span.raw for span in table.spans()) == raw
    str(table)


@given(st.integers(0, 176 * 8 - 1))
def test_a_flipped_bit_is_one_differing_field(bit: int) -> None:
    broken = bytearray(WORKED)
    broken[bit // 8] ^= 1 << bit % 8
    comparison = compare(KernelHashes.from_bytes(bytes(broken)), KernelHashes.from_bytes(WORKED))
    assert len(comparison.differing) == 1
    [row] = [row for row in KernelHashes.rows if row.offset <= bit // 8 < row.offset + row.size]
    assert comparison.differing == [row.name]
    # Whatever is not one of the three hashes is fixed, so a change of it is a finding.
    free = row.name in ("cmdline", "initrd", "kernel")
    assert bool(KernelHashes.from_bytes(bytes(broken)).findings()) is not free


@given(st.binary(min_size=16, max_size=16))
def test_guids_are_read_as_uuid_reads_them(raw: bytes) -> None:
    guid = Guid(raw)
    assert str(guid) == str(uuid.UUID(bytes_le=raw))
    assert Guid.from_text(str(guid).upper()) == guid == raw


def test_known_guids_have_names() -> None:
    assert all(Guid.from_text(text).name == name for text, name in NAMES.items())
    assert len(set(NAMES.values())) == len(NAMES)
    assert Guid.from_text("736869e5-84f0-4973-92ec-06879ce3da0b").text.endswith("0b (LUKS disk key)")
    assert Guid(bytes(16)).text == "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("text", ["", "96b582de", "{96b582de-1fb2-45f7-baea-a366c55a082d}", "9" * 36, "x\n", None])
def test_what_is_no_guid(text: str) -> None:
    with pytest.raises(InputError, match="8-4-4-4-12"):
        Guid.from_text(text)


def test_a_guid_has_16_bytes() -> None:
    with pytest.raises(LayoutError):
        Guid(bytes(15))


def test_a_constant_that_is_no_number() -> None:
    class Marked(Layout, size=20, spec="test"):
        """A marked thing."""

        mark: bytes = at(0, 4, "Four letters.", type=bytes, const=b"MARK")
        guid: Guid = at(4, 16, "A GUID.", type=Guid, const=Guid(bytes(16)))

    assert Marked().to_bytes() == b"MARK" + bytes(16)
    assert Marked(mark=b"mark").findings() == [f"mark: must be {b'MARK'.hex()}"]
    assert "must be 00000000-0000" in Marked(guid=b"\1" * 16).findings()[0]
