"""A08: a session used twice. A session that the host kept is good for any number of launches.

Something else must prevent its second use: since API 0.17 the measure in the packet's MAC.

A teaching scenario: no public incident is known to us. Source: incidents A08; sev-launch 7.4 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...formats.launch_measure import Measurement
from ...formats.secret import SecretTable
from ...simulator.parties import FIRMWARE_AT, SECRET_AT
from ...simulator.psp import SECRET_LIMIT, Platform
from ...simulator.status import FirmwareError

#: How far apart the host places its guests.
_APART = 0x80_0000


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
