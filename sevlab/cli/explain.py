"""``sevlab explain``: every byte and every step of a measurement."""

from __future__ import annotations

from ..cli import GOOD, NOT_VALIDATED
from ..errors import renaming
from ..launch.evidence import load_evidence
from ..launch.explain import walk, walk_as_dict
from ..launch.inputs import as_option
from ..launch.verify import compare_measure
from ..layout.views import Paragraph, View
from .options import add_show_keys, inputs_from, launch_parser, registers_read, trust_from
from .terminal import ADVISE, tell_either


def run(words: list[str]) -> int:
    parser, shown = launch_parser("explain", "0 validated, 1 did not validate or not decided")
    add_show_keys(shown)
    shown.add_argument("--html", metavar="FILE", help="write HTML to FILE, too ('-': print only the HTML)")
    shown.add_argument("--force", action="store_true", help="let --html replace a file")
    args = parser.parse_args(words)
    inputs = registers_read(inputs_from(args))
    with renaming(as_option):
        evidence = load_evidence(trust=trust_from(args), **inputs)
        evidence.refuse_keys()  # all of it is shown, except the keys
    verdict = compare_measure(evidence)
    view = View(walk(verdict, show_keys=args.show_keys), Paragraph(ADVISE))
    if args.html is not None:
        from ..cases.writing import write_text

        write_text(args.html, page(view), "--html", force=args.force)
    if args.html != "-":
        tell_either(args, lambda: walk_as_dict(verdict, show_keys=args.show_keys), lambda: view)
    return GOOD if verdict.matches else NOT_VALIDATED


def page(view: View) -> str:
    """Return a view as a complete HTML page that follows the reader's light or dark theme."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="color-scheme" content="light dark">\n<title>sevlab: a launch measurement explained</title>\n'
        '</head>\n<body style="font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em">\n'
        f"{view.html()}\n</body>\n</html>\n"
    )
