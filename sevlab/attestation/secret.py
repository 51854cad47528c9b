"""Launch secrets: the owner packs them for one launch, the firmware (or a student) opens the packet again.

Two keys, two jobs. The table of secrets is encrypted under the TEK with AES-128-CTR, a stream cipher: every 16 bytes
are exclusive-ored with the encrypted counter. The result, with lengths, IV and the measure of the launch, goes into an
HMAC-SHA256 under the TIK. So the host can neither read a packet nor change a bit of it, nor replay it to another
launch. But the MAC does not cover the TEK: under another one the same packet decrypts to garbage, and nobody notices.

Sources: AMD 55766 (SEV API), LAUNCH_SECRET, as sev-launch 8 gives it. Firmware older than API 0.17 leaves the measure
out of the MAC (as AMDESE/sev-tool has it); sevlab builds the newer form only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError, InputError, checked, describe_text, hide_keys, quoted, shell_word
from ..formats.guid import Guid
from ..formats.secret import (
    ALIASES,
    BLOCK,
    SecretEntryHead,
    SecretFlags,
    SecretHeader,
    SecretMessageHead,
    SecretTable,
    SecretTableHead,
    build_secret_table,
    table_size,
)
from ..launch.keys import SecretBytes, check_key, hide_key, refuse_keys
from ..launch.measure import KEY_IS_SHOWN, HmacSteps
from ..launch.reading import load_file
from ..launch.values import decode_base64
from ..launch.verify import MATCH, MISMATCH, NOT_CHECKED, Check
from ..layout.bytemap import explain_spans
from ..layout.views import Code, Heading, Paragraph, Table, View, hex_lines
from .crypto import aes_ctr
from .verdict import Checklist, check_table

MEASURE_SIZE = 32
#: Linux hands no larger packet to the firmware, in bytes. Source: sev-launch 3, host limit.
HOST_LIMIT = 16 << 10
#: Largest single secret, in bytes.
LARGEST = HOST_LIMIT - SecretTableHead.size - SecretEntryHead.size
#: Size in bytes of the secret area in the AmdSev builds of OVMF. Source: sev-launch 8.4.
USUAL_AREA = 0xC00
#: Entries that Linux shows to the guest's programs. Source: Linux drivers/virt/coco/efi_secret.
LINUX_LIMIT = 64


class SecretMessage:
    """The message under the MAC of a secret packet: head (29 bytes), payload, measure (32 bytes)."""

    def __init__(self, header: SecretHeader, payload: bytes, measure: bytes) -> None:
        size = len(payload)
        self.head = SecretMessageHead(flags=header.flags, iv=header.iv, guest_length=size, trans_length=size)
        self.payload, self.measure = payload, measure

    def to_bytes(self) -> bytes:
        """Return the whole message."""
        return self.head.to_bytes() + self.payload + self.measure

    def mac(self, tik: SecretBytes) -> bytes:
        """Return the MAC: HMAC-SHA256 (32 bytes) of the message under *tik*."""
        return hmac.digest(tik.reveal(), self.to_bytes(), "sha256")


@dataclass(frozen=True, repr=False)
class SecretPacket:
    """What :func:`build_secret` returns: header and payload go to the host."""

    header: SecretHeader
    payload: bytes
    #: The payload before encryption, which stays here.
    table: SecretTable
    #: Sentences for the owner.
    warnings: list[str]

    @property
    def header_base64(self) -> str:
        """The header as libvirt and QEMU want it: base64 without line breaks."""
        return base64.b64encode(self.header.to_bytes()).decode()

    @property
    def payload_base64(self) -> str:
        """The payload as libvirt and QEMU want it: base64 without line breaks."""
        return base64.b64encode(self.payload).decode()

    def __repr__(self) -> str:
        return f"<SecretPacket: {len(self.table.entries)} secrets in {len(self.payload)} bytes, encrypted>"


def parse_secret_name(text: str, name: str = "secret") -> Guid:
    """Return the GUID that *text* is or stands for (``luks-key``); raise InputError with *name* for anything else."""
    if text in ALIASES:
        return ALIASES[text]
    try:
        return Guid.from_text(text, name)
    except InputError as error:
        needed = f"{error.needed}, or the name {' or '.join(ALIASES)}"
        raise InputError(name, error.received, needed) from None


def load_secret(spec: str, name: str = "secret") -> tuple[Guid, SecretBytes]:
    """Return the GUID and the secret that ``GUID-or-alias:PATH`` names. The file is taken byte by byte as it is.

    Raises :class:`~sevlab.errors.InputError` for another form, an unknown name, a file that cannot be read or holds
    more than a packet can carry.
    """
    what, colon, path = spec.partition(":")
    if not colon or not path:
        path = spec if spec and hide_keys(spec) == spec and not describe_text(spec) else "PATH"
        advice = f"luks-key:{path} for the key of a LUKS disk"
        raise InputError(name, quoted(spec), "GUID:PATH", advice)
    guid = parse_secret_name(what, name)
    return guid, SecretBytes(load_file(path, name, LARGEST))


@checked
def build_secret(
    secrets: Sequence[tuple[Guid | str, SecretBytes | bytes]],
    tik: SecretBytes | bytes,
    tek: SecretBytes | bytes,
    measure: bytes,
    *,
    iv: bytes | None = None,
    area: int | None = None,
    old: bool = False,
) -> SecretPacket:
    """Pack *secrets* for the launch whose measure (32 bytes) is *measure*.

    *secrets* are pairs of a GUID (or its text, or an alias such as ``luks-key``) and the secret's bytes. *iv* (16
    bytes) is drawn at random; giving it is for reproducing a known packet only. *area* is the size in bytes of the
    firmware's secret area, which QEMU does not check. *old* is for firmware before API 0.17, whose MAC does not cover
    the measure.

    Validate the measurement before: a packet for a measure that you did not check is a gift to the host.

    Raises :class:`~sevlab.errors.InputError` for keys, a measure or an IV of the wrong size, for a measure with a key
    in it, for no secret at all, for the same GUID twice or an all-zero one (Linux would show no secret, or skip it),
    and for more than the 16 KiB that Linux passes to the firmware.
    """
    tik, tek = hide_key(tik), hide_key(tek)
    if sizes := {len(pair) for pair in secrets} - {2}:
        raise ArgumentError("secrets", f"{min(sizes)} of something", "pairs of a GUID and bytes")
    secrets = [(what, hide_key(data)) for what, data in secrets]
    tik, tek = check_key(tik, "tik"), check_key(tek, "tek")
    _check_measure(measure, tik, tek)
    entries = _entries(secrets)
    table = build_secret_table((guid, data.reveal()) for guid, data in entries)
    iv = os.urandom(BLOCK) if iv is None else _check_size(iv, BLOCK, "iv")
    payload = aes_ctr(tek.reveal(), iv, table.to_bytes())
    header = SecretHeader(flags=SecretFlags(0), iv=iv, mac=bytes(32))
    header = header.replace(mac=SecretMessage(header, payload, b"" if old else measure).mac(tik))
    return SecretPacket(header, payload, table, _warnings(entries, tik, tek, len(payload), area))


def _entries(secrets: Iterable[tuple[Guid | str, Any]]) -> list[tuple[Guid, SecretBytes]]:
    entries: list[tuple[Guid, SecretBytes]] = []
    for what, data in secrets:
        if not isinstance(data, SecretBytes):
            raise InputError("secret", "text" if isinstance(data, str) else data.what, "bytes")
        guid = what if isinstance(what, Guid) else parse_secret_name(what)
        if not any(guid):
            raise InputError("secret", f"the GUID {guid}", "another one: this one marks a deleted entry")
        if any(guid == other for other, _ in entries):
            raise InputError("secret", f"{guid.text} twice", "every GUID once: Linux and libvirt refuse such a table")
        entries.append((guid, data))
    if not entries:
        raise InputError("secret", "none", "at least one secret")
    size = table_size(len(data) for _, data in entries)
    if size > HOST_LIMIT:
        one = f"one secret of at most {LARGEST} bytes, or several that need less"
        raise InputError("secret", f"a table of {size} bytes", f"at most {HOST_LIMIT} bytes, Linux's limit", one)
    return entries


def _warnings(
    entries: list[tuple[Guid, SecretBytes]], tik: SecretBytes, tek: SecretBytes, size: int, area: int | None
) -> list[str]:
    warnings = []
    for guid, data in entries:
        raw = data.reveal()
        if not raw:
            warnings.append(f"secret {guid.text} is empty: was its file written before there was anything to write?")
        elif raw.endswith(b"\n") and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in raw):
            warnings.append(f"secret {guid.text} is text that ends in a line break, which is part of the secret")
    if len(entries) > LINUX_LIMIT:
        warnings.append(f"Linux shows its programs the first {LINUX_LIMIT} of these {len(entries)} secrets only")
    if area is not None and size > area:
        whose = ", which OVMF's AmdSev builds have" if area == USUAL_AREA else ""
        warnings.append(
            f"the payload of {size} bytes does not fit in a secret area of {area} bytes{whose}: QEMU does not check "
            "that, and overwrites what follows the area"
        )
    if tik == tek:
        warnings.append("tik and tek are the same key: was one file given twice?")
    for name, key in (("tik", tik), ("tek", tek)):
        if not any(key.reveal()):
            warnings.append(f"{name} is all zero, which is what a launch without a session uses: anyone can use it")
    return warnings


def _check_size(raw: bytes, size: int, name: str, advice: str = "") -> bytes:
    if len(raw) != size:
        raise InputError(name, f"{len(raw)} bytes", f"{size} bytes", advice)
    return bytes(raw)


def _check_measure(measure: bytes, tik: SecretBytes, tek: SecretBytes) -> None:
    advice = "the first 32 of the measurement's 48 bytes" if len(measure) == 48 else ""
    _check_size(measure, MEASURE_SIZE, "measure", advice)
    refuse_keys(measure, "measure", tik, tek)


@checked
def open_secret(
    header: SecretHeader | bytes,
    payload: bytes,
    tik: SecretBytes | bytes,
    tek: SecretBytes | bytes,
    measure: bytes,
    *,
    files: dict[str, str] | None = None,
) -> OpenedSecret:
    """Open a packet as the firmware does: lengths, MAC, flags, and only then decryption. Never raises on a difference.

    *files* names the files that inputs were read from (``tik``, ``tek``, ``tk``, and ``payload`` or, when that is
    base64, ``payload_base64``), for showing. Raises :class:`~sevlab.errors.InputError` when a key, the header (52
    bytes), the measure (32 bytes) or the payload (16 bytes to 16 KiB, a multiple of 16) has the wrong size.
    """
    tik, tek = hide_key(tik), hide_key(tek)
    tik, tek = check_key(tik, "tik"), check_key(tek, "tek")
    raw = header.to_bytes() if isinstance(header, SecretHeader) else header
    swapped = "the two files the other way round" if len(payload) == SecretHeader.size else ""
    header = SecretHeader.from_bytes(_check_size(raw, SecretHeader.size, "header", swapped))
    if not payload or len(payload) % BLOCK or len(payload) > HOST_LIMIT:
        needed = f"{BLOCK} to {HOST_LIMIT} bytes, a multiple of {BLOCK}"
        raise InputError("payload", f"{len(payload)} bytes", needed, "a copy of the whole file, made in binary mode")
    _check_measure(measure, tik, tek)
    return OpenedSecret(header, bytes(payload), tik, tek, bytes(measure), dict(files or {}))


def load_packet_part(path: str, name: str) -> tuple[bytes, bool]:
    """Return the bytes of a header or payload from a file, and whether it was base64 text.

    sevctl writes raw bytes, libvirt base64. What can be read as both counts as base64. Sizes are left for
    :func:`open_secret` to check.
    """
    raw = load_file(path, name, 2 * HOST_LIMIT)
    text = raw.translate(None, b" \t\r\n")
    decoded = decode_base64(text.decode("ascii")) if text.isascii() else None
    if decoded and (len(decoded) == SecretHeader.size or len(decoded) % BLOCK == 0):
        return decoded, True
    return raw, False


def _is_whole(table: SecretTable) -> bool:
    """Return whether a guest finds all of a table: Linux passes over padding and deleted entries."""
    return table.is_table and all(one.startswith("padding:") or "deleted entry" in one for one in table.findings())


class OpenedSecret(Checklist):
    """What comes of opening a packet. Make it with :func:`open_secret`.

    ``mac`` is the computed MAC, ``mac_matches`` says whether it is the header's. ``table`` is the decrypted table; None
    when the firmware would not have decrypted. It matches when a guest would find all of its table.
    """

    def __init__(
        self,
        header: SecretHeader,
        payload: bytes,
        tik: SecretBytes,
        tek: SecretBytes,
        measure: bytes,
        files: dict[str, str],
    ) -> None:
        self.files = files
        self.header, self.payload, self.measure = header, payload, measure
        self._tik, self._tek = tik, tek
        self.message = SecretMessage(header, payload, measure)
        self.mac = self.message.mac(tik)
        self.mac_matches = hmac.compare_digest(self.mac, header.mac)
        self.table: SecretTable | None = None
        if self.mac_matches and not header.flags.compressed:
            self.table = SecretTable(aes_ctr(tek.reveal(), header.iv, payload))

    @property
    def secrets(self) -> list[tuple[Guid, SecretBytes]]:
        """The secrets, in their order; empty when the packet does not open."""
        return [(entry.guid, SecretBytes(entry.data)) for entry in (self.table.entries if self.table else [])]

    @property
    def checks(self) -> list[Check]:
        """The firmware's checks in its order, then the guest's."""
        table, compressed = self.table, bool(self.header.flags.compressed)
        mac = "HMAC-SHA256 of the message under the TIK"
        if not self.mac_matches:
            mac = f"The firmware answers BAD_MEASUREMENT. {self._mac_hint()}"
        flags = self.header.flags.text + (": the firmware answers UNSUPPORTED" if compressed else "")
        found = "what the guest would find"
        if table is not None and not table.is_table:
            found = self._table_hint(table)
        elif table is not None:
            found = f"{_count(table.entries)}; {'; '.join(table.findings()) or 'well formed'}"
        return [
            Check("lengths", MATCH, f"header {SecretHeader.size} bytes, payload {len(self.payload)} bytes"),
            Check("MAC", _state(self.mac_matches), mac),
            Check("flags", _state(not compressed if self.mac_matches else None), flags),
            Check("table", _state(None if table is None else _is_whole(table)), found),
        ]

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.matches:
            return f"OK: The packet opens and holds {_count(self.secrets)}"
        return f"ERROR: The packet does not open (bad: {self.failed[0].name})"

    def _mac_hint(self) -> str:
        if hmac.compare_digest(self.message.mac(self._tek), self.header.mac):
            return "It is right under the TEK: TEK and TIK are swapped, here or where the packet was built."
        old = self.message.head.to_bytes() + self.payload
        if hmac.compare_digest(hmac.digest(self._tik.reveal(), old, "sha256"), self.header.mac):
            return "It is right without the measure, as firmware older than API 0.17 made it."
        return (
            "At least one of these differs: the TIK, the measure (every launch has its own, so a packet is good "
            "for one launch), or a byte of header or payload. The MAC does not say which."
        )

    def _table_hint(self, table: SecretTable) -> str:
        if SecretTable(aes_ctr(self._tik.reveal(), self.header.iv, self.payload)).is_table:
            return "It is encrypted under the TIK: its builder gave the TIK as the TEK. The guest gets garbage."
        return (
            f"{'; '.join(table.findings())}. Either the TEK is not the one the packet was encrypted under (the MAC "
            "cannot tell: it depends on the TIK alone), or what was sent is no table (sev-tool encrypts a bare file)."
        )

    def explain(self, *, show_secret: bool = False, show_keys: bool = False) -> View:
        """Show the checks, header, message, MAC and table, byte by byte.

        Secrets are hidden unless *show_secret* is set; what is made from the TIK, unless *show_keys* is.
        """
        size = len(self.payload)
        last = [f"payload, {size} bytes", f"SHA-256 {hashlib.sha256(self.payload).hexdigest()}"]
        view = View(
            self.banner(),
            check_table(self.checks),
            Heading("1. What travels beside the payload: the header, 52 bytes"),
            explain_spans(self.header.spans()),
            Heading(f"2. What the MAC is made of: the message, {len(self.message.to_bytes())} bytes"),
            explain_spans(self.message.head.spans()),
            Table(["then", "value"], [last, [f"measure, {MEASURE_SIZE} bytes", hex_lines(self.measure)]], mono=[1]),
            Heading("3. The MAC, step by step"),
            HmacSteps(self.message.to_bytes(), self._tik).explain("MAC", show_keys=show_keys),
            Table(["MAC", "value"], [["reported", self.header.mac.hex()], ["computed", self.mac.hex()]], mono=[1]),
            Heading("4. What the guest finds: the payload, decrypted"),
        )
        if self.table is None:
            return View(view, Paragraph("Nothing: the firmware stops before it decrypts."))
        return View(
            view,
            Paragraph(
                "AES-128-CTR: a counter is encrypted under the TEK, and 16 bytes of the payload are exclusive-ored "
                "with the result. The counter starts as the IV and goes up by one, as a big-endian number of 16 bytes."
            ),
            self._counters(),
            self.table.explain(show_secret=show_secret),
            Heading("5. The same by a second route"),
            Paragraph("With OpenSSL, in a shell. The first line gives the MAC, the last the table, secrets and all:"),
            Code(self.openssl_route()),
        )

    def _counters(self) -> Table:
        first, blocks = int.from_bytes(self.header.iv, "big"), len(self.payload) // BLOCK
        rows = []
        for block in range(blocks):
            if 2 < block < blocks - 1:
                continue
            if block == blocks - 1 > 3:
                rows.append(["...", "...", "..."])
            counter = (first + block) % (1 << 8 * BLOCK)
            at = BLOCK * block
            rows.append([f"0x{at:02x}", counter.to_bytes(BLOCK, "big").hex(), self.payload[at : at + BLOCK].hex()])
        return Table(["bytes from", "counter", "payload"], rows, mono=[0, 1, 2])

    def openssl_route(self) -> str:
        """Return shell lines that compute the MAC and the table with OpenSSL alone, which takes keys as arguments."""
        text = "payload_base64" in self.files

        path = shell_word(self.files.get("payload_base64") or self.files.get("payload") or "PAYLOAD")
        read = f"base64 -d {path}" if text else f"cat {path}"

        def key(name: str, offset: int) -> str:
            both = "tk" in self.files
            file = self.files["tk"] if both else self.files.get(name, f"{name.upper()}_FILE")
            return f"$(od -An -v -tx1 {f'-j{offset} -N16 ' if both else ''}{shell_word(file)} | tr -d ' \\n')"

        head, measure = (base64.b64encode(raw).decode() for raw in (self.message.head.to_bytes(), self.measure))
        return (
            f"{KEY_IS_SHOWN}\n"
            f"{{ echo {head} | base64 -d; {read}; echo {measure} | base64 -d; }} |\n"
            f"  openssl dgst -sha256 -mac HMAC -macopt hexkey:{key('tik', 16)}\n"
            f"{read} |\n"
            f"  openssl enc -d -aes-128-ctr -K {key('tek', 0)} -iv {self.header.iv.hex()} | od -A x -t x1z"
        )

    def as_dict(self, *, show_secret: bool = False) -> dict[str, object]:
        """Return it as JSON-ready data; bytes are lower-case hex, hidden ones None, keys never appear."""
        return {
            "status": self.status,
            "checks": [{"name": one.name, "state": one.state, "words": one.note} for one in self.checks],
            "header": [span.as_dict() for span in self.header.spans()],
            "message": [span.as_dict() for span in self.message.head.spans()],
            "measure": self.measure.hex(),
            "mac": {"reported": self.header.mac.hex(), "computed": self.mac.hex()},
            "table": [span.as_dict() for span in self.table.spans(show_secret=show_secret)] if self.table else None,
            "secrets": [
                {
                    "guid": str(guid),
                    "name": guid.name,
                    "size": len(data),
                    "hex": data.reveal().hex() if show_secret else None,
                }
                for guid, data in self.secrets
            ],
            "findings": self.table.findings() if self.table else [],
        }


def _count(secrets: Sequence[object]) -> str:
    return f"{len(secrets)} secret{'s' * (len(secrets) != 1)}"


def _state(good: bool | None) -> str:
    return NOT_CHECKED if good is None else MATCH if good else MISMATCH
