"""``sevlab advise``: which public vulnerabilities a platform has, and which version or bit cures them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..attestation.advisories import NAMES, advise
from ..cli import GOOD, NOT_VALIDATED, VERBS
from ..data import MODES, PRODUCTS
from ..errors import InputError, quoted, renaming, shell_word
from ..labs.predictions import compute_predictions, explain_profile, profile_as_dict
from ..launch.files import load_ovmf
from ..launch.inputs import as_option, as_peer
from ..launch.vmm import SNP_PROFILES
from ..layout.views import Paragraph, Table, View
from .options import Parser, add_case
from .terminal import say_json, show, tell, warn

if TYPE_CHECKING:
    import argparse

    from ..attestation.advisories import Advice


#: Options that a report or a case tells by itself.
NUMBERS = ("api", "build", "policy", "technology")

EPILOG = (
    "Numbers are decimal or 0x hex, '-' reads a report from standard input. Nothing is fetched. Exit status: 0 none is "
    "seen to apply (some may be undecided, as the first line says; --strict counts those too), 1 one applies that is "
    "not accepted, 2 usage or input that cannot be supported, 3 an error in sevlab. docs/advise.md tells the rest."
)


def run_advise(words: list[str]) -> int:
    """Judge every advisory; return the exit status."""
    parser = Parser(prog="sevlab advise", description=VERBS["advise"], epilog=EPILOG)
    parser.repeated = "refuse"
    known = parser.add_argument_group("what is known of the platform")
    known.add_argument("--report", metavar="FILE", help="its attestation report (SEV-SNP)")
    add_case(known, "a case file with a report, or with a launch of SEV or SEV-ES")
    known.add_argument("--api", metavar="M.N", help="in their place: the version of its API, such as 1.55 ...")
    known.add_argument("--build", metavar="N", help="... the build of its firmware ...")
    known.add_argument("--policy", metavar="N", help="... the guest's policy ...")
    known.add_argument("--technology", metavar="NAME", help=f"... and one of {', '.join(NAMES)}, if the policy is open")
    known.add_argument("--product", metavar="NAME", help=f"the processor: {', '.join(PRODUCTS)}")
    parser.add_argument("--accept", metavar="KEY", action="append", default=[], help="an advisory to bear; repeatable")
    parser.add_argument("--strict", action="store_true", help="exit 1 for what cannot be decided, too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(words)
    advice = _advise(args)
    tell(advice, args.json)
    bad = advice.applies or (args.strict and not advice.is_certain)
    return NOT_VALIDATED if bad else GOOD


def _advise(args: argparse.Namespace) -> Advice:
    given = {name: getattr(args, name) for name in NUMBERS}
    numbers = [as_option(name) for name, value in given.items() if value is not None]
    files = [as_option(name) for name in ("report", "case") if getattr(args, name) is not None]
    if len(files) > 1 or (files and numbers):
        raise InputError(files[0], f"together with {[*files[1:], *numbers][0]}", "one source of what is known")
    if not files and not numbers and args.product is None:
        raise InputError("usage", "nothing", "--report, --case, --api, --policy or --product", "sevlab advise --help")
    if args.product == "":
        raise InputError("--product", "nothing", f"one of {', '.join(PRODUCTS)}")
    options = {"product": args.product, "accept": args.accept}
    with renaming(as_option):
        if args.report is not None:
            from ..attestation.report_file import load_report

            return advise(load_report(args.report), **options)
        if args.case is not None:
            from ..cases.case_toml import read_case
            from ..cases.verify import advise_case

            case = read_case(args.case, "--case", args.own_case)
            for change in case.changed:
                warn(f"{shell_word(args.case)}: {change}")
            return advise_case(case, product=args.product, accept=args.accept)
        return advise(**options, **given)


PROFILES_EPILOG = (
    "Numbers are decimal or 0x hex. Exit status: 0 good, 2 usage or input that cannot be supported, 3 an error in "
    "sevlab. See docs/profiles.md."
)

#: The options about the launch of a matrix, and what is taken where an image is given without them.
DEFAULTS = {"vcpus": "1", "vcpu_type": "EPYC-v4"}


def run_profiles(words: list[str]) -> int:
    """List the profiles, explain one, or print the matrix; return the exit status."""
    what = VERBS["profiles"]
    parser = Parser(prog="sevlab profiles", description=what, epilog=PROFILES_EPILOG)
    parser.add_argument("name", metavar="NAME", nargs="?", help="the profile to explain; without it all are listed")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    matrix = parser.add_argument_group("which release matches which host")
    matrix.add_argument("--matrix", action="store_true", help="print which release of a tool is right about which host")
    matrix.add_argument("--mode", metavar="MODE", help=f"{' or '.join(MODES)} alone (default: both)")
    matrix.add_argument("--ovmf", metavar="FILE", help="the firmware image (default: a sample, with a kernel)")
    matrix.add_argument("--kernel", metavar="FILE", help="the kernel, for measured direct boot")
    matrix.add_argument("--initrd", metavar="FILE", help="the initrd (with --kernel)")
    matrix.add_argument("--append", metavar="TEXT", help="the kernel command line (with --kernel)")
    matrix.add_argument("--vcpus", metavar="N", help=f"number of virtual CPUs (default: {DEFAULTS['vcpus']})")
    matrix.add_argument("--vcpu-type", metavar="NAME", help=f"QEMU's CPU model (default: {DEFAULTS['vcpu_type']})")
    args = parser.parse_args(words)
    if args.matrix:
        return _matrix(args)
    for name in ("mode", "ovmf", "kernel", "initrd", "append", "vcpus", "vcpu_type"):
        if getattr(args, name) is not None:
            raise InputError("--" + name.replace("_", "-"), "it without --matrix", "--matrix")
    return _list(args) if args.name is None else _explain(args)


def _list(args: argparse.Namespace) -> int:
    if args.json:
        found = [
            {part: getattr(profile, part) for part in ("name", "summary", "since", "source")}
            for profile in SNP_PROFILES.values()
        ]
        say_json(found)
        return GOOD
    rows = [[profile.name, f"{profile.summary} Since: {profile.since}."] for profile in SNP_PROFILES.values()]
    tail = "sevlab profiles NAME explains one; sevlab profiles --matrix says which tool release assumes which."
    show(View(Table(["profile", "what it does, and since when"], rows), Paragraph(tail)))
    return GOOD


def _explain(args: argparse.Namespace) -> int:
    if args.json:
        say_json(profile_as_dict(args.name))
    else:
        show(explain_profile(args.name))
    return GOOD


def _matrix(args: argparse.Namespace) -> int:
    if args.name is not None:
        raise InputError("NAME", f"{quoted(args.name)} together with --matrix", "one of the two")
    if args.mode is not None and args.mode not in MODES:
        raise InputError("--mode", quoted(args.mode), " or ".join(MODES))
    inputs = _inputs(args)
    with renaming(as_peer):
        found = [compute_predictions(mode, **inputs) for mode in ([args.mode] if args.mode else MODES)]
    if args.json:
        say_json({one.mode: one.as_dict() for one in found})
    else:
        show(View(*(one.explain() for one in found)))
    return GOOD


def _inputs(args: argparse.Namespace) -> dict[str, Any]:
    """Return the launch that the options describe, nothing where they describe none."""
    from ..launch.cpu import parse_cpu_model

    given = {name: getattr(args, name) for name in ("kernel", "initrd", "append", *DEFAULTS)}
    if args.ovmf is None:
        for name, value in given.items():
            if value is not None:
                raise InputError("--" + name.replace("_", "-"), "it without --ovmf", "--ovmf FILE, a firmware image")
        return {}
    given |= {name: value for name, value in DEFAULTS.items() if given[name] is None}
    return {
        "firmware": args.ovmf,
        "kernel": given["kernel"],
        "initrd": given["initrd"],
        "cmdline": given["append"],
        "num_cpus": given["vcpus"],
        "cpu_signature": parse_cpu_model(given["vcpu_type"], "--vcpu-type").signature,
    }


OVMF_EPILOG = (
    "Exit status: 0 a whole OVMF code image with a sound footer table, 1 something else (it says what), 2 a file that "
    "cannot be read, 3 an error in sevlab. Keys of the JSON: docs/ovmf.md."
)


def run_ovmf(words: list[str]) -> int:
    """Explain a firmware file; return the exit status."""
    what = VERBS["ovmf"]
    parser = Parser(prog="sevlab ovmf", description=what, epilog=OVMF_EPILOG)
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
