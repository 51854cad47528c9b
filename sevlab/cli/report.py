"""``sevlab report``: show an attestation report of SEV-SNP, or verify it up to AMD's root."""

from __future__ import annotations

from argparse import Namespace, _ActionsContainer
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..attestation.certificates import FILES, load_certificates, roots_with
from ..attestation.report import load_report_file, verify_report
from ..attestation.requirements import BOUND, REQUIREMENTS, Requirements, parse_binding
from ..cases.case import BY_NAME, SNP, Case
from ..cli import GOOD, NOT_VALIDATED
from ..errors import InputError, quoted, renaming
from ..formats.report import TCB_FORMS
from ..launch.inputs import KEYS, Trust, as_option
from ..launch.keys import SecretBytes, refuse_keys
from ..launch.reading import check_standard_input
from ..launch.values import decode_base64
from ..layout.views import Paragraph, View
from .options import NUMBERS, STDIN, add_actions, add_case, add_json, case_under, opened_case, phrase, verb_parser
from .terminal import ADVISE, say_json, show_answer, tell_either

#: Every action, and what it does.
ACTIONS = {
    "show": "show every field of a report, its TCBs, and where to get its certificate",
    "verify": "check who made a report, and whether it meets your requirements",
}


def run(words: list[str]) -> int:
    statuses = "0 nothing failed and a measurement was compared, 1 something failed or no measurement was compared"
    parser = verb_parser("report", statuses, f"{NUMBERS} Bytes are hex or base64. {STDIN} Nothing is fetched.")
    actions = add_actions(parser, ACTIONS)
    show, verify = actions["show"], actions["verify"]
    file = "the report; binary, or hex or base64 text"
    show.add_argument("file", metavar="FILE", help=file)
    what = f"what made it, if the report does not say: {', '.join(TCB_FORMS)}"
    show.add_argument("--product", metavar="NAME", help=what)
    verify.add_argument("file", metavar="FILE", nargs="?", help=file)
    verify.repeated = "refuse"
    files = verify.add_argument_group("who made it")
    for name in FILES:
        files.add_argument(as_option(name), metavar="FILE", help=phrase(BY_NAME[name].doc))
    files.add_argument("--at", metavar="DATE", help="when certificates must be valid, UTC (default: now)")
    add_trust_root(files)
    files.add_argument("--csp-id", metavar="TEXT", help="the cloud that a VLEK must be for")
    required = verify.add_argument_group("what you require")
    for one in fields(Requirements):
        metavar, flag, what = one.metadata["metavar"], as_option(one.name), one.metadata["help"]
        if metavar:
            required.add_argument(flag, metavar=metavar, help=what)
        else:
            required.add_argument(flag, action="store_const", const=True, help=what)
    add_case(verify)
    add_json(show)
    add_json(verify, verbose=True)
    args = parser.parse_args(words)
    return {"show": _show, "verify": _verify}[args.action](args)


def add_trust_root(group: _ActionsContainer) -> None:
    """Add the option for roots to trust beside AMD's."""
    what = "an ARK to trust beside AMD's; repeatable"
    group.add_argument("--trust-root", metavar="FILE", action="append", default=[], help=what)


def _show(args: Namespace) -> int:
    if args.product is not None and args.product not in TCB_FORMS:
        raise InputError("--product", quoted(args.product), f"one of {', '.join(TCB_FORMS)}")
    product = args.product or ""
    found = load_report_file(args.file, "FILE", product)
    data = {"form": found.form, "header": None if found.header is None else found.header.to_bytes().hex()}
    view = View(found.report.explain(product, found.note), Paragraph(ADVISE))
    tell_either(args, lambda: data | found.report.as_dict(product), lambda: view)
    return GOOD


def _refuse_keys(case: Case, required: Mapping[str, object]) -> None:
    """Refuse a requirement with a key of the case in it: it would be shown beside the report's value."""
    keys = [key for name in KEYS if isinstance(key := case.inputs.get(name), SecretBytes)]
    for name, value in required.items():
        if isinstance(value, str):
            for raw in (value.encode(), decode_base64("".join(value.split())) or b""):
                refuse_keys(raw, as_option(name), *keys)


def _verify(args: Namespace) -> int:
    given, trust = _given(args)
    roots = roots_with(args.trust_root, "--trust-root")
    path = given["report"]
    if path is None:
        raise InputError("FILE", "nothing", "a report", "sevlab report verify --help")
    found = load_report_file(str(path), "FILE")
    required = {name: given[name] for name in REQUIREMENTS}
    with renaming(as_option):
        certificates = load_certificates(**{name: given[name] for name in FILES})
    if args.case is not None:
        _refuse_keys(opened_case(args), required)
    with renaming(as_option):
        verdict = verify_report(
            found.report, certificates, roots=roots, at=args.at, csp_id=args.csp_id, trust=trust, **required
        )
    if args.json:
        say_json({**verdict.as_dict(), "notes": [*verdict.notes, *([found.note] if found.finding else [])]})
    else:
        read = [Paragraph(f"{found.note}.")] * (found.header is not None)
        show_answer(verdict.explain(), args, *read, Paragraph(ADVISE))
    return GOOD if verdict.matches else NOT_VALIDATED


def _given(args: Namespace) -> tuple[dict[str, Any], Trust | None]:
    """Return report, certificates and requirements, by name, with those of a case under the options.

    Return also what is trusted of the case, None without one.
    """
    files = {"report": args.file, **{name: getattr(args, name) for name in FILES}}
    readers = [("FILE" if name == "report" else as_option(name), path) for name, path in files.items()]
    readers += [("--trust-root", path) for path in args.trust_root]
    check_standard_input(readers)
    required = {name: getattr(args, name) for name in REQUIREMENTS}
    with renaming(as_option):  # here alone: a case file must not name a file of yours to be hashed
        required |= {name: parse_binding(value, name) for name in BOUND if isinstance(value := required[name], str)}
    if args.case is None:
        return files | required, None
    prefix = "snp_"
    options = files | {prefix + name: value for name, value in required.items()}
    merged = {name.removeprefix(prefix): value for name, value in case_under(args, options, readers, SNP).items()}
    return dict.fromkeys([*files, *required]) | merged, opened_case(args).trust(options, SNP)
