"""The sample of SEV-SNP: a firmware with SEV metadata, and the report of a guest that was launched with it.

The report and its certificates are signed with keys below a fake root (:mod:`~sevlab.simulator.kds`), which everybody
has. So they prove nothing; they show what is checked, and in which order.
"""

from __future__ import annotations

import struct
import tempfile
import uuid
from collections.abc import Container, Iterable
from functools import cache
from typing import Any

from ..attestation.crypto import ecdsa_sign
from ..formats.policy import SnpPolicy
from ..formats.report import MilanTcb, ReportV3
from ..formats.sev_certs import ECDSA_SHA384
from ..launch.snp import SnpLaunch, load_snp_launch
from ..simulator.kds import KeyServer
from .samples import HASH_AREA, RESET, RESET_ADDRESS, SECRET_AREA, end_firmware, es_inputs, footer_table

PRODUCT = "Milan"
#: The chip's ID (64 bytes), the guest's own data in the report (64 bytes), the guest's ID (32 bytes).
CHIP_ID, REPORT_DATA, REPORT_ID = bytes(range(0xC0, 0x100)), bytes(range(0x80, 0xC0)), bytes(range(0x20, 0x40))
POLICY = 0x30000
#: The four TCBs, all different: the SEV firmware was updated after the launch, and the host asks for keys of an older
#: TCB, for which it has a certificate.
CURRENT, COMMITTED = MilanTcb(bl=4, tee=1, snp=24, ucode=219), MilanTcb(bl=4, tee=1, snp=23, ucode=219)
LAUNCHED, REPORTED = MilanTcb(bl=4, tee=1, snp=23, ucode=213), MilanTcb(bl=4, tee=1, snp=22, ucode=213)
#: SMT and ECC are on, and the check for aliased memory is complete.
_PLATFORM = 0x25
_METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"
#: The GUID of the entry with the start of an SVSM, and that start: an offset in the image.
SVSM, _SVSM_START = "a789a612-0597-4c4b-a49f-cbb1fe9d1ddd", 0x40
#: Types of sections; some tools do not know the first.
SVSM_CAA, KERNEL_HASHES = 0x04, 0x10
#: The sections of an AmdSev build of OVMF: address, size, type.
_SECTIONS = (
    (0x800000, 0x9000, 0x01),  # SEC_MEM
    (0x80A000, 0x3000, 0x01),
    (0x80D000, 0x1000, 0x02),  # SECRETS
    (0x80E000, 0x1000, 0x03),  # CPUID
    (0x80F000, 0x1000, 0x04),  # SVSM_CAA
    (0x810000, 0x1000, 0x10),  # KERNEL_HASHES
    (0x811000, 0xF000, 0x01),
)
#: GUIDs of a firmware volume, of edk2's QemuKernelLoaderFsDxe and of a file of raw bytes.
_FILE_SYSTEM = "8c8ce578-8a3d-4f1c-9935-896185c32dd3"
_LOADER = "806040ca-dad9-4978-a3b4-2d2ab0c8a48f"
_FILLER = "5e71ab5e-0000-4000-8000-736576616c62"
#: The GUIDs of the hashes of kernel, initrd and command line.
_HASHES = (
    "4de79437-abd2-427f-b835-d5b172d2045b",
    "44baf731-3a2f-4bd7-9af1-41e29169781d",
    "97d02dd8-bd20-4c94-aa78-e7714d36ab2a",
)
#: Secrets and hashes share the page of the section for hashes.
_AREAS = ((struct.pack("<II", 0x810C00, 0x400), HASH_AREA), (struct.pack("<II", 0x810000, 0xC00), SECRET_AREA))


def firmware_for_snp(left_out: Container[int] = ()) -> bytes:
    """Return the third sample firmware: lines of text, SEV metadata without some types of sections, a footer table."""
    sections = [section for section in _SECTIONS if section[2] not in left_out]
    return _with_metadata(sections, _AREAS, (struct.pack("<I", RESET), RESET_ADDRESS))


def firmware_with_code(*, checks: bool) -> bytes:
    """Return the fourth sample firmware: the third one as a firmware volume, with a driver that provides a kernel.

    The driver is text that does nothing. If it *checks*, it has the GUIDs of the three hashes, as a verifier has.
    """
    guids = b"".join(uuid.UUID(text).bytes_le for text in _HASHES if checks)
    program = b"sevlab sample driver, which hands over nothing.\n".ljust(64) + guids
    driver = _section(0x10, program) + _section(0x15, "QemuKernelLoaderFsDxe\0".encode("utf-16-le"))
    whole = firmware_for_snp()
    head = bytes(16) + uuid.UUID(_FILE_SYSTEM).bytes_le
    head += struct.pack("<Q4sIHHHBB", len(whole), b"_FVH", 0x800, 72, 0, 0, 0, 2)
    head += struct.pack("<4I", 1, len(whole), 0, 0)
    head = head[:0x32] + struct.pack("<H", -sum(struct.unpack("<36H", head)) & 0xFFFF) + head[0x34:]
    begin = head + _file(_LOADER, 0x07, driver)
    rest = whole[len(begin) + 24 :]
    return begin + _file(_FILLER, 0x01, rest)


def _section(kind: int, content: bytes) -> bytes:
    raw = (4 + len(content)).to_bytes(3, "little") + bytes([kind]) + content
    return raw.ljust(-(-len(raw) // 4) * 4, b"\0")


def _file(guid: str, kind: int, content: bytes) -> bytes:
    size = (24 + len(content)).to_bytes(3, "little")
    head = uuid.UUID(guid).bytes_le + bytes([0, 0xAA, kind, 0]) + size + b"\xf8"
    head = head[:16] + bytes([-(sum(head) - 0xAA - 0xF8) & 0xFF]) + head[17:]
    return (head + content).ljust(-(-len(head + content) // 8) * 8, b"\xff")


def svsm_image() -> bytes:
    """Return a sample SVSM (the service module below the guest firmware): the same lines with its own tables."""
    sections = [section for section in _SECTIONS if section[2] in (0x02, 0x03)]
    return _with_metadata(sections, (), (struct.pack("<I", _SVSM_START), SVSM))


def _with_metadata(
    sections: Iterable[tuple[int, int, int]], before: Iterable[tuple[bytes, str]], after: tuple[bytes, str]
) -> bytes:
    """Return the sample firmware with SEV metadata and a footer table, which points there between two entries."""
    listed = b"".join(struct.pack("<III", *section) for section in sections)
    metadata = struct.pack("<4sIII", b"ASEV", 16 + len(listed), 1, len(listed) // 12) + listed
    size = len(metadata) + len(footer_table([*before, (bytes(4), _METADATA), after]))
    return end_firmware(metadata + footer_table([*before, (struct.pack("<I", size), _METADATA), after]))


def snp_launch(**changes: Any) -> SnpLaunch:
    """Return the launch of the sample: this firmware, the second sample's kernel and CPUs; some inputs changed."""
    with tempfile.TemporaryDirectory() as folder:
        return load_snp_launch(**es_inputs(folder, firmware_for_snp()).replace(**changes).given)


@cache
def snp_report() -> ReportV3:
    """Return the report of the sample's guest (1184 bytes)."""
    report = ReportV3.from_bytes(bytes(ReportV3.size)).replace(
        version=ReportV3.VERSION,
        policy=SnpPolicy(POLICY),
        signature_algo=1,
        current_tcb=CURRENT,
        platform_info=_PLATFORM,
        report_data=REPORT_DATA,
        measurement=snp_launch().digest,
        report_id=REPORT_ID,
        report_id_ma=b"\xff" * 32,
        reported_tcb=REPORTED,
        cpuid_fam_id=0x19,
        cpuid_mod_id=0x01,
        cpuid_step=0x01,
        chip_id=CHIP_ID,
        committed_tcb=COMMITTED,
        current_build=8,
        current_minor=57,
        current_major=1,
        committed_build=7,
        committed_minor=56,
        committed_major=1,
        launch_tcb=LAUNCHED,
    )
    return sign_report(report)


def sign_report(report: ReportV3) -> ReportV3:
    """Return a report with the signature of the sample's chip."""
    made = ecdsa_sign(KeyServer().vcek_key(PRODUCT, CHIP_ID, REPORTED), report.signed, ECDSA_SHA384)
    return report.replace(r=made.r, s=made.s)
