"""``sevlab explain``: every byte and every step, from the reported measurement to the verdict."""

from __future__ import annotations

from argparse import HelpFormatter

from ..cases.coverage import cover_case, cover_command_line, cover_domain
from ..cli import GOOD, NOT_VALIDATED, VERBS
from ..launch.explain import walk, walk_as_dict
from ..launch.verify import compare_measure
from ..layout.views import Paragraph, View
from .capture import read_text
from .options import Parser, add_own_case, evidence_from, launch_parser, legacy_case
from .terminal import ADVISE, say_json, show


def run_explain(words: list[str]) -> int:
    """Explain; return the exit status, which is that of validate."""
    parser = launch_parser("explain", VERBS["explain"])
    parser.shown.add_argument(
        "--html", metavar="FILE", help="write the page as HTML to FILE as well ('-': print only that)"
    )
    parser.shown.add_argument("--force", action="store_true", help="let --html replace a file")
    args = parser.parse_args(words)
    verdict = compare_measure(evidence_from(args))
    view = View(walk(verdict, show_keys=args.show_keys), Paragraph(ADVISE))
    if args.html is not None:
        from ..cases.writing import write_text

        write_text(args.html, page(view), "--html", force=args.force)
    if args.html != "-":
        if args.json:
            say_json(walk_as_dict(verdict, show_keys=args.show_keys))
        else:
            show(view)
    return GOOD if verdict.matches else NOT_VALIDATED


def page(view: View) -> str:
    """Return a view as a complete HTML page that follows the reader's light or dark theme."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="color-scheme" content="light dark">\n<title>sevlab: a launch measurement explained</title>\n'
        '</head>\n<body style="font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em">\n'
        f"{view.html()}\n</body>\n</html>\n"
    )


def run_coverage(words: list[str]) -> int:
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
