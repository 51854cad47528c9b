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
from pathlib import Path

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
"""


def firmware() -> bytes:
    """Return the sample firmware: numbered lines of text, 64 KiB."""
    line = "sevlab sample firmware, which boots nothing. Line {:>17}\n"
    text = "".join(line.format(number) for number in range(FIRMWARE_SIZE // 64 + 1))
    return text.encode()[:FIRMWARE_SIZE]


def measurement() -> bytes:
    """Return the sample measurement (48 bytes), from the standard library alone."""
    digest = hashlib.sha256(firmware()).digest()
    message = struct.pack("<BBBBI", 4, API_MAJOR, API_MINOR, BUILD_ID, POLICY) + digest + MNONCE
    return hmac.digest(TIK, message, "sha256") + MNONCE


def launch_text() -> str:
    """Return what the sample host reports, in the form of ``virsh domlaunchsecinfo``."""
    values = {
        "sev-measurement": base64.b64encode(measurement()).decode(),
        "sev-api-major": API_MAJOR,
        "sev-api-minor": API_MINOR,
        "sev-build-id": BUILD_ID,
        "sev-policy": POLICY,
    }
    return "".join(f"{name:<15}: {value}\n" for name, value in values.items()) + "\n"


def samples() -> dict[str, bytes]:
    """Return every sample file by name."""
    return {
        "README.md": README.encode(),
        "firmware.fd": firmware(),
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
