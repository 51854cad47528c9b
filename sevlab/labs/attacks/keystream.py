"""A08: one keystream used twice, and one session used twice.

AES in counter mode makes a stream of bytes from TEK and IV, and combines it with the secret. Twice the same stream, and
the two payloads combined are the two secrets combined: the stream is gone, without any key. And a session that the host
kept is good for as many launches as it likes, so what must not be used twice has to be bound by something else.

A teaching scenario: no public incident is known to us. Source: incidents A08; sev-launch 7.4 and 8.
"""

from __future__ import annotations

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


#: A guest of the host's own lies as far from the others as its address space number says.
_APART = 0x80_0000

#: The number of a counter block has 16 bytes.
_BLOCKS = 1 << 8 * BLOCK


def xor(one: bytes, other: bytes) -> bytes:
    """Return the exclusive-or of two strings of bytes, as long as the shorter one."""
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


def distance(one: bytes, other: bytes) -> int:
    """Return by how many bytes the keystream of the second IV begins after that of the first (both 16 bytes).

    The counter is the IV as one number, big-endian, plus 1 for each block of 16 bytes. So packets whose IVs lie closer
    together than they are long share a part of their streams.
    """
    blocks = (int.from_bytes(other, "big") - int.from_bytes(one, "big")) % _BLOCKS
    return BLOCK * blocks


class Replay:
    """What came of launching with a session and a packet that were recorded.

    ``measurement`` is that of the launch (48 bytes), None when it did not come so far; ``secrets`` are what the guest
    then finds; ``caught`` is the firmware's refusal, None when there was none.
    """

    def __init__(self) -> None:
        self.measurement: Measurement | None = None
        self.secrets: list[bytes] = []
        self.caught: FirmwareError | None = None

    def __repr__(self) -> str:
        return f"REFUSED: {self.caught}" if self.caught else f"The guest has {self.secrets}"


def replay_secret(
    platform: Platform, policy: int, godh: bytes, session: bytes, firmware: bytes, header: bytes, payload: bytes
) -> Replay:
    """Launch *firmware* with a recorded session, and hand the firmware a recorded secret packet. Nobody is asked.

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


#: A secret of four digits under a stream that overlaps with another one; students find it without any key.
LOST_PIN = f"{int.from_bytes(TEK, 'little') % 9967:04}".encode()


def neighbours() -> tuple[SecretPacket, SecretPacket]:
    """Return two packets under one TEK whose IVs differ by one; the secret of the first is 48 times ``x``."""
    measure, iv = es_measurement()[:32], bytes(range(0x70, 0x80))
    following = (int.from_bytes(iv, "big") + 1).to_bytes(BLOCK, "big")
    first = build_secret([("luks-key", b"x" * 48)], TIK, TEK, measure, iv=iv)
    return first, build_secret([("luks-key", LOST_PIN)], TIK, TEK, measure, iv=following)
