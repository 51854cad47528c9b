"""``sevlab diagnose``: it does not match; which input explains the report?"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import InputError
from ..evidence import as_option
from ..inputs import parse_number
from ..search import BUDGET, diagnose
from ..search.diagnosis import MATCH
from . import GOOD, NOT_VALIDATED, VERBS
from .options import inputs_from, launch_parser
from .terminal import painter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..search import Progress

#: Longest budget, in seconds: a day.
_LONGEST = 86400.0
_MOST_JOBS = 1024
EPILOG = (
    "Numbers are decimal or 0x hex. '-' reads a key file from standard input. Exit status: 0 nothing to explain, "
    "1 explained or not, 2 usage or input that cannot be used, 3 an error in sevlab. What is tried is told in "
    "docs/diagnose.md of the repository."
)


def run(words: list[str]) -> int:
    """Search; return 0 when there was nothing to explain, else 1."""
    parser = launch_parser("diagnose", f"{VERBS['diagnose'].capitalize()}. Takes the options of validate.", keys=False)
    parser.epilog = EPILOG
    search = parser.add_argument_group("the search")
    search.add_argument("--candidates", metavar="DIR", help="a folder of firmware, kernels and initrds to try")
    search.add_argument("--budget", metavar="SECONDS", default=f"{BUDGET:g}", help="how long (default: %(default)s)")
    search.add_argument(
        "--max-changes", metavar="N", default="3", help="most wrong inputs at once, 1 to 4 (default: 3)"
    )
    search.add_argument("--jobs", metavar="N", help="how many workers (default: one for each core)")
    args = parser.parse_args(words)
    budget = _seconds(args.budget)
    changes = parse_number(args.max_changes, "--max-changes", 4)
    jobs = None if args.jobs is None else parse_number(args.jobs, "--jobs", _MOST_JOBS)
    if jobs == 0:
        raise InputError("--jobs", "0", f"1 to {_MOST_JOBS}")
    with _shown() as progress:
        diagnosis = diagnose(
            inputs_from(args),
            candidates=args.candidates,
            budget=budget,
            max_changes=changes,
            jobs=jobs,
            progress=progress,
            names=as_option,
        )
    if args.json:
        print(json.dumps(diagnosis.as_dict(), indent=2))
    else:
        print(diagnosis.explain().text(painter()))
        print(f"\n{diagnosis.effort}")
    return GOOD if diagnosis.status == MATCH else NOT_VALIDATED


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        raise InputError("--budget", text[:100], f"seconds, more than 0 and at most {_LONGEST:g}")
    return seconds


@contextmanager
def _shown() -> Iterator[Callable[[Progress], object] | None]:
    """Show on standard error how far the search is, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("reading the inputs") as status:
        yield lambda progress: status.update(
            f"tried {progress.tried:,} ({progress.rate:,.0f}/s)  now: {progress.now}", spinner="dots"
        )
