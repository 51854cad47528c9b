"""What LAUNCH_MEASURE hashes under the owner's key, and what it returns.

Three structures, and three words that are easily confused:

* the **digest** is the SHA-256 of everything that was loaded;
* the **measure** is the 32-byte HMAC (a hash under a secret key) of the message below, which contains the digest;
* the **measurement** is what travels: 48 bytes, the measure and then the nonce.
"""

from __future__ import annotations

from ..layout.structure import Layout, at
from .policy import Policy

SPEC = "AMD 55766 (SEV API), LAUNCH_MEASURE"
_POLICY = "The guest policy that the SEV firmware launched under (little-endian)."
_DIGEST = "The launch digest: SHA-256 of all bytes the host loaded, in order."
_MNONCE = "Measurement nonce: random bytes from the SEV firmware, new for every launch."


class MeasureMessage(Layout, size=56, spec=SPEC + ", API 0.17 and newer"):
    """The message under the HMAC.

    HMAC-SHA256 of these 56 bytes under the TIK (transport integrity key, 16 bytes) is the measure. Version and build
    are those of the platform's SEV firmware, which need not be the minimum that the policy asks for.
    """

    context: int = at(0x00, 1, "Always 0x04, 'measure': no other use of the TIK can be taken for this.", const=0x04)
    api_major: int = at(0x01, 1, "Major version of the SEV API, the interface of the SEV firmware that measured.")
    api_minor: int = at(0x02, 1, "Minor version of the SEV API that measured.")
    build_id: int = at(0x03, 1, "Build number of the SEV firmware that measured.")
    policy: Policy = at(0x04, 4, _POLICY, type=Policy, colour="yellow")
    digest: bytes = at(0x08, 32, _DIGEST, type=bytes, colour="teal")
    mnonce: bytes = at(0x28, 16, _MNONCE, type=bytes, colour="pink")


class OldMeasureMessage(Layout, size=52, spec=SPEC + ", API older than 0.17 (as in AMDESE/sev-tool; not seen live)"):
    """The message under the HMAC, as SEV firmware older than API 0.17 built it.

    It has no context byte and no version. sevlab declares and explains it; ``validate`` always uses the 56-byte form,
    as libvirt does.
    """

    policy: Policy = at(0x00, 4, _POLICY, type=Policy, colour="yellow")
    digest: bytes = at(0x04, 32, _DIGEST, type=bytes, colour="teal")
    mnonce: bytes = at(0x24, 16, _MNONCE, type=bytes, colour="pink")


class Measurement(Layout, size=48, spec=SPEC):
    """The measurement, as it travels from the host to the owner (64 base64 characters)."""

    measure: bytes = at(
        0x00, 32, "The measure: HMAC-SHA256 of the message under the owner's TIK.", type=bytes, colour="purple"
    )
    mnonce: bytes = at(0x20, 16, _MNONCE, type=bytes, colour="pink")
