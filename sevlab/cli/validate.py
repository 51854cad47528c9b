"""``sevlab validate``: is the reported measurement the one that follows from my inputs?"""

from __future__ import annotations

import sys

from ..cli import GOOD, NOT_VALIDATED
from ..errors import InputError, renaming
from ..launch.evidence import load_evidence
from ..launch.inputs import KEYS, as_option
from ..launch.values import check_keys
from ..launch.verify import BAD, Verdict, compare_measure
from .options import add_show_keys, inputs_from, launch_parser, trust_from
from .terminal import output_is_closed, say, say_json, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..cases.libvirt import Guest
    from ..launch.evidence import Evidence
    from .options import Parser


def validate_parser() -> Parser:
    """Return the parser with all options of this verb."""
    statuses = "0 validated, 1 did not validate or not decided, with --domain also 4 configuration, 5 state, 6 insecure"
    parser, shown = launch_parser("validate", statuses)
    add_show_keys(shown)
    shown.add_argument("--debug", "-d", action="store_true", help="show every value on the way, on standard error")
    shown.add_argument("--quiet", "-q", action="store_true", help="print no verdict; only the exit status gives it")
    connection = parser.add_argument_group("a domain of libvirt, asked for what the options leave out")
    connection.add_argument("--connect", "-c", metavar="URI", help="the hypervisor (default: qemu:///system)")
    connection.add_argument("--domain", "-o", metavar="NAME", help="the domain: its name, number or UUID")
    connection.add_argument("--insecure", "-i", action="store_true", help="go on where the answer cannot be trusted")
    what = "do not check the domain's configuration"
    connection.add_argument("--ignore-config", "-g", action="store_true", help=what)
    inject = parser.add_argument_group("a secret for the guest, packed when the launch validates")
    what, flags = "a GUID or luks-key, and a file", ("--inject-secret", "-s")
    inject.add_argument(*flags, action="append", default=[], metavar="NAME:FILE", help=what)
    inject.add_argument("--secret-header", metavar="FILE", help="where to write the packet's header, as base64")
    inject.add_argument("--secret-payload", metavar="FILE", help="where to write its encrypted payload, as base64")
    return parser


def run(words: list[str]) -> int:
    args = validate_parser().parse_args(words)
    _check_injection(args)
    if args.show_keys and not args.debug:
        raise InputError("--show-keys", "without --debug", "--debug, which it adds the keys to")
    inputs = inputs_from(args)
    guest, from_host = None, set[str]()
    if args.domain is not None:
        guest, complete = _ask(args, inputs)
        from_host = {name for name in complete if inputs.get(name) is None}
        inputs = complete
    with renaming(lambda name: as_option(name) + (" (from libvirt)" if name in from_host else "")):
        evidence = load_evidence(trust=trust_from(args), **inputs)
    verdict = compare_measure(evidence)
    if args.debug:
        _debug(verdict, args.show_keys)
    if args.inject_secret:
        _inject(args, verdict, guest)  # before the verdict, so that a secret that cannot be used is reported first
    if args.json:
        import json

        say_json(json.loads(_hidden(evidence, json.dumps(verdict.as_dict()))))
    elif not args.quiet:
        _say(verdict)
        if args.inject_secret and verdict.matches:
            _answer(f"OK: Injected {len(args.inject_secret)} secrets")
    return GOOD if verdict.matches else NOT_VALIDATED


def _check_injection(args: argparse.Namespace) -> None:
    outputs = {"--secret-header": args.secret_header, "--secret-payload": args.secret_payload}
    missing = [name for name, path in outputs.items() if path is None]
    if missing and (len(missing) == 1 or (args.inject_secret and args.domain is None)):
        raise InputError(missing[0], "nothing", "a file, as for the other half of the packet")


def _ask(args: argparse.Namespace, given: dict[str, object]) -> tuple[Guest, dict[str, Any]]:
    """Return the guest, and the *given* inputs completed by what libvirt knows of it.

    Keys are needed first: without them there is nothing to judge.
    """
    from ..cases.libvirt import URI, Guest, complete_inputs

    with renaming(as_option):
        check_keys(**{name: given.get(name) for name in KEYS})
        guest = Guest(args.connect or URI, args.domain)
        return guest, complete_inputs(guest, given, insecure=args.insecure, ignore_config=args.ignore_config)


def _inject(args: argparse.Namespace, verdict: Verdict, guest: Guest | None) -> None:
    """Check every secret; when the launch validates, pack them, write the two files, and hand them to the domain."""
    from ..attestation.secret import build_secret, load_secret
    from ..cases.writing import write_files

    secrets = [load_secret(spec, "--inject-secret") for spec in args.inject_secret]
    evidence = verdict.evidence
    if not verdict.matches or evidence.tek is None:
        return
    packet = build_secret(secrets, evidence.tik, evidence.tek, verdict.reported, area=_secret_area(evidence))
    for warning in packet.warnings:
        warn(warning)
    files = [
        (args.secret_header, packet.header_base64.encode(), "--secret-header"),
        (args.secret_payload, packet.payload_base64.encode(), "--secret-payload"),
    ]
    if args.secret_header is not None:
        write_files(files, force=True)
    if guest is not None:
        guest.inject(packet.header_base64, packet.payload_base64)


def _secret_area(evidence: Evidence) -> int | None:
    """Return the size of the firmware's area for secrets; None if it is unknown."""
    if "firmware" not in evidence.files:
        return None
    from ..launch.inputs import load_ovmf

    area = load_ovmf(evidence.files["firmware"], "--firmware").secret_area
    return area[1] if area is not None else None


def _answer(words: str) -> None:
    """Print a line of the verdict. Without a standard output the status is enough, as in libvirt's tool."""
    if output_is_closed():
        say(f"NOTE: standard output is closed: {words}", to=sys.stderr)
    else:
        say(words)


def _say(verdict: Verdict) -> None:
    if verdict.agrees:
        _answer(verdict.words)
    else:
        say(
            BAD,
            f"  reported  {_hidden(verdict.evidence, verdict.reported.hex())}",
            f"  computed  {verdict.computed.hex()}",
            "  At least one input differs from what the host's firmware measured.",
            "  To find which: the same options after 'sevlab diagnose'. To see every step: after 'sevlab explain'.",
            to=sys.stderr,
        )
    sys.stdout.flush()  # the verdict first: reading the firmware's code takes a moment
    for line in verdict.remarks:
        say(line, to=sys.stderr)


def _debug(verdict: Verdict, show_keys: bool) -> None:
    """Print every value on the way. The blocks made from the key are as secret as the key."""
    from ..launch.measure import HmacSteps

    evidence = verdict.evidence
    steps = HmacSteps(evidence.message.to_bytes(), evidence.tik)
    values = {
        "firmware digest (SHA-256)": evidence.digest.hex(),
        **{f"message {span.name}": span.raw.hex() for span in evidence.message.spans()},
        "message (56 bytes)": evidence.message.to_bytes().hex(),
        "TIK": evidence.tik.reveal().hex() if show_keys else repr(evidence.tik),
        "TEK": evidence.tek.reveal().hex() if evidence.tek and show_keys else repr(evidence.tek),
        "HMAC inner hash": steps.inner.hex(),
        "computed measure": verdict.computed.hex(),
        "reported measure": verdict.reported.hex(),
        "reported mnonce": evidence.measurement.mnonce.hex(),
    }
    for name, value in values.items():
        shown = value if show_keys else _hidden(evidence, value)
        say(f"[DEBUG]: {name}: {shown}", to=sys.stderr)


def _hidden(evidence: Evidence, text: str) -> str:
    """Return *text* without the keys, in case a key file was given as what the host reported."""
    for key in (evidence.tik, evidence.tek):
        text = text if key is None else key.hide_in(text)
    return text
