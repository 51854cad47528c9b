"""Packing a secret for one launch, and the message under its MAC."""

from __future__ import annotations

import base64
import hmac
import os
from collections import namedtuple

from ..arguments import checked
from ..errors import ArgumentError, InputError, quoted
from ..formats.guid import Guid
from ..formats.secret import (
    ALIASES,
    BLOCK,
    SecretEntryHead,
    SecretFlags,
    SecretHeader,
    SecretMessageHead,
    SecretTableHead,
    build_secret_table,
    table_size,
)
from ..inputs import load_file
from ..keys import Secret, check_key, hide_key, refuse_keys
from ..keytext import describe_text, hide_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

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

    def mac(self, tik: Secret) -> bytes:
        """Return the MAC: HMAC-SHA256 (32 bytes) of the message under *tik*."""
        return hmac.digest(tik.reveal(), self.to_bytes(), "sha256")


class SecretPacket(namedtuple("SecretPacket", "header payload table warnings")):
    """What :func:`build_secret` returns.

    ``header`` (:class:`SecretHeader`, 52 bytes) and ``payload`` (bytes) go to the host; ``table`` is the payload before
    encryption and stays here; ``warnings`` are sentences for the owner.
    """

    __slots__ = ()

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


def load_secret(spec: str, name: str = "secret") -> tuple[Guid, Secret]:
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
    return guid, Secret(load_file(path, name, LARGEST))


@checked
def build_secret(
    secrets: Sequence[tuple[Guid | str, Secret | bytes]],
    tik: Secret | bytes,
    tek: Secret | bytes,
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

    Raises :class:`~sevlab.errors.InputError` for keys, a measure or an IV of another size, for a measure with a key in
    it, for no secret at all, for the same GUID twice or an all-zero one (Linux would show no secret, or pass over it),
    and for more than the 16 KiB that Linux hands to the firmware.
    """
    tik, tek = hide_key(tik), hide_key(tek)
    if odd := {len(pair) for pair in secrets} - {2}:
        raise ArgumentError("secrets", f"{min(odd)} of something", "pairs of a GUID and bytes")
    secrets = [(what, hide_key(data)) for what, data in secrets]
    tik, tek = check_key(tik, "tik"), check_key(tek, "tek")
    check_size(
        measure, MEASURE_SIZE, "measure", "the first 32 of the measurement's 48 bytes" if len(measure) == 48 else ""
    )
    refuse_keys(measure, "measure", tik, tek)
    entries = _entries(secrets)
    table = build_secret_table((guid, data.reveal()) for guid, data in entries)
    iv = os.urandom(BLOCK) if iv is None else check_size(iv, BLOCK, "iv")
    payload = apply_keystream(tek, iv, table.to_bytes())
    header = SecretHeader(flags=SecretFlags(0), iv=iv, mac=bytes(32))
    header = header.replace(mac=SecretMessage(header, payload, b"" if old else measure).mac(tik))
    return SecretPacket(header, payload, table, _warnings(entries, tik, tek, len(payload), area))


def _entries(secrets: Iterable[tuple[Guid | str, Any]]) -> list[tuple[Guid, Secret]]:
    """Check what is to be packed."""
    entries: list[tuple[Guid, Secret]] = []
    for what, data in secrets:
        if not isinstance(data, Secret):
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


def _warnings(entries: list[tuple[Guid, Secret]], tik: Secret, tek: Secret, size: int, area: int | None) -> list[str]:
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


def apply_keystream(tek: Secret, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt *data* with AES-128-CTR under *tek*: the same operation. *iv* is the first counter block."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(tek.reveal()), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def check_size(raw: bytes, size: int, name: str, advice: str = "") -> bytes:
    """Return *raw* if it has *size* bytes; raise InputError with *name* otherwise."""
    if len(raw) != size:
        raise InputError(name, f"{len(raw)} bytes", f"{size} bytes", advice)
    return bytes(raw)
