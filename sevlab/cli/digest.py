"""``sevlab digest`` and ``measure``: what a launch should report. Options are those of sev-snp-measure and sevctl."""

from __future__ import annotations

import base64
import sys

from ..cli import GOOD
from ..errors import InputError, quoted, renaming, shell_word
from ..formats.launch_measure import Measurement, MeasureMessage
from ..formats.policy import Policy
from ..launch.inputs import FILES, INPUTS, SKU, SNP_INPUTS, LaunchInputs, as_option, as_peer, load_launch
from ..launch.keys import refuse_keys
from ..launch.measure import compute_measure
from ..launch.reading import check_standard_input
from ..launch.sev import Launch
from ..launch.values import load_key, parse_bytes, parse_number, parse_policy
from .options import (
    NUMBERS,
    PLATFORM,
    STDIN,
    Parser,
    add_case,
    add_inputs,
    add_json,
    case_under,
    load_measurement,
    load_value,
    opened_case,
    readers,
    registers_read,
    verb_parser,
)
from .terminal import say, say_json, show, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from ..cases.case import Value
    from ..launch.keys import SecretBytes
    from ..launch.pages import Link
    from ..launch.snp import SnpLaunch


#: Modes of legacy SEV, and whether registers are measured in them.
LEGACY_MODES = {"sev": False, "seves": True}
OVMF_HASH, SVSM = "snp:ovmf-hash", "snp:svsm"
#: Every mode.
MODES = (*LEGACY_MODES, "snp", OVMF_HASH, SVSM)
#: What each VMM type of sev-snp-measure can mean; the first is meant when nothing else is said.
VMM_TYPES = {
    "QEMU": ("qemu", "qemu-legacy", "qemu-debug-swap", "qemu-hashes-first", "svsm"),
    "ec2": ("ec2", "ec2-rdx0"),
    "gce": ("gce", "gce-genoa"),
}
#: What is loaded beside registers, what replaces a CPU model, and what a measure covers.
LOADED = ("firmware", "kernel", "initrd", "cmdline", *SNP_INPUTS)
MODEL = ("cpu_signature", *SKU)
MEASURED = ("firmware", "kernel", "initrd", "cmdline", "num_cpus", "vmsa_cpu0", "vmsa_cpu1")


def run_digest(words: list[str]) -> int:
    parser = verb_parser("digest", "0 good", f"{NUMBERS} {STDIN}")
    parser.add_argument("--mode", metavar="MODE", help=f"{', '.join(MODES)} (with --case: the case's own)")
    add_digest_options(parser)
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--output-format", metavar="FORMAT", default="hex", help="hex (the default) or base64")
    shown.add_argument("--dump-vmsa", action="store_true", help="write the registers to vmsa0.bin, vmsa1.bin, ...")
    shown.add_argument("--force", action="store_true", help="let --dump-vmsa replace files")
    shown.add_argument("--trace", action="store_true", help="print every link of the chain (SEV-SNP)")
    add_json(shown, verbose=True)
    args = parser.parse_args(words)
    if args.mode is None and args.case is not None:
        args.mode = opened_case(args).mode or None
    if args.mode not in MODES:
        received = "nothing" if args.mode is None else quoted(args.mode)
        raise InputError("--mode", received, f"one of {', '.join(MODES)}")
    if args.output_format not in ("hex", "base64"):
        raise InputError("--output-format", quoted(args.output_format), "hex or base64")
    if args.mode in LEGACY_MODES:
        return _legacy(args)
    if args.mode == OVMF_HASH:
        return _ovmf_hash(args)
    return _snp(args)


def add_digest_options(parser: Parser) -> None:
    """Add the options that describe a launch, as sev-snp-measure spells them."""
    loaded = parser.add_argument_group("what is loaded")
    add_case(loaded)
    add_inputs(loaded, *LOADED, spellings=(as_peer,))
    cpus = parser.add_argument_group("virtual CPUs (all modes but sev)")
    add_inputs(cpus, "vcpu_type", "num_cpus", *MODEL, "profile", "guest_features", spellings=(as_peer,))
    cpus.add_argument("--vmm-type", metavar="TYPE", help=f"{', '.join(VMM_TYPES)} (default: QEMU)")


def _legacy(args: argparse.Namespace) -> int:
    if args.trace:
        needed, advice = "--mode snp or snp:svsm", "--verbose shows every step"
        raise InputError("--trace", f"it with --mode {args.mode}", needed, advice)
    inputs = digest_inputs(args)
    for name in SNP_INPUTS:
        if name in inputs.given:
            raise InputError(as_peer(name), f"it with --mode {args.mode}", "a mode of SEV-SNP")
    with renaming(as_peer):
        policy = Policy().replace(es=int(LEGACY_MODES[args.mode]))
        launch = load_launch(policy, True, **inputs.given)  # an empty kernel is taken, as sev-snp-measure takes it
    if launch.lacks_place:  # the digest would be one of nothing
        needed = "a firmware with an area for kernel hashes"
        advice = "sevlab ovmf FILE says what a firmware can do; OvmfPkg/AmdSev of edk2 has the area and checks it"
        raise InputError("--kernel", f"one for {quoted(inputs.firmware)}, which has no such area", needed, advice)
    _dump(args, [step.content for step in launch.steps if step.name.startswith("vCPU")])
    rows = [
        {"step": step.name, "size": step.size, "sha256": step.digest.hex(), "digest_after": after.hex()}
        for step, after in zip(launch.steps, launch.digests, strict=True)
    ]
    _print_digest(args, launch, {"mode": args.mode, "digest": launch.digest.hex(), "launch": rows, **launch.judged()})
    return GOOD


def _ovmf_hash(args: argparse.Namespace) -> int:
    """Print the digest after the firmware alone, as ``--snp-ovmf-hash`` takes it."""
    from ..launch.snp import SnpLaunch, firmware_region, load_image

    _check_ovmf(args)
    path = str(args.firmware if args.case is None else digest_inputs(args, whole=False).firmware)
    launch = SnpLaunch([firmware_region(*load_image(path, "--ovmf"))])
    _print_digest(args, launch, {"mode": args.mode, **launch.as_dict()}, launch.links())
    return GOOD


def _snp(args: argparse.Namespace) -> int:
    from ..formats.page_info import VMSA
    from ..launch.snp import load_snp_launch

    if (is_missing := not has_svsm(args)) == (args.mode == SVSM):
        received = "nothing" if is_missing else f"it with --mode {args.mode}"
        raise InputError("--svsm", received, "an SVSM image" if is_missing else f"--mode {SVSM}")
    inputs = digest_inputs(args)
    with renaming(as_peer):
        launch = load_snp_launch(**inputs.given)
    if args.mode == SVSM and inputs.guest_features is not None:
        warn("--guest-features counts with an SVSM too; sev-snp-measure ignores it there")
    _dump(args, [link.region.page(link.number) for link in launch.links() if link.region.page_type == VMSA])
    _print_digest(args, launch, {"mode": args.mode, **launch.as_dict()}, launch.links())
    return GOOD


def _dump(args: argparse.Namespace, pages: list[bytes]) -> None:
    if args.dump_vmsa:
        from ..cases.writing import write_files

        files = [(f"vmsa{number}.bin", page, "--dump-vmsa") for number, page in enumerate(pages)]
        write_files(files, force=args.force)


def _print_digest(
    args: argparse.Namespace, launch: Launch | SnpLaunch, data: dict[str, object], links: Iterable[Link] = ()
) -> None:
    for line in () if args.verbose and not args.json else launch.remarks:  # explain() has them
        say(line, to=sys.stderr)
    text = launch.digest.hex() if args.output_format == "hex" else base64.b64encode(launch.digest).decode()
    if args.json:
        if args.trace:
            data["links"] = (link.as_dict() for link in links)
        say_json(data)
        return
    if args.trace:
        for number, link in enumerate(links, 1):
            row = f"{number:5}  0x{link.gpa:012x}  {link.region.type_name:10}  {link.contents.hex()}"
            say(f"{row}  {link.digest.hex()}  {link.name}", whole=True)
    if args.verbose:
        show(launch.explain(), to=sys.stderr)
        say(f"Launch digest ({args.mode}): {text}")
    elif not args.trace:
        say(text)


def _check_ovmf(args: argparse.Namespace) -> None:
    if args.firmware is None and args.case is None:
        raise InputError("--ovmf", "nothing", "the firmware image")


def has_svsm(args: argparse.Namespace) -> bool:
    """Return whether the options, or a case under them, name an SVSM image."""
    return args.svsm is not None or (args.case is not None and "svsm" in opened_case(args).inputs)


def digest_inputs(args: argparse.Namespace, *, whole: bool = True) -> LaunchInputs:
    """Return the inputs of the launch that the options describe; a *whole* one needs a CPU model."""
    _check_ovmf(args)
    files = ("firmware", "kernel", "initrd", "svsm", "vars_file")
    named_files = [(as_peer(name), getattr(args, name)) for name in files]
    check_standard_input(named_files)
    given = {name: getattr(args, name) for name in LOADED} | (_cpu_inputs(args) if args.mode != "sev" else {})
    if args.case is not None:
        from ..cases.case import SNP_LAUNCH

        given = case_under(args, given, named_files, SNP_LAUNCH)
        known = {*INPUTS, *SNP_INPUTS, "cpu_signature"}
        given = {name: value for name, value in given.items() if name in known}
        if "firmware" not in given:
            raise InputError("--ovmf", "nothing, and the case has no firmware", "the firmware image")
    given = {name: value for name, value in given.items() if value is not None}
    if args.mode != "sev":
        if whole:
            _check_model(args.mode, given)
        if args.mode in LEGACY_MODES and args.case is None:
            given.setdefault("profile", "qemu")  # a case means what validate would compute of it
    return LaunchInputs(**registers_read(given))


def _cpu_inputs(args: argparse.Namespace) -> dict[str, Value | None]:
    given = {"num_cpus": args.num_cpus, "profile": _profile(args), "guest_features": args.guest_features}
    models = [name for name in MODEL if getattr(args, name) is not None]
    if args.vcpu_type is not None:
        from ..launch.vmm import parse_cpu_model

        if models:
            raise InputError("--vcpu-type", f"together with {as_peer(models[0])}", "one of the two")
        return {**given, "cpu_signature": parse_cpu_model(args.vcpu_type, "--vcpu-type").signature}
    if args.cpu_signature is not None:
        if models[1:]:
            raise InputError("--vcpu-sig", f"together with {as_peer(models[1])}", "one of the two")
        return {**given, "cpu_signature": parse_number(args.cpu_signature, "--vcpu-sig", 0xFFFFFFFF)}
    return given | {name: getattr(args, name) for name in SKU}


def _check_model(mode: str, given: dict[str, Value]) -> None:
    """Refuse a launch without a CPU model, if its registers depend on the model."""
    if any(name.startswith("cpu_") for name in given) or "vmsa_cpu0" in given:
        return
    from ..launch.vmm import PROFILES, SNP_PROFILES, find_profile

    known = PROFILES if mode in LEGACY_MODES else SNP_PROFILES
    if find_profile(str(given.get("profile", "qemu")), "--profile", known).takes_signature:
        needed = "it, --vcpu-sig, or --vcpu-family, --vcpu-model and --vcpu-stepping"
        raise InputError("--vcpu-type", "nothing", needed)


def _profile(args: argparse.Namespace) -> str | None:
    """Return the profile's name, None for the mode's own. A VMM type and a profile that contradict are refused."""
    if args.vmm_type is None:
        return None if args.profile is None else str(args.profile)
    kinds = {name.lower(): profiles for name, profiles in VMM_TYPES.items()}
    if args.vmm_type.lower() not in kinds:
        raise InputError("--vmm-type", quoted(args.vmm_type), ", ".join(VMM_TYPES))
    profiles = kinds[args.vmm_type.lower()]
    if args.profile is not None and args.profile not in profiles:
        received = f"{quoted(args.profile)} with --vmm-type {args.vmm_type}"
        raise InputError("--profile", received, " or ".join(profiles), "sevlab profiles, which explains each")
    if args.profile is None and args.mode == SVSM and args.vmm_type.lower() == "qemu":
        return None
    return str(args.profile or profiles[0])


def run_measure(words: list[str]) -> int:
    notes = "Byte values are base64 or hex. To compare with what a host reports, use sevlab validate."
    parser = verb_parser("measure", "0 good", f"{NUMBERS} {STDIN} {notes}")
    host = parser.add_argument_group("the platform, the policy and the key")
    add_inputs(host, *PLATFORM, "tik", required=True)
    nonce = parser.add_argument_group("the nonce, one of").add_mutually_exclusive_group(required=True)
    nonce.add_argument("--nonce", metavar="NONCE", help="16 bytes: base64, hex, or a file that holds them")
    what = "the measurement to take the nonce from: base64, hex, or a file"
    nonce.add_argument("--launch-measure-blob", metavar="BLOB", help=what)
    launch = parser.add_argument_group("what was loaded")
    launch.add_argument("--launch-digest", metavar="DIGEST", help="the launch digest itself, 32 bytes: base64 or hex")
    add_inputs(launch, *MEASURED)
    parser.add_argument("--outfile", metavar="FILE", help="write the 48 raw bytes to FILE instead of printing base64")
    parser.add_argument("--force", action="store_true", help="let --outfile replace a file")
    add_json(parser)
    args = parser.parse_args(words)
    check_standard_input(readers(args, "tik", "nonce", "launch_measure_blob", *FILES))
    policy = parse_policy(args.policy, "--policy")
    tik = load_key(args.tik, "--tik")  # first: what is shown must not have it in it
    loaded = read_launch(args, policy)
    message = MeasureMessage(
        api_major=parse_number(args.api_major, "--api-major", 255),
        api_minor=parse_number(args.api_minor, "--api-minor", 255),
        build_id=parse_number(args.build_id, "--build-id", 255),
        policy=policy,
        digest=loaded.digest,
        mnonce=_nonce(args, tik),
    )
    refuse_keys(message.digest, "--launch-digest", tik)
    measurement = Measurement(measure=compute_measure(message, tik), mnonce=message.mnonce)
    if args.outfile is not None:
        from ..cases.writing import write_files

        write_files([(args.outfile, measurement.to_bytes(), "--outfile")], force=args.force)
    _print_measure(args, message, measurement, loaded)
    for line in loaded.remarks:
        say(line, to=sys.stderr)
    for sentence in policy.findings():
        warn(f"policy: {sentence}")
    if not any(tik.reveal()):
        warn("tik is all zero, which is what a launch without a session uses")
    return GOOD


def read_launch(args: argparse.Namespace, policy: Policy) -> Launch:
    """Return the launch that the options describe, or of which they give the digest."""
    given = {name: getattr(args, name) for name in MEASURED if getattr(args, name) is not None}
    if args.launch_digest is not None:
        if given:
            other = as_option(next(iter(given)))
            raise InputError("--launch-digest", f"together with {other}", "the digest alone, or what it is made of")
        return Launch((), digest=parse_bytes(args.launch_digest, "--launch-digest", 32))
    if args.firmware is None:
        raise InputError("--firmware", "neither it nor --launch-digest", "one of the two")
    with renaming(as_option):
        return load_launch(policy, **registers_read(given))


def _nonce(args: argparse.Namespace, tik: SecretBytes) -> bytes:
    """Return the nonce. It will be in the result, so it must not be a key."""
    if args.nonce is not None:
        name, raw = "--nonce", load_value(args.nonce, "--nonce", 16)
    else:
        name = "--launch-measure-blob"
        raw = load_measurement(args.launch_measure_blob, name).to_bytes()
    refuse_keys(raw, name, tik)
    return raw[-16:]


def _print_measure(args: argparse.Namespace, message: MeasureMessage, measurement: Measurement, launch: Launch) -> None:
    text = base64.b64encode(measurement.to_bytes()).decode()
    if args.json:
        parts = {"measure": measurement.measure, "mnonce": measurement.mnonce, "digest": message.digest}
        spans = [span.as_dict() for span in message.spans()]
        data = {"measurement": text} | {name: raw.hex() for name, raw in parts.items()}
        say_json({**data, "message": spans, "outfile": args.outfile, **launch.judged()})
    elif args.outfile is not None:
        from ..cases.writing import stream_beside

        say(f"Wrote {measurement.size} bytes to {shell_word(args.outfile)}", to=stream_beside(args.outfile))
    else:
        say(text)
