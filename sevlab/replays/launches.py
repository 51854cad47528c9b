"""Incidents about what was launched: registers, pages, firmware, kernel. The digest of the report is another one."""

from __future__ import annotations

from ..cpu import CPU_MODELS
from ..formats.page_info import CPUID, VMSA
from ..idblock import build_id_block
from ..keys import Secret
from ..simulator.kds import KeyServer
from ..snp import SnpLaunch, load_snp_launch
from .host import LEAF, start
from .replay import GUEST, Replay, write_file, write_inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from ..snp import Region

_EPYC, _GENOA, _TURIN = (CPU_MODELS[name].signature for name in ("EPYC", "EPYC-Genoa", "EPYC-Turin"))
#: The private key with which the owners of these rows sign ID blocks (48 bytes): visibly a sample.
ID_KEY = Secret(bytes(range(0x10, 0x40)))
_NO_KERNEL = {"kernel": None, "initrd": None, "cmdline": None}
_TOLD = "The report is of a guest that ran on a simulated host, with the sample firmware and not with the reporter's."


def report_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return what the owner had, and the report of the guest as the host started it, with its certificates."""
    owner = {**GUEST, **replay.owner}
    host = write_inputs({**owner, **replay.host}, folder)
    host.pop("ovmf_hash", None)
    order = host.pop("order", None)
    regions = load_snp_launch(**host).regions
    started = start(host, replay.key, regions=regions if order is None else order(regions))
    given = write_inputs(owner, folder)
    return {
        "mode": "snp:svsm" if "svsm" in owner else "snp",
        **given,
        "report": write_file(folder, "report.bin", started.report.to_bytes()),
        "vcek": write_file(folder, "vcek.der", started.certificates[LEAF]),
        "chain": write_file(folder, "chain.pem", KeyServer().chain("Milan")),
    }


def cpuid_last(regions: Sequence[Region]) -> list[Region]:
    """Return pages in the order in which some hypervisors load them: CPUID after all that the metadata asks for."""
    return sorted(regions, key=lambda region: (region.page_type == VMSA, region.page_type == CPUID))


def id_block_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return the same, and the ID block that the owner had made for the launch it computed."""
    made = report_case(replay, folder)
    launch = load_snp_launch(**write_inputs({**GUEST, **replay.owner}, folder))
    block = build_id_block(launch.digest, ID_KEY)
    return {**made, "id_block": write_file(folder, "id-block.txt", block.properties.encode())}


def tool_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return what the owner had, and a digest that another tool computed, which is all that there is to compare."""
    owner = {**GUEST, **replay.owner}
    launch = load_snp_launch(**write_inputs({**owner, **replay.host}, folder))
    known = [region for region in launch.regions if region.name != "SVSM_CAA"]
    return {"mode": "snp", **write_inputs(owner, folder), "reported_measurement": SnpLaunch(known).digest}


def own_build_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return what an owner had who put the digest of a build of its own in the place of the cloud's image."""
    made = report_case(replay, folder)
    build = load_snp_launch(**write_inputs({**GUEST, **replay.owner, "firmware": "OVMF-without-caa.fd"}, folder))
    return {**made, "ovmf_hash": build.after[0]}


LAUNCHES = (
    Replay(
        "F01",
        "SNP_LAUNCH_FINISH ret=-5 fw_error=11 'Bad measurement', with a command line that worked before",
        "Linux 6.6.0-rc1-snp, QEMU snp-latest, EPYC-Milan-v2, SEV API 1.53 build 5",
        {"profile": "qemu-legacy"},
        {"profile": "qemu-debug-swap"},
        id_block_case,
        ("F01", "F02", "F03", "F04"),
        "Without the ID block the guest started, and gave this report. " + _TOLD,
    ),
    Replay(
        "F02",
        "The guest runs, and its report has another measurement than the tool printed",
        "OVMF_CODE.fd of AMDSEV 2023-10-13, EPYC-v4, 4 virtual CPUs",
        {"profile": "qemu-legacy", "cpu_signature": _EPYC, **_NO_KERNEL},
        {"profile": "qemu-debug-swap"},
        report_case,
        ("F01", "F02", "F03", "F04"),
        _TOLD,
    ),
    Replay(
        "F03",
        "The tool was mended in autumn, and is wrong again in spring",
        "upstream KVM of spring 2024, sev-snp-measure 0.0.9",
        {"profile": "qemu-debug-swap"},
        {"profile": "qemu-legacy"},
        report_case,
        ("F01", "F02", "F03", "F04"),
        _TOLD,
    ),
    Replay(
        "F04",
        "Two releases of the tool print two digests, and the report has a third one",
        "sev-snp-measure 0.0.10 here, 0.0.8 on the other machine",
        {"profile": "qemu"},
        {"profile": "qemu-debug-swap"},
        report_case,
        ("F05", "F01", "F02", "F03", "F04"),
        _TOLD,
    ),
    Replay(
        "F05",
        "After an update of the host's kernel no digest matches any more",
        "a kernel with KVM_SEV_INIT2, sev-snp-measure 0.0.8",
        {"profile": "qemu-legacy"},
        {"profile": "qemu"},
        report_case,
        ("F05", "F04"),
        _TOLD,
    ),
    Replay(
        "F07",
        "c6a.xlarge: the live measurement is not the one computed from the reproducible build",
        "EC2 in April 2026, 4 virtual CPUs",
        {"profile": "ec2-rdx0", **_NO_KERNEL},
        {"profile": "ec2"},
        own_build_case,
        ("F25", "F07"),
        "The firmware here is the cloud's image; ovmf-hash is the digest of the owner's own build. " + _TOLD,
    ),
    Replay(
        "F09",
        "A digest computed for QEMU is not that of an instance of GCE",
        "GCE in July 2025",
        {"profile": "qemu", **_NO_KERNEL},
        {"profile": "gce"},
        report_case,
        ("F21", "F09"),
        _TOLD,
    ),
    Replay(
        "F10",
        "igvmmeasure disagrees with the platform, and after the fix it still does",
        "COCONUT-SVSM in May 2024",
        {**_NO_KERNEL, "svsm": "coconut.bin", "vars_size": 0x20000, "num_cpus": 1, "guest_features": 0x1},
        {"num_cpus": 4, "guest_features": 0x21},
        report_case,
        ("F10", "F01", "F15"),
        "An SVSM and OVMF as two files stand for the one IGVM file of the thread. " + _TOLD,
    ),
    Replay(
        "F11",
        "The client refuses the guest: the measurement is wrong, and nothing says why",
        "aleph-vm in August 2026",
        {"cpu_signature": CPU_MODELS["EPYC-Rome"].signature},
        {"cpu_signature": _EPYC},
        report_case,
        ("F11", "F12"),
        _TOLD,
    ),
    Replay(
        "F12",
        "The host is a Turin, and a digest for a Turin does not match",
        "QEMU without a model of Turin",
        {"cpu_signature": _TURIN},
        {"cpu_signature": _GENOA},
        report_case,
        ("F11", "F12"),
        _TOLD,
    ),
    Replay(
        "F15",
        "The same image is right for one size of guest, and wrong for another",
        "a fleet with two shapes, August 2026",
        {"num_cpus": 1},
        {"num_cpus": 2},
        report_case,
        ("F15",),
        _TOLD,
    ),
    Replay(
        "F16",
        "Kernel specified but OVMF metadata doesn't include SNP_KERNEL_HASHES section",
        "OVMF built from OvmfPkgX64.dsc, sev-snp-measure in July 2023",
        {"firmware": "OVMF-without-hashes.fd"},
        _NO_KERNEL,
        report_case,
        ("F16", "A09"),
        "The guest booted from its disk. " + _TOLD,
    ),
    Replay(
        "F17",
        "The measurement does not change, whatever kernel is booted",
        "-kernel, -initrd and -append, without kernel-hashes=on",
        {},
        _NO_KERNEL,
        report_case,
        ("A09", "F17"),
        _TOLD,
    ),
    Replay(
        "F18",
        'VerifyBlob: Hash comparison failed for "kernel"; the firmware received 48 bytes more than the file has',
        "QEMU 7.2, kernel-hashes=on",
        {},
        {"kernel": "vmlinuz-received"},
        report_case,
        (),
        "The guest did not boot in the thread. The sample firmware has no verifier, so here it gave a report. " + _TOLD,
    ),
    Replay(
        "F21",
        "Firmware, kernel and registers are right, and the digest is not",
        "a hypervisor of its own, May 2025",
        {},
        {"order": cpuid_last},
        report_case,
        ("F21", "F09"),
        "Which order it was is not told in full in the thread; here one page comes later. " + _TOLD,
    ),
    Replay(
        "F22",
        "A new release of the tool prints another digest for an old host, though nothing else changed",
        "the first public SEV-SNP patches, sev-snp-measure 0.0.5",
        {"profile": "qemu-legacy"},
        {"profile": "qemu-hashes-first"},
        report_case,
        ("F22", "F04"),
        _TOLD,
    ),
    Replay(
        "F23",
        "ValueError: 4 is not a valid SectionType; with that line mended the digest is still another",
        "OVMF with SVSM_CAA, sev-snp-measure in May 2024",
        {"profile": "qemu"},
        {"profile": "qemu-legacy"},
        tool_case,
        ("F23", "F05", "F04"),
        "The reported digest is what the mended tool printed. Nobody's host made it, so there is no report.",
    ),
)
