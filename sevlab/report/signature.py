"""The report's own signature, over the bytes as they came, by the key that it names.

Sources: snp-launch 6.2, 6.5 and 6.6.
"""

from __future__ import annotations

from ..chain import ecdsa_fault
from ..errors import quoted
from ..formats.report import ECDSA_P384_SHA384, SIGNED, MilanTcb, Report, ReportV2, Tcb, TurinTcb
from ..formats.sev_certs import ECDSA_SHA384
from ..formats.vcek import VCEK
from .certificate import Certificate
from .check import Check, failed, not_done, passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: The TCBs of a report; every version has them at the same places.
_TCBS = tuple(row for row in ReportV2.rows if issubclass(row.type, Tcb))
_NONE_SIGNED = "no key signed this report: the chip's key is masked by the host, and no VLEK is loaded"


def check_signing_key(report: Report, leaf: Certificate | None) -> Check:
    """Is the leaf of the kind that KEY_INFO names?"""
    name, info = "signing key", report.key_info
    if info.signer in ("none", "unknown"):
        why = _NONE_SIGNED if info.signer == "none" else f"KEY_INFO names the unknown key {info.signing_key}"
        return failed(name, why)
    if info.mask_chip_key and info.signer == VCEK:
        return failed(name, "KEY_INFO says that the chip's key is masked, and that it signed: both cannot be")
    if leaf is None:
        return not_done(name, f"KEY_INFO names a {info.signer}, and none was given")
    if leaf.kind != info.signer:
        return failed(name, f"KEY_INFO names a {info.signer}, the certificate is for {quoted(leaf.common_name)}")
    return passed(name, f"{info.signer}, as KEY_INFO says")


def check_report_signature(report: Report, leaf: Certificate | None) -> Check:
    """Did the leaf's key sign the report's first 672 bytes?"""
    name = "report signature"
    raw = report.to_bytes()
    if not any(raw[SIGNED:]):
        why = _NONE_SIGNED if report.key_info.signer == "none" else "the signature is zero: nobody signed this report"
        return failed(name, why)
    if leaf is None:
        return failed(name, f"no {report.key_info.signer} was given, so nobody vouches for this report")
    if report.signature_algo != ECDSA_P384_SHA384:
        return failed(name, f"SIGNATURE_ALGO is {report.signature_algo.text}; only 1 is known")
    key = leaf.ecc_key
    if key is None:
        return failed(name, f"the {leaf.kind or 'leaf'}'s key is no point of P-384")
    if not (fault := ecdsa_fault(key, raw[SIGNED:], report.signed, ECDSA_SHA384)):
        return passed(name, f"ECDSA P-384, SHA-384, over bytes 0 to 0x{SIGNED - 1:x} as they came")
    for what, other in _rewritten(report):
        if not ecdsa_fault(key, raw[SIGNED:], other[:SIGNED], ECDSA_SHA384):
            return failed(name, f"{fault}, but right once {what}: something rewrote the report", "F41")
    return failed(name, fault)


def _rewritten(report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield what the report may have been before a program took it apart and wrote it again."""
    raw = report.to_bytes()
    emptied = bytearray(raw)
    for row in report.rows:
        if row.is_reserved and row.offset < SIGNED:
            emptied[row.offset : row.offset + row.size] = bytes(row.size)
    yield "its reserved bytes are zero", bytes(emptied)
    for reader, writer, product in ((TurinTcb, MilanTcb, "Milan or Genoa"), (MilanTcb, TurinTcb, "Turin")):
        words = f"the parts of its TCBs stand where a {product} has them"
        yield words, _rearranged(raw, reader, writer)
        yield f"{words} and reserved bytes are zero", _rearranged(bytes(emptied), reader, writer)


def _rearranged(raw: bytes, reader: type[Tcb], writer: type[Tcb]) -> bytes:
    """Return a report with the parts of every TCB in another product's places."""
    made = bytearray(raw)
    for row in _TCBS:
        parts = reader.from_bytes(row.cut(raw)).parts
        made[row.offset : row.offset + row.size] = writer(
            **{part: parts.get(part, 0) for part in writer.part_names()}
        ).to_bytes()
    return bytes(made)
