"""The guest policy: what the host may do with this guest."""

from __future__ import annotations

from ..layout.bits import Bits, bit, reserved_bits


class Policy(Bits, size=4, spec="AMD 55766 (SEV API), guest policy; LAUNCH_START, SEND_START, DBG_DECRYPT"):
    """Guest policy of SEV and SEV-ES.

    Four bytes, little-endian: flags, a zero byte, API_MAJOR, API_MINOR. The owner fixes it in the launch session, the
    firmware enforces it, and it is part of the measured message. (The policy of SEV-SNP is another one: there the
    version bytes are the other way round and the debug bit means the opposite.)
    """

    nodbg = bit(
        0,
        "Debugging is refused.",
        governs="DBG_DECRYPT, DBG_ENCRYPT",
        clear="the host may read and change the guest's memory in clear text.",
    )
    noks = bit(
        1,
        "Sharing the memory key with another guest is refused.",
        governs="LAUNCH_START (of the other guest)",
        clear="the host may start another guest under this guest's memory key.",
    )
    es = bit(
        2,
        "The guest must be an SEV-ES guest: its registers are encrypted and measured.",
        governs="LAUNCH_START, LAUNCH_UPDATE_VMSA",
        clear="the host may run it as plain SEV, and sees and can change its registers whenever it stops.",
    )
    nosend = bit(
        3,
        "Migration to another platform is refused.",
        governs="SEND_START",
        clear="the host may send the guest, with its keys, to another platform.",
    )
    domain = bit(
        4,
        "Migration only to a platform of the same owner (the same OCA, owner certificate authority).",
        governs="SEND_START",
        clear="a migration may leave the owner's own platforms.",
    )
    sev = bit(
        5,
        "Migration only to a genuine SEV platform, by AMD's certificate chain.",
        governs="SEND_START",
        clear="AMD's chain of the receiver is not checked; with DOMAIN clear too, no certificate is.",
    )
    reserved_6 = reserved_bits(6, 10)
    api_major = bit(
        16,
        "Least major version of the SEV API (the firmware's interface) that may launch the guest.",
        width=8,
        governs="LAUNCH_START, SEND_START, RECEIVE_START",
        clear="firmware of any major version may launch it.",
    )
    api_minor = bit(
        24,
        "Least minor version, when the major version is the same.",
        width=8,
        governs="LAUNCH_START, SEND_START, RECEIVE_START",
        clear="any minor version will do.",
    )
