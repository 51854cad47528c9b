"""The files of ``notebooks/samples/``: ``python -m sevlab.labs.sample_files FOLDER`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..simulator.kds import KeyServer
from . import samples as sev
from . import snp_samples as snp

_SEV: dict[str, Callable[[], bytes]] = {
    "README.md": Path(__file__).with_name("samples.md").read_bytes,
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
