"""The samples of SEV and SEV-ES: two launches and what their host reports, the same to the last byte each time.

They only need the standard library. The keys are visibly samples (``20 21 22 ...``), the firmware is lines of text that
boot nothing. The first measurement is computed without sevlab, as a second route. :mod:`~sevlab.labs.snp_samples` has
the sample of SEV-SNP, and :mod:`~sevlab.labs.sample_files` writes all of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..formats.launch_measure import MeasureMessage
from ..formats.policy import Policy
from ..launch.inputs import LaunchInputs, load_launch
from ..launch.keys import SecretBytes
from ..launch.sev import Launch, compute_digest

FIRMWARE_SIZE = 64 << 10
TEK, TIK = bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40))
MNONCE = bytes(range(0x40, 0x50))
#: The version of the sample host's SEV firmware, and the policy of the sample guest.
API_MAJOR, API_MINOR, BUILD_ID, POLICY = 0, 22, 13, 0x1
KERNEL, INITRD, CMDLINE = b"sevlab sample kernel, which boots nothing.\n", b"sevlab sample initrd.\n", "console=ttyS0"
#: The second sample: a SEV-ES guest on an EPYC-Milan, booted directly with kernel hashes.
ES_POLICY, ES_CPUS, ES_CPU, ES_MNONCE = 0x5, 4, (25, 1, 1), bytes(range(0x60, 0x70))
#: Where further CPUs start.
RESET = 0x80B004
#: The GUIDs of a footer table and of its entries.
HASH_AREA, SECRET_AREA, RESET_ADDRESS, FOOTER = (
    *("7255371f-3a3b-4b04-927b-1da6efa8d454", "4c2eb361-7d9b-4cc3-8081-127c90d3d294"),
    *("00f771de-1a7e-4fcb-890e-68c77e2fb44e", "96b582de-1fb2-45f7-baea-a366c55a082d"),
)
#: Entries of the footer table, from the lowest address up: data and GUID.
_FOOTER = (
    (struct.pack("<II", 0x80CC00, 0x400), HASH_AREA),
    (struct.pack("<II", 0x80C000, 0xC00), SECRET_AREA),
    (struct.pack("<I", RESET), RESET_ADDRESS),
)


class SampleKey(SecretBytes):
    """A key of a sample, which protects nothing and shows itself. A key of anyone else is never of this kind."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"sample key {self.reveal().hex(' ')}"


def sample_keys() -> tuple[SampleKey, SampleKey]:
    """Return the TEK and the TIK of the samples (16 bytes each), which may be shown."""
    return SampleKey(TEK), SampleKey(TIK)


def firmware() -> bytes:
    """Return the sample firmware: numbered lines of text, 64 KiB."""
    line = "sevlab sample firmware, which boots nothing. Line {:>17}\n"
    text = "".join(line.format(number) for number in range(FIRMWARE_SIZE // 64 + 1))
    return text.encode()[:FIRMWARE_SIZE]


def firmware_for_kernels() -> bytes:
    """Return the second sample firmware: the first one, ending in a footer table and 32 bytes for the reset vector."""
    return end_firmware(footer_table(_FOOTER))


def footer_table(entries: Iterable[tuple[bytes, str]]) -> bytes:
    """Return a footer table of entries (data and GUID, the lowest address first), and what follows it."""
    listed = b"".join(data + struct.pack("<H", len(data) + 18) + uuid.UUID(guid).bytes_le for data, guid in entries)
    footer = struct.pack("<H", len(listed) + 18) + uuid.UUID(FOOTER).bytes_le
    return listed + footer + b"reset vector of a sample: none.\n"


def end_firmware(end: bytes) -> bytes:
    """Return the sample firmware with its last bytes replaced."""
    return firmware()[: FIRMWARE_SIZE - len(end)] + end


def es_inputs(folder: str | Path, image: bytes | None = None) -> LaunchInputs:
    """Write the files of the second sample's launch into *folder*, with this firmware *image*; return the inputs."""
    parts = {"firmware": image or firmware_for_kernels(), "kernel": KERNEL, "initrd": INITRD}
    for name, content in parts.items():
        (Path(folder) / name).write_bytes(content)
    family, model, stepping = ES_CPU
    return LaunchInputs(
        **{name: str(Path(folder) / name) for name in parts},
        cmdline=CMDLINE,
        num_cpus=ES_CPUS,
        cpu_family=family,
        cpu_model=model,
        cpu_stepping=stepping,
    )


def es_launch(**changes: Any) -> Launch:
    """Return the second sample's launch, with some of its inputs changed."""
    with tempfile.TemporaryDirectory() as folder:
        return load_launch(Policy(ES_POLICY), **es_inputs(folder).replace(**changes).given)


def es_measurement() -> bytes:
    """Return the measurement of the second sample (48 bytes)."""
    message = struct.pack("<BBBBI", 4, API_MAJOR, API_MINOR, BUILD_ID, ES_POLICY) + es_launch().digest + ES_MNONCE
    return hmac.digest(TIK, message, "sha256") + ES_MNONCE


def measurement() -> bytes:
    """Return the sample measurement (48 bytes), from the standard library alone."""
    digest = hashlib.sha256(firmware()).digest()
    message = struct.pack("<BBBBI", 4, API_MAJOR, API_MINOR, BUILD_ID, POLICY) + digest + MNONCE
    return hmac.digest(TIK, message, "sha256") + MNONCE


def message() -> MeasureMessage:
    """Return the message of the first sample (56 bytes)."""
    return MeasureMessage(
        api_major=API_MAJOR,
        api_minor=API_MINOR,
        build_id=BUILD_ID,
        policy=Policy(POLICY),
        digest=compute_digest([firmware()]),
        mnonce=MNONCE,
    )


def launch_text(reported: bytes | None = None, policy: int = POLICY) -> str:
    """Return what the sample host reports, as ``virsh domlaunchsecinfo`` prints it."""
    values = {
        "sev-measurement": base64.b64encode(reported or measurement()).decode(),
        "sev-api-major": API_MAJOR,
        "sev-api-minor": API_MINOR,
        "sev-build-id": BUILD_ID,
        "sev-policy": policy,
    }
    return "".join(f"{name:<15}: {value}\n" for name, value in values.items()) + "\n"
