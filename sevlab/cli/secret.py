"""``sevlab secret``: pack secrets for one launch, or open such a packet and look at every byte."""

from __future__ import annotations

import base64
from argparse import Namespace

from ..attestation.secret import USUAL_AREA, build_secret, load_packet_part, load_secret, open_secret
from ..cases.writing import write_files
from ..cli import GOOD, NOT_VALIDATED
from ..errors import renaming, shell_word
from ..launch.inputs import KEYS, as_option
from ..launch.keys import SecretBytes, refuse_keys
from ..launch.reading import check_standard_input
from ..launch.values import load_keys, parse_bytes
from .options import STDIN, add_actions, add_inputs, add_json, load_measurement, readers, verb_parser
from .terminal import say, say_json, tell_either, warn

BUILD = (
    "Pack secrets for one launch, in the form that QEMU and libvirt hand to the firmware. Validate the measurement "
    "first (sevlab validate): whoever made it can read what is packed for it."
)
OPEN = "Check and decrypt a packet as the firmware does, and show header, message, MAC and table byte by byte."
IV_WARNING = (
    "--iv is for reproducing a known packet: from two packets with the same TEK and IV, the host learns the "
    "exclusive-or of their contents"
)
#: The inputs of both actions.
COMMON = (*KEYS, "launch_measure_blob")
#: What the command line calls the library's inputs.
NAMES = {"secret": "--secret", "header": "HEADER", "payload": "PAYLOAD"}


def run(words: list[str]) -> int:
    parser = verb_parser("secret", "0 good, 1 open: a check fails", STDIN)
    actions = {"build": "pack secrets for one launch", "open": "check, decrypt and explain a packet"}
    build, opener = add_actions(parser, actions).values()
    build.description, opener.description = BUILD, OPEN
    for action in (build, opener):
        add_inputs(action, *KEYS)
        what = "the launch's measurement, 48 bytes: base64, hex, or a file that holds it"
        action.add_argument("--launch-measure-blob", metavar="BLOB", required=True, help=what)
    add_json(build)
    add_json(opener, verbose=True)
    what = "a secret: its GUID or luks-key, and its file; repeatable"
    build.add_argument("--secret", metavar="NAME:FILE", action="append", default=[], help=what)
    build.add_argument("--iv", metavar="IV", help="only to reproduce a known packet: 16 bytes in hex or base64")
    build.add_argument("--force", action="store_true", help="replace HEADER and PAYLOAD if they exist")
    build.add_argument("header", metavar="HEADER", help="the file to write the packet's header to, 52 raw bytes")
    build.add_argument("payload", metavar="PAYLOAD", help="the file to write the payload to, raw bytes")
    opener.add_argument("--show-secret", action="store_true", help="show the secrets, in hex")
    opener.add_argument("--show-keys", action="store_true", help="show what is made from the TIK")
    opener.add_argument("header", metavar="HEADER", help="the packet's header, raw or base64")
    opener.add_argument("payload", metavar="PAYLOAD", help="the payload, raw or base64")
    args = parser.parse_args(words)
    return _build(args) if args.action == "build" else _open(args)


def _keys_and_measure(args: Namespace) -> tuple[SecretBytes, SecretBytes, bytes]:
    """Return TEK, TIK and the measure (32 bytes). A blob with a key in it is refused, because it would be shown."""
    with renaming(as_option):
        tek, tik = load_keys(tik=args.tik, tek=args.tek, tk=args.tk)
    measurement = load_measurement(args.launch_measure_blob, "--launch-measure-blob")
    refuse_keys(measurement.to_bytes(), "--launch-measure-blob", tek, tik)
    return tek, tik, measurement.measure


def _build(args: Namespace) -> int:
    secret_files = [spec.partition(":")[2] for spec in args.secret]
    check_standard_input([*readers(args, *COMMON), *(("--secret", path) for path in secret_files)])
    tek, tik, measure = _keys_and_measure(args)
    iv = parse_bytes(args.iv, "--iv", 16) if args.iv is not None else None
    refuse_keys(iv or b"", "--iv", tek, tik)  # the header contains it
    secrets = [load_secret(spec, "--secret") for spec in args.secret]
    with renaming(lambda name: NAMES.get(name, name)):
        packet = build_secret(secrets, tik, tek, measure, iv=iv, area=USUAL_AREA)
    parts = (("header", args.header, packet.header.to_bytes()), ("payload", args.payload, packet.payload))
    write_files([(path, raw, name.upper()) for name, path, raw in parts], force=args.force)
    warnings = list(packet.warnings)
    if iv is not None:
        warnings.append(IV_WARNING)
    entries = packet.table.entries
    if args.json:
        files = {
            name: {"path": path, "size": len(raw), "base64": base64.b64encode(raw).decode()}
            for name, path, raw in parts
        }
        packed = [{"guid": str(one.guid), "name": one.guid.name, "size": len(one.data)} for one in entries]
        say_json({"status": "built", **files, "secrets": packed, "warnings": warnings})
    else:
        say(*(f"packed   {entry.guid.text}, {len(entry.data)} bytes" for entry in entries))
        say(*(f"{name:8} {shell_word(path)}, {len(raw)} bytes" for name, path, raw in parts))
    for warning in warnings:
        warn(warning)
    return GOOD


def _open(args: Namespace) -> int:
    check_standard_input([*readers(args, *COMMON), ("HEADER", args.header), ("PAYLOAD", args.payload)])
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
    shown = {"show_secret": args.show_secret}
    tell_either(args, lambda: opened.as_dict(**shown), lambda: opened.explain(**shown, show_keys=args.show_keys))
    return GOOD if opened.matches else NOT_VALIDATED
