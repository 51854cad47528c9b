"""``sevlab case``: make, show, verify, pack, unpack or redact a case, in a file or in a bundle that can be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bundle import load_bundle, open_case, pack_case, redact_case, unpack_bundle, verify_case
from ..bundle.show import case_as_dict, explain_case
from ..case import is_bundle
from ..errors import renaming, shell_word
from ..evidence import KEYS, as_option
from ..inputs import check_standard_input
from ..layout.views import Paragraph
from ..leftovers import temporary_folder
from ..outcome import MATCH
from ..outcome import UNUSABLE as UNUSABLE_CASE
from ..writing import stream_beside
from . import GOOD, NOT_VALIDATED, UNUSABLE, VERBS
from .options import Parser, add_own_case, tell_trust
from .report import read_roots
from .terminal import say, say_json, show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

    from ..bundle import Bundle
    from ..case import Case

EPILOG = (
    "CASE is a case file, a folder that has a case.toml, or a .sevcase bundle. Exit status: 0 done, or the case "
    "validates, 1 it does not or is not decided, 2 usage or input that cannot be supported, 3 an error in sevlab. "
    "Nothing in a bundle is run. docs/case-format.md tells the rest."
)
#: Every action, and what it does.
ACTIONS = {
    "new": "make a case of inputs, with where they come from",
    "show": "tell everything that is in a case, and judge nothing",
    "verify": "check every hash, then the measurement or report, then the explanation in the case",
    "pack": "put a case and its files into one bundle, without its keys",
    "unpack": "take a bundle apart into a new folder",
    "redact": "make a bundle without firmware, kernel and initrd that can still be diagnosed",
}


def run(words: list[str]) -> int:
    """Do what is asked with a case; return the exit status."""
    parser = Parser(prog="sevlab case", description=VERBS["case"], epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="|".join(ACTIONS), required=True)
    made = {}
    for name, what in ACTIONS.items():
        made[name] = actions.add_parser(name, help=what, description=what, epilog=EPILOG)
        if name != "new":
            made[name].add_argument("case", metavar="CASE", help="the case")
            add_own_case(made[name])
    from .newcase import add_new, new

    add_new(made["new"])
    made["show"].add_argument("--json", action="store_true", help="print it as JSON")
    _add_verify(made["verify"])
    for name in ("pack", "redact"):
        made[name].add_argument("--out", "-o", metavar="FILE", required=True, help="the bundle to write")
        made[name].add_argument("--with-keys", action="store_true", help="put key files in, too: think twice")
        made[name].add_argument("--force", action="store_true", help="replace the bundle if it exists")
    made["redact"].add_argument(
        "--digest-only", action="store_true", help="of everything that was loaded keep the launch digest alone"
    )
    made["unpack"].add_argument("folder", metavar="FOLDER", help="the folder to make")
    args = parser.parse_args(words)
    actions_by_name = {"new": new, "show": _show, "verify": _verify}
    actions_by_name |= {"pack": _pack, "unpack": _unpack, "redact": _redact}
    return actions_by_name[args.action](args)


def _add_verify(verify: Parser) -> None:
    verify.repeated = "refuse"
    verify.add_argument("--tik", metavar="FILE", help="transport integrity key, where the case comes without keys")
    verify.add_argument("--tek", metavar="FILE", help="transport encryption key")
    verify.add_argument("--tk", metavar="FILE", help="both keys in one file: TEK, then TIK")
    verify.add_argument("--at", metavar="DATE", help="when certificates must be valid, UTC (default: now)")
    verify.add_argument(
        "--trust-root", metavar="FILE", action="append", default=[], help="an ARK to trust beside AMD's; repeatable"
    )
    verify.add_argument("--json", action="store_true", help="print the result as JSON")


def _show(args: argparse.Namespace) -> int:
    if not is_bundle(args.case):
        with open_case(args.case, "CASE", args.own_case) as case:
            data = {"bundle": None, **case_as_dict(case)}
            if args.json:
                say_json(data)
            else:
                show(explain_case(case))
        return GOOD
    bundle = load_bundle(args.case, "CASE")
    version, blobs = bundle.manifest.version, bundle.manifest.blobs
    if args.json:
        say_json({"bundle": {"version": version, "blobs": blobs}, **case_as_dict(bundle.case)})
        return GOOD
    keys = f"keys among them: {', '.join(bundle.keys)}" if bundle.keys else "no keys among them"
    say(f"A bundle of version {version} with {_count(blobs)}, {keys}. Every hash is right.", "")
    show(explain_case(bundle.case, blobs))
    return GOOD


def _count(files: Collection[str]) -> str:
    return f"{len(files)} {'file' if len(files) == 1 else 'files'}"


def _verify(args: argparse.Namespace) -> int:
    keys = {name: getattr(args, name) for name in KEYS}
    check_standard_input([("CASE", args.case), *((as_option(name), path) for name, path in keys.items())])
    with open_case(args.case, "CASE", args.own_case) as case:
        with renaming(_named):
            verdict = verify_case(case, roots=read_roots(args.trust_root), at=args.at, **keys)
        if args.json:
            say_json(verdict.as_dict())
        else:
            show(verdict.explain())
        tell_trust(verdict.trust, args.case)
        return {MATCH: GOOD, UNUSABLE_CASE: UNUSABLE}.get(verdict.status, NOT_VALIDATED)


def _named(name: str) -> str:
    """Return what an input is called: keys and the moment are options here, all else is in the case."""
    return as_option(name) if name in (*KEYS, "at") else name.replace("_", "-")


def _pack(args: argparse.Namespace) -> int:
    with open_case(args.case, "CASE", args.own_case) as case:
        _write(case, args)
    return GOOD


def _redact(args: argparse.Namespace) -> int:
    with open_case(args.case, "CASE", args.own_case) as case, temporary_folder() as folder:
        redacted = redact_case(case, folder, digest_only=args.digest_only)
        _write(redacted, args)
    for name, words in redacted.origin.items():
        # What the case said before it was redacted is its sender's, however it begins.
        if words.startswith("redacted: ") and words != case.origin.get(name):
            told = Paragraph(f"{name.replace('_', '-')}: {words.removeprefix('redacted: ')}")
            show(told, to=stream_beside(args.out))
    return GOOD


def _write(case: Case, args: argparse.Namespace) -> None:
    tell(pack_case(case, args.out, with_keys=args.with_keys, force=args.force, name="--out"))


def tell(bundle: Bundle) -> None:
    """Say what was written, and that keys are in it."""
    stream = stream_beside(bundle.path)
    say(f"Wrote {shell_word(bundle.path)}, with {_count(bundle.manifest.blobs)}.", to=stream)
    if bundle.keys:
        words = f"it has keys in it ({', '.join(bundle.keys)}): whoever has it can forge such measurements."
        say(f"WARNING: {words}", to=stream)


def _unpack(args: argparse.Namespace) -> int:
    unpack_bundle(args.case, args.folder, "CASE", args.own_case)
    where = shell_word(args.folder)
    say(f"Unpacked {shell_word(args.case)} into {where}. Next: sevlab case verify {where}")
    return GOOD
