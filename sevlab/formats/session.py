"""The launch session: how the owner's keys travel to the secure processor through a host that cannot read them.

Source: sev-launch 6.4 (AMD 55766, SEV API, LAUNCH_START).
"""

from __future__ import annotations

from ..layout.rows import Layout, at

SPEC = "AMD 55766 (SEV API), LAUNCH_START, launch session"


class SessionBlob(Layout, size=128, spec=SPEC):
    """The launch session.

    TEK and TIK, encrypted for one platform, and two MACs: one over them, one over the policy.
    """

    nonce: bytes = at(0x00, 16, "Random; makes another master secret each time.", type=bytes, tint="pink")
    wrap_tk: bytes = at(0x10, 32, "TEK and TIK, encrypted with AES-128-CTR under the KEK.", type=bytes, tint="purple")
    wrap_iv: bytes = at(0x30, 16, "The first counter of that encryption, random.", type=bytes, tint="orange")
    wrap_mac: bytes = at(
        0x40, 32, "HMAC-SHA256 of wrap_tk under the KIK. It covers nothing else.", type=bytes, tint="green"
    )
    policy_mac: bytes = at(
        0x60, 32, "HMAC-SHA256 of the policy (4 bytes, little-endian) under the TIK.", type=bytes, tint="yellow"
    )
