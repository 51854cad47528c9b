"""``sevlab verifier-suite``: invalid attestation reports as files, and any verifier run against them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..cli import GOOD, NOT_VALIDATED, VERBS
from ..errors import InputError, quoted, shell_word
from ..labs.verifier_suite.cases import ACCEPTABLE, FLAWS, VALID
from ..labs.verifier_suite.run import PLACEHOLDERS, TABLE, TIMEOUT, run_suite_command, suite_table, write_suite
from ..labs.verifier_suite.vectors import load_cases
from ..launch.values import parse_seconds
from ..layout.views import Heading, Paragraph, Table, View
from .options import Parser
from .terminal import say, say_json, say_over, show

if TYPE_CHECKING:
    import argparse

    from ..labs.verifier_suite.cases import TestCase


EPILOG = (
    "Exit status: 0 good; run: 0 if there were no false accepts or false rejects, else 1; 2 usage or input that cannot "
    "be supported; 3 an error in sevlab. See docs/verifier-suite.md."
)

_NAMES = "Names: " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS) + "."

_LONGEST = 3600.0


def run(words: list[str]) -> int:
    """List, make or run; return the exit status."""
    parser = Parser(prog="sevlab verifier-suite", description=VERBS["verifier-suite"], epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="list|make|run", required=True)
    what = "list the test cases: what each is, and what is wrong with it"
    listing = actions.add_parser("list", help=what, description=what, epilog=EPILOG)
    what = f"write every test case's files and a table of them ({TABLE}) into a new folder"
    make = actions.add_parser("make", help=what, description=what, epilog=EPILOG)
    make.add_argument("folder", metavar="DIR", help="the folder; it must be new, or empty")
    what = "run another program against every test case; it accepts when it ends with status 0"
    epilog = f"{_NAMES} {{{{ and }}}} are plain braces. {EPILOG}"
    trial = actions.add_parser("run", help=what, description=what, epilog=epilog)
    trial.usage = "sevlab verifier-suite run [OPTIONS] -- COMMAND..."
    trial.add_argument("--dir", metavar="DIR", help="a folder that make wrote (default: a temporary one)")
    trial.add_argument("--timeout", metavar="S", help=f"seconds for one test case (default: {TIMEOUT:g})")
    for action in (listing, trial):
        action.add_argument("--only", metavar="KEY,...", help="only these test cases")
        action.add_argument("--skip", metavar="KEY,...", help="all except these")
    for action in (listing, make, trial):
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    own, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = parser.parse_args(own)
    if args.action == "run":
        return _run(args, command)
    if command:
        needed = f"no command after verifier-suite {args.action}"
        raise InputError("usage", quoted(f"-- {command[0]}"), needed, "sevlab verifier-suite run")
    return _list(args) if args.action == "list" else _make(args)


def _list(args: argparse.Namespace) -> int:
    cases = _chosen(args)
    if args.json:
        say_json(suite_table(cases))
        return GOOD
    rows = [[one.key, one.result, one.flaw.key if one.flaw is not None else "-", one.title] for one in cases]
    colours = ["grey" if one.result == ACCEPTABLE else "green" if one.result == VALID else "pink" for one in cases]
    flaws = dict.fromkeys(one.flaw for one in cases if one.flaw is not None)
    view = View(
        Table(["test case", "result", "flaw", "what it is"], rows, colours),
        Paragraph("valid: must be accepted. invalid: must not be. acceptable: correct verifiers may differ."),
        Heading("The flaws that would accept them"),
        Table(["flaw", "what it is"], [[one.key, one.title] for one in flaws]),
    )
    show(view)
    return GOOD


def _make(args: argparse.Namespace) -> int:
    cases = load_cases()
    count = write_suite(args.folder, cases)
    if args.json:
        say_json({"folder": args.folder, "files": count, **suite_table(cases)})
        return GOOD
    results = [case.result for case in cases]
    counts = ", ".join(f"{results.count(result)} {result}" for result in dict.fromkeys(results))
    say(
        f"Wrote {count} files to {shell_word(args.folder)}: {len(cases)} test cases ({counts}), {len(FLAWS)} flaws.",
        f"{TABLE} says what each is.",
    )
    return GOOD


def _run(args: argparse.Namespace, command: list[str]) -> int:
    progress = _progress if sys.stderr.isatty() else None
    timeout = TIMEOUT if args.timeout is None else parse_seconds(args.timeout, "--timeout", _LONGEST)
    results = run_suite_command(command, _chosen(args), folder=args.dir, timeout=timeout, progress=progress)
    if progress is not None:
        say_over("")
    if args.json:
        say_json({"command": command, **results.as_dict()})
    else:
        show(results.explain())
    return GOOD if results.passes else NOT_VALIDATED


def _chosen(args: argparse.Namespace) -> list[TestCase]:
    only, skip = (
        [key.strip() for key in text.split(",")] if text is not None else [] for text in (args.only, args.skip)
    )
    left_out = {case.key for case in load_cases(skip, "--skip")} if skip else set()
    found = [case for case in load_cases(only, "--only") if case.key not in left_out]
    if not found:
        raise InputError("--skip", quoted(args.skip), "at least one test case that is left")
    return found


def _progress(done: int, count: int) -> None:
    say_over(f"{done} of {count}")
