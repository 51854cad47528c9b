"""``sevlab ovmf``: what is this firmware file, and what can it do in a launch?"""

from __future__ import annotations

from ..firmware import load_ovmf
from . import GOOD, NOT_VALIDATED, VERBS
from .options import Parser
from .terminal import say_json, show

EPILOG = (
    "Exit status: 0 a whole OVMF code image with a sound footer table, 1 something else (it says what), 2 a file that "
    "cannot be read, 3 an error in sevlab. Keys of the JSON: docs/ovmf.md."
)


def run(words: list[str]) -> int:
    """Explain a firmware file; return the exit status."""
    what = VERBS["ovmf"]
    parser = Parser(prog="sevlab ovmf", description=what, epilog=EPILOG)
    parser.add_argument(
        "firmware", metavar="FILE", help="the firmware image, such as OVMF.fd; '-' reads standard input"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(words)
    ovmf = load_ovmf(args.firmware, "FILE")
    if args.json:
        say_json(ovmf.as_dict())
    else:
        show(ovmf.explain())
    return GOOD if ovmf.is_usable else NOT_VALIDATED
