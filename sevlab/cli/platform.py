"""``sevlab advise``, ``profiles`` and ``ovmf``: what is known about a platform, its VMM and its guest firmware."""

from __future__ import annotations

from argparse import Namespace

from ..attestation.advisories import NAMES, Advice, advise
from ..attestation.report import load_report
from ..cases.verify import advise_case
from ..cli import GOOD, NOT_VALIDATED
from ..data import MODES, PRODUCTS
from ..errors import InputError, quoted, renaming, shell_word
from ..labs.predictions import compute_predictions, explain_profile, profile_as_dict
from ..launch.inputs import LaunchInputs, as_option, as_peer, load_ovmf
from ..launch.vmm import SNP_PROFILES, parse_cpu_model
from ..layout.views import Paragraph, Table, View
from .options import NUMBERS, add_case, add_inputs, add_json, opened_case, verb_parser
from .terminal import tell, tell_either, warn

#: What a report or a case says by itself.
NAMED = ("api", "build", "policy", "technology")
#: The inputs of the launch in a table of profiles, and those that have a default.
LOADED, DEFAULTS = ("firmware", "kernel", "initrd", "cmdline"), {"num_cpus": "1", "vcpu_type": "EPYC-v4"}


def run_advise(words: list[str]) -> int:
    statuses = "0 no advisory is known to apply (some may be undecided), 1 one applies that is not accepted"
    parser = verb_parser("advise", statuses, f"{NUMBERS} '-' reads a report from standard input. Nothing is fetched.")
    parser.repeated = "refuse"
    known = parser.add_argument_group("what is known about the platform")
    known.add_argument("--report", metavar="FILE", help="its attestation report (SEV-SNP)")
    add_case(known, "a case with a report, or with a launch of SEV or SEV-ES")
    known.add_argument("--api", metavar="M.N", help="without these two: the version of its API, such as 1.55 ...")
    known.add_argument("--build", metavar="N", help="... the build of its firmware ...")
    known.add_argument("--policy", metavar="N", help="... the guest's policy ...")
    what = f"... and one of {', '.join(NAMES)}, if the policy does not decide it"
    known.add_argument("--technology", metavar="NAME", help=what)
    known.add_argument("--product", metavar="NAME", help=f"the processor: {', '.join(PRODUCTS)}")
    what = "an advisory whose risk you accept; repeatable"
    parser.add_argument("--accept", metavar="KEY", action="append", default=[], help=what)
    parser.add_argument("--strict", action="store_true", help="exit 1 for what cannot be decided, too")
    add_json(parser, verbose=True)
    args = parser.parse_args(words)
    advice = _advise(args)
    tell(advice, args)
    return NOT_VALIDATED if advice.applies or (args.strict and not advice.is_certain) else GOOD


def _advise(args: Namespace) -> Advice:
    given = {name: getattr(args, name) for name in NAMED}
    numbers = [as_option(name) for name, value in given.items() if value is not None]
    files = [as_option(name) for name in ("report", "case") if getattr(args, name) is not None]
    if len(files) > 1 or (files and numbers):
        raise InputError(files[0], f"together with {[*files[1:], *numbers][0]}", "one source")
    if not files and not numbers and args.product is None:
        raise InputError("usage", "nothing", "--report, --case, --api, --policy or --product", "sevlab advise --help")
    if args.product == "":
        raise InputError("--product", "nothing", f"one of {', '.join(PRODUCTS)}")
    options = {"product": args.product, "accept": args.accept}
    with renaming(as_option):
        if args.report is not None:
            return advise(load_report(args.report), **options)
        if args.case is not None:
            case = opened_case(args)
            for change in case.changed:
                warn(f"{shell_word(args.case)}: {change}")
            return advise_case(case, product=args.product, accept=args.accept)
        return advise(**options, **given)


def run_profiles(words: list[str]) -> int:
    notes = f"With --ovmf the defaults are --vcpus 1 and --vcpu-type EPYC-v4. {NUMBERS}"
    parser = verb_parser("profiles", "0 good", notes)
    parser.add_argument("name", metavar="NAME", nargs="?", help="the profile to explain; without it all are listed")
    add_json(parser)
    matrix = parser.add_argument_group("which release matches which host (without --ovmf: for a sample with a kernel)")
    matrix.add_argument("--matrix", action="store_true", help="compare every tool release with every host")
    matrix.add_argument("--mode", metavar="MODE", help=f"only {' or '.join(MODES)} (default: both)")
    add_inputs(matrix, *LOADED, *DEFAULTS, spellings=(as_peer,))
    args = parser.parse_args(words)
    if args.matrix:
        return _matrix(args)
    for name in ("mode", *LOADED, *DEFAULTS):
        if getattr(args, name) is not None:
            raise InputError(as_peer(name), "it without --matrix", "--matrix")
    if args.name is None:
        return _list(args)
    tell_either(args, lambda: profile_as_dict(args.name), lambda: explain_profile(args.name))
    return GOOD


def _list(args: Namespace) -> int:
    parts = ("name", "summary", "since", "source")
    data = [{part: getattr(profile, part) for part in parts} for profile in SNP_PROFILES.values()]
    rows = [[profile.name, f"{profile.summary} Since: {profile.since}."] for profile in SNP_PROFILES.values()]
    tail = "sevlab profiles NAME explains one; sevlab profiles --matrix shows which tool release assumes which."
    table = Table(["profile", "what it does, and since when"], rows)
    tell_either(args, lambda: data, lambda: View(table, Paragraph(tail)))
    return GOOD


def _matrix(args: Namespace) -> int:
    if args.name is not None:
        raise InputError("NAME", f"{quoted(args.name)} together with --matrix", "one of the two")
    if args.mode is not None and args.mode not in MODES:
        raise InputError("--mode", quoted(args.mode), " or ".join(MODES))
    inputs = _inputs(args).given
    with renaming(as_peer):
        found = [compute_predictions(mode, **inputs) for mode in ([args.mode] if args.mode else MODES)]
    view = View(*(one.explain() for one in found))
    tell_either(args, lambda: {one.mode: one.as_dict() for one in found}, lambda: view)
    return GOOD


def _inputs(args: Namespace) -> LaunchInputs:
    """Return the launch that the options describe; without options, no inputs."""
    given = {name: value for name in (*LOADED, *DEFAULTS) if (value := getattr(args, name)) is not None}
    if given and args.firmware is None:
        raise InputError(as_peer(next(iter(given))), "it without --ovmf", "--ovmf FILE, a firmware image")
    if not given:
        return LaunchInputs()
    given = DEFAULTS | given
    return LaunchInputs(cpu_signature=parse_cpu_model(given.pop("vcpu_type"), "--vcpu-type").signature, **given)


def run_ovmf(words: list[str]) -> int:
    parser = verb_parser("ovmf", "0 a whole OVMF code image with a sound footer table, 1 something else (it says what)")
    parser.add_argument("firmware", metavar="FILE", help="the firmware image, such as OVMF.fd; '-' is standard input")
    add_json(parser, verbose=True)
    args = parser.parse_args(words)
    ovmf = load_ovmf(args.firmware, "FILE")
    tell(ovmf, args)
    return GOOD if ovmf.is_usable else NOT_VALIDATED
