"""Public incidents that a mismatch may resemble, as data with sources.

Each happened to somebody and was told in public. The key is the number under which sevlab's facts and notebooks know
it.
"""

from __future__ import annotations

from collections import namedtuple


class Incident(namedtuple("Incident", "key title source date lesson")):
    """One incident: its key, a title, where it is told, when (as precisely as known), and one sentence."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The incident in one phrase, with its source."""
        return f"{self.key} '{self.title}' ({self.source}, {self.date})"


_KNOWN = (
    Incident(
        "A07",
        "Debug policy",
        "AMD 55766, DBG_DECRYPT; a property of the design",
        "2016",
        "With debugging allowed the host may decrypt the guest's memory, so an owner must check the policy.",
    ),
    Incident(
        "A09",
        "Direct boot without hashes",
        "confidential-containers/confidential-containers#54",
        "2022-06-10",
        "Only the firmware is measured; the host may load any kernel.",
    ),
    Incident(
        "F01",
        "debug_swap flips SEV_FEATURES",
        "AMDESE/AMDSEV#195",
        "2023-10-19",
        "A new feature of KVM set one bit in every save area.",
    ),
    Incident(
        "F05",
        "KVM starts to set the floating-point control words",
        "virtee/sev-snp-measure#48",
        "2024-04-22",
        "Four bytes of every save area changed with the kernel.",
    ),
    Incident(
        "F11",
        "Model not carried to launch",
        "aleph-im/aleph-vm#1145",
        "2026-08-20",
        "The guest was measured for one CPU model and started with another.",
    ),
    Incident(
        "F15",
        "vCPU count decides the digest",
        "confidential-dot-ai/c8s#217",
        "2026-08",
        "Every virtual CPU adds one page to the digest, so one image has as many digests as shapes.",
    ),
    Incident(
        "F17",
        "Measured direct boot assembled wrongly",
        "AMDESE/AMDSEV#93",
        "2022-04",
        "Firmware, options and kernel hashes must fit together, and each missing piece fails in its own way.",
    ),
    Incident(
        "F25",
        "Which file?",
        "AMDESE/AMDSEV#49",
        "2020",
        "It is not plain which of the firmware's files is the one that is measured.",
    ),
    Incident(
        "F26",
        "Table padding",
        "virtee/sevctl commit a53a1a0",
        "2023-04-05",
        "An aligned table got 16 bytes of padding too many.",
    ),
    Incident(
        "F27",
        "Decimal versus hex",
        "AMDESE/sev-tool#44",
        "2021-09-05",
        "One command prints versions in decimal, the other reads them as hex.",
    ),
    Incident(
        "F28",
        "Which platform's version?",
        "AMDESE/sev-tool commit 06dc9af",
        "2020-08-24",
        "The version of the owner's machine was used in place of the host's; the message itself changed at API 0.17.",
    ),
    Incident(
        "F30",
        "Keys saved before they existed",
        "AMDESE/sev-tool commit 663908b",
        "2020-04-22",
        "The key file was written before the keys were made.",
    ),
    Incident(
        "F33",
        "Path instead of content",
        "AMDESE/AMDSEV#70",
        "2021-08-26",
        "A value was handed on in another form than its reader takes: a path, hex, base64 with line breaks.",
    ),
    Incident(
        "F34",
        "TIK and TEK mixed up",
        "virtee/sevctl commit 7fa8440",
        "2023-06-13",
        "The documentation passed one key in the place of the other.",
    ),
)

#: Every incident by its key.
INCIDENTS: dict[str, Incident] = {incident.key: incident for incident in _KNOWN}
