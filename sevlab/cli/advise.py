"""``sevlab advise``: which public vulnerabilities a platform has, and which version or bit cures them."""

from __future__ import annotations

from ..advice import NAMES, advise
from ..data import PRODUCTS
from ..errors import InputError, renaming, shell_word
from ..launch_inputs import as_option
from . import GOOD, NOT_VALIDATED, VERBS
from .options import Parser, add_case
from .terminal import tell, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..advice import Advice

#: Options that a report or a case tells by itself.
NUMBERS = ("api", "build", "policy", "technology")
EPILOG = (
    "Numbers are decimal or 0x hex, '-' reads a report from standard input. Nothing is fetched. Exit status: 0 none is "
    "seen to apply (some may be undecided, as the first line says; --strict counts those too), 1 one applies that is "
    "not accepted, 2 usage or input that cannot be supported, 3 an error in sevlab. docs/advise.md tells the rest."
)


def run(words: list[str]) -> int:
    """Judge every advisory; return the exit status."""
    parser = Parser(prog="sevlab advise", description=VERBS["advise"], epilog=EPILOG)
    parser.repeated = "refuse"
    known = parser.add_argument_group("what is known of the platform")
    known.add_argument("--report", metavar="FILE", help="its attestation report (SEV-SNP)")
    add_case(known, "a case file with a report, or with a launch of SEV or SEV-ES")
    known.add_argument("--api", metavar="M.N", help="in their place: the version of its API, such as 1.55 ...")
    known.add_argument("--build", metavar="N", help="... the build of its firmware ...")
    known.add_argument("--policy", metavar="N", help="... the guest's policy ...")
    known.add_argument("--technology", metavar="NAME", help=f"... and one of {', '.join(NAMES)}, if the policy is open")
    known.add_argument("--product", metavar="NAME", help=f"the processor: {', '.join(PRODUCTS)}")
    parser.add_argument("--accept", metavar="KEY", action="append", default=[], help="an advisory to bear; repeatable")
    parser.add_argument("--strict", action="store_true", help="exit 1 for what cannot be decided, too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(words)
    advice = _advise(args)
    tell(advice, args.json)
    bad = advice.applies or (args.strict and not advice.is_certain)
    return NOT_VALIDATED if bad else GOOD


def _advise(args: argparse.Namespace) -> Advice:
    given = {name: getattr(args, name) for name in NUMBERS}
    numbers = [as_option(name) for name, value in given.items() if value is not None]
    files = [as_option(name) for name in ("report", "case") if getattr(args, name) is not None]
    if len(files) > 1 or (files and numbers):
        raise InputError(files[0], f"together with {[*files[1:], *numbers][0]}", "one source of what is known")
    if not files and not numbers and args.product is None:
        raise InputError("usage", "nothing", "--report, --case, --api, --policy or --product", "sevlab advise --help")
    if args.product == "":
        raise InputError("--product", "nothing", f"one of {', '.join(PRODUCTS)}")
    options = {"product": args.product, "accept": args.accept}
    with renaming(as_option):
        if args.report is not None:
            from ..report import load_report

            return advise(load_report(args.report), **options)
        if args.case is not None:
            from ..bundle import advise_case
            from ..case import read_case

            case = read_case(args.case, "--case", args.own_case)
            for change in case.changed:
                warn(f"{shell_word(args.case)}: {change}")
            return advise_case(case, product=args.product, accept=args.accept)
        return advise(**options, **given)
