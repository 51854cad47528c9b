"""Reading a report from a file, in whichever form it was saved."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError, quoted
from ..formats.id_block import ECDSA_P384_SHA384
from ..formats.report import HEADER, SIZE, Report, ReportResponse, UnknownReport, parse_report
from ..launch.files import load_file
from ..layout.arguments import checked
from .byte_forms import read_bytes, readings

#: Most bytes of a file that are looked at. A report takes 1184, its longest text form 2500.
LIMIT = 64 << 10
#: Versions that make it likely that bytes are a report.
_LIKELY_VERSIONS = range(1, 16)
_NEEDED = f"a report of {SIZE} bytes, or {SIZE + HEADER} with its header; binary, or as hex, base64, a dump or in JSON"


@dataclass(frozen=True)
class ReportFile:
    """A report as it was found in a file."""

    report: Report
    #: "binary", "hex text" and so on; see :mod:`sevlab.attestation.byte_forms`.
    form: str
    #: The header of the firmware's answer before it.
    header: ReportResponse | None

    @property
    def note(self) -> str:
        """How it was found, in a sentence."""
        if self.header is None:
            return f"Read from {self.form}"
        finding = f" (FINDING: {self.finding})" if self.finding else ""
        return f"Read from {self.form}; the {HEADER} bytes before it are the header of the firmware's answer{finding}"

    @property
    def finding(self) -> str:
        """Why the header before it is not that of a good answer, "" for nothing."""
        if self.header is None:
            return ""
        status, size, rest = self.header.status, self.header.report_size, any(self.header.reserved_8)
        if (status, size, rest) == (0, SIZE, False):
            return ""
        return f"it says status 0x{status:x} and {size} bytes{', and the rest of it is not zero' * rest}"


@checked
def read_report(raw: bytes, name: str = "report", product: str = "") -> ReportFile:
    """Take a report out of a file's bytes, in any of the forms of :func:`read_bytes`, also with its 32-byte header.

    *product* as for :func:`sevlab.formats.report.parse_report`. Raises :class:`~sevlab.errors.InputError` with *name*,
    and a guess, for anything else.
    """
    try:
        found = read_bytes(raw, lambda one: len(one) in (SIZE, SIZE + HEADER), name, _NEEDED)
    except InputError as error:
        longest = max(readings(raw), key=lambda one: len(one.raw) if _looks_like_a_report(one.raw) else 0)
        advice = _guess(longest.raw) or error.advice
        raise InputError(name, error.received, error.needed, advice) from None
    if len(found.raw) == SIZE:
        return ReportFile(parse_report(found.raw, product), found.form, None)
    header = ReportResponse.from_bytes(found.raw[:HEADER])
    return ReportFile(parse_report(found.raw[HEADER:], product), found.form, header)


def load_report(path: str, name: str = "report", product: str = "") -> Report:
    """Read a report from a file (``-`` is standard input); see :func:`read_report`. Its header must be a good one."""
    found = load_report_file(path, name, product)
    if found.finding:
        received = f"{quoted(path)}, whose header is not that of a good answer: {found.finding}"
        raise InputError(name, received, _NEEDED, "sevlab report show")
    return found.report


def load_report_file(path: str, name: str = "report", product: str = "") -> ReportFile:
    """Read a report from a file, and say how it was found; see :func:`read_report`."""
    raw = load_file(path, name, LIMIT)
    try:
        return read_report(raw, name, product)
    except InputError as error:
        raise InputError(name, f"{quoted(path)}, {error.received}", error.needed, error.advice) from None


def _looks_like_a_report(raw: bytes) -> bool:
    report = UnknownReport.from_bytes(raw[:SIZE].ljust(SIZE, b"\0"))
    return report.version in _LIKELY_VERSIONS and report.signature_algo == ECDSA_P384_SHA384


def _guess(raw: bytes) -> str:
    if raw[:2] == b"\x30\x82" or raw[:11] == b"-----BEGIN ":
        return "the report's own file: this is a certificate"
    if len(raw) > SIZE + HEADER and _looks_like_a_report(raw[HEADER:]):
        return f"what begins at byte {HEADER}, which looks like a report: tail -c +{HEADER + 1} FILE | head -c {SIZE}"
    if len(raw) > SIZE and _looks_like_a_report(raw):
        return f"its beginning, which looks like a report: head -c {SIZE} FILE"
    if 0 < len(raw) < SIZE and _looks_like_a_report(raw):
        return f"copying it again: it looks like a report that breaks off after {len(raw)} bytes"
    return ""
