"""Launch secrets: the worked example, every property of packing and opening, and what libvirt packs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab.attestation.crypto import aes_ctr
from sevlab.attestation.secret import (
    HOST_LIMIT,
    LARGEST,
    build_secret,
    load_packet_part,
    load_secret,
    open_secret,
    parse_secret_name,
)
from sevlab.errors import InputError
from sevlab.formats.guid import Guid
from sevlab.formats.launch_measure import Measurement, MeasureMessage
from sevlab.formats.policy import Policy
from sevlab.formats.secret import ALIASES, TABLE, SecretHeader, SecretTable, build_secret_table
from sevlab.launch.keys import SecretBytes
from sevlab.launch.measure import compute_measure
from tests.paths import ROOT
from tests.soak import many


def run_of(first: int, size: int) -> bytes:
    return bytes(range(first, first + size))


# The worked example of sev-launch 12.
TEK, TIK, IV = SecretBytes(run_of(0x50, 16)), SecretBytes(run_of(0x70, 16)), run_of(0xC0, 16)
MEASURE = bytes.fromhex("215fa8ac20557a2092339434598120c739e150f8ff3235aeb5529cfdb62acc49")
LUKS = ALIASES["luks-key"]
PLAIN = (
    "42f5741edd71664d963eef4287ff173b35000000e5696873f084734992ec06879ce3da0b21000000636f727265637420686f7273650000"
    "000000000000000000"
)
DATA = (
    "bb58c614b0679ad41ed6db7f9e3663ed5654905c005ae2bfb12f75be40f1b3ca1258eba50cc5bfc1b879901e78113bb4e4c8bfe9f85c96"
    "64cf8b874af34f2eef"
)
HEADER = "00000000c0c1c2c3c4c5c6c7c8c9cacbcccdcecfadfe11631638d2969c811a9f8c134c07790ef766a163159d2ca02088a39bd0dd"

keys = st.binary(min_size=16, max_size=16)
measures = st.binary(min_size=32, max_size=32)
guids = st.binary(min_size=16, max_size=16).filter(any)
secret_lists = st.lists(
    st.tuples(guids.map(Guid), st.binary(max_size=100)), min_size=1, max_size=8, unique_by=lambda pair: pair[0]
)


def example(**changes: object):  # type: ignore[no-untyped-def]
    values = {"secrets": [("luks-key", b"correct horse")], "tik": TIK, "tek": TEK, "measure": MEASURE, "iv": IV}
    return build_secret(**{**values, **changes})  # type: ignore[arg-type]


def reopened(packet, tik=TIK, tek=TEK, measure=MEASURE):  # type: ignore[no-untyped-def]
    return open_secret(packet.header, packet.payload, tik, tek, measure)


def sealed(table: bytes, flags: int = 0, tek: SecretBytes = TEK):  # type: ignore[no-untyped-def]
    """Return header and payload of any plaintext, under a right MAC."""
    from sevlab.attestation.secret import SecretMessage

    payload = aes_ctr(tek.reveal(), IV, table)
    header = SecretHeader(flags=flags, iv=IV, mac=bytes(32))
    return header.replace(mac=SecretMessage(header, payload, MEASURE).mac(TIK)), payload


# Packing


def test_worked_example() -> None:
    packet = example()
    assert packet.table.to_bytes().hex() == PLAIN
    assert packet.payload.hex() == DATA
    assert packet.header.to_bytes().hex() == HEADER
    assert packet.warnings == []
    assert base64.b64decode(packet.header_base64).hex() == HEADER
    assert base64.b64decode(packet.payload_base64).hex() == DATA
    opened = reopened(packet)
    assert opened.matches
    assert opened.secrets == [(LUKS, SecretBytes(b"correct horse"))]
    assert opened.table.findings() == []


def test_guid_is_mixed_endian() -> None:
    assert uuid.UUID("1e74f542-71dd-4d66-963e-ef4287ff173b").bytes_le == TABLE
    assert parse_secret_name("luks-key") == uuid.UUID("736869e5-84f0-4973-92ec-06879ce3da0b").bytes_le


@given(secrets=secret_lists, tik=keys, tek=keys, measure=measures, iv=st.none() | keys)
def test_what_is_packed_is_found(secrets: list, tik: bytes, tek: bytes, measure: bytes, iv: bytes | None) -> None:
    packet = build_secret(secrets, tik, tek, measure, iv=iv)
    assert len(packet.payload) % 16 == 0
    assert 0 <= len(packet.payload) - 20 - sum(20 + len(data) for _, data in secrets) < 16
    opened = open_secret(packet.header.to_bytes(), packet.payload, tik, tek, measure)
    assert opened.matches
    assert [(guid, data.reveal()) for guid, data in opened.secrets] == secrets
    assert opened.table.findings() == []
    again = build_secret(opened.secrets, tik, tek, measure, iv=opened.header.iv)
    assert (again.header, again.payload) == (packet.header, packet.payload)


@pytest.mark.parametrize("size", [*range(65), LARGEST - 1, LARGEST])
def test_every_size(size: int) -> None:
    packet = example(secrets=[(LUKS, b"\xa5" * size)])
    assert len(packet.payload) == (40 + size + 15) // 16 * 16 <= HOST_LIMIT
    assert reopened(packet).secrets == [(LUKS, SecretBytes(b"\xa5" * size))]


def test_largest() -> None:
    assert LARGEST == 16344
    assert len(example(secrets=[(LUKS, bytes(16343))]).payload) == 16384
    with pytest.raises(InputError, match="16400 bytes; needed at most 16384"):
        example(secrets=[(LUKS, bytes(16345))])
    other = Guid(run_of(1, 16))
    with pytest.raises(InputError, match="at most 16384"):
        example(secrets=[(LUKS, bytes(8000)), (other, bytes(8330))])


def test_iv_is_random() -> None:
    ivs = {example(iv=None).header.iv for _ in range(50)}
    assert len(ivs) == 50
    assert IV not in ivs


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tik": bytes(15)}, "tik: received a key of 15 bytes"),
        ({"tek": SecretBytes(bytes(32))}, "tek: received a key of 32 bytes"),
        ({"measure": bytes(48)}, "measure: received 48 bytes; needed 32 bytes. Try: the first 32"),
        ({"iv": bytes(12)}, "iv: received 12 bytes"),
        ({"secrets": []}, "at least one secret"),
        ({"secrets": [("luks-key", b"a"), (LUKS, b"b")]}, "twice"),
        ({"secrets": [(Guid(bytes(16)), b"a")]}, "marks a deleted entry"),
        ({"secrets": [("luks", b"a")]}, "or the name luks-key"),
    ],
)
def test_what_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        example(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secrets": [(LUKS, b"")]}, "is empty"),
        ({"secrets": [(LUKS, b"pass phrase\n")]}, "ends in a line break"),
        ({"tik": TEK}, "tik and tek are the same key"),
        ({"tik": bytes(16)}, "tik is all zero"),
        ({"area": 63}, "does not fit in a secret area of 63 bytes: QEMU"),
        ({"secrets": [(Guid(bytes([n]) * 16), b"") for n in range(1, 66)]}, "first 64 of these 65"),
    ],
)
def test_warnings(changes: dict, words: str) -> None:
    assert any(words in warning for warning in example(**changes).warnings)


def test_no_warning_without_cause() -> None:
    assert example(area=64, secrets=[(LUKS, b"\x00\xff\n")]).warnings == []


def test_load_secret(tmp_path: Path) -> None:
    file = tmp_path / "a:b"
    file.write_bytes(b"\x00key\n")
    assert load_secret(f"luks-key:{file}") == (LUKS, SecretBytes(b"\x00key\n"))
    upper = str(LUKS).upper()
    assert load_secret(f"{upper}:{file}")[0] == LUKS
    file.write_bytes(bytes(LARGEST + 1))
    with pytest.raises(InputError, match="more than 16344 bytes"):
        load_secret(f"luks-key:{file}")
    for spec in (
        "",
        ":",
        "luks-key",
        "luks-key:",
        f":{file}",
        f"LUKS-KEY:{file}",
        f"luks-key:{tmp_path}",
        "luks-key:\0",
    ):
        with pytest.raises(InputError):
            load_secret(spec)


# Opening


def test_every_flipped_bit_is_caught() -> None:
    packet = example()
    header, payload = packet.header.to_bytes(), packet.payload
    for bit in range(8 * (len(header) + len(payload))):
        both = bytearray(header + payload)
        both[bit // 8] ^= 1 << bit % 8
        opened = open_secret(bytes(both[:52]), bytes(both[52:]), TIK, TEK, MEASURE)
        assert not opened.matches, bit
        assert opened.table is None
        assert opened.secrets == []


@given(secrets=secret_lists, data=st.data())
def test_any_flipped_bit_is_caught(secrets: list, data: st.DataObject) -> None:
    packet = example(secrets=secrets)
    both = bytearray(packet.header.to_bytes() + packet.payload)
    bit = data.draw(st.integers(0, 8 * len(both) - 1))
    both[bit // 8] ^= 1 << bit % 8
    assert not open_secret(bytes(both[:52]), bytes(both[52:]), TIK, TEK, MEASURE).mac_matches


def test_other_launch_other_tik_other_length() -> None:
    packet = example()
    assert not reopened(packet, measure=bytes(32)).matches
    assert not reopened(packet, tik=SecretBytes(bytes(16))).matches
    for payload in (packet.payload[:-16], packet.payload + bytes(16)):
        assert not open_secret(packet.header, payload, TIK, TEK, MEASURE).matches


@pytest.mark.parametrize("size", [0, 1, 15, 17, HOST_LIMIT + 16])
def test_payload_sizes_that_are_none(size: int) -> None:
    with pytest.raises(InputError, match=f"payload: received {size} bytes"):
        open_secret(bytes(52), bytes(size), TIK, TEK, MEASURE)


def test_header_and_payload_swapped() -> None:
    with pytest.raises(InputError, match="header: received 64 bytes"):
        open_secret(bytes(64), bytes(52), TIK, TEK, MEASURE)
    with pytest.raises(InputError, match="the other way round"):
        open_secret(bytes(64), bytes(52), TIK, TEK, MEASURE)


def note(opened: object, name: str) -> str:
    return next(stage.note for stage in opened.checks if stage.name == name)  # type: ignore[attr-defined]


def test_a_wrong_tek_is_explained() -> None:
    opened = reopened(example(), tek=SecretBytes(bytes(16)))
    assert opened.mac_matches
    assert not opened.matches
    assert opened.secrets == []
    assert "Either the TEK is not the one" in note(opened, "table")
    assert "depends on the TIK alone" in note(opened, "table")


def test_tik_given_as_tek() -> None:
    """Incident F34: sevctl's manual passed the TIK as the TEK."""
    opened = reopened(example(tek=TIK))
    assert opened.mac_matches
    assert not opened.matches
    assert "encrypted under the TIK" in note(opened, "table")


def test_swapped_keys() -> None:
    assert "TEK and TIK are swapped" in note(reopened(example(), tik=TEK, tek=TIK), "MAC")
    assert "does not say which" in note(reopened(example(), measure=bytes(32)), "MAC")


def test_old_form_is_recognised() -> None:
    from hmac import digest

    packet = example()
    message = reopened(packet).message
    old = digest(TIK.reveal(), message.head.to_bytes() + packet.payload, "sha256")
    opened = open_secret(packet.header.replace(mac=old), packet.payload, TIK, TEK, MEASURE)
    assert not opened.matches
    assert "older than API 0.17" in note(opened, "MAC")


def test_compressed_is_not_decrypted() -> None:
    opened = open_secret(*sealed(bytes.fromhex(PLAIN), flags=1), TIK, TEK, MEASURE)
    assert opened.mac_matches
    assert opened.table is None
    assert not opened.matches
    assert "UNSUPPORTED" in note(opened, "flags")
    assert [stage.state for stage in opened.checks] == ["match", "match", "mismatch", "not checked"]


def test_reserved_flag_is_a_finding() -> None:
    opened = open_secret(*sealed(bytes.fromhex(PLAIN), flags=1 << 31), TIK, TEK, MEASURE)
    assert opened.matches
    assert opened.header.findings() == ["flags: reserved bits 31:1 hold 0x40000000, not known to sevlab"]


def test_counter_wraps_over_128_bits() -> None:
    """sev-launch 12: two blocks under a counter of sixteen 0xff bytes."""
    kek = SecretBytes(bytes.fromhex("0322f0771ddc3856b2a6e1cab927db75"))
    wrapped = aes_ctr(kek.reveal(), b"\xff" * 16, TEK.reveal() + TIK.reveal())
    assert wrapped.hex() == "8ae273e8918a40d8e5debddcd1c8ce09540786edf6e5f3f5f11dc2f37655d77b"
    packet = example(iv=b"\xff" * 16)
    assert "00000000000000000000000000000000" in str(reopened(packet))


def test_secrets_stay_hidden() -> None:
    data = b"\x91\x92\x93\x94\x95\x96\x97\x98\x99"
    packet = example(secrets=[(LUKS, data)])
    opened = reopened(packet)
    shown = [str(opened), opened._repr_html_(), json.dumps(opened.as_dict()), repr(packet), repr(packet.table)]
    shown += [str(packet.table), packet.table._repr_html_(), repr(packet.table.entries), repr(opened.secrets)]
    for text in shown:
        bare = text.replace(" ", "").replace("\n", "")
        assert "919293" not in bare
        assert repr(data)[2:-1] not in text
        assert TIK.reveal().hex() not in bare
    assert "91 92 93 94" in opened.explain(show_secret=True).text()
    assert opened.as_dict(show_secret=True)["secrets"][0]["hex"] == data.hex()
    assert TIK.reveal().hex() not in opened.explain(show_secret=True).text()
    assert TIK.reveal().hex() in opened.explain(show_keys=True).text()


def test_openssl_agrees(tmp_path: Path) -> None:
    if not shutil.which("openssl") or not shutil.which("od"):
        pytest.skip("needs openssl and od")
    packet = example()
    (tmp_path / "t k").write_bytes(TEK.reveal() + TIK.reveal())
    (tmp_path / "tik").write_bytes(TIK.reveal())
    (tmp_path / "tek").write_bytes(TEK.reveal())
    (tmp_path / "raw").write_bytes(packet.payload)
    (tmp_path / "b64").write_text(packet.payload_base64)
    for files in ({"tk": "t k", "payload": "raw"}, {"tik": "tik", "tek": "tek", "payload_base64": "b64"}):
        opened = open_secret(packet.header, packet.payload, TIK, TEK, MEASURE, files=files)
        done = subprocess.run(
            ["sh", "-c", opened.openssl_route()], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert packet.header.mac.hex() in done.stdout
        dump = done.stdout.split("\n", 1)[1]
        found = "".join(line[7:].split("  >")[0].replace(" ", "") for line in dump.splitlines())
        assert found == PLAIN


def test_packet_parts_raw_and_base64(tmp_path: Path) -> None:
    packet, file = example(), tmp_path / "part"
    for raw in (packet.header.to_bytes(), packet.payload):
        text = base64.b64encode(raw)
        file.write_bytes(raw)
        assert load_packet_part(str(file), "PART") == (raw, False)
        for form in (text, text + b"\n", b"\n".join(text[i : i + 20] for i in range(0, len(text), 20)), text + b"\r\n"):
            file.write_bytes(form)
            assert load_packet_part(str(file), "PART") == (raw, True)
    file.write_bytes(bytes(2 * HOST_LIMIT + 1))
    with pytest.raises(InputError, match=r"^PART: received"):
        load_packet_part(str(file), "PART")


def test_light_import() -> None:
    code = "import sys, sevlab.attestation.secret; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# The table: any bytes


def covers(table: SecretTable) -> None:
    """Every byte belongs to one span, in order; nothing that shows a table can fail."""
    position = 0
    for span in table.spans(show_secret=True):
        assert (span.offset, span.size) == (position, len(span.raw))
        position += span.size
    assert position == len(table.to_bytes())
    assert b"".join(span.raw for span in table.spans(show_secret=True)) == table.to_bytes()
    assert [span[:3] for span in table.spans()] == [span[:3] for span in table.spans(show_secret=True)]
    assert str(table)
    assert table._repr_html_()
    assert table.findings() is not None


@settings(max_examples=many(200, 40))
@given(raw=st.binary(max_size=200), length=st.integers(0, 300), entry=st.integers(0, 300), real=st.booleans())
def test_any_bytes_parse(raw: bytes, length: int, entry: int, real: bool) -> None:
    if real:
        raw = TABLE + length.to_bytes(4, "little") + LUKS + entry.to_bytes(4, "little") + raw
    covers(SecretTable(raw))


@given(secrets=secret_lists)
def test_table_round_trip(secrets: list) -> None:
    table = build_secret_table(secrets)
    covers(table)
    assert [(entry.guid, entry.data) for entry in table.entries] == secrets
    assert table.findings() == []
    assert SecretTable(table.to_bytes()).spans() == table.spans()


def crafted(length: int, *rest: bytes) -> SecretTable:
    return SecretTable(TABLE + length.to_bytes(4, "little") + b"".join(rest))


def entry(guid: bytes, length: int, data: bytes = b"") -> bytes:
    return guid + length.to_bytes(4, "little") + data


@pytest.mark.parametrize(
    ("table", "entries", "words"),
    [
        (crafted(0), 0, ["table_length: must be 20 or more"]),
        (crafted(20, bytes(12)), 0, []),
        (crafted(0xFFFFFFFF, entry(LUKS, 21, b"x")), 1, ["table_length: reaches past the 41 bytes there are"]),
        (crafted(40, entry(LUKS, 0)), 0, ["entry1.length: must be 20 to 20 here; nothing can be read from here on"]),
        (crafted(41, entry(LUKS, 0xFFFFFFFF, b"x")), 0, ["entry1.length: must be 20 to 21", "unread"]),
        (crafted(61, entry(LUKS, 21, b"x"), entry(LUKS, 20)), 2, ["entry2.guid: same GUID as entry 1"]),
        (crafted(40, entry(bytes(16), 20)), 1, ["entry1.guid: all zero"]),
        (crafted(45, entry(LUKS, 20), b"12345"), 1, ["unread"]),
        (crafted(40, entry(LUKS, 20), b"\0\0\1"), 1, ["padding: padding must be 0"]),
        (crafted(40, entry(LUKS, 20), bytes(24)), 1, ["padding: 24 bytes where 8 do"]),
        (SecretTable(b"hello"), 0, ["no secrets table in the 5 bytes there are"]),
        (SecretTable(TABLE), 0, ["no secrets table in the 16 bytes"]),
        (SecretTable(bytes(64)), 0, ["no secrets table"]),
        (SecretTable(b""), 0, []),
    ],
)
def test_broken_tables(table: SecretTable, entries: int, words: list[str]) -> None:
    covers(table)
    assert len(table.entries) == entries
    findings = table.findings()
    assert len(findings) == len(words)
    assert all(word in finding for word, finding in zip(words, findings, strict=True))


@pytest.mark.parametrize(
    ("table", "is_good"),
    [
        (crafted(48, entry(LUKS, 28, bytes(8))), True),
        (crafted(60, entry(bytes(16), 20), entry(LUKS, 20)), True),
        (crafted(40, entry(LUKS, 20), bytes(24)), True),
        (crafted(40, entry(LUKS, 0)), False),
        (crafted(0xFFFFFFFF, entry(LUKS, 21, b"x")), False),
        (crafted(61, entry(LUKS, 21, b"x"), entry(LUKS, 20)), False),
        (crafted(45, entry(LUKS, 20), b"12345"), False),
    ],
)
def test_a_packet_is_good_when_a_guest_finds_all_of_its_table(table: SecretTable, is_good: bool) -> None:
    raw = table.to_bytes()
    opened = open_secret(*sealed(raw + bytes(-len(raw) % 16)), TIK, TEK, MEASURE)
    assert (opened.matches, [one.name for one in opened.failed]) == (is_good, [] if is_good else ["table"])


def test_a_table_full_of_empty_secrets() -> None:
    count = (HOST_LIMIT - 20) // 20
    table = crafted(20 + 20 * count, *(entry(n.to_bytes(16, "big"), 20) for n in range(1, count + 1)))
    covers(table)
    assert len(table.entries) == count == 818


# libvirt's own tool

VALIDATE = Path("/usr/bin/virt-qemu-sev-validate")
peer = [
    pytest.mark.peer,
    pytest.mark.skipif(not VALIDATE.exists(), reason="needs Debian's libvirt-clients-qemu (virt-qemu-sev-validate)"),
]


def libvirt_packs(folder: Path, secrets: list[tuple[str, bytes]]) -> tuple[Measurement, Path, Path]:
    """Let the real tool validate a measurement and pack secrets for it."""
    firmware = os.urandom(4096)
    (folder / "firmware").write_bytes(firmware)
    (folder / "tik").write_bytes(TIK.reveal())
    (folder / "tek").write_bytes(TEK.reveal())
    from hashlib import sha256

    message = MeasureMessage(
        api_major=1, api_minor=55, build_id=25, policy=Policy(3), digest=sha256(firmware).digest(), mnonce=IV
    )
    measurement = Measurement(measure=compute_measure(message, TIK), mnonce=IV)
    words = ["/usr/bin/python3", str(VALIDATE), "--measurement", base64.b64encode(measurement.to_bytes()).decode()]
    words += ["--api-major", "1", "--api-minor", "55", "--build-id", "25", "--policy", "3"]
    words += ["--firmware", "firmware", "--tik", "tik", "--tek", "tek"]
    words += ["--secret-header", "header", "--secret-payload", "payload"]
    for number, (name, data) in enumerate(secrets):
        (folder / f"secret{number}").write_bytes(data)
        words += ["--inject-secret", f"{name}:secret{number}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "OK: Looks good to me" in done.stdout
    return measurement, folder / "header", folder / "payload"


OTHER = "23058844-597b-42fb-8259-a0f5d9d495af"


@pytest.mark.parametrize(
    "secrets",
    [
        [("luks-key", b"correct horse")],
        [("luks-key", b"")],
        [(OTHER.upper(), os.urandom(23))],
        [(OTHER, os.urandom(24))],  # 64 bytes: aligned
        [(OTHER, os.urandom(25))],
        [("luks-key", os.urandom(64)), (OTHER, bytes(5)), ("00000000-0000-0000-0000-000000000001", b"\n")],
        [("luks-key", os.urandom(4)), (OTHER, bytes(16))],  # 80 bytes: aligned
    ],
    ids=lambda secrets: "+".join(str(len(data)) for _, data in secrets),
)
@pytest.mark.parametrize("marked", [pytest.param(None, marks=peer)], ids=["libvirt"])
def test_libvirt_packs_and_we_open(tmp_path: Path, secrets: list[tuple[str, bytes]], marked: None) -> None:
    measurement, header_file, payload_file = libvirt_packs(tmp_path, secrets)
    header, header_is_text = load_packet_part(str(header_file), "header")
    payload, payload_is_text = load_packet_part(str(payload_file), "payload")
    assert header_is_text
    assert payload_is_text
    opened = open_secret(header, payload, TIK, TEK, measurement.measure)
    assert opened.matches
    assert opened.secrets == [(parse_secret_name(name), SecretBytes(data)) for name, data in secrets]
    ours = build_secret(opened.secrets, TIK, TEK, measurement.measure, iv=opened.header.iv)
    aligned = (20 + sum(20 + len(data) for _, data in secrets)) % 16 == 0
    if not aligned:
        assert opened.table.findings() == []
        assert ours.header_base64 == header_file.read_text()
        assert ours.payload_base64 == payload_file.read_text()
    else:
        # libvirt 9.0 adds 16 zero bytes to an aligned table. Everything before them is the same, the MAC is not.
        assert opened.table.findings() == [
            "padding: 16 bytes where 0 do (libvirt 9.0 adds 16 to an aligned table; harmless)"
        ]
        assert opened.table.to_bytes() == ours.table.to_bytes() + bytes(16)
        assert payload[:-16] == ours.payload
        assert header[:20] == ours.header.to_bytes()[:20]
        assert header[20:] != ours.header.mac
