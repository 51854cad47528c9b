"""What a replay is: a public incident, reproduced with sample files and a simulated host.

A row says who had what. From it a case is made that holds what the reporter had, and not why it did not match: what
the host really did, and the incident that follows, stay in the row, where tests look.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...attestation.id_block import DEFAULT_POLICY
from ...attestation.session import seeded
from ...cases.case import make_case
from ...data import INCIDENTS
from ...formats.ovmf_tables import NVRAM, VolumeHeader
from ...formats.page_info import PAGE
from ...formats.report import HEADER, ReportRequest, parse_report
from ...launch.cpu import CPU_MODELS
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.snp_host import SnpHost
from ..samples import CMDLINE, INITRD, KERNEL, TEK, TIK
from ..snp_samples import SVSM_CAA, firmware_for_snp, svsm_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...cases.case import Case
    from ...formats.report import Report
    from ...launch.pages import Region


#: Bytes of firmware that are kept of a sample: its end, which holds the tables. Bundles are sent, so they are small.
FIRMWARE_SIZE = 8 << 10

#: CPUID 1, EAX of the guest that most rows are about.
MILAN = CPU_MODELS["EPYC-Milan"].signature

#: Random bytes that QEMU 7.2 put behind a kernel (F18): here they are always the same.
APPENDED = bytes(range(0xD0, 0x100))


def variable_store() -> bytes:
    """Return an empty store for the firmware's variables (4 KiB): the half of OVMF.fd that is no code."""
    header = {
        "zero_vector": bytes(16),
        "file_system": NVRAM,
        "length": PAGE,
        "attributes": 0,
        "header_length": _HEADER_SIZE,
        "ext_header_offset": 0,
        "reserved_36": 0,
        "revision": 2,
    }
    raw = VolumeHeader(checksum=0, **header).to_bytes().ljust(_HEADER_SIZE, b"\0")
    checksum = -sum(struct.unpack(f"<{_HEADER_SIZE // 2}H", raw)) & 0xFFFF
    return VolumeHeader(checksum=checksum, **header).to_bytes().ljust(_HEADER_SIZE, b"\0").ljust(PAGE, b"\xff")


#: Bytes of a volume's header with an empty block map.
_HEADER_SIZE = 72

#: Every file that an owner or a host of a row has, by name.
FILES: dict[str, Callable[[], bytes]] = {
    "OVMF.fd": lambda: firmware_for_snp()[-FIRMWARE_SIZE:],
    "OVMF_CODE.fd": lambda: firmware_for_snp()[-FIRMWARE_SIZE:],
    "OVMF-whole.fd": lambda: variable_store() + firmware_for_snp()[-FIRMWARE_SIZE:],
    "OVMF-without-caa.fd": lambda: firmware_for_snp([SVSM_CAA])[-FIRMWARE_SIZE:],
    "OVMF-without-hashes.fd": lambda: firmware_for_snp([_HASHES])[-FIRMWARE_SIZE:],
    "coconut.bin": lambda: svsm_image()[-FIRMWARE_SIZE:],
    "vmlinuz": lambda: KERNEL * 16,
    "vmlinuz-received": lambda: KERNEL * 16 + APPENDED,
    "initrd.img": lambda: INITRD * 16,
    "tk.bin": lambda: TEK + TIK,
}

#: The type of the section for kernel hashes.
_HASHES = 0x10

#: The inputs of a launch that name files.
FILE_INPUTS = ("firmware", "kernel", "initrd", "svsm", "tk")

#: A guest that boots a kernel directly, as most rows have it.
GUEST: dict[str, Any] = {
    "firmware": "OVMF.fd",
    "kernel": "vmlinuz",
    "initrd": "initrd.img",
    "cmdline": CMDLINE,
    "num_cpus": 4,
    "cpu_signature": MILAN,
}


@dataclass(frozen=True)
class Replay:
    """One incident reproduced."""

    #: That of :data:`sevlab.data.INCIDENTS`.
    key: str
    #: What the reporter saw, and what was told of the host's programs.
    symptom: str
    versions: str
    #: The inputs from which the owner computes, and those in which the host differed.
    owner: dict[str, Any]
    host: dict[str, Any]
    #: Turns both into the inputs of a case, given a folder for files.
    make: Callable[[Replay, Path], dict[str, Any]]
    #: The incidents that a search must name, the cause first; () where no search can know it.
    found: tuple[str, ...]
    #: What the case stands for.
    note: str

    @property
    def file_name(self) -> str:
        """What its bundle is called."""
        return f"{self.key}.sevcase"

    @property
    def is_searchable(self) -> bool:
        """Whether a search can name the cause."""
        return bool(self.found)

    def case(self, folder: Path) -> Case:
        """Return the case of the reporter, its files in *folder*. Nothing in it says what the host did."""
        incident = INCIDENTS[self.key]
        about = {
            "title": self.symptom,
            "by": "sevlab, with sample files, a simulated host and a fake KDS",
            "from": f"a replay of {incident.source}",
            "when": incident.date,
            "versions": self.versions,
            "note": self.note,
        }
        return make_case(self.make(self, folder), about={name: words for name, words in about.items() if words})


def write_inputs(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the files that inputs name into *folder*; return the inputs with their paths."""
    inputs = {name: value for name, value in given.items() if value is not None}
    for name in FILE_INPUTS:
        if name in inputs:
            path = folder / inputs[name]
            path.write_bytes(FILES[inputs[name]]())
            inputs[name] = str(path)
    return inputs


def write_file(folder: Path, name: str, content: bytes) -> str:
    """Write a file into *folder*; return its path."""
    (folder / name).write_bytes(content)
    return str(folder / name)


#: Certificates come in this order from a platform.
LEAF, ASK, ARK = range(3)


@dataclass(frozen=True)
class Started:
    """A platform that started a guest, the guest's parsed report, and the certificates: leaf, ASK, ARK (DER)."""

    platform: SnpPlatform
    report: Report
    certificates: tuple[bytes, ...]


def start(
    inputs: dict[str, Any],
    seed: str,
    *,
    product: str = "Milan",
    version: int = 3,
    current: Mapping[str, int] | None = None,
    regions: Sequence[Region] | None = None,
    **reported: int,
) -> Started:
    """Start a guest on a platform that follows from *seed*, and let it ask for a report.

    *inputs* are those of :func:`sevlab.load_snp_launch`. *current* are parts of the platform's TCB, and *reported*
    those in which REPORTED_TCB is otherwise. *regions* are loaded in place of those that follow from the inputs.
    """
    platform = SnpPlatform(product=product, version=version, tcb=current, random=seeded(seed.encode()))
    platform.snp_init()
    if reported:
        platform.config(platform.make_tcb({**(current or {}), **reported}))
    host = SnpHost(platform, inputs, DEFAULT_POLICY, regions)
    host.launch()
    host.finish(None, False, bytes(32))
    answer = host.request(0, ReportRequest(report_data=bytes(64), vmpl=0, key_sel=0).to_bytes())
    report = parse_report(answer[HEADER:], product)
    return Started(platform, report, platform.certificates(report))
