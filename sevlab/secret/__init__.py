"""Launch secrets: the owner packs them for one launch, the firmware (or a student) opens the packet again.

Two keys, two jobs. The table of secrets is encrypted under the TEK with AES-128-CTR, a stream cipher: every 16 bytes
are exclusive-ored with the encrypted counter. The result, with lengths, IV and the measure of the launch, goes into an
HMAC-SHA256 under the TIK. So the host can neither read a packet nor change a bit of it, nor replay it to another
launch. But the MAC says nothing about the TEK: under another one the same packet decrypts to garbage, and nobody is
told.

Sources: AMD 55766 (SEV API), LAUNCH_SECRET, as sev-launch 8 gives it. Firmware older than API 0.17 leaves the measure
out of the MAC (as AMDESE/sev-tool has it); sevlab builds the newer form only.
"""

from __future__ import annotations

from .opened import OpenedSecret, load_packet_part, open_secret
from .packet import SecretMessage, SecretPacket, build_secret, load_secret, parse_secret_name

__all__ = [
    "OpenedSecret",
    "SecretMessage",
    "SecretPacket",
    "build_secret",
    "load_packet_part",
    "load_secret",
    "open_secret",
    "parse_secret_name",
]
