"""``sevlab measure``: the measurement that a launch should report, from its parts. Options are sevctl's."""

from __future__ import annotations

import base64
import sys

from ..errors import InputError, renaming, shell_word
from ..evidence import as_option
from ..formats.launch_measure import Measurement, MeasureMessage
from ..inputs import (
    check_standard_input,
    load_key,
    load_measurement,
    load_value,
    parse_bytes,
    parse_number,
    parse_policy,
)
from ..keys import refuse_keys
from ..launch import Launch, load_launch
from ..measure import compute_measure
from . import GOOD, VERBS
from .options import Parser
from .terminal import say, say_json, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..formats.policy import Policy
    from ..keys import Secret

#: The options that make the launch digest.
LAUNCH = ("firmware", "kernel", "initrd", "cmdline", "num_cpus", "vmsa_cpu0", "vmsa_cpu1")
EPILOG = (
    "Numbers are decimal or 0x hex; byte values are base64 or hex. '-' reads a file from standard input. "
    "To compare with what a host reports, use sevlab validate. Examples: docs/measure.md."
)


def run(words: list[str]) -> int:
    """Compute and print a measurement; return the exit status."""
    parser = Parser(prog="sevlab measure", description=VERBS["measure"], epilog=EPILOG)
    host = parser.add_argument_group("the platform, the policy and the key")
    host.add_argument("--api-major", metavar="N", required=True, help="major version of the host's SEV API")
    host.add_argument("--api-minor", metavar="N", required=True, help="minor version of the host's SEV API")
    host.add_argument("--build-id", metavar="N", required=True, help="build number of the host's SEV firmware")
    host.add_argument("--policy", metavar="N", required=True, help="the guest policy")
    host.add_argument("--tik", metavar="FILE", required=True, help="transport integrity key, 16 raw bytes")
    nonce = parser.add_argument_group("the nonce, one of").add_mutually_exclusive_group(required=True)
    nonce.add_argument("--nonce", metavar="NONCE", help="16 bytes: base64, hex, or a file that holds them")
    nonce.add_argument(
        "--launch-measure-blob", metavar="BLOB", help="the measurement to take the nonce from: base64, hex, or a file"
    )
    launch = parser.add_argument_group("what was loaded")
    launch.add_argument("--launch-digest", metavar="DIGEST", help="the launch digest itself, 32 bytes: base64 or hex")
    launch.add_argument("--firmware", metavar="FILE", help="the guest's firmware image, such as OVMF.fd")
    launch.add_argument("--kernel", metavar="FILE", help="the kernel, for measured direct boot")
    launch.add_argument("--initrd", metavar="FILE", help="the initrd")
    launch.add_argument("--cmdline", metavar="TEXT", help="the kernel command line")
    launch.add_argument("--num-cpus", metavar="N", help="number of virtual CPUs, for SEV-ES")
    launch.add_argument("--vmsa-cpu0", metavar="FILE", help="register state (VMSA) of the first CPU, 4096 bytes")
    launch.add_argument("--vmsa-cpu1", metavar="FILE", help="register state (VMSA) of every other CPU")
    parser.add_argument("--outfile", metavar="FILE", help="write the 48 raw bytes to FILE instead of printing base64")
    parser.add_argument("--force", action="store_true", help="let --outfile replace a file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(words)
    _check_files(args)
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
        from ..writing import write_files

        write_files([(args.outfile, measurement.to_bytes(), "--outfile")], force=args.force)
    _say(args, message, measurement, loaded)
    for line in loaded.remarks:
        say(line, to=sys.stderr)
    for sentence in policy.findings():
        warn(f"policy: {sentence}")
    if not any(tik.reveal()):
        warn("tik is all zero, which is what a launch without a session uses")
    return GOOD


def read_launch(args: argparse.Namespace, policy: Policy) -> Launch:
    """Return the launch that the options describe, or of which they give the digest."""
    given = {name: getattr(args, name) for name in LAUNCH if getattr(args, name) is not None}
    if args.launch_digest is not None:
        if given:
            other = as_option(next(iter(given)))
            raise InputError("--launch-digest", f"together with {other}", "the digest alone, or what it is made of")
        return Launch((), digest=parse_bytes(args.launch_digest, "--launch-digest", 32))
    if args.firmware is None:
        raise InputError("--firmware", "neither it nor --launch-digest", "one of the two")
    with renaming(as_option):
        return load_launch(policy, **given)


def _nonce(args: argparse.Namespace, tik: Secret) -> bytes:
    """Return the nonce, which will stand in the result: so it is no key."""
    if args.nonce is not None:
        nonce = load_value(args.nonce, "--nonce", 16)
        refuse_keys(nonce, "--nonce", tik)
        return nonce
    measurement = load_measurement(args.launch_measure_blob, "--launch-measure-blob")
    refuse_keys(measurement.to_bytes(), "--launch-measure-blob", tik)
    return measurement.mnonce


def _check_files(args: argparse.Namespace) -> None:
    files = ("tik", "nonce", "launch_measure_blob", "firmware", "kernel", "initrd", "vmsa_cpu0", "vmsa_cpu1")
    check_standard_input((f"--{name.replace('_', '-')}", getattr(args, name)) for name in files)


def _say(args: argparse.Namespace, message: MeasureMessage, measurement: Measurement, launch: Launch) -> None:
    text = base64.b64encode(measurement.to_bytes()).decode()
    if args.json:
        result = {
            "measurement": text,
            "measure": measurement.measure.hex(),
            "mnonce": measurement.mnonce.hex(),
            "digest": message.digest.hex(),
            "message": [span.as_dict() for span in message.spans()],
            "outfile": args.outfile,
            **launch.judged(),
        }
        say_json(result)
    elif args.outfile is not None:
        from ..writing import stream_beside

        say(f"Wrote {measurement.size} bytes to {shell_word(args.outfile)}", to=stream_beside(args.outfile))
    else:
        say(text)
