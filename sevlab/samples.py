"""The samples: a launch that validates, made by sevlab itself, the same to the last byte each time.

``python -m sevlab.samples FOLDER`` writes them. The keys are visibly samples (``20 21 22 ...``), the firmware is
lines of text that boot nothing, and the measurement is computed here from the standard library alone, so that it is a
second route to what sevlab computes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import sys
import tempfile
import uuid
from pathlib import Path

from .formats.policy import Policy
from .launch import load_launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIRMWARE_SIZE = 64 << 10
TEK, TIK = bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40))
MNONCE = bytes(range(0x40, 0x50))
#: What the sample host's firmware says of itself, and the policy the sample guest was launched under.
API_MAJOR, API_MINOR, BUILD_ID, POLICY = 0, 22, 13, 0x1

README = """\
# Samples

A launch made by `python -m sevlab.samples`, the same to the last byte each time. Nothing here boots, and the keys are
visibly samples.

| file | bytes | what |
|---|---|---|
| `firmware.fd` | 65536 | stands for the guest's firmware image |
| `tek.bin` | 16 | transport encryption key, `20 21 ... 2f` |
| `tik.bin` | 16 | transport integrity key, `30 31 ... 3f` |
| `tk.bin` | 32 | both: TEK, then TIK |
| `launch.txt` | - | what the host reports, as `virsh domlaunchsecinfo` prints it |
| `firmware-kernel.fd` | 65536 | the same, ending in the tables of an OVMF that checks kernel hashes |
| `kernel.bin`, `initrd.bin` | - | stand for a kernel and an initrd |
| `launch-es.txt` | - | what the host reports of a SEV-ES guest, which is described below |

The second launch: policy 0x5, `firmware-kernel.fd`, that kernel and initrd, the command line `console=ttyS0`, and 4
virtual CPUs of family 25, model 1, stepping 1.
"""

KERNEL, INITRD, CMDLINE = b"sevlab sample kernel, which boots nothing.\n", b"sevlab sample initrd.\n", "console=ttyS0"
#: The second sample: a SEV-ES guest on an EPYC-Milan, booted directly with kernel hashes.
ES_POLICY, ES_CPUS, ES_CPU, ES_MNONCE = 0x5, 4, (25, 1, 1), bytes(range(0x60, 0x70))
#: Entries of the footer table, from the lowest address up: data, and the GUID that names it.
_FOOTER = (
    (struct.pack("<II", 0x80CC00, 0x400), "7255371f-3a3b-4b04-927b-1da6efa8d454"),  # hash area
    (struct.pack("<II", 0x80C000, 0xC00), "4c2eb361-7d9b-4cc3-8081-127c90d3d294"),  # secret area
    (struct.pack("<I", 0x80B004), "00f771de-1a7e-4fcb-890e-68c77e2fb44e"),  # where further CPUs start
)


def firmware() -> bytes:
    """Return the sample firmware: numbered lines of text, 64 KiB."""
    line = "sevlab sample firmware, which boots nothing. Line {:>17}\n"
    text = "".join(line.format(number) for number in range(FIRMWARE_SIZE // 64 + 1))
    return text.encode()[:FIRMWARE_SIZE]


def firmware_for_kernels() -> bytes:
    """Return the second sample firmware: the first one, ending in a footer table and 32 bytes for the reset vector."""
    entries = [data + struct.pack("<H", len(data) + 18) + uuid.UUID(guid).bytes_le for data, guid in _FOOTER]
    table = b"".join(entries)
    footer = struct.pack("<H", len(table) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    end = table + footer + b"reset vector of a sample: none.\n"
    return firmware()[: FIRMWARE_SIZE - len(end)] + end


def es_measurement() -> bytes:
    """Return the measurement of the second sample (48 bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {"firmware": firmware_for_kernels(), "kernel": KERNEL, "initrd": INITRD}
        for name, content in parts.items():
            (Path(folder) / name).write_bytes(content)
        given: dict[str, Any] = {name: str(Path(folder) / name) for name in parts}
        given |= zip(("cpu_family", "cpu_model", "cpu_stepping"), ES_CPU, strict=True)
        launch = load_launch(Policy(ES_POLICY), **given, cmdline=CMDLINE, num_cpus=ES_CPUS)
    message = struct.pack("<BBBBI", 4, API_MAJOR, API_MINOR, BUILD_ID, ES_POLICY) + launch.digest + ES_MNONCE
    return hmac.digest(TIK, message, "sha256") + ES_MNONCE


def measurement() -> bytes:
    """Return the sample measurement (48 bytes), from the standard library alone."""
    digest = hashlib.sha256(firmware()).digest()
    message = struct.pack("<BBBBI", 4, API_MAJOR, API_MINOR, BUILD_ID, POLICY) + digest + MNONCE
    return hmac.digest(TIK, message, "sha256") + MNONCE


def launch_text(reported: bytes | None = None, policy: int = POLICY) -> str:
    """Return what the sample host reports, in the form of ``virsh domlaunchsecinfo``."""
    values = {
        "sev-measurement": base64.b64encode(reported or measurement()).decode(),
        "sev-api-major": API_MAJOR,
        "sev-api-minor": API_MINOR,
        "sev-build-id": BUILD_ID,
        "sev-policy": policy,
    }
    return "".join(f"{name:<15}: {value}\n" for name, value in values.items()) + "\n"


def samples() -> dict[str, bytes]:
    """Return every sample file by name."""
    return {
        "README.md": README.encode(),
        "firmware-kernel.fd": firmware_for_kernels(),
        "firmware.fd": firmware(),
        "initrd.bin": INITRD,
        "kernel.bin": KERNEL,
        "launch-es.txt": launch_text(es_measurement(), ES_POLICY).encode(),
        "launch.txt": launch_text().encode(),
        "tek.bin": TEK,
        "tik.bin": TIK,
        "tk.bin": TEK + TIK,
    }


def write_samples(folder: str | Path) -> None:
    """Write every sample into *folder*, which is made when it is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in samples().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    write_samples(sys.argv[1] if len(sys.argv) > 1 else "samples")
