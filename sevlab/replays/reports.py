"""Incidents about who made a report, and about ID blocks: the launch is right, and the evidence for it is not."""

from __future__ import annotations

from ..formats.report import MilanTcb, TurinTcb, parse_report
from ..idblock import SignedIdBlock, build_id_block
from ..simulator.kds import KeyServer
from ..snp import load_snp_launch
from .host import LEAF, start
from .launches import ID_KEY
from .replay import GUEST, Replay, write_file, write_inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from .host import Started

#: The chip whose certificate was taken for that of another.
_OTHER_CHIP = bytes(range(0x80, 0xC0))
#: Bytes of a number of P-384.
_NUMBER = 48
_MADE_UP = "Certificates are a made-up AMD's."


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
    block, auth = build_id_block(load_snp_launch(**given).digest, ID_KEY)
    turned = {part: _turned(getattr(auth.id_block_sig, part)) for part in ("r", "s")}
    signed = SignedIdBlock(block, auth.replace(id_block_sig=auth.id_block_sig.replace(**turned)))
    text = signed.properties.encode()
    return {
        "mode": "snp",
        **given,
        "id_block": write_file(folder, "id-block.txt", text),
        "snp_policy": int(block.policy),
    }


def _turned(number: bytes) -> bytes:
    """Return a number of a signature big-endian, as most libraries write it, in a field that is little-endian."""
    return number[:_NUMBER][::-1].ljust(len(number), b"\0")


REPORTS = (
    Replay(
        "F13",
        "The report's certificate chain does not verify, on a host where it did with -cpu host",
        "Kata Containers with EPYC-v4 pinned; a report of version 2",
        {},
        {"version": 2},
        guessed_product,
        ("F13",),
        "There is no chain for Naples to be had, so here the guess is Genoa. " + _MADE_UP,
    ),
    Replay(
        "F38",
        "The VCEK did not sign the report; another machine with the same firmware is fine",
        "current SNP 6, reported 5",
        {},
        {"current": {"snp": 6}, "snp": 5},
        current_tcb,
        ("F38",),
        _MADE_UP,
    ),
    Replay(
        "F40",
        "The platform shows FMC 219 and bootloader 4, and no certificate fits its TCB",
        "snphost 0.6.0 on a Milan: microcode 219, SNP 24, bootloader 4",
        {},
        {"version": 2},
        turin_parts,
        ("F40",),
        "The made-up key server knows every TCB; the real one answers 404. " + _MADE_UP,
    ),
    Replay(
        "F41",
        "A report that was saved and read again does not verify any more",
        "snpguest in June 2025, a Milan",
        {},
        {},
        rewritten,
        ("F41", "F40"),
        _MADE_UP,
    ),
    Replay(
        "F42",
        "404 for the certificate of a Turin, asked for with all 64 bytes of CHIP_ID",
        "a Turin, report of version 5",
        {},
        {"product": "Turin", "version": 5},
        no_certificate,
        ("F42",),
        _MADE_UP,
    ),
    Replay(
        "F43",
        "verify attestation passes; is the certificate that of this chip?",
        "snpguest in September 2026",
        {},
        {},
        other_chip,
        ("F43",),
        "The report is signed by its own chip, so with the other's certificate the signature fails too. " + _MADE_UP,
    ),
    Replay(
        "F46",
        "SNP_LAUNCH_FINISH refuses an ID block, and the status does not say what is wrong",
        "an ID block made by hand, April 2024",
        {},
        {},
        block_by_hand,
        ("F46",),
        "The mistake is one that the thread does not name; it stands for any in a signature.",
    ),
    Replay(
        "F47",
        "Signature and chain are right, so the guest was trusted",
        "a verifier in June 2026",
        {"cmdline": "console=ttyS0 init=/bin/sh"},
        {},
        report_alone,
        ("F47",),
        "The guest is another than the verifier's user had in mind. " + _MADE_UP,
    ),
)
