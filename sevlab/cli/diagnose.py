"""``sevlab diagnose``: which wrong input explains a mismatch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cases.case_toml import is_bundle
from ..cli import GOOD, NOT_VALIDATED
from ..diagnosis.run import BUDGET, SearchOptions, diagnose
from ..errors import InputError, escaped, quoted, renaming
from ..launch.inputs import SKU, as_option, as_peer
from ..launch.values import parse_number
from ..launch.verify import MATCH
from ..layout.views import Paragraph
from .digest import LEGACY_MODES, OVMF_HASH, SVSM, add_digest_options, digest_inputs, has_svsm
from .options import (
    NUMBERS,
    Parser,
    add_case,
    add_json,
    inputs_from,
    launch_parser,
    opened_case,
    parse_seconds,
    registers_read,
    trust_from,
    verb_parser,
)
from .terminal import tell, warn

if TYPE_CHECKING:
    from ..diagnosis.engine import Progress
    from ..diagnosis.result import Diagnosis
    from ..formats.report import Report


#: Longest budget, in seconds: a day.
LONGEST = 86400.0
_MOST_JOBS = 1024
#: The modes of SEV-SNP; in all others the guest policy says what is measured.
SNP_MODES = ("snp", SVSM)
MODES = (*LEGACY_MODES, *SNP_MODES)
STATUSES = "0 nothing to explain, 1 explained or not"


def run(words: list[str]) -> int:
    first = Parser(prog="sevlab diagnose", add_help=False, allow_abbrev=False)
    first.repeated = "ignore"  # the parser that follows reports it
    first.add_argument("--mode")
    first.add_argument("--report")
    add_case(first)
    known = first.parse_known_args(words)[0]
    mode = known.mode
    if mode is None and known.case is not None and (case := opened_case(known)).is_snp:
        mode = case.mode
    if mode is None and known.report is not None:
        mode = "snp"  # nothing else has a report
    if mode is not None and mode not in MODES:
        advice = "--mode snp, which tries the digest of the firmware alone too" if mode == OVMF_HASH else ""
        raise InputError("--mode", quoted(mode), f"one of {', '.join(MODES)}", advice)
    return _run_snp(words) if mode in SNP_MODES else _run_sev(words)


def _run_sev(words: list[str]) -> int:
    notes = "With --mode snp, a report, or a case of SEV-SNP, the options differ: sevlab diagnose --mode snp --help."
    parser, _ = launch_parser("diagnose", STATUSES, notes, verbose=True)
    _add_search_options(parser, "how many workers (default: one for each core)")
    args = parser.parse_args(words)
    options = _search_options(args)
    jobs = None if args.jobs is None else parse_number(args.jobs, "--jobs", _MOST_JOBS, least=1)
    with _shown() as options["progress"], renaming(as_option):
        found = diagnose(registers_read(inputs_from(args)), jobs=jobs, trust=trust_from(args), **options)
    return _print(found, args)


def _run_snp(words: list[str]) -> int:
    """Search for SEV-SNP: the options of digest, and the reported launch digest."""
    notes = f"If --vcpus or --vcpu-type is missing, it is searched for. {NUMBERS}"
    parser = verb_parser("diagnose", STATUSES, notes, " With --mode snp it takes the options of digest.")
    parser.prog = "sevlab diagnose --mode snp"
    reported = parser.add_argument_group("what was reported (one of these two)")
    reported.add_argument("--measurement", "-m", metavar="HEX", help="its MEASUREMENT: 48 bytes as hex or base64")
    reported.add_argument("--report", metavar="FILE", help="the whole report; its signature is not checked here")
    add_digest_options(parser)
    _add_search_options(parser, "has no effect: one core is enough for this search")
    add_json(parser, verbose=True)
    args = parser.parse_args(words)
    options = _search_options(args)
    if args.jobs is not None:
        warn("--jobs has no effect with --mode snp: one core is enough for this search")
    if args.mode == SVSM and not has_svsm(args):
        raise InputError("--svsm", "nothing", "an SVSM image")
    args.mode = SVSM if has_svsm(args) else "snp"
    inputs = digest_inputs(args, whole=False).given
    reported_digest = _reported(args)
    with _shown() as options["progress"], renaming(as_peer):
        found = diagnose(inputs, reported_digest, **options)
    if args.vcpu_type is not None or not {"cpu_signature", *SKU} & set(inputs):
        named = (replace(one, vcpu_type=args.vcpu_type or "") for one in found.explanations)
        found = replace(found, explanations=tuple(named))
    return _print(found, args)


def _reported(args: argparse.Namespace) -> str | Report:
    path = args.report
    if args.case is not None and (args.measurement, path) == (None, None):
        case = opened_case(args)
        path = case.inputs.get("report")
        if path is None and case.reported_measurement is not None:
            return case.reported_measurement.hex()
    if (args.measurement is None) == (path is None):
        received = "neither it nor --report" if path is None else "it together with --report"
        raise InputError("--measurement", received, "the launch digest that was reported: one of the two")
    if path is None:
        return str(args.measurement)
    from ..attestation.report import load_report

    return load_report(path, "--report")


def _add_search_options(parser: Parser, jobs: str) -> None:
    what = f"{', '.join(MODES)} (default: SEV or SEV-ES, as the policy says)"
    parser.add_argument("--mode", metavar="MODE", help=what)
    search = parser.add_argument_group("the search")
    search.add_argument("--candidates", metavar="DIR", help="a folder of firmware, kernels and initrds to try")
    search.add_argument("--budget", metavar="SECONDS", default=f"{BUDGET:g}", help="how long (default: %(default)s)")
    what = "most wrong inputs at once, 1 to 4 (default: %(default)s)"
    search.add_argument("--max-changes", metavar="N", default="3", help=what)
    search.add_argument("--jobs", metavar="N", help=jobs)


def _search_options(args: argparse.Namespace) -> SearchOptions:
    return {
        "candidates": args.candidates,
        "budget": parse_seconds(args.budget, "--budget", LONGEST),
        "max_changes": parse_number(args.max_changes, "--max-changes", 4, least=1),
    }


def _print(diagnosis: Diagnosis, args: argparse.Namespace) -> int:
    if args.case is not None and is_bundle(args.case):
        from ..diagnosis.case import portable

        diagnosis = portable(diagnosis, opened_case(args))
    tell(diagnosis, args, Paragraph(diagnosis.effort))
    return GOOD if diagnosis.status == MATCH else NOT_VALIDATED


@contextmanager
def _shown() -> Iterator[Callable[[Progress], object] | None]:
    """Show on standard error how far the search is, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.text import Text

    def update(progress: Progress) -> None:
        words = f"tried {progress.tried:,} ({progress.rate:,.0f}/s)  now: {progress.now}"
        status.update(Text(escaped(words)), spinner="dots")  # rich would read colours out of a plain string

    with Console(stderr=True).status("reading the inputs") as status:
        yield update
