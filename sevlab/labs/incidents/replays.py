"""Public incidents, reproduced with sample files and a simulated host: data/replays.toml, and how a case is made of it.

A row says what the owner had and what the host did. Its case contains what the reporter had, but not why it did not
match: what the host did, and the incidents that follow, stay in the row, where tests look.

In most rows the launch differs (registers, pages, firmware, kernel), and so does the report's digest. In others the
launch is right but its evidence is not: the certificates, the report, an ID block. Rows of SEV are about the measured
file and the numbers in the measured message; a measurement can only be computed with its keys, so their bundles contain
them. They are the samples' own (``20 21 22 ...``).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...attestation.id_block import DEFAULT_POLICY, SignedIdBlock, build_id_block
from ...attestation.session import seeded
from ...cases.case import Case, make_case
from ...data import INCIDENTS, read_table
from ...formats.launch_measure import MeasureMessage
from ...formats.ovmf_tables import NVRAM, VolumeHeader
from ...formats.page_info import CPUID, PAGE, VMSA
from ...formats.policy import Policy
from ...formats.report import HEADER, MilanTcb, Report, ReportRequest, TurinTcb, parse_report
from ...launch.inputs import load_launch
from ...launch.keys import SecretBytes
from ...launch.measure import compute_measure
from ...launch.pages import Region
from ...launch.snp import SnpLaunch, load_snp_launch
from ...launch.vmm import CPU_MODELS
from ...simulator.kds import KeyServer
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.snp_host import SnpHost
from ..samples import CMDLINE, INITRD, KERNEL, MNONCE, POLICY, TEK, TIK
from ..snp_samples import KERNEL_HASHES, SVSM_CAA, firmware_for_snp, svsm_image

if TYPE_CHECKING:
    from ...cases.case import Value


#: Bytes of a sample firmware that are kept: its end, with the tables. Bundles are sent, so they are small.
FIRMWARE_SIZE = 8 << 10
#: CPUID 1, EAX of the guest in most rows.
MILAN = CPU_MODELS["EPYC-Milan"].signature
#: The private key that signs the owners' ID blocks (48 bytes): visibly a sample.
ID_KEY = SecretBytes(bytes(range(0x10, 0x40)))
#: Bytes of a firmware volume's header with an empty block map.
_HEADER_SIZE = 72
#: Bytes of a number of P-384.
_NUMBER = 48
#: The chip whose certificate was mistaken for that of another.
_OTHER_CHIP = bytes(range(0x80, 0xC0))


def variable_store() -> bytes:
    """Return an empty store for the firmware's variables (4 KiB): the half of OVMF.fd that is not code."""
    zeros = dict.fromkeys(("attributes", "checksum", "ext_header_offset", "reserved_36"), 0)
    sizes = {"length": PAGE, "header_length": _HEADER_SIZE}
    header = VolumeHeader(zero_vector=bytes(16), file_system=NVRAM, revision=2, **sizes, **zeros)
    words = struct.unpack(f"<{header.size // 2}H", header.to_bytes())  # what follows is zero
    return header.replace(checksum=-sum(words) & 0xFFFF).to_bytes().ljust(_HEADER_SIZE, b"\0").ljust(PAGE, b"\xff")


#: Every file of an owner or a host, by name. QEMU 7.2 appended random bytes to the kernel (F18); here they are fixed.
FILES: dict[str, Callable[[], bytes]] = {
    "OVMF.fd": lambda: firmware_for_snp()[-FIRMWARE_SIZE:],
    "OVMF_CODE.fd": lambda: firmware_for_snp()[-FIRMWARE_SIZE:],
    "OVMF-whole.fd": lambda: variable_store() + firmware_for_snp()[-FIRMWARE_SIZE:],
    "OVMF-without-caa.fd": lambda: firmware_for_snp([SVSM_CAA])[-FIRMWARE_SIZE:],
    "OVMF-without-hashes.fd": lambda: firmware_for_snp([KERNEL_HASHES])[-FIRMWARE_SIZE:],
    "coconut.bin": lambda: svsm_image()[-FIRMWARE_SIZE:],
    "vmlinuz": lambda: KERNEL * 16,
    "vmlinuz-received": lambda: KERNEL * 16 + bytes(range(0xD0, 0x100)),
    "initrd.img": lambda: INITRD * 16,
    "tk.bin": lambda: TEK + TIK,
}
#: The guest of most rows, which boots a kernel directly.
GUEST: dict[str, Value] = {
    "firmware": "OVMF.fd",
    "kernel": "vmlinuz",
    "initrd": "initrd.img",
    "cmdline": CMDLINE,
    "num_cpus": 4,
    "cpu_signature": MILAN,
}
#: The guest of the rows of SEV, without a kernel.
_SEV_GUEST: dict[str, Value] = {"firmware": "OVMF.fd", "policy": POLICY, "tk": "tk.bin"}


@dataclass(frozen=True)
class Chip:
    """The platform of a row: product, report version, and parts of its TCB and of REPORTED_TCB that differ."""

    product: str = "Milan"
    version: int = 3
    current: Mapping[str, int] = field(default_factory=dict)
    reported: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Replay:
    """One incident reproduced: a row of data/replays.toml, which explains the fields."""

    key: str
    symptom: str
    versions: str
    owner: Mapping[str, Value | None]
    host: Mapping[str, Value | None]
    chip: Chip
    make: Callable[[Replay, Path], dict[str, Value]]
    found: tuple[str, ...]
    note: str

    @property
    def file_name(self) -> str:
        """The name of its bundle."""
        return f"{self.key}.sevcase"

    def case(self, folder: Path) -> Case:
        """Return the reporter's case, with its files in *folder*. Nothing in it says what the host did."""
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


def write_inputs(folder: Path, *given: Mapping[str, Value | None]) -> dict[str, Value]:
    """Join inputs, of which the later count, and write the files that they name; return them with paths."""
    joined = {name: value for some in given for name, value in some.items()}
    inputs = {name: value for name, value in joined.items() if value is not None}
    files = {name: str(inputs[name]) for name in ("firmware", "kernel", "initrd", "svsm", "tk") if name in inputs}
    return inputs | {name: write_file(folder, file, FILES[file]()) for name, file in files.items()}


def write_file(folder: Path, name: str, content: bytes) -> str:
    """Write a file into *folder*; return its path."""
    (folder / name).write_bytes(content)
    return str(folder / name)


def start(inputs: dict[str, Value], seed: str, chip: Chip, regions: Sequence[Region] | None = None) -> Report:
    """Start a guest on a platform that follows from *seed*, and return the report that it asks for.

    *inputs* are those of :func:`sevlab.load_snp_launch`; *regions* are loaded instead of those that follow from them.
    """
    random = seeded(seed.encode())
    platform = SnpPlatform(product=chip.product, version=chip.version, tcb=chip.current, random=random)
    platform.snp_init()
    if chip.reported:
        platform.config(platform.make_tcb({**chip.current, **chip.reported}))
    host = SnpHost(platform, inputs, DEFAULT_POLICY, regions)
    host.launch()
    host.finish(None, False, bytes(32))
    answer = host.request(0, ReportRequest(report_data=bytes(64), vmpl=0, key_sel=0).to_bytes())
    return parse_report(answer[HEADER:], chip.product)


def report_case(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return what the owner had, and the report of the guest as the host started it, with its certificates."""
    host = write_inputs(folder, GUEST, replay.owner, replay.host)
    is_cpuid_last = host.pop("cpuid_last", False)
    regions: Sequence[Region] = load_snp_launch(**host).regions
    if is_cpuid_last:  # some hypervisors load the CPUID page after everything else in the metadata
        regions = sorted(regions, key=lambda region: (region.page_type == VMSA, region.page_type == CPUID))
    report = start(host, replay.key, replay.chip, regions)
    owner = write_inputs(folder, GUEST, replay.owner)
    return {"mode": "snp:svsm" if "svsm" in owner else "snp", **owner, **_evidence(replay, folder, report)}


def id_block_case(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return the same, and the owner's ID block for the launch that it computed."""
    made = report_case(replay, folder)
    digest = load_snp_launch(**write_inputs(folder, GUEST, replay.owner)).digest
    block = build_id_block(digest, ID_KEY).properties.encode()
    return {**made, "id_block": write_file(folder, "id-block.txt", block)}


def tool_case(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return what the owner had, and a digest that another tool computed, without a report."""
    launch = load_snp_launch(**write_inputs(folder, GUEST, replay.owner, replay.host))
    known = [region for region in launch.regions if region.name != "SVSM_CAA"]
    owner = write_inputs(folder, GUEST, replay.owner)
    return {"mode": "snp", **owner, "reported_measurement": SnpLaunch(known).digest}


def own_build_case(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return the case of an owner who took the digest of its own build for that of the cloud's image."""
    made = report_case(replay, folder)
    build = load_snp_launch(**write_inputs(folder, GUEST, replay.owner, {"firmware": "OVMF-without-caa.fd"}))
    return {**made, "ovmf_hash": build.after[0]}


def _evidence(replay: Replay, folder: Path, report: Report, /, **changed: bytes) -> dict[str, Value]:
    """Write a report and its certificates, some of them changed or missing (b""); return the inputs."""
    server, product = KeyServer(), replay.chip.product
    names = {"report": "report.bin", "vcek": "vcek.der", "chain": "chain.pem"}
    files = {
        "report": report.to_bytes(),
        "vcek": server.vcek(product, report.chip_id, report.reported_tcb),
        "chain": server.chain(product),
        **changed,
    }
    return {name: write_file(folder, names[name], raw) for name, raw in files.items() if raw}


def _with_evidence(change: Callable[[Report], dict[str, bytes]]) -> Callable[[Replay, Path], dict[str, Value]]:
    """Return what makes a case of the right launch and a *change* to its evidence."""

    def make(replay: Replay, folder: Path) -> dict[str, Value]:
        given = write_inputs(folder, GUEST, replay.owner)
        report = start(given, replay.key, replay.chip)
        return {"mode": "snp", **given, **_evidence(replay, folder, report, **change(report))}

    return make


def _as_turin_parts(report: Report) -> dict[str, bytes]:
    """The certificate is for a TCB whose eight bytes were read as a Turin's."""
    read = TurinTcb.from_bytes(report.reported_tcb.to_bytes()).parts
    asked = MilanTcb(**{part: read[part] for part in MilanTcb.part_names()})
    return {"vcek": KeyServer().vcek("Milan", report.chip_id, asked)}


def _rewritten(report: Report) -> dict[str, bytes]:
    raw = report.to_bytes()
    for row in report.rows:
        if isinstance(value := getattr(report, row.name), MilanTcb):
            parts = {"fmc": 0, **value.parts}
            raw = raw[: row.offset] + TurinTcb(**parts).to_bytes() + raw[row.offset + row.size :]
    return {"report": raw}


def report_alone(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return only the report and its certificates: nobody looked at the launch."""
    report = start(write_inputs(folder, GUEST, replay.owner), replay.key, replay.chip)
    return {"mode": "snp", **_evidence(replay, folder, report)}


def block_by_hand(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return an ID block with the right digest and a big-endian signature, as most libraries write it."""
    given = write_inputs(folder, GUEST, replay.owner)
    built = build_id_block(load_snp_launch(**given).digest, ID_KEY)
    signature = built.auth.id_block_sig
    numbers = {part: getattr(signature, part) for part in "rs"}
    turned = {part: raw[:_NUMBER][::-1].ljust(len(raw), b"\0") for part, raw in numbers.items()}
    signed = SignedIdBlock(built.block, built.auth.replace(id_block_sig=signature.replace(**turned)))
    file = write_file(folder, "id-block.txt", signed.properties.encode())
    return {"mode": "snp", **given, "id_block": file, "snp_policy": int(built.block.policy)}


def measured_case(replay: Replay, folder: Path) -> dict[str, Value]:
    """Return what the owner had, and the measurement of the host's SEV firmware."""
    host = write_inputs(folder, _SEV_GUEST, replay.owner, replay.host)
    message = MeasureMessage(
        **{name: host[name] for name in ("api_major", "api_minor", "build_id")},
        policy=Policy(POLICY),
        digest=load_launch(Policy(POLICY), firmware=host["firmware"]).digest,
        mnonce=MNONCE,
    )
    measurement = base64.b64encode(compute_measure(message, TIK) + MNONCE).decode()
    return {"mode": "sev", "measurement": measurement, **write_inputs(folder, _SEV_GUEST, replay.owner)}


_MAKERS: dict[str, Callable[[Replay, Path], dict[str, Value]]] = {
    "report_case": report_case,
    "id_block_case": id_block_case,
    "tool_case": tool_case,
    "own_build_case": own_build_case,
    # The chain is that of the product that the verifier guessed.
    "guessed_product": _with_evidence(lambda report: {"chain": KeyServer().chain("Genoa")}),
    "current_tcb": _with_evidence(
        lambda report: {"vcek": KeyServer().vcek("Milan", report.chip_id, report.current_tcb)}
    ),
    "turin_parts": _with_evidence(_as_turin_parts),
    "rewritten": _with_evidence(_rewritten),
    # The KDS had no certificate for the request.
    "no_certificate": _with_evidence(lambda report: {"vcek": b""}),
    "other_chip": _with_evidence(lambda report: {"vcek": KeyServer().vcek("Milan", _OTHER_CHIP, report.reported_tcb)}),
    "report_alone": report_alone,
    "block_by_hand": block_by_hand,
    "measured_case": measured_case,
}


def _inputs(row: Mapping[str, Value]) -> dict[str, Value | None]:
    """Return inputs as the file has them, with None for "" and the signature for a CPU model."""
    inputs = {name: None if value == "" else value for name, value in row.items()}
    if model := inputs.pop("cpu_model", None):
        inputs["cpu_signature"] = CPU_MODELS[str(model)].signature
    return inputs


#: Every row by its key.
REPLAYS = {
    key: Replay(
        key,
        symptom=row["symptom"],
        versions=row["versions"],
        owner=_inputs(row.get("owner", {})),
        host=_inputs(row.get("host", {})),
        chip=Chip(**row.get("chip", {})),
        make=_MAKERS[row["make"]],
        found=tuple(row["found"]),
        note=row["note"],
    )
    for key, row in sorted(read_table("replays").items())
}
