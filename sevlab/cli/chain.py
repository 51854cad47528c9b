"""``sevlab chain``: is this platform genuine, and whose is it? Every link of its certificates, with its verdict."""

from __future__ import annotations

from ..chain import load_chain
from ..inputs import check_standard_input
from . import GOOD, NOT_VALIDATED, VERBS
from .options import Parser
from .terminal import tell

EPILOG = (
    "'-' reads a file from standard input. Exit status: 0 good, 1 a link does not hold or could not be checked, 2 "
    "usage or input that cannot be supported, 3 an error in sevlab. docs/chain.md tells the rest."
)


def run(words: list[str]) -> int:
    """Show or verify; return the exit status."""
    parser = Parser(prog="sevlab chain", description=VERBS["chain"], epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="show|verify", required=True)
    for name, what in (("show", "show every certificate field by field"), ("verify", "check every link")):
        action = actions.add_parser(name, help=what, description=what, epilog=EPILOG)
        action.add_argument("files", metavar="FILE", nargs="+", help="certificates, one or several in each file")
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(words)
    check_standard_input(("FILE", path) for path in args.files)
    chain = load_chain(*args.files, name="FILE")
    if args.action == "show":
        tell(chain, args.json)
        return GOOD
    verdict = chain.verify()
    tell(verdict, args.json)
    return GOOD if verdict.matches else NOT_VALIDATED
