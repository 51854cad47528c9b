"""``sevlab zoo``: reports that a careless verifier lets through, as files, and any verifier tried on them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..errors import InputError, quoted, shell_word
from ..inputs import parse_seconds
from ..layout.views import Heading, Paragraph, Table, View
from ..zoo import LAPSES, run_zoo_command, zoo, zoo_table
from ..zoo.command import TIMEOUT
from ..zoo.files import PLACEHOLDERS, TABLE, write_zoo
from . import GOOD, NOT_VALIDATED, VERBS
from .options import Parser
from .terminal import say, say_json, say_over, show

if TYPE_CHECKING:
    import argparse

    from ..zoo import Animal

EPILOG = (
    "Exit status: 0 done, and of run: nothing bad was accepted and all that is genuine was; 1 of run: otherwise; 2 "
    "usage or input that cannot be supported; 3 an error in sevlab. docs/zoo.md tells the rest."
)
_NAMES = "Names: " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS) + "."
_LONGEST = 3600.0


def run(words: list[str]) -> int:
    """List, make or run; return the exit status."""
    parser = Parser(prog="sevlab zoo", description=VERBS["zoo"], epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="list|make|run", required=True)
    what = "list the animals: what each is, and what is wrong with it"
    listing = actions.add_parser("list", help=what, description=what, epilog=EPILOG)
    what = "write every animal's files and the truth about it (zoo.json) into a new folder"
    make = actions.add_parser("make", help=what, description=what, epilog=EPILOG)
    make.add_argument("folder", metavar="DIR", help="the folder; it must be new, or empty")
    what = "run another program on every animal; it accepts when it ends with status 0"
    epilog = f"{_NAMES} {{{{ and }}}} are plain braces. {EPILOG}"
    trial = actions.add_parser("run", help=what, description=what, epilog=epilog)
    trial.usage = "sevlab zoo run [OPTIONS] -- COMMAND..."
    trial.add_argument("--dir", metavar="DIR", help="a folder that zoo make wrote (default: a temporary one)")
    trial.add_argument("--timeout", metavar="S", help=f"seconds for one animal (default: {TIMEOUT:g})")
    for action in (listing, trial):
        action.add_argument("--only", metavar="KEY,...", help="these animals alone")
        action.add_argument("--skip", metavar="KEY,...", help="all but these")
    for action in (listing, make, trial):
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    own, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = parser.parse_args(own)
    if command and args.action != "run":
        raise InputError("usage", quoted(f"-- {command[0]}"), f"no command behind zoo {args.action}", "sevlab zoo run")
    return {"list": _list, "make": _make}[args.action](args) if args.action != "run" else _run(args, command)


def _list(args: argparse.Namespace) -> int:
    table = zoo_table(_chosen(args))
    if args.json:
        say_json(table)
        return GOOD
    animals = _chosen(args)
    checks = [animal.lapse for animal in animals if animal.lapse is not None]
    rows = [[a.key, a.kind, a.lapse.key if a.lapse is not None else "-", a.title] for a in animals]
    colours = ["grey" if a.accept is None else "green" if a.accept else "pink" for a in animals]
    view = View(
        Table(["animal", "truth", "careless check", "what it is"], rows, colours),
        Paragraph("control: must be accepted. bad: must not be. open: right verifiers may differ."),
        Heading("The careless checks that would let them through"),
        Table(["careless check", "what it is"], [[one.key, one.title] for one in dict.fromkeys(checks)]),
    )
    show(view)
    return GOOD


def _make(args: argparse.Namespace) -> int:
    animals = zoo()
    count = write_zoo(args.folder, animals)
    if args.json:
        say_json({"folder": args.folder, "files": count, **zoo_table(animals)})
        return GOOD
    kinds = [animal.kind for animal in animals]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    say(
        f"Wrote {count} files to {shell_word(args.folder)}: "
        f"{len(animals)} animals ({told}), {len(LAPSES)} careless checks.",
        f"{TABLE} holds the truth about each.",
    )
    return GOOD


def _run(args: argparse.Namespace, command: list[str]) -> int:
    progress = _progress if sys.stderr.isatty() else None
    timeout = TIMEOUT if args.timeout is None else parse_seconds(args.timeout, "--timeout", _LONGEST)
    trial = run_zoo_command(command, _chosen(args), folder=args.dir, timeout=timeout, progress=progress)
    if progress is not None:
        say_over("")
    if args.json:
        say_json({"command": command, **trial.as_dict()})
    else:
        show(trial.explain())
    return GOOD if trial.passes else NOT_VALIDATED


def _chosen(args: argparse.Namespace) -> list[Animal]:
    only, skip = (
        [key.strip() for key in text.split(",")] if (text := getattr(args, name)) is not None else []
        for name in ("only", "skip")
    )
    left_out = {animal.key for animal in zoo(skip, "--skip")} if skip else set()
    found = [animal for animal in zoo(only, "--only") if animal.key not in left_out]
    if not found:
        raise InputError("--skip", quoted(args.skip), "at least one animal that is left")
    return found


def _progress(done: int, count: int) -> None:
    say_over(f"{done} of {count}")
