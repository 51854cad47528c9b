"""``sevlab explain`` and ``coverage``: every byte and every step of a measurement, and what it does not cover."""

from __future__ import annotations

from ..cases.coverage import cover_case, cover_command_line, cover_domain
from ..cli import GOOD, NOT_VALIDATED
from ..launch.explain import walk, walk_as_dict
from ..launch.verify import compare_measure
from ..layout.views import Paragraph, View
from .capture import read_text
from .options import (
    STDIN,
    add_json,
    add_own_case,
    add_show_keys,
    evidence_from,
    launch_parser,
    legacy_case,
    verb_parser,
)
from .terminal import ADVISE, say_json, show, tell


def run_explain(words: list[str]) -> int:
    parser, shown = launch_parser("explain", "0 validated, 1 did not validate or not decided")
    add_show_keys(shown)
    shown.add_argument("--html", metavar="FILE", help="write HTML to FILE, too ('-': print only the HTML)")
    shown.add_argument("--force", action="store_true", help="let --html replace a file")
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
    parser = verb_parser("coverage", "0 the configuration was labelled, whatever the labels", STDIN)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", metavar="FILE", help="a case file")
    what.add_argument("--xml", metavar="FILE", help="what 'virsh dumpxml DOMAIN' printed")
    what.add_argument("--qemu-cmdline", metavar="FILE", help="QEMU's command line, from a script, a log or ps")
    add_own_case(parser)
    add_json(parser)
    args = parser.parse_args(words)
    if args.case is not None:
        coverage = cover_case(legacy_case(args))
    elif args.xml is not None:
        coverage = cover_domain(read_text(args.xml, "--xml"))
    else:
        coverage = cover_command_line(read_text(args.qemu_cmdline, "--qemu-cmdline"))
    tell(coverage, args.json)
    return GOOD
