"""``sevlab vmsa``: the registers a virtual CPU starts with, one page of 4096 bytes per CPU."""

from __future__ import annotations

import hashlib
import sys
from argparse import Namespace

from ..attestation.byte_forms import read_page
from ..cases.writing import check_output, stream_beside, write_bytes
from ..cli import GOOD, NOT_VALIDATED
from ..errors import InputError, quoted
from ..formats.vmsa import Vmsa
from ..launch import vmm
from ..launch.inputs import DEFAULT_PROFILE, load_ovmf
from ..launch.values import parse_number
from ..layout.views import Paragraph, View
from .options import NUMBERS, Parser, add_actions, add_inputs, add_json, verb_parser
from .terminal import say, say_json, show

LIMITS = {"family": 270, "model": 255, "stepping": 15}
#: A page that differs from every profile in more fields than this does not resemble any.
FAR = 20
#: Every action, and what it does.
ACTIONS = {
    "build": "write the page that a VMM makes for a virtual CPU",
    "update": "change the CPU's signature and start address in a page, and nothing else",
    "show": "show the fields of a page that are not zero",
    "diff": "show where two pages differ, and what each difference does",
}
UPDATE = (
    "Change RDX (the CPU signature) and, for --cpu above 0, where the CPU starts (CS base and RIP). "
    "Every other byte of FILE is kept."
)


def run(words: list[str]) -> int:
    parser = verb_parser("vmsa", "0 good, 1 diff: different", f"{NUMBERS} FILE '-' is standard input or output.")
    actions = add_actions(parser, ACTIONS)
    build, update, show, diff = actions.values()
    _add_cpu_options(build)
    what = f"{', '.join(vmm.PROFILES)} (default: {DEFAULT_PROFILE}, as libvirt 9.0 and sevctl)"
    build.add_argument("--profile", metavar="NAME", default=DEFAULT_PROFILE, help=what)
    build.add_argument("--sev-features", metavar="N", default="0", help="SEV_FEATURES, 64 bits (default: 0)")
    build.add_argument("--force", action="store_true", help="replace FILE if it exists")
    update.description = UPDATE
    _add_cpu_options(update)
    show.add_argument("file", metavar="FILE", help="a VMSA of 4096 bytes")
    diff.add_argument("first", metavar="A", help="a VMSA of 4096 bytes")
    diff.add_argument("second", metavar="B", help="another one")
    add_json(show, diff)
    args = parser.parse_args(words)
    return {"build": _build, "update": _update, "show": _show, "diff": _diff}[args.action](args)


def _add_cpu_options(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="the VMSA, 4096 bytes")
    what = "0: the boot processor; above 0: all others, which need --firmware"
    parser.add_argument("--cpu", metavar="N", required=True, help=what)
    for name, limit in LIMITS.items():
        what = f"{name} of the virtual CPU, 0 to {limit} (instead of --vcpu-type)"
        parser.add_argument(f"--{name}", metavar="N", help=what)
    add_inputs(parser, "vcpu_type", "firmware")


def _signature(args: Namespace) -> int | None:
    """Return the CPU signature that the options give; None when they give none."""
    given = [name for name in LIMITS if getattr(args, name) is not None]
    if args.vcpu_type is not None:
        if given:
            raise InputError("--vcpu-type", f"it together with --{given[0]}", "one of the two ways to name a CPU")
        return vmm.parse_cpu_model(args.vcpu_type, "--vcpu-type").signature
    if not given:
        return None
    missing = [f"--{name}" for name in LIMITS if name not in given]
    if missing:
        raise InputError(missing[0], "nothing", "--family, --model and --stepping together, or --vcpu-type")
    return vmm.Cpu(*(parse_number(getattr(args, name), f"--{name}", limit) for name, limit in LIMITS.items())).signature


def _start(args: Namespace, cpu: int) -> int | None:
    """Return where the CPU starts, when it is an application processor."""
    if not cpu:
        return None
    if args.firmware is None:
        raise InputError("--firmware", "nothing", "the guest's firmware image: it says where --cpu above 0 starts")
    address = load_ovmf(args.firmware, "--firmware").reset_address
    if address is None:
        received = f"{quoted(args.firmware)}, which does not say where application processors start"
        raise InputError("--firmware", received, "an OVMF image with a SEV-ES reset block", "sevlab ovmf FILE")
    return address


def _build(args: Namespace) -> int:
    profile = vmm.find_profile(args.profile, "--profile")
    cpu = parse_number(args.cpu, "--cpu", 0xFFFFFFFF)
    features = parse_number(args.sev_features, "--sev-features", 0xFFFFFFFFFFFFFFFF)
    signature = _signature(args)
    if signature is None and profile.takes_signature:
        needed = f"--family, --model and --stepping, or --vcpu-type: profile {profile.name} needs them"
        raise InputError("--family", "nothing", needed)
    if args.file != "-":
        check_output(args.file, "FILE", force=args.force)
    vmsa = vmm.build_vmsa(
        profile.name, cpu=cpu, signature=signature, reset_address=_start(args, cpu), sev_features=features
    )
    if signature is not None and not profile.takes_signature:
        words = "the CPU's family, model and stepping play no part."
        say(f"NOTE: profile {profile.name} fixes RDX; {words}", to=sys.stderr)
    return _write(args.file, vmsa, f"profile {profile.name}", force=args.force)


def _update(args: Namespace) -> int:
    cpu = parse_number(args.cpu, "--cpu", 0xFFFFFFFF)
    signature, start = _signature(args), _start(args, cpu)
    if signature is None and start is None:
        raise InputError("--family", "nothing", "what to update: --family, --model and --stepping, or --vcpu-type")
    vmsa = _load(args.file, "FILE")  # whatever form it is in, the bytes themselves are written back
    if signature is not None:
        vmsa = vmsa.replace(rdx=signature)
    if start is not None:
        vmsa = vmm.start_at(vmsa, start)
    return _write(args.file, vmsa, "updated", force=True, update=True)


def _load(path: str, name: str) -> Vmsa:
    return Vmsa.from_bytes(read_page(path, name).raw)


def _write(path: str, vmsa: Vmsa, how: str, *, force: bool, update: bool = False) -> int:
    if path == "-" and sys.stdout.isatty():
        raise InputError("FILE", "'-' on a terminal", "a file or a pipe", "sevlab vmsa show, for people")
    write_bytes(path, vmsa.to_bytes(), "FILE", force=force, update=update)
    start = vmsa.cs.base + vmsa.rip
    say(
        f"{quoted(path)}: {how}, RDX 0x{vmsa.rdx:x}, starts at 0x{start:x}, SEV_FEATURES 0x{vmsa.sev_features:x}, "
        f"SHA-256 {hashlib.sha256(vmsa.to_bytes()).hexdigest()}",
        to=stream_beside(path),
    )
    return GOOD


def _show(args: Namespace) -> int:
    vmsa = _load(args.file, "FILE")
    sha256 = hashlib.sha256(vmsa.to_bytes()).hexdigest()
    if args.json:
        profile, is_boot, differing = vmm.recognize_vmsa(vmsa)[0]
        parts = {
            "status": "good",
            "sha256": sha256,
            "zero_bytes": vmsa.to_bytes().count(0),
            "findings": vmsa.findings(),
        }
        nearest = {"name": profile.name, "boot_processor": is_boot, "differing": differing}
        say_json({**parts, "profile": nearest, "fields": [span.as_dict() for span in vmsa.spans()]})
        return GOOD
    heading, *fields = vmsa.explain().blocks
    answers = [Paragraph(_likeness(vmsa)), Paragraph(f"SHA-256 of the page: {sha256}")]
    show(View(heading, *answers, *fields))
    return GOOD


def _likeness(vmsa: Vmsa) -> str:
    """Return which profile builds this page, or is nearest, and which processor RDX means."""
    found = vmm.recognize_vmsa(vmsa)
    profile, is_boot, differing = found[0]
    which = "the boot processor" if is_boot else f"application processors that start at 0x{vmsa.cs.base + vmsa.rip:x}"
    if len(differing) > FAR:
        return "No known profile builds this page or one like it."
    if differing:
        shown = ", ".join(differing[:6]) + (f" and {len(differing) - 6} more" if len(differing) > 6 else "")
        return f"No known profile builds this page. Nearest: {profile.name} for {which}; other values in {shown}."
    names = " and ".join(p.name for p, _, others in found if not others)
    rdx = f", RDX being {describe_signature(vmsa.rdx)}" if profile.takes_signature else ""
    return f"This is the page of profile {names} for {which}{rdx}."


def describe_signature(signature: int) -> str:
    """Return a CPU signature for people: family, model, stepping, and QEMU's name if there is one."""
    try:
        cpu = vmm.split_signature(signature)
    except InputError:
        return f"0x{signature:x}, which is no CPU signature"
    name = next((f", QEMU's {name}" for name, known in vmm.CPU_MODELS.items() if known == cpu), "")
    return f"0x{signature:x} (family {cpu.family}, model {cpu.model}, stepping {cpu.stepping}{name})"


def _diff(args: Namespace) -> int:
    first, second = _load(args.first, "A"), _load(args.second, "B")
    comparison = first.compare(second, names=("A", "B"))
    if args.json:
        say_json(comparison.as_dict())
    else:
        say(f"A: {quoted(args.first)}", f"B: {quoted(args.second)}", "")
        show(comparison.explain())
    return GOOD if comparison.matches else NOT_VALIDATED
