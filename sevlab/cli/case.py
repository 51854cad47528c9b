"""``sevlab case``: make, show, verify, pack, unpack or redact a case, in a file or in a bundle that can be sent."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .. import __version__
from ..attestation.certificates import roots_with
from ..cases.bundle import load_bundle, open_case, pack_case, unpack_bundle
from ..cases.case import ABOUT, BY_NAME, COUNT, FILE, FORBID, KEY, MODE, NUMBER, ROWS, Case, Row, hash_file
from ..cases.case_toml import is_bundle, parse_text, record_explanation, write_case
from ..cases.redact import redact_case
from ..cases.verify import case_as_dict, explain_case, verify_case
from ..cases.writing import check_output, stream_beside, temporary_folder
from ..cli import GOOD, NOT_VALIDATED, UNUSABLE
from ..diagnosis.result import EXPLAINED
from ..diagnosis.run import diagnose
from ..errors import InputError, quoted, renaming, shell_word
from ..launch.inputs import KEYS, SKU, as_option, as_peer
from ..launch.keys import SecretBytes
from ..launch.reading import check_standard_input
from ..launch.values import KEY_SIZE, load_key, parse_number
from ..launch.verify import MATCH
from ..launch.verify import UNUSABLE as UNUSABLE_CASE
from ..launch.vmm import parse_cpu_model
from ..layout.views import Paragraph
from .diagnose import LONGEST
from .options import (
    INPUT_OPTIONS,
    Parser,
    add_actions,
    add_case,
    add_inputs,
    add_json,
    add_own_case,
    parse_seconds,
    phrase,
    readers,
    tell_trust,
    verb_parser,
)
from .report import add_trust_root
from .terminal import columns, say, say_json, show, tell

if TYPE_CHECKING:
    from ..cases.case import Value


#: Every action, and what it does.
ACTIONS = {
    "new": "make a case of inputs, with where they come from",
    "show": "print everything in a case, without verifying it",
    "verify": "check every hash, then the measurement or report, then the explanation in the case",
    "pack": "put a case and its files into one bundle, without its keys",
    "unpack": "take a bundle apart into a new folder",
    "redact": "make a bundle without firmware, kernel and initrd that can still be diagnosed",
}
#: What a bundle's file name ends in.
SUFFIX = ".sevcase"
_SECTIONS = {
    "reported": "what the host reports",
    "owner": "what was loaded, and keys",
    "launch": "what was loaded (SEV-SNP)",
    "snp": "a report, and what is required of it",
}


def run(words: list[str]) -> int:
    notes = "CASE is a case file, a folder with a case.toml, or a .sevcase bundle. Nothing in a bundle is run."
    parser = verb_parser("case", "0 done, or the case validates, 1 it does not, or is not decided", notes)
    actions = add_actions(parser, ACTIONS)
    _add_new(actions["new"])
    for name, action in actions.items():
        if name != "new":
            action.add_argument("case", metavar="CASE", help="the case")
            add_own_case(action)
    verify = actions["verify"]
    verify.repeated = "refuse"
    add_inputs(verify.add_argument_group("keys, if the case has none"), *KEYS)
    verify.add_argument("--at", metavar="DATE", help="when certificates must be valid, UTC (default: now)")
    add_trust_root(verify)
    add_json(actions["show"])
    add_json(verify, verbose=True)
    for name in ("pack", "redact"):
        actions[name].add_argument("--out", "-o", metavar="FILE", required=True, help="the bundle to write")
        actions[name].add_argument("--with-keys", action="store_true", help="put key files in, too: think twice")
        actions[name].add_argument("--force", action="store_true", help="replace the bundle if it exists")
    what = "keep only the launch digest of everything that was loaded"
    actions["redact"].add_argument("--digest-only", action="store_true", help=what)
    actions["unpack"].add_argument("folder", metavar="FOLDER", help="the folder to make")
    args = parser.parse_args(words)
    run = {"new": _new, "show": _show, "verify": _verify, "pack": _pack, "unpack": _unpack, "redact": _redact}
    return run[args.action](args)


def _show(args: Namespace) -> int:
    bundle = load_bundle(args.case, "CASE") if is_bundle(args.case) else None
    with nullcontext(bundle.case) if bundle else open_case(args.case, "CASE", args.own_case) as case:
        version, blobs = (bundle.manifest.version, bundle.manifest.blobs) if bundle else (0, None)
        if args.json:
            say_json({"bundle": {"version": version, "blobs": blobs} if bundle else None, **case_as_dict(case)})
            return GOOD
        if bundle:
            keys = f"keys among them: {', '.join(bundle.keys)}" if bundle.keys else "no keys among them"
            say(f"A bundle of version {version} with {_count(bundle.manifest.blobs)}, {keys}. Every hash is right.", "")
        show(explain_case(case, blobs))
    return GOOD


def _count(files: Collection[str]) -> str:
    return f"{len(files)} {'file' if len(files) == 1 else 'files'}"


def _verify(args: Namespace) -> int:
    keys = {name: getattr(args, name) for name in KEYS}
    check_standard_input([("CASE", args.case), *readers(args, *KEYS)])
    with open_case(args.case, "CASE", args.own_case) as case:
        # Keys and the moment are options here; everything else is in the case.
        with renaming(lambda name: as_option(name) if name in (*KEYS, "at") else name.replace("_", "-")):
            verdict = verify_case(case, roots=roots_with(args.trust_root, "--trust-root"), at=args.at, **keys)
        tell(verdict, args)
        if args.json or not columns():  # a terminal has it in the answer
            tell_trust(verdict.trust, args.case)
        return {MATCH: GOOD, UNUSABLE_CASE: UNUSABLE}.get(verdict.status, NOT_VALIDATED)


def _redact(args: Namespace) -> int:
    with open_case(args.case, "CASE", args.own_case) as case, temporary_folder() as folder:
        redacted = redact_case(case, folder, digest_only=args.digest_only)
        _write(redacted, args)
    for name, words in redacted.origin.items():
        # What the case said before it was redacted is its sender's, however it begins.
        if words.startswith("redacted: ") and words != case.origin.get(name):
            told = Paragraph(f"{name.replace('_', '-')}: {words.removeprefix('redacted: ')}")
            show(told, to=stream_beside(args.out))
    return GOOD


def _pack(args: Namespace) -> int:
    with open_case(args.case, "CASE", args.own_case) as case:
        _write(case, args)
    return GOOD


def _write(case: Case, args: Namespace) -> None:
    """Write a bundle; print what was written, and that keys are in it."""
    bundle = pack_case(case, args.out, with_keys=args.with_keys, force=args.force, name="--out")
    stream = stream_beside(bundle.path)
    say(f"Wrote {shell_word(bundle.path)}, with {_count(bundle.manifest.blobs)}.", to=stream)
    if bundle.keys:
        words = f"it has keys in it ({', '.join(bundle.keys)}): whoever has it can forge such measurements."
        say(f"WARNING: {words}", to=stream)


def _unpack(args: Namespace) -> int:
    unpack_bundle(args.case, args.folder, "CASE", args.own_case)
    where = shell_word(args.folder)
    say(f"Unpacked {shell_word(args.case)} into {where}.")
    say(f"Next: sevlab case verify {where}", whole=True)
    return GOOD


def _add_new(parser: Parser) -> None:
    """Add an option for everything a case can hold: its key, and what sev-snp-measure calls it."""
    groups = {section: parser.add_argument_group(title) for section, title in _SECTIONS.items()}
    for row in ROWS:
        group, what = groups[row.section], phrase(row.doc)
        if row.name in INPUT_OPTIONS:
            add_inputs(group, row.name, spellings=(as_option, as_peer))
        elif row.kind == FORBID:
            group.add_argument("--" + row.key, dest=row.name, action="store_const", const=True, help=what)
        else:
            metavar = {NUMBER: "N", FILE: "FILE", MODE: "MODE"}.get(row.kind, "VALUE")
            group.add_argument("--" + row.key, dest=row.name, metavar=metavar, help=what)
    add_inputs(groups["launch"], "vcpu_type")
    about = parser.add_argument_group("where it comes from")
    for row in ABOUT:
        if row.name != "written_by":
            about.add_argument("--" + row.key, dest=f"about_{row.name}", metavar="TEXT", help=phrase(row.doc))
    add_case(about, "a case to begin with; options given beside it win", "CASE")
    why = parser.add_argument_group("its explanation")
    why.add_argument("--diagnose", action="store_true", help="search for an explanation, and record it")
    why.add_argument("--candidates", metavar="DIR", help="a folder of firmware, kernels and initrds to try")
    why.add_argument("--budget", metavar="SECONDS", default="60", help="how long (default: %(default)s)")
    what = "an input that was found; without VALUE: none"
    why.add_argument("--found", "-F", metavar="KEY=VALUE", action="append", default=[], help=what)
    out = parser.add_argument_group("what comes out")
    what = f"a bundle if its name ends in {SUFFIX}, else a case file"
    out.add_argument("--out", "-o", metavar="FILE", required=True, help=what)
    out.add_argument("--with-keys", action="store_true", help="put key files into the bundle, too: think twice")
    out.add_argument("--force", action="store_true", help="replace the file if it exists")


def _new(args: Namespace) -> int:
    if args.with_keys and not args.out.endswith(SUFFIX):
        raise InputError("--with-keys", "it with a case file", f"--out with a name that ends in {SUFFIX}")
    check_standard_input([("--case", args.case), *(("--" + row.key, getattr(args, row.name)) for row in ROWS)])
    check_output(args.out, "--out", force=args.force)
    base = nullcontext(Case({}, own=True)) if args.case is None else open_case(args.case, "--case", args.own_case)
    with base as case:
        case = _with_about(args, _with_found(args.found, _with_inputs(args, case)))
        if not case.inputs:
            raise InputError("usage", "no input", "at least one input of a launch", "sevlab case new --help")
        if args.diagnose:
            budget = parse_seconds(args.budget, "--budget", LONGEST)
            diagnosis = diagnose(case, candidates=args.candidates, budget=budget)
            show(diagnosis.explain())
            say("", diagnosis.effort, "")
            if diagnosis.status == EXPLAINED:
                case = record_explanation(case, diagnosis.explanations[0])
        if args.out.endswith(SUFFIX):
            _write(case, args)
        else:
            write_case(case, args.out, args.force, "--out")
            say(f"Wrote {shell_word(args.out)}.", to=stream_beside(args.out))
            if any(isinstance(value, SecretBytes) for value in case.inputs.values()):
                words = "the keys in the bundle are not in it: sevlab case unpack makes files that a case can name."
                say(f"WARNING: {words}", to=stream_beside(args.out))
    say(f"Next: sevlab case verify {shell_word(args.out)}", to=stream_beside(args.out), whole=True)
    return GOOD


def _with_inputs(args: Namespace, base: Case) -> Case:
    given = {row.name: _read(row, getattr(args, row.name), "--" + row.key) for row in ROWS}
    if args.vcpu_type is not None:
        if others := [name for name in ("cpu_signature", *SKU) if given[name] is not None]:
            raise InputError("--vcpu-type", f"together with --{others[0].replace('_', '-')}", "one of the two")
        given["cpu_signature"] = parse_cpu_model(args.vcpu_type, "--vcpu-type").signature
    inputs, _ = base.merged(given, tuple(_SECTIONS))
    hashes = {name: base.hashes[name] for name in inputs if name in base.hashes and given[name] is None}
    hashes |= _hashes({name: value for name, value in given.items() if value is not None}, "--")
    origin = {name: words for name, words in base.origin.items() if name in inputs and given[name] is None}
    return base.replace(inputs=inputs, hashes=hashes, origin=origin)


def _with_found(texts: Sequence[str], case: Case) -> Case:
    found, found_hashes = dict(case.found), dict(case.found_hashes)
    named: set[str] = set()
    for text in texts:
        key, equals, value = text.partition("=")
        row = next((row for row in ROWS if row.key == key and row.kind not in (KEY, FORBID)), None)
        if row is None or not equals:
            raise InputError("--found", quoted(text), "KEY=VALUE with the key of an input that is no key file")
        if row.name in named:
            raise InputError("--found", f"{key} twice", "every key once")
        named.add(row.name)
        found[row.name] = _read(row, value or None, f"--found {key}")
        found_hashes.pop(row.name, None)
        found_hashes |= _hashes({row.name: found[row.name]} if value else {}, "--found ")
    return case.replace(found=found, found_hashes=found_hashes)


def _hashes(given: dict[str, Value | None], prefix: str) -> dict[str, str]:
    files = {name: BY_NAME[name] for name in given if BY_NAME[name].kind == FILE}
    return {name: hash_file(str(given[name]), prefix + row.key, row.limit) for name, row in files.items()}


def _with_about(args: Namespace, case: Case) -> Case:
    given = {row.name: getattr(args, f"about_{row.name}", None) for row in ABOUT}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"when": now} | case.about | {name: words for name, words in given.items() if words is not None}
    return case.replace(about=about | {"written_by": f"sevlab {__version__}"})


def _read(row: Row, text: str | None, name: str) -> Value | None:
    if text is None or row.kind == FORBID:
        return text
    if row.kind in (NUMBER, COUNT):
        return parse_number(text, name, row.limit)
    if row.kind == KEY:
        load_key(text, name, (1 + (row.key == "tk")) * KEY_SIZE)  # only to check its size
    return parse_text(row, text, name)
