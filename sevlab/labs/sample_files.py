"""The files of ``notebooks/samples/``: ``python -m sevlab.labs.sample_files FOLDER`` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..simulator.kds import KeyServer
from . import samples as sev
from . import snp_samples as snp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


README = """\
# Samples

Launches and a report made by `python -m sevlab.labs.sample_files`, the same to the last byte each time. Nothing here
boots, and the keys are visibly samples.

| file | bytes | what |
|---|---|---|
| `firmware.fd` | 65536 | stands for the guest's firmware image |
| `tek.bin` | 16 | transport encryption key, `20 21 ... 2f` |
| `tik.bin` | 16 | transport integrity key, `30 31 ... 3f` |
| `tk.bin` | 32 | both: TEK, then TIK |
| `launch.txt` | - | what the host reports, as `virsh domlaunchsecinfo` prints it |
| `firmware-kernel.fd` | 65536 | the same, ending in the tables of an OVMF with a place for kernel hashes |
| `kernel.bin`, `initrd.bin` | - | stand for a kernel and an initrd |
| `launch-es.txt` | - | what the host reports of a SEV-ES guest, which is described below |
| `firmware-snp.fd` | 65536 | the same, ending in the tables and the SEV metadata of an OVMF for SEV-SNP |
| `firmware-enforcing.fd` | 65536 | the same as a firmware volume, with a driver that names the kernel hashes |
| `firmware-stock.fd` | 65536 | the same without these names: a place for hashes, and no code that checks them |
| `report-snp.bin` | 1184 | the attestation report of a SEV-SNP guest, which is described below |
| `vcek-snp.der` | - | the certificate of the key that signed it |
| `chain-snp.pem` | - | the two certificates above it: ASK, then ARK |
| `ark-snp.der` | - | the ARK alone: the root |

The second launch: policy 0x5, `firmware-kernel.fd`, that kernel and initrd, the command line `console=ttyS0`, and 4
virtual CPUs of family 25, model 1, stepping 1.

The SEV-SNP guest: policy 0x30000, `firmware-snp.fd`, and all else as in the second launch, under QEMU on Linux 6.10 or
later. Its certificates are made up, and so is their root: everybody has its key, so the report proves nothing. The
SHA-256 of the root is

    de39c0ec0f4bdd04d5c470ac324595966f70c3de2caace813e0fd94cd2552f2f
"""

_SEV: dict[str, Callable[[], bytes]] = {
    "README.md": README.encode,
    "firmware-kernel.fd": sev.firmware_for_kernels,
    "firmware.fd": sev.firmware,
    "initrd.bin": lambda: sev.INITRD,
    "kernel.bin": lambda: sev.KERNEL,
    "launch-es.txt": lambda: sev.launch_text(sev.es_measurement(), sev.ES_POLICY).encode(),
    "launch.txt": lambda: sev.launch_text().encode(),
    "tek.bin": lambda: sev.TEK,
    "tik.bin": lambda: sev.TIK,
    "tk.bin": lambda: sev.TEK + sev.TIK,
}

_SNP: dict[str, Callable[[], bytes]] = {
    "ark-snp.der": lambda: KeyServer().ark(snp.PRODUCT),
    "chain-snp.pem": lambda: KeyServer().chain(snp.PRODUCT),
    "firmware-enforcing.fd": lambda: snp.firmware_with_code(checks=True),
    "firmware-snp.fd": snp.firmware_for_snp,
    "firmware-stock.fd": lambda: snp.firmware_with_code(checks=False),
    "report-snp.bin": lambda: snp.snp_report().to_bytes(),
    "vcek-snp.der": lambda: KeyServer().vcek(snp.PRODUCT, snp.CHIP_ID, snp.REPORTED),
}

#: The files by technology. Those of SEV only need the standard library.
SEV_FILES, SNP_FILES = tuple(_SEV), tuple(_SNP)


def samples(names: Iterable[str] = (*SEV_FILES, *SNP_FILES)) -> dict[str, bytes]:
    """Return sample files by name, by default all of them."""
    return {name: (_SEV | _SNP)[name]() for name in names}


def write_samples(folder: str | Path, names: Iterable[str] = (*SEV_FILES, *SNP_FILES)) -> None:
    """Write sample files, by default all of them, into *folder*, which is made if it is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in samples(names).items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    import sys

    write_samples(sys.argv[1] if len(sys.argv) > 1 else "samples")
