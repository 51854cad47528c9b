"""``sevlab secret``: pack secrets for one launch, or open such a packet and look at every byte."""

from __future__ import annotations

import base64

from ..attestation.secret import USUAL_AREA, SecretPacket, build_secret, load_packet_part, load_secret, open_secret
from ..cli import GOOD, NOT_VALIDATED, VERBS
from ..errors import renaming, shell_word
from ..launch.files import check_standard_input
from ..launch.inputs import as_option
from ..launch.keys import refuse_keys
from ..launch.values import load_keys, load_measurement, parse_bytes
from .options import Parser
from .terminal import say, say_json, show, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..launch.keys import Secret


BUILD = (
    "Pack secrets for one launch, in the form that QEMU and libvirt hand to the firmware. Validate the measurement "
    "first (sevlab validate): whoever made it can read what is packed for it."
)

OPEN = "Check and decrypt a packet as the firmware does, and show header, message, MAC and table byte by byte."

BLOB = "the launch's measurement, 48 bytes: base64, hex, or a file that holds it"

#: What the command line calls the library's inputs.
NAMES = {"secret": "--secret", "header": "HEADER", "payload": "PAYLOAD"}

EPILOG = "'-' reads a file from standard input. Exit status and examples: docs/secret.md."


def run(words: list[str]) -> int:
    """Build or open; return the exit status."""
    parser = Parser(prog="sevlab secret", description=VERBS["secret"], epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="build|open", required=True)
    build = actions.add_parser("build", help="pack secrets for one launch", description=BUILD, epilog=EPILOG)
    opener = actions.add_parser("open", help="check, decrypt and explain a packet", description=OPEN, epilog=EPILOG)
    for action in (build, opener):
        action.add_argument("--tik", metavar="FILE", help="transport integrity key, 16 raw bytes")
        action.add_argument("--tek", metavar="FILE", help="transport encryption key, 16 raw bytes")
        action.add_argument("--tk", metavar="FILE", help="both keys in one file: TEK, then TIK, 32 raw bytes")
        action.add_argument("--launch-measure-blob", metavar="BLOB", required=True, help=BLOB)
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    build.add_argument(
        "--secret",
        metavar="NAME:FILE",
        action="append",
        default=[],
        help="a secret: its GUID or luks-key, and the file that holds it; may be repeated",
    )
    build.add_argument("--iv", metavar="IV", help="only to reproduce a known packet: 16 bytes in hex or base64")
    build.add_argument("--force", action="store_true", help="replace HEADER and PAYLOAD if they exist")
    build.add_argument("header", metavar="HEADER", help="file to write the packet header to, 52 raw bytes")
    build.add_argument("payload", metavar="PAYLOAD", help="file to write the payload to, raw bytes")
    opener.add_argument("--show-secret", action="store_true", help="show the secrets, in hex")
    opener.add_argument("--show-keys", action="store_true", help="show what is made from the TIK")
    opener.add_argument("header", metavar="HEADER", help="file with the packet header, raw or base64")
    opener.add_argument("payload", metavar="PAYLOAD", help="file with the payload, raw or base64")
    args = parser.parse_args(words)
    return _build(args) if args.action == "build" else _open(args)


def _common(args: argparse.Namespace) -> list[tuple[str, str | None]]:
    """Return the inputs that both actions have, with their names."""
    names = ("tik", "tek", "tk", "launch_measure_blob")
    return [(as_option(name), getattr(args, name)) for name in names]


def _keys_and_measure(args: argparse.Namespace) -> tuple[Secret, Secret, bytes]:
    """Return TEK, TIK and the measure (32 bytes). A blob that has a key in it is refused: it would be shown."""
    with renaming(as_option):
        tek, tik = load_keys(tik=args.tik, tek=args.tek, tk=args.tk)
    measurement = load_measurement(args.launch_measure_blob, "--launch-measure-blob")
    refuse_keys(measurement.to_bytes(), "--launch-measure-blob", tek, tik)
    return tek, tik, measurement.measure


def _build(args: argparse.Namespace) -> int:
    from ..cases.writing import write_files

    secret_files = [spec.partition(":")[2] for spec in args.secret]
    check_standard_input([*_common(args), *(("--secret", path) for path in secret_files)])
    tek, tik, measure = _keys_and_measure(args)
    iv = parse_bytes(args.iv, "--iv", 16) if args.iv is not None else None
    refuse_keys(iv or b"", "--iv", tek, tik)  # it stands in the header
    secrets = [load_secret(spec, "--secret") for spec in args.secret]
    with renaming(lambda name: NAMES.get(name, name)):
        packet = build_secret(secrets, tik, tek, measure, iv=iv, area=USUAL_AREA)
    write_files(
        [(args.header, packet.header.to_bytes(), "HEADER"), (args.payload, packet.payload, "PAYLOAD")],
        force=args.force,
    )
    warnings = list(packet.warnings)
    if iv is not None:
        warnings.append(
            "--iv is for reproducing a known packet: the host learns the exclusive-or of what two packets hold when "
            "they share TEK and IV"
        )
    _say_built(args, packet, warnings)
    return GOOD


def _say_built(args: argparse.Namespace, packet: SecretPacket, warnings: list[str]) -> None:
    parts = {"header": (args.header, packet.header.to_bytes()), "payload": (args.payload, packet.payload)}
    if args.json:
        result: dict[str, object] = {
            name: {"path": path, "size": len(raw), "base64": base64.b64encode(raw).decode()}
            for name, (path, raw) in parts.items()
        }
        result["secrets"] = [
            {"guid": str(entry.guid), "name": entry.guid.name, "size": len(entry.data)}
            for entry in packet.table.entries
        ]
        say_json({"status": "built", **result, "warnings": warnings})
    else:
        for entry in packet.table.entries:
            say(f"packed   {entry.guid.text}, {len(entry.data)} bytes")
        for name, (path, raw) in parts.items():
            say(f"{name:8} {shell_word(path)}, {len(raw)} bytes")
    for warning in warnings:
        warn(warning)


def _open(args: argparse.Namespace) -> int:
    check_standard_input([*_common(args), ("HEADER", args.header), ("PAYLOAD", args.payload)])
    tek, tik, measure = _keys_and_measure(args)
    header, _ = load_packet_part(args.header, "HEADER")
    payload, is_text = load_packet_part(args.payload, "PAYLOAD")
    for public, name in ((header, "HEADER"), (payload, "PAYLOAD")):  # every byte of both will be shown
        refuse_keys(public, name, tek, tik)
    files = {name: getattr(args, name) for name in ("tik", "tek", "tk") if getattr(args, name) not in (None, "-")}
    if args.payload != "-":
        files["payload_base64" if is_text else "payload"] = args.payload
    with renaming(lambda name: NAMES.get(name, name)):
        opened = open_secret(header, payload, tik, tek, measure, files=files)
    if args.json:
        say_json(opened.as_dict(show_secret=args.show_secret))
    else:
        show(opened.explain(show_secret=args.show_secret, show_keys=args.show_keys))
    return GOOD if opened.matches else NOT_VALIDATED
