"""``sevlab profiles``: known VMM launch behaviours, and which tool releases predict them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..data import MODES
from ..errors import InputError, quoted, renaming
from ..launch import as_peer
from ..layout.views import Paragraph, Table, View
from ..predictions import compute_predictions, explain_profile, profile_as_dict
from ..profiles import SNP_PROFILES
from . import GOOD, VERBS
from .options import Parser
from .terminal import say_json, show

if TYPE_CHECKING:
    import argparse

EPILOG = (
    "Numbers are decimal or 0x hex. Exit status: 0 good, 2 usage or input that cannot be supported, 3 an error in "
    "sevlab. See docs/profiles.md."
)
#: The options about the launch of a matrix, and what is taken where an image is given without them.
DEFAULTS = {"vcpus": "1", "vcpu_type": "EPYC-v4"}


def run(words: list[str]) -> int:
    """List the profiles, explain one, or print the matrix; return the exit status."""
    what = VERBS["profiles"]
    parser = Parser(prog="sevlab profiles", description=what, epilog=EPILOG)
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
    from ..cpu import parse_cpu_model

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
