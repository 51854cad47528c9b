"""``sevlab verifier-suite``: invalid attestation reports as files, and any verifier run against them."""

from __future__ import annotations

import sys
from argparse import Namespace

from ..cli import GOOD, NOT_VALIDATED
from ..errors import InputError, quoted, shell_word
from ..labs.verifier_suite.cases import ACCEPTABLE, FLAWS, VALID, TestCase
from ..labs.verifier_suite.run import PLACEHOLDERS, TABLE, TIMEOUT, run_suite_command, suite_table, write_suite
from ..labs.verifier_suite.vectors import load_cases
from ..layout.views import Heading, Paragraph, Table, View
from .options import add_actions, add_json, parse_seconds, split_command, verb_parser
from .terminal import is_plain, say, say_json, say_over, tell_either

#: Every action, and what it does.
ACTIONS = {
    "list": "list the test cases: what each is, and what is wrong with it",
    "make": f"write every test case's files and a table of them ({TABLE}) into a new folder",
    "run": "run another program against every test case; it accepts a case by ending with status 0",
}
_NAMES = "Names: " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS) + "."
_LONGEST = 3600.0


def run(words: list[str]) -> int:
    parser = verb_parser("verifier-suite", "0 good, 1 run: a false accept or a false reject")
    actions = add_actions(parser, ACTIONS)
    listing, make, trial = actions["list"], actions["make"], actions["run"]
    make.add_argument("folder", metavar="DIR", help="the folder; it must be new, or empty")
    trial.usage = "sevlab verifier-suite run [OPTIONS] -- COMMAND..."
    trial.epilog = f"{_NAMES} {{{{ and }}}} are plain braces. {parser.epilog}"
    trial.add_argument("--dir", metavar="DIR", help="a folder that make wrote (default: a temporary one)")
    trial.add_argument("--timeout", metavar="S", help=f"seconds for one test case (default: {TIMEOUT:g})")
    for action in (listing, trial):
        action.add_argument("--only", metavar="KEY,...", help="only these test cases")
        action.add_argument("--skip", metavar="KEY,...", help="all except these")
    add_json(listing, make, trial)
    own, command = split_command(words)
    args = parser.parse_args(own)
    if args.action == "run":
        return _run(args, command)
    if command:
        needed = f"no command after verifier-suite {args.action}"
        raise InputError("usage", quoted(f"-- {command[0]}"), needed, "sevlab verifier-suite run")
    return _list(args) if args.action == "list" else _make(args)


def _list(args: Namespace) -> int:
    cases = _chosen(args)
    rows = [[one.key, one.result, one.flaw.key if one.flaw is not None else "-", one.title] for one in cases]
    colours = ["grey" if one.result == ACCEPTABLE else "green" if one.result == VALID else "pink" for one in cases]
    flaws = dict.fromkeys(one.flaw for one in cases if one.flaw is not None)
    view = View(
        Table(["test case", "result", "flaw", "what it is"], rows, colours),
        Paragraph("valid: must be accepted. invalid: must not be. acceptable: correct verifiers may differ."),
        Heading("The flaws that would accept them"),
        Table(["flaw", "what it is"], [[one.key, one.title] for one in flaws]),
    )
    tell_either(args, lambda: suite_table(cases), lambda: view)
    return GOOD


def _make(args: Namespace) -> int:
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


def _run(args: Namespace, command: list[str]) -> int:
    progress = (lambda done, count: say_over(f"{done} of {count}")) if not is_plain(sys.stderr) else None
    timeout = TIMEOUT if args.timeout is None else parse_seconds(args.timeout, "--timeout", _LONGEST)
    results = run_suite_command(command, _chosen(args), folder=args.dir, timeout=timeout, progress=progress)
    if progress is not None:
        say_over("")
    tell_either(args, lambda: {"command": command, **results.as_dict()}, results.explain)
    return GOOD if results.passes else NOT_VALIDATED


def _chosen(args: Namespace) -> list[TestCase]:
    only, skip = (
        [key.strip() for key in text.split(",")] if text is not None else [] for text in (args.only, args.skip)
    )
    left_out = {case.key for case in load_cases(skip, "--skip")} if skip else set()
    found = [case for case in load_cases(only, "--only") if case.key not in left_out]
    if not found:
        raise InputError("--skip", quoted(args.skip), "at least one test case that is left")
    return found
