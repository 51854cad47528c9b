"""``sevlab report``: show an attestation report of SEV-SNP, or verify it up to AMD's root."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from ..attestation.certificates import FILES, load_certificates, parse_certificate
from ..attestation.report import verify_report
from ..attestation.report_file import LIMIT, load_report_file
from ..attestation.requirements import REQUIREMENTS, Requirements
from ..cli import GOOD, NOT_VALIDATED, VERBS
from ..errors import InputError, quoted, renaming
from ..formats.report import TCB_FORMS
from ..formats.report_view import explain_report, report_as_dict
from ..formats.vcek import ROOTS
from ..launch.evidence import KEYS
from ..launch.files import check_standard_input, load_file
from ..launch.inputs import as_option
from ..launch.keys import Secret, refuse_keys
from ..launch.values import decode_base64
from ..layout.views import Paragraph, View
from .options import Parser, add_case, case_under, opened_case, sentence
from .terminal import ADVISE, say, say_json, show

if TYPE_CHECKING:
    from typing import Any

    from ..launch.trust import Trust


EPILOG = (
    "Numbers are decimal or 0x hex, bytes hex or base64, '-' reads a file from standard input. Nothing is fetched. "
    "Exit status: 0 nothing failed and a measurement was compared, 1 something failed or no measurement was compared, "
    "2 usage or input that cannot be supported, 3 an error in sevlab. docs/report.md tells the rest."
)

_FILE_HELP = {
    "vcek": "the certificate of the chip's key (DER or PEM)",
    "vlek": "the certificate of a cloud's key (DER or PEM)",
    "chain": "ASK (or ASVK) and ARK in one PEM file",
    "ask": "ASK or ASVK, where there is no --chain",
    "ark": "ARK, where there is no --chain",
    "certs": "a certificate table, as the host hands it to the guest",
    "crl": "the list of revoked certificates (DER or PEM)",
}


def run(words: list[str]) -> int:
    """Show or verify; return the exit status."""
    parser = Parser(prog="sevlab report", description=sentence(VERBS["report"]), epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="show|verify", required=True)
    what = "show every field of a report, its TCBs, and where its certificate is to be had"
    show = actions.add_parser("show", help=what, description=sentence(what), epilog=EPILOG)
    show.add_argument("file", metavar="FILE", help="the report; binary, or hex or base64 text")
    show.add_argument("--product", metavar="NAME", help=f"what made it, where it does not tell: {', '.join(TCB_FORMS)}")
    what = "check who made a report, and whether it says what you wanted"
    verify = actions.add_parser("verify", help=what, description=sentence(what), epilog=EPILOG)
    verify.add_argument("file", metavar="FILE", nargs="?", help="the report; binary, or hex or base64 text")
    _add_verify(verify)
    for action in (show, verify):
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(words)
    return {"show": _show, "verify": _verify}[args.action](args)


def _add_verify(verify: Parser) -> None:
    verify.repeated = "refuse"
    files = verify.add_argument_group("who made it")
    for name in FILES:
        files.add_argument(as_option(name), metavar="FILE", help=_FILE_HELP[name])
    files.add_argument("--at", metavar="DATE", help="when certificates must be valid, UTC (default: now)")
    files.add_argument(
        "--trust-root", metavar="FILE", action="append", default=[], help="an ARK to trust beside AMD's; repeatable"
    )
    files.add_argument("--csp-id", metavar="TEXT", help="the cloud that a VLEK must be for")
    wanted = verify.add_argument_group("what you wanted")
    for one in fields(Requirements):
        if metavar := one.metadata["metavar"]:
            wanted.add_argument(as_option(one.name), metavar=metavar, help=one.metadata["help"])
        else:
            wanted.add_argument(as_option(one.name), action="store_const", const=True, help=one.metadata["help"])
    add_case(verify)


def _show(args: argparse.Namespace) -> int:
    if args.product is not None and args.product not in TCB_FORMS:
        raise InputError("--product", quoted(args.product), f"one of {', '.join(TCB_FORMS)}")
    product = args.product or ""
    found = load_report_file(args.file, "FILE", product)
    if args.json:
        header = None if found.header is None else found.header.to_bytes().hex()
        say_json({"form": found.form, "header": header, **report_as_dict(found.report, product)})
    else:
        show(View(explain_report(found.report, product, found.note), Paragraph(ADVISE)))
    return GOOD


def read_roots(paths: list[str]) -> dict[str, str]:
    """Return the roots to trust, by the SHA-256 (hex) of their DER: AMD's, and those in files."""
    roots = dict(ROOTS)
    for path in paths:
        one = parse_certificate(load_file(path, "--trust-root", LIMIT), "--trust-root")
        roots[one.sha256] = f"{one.product or 'unnamed'}, by --trust-root"
    return roots


def _refuse_keys(args: argparse.Namespace, wanted: dict[str, Any]) -> None:
    """Refuse a wanted value with a key of the case in it: it would be shown beside the report's."""
    if args.case is None:
        return
    inputs = opened_case(args).inputs
    keys = [key for name in KEYS if isinstance(key := inputs.get(name), Secret)]
    for name, value in wanted.items():
        if isinstance(value, str):
            for raw in (value.encode(), decode_base64("".join(value.split())) or b""):
                refuse_keys(raw, as_option(name), *keys)


def _verify(args: argparse.Namespace) -> int:
    given, trust = _given(args)
    roots = read_roots(args.trust_root)
    if given["report"] is None:
        raise InputError("FILE", "nothing", "a report", "sevlab report verify --help")
    found = load_report_file(given["report"], "FILE")
    with renaming(as_option):
        certificates = load_certificates(**{name: given[name] for name in FILES})
    wanted = {name: given[name] for name in REQUIREMENTS}
    _refuse_keys(args, wanted)
    with renaming(as_option):
        verdict = verify_report(
            found.report, certificates, roots=roots, at=args.at, csp_id=args.csp_id, trust=trust, **wanted
        )
    if args.json:
        say_json({**verdict.as_dict(), "notes": [*verdict.notes, *([found.note] if found.finding else [])]})
    else:
        if found.header is not None:
            say(f"{found.note}.", "")
        show(View(verdict.explain(), Paragraph(ADVISE)))
    return GOOD if verdict.matches else NOT_VALIDATED


def _given(args: argparse.Namespace) -> tuple[dict[str, Any], Trust | None]:
    """Return report, certificates and what is wanted, by name; those of a case file where no option says otherwise.

    Return also what is trusted of the case, None without one.
    """
    given: dict[str, Any] = {"report": args.file, **{name: getattr(args, name) for name in FILES}}
    readers = [(as_option(name) if name != "report" else "FILE", path) for name, path in given.items()]
    readers += [("--trust-root", path) for path in args.trust_root]
    check_standard_input(readers)
    wanted = {name: getattr(args, name) for name in REQUIREMENTS}
    if args.case is None:
        return {**given, **wanted}, None
    from ..cases.case import SNP

    prefix = "snp_"
    options = given | {prefix + name: value for name, value in wanted.items()}
    merged = case_under(args, options, readers, SNP)
    plain = {name.removeprefix(prefix): value for name, value in merged.items()}
    return {**dict.fromkeys([*given, *wanted]), **plain}, opened_case(args).trust(options, SNP)
