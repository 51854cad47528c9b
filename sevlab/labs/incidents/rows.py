"""Every incident that is reproduced (data/replays.toml), and the functions that make its case.

In most the launch differs (registers, pages, firmware, kernel), so the report's digest does. In others the launch is
right and the evidence for it is not: the certificates, the report, an ID block. Those of SEV without SEV-SNP are about
the measured file and the numbers in the measured message; to compute a measurement its keys are needed, so their
bundles hold them. They are the samples' own (``20 21 22 ...``).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ...attestation.id_block import SignedIdBlock, build_id_block
from ...data import read_table
from ...formats.launch_measure import MeasureMessage
from ...formats.page_info import CPUID, VMSA
from ...formats.policy import Policy
from ...formats.report import MilanTcb, TurinTcb, parse_report
from ...launch.cpu import CPU_MODELS
from ...launch.inputs import load_launch
from ...launch.keys import Secret
from ...launch.measure import compute_measure
from ...launch.snp import SnpLaunch, load_snp_launch
from ...simulator.kds import KeyServer
from ..samples import MNONCE, POLICY, TIK
from .replay import GUEST, LEAF, Replay, start, write_file, write_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...launch.pages import Region
    from .replay import Started


#: The private key with which the owners of these rows sign ID blocks (48 bytes): visibly a sample.
ID_KEY = Secret(bytes(range(0x10, 0x40)))


def report_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return what the owner had, and the report of the guest as the host started it, with its certificates."""
    owner = {**GUEST, **replay.owner}
    host = write_inputs({**owner, **replay.host}, folder)
    host.pop("ovmf_hash", None)
    is_cpuid_last = host.pop("cpuid_last", False)
    regions = load_snp_launch(**host).regions
    started = start(host, replay.key, regions=cpuid_last(regions) if is_cpuid_last else regions)
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


#: The chip whose certificate was taken for that of another.
_OTHER_CHIP = bytes(range(0x80, 0xC0))

#: Bytes of a number of P-384.
_NUMBER = 48


def _as(started: Started, **files: bytes) -> dict[str, bytes]:
    """Return the reporter's files: those of the platform, some in another form or not at all (b"")."""
    product = started.platform.product
    made = {
        "report": started.report.to_bytes(),
        "vcek": started.certificates[LEAF],
        "chain": KeyServer().chain(product),
        **files,
    }
    return {name: raw for name, raw in made.items() if raw}


def _case(replay: Replay, folder: Path, files: dict[str, bytes], *, launch: bool = True) -> dict[str, Any]:
    names = {"report": "report.bin", "vcek": "vcek.der", "chain": "chain.pem"}
    given = write_inputs({**GUEST, **replay.owner}, folder) if launch else {}
    return {"mode": "snp", **given, **{name: write_file(folder, names[name], raw) for name, raw in files.items()}}


def _started(replay: Replay, folder: Path, **platform: Any) -> Started:
    return start(write_inputs({**GUEST, **replay.owner}, folder), replay.key, **{**platform, **replay.host})


def guessed_product(replay: Replay, folder: Path) -> dict[str, Any]:
    """The certificate is the chip's; the two above it are those of the product that the verifier guessed."""
    started = _started(replay, folder)
    return _case(replay, folder, _as(started, chain=KeyServer().chain("Genoa")))


def current_tcb(replay: Replay, folder: Path) -> dict[str, Any]:
    """The certificate is that of CURRENT_TCB."""
    started = _started(replay, folder)
    report = started.report
    return _case(replay, folder, _as(started, vcek=KeyServer().vcek("Milan", report.chip_id, report.current_tcb)))


def turin_parts(replay: Replay, folder: Path) -> dict[str, Any]:
    """The certificate is that of a TCB whose eight bytes were read as a Turin's."""
    started = _started(replay, folder)
    read = TurinTcb.from_bytes(started.report.reported_tcb.to_bytes()).parts
    asked = MilanTcb(**{part: read[part] for part in MilanTcb.part_names()})
    return _case(replay, folder, _as(started, vcek=KeyServer().vcek("Milan", started.report.chip_id, asked)))


def rewritten(replay: Replay, folder: Path) -> dict[str, Any]:
    """The report was taken apart, and its TCBs were written as a Turin's."""
    started = _started(replay, folder)
    raw = started.report.to_bytes()
    report = parse_report(raw, "Milan")
    for row in report.rows:
        if isinstance(value := getattr(report, row.name), MilanTcb):
            parts = {"fmc": 0, **value.parts}
            raw = raw[: row.offset] + TurinTcb(**parts).to_bytes() + raw[row.offset + row.size :]
    return _case(replay, folder, _as(started, report=raw))


def no_certificate(replay: Replay, folder: Path) -> dict[str, Any]:
    """The key server had no certificate for what it was asked."""
    return _case(replay, folder, _as(_started(replay, folder), vcek=b""))


def other_chip(replay: Replay, folder: Path) -> dict[str, Any]:
    """The certificate is that of another chip at the same TCB."""
    started = _started(replay, folder)
    return _case(replay, folder, _as(started, vcek=KeyServer().vcek("Milan", _OTHER_CHIP, started.report.reported_tcb)))


def report_alone(replay: Replay, folder: Path) -> dict[str, Any]:
    """All that was looked at is the report and who signed it."""
    return _case(replay, folder, _as(_started(replay, folder)), launch=False)


def block_by_hand(replay: Replay, folder: Path) -> dict[str, Any]:
    """The ID block names the right digest; its signature has both numbers with their bytes in the wrong order."""
    given = write_inputs({**GUEST, **replay.owner}, folder)
    built = build_id_block(load_snp_launch(**given).digest, ID_KEY)
    auth = built.auth
    turned = {part: _turned(getattr(auth.id_block_sig, part)) for part in ("r", "s")}
    signed = SignedIdBlock(built.block, auth.replace(id_block_sig=auth.id_block_sig.replace(**turned)))
    text = signed.properties.encode()
    return {
        "mode": "snp",
        **given,
        "id_block": write_file(folder, "id-block.txt", text),
        "snp_policy": int(built.block.policy),
    }


def _turned(number: bytes) -> bytes:
    """Return a number of a signature big-endian, as most libraries write it, in a field that is little-endian."""
    return number[:_NUMBER][::-1].ljust(len(number), b"\0")


#: The guest that these rows are about: plain SEV, no kernel.
_PLAIN = {"firmware": "OVMF.fd", "policy": POLICY, "tk": "tk.bin"}


def measured_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return what the owner had, and the measurement that the host's firmware made."""
    owner = {**_PLAIN, **replay.owner}
    host = write_inputs({**owner, **replay.host}, folder)
    message = MeasureMessage(
        api_major=host["api_major"],
        api_minor=host["api_minor"],
        build_id=host["build_id"],
        policy=Policy(POLICY),
        digest=load_launch(Policy(POLICY), firmware=host["firmware"]).digest,
        mnonce=MNONCE,
    )
    measurement = base64.b64encode(compute_measure(message, TIK) + MNONCE).decode()
    return {"mode": "sev", "measurement": measurement, **write_inputs(owner, folder)}


def _inputs(row: dict[str, Any]) -> dict[str, Any]:
    """Return inputs as the file has them, with None for "" and the signature for a CPU model."""
    inputs = {name: None if value == "" else value for name, value in row.items()}
    if model := inputs.pop("cpu_model", None):
        inputs["cpu_signature"] = CPU_MODELS[model].signature
    return inputs


def _replay(key: str, row: dict[str, Any]) -> Replay:
    return Replay(
        key,
        symptom=row["symptom"],
        versions=row["versions"],
        owner=_inputs(row.get("owner", {})),
        host=_inputs(row.get("host", {})),
        make=_MAKERS[row["make"]],
        found=tuple(row["found"]),
        note=row["note"],
    )


_MAKERS = {
    make.__name__: make
    for make in (
        report_case,
        id_block_case,
        tool_case,
        own_build_case,
        guessed_product,
        current_tcb,
        turin_parts,
        rewritten,
        no_certificate,
        other_chip,
        report_alone,
        block_by_hand,
        measured_case,
    )
}

#: Every row by its key.
REPLAYS: dict[str, Replay] = {key: _replay(key, row) for key, row in sorted(read_table("replays").items())}
