"""Launches of SEV-SNP, and their digests by hashlib and struct alone, from the values that the faults stand for."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from typing import Any

import sevlab
from sevlab.diagnosis.inputs import read_snp_inputs
from sevlab.diagnosis.model import Choice
from sevlab.diagnosis.result import Diagnosis
from sevlab.diagnosis.snp import SnpSpace
from sevlab.diagnosis.start import read_candidates
from tests.launch.test_snp import three_lines
from tests.made_images import AMD_SEV, RESET

EPYC, MILAN = 0x800F12, 0xA00F11
CMDLINE = "console=ttyS0 root=/dev/vda1 quiet"
ODD = (*AMD_SEV[:-1], (0x820000, 0x1000, 0x77))
ZEROS = bytes(48)
VARS = 0x20000
SNP_ONLY = ("qemu-debug-swap", "qemu-hashes-first")


def inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"firmware": str(folder / "fw.fd"), "num_cpus": 2, "cpu_signature": EPYC}
    given |= {"kernel": str(folder / "kernel"), "initrd": str(folder / "initrd"), "cmdline": CMDLINE}
    return {name: value for name, value in (given | changes).items() if value is not None}


def digest_of(folder: Path, **changes: Any) -> bytes:
    return sevlab.load_snp_launch(**inputs(folder, **changes)).digest


def only(diagnosis: Diagnosis) -> Any:
    assert diagnosis.status == "explained", str(diagnosis)
    (explanation,) = diagnosis.explanations
    return explanation


def entry(guid: str, digest: bytes) -> bytes:
    return uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + digest


def hash_page(values: dict[str, Any]) -> bytes:
    table = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168)
    table += entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", values["cmdline"])
    table += entry("44baf731-3a2f-4bd7-9af1-41e29169781d", values["initrd"])
    table += entry("4de79437-abd2-427f-b835-d5b172d2045b", values["kernel"])
    return (bytes(0xC00) + table).ljust(4096, b"\0")


def chain_of(values: dict[str, Any]) -> bytes:
    """The digest of a launch with these values, as a host makes it."""
    image, profile = values["image"], values["profile"]
    rules: dict[str, Any] = {"ec2": {"cpuid_last": True}, "gce": {"sec_mem": 4}}.get(profile.split("-")[0], {})
    rules = {**rules, **({"hashes_first": True} if profile == "qemu-hashes-first" else {}), **dict(values["pages"])}
    base = (1 << 32) - len(image)
    pages = [(1, base + at, image[at : at + 4096]) for at in range(0, len(image), 4096)]
    ends = [len(pages)]
    sections = [one for one in AMD_SEV if one[2] not in rules.get("left_out", ())]
    for kind, first, last in ((0x10, "hashes_first", "hashes_last"), (3, "", "cpuid_last")):
        moved = [one for one in sections if one[2] == kind]
        rest = [one for one in sections if one[2] != kind]
        if rules.get(first):
            sections = moved + rest
        elif rules.get(last):
            sections = rest + moved
    for gpa, size, kind in sections:
        if kind == 0x10 and values["kernel"] is not None:
            pages.append((1, gpa, hash_page(values)))
        else:
            page_type = {1: rules.get("sec_mem", 3), 2: 5, 3: 6, 4: 3, 0x10: 3}[kind]
            pages += [(page_type, gpa + at, b"") for at in range(0, size, 4096)]
        ends.append(len(pages))
    if values["part"] is not None:
        return three_lines(pages[: ends[values["part"]]])
    features = sevlab.launch.vmm.SNP_PROFILES[profile].features if values["features"] is None else values["features"]
    state = {"signature": values["model"], "sev_features": features}
    vmsas = [sevlab.build_vmsa(profile, **state).to_bytes()]
    further = sevlab.build_vmsa(profile, cpu=1, reset_address=values["reset"] or RESET, **state).to_bytes()
    vmsas += [further] * (values["count"] - 1)
    gpa = (1 << (52 if profile == "gce-genoa" else 48)) - 4096
    return three_lines(pages + [(2, gpa, page) for page in vmsas])


def space_of(folder: Path, **changes: Any) -> SnpSpace:
    files, _ = read_candidates(str(folder / "others"), snp=True)
    return SnpSpace(read_snp_inputs(inputs(folder, **changes), bytes(range(48))), files)


def values_of(space: SnpSpace, chosen: dict[str, Choice]) -> dict[str, Any]:
    values = {name: parameter.base.value for name, parameter in space.parameters.items()} | {
        n: c.value for n, c in chosen.items()
    }
    path = chosen["firmware"].changes[0].found if "firmware" in chosen else space.inputs.launch.firmware
    if values["profile"] is None:
        values["profile"] = Path(space.inputs.launch.vmsa_cpu0).suffix[1:]
    if values["model"] is None:
        values["model"] = 0x600 if (space.inputs.launch.vmsa_cpu0 or "").endswith("gce") else EPYC
    return {**values, "image": Path(path).read_bytes()}


def by_files(folder: Path, profile: str) -> dict[str, Any]:
    """The inputs of a launch whose registers come from files."""
    given: dict[str, Any] = {"cpu_signature": None}
    for cpu in (0, 1):
        file = folder / f"vmsa{cpu}.{profile}"
        page = sevlab.build_vmsa(profile, cpu=cpu, signature=EPYC, reset_address=RESET, sev_features=1).to_bytes()
        file.write_bytes(page[:0x2F0] + b"\7" * 16 + page[0x300:])  # the bytes that are not measured
        given[f"vmsa_cpu{cpu}"] = str(file)
    return given


def svsm_inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"svsm": str(folder / "images" / "svsm.bin"), "vars_size": VARS, "num_cpus": 4}
    return inputs(folder, **{**given, **dict.fromkeys(("kernel", "initrd", "cmdline")), **changes})
