"""``sevlab coverage``: what of a configuration does the measurement cover?"""

from __future__ import annotations

from argparse import HelpFormatter

from ..coverage import cover_case, cover_command_line, cover_domain
from . import GOOD, VERBS
from .capture import read_text
from .options import Parser, add_own_case, legacy_case
from .terminal import say_json, show


def run(words: list[str]) -> int:
    """Label a configuration; return the exit status."""
    parser = Parser(
        prog="sevlab coverage",
        description=VERBS["coverage"],
        epilog="'-' reads standard input. Exit status: 0 the configuration was labelled, whatever the labels, 2 usage "
        "or input that cannot be supported, 3 an error in sevlab.",
        formatter_class=lambda prog: HelpFormatter(prog, width=100),
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", metavar="FILE", help="a case file")
    what.add_argument("--xml", metavar="FILE", help="what 'virsh dumpxml DOMAIN' printed")
    what.add_argument("--qemu-cmdline", metavar="FILE", help="QEMU's command line, from a script, a log or ps")
    add_own_case(parser)
    parser.add_argument("--json", action="store_true", help="print the labels as JSON")
    args = parser.parse_args(words)
    if args.case is not None:
        coverage = cover_case(legacy_case(args))
    elif args.xml is not None:
        coverage = cover_domain(read_text(args.xml, "--xml"))
    else:
        coverage = cover_command_line(read_text(args.qemu_cmdline, "--qemu-cmdline"))
    if args.json:
        say_json(coverage.as_dict())
    else:
        show(coverage.explain())
    return GOOD
