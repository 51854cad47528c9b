"""``sevlab validate``: is the reported measurement the one that follows from my inputs?"""

from __future__ import annotations

import sys

from ..errors import InputError
from ..verify import BAD, GOOD, Verdict, compare_measure
from . import GOOD as EXIT_GOOD
from . import NOT_VALIDATED, VERBS
from .options import evidence_from, launch_parser


def run(words: list[str]) -> int:
    """Validate; return the exit status."""
    parser = launch_parser("validate", f"{VERBS['validate'].capitalize()}.")
    parser.shown.add_argument(
        "--debug", "-d", action="store_true", help="show every value on the way, on standard error"
    )
    parser.shown.add_argument("--quiet", "-q", action="store_true", help="print no verdict; the exit status tells it")
    args = parser.parse_args(words)
    if args.show_keys and not args.debug:
        raise InputError("--show-keys", "without --debug", "--debug, which it adds the keys to")
    verdict = compare_measure(evidence_from(args))
    if args.debug:
        _debug(verdict, args.show_keys)
    if args.json:
        import json

        print(json.dumps(verdict.as_dict(), indent=2))
    elif not args.quiet:
        _say(verdict)
    return EXIT_GOOD if verdict.matches else NOT_VALIDATED


def _say(verdict: Verdict) -> None:
    if verdict.matches:
        print(GOOD)
    else:
        print(BAD, file=sys.stderr)
        print(f"  reported measure  {verdict.reported.hex()}", file=sys.stderr)
        print(f"  computed measure  {verdict.computed.hex()}", file=sys.stderr)
        print("  At least one input differs from what the host's firmware measured.", file=sys.stderr)
        print("  To see every step: the same options after 'sevlab explain'.", file=sys.stderr)
    for warning in verdict.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)


def _debug(verdict: Verdict, show_keys: bool) -> None:
    """Print every value on the way. The blocks made from the key are as secret as the key."""
    from ..measure import HmacSteps

    evidence = verdict.evidence
    steps = HmacSteps(evidence.message, evidence.tik)
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
        print(f"[DEBUG]: {name}: {value}", file=sys.stderr)
