"""A08: a keystream used twice, and a session used twice.

AES in counter mode makes a stream of bytes from TEK and IV, and XORs it with the secret. If a stream is used twice, the
XOR of the two payloads is the XOR of the two secrets: the stream cancels out, without any key. And a session that the
host kept is good for any number of launches, so something else must prevent its second use.

A teaching scenario: no public incident is known to us. Source: incidents A08; sev-launch 7.4 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...attestation.secret import build_secret
from ...formats.secret import BLOCK, SecretTable
from ...simulator.parties import FIRMWARE_AT, SECRET_AT
from ...simulator.psp import SECRET_LIMIT
from ...simulator.status import FirmwareError
from ..samples import TEK, TIK, es_measurement

if TYPE_CHECKING:
    from ...attestation.secret import SecretPacket
    from ...formats.launch_measure import Measurement
    from ...simulator.psp import Platform


#: How far apart the host places its guests.
_APART = 0x80_0000


def xor(one: bytes, other: bytes) -> bytes:
    """Return the XOR of two strings of bytes, as long as the shorter one."""
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


def distance(one: bytes, other: bytes) -> int:
    """Return how many bytes after the keystream of the first IV that of the second begins (both 16 bytes).

    The counter is the IV as one number, big-endian, plus 1 for each block of 16 bytes. So packets that are longer than
    the distance of their IVs share a part of their streams.
    """
    return BLOCK * ((int.from_bytes(other, "big") - int.from_bytes(one, "big")) % (1 << 8 * BLOCK))


@dataclass(repr=False)
class Replay:
    """The result of a launch with a recorded session and packet: its measurement, the guest's secrets, or a refusal."""

    measurement: Measurement | None = None
    secrets: list[bytes] = field(default_factory=list)
    caught: FirmwareError | None = None

    def __repr__(self) -> str:
        return f"REFUSED: {self.caught}" if self.caught else f"The guest has {self.secrets}"


def replay_secret(
    platform: Platform, policy: int, godh: bytes, session: bytes, firmware: bytes, header: bytes, payload: bytes
) -> Replay:
    """Launch *firmware* with a recorded session and inject a recorded secret packet, without the owner.

    *godh* and *session* are the owner's certificate and launch session (2084 and 128 bytes), *header* and *payload* the
    packet (52 bytes and more). Never raises on a refusal.
    """
    replay = Replay()
    try:
        handle = platform.launch_start(policy, godh, session)
        asids = {guest.asid for guest in platform.guests.values()}
        asid = next(number for number in range(1, len(asids) + 2) if number not in asids)
        platform.activate(handle, asid)
        loaded, secret = FIRMWARE_AT + asid * _APART, SECRET_AT + asid * _APART
        platform.memory.write(loaded, firmware)
        platform.launch_update_data(handle, loaded, len(firmware))
        replay.measurement = platform.launch_measure(handle)
        platform.launch_secret(handle, header, secret, payload)
        platform.launch_finish(handle)
        table = SecretTable(platform.read_as_guest(handle, secret, SECRET_LIMIT))
        replay.secrets = [entry.data for entry in table.entries]
    except FirmwareError as refusal:
        replay.caught = refusal
    return replay


#: A four-digit secret under a stream that overlaps with another one; students find it without any key.
LOST_PIN = f"{int.from_bytes(TEK, 'little') % 9967:04}".encode()


def neighbours() -> tuple[SecretPacket, SecretPacket]:
    """Return two packets under one TEK whose IVs differ by one; the secret of the first is 48 times ``x``."""
    measure, iv = es_measurement()[:32], bytes(range(0x70, 0x80))
    following = (int.from_bytes(iv, "big") + 1).to_bytes(BLOCK, "big")
    first = build_secret([("luks-key", b"x" * 48)], TIK, TEK, measure, iv=iv)
    return first, build_secret([("luks-key", LOST_PIN)], TIK, TEK, measure, iv=following)
