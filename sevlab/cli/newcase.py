"""``sevlab case new``: a case made of inputs, with where they come from and, if asked, what explains them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .. import __version__
from ..bundle import open_case, pack_case
from ..case import ABOUT, BY_NAME, MODES, ROWS, Case, Row, hash_file, record_explanation, write_case
from ..case.reader import parse_wanted_text
from ..case.rows import BYTES, COUNT, FILE, FORBID, KEY, MEASUREMENT, MODE, NUMBER, WANTED
from ..errors import InputError, quoted, shell_word
from ..inputs import (
    KEY_SIZE,
    check_standard_input,
    load_key,
    parse_bytes,
    parse_measurement,
    parse_number,
    parse_seconds,
)
from ..keys import Secret
from ..launch import PEER_NAMES, SKU
from ..writing import check_output, stream_beside
from . import GOOD
from .options import add_case, phrase
from .terminal import say, show

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..diagnosis import Diagnosis

#: What a bundle's file name ends in.
SUFFIX = ".sevcase"
_BUDGET = "60"
_SECTIONS = {
    "reported": "what the host reports",
    "owner": "what was loaded, and keys",
    "launch": "what was loaded, for SEV-SNP",
    "snp": "a report, and what was wanted of it",
}
_FOUND = "found"


def add_new(parser: argparse.ArgumentParser) -> None:
    """Add an option for everything a case can hold: its key, and what sev-snp-measure calls it."""
    groups = {section: parser.add_argument_group(title) for section, title in _SECTIONS.items()}
    for row in ROWS:
        spelled = ["--" + row.key]
        if row.name in PEER_NAMES:
            spelled.append("--" + PEER_NAMES[row.name].replace("_", "-"))
        doc = phrase(row.doc)
        if row.kind == FORBID:
            groups[row.section].add_argument(*spelled, dest=row.name, action="store_const", const=True, help=doc)
        else:
            metavar = {NUMBER: "N", COUNT: "N", FILE: "FILE", KEY: "FILE", MODE: "MODE"}.get(row.kind, "VALUE")
            groups[row.section].add_argument(*spelled, dest=row.name, metavar=metavar, help=doc)
    groups["launch"].add_argument("--vcpu-type", metavar="NAME", help="QEMU's CPU model, in place of cpu-signature")
    about = parser.add_argument_group("where it comes from")
    for row in ABOUT:
        if row.name != "written_by":
            about.add_argument("--" + row.key, dest=f"about_{row.name}", metavar="TEXT", help=phrase(row.doc))
    add_case(about, "a case to begin with; options given beside it win", "CASE")
    why = parser.add_argument_group("what explains it")
    why.add_argument("--diagnose", action="store_true", help="search for an explanation, and note it")
    why.add_argument("--candidates", metavar="DIR", help="a folder of firmware, kernels and initrds to try")
    why.add_argument("--budget", metavar="SECONDS", default=_BUDGET, help="how long (default: %(default)s)")
    why.add_argument(
        *("--found", "-F"), metavar="KEY=VALUE", action="append", default=[], help="an input found; no VALUE: none"
    )
    out = parser.add_argument_group("what comes out")
    what = f"a bundle if it ends in {SUFFIX}, else a case file"
    out.add_argument("--out", "-o", metavar="FILE", required=True, help=what)
    out.add_argument("--with-keys", action="store_true", help="put key files into the bundle, too: think twice")
    out.add_argument("--force", action="store_true", help="replace the file if it exists")


def new(args: argparse.Namespace) -> int:
    """Make a case; return the exit status."""
    if args.with_keys and not args.out.endswith(SUFFIX):
        raise InputError("--with-keys", "it with a case file", f"--out with a name that ends in {SUFFIX}")
    check_standard_input([("--case", args.case), *(("--" + row.key, getattr(args, row.name)) for row in ROWS)])
    check_output(args.out, "--out", force=args.force)
    if args.case is None:
        return _make(args, Case({}, own=True))
    with open_case(args.case, "--case", args.own_case) as case:
        return _make(args, case)


def _make(args: argparse.Namespace, base: Case) -> int:
    from .case import tell

    case = _with_about(args, _with_inputs(args, base))
    if not case.inputs:
        raise InputError("usage", "no input", "at least one input of a launch", "sevlab case new --help")
    if args.diagnose:
        case = _diagnosed(args, case)
    if args.out.endswith(SUFFIX):
        tell(pack_case(case, args.out, with_keys=args.with_keys, force=args.force, name="--out"))
    else:
        write_case(case, args.out, args.force, "--out")
        say(f"Wrote {shell_word(args.out)}.", to=stream_beside(args.out))
        if any(isinstance(value, Secret) for value in case.inputs.values()):
            words = "the keys in the bundle are not in it: sevlab case unpack makes files that a case can name."
            say(f"WARNING: {words}", to=stream_beside(args.out))
    say(f"Next: sevlab case verify {shell_word(args.out)}", to=stream_beside(args.out))
    return GOOD


def _with_inputs(args: argparse.Namespace, base: Case) -> Case:
    """Lay the options over a case."""
    given = {row.name: _read(row, getattr(args, row.name), "--" + row.key) for row in ROWS}
    if args.vcpu_type is not None:
        from ..cpu import parse_cpu_model

        if others := [name for name in ("cpu_signature", *SKU) if given[name] is not None]:
            raise InputError("--vcpu-type", f"together with --{others[0].replace('_', '-')}", "one of the two")
        given["cpu_signature"] = parse_cpu_model(args.vcpu_type, "--vcpu-type").signature
    sections = tuple(_SECTIONS)
    inputs, _ = base.merged(given, sections)
    hashes = {name: base.hashes[name] for name in inputs if name in base.hashes and given[name] is None}
    hashes |= _hashes({name: value for name, value in given.items() if value is not None}, "--")
    found, found_hashes = dict(base.found), dict(base.found_hashes)
    named: set[str] = set()
    for text in args.found:
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
    origin = {name: words for name, words in base.origin.items() if name in inputs and given[name] is None}
    return base.replace(inputs=inputs, hashes=hashes, origin=origin, found=found, found_hashes=found_hashes)


def _hashes(given: dict[str, Any], prefix: str) -> dict[str, str]:
    files = {name: BY_NAME[name] for name in given if BY_NAME[name].kind == FILE}
    return {name: hash_file(given[name], prefix + row.key, row.limit) for name, row in files.items()}


def _with_about(args: argparse.Namespace, case: Case) -> Case:
    given = {row.name: getattr(args, f"about_{row.name}", None) for row in ABOUT}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"when": now} | case.about | {name: words for name, words in given.items() if words is not None}
    return case.replace(about=about | {"written_by": f"sevlab {__version__}"})


def _read(row: Row, text: Any, name: str) -> Any:
    """Return an option's value as a case holds it."""
    if text is None or row.kind == FORBID:
        return text
    if row.kind in (NUMBER, COUNT):
        return parse_number(text, name, row.limit)
    if row.kind == BYTES:
        return parse_bytes(text, name, row.limit)
    if row.kind == MEASUREMENT:
        return base64.b64encode(parse_measurement(text, name).to_bytes()).decode()
    if row.kind == WANTED:
        return parse_wanted_text(row, text, name)
    if row.kind == MODE and text not in MODES:
        raise InputError(name, quoted(text), row.needed)
    if row.kind == KEY:
        load_key(text, name, (1 + (row.key == "tk")) * KEY_SIZE)  # a file of another size is no key
    return text


def _diagnosed(args: argparse.Namespace, case: Case) -> Case:
    """Search for an explanation, and note the one with the fewest changes."""
    from ..diagnosis.result import EXPLAINED
    from .diagnose import LONGEST

    found = _search(case, args.candidates, parse_seconds(args.budget, "--budget", LONGEST))
    show(found.explain())
    say("", found.effort, "")
    if found.status != EXPLAINED:
        return case
    return record_explanation(case, found.explanations[0])


def _search(case: Case, candidates: str | None, budget: float) -> Diagnosis:
    from ..diagnosis import diagnose

    if not case.is_snp:
        return diagnose(case.part(), candidates=candidates, budget=budget)
    from ..report import load_report

    reported: Any = case.inputs.get("reported_measurement", "")
    if "report" in case.inputs:
        reported = load_report(case.inputs["report"], "--report")
    return diagnose(case.snp_launch, reported, candidates=candidates, budget=budget)
