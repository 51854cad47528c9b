"""A report in words: every field, the ladder of its TCBs, and where AMD's key server (KDS) has its certificate.

Nothing here asks the server; people decide when their machines talk. The VCEK is asked for by chip and by REPORTED_TCB,
from which the signing key is made; with CURRENT_TCB (F38), with the parts in another product's places (F40), in hex
(F39) or with 64 bytes of a Turin's name (F42) comes another certificate, or none.

Source: snp-launch 8 (AMD 57230).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..layout.arguments import checked
from ..layout.bits import title
from ..layout.views import Heading, Paragraph, Table, View
from .report import PART_DOCS, PARTS, TCB_FORMS, Report, Tcb
from .vcek import HWID_SIZES

if TYPE_CHECKING:
    from typing import Any

    from ..layout.bits import Bits
    from ..layout.span import Span
    from ..layout.views import Block


HOST = "https://kdsintf.amd.com"

#: Digits to a line.
_LINE = 64

#: The TCBs of a report, from the one that a platform cannot go below to the one that runs.
LADDER = ("launch_tcb", "reported_tcb", "committed_tcb", "current_tcb")


def chain_path(product: str, *, vlek: bool = False) -> str:
    """Return the path of the two certificates above a leaf (PEM: ASK or ASVK, then ARK)."""
    return f"{_top(vlek)}/{product}/cert_chain"


def crl_path(product: str, *, vlek: bool = False) -> str:
    """Return the path of the list of revoked certificates (DER)."""
    return f"{_top(vlek)}/{product}/crl"


def vcek_path(product: str, chip_id: bytes, tcb: Tcb) -> str:
    """Return the path of a VCEK (DER): for a chip, as a report names it (64 bytes), and for a TCB.

    Numbers are decimal, of at least two digits, as AMD's examples have them.
    """
    parts = "&".join(f"{name}SPL={value:02d}" for name, value in tcb.parts.items())
    return f"{_top(False)}/{product}/{chip_id[: HWID_SIZES[product]].hex()}?{parts}"


def _top(vlek: bool) -> str:
    return f"/{'vlek' if vlek else 'vcek'}/v1"


@checked
def vcek_urls(report: Report, product: str = "") -> tuple[list[str], str]:
    """Return the addresses from which AMD's key server gives the VCEK of a report; without one, why there is none.

    They are made of REPORTED_TCB, never of CURRENT_TCB, which only looks alike (F38). Nothing is fetched. A report of
    version 2 does not tell Milan from Genoa, so there may be two, unless *product* says which.
    """
    told = product or report.product
    products = told.split(" or ") if told else []
    signer, reported = report.key_info.signer, report.reported_tcb
    if signer == "VLEK":
        return [], "A VLEK signed it, which AMD gives to the cloud alone: ask the host for its certificate table."
    if signer != "VCEK":
        return [], "No key signed it that has a certificate."
    if not any(report.chip_id):
        return [], "CHIP_ID is masked, so nobody can ask for the chip's certificate: only the host has it."
    products = [product for product in products if TCB_FORMS.get(product) is type(reported)]
    if not products or not isinstance(reported, Tcb):
        return [], "Which product made it is not known, and with it the form of its TCB. Try: --product"
    return [HOST + vcek_path(product, report.chip_id, reported) for product in products], ""


def tcb_ladder(report: Report) -> list[str]:
    """Return a sentence for every part that breaks REPORTED <= COMMITTED <= CURRENT."""
    tcbs = [getattr(report, name) for name in LADDER[1:]]
    if not all(isinstance(one, Tcb) for one in tcbs):
        return []
    found = []
    for part in tcbs[0].parts:
        values = [one.parts[part] for one in tcbs]
        for lower, higher, low, high in zip(LADDER[1:], LADDER[2:], values, values[1:], strict=False):
            if low > high:
                found.append(f"{part}: {lower.upper()} is {low}, above {higher.upper()} with {high}")
    return found


def report_findings(report: Report, product: str = "") -> list[str]:
    """Return a sentence for everything that is odd; *product* is what its reader takes it to be from."""
    told = report.product
    found = [*report.findings(), *tcb_ladder(report)]
    if product and told and product not in told.split(" or "):
        found.append(f"the report itself says that it is from {told}, not {product}")
    return found


def report_as_dict(report: Report, product: str = "") -> dict[str, object]:
    """Return a report as JSON-ready data; *product* as it was read with."""
    urls, reason = vcek_urls(report, product)
    return {
        "version": report.version,
        "known": report.is_known,
        "product": product or report.product,
        "signing_key": report.key_info.signer,
        "fields": {span.name: _value(span) for span in report.spans()},
        "policy": {row.name: value for row, value in report.policy.items() if not row.reserved},
        "tcb": {name: one.parts for name in LADDER if isinstance(one := getattr(report, name), Tcb)},
        "findings": report_findings(report, product),
        "vcek_urls": urls,
        "no_url": reason,
    }


@checked
def explain_report(report: Report, product: str = "", note: str = "") -> View:
    """Show every field of a report; *product* as it was read with, *note* says where it came from."""
    raw, rows, colours = report.to_bytes(), [], []
    for row in report.rows:
        value = row.decode(row.cut(raw))
        finding = "; ".join(value.findings()) if isinstance(value, Tcb) else row.finding(value)
        if row.is_reserved and not finding:
            continue
        words = f"{row.doc} ODD: {finding}." if finding else row.doc
        rows.append([row.name, f"0x{row.offset:03x}, {row.size}", _lines(row.text(value), value, words)])
        colours.append("pink" if finding else row.colour)
    findings = report_findings(report, product)
    blocks: list[Block] = [Heading(f"{title(type(report))} ({report.size} bytes)")]
    blocks += [Paragraph(f"{note}.")] if note else []
    blocks += [
        Paragraph(_sentence(report, product)),
        Table(["field", "at, size", "value, and meaning"], rows, colours=colours, mono=[0, 1]),
        *explain_ladder(report),
        *_bits(report.policy),
        *_bits(report.platform_info),
        *_bits(report.key_info),
        Heading("What is odd"),
        Paragraph("; ".join(findings) + "." if findings else "Nothing: no reserved byte or bit is set."),
        *explain_urls(report, product),
    ]
    return View(*blocks)


def explain_urls(report: Report, product: str = "") -> list[Block]:
    """Show where the certificate of the signing key is to be had."""
    from ..layout.views import Code, Heading, Paragraph

    heading = Heading("Where the certificate of its key is")
    urls, reason = vcek_urls(report, product)
    if not urls:
        return [heading, Paragraph(reason)]
    words = "Nothing was fetched. The certificates above it are at "
    chains = " and ".join(HOST + chain_path(url.removeprefix(HOST).split("/")[3]) for url in urls)
    return [heading, Code("\n".join(urls)), Paragraph(f"{words}{chains}.")]


def _sentence(report: Report, product: str) -> str:
    product = product or report.product or "a product that it does not tell"
    words = f"Version {report.version}, from {product}, signed with: {report.key_info.signer}."
    if report.cpuid is not None:
        words += " CPUID: family 0x{:x}, model 0x{:x}, stepping {}.".format(*report.cpuid)
    if not report.is_known:
        words += " This version is not known to sevlab: only the fields that all versions share are named."
    return words


def explain_ladder(report: Report) -> list[Block]:
    """Show the four TCBs side by side, a line for each part."""
    from ..layout.views import Heading, Paragraph, Table

    tcbs = [getattr(report, name) for name in LADDER]
    heading = Heading("How new the platform is: its TCBs, part by part")
    if not all(isinstance(one, Tcb) for one in tcbs):
        words = "Which byte is which part is not known for this report. --product, or the leaf's certificate, tells."
        return [heading, Paragraph(words)]
    odd = tcb_ladder(report)
    rows = []
    for part in (part for part in PARTS if part in tcbs[0].parts):
        broken = any(one.startswith(f"{part}:") for one in odd)
        words = PART_DOCS[part] + (": NOT REPORTED <= COMMITTED <= CURRENT" if broken else "")
        rows.append([part, *(str(one.parts[part]) for one in tcbs), words])
    header = ["part", *(name.removesuffix("_tcb") for name in LADDER), "what it is"]
    rule = "Reported must not be above committed, nor committed above current. The signing key follows from reported."
    return [heading, Table(header, rows, mono=[0, 1, 2, 3, 4]), Paragraph(rule)]


def _lines(text: str, value: Any, words: str) -> str:
    """Return a field's value and meaning; long values in full on lines of their own, to be compared and copied."""
    if isinstance(value, Tcb):
        return f"{text} (bytes {value.to_bytes().hex(' ')})\n{words}"
    if isinstance(value, bytes) and any(value):
        return "\n".join([*(text[start : start + _LINE] for start in range(0, len(text), _LINE)), words])
    return f"{text} – {words}"


def _bits(bits: Bits) -> list[Block]:
    """Show a number bit by bit, as its page does, without the commands that it governs, which take the space."""
    heading, table = bits.explain().blocks
    if not isinstance(table, Table):
        return [heading, table]
    governs = table.header.index("governs")
    rows = [row[:governs] + row[governs + 1 :] for row in table.rows]
    return [heading, Table(table.header[:governs] + table.header[governs + 1 :], rows, mono=[0, 1, 2])]


def _value(span: Span) -> Any:
    return int(span.value) if isinstance(span.value, int) else span.raw.hex()
