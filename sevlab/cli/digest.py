"""``sevlab digest``: the launch digest of what is loaded. Options and output are sev-snp-measure's."""

from __future__ import annotations

import base64
import sys

from ..errors import InputError, UnsupportedError, quoted
from ..formats.policy import Policy
from ..inputs import check_standard_input, parse_number
from ..launch import load_launch
from . import GOOD, VERBS
from .options import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

#: Modes, and whether registers are measured in them.
MODES = {"sev": False, "seves": True}
#: What each VMM type of sev-snp-measure can mean; the first is meant when nothing else is said.
VMM_TYPES = {"QEMU": ("qemu", "qemu-legacy"), "ec2": ("ec2", "ec2-rdx0"), "gce": ("gce",)}
#: How sev-snp-measure's options are called in a launch.
RENAMED = {"firmware": "ovmf", "cmdline": "append", "num_cpus": "vcpus", "cpu_signature": "vcpu_sig"} | {
    f"cpu_{part}": f"vcpu_{part}" for part in ("family", "model", "stepping")
}
EPILOG = "Numbers are decimal or 0x hex. '-' reads a file from standard input. Examples: docs/digest.md."


def run(words: list[str]) -> int:
    """Compute and print a launch digest; return the exit status."""
    parser = Parser(prog="sevlab digest", description=f"{VERBS['digest'].capitalize()}.", epilog=EPILOG)
    parser.add_argument("--mode", metavar="MODE", required=True, help=f"{' or '.join(MODES)}")
    loaded = parser.add_argument_group("what is loaded")
    loaded.add_argument("--ovmf", metavar="FILE", required=True, help="the firmware image")
    loaded.add_argument("--kernel", metavar="FILE", help="the kernel, for measured direct boot")
    loaded.add_argument("--initrd", metavar="FILE", help="the initrd (with --kernel)")
    loaded.add_argument("--append", metavar="TEXT", help="the kernel command line (with --kernel)")
    cpus = parser.add_argument_group("virtual CPUs (mode seves)")
    cpus.add_argument("--vcpus", metavar="N", help="number of virtual CPUs")
    cpus.add_argument("--vcpu-type", metavar="NAME", help="QEMU's CPU model, such as EPYC-v4")
    cpus.add_argument("--vcpu-sig", metavar="N", help="in its place: the CPU signature (CPUID 1, EAX)")
    cpus.add_argument("--vcpu-family", metavar="N", help="in its place: the CPU's family ...")
    cpus.add_argument("--vcpu-model", metavar="N", help="... its model ...")
    cpus.add_argument("--vcpu-stepping", metavar="N", help="... and its stepping")
    cpus.add_argument("--vmm-type", metavar="TYPE", help=f"{', '.join(VMM_TYPES)} (default: QEMU)")
    cpus.add_argument("--profile", metavar="NAME", help="how the registers start (default: qemu)")
    cpus.add_argument("--guest-features", metavar="N", help="SEV_FEATURES of the registers (default: 0)")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--output-format", metavar="FORMAT", default="hex", help="hex (the default) or base64")
    shown.add_argument("--dump-vmsa", action="store_true", help="write the registers to vmsa0.bin, vmsa1.bin, ...")
    shown.add_argument("--force", action="store_true", help="let --dump-vmsa replace files")
    shown.add_argument("--verbose", "-v", action="store_true", help="print a sentence in place of the bare digest")
    shown.add_argument("--json", action="store_true", help="print every step as JSON")
    args = parser.parse_args(words)
    if args.mode not in MODES:
        if args.mode.startswith("snp"):
            raise UnsupportedError(f"--mode {quoted(args.mode)}", " and ".join(MODES))
        raise InputError("--mode", quoted(args.mode), " or ".join(MODES))
    if args.output_format not in ("hex", "base64"):
        raise InputError("--output-format", quoted(args.output_format), "hex or base64")
    launch = load_launch(Policy().replace(es=int(MODES[args.mode])), as_peer, **_inputs(args))
    if launch.warnings:  # QEMU starts no such guest, so the digest would be one of nothing
        needed = "a firmware with an area for kernel hashes"
        advice = "OvmfPkg/AmdSev of edk2; sevlab ovmf FILE says what a firmware can do"
        raise InputError("--kernel", f"one for {quoted(args.ovmf)}, which has no such area", needed, advice)
    pages = [step.content for step in launch.steps if step.name.startswith("vCPU")]
    if args.dump_vmsa:
        from .files import write_files

        files = [(f"vmsa{number}.bin", page, "--dump-vmsa") for number, page in enumerate(pages)]
        write_files(files, force=args.force)
    text = launch.digest.hex() if args.output_format == "hex" else base64.b64encode(launch.digest).decode()
    if args.json:
        import json

        steps = zip(launch.steps, launch.digests, strict=True)
        rows = [
            {"step": step.name, "size": step.size, "sha256": step.digest.hex(), "digest_after": after.hex()}
            for step, after in steps
        ]
        print(json.dumps({"mode": args.mode, "digest": launch.digest.hex(), "launch": rows}, indent=2))
    elif args.verbose:
        print(launch.explain().text(), file=sys.stderr)
        print(f"Launch digest ({args.mode}): {text}")
    else:
        print(text)
    return GOOD


def as_peer(name: str) -> str:
    """Return a launch input's name as sev-snp-measure spells it."""
    return "--" + RENAMED.get(name, name).replace("_", "-")


def _inputs(args: argparse.Namespace) -> dict[str, Any]:
    """Return the inputs of the launch that the options describe."""
    check_standard_input((f"--{name}", getattr(args, name)) for name in ("ovmf", "kernel", "initrd"))
    given = {name: getattr(args, RENAMED.get(name, name)) for name in ("firmware", "kernel", "initrd", "cmdline")}
    if not MODES[args.mode]:
        return given
    if args.vcpu_type is not None:
        from ..cpu import parse_cpu_model

        others = [name for name in ("vcpu_sig", "vcpu_family") if getattr(args, name) is not None]
        if others:
            raise InputError("--vcpu-type", f"together with --{others[0].replace('_', '-')}", "one of the two")
        given["cpu_signature"] = parse_cpu_model(args.vcpu_type, "--vcpu-type").signature
    elif args.vcpu_sig is not None:
        if args.vcpu_family is not None:
            raise InputError("--vcpu-sig", "together with --vcpu-family", "one of the two")
        given["cpu_signature"] = parse_number(args.vcpu_sig, "--vcpu-sig", 0xFFFFFFFF)
    else:
        given |= {f"cpu_{part}": getattr(args, f"vcpu_{part}") for part in ("family", "model", "stepping")}
    if not any(value is not None for name, value in given.items() if name.startswith("cpu_")):
        from ..profiles import find_profile

        if find_profile(_profile(args), "--profile").takes_signature:
            needed = "it, --vcpu-sig, or --vcpu-family, --vcpu-model and --vcpu-stepping"
            raise InputError("--vcpu-type", "nothing", needed)
    return given | {
        "num_cpus": args.vcpus,
        "profile": _profile(args),
        "guest_features": args.guest_features if args.guest_features is not None else 0,
    }


def _profile(args: argparse.Namespace) -> str:
    """Return the profile's name. A VMM type and a profile that contradict each other are refused."""
    if args.vmm_type is None:
        return str(args.profile or "qemu")
    kinds = {name.lower(): profiles for name, profiles in VMM_TYPES.items()}
    if args.vmm_type.lower() not in kinds:
        raise InputError("--vmm-type", quoted(args.vmm_type), ", ".join(VMM_TYPES))
    profiles = kinds[args.vmm_type.lower()]
    if args.profile is not None and args.profile not in profiles:
        raise InputError("--profile", f"{quoted(args.profile)} with --vmm-type {args.vmm_type}", " or ".join(profiles))
    return str(args.profile or profiles[0])
