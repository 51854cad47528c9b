"""``sevlab id-block``: state what a SEV-SNP launch must be, and sign it; show or verify such a block."""

from __future__ import annotations

import base64
from argparse import BooleanOptionalAction, Namespace

from ..attestation.id_block import DEFAULT_POLICY, build_id_block, load_id_block, load_private_key, verify_id_block
from ..cases.writing import write_files
from ..cli import GOOD, NOT_VALIDATED
from ..formats.id_block import IdBlock
from ..formats.policy import SnpPolicy
from ..launch.keys import refuse_keys
from ..launch.reading import check_standard_input
from ..launch.values import parse_bytes, parse_number
from .options import NUMBERS, STDIN, add_actions, add_json, load_value, verb_parser
from .terminal import say, say_json, tell, tell_either, warn

#: Every action, and what it does.
ACTIONS = {
    "build": "state what a launch must be, and sign it",
    "show": "show an ID block byte by byte",
    "verify": "check an ID block as the SEV firmware does when the launch is finished",
}
_SIZES = {row.name: row.size for row in IdBlock.rows}
_POLICY_LIMIT, _SVN_LIMIT = ((1 << 8 * _SIZES[name]) - 1 for name in ("policy", "guest_svn"))
_DIGEST_SIZE, _ID_SIZE = _SIZES["launch_digest"], _SIZES["family_id"]


def run(words: list[str]) -> int:
    statuses = "0 good, 1 verify: a check fails or no measurement was compared"
    parser = verb_parser("id-block", statuses, f"{NUMBERS} Bytes are hex or base64. {STDIN}")
    actions = add_actions(parser, ACTIONS)
    build, show, verify = actions.values()
    what = "the launch digest (48 bytes), or its file"
    build.add_argument("--measurement", metavar="VALUE", required=True, help=what)
    build.add_argument("--idkey", metavar="FILE", required=True, help="the ID key: a private key of P-384, in PEM")
    build.add_argument("--authorkey", metavar="FILE", help="the author key, which signs the ID key")
    build.add_argument("--policy", metavar="N", default=DEFAULT_POLICY, help="the guest policy (default: 0x30000)")
    build.add_argument("--svn", metavar="N", default=0, help="security version number of the guest (default: 0)")
    build.add_argument("--family-id", metavar="VALUE", help="16 bytes of your choice (default: zeros)")
    build.add_argument("--image-id", metavar="VALUE", help="16 bytes of your choice (default: zeros)")
    build.add_argument("--out-block", metavar="FILE", help="write the ID block, 96 bytes, to this file")
    build.add_argument("--out-auth", metavar="FILE", help="write the ID authentication, 4096 bytes, to this file")
    build.add_argument("--force", action="store_true", help="replace these files if they exist")
    for action in (show, verify):
        action.add_argument(
            "files", metavar="FILE", nargs="+", help="ID block and ID authentication, in one file or two"
        )
    verify.repeated = "refuse"
    verify.add_argument("--measurement", metavar="VALUE", help=what)
    verify.add_argument("--policy", metavar="N", help="the policy of the launch")
    what = "whether the launch sets AUTH_KEY_EN, as QEMU's author-key-enabled does (default: if there is an author key)"
    verify.add_argument("--author-key-enabled", action=BooleanOptionalAction, help=what)
    add_json(build, show)
    add_json(verify, verbose=True)
    args = parser.parse_args(words)
    return {"build": _build, "show": _show, "verify": _verify}[args.action](args)


def _build(args: Namespace) -> int:
    files = {"--measurement": args.measurement, "--idkey": args.idkey, "--authorkey": args.authorkey}
    check_standard_input(files.items())
    policy = SnpPolicy(parse_number(args.policy, "--policy", _POLICY_LIMIT))
    id_key = load_private_key(args.idkey, "--idkey")
    keys = id_key, None if args.authorkey is None else load_private_key(args.authorkey, "--authorkey")
    public = {
        "--measurement": load_value(args.measurement, "--measurement", _DIGEST_SIZE),
        "--family-id": _id(args.family_id, "--family-id"),
        "--image-id": _id(args.image_id, "--image-id"),
    }
    for name, raw in public.items():
        refuse_keys(raw, name, *keys)
    measurement, family_id, image_id = public.values()
    svn = parse_number(args.svn, "--svn", _SVN_LIMIT)
    signed = build_id_block(measurement, *keys, policy=policy, guest_svn=svn, family_id=family_id, image_id=image_id)
    for finding in policy.findings():
        warn(f"--policy: {finding}")
    outputs = ((args.out_block, signed.block, "--out-block"), (args.out_auth, signed.auth, "--out-auth"))
    written = [(path, one.to_bytes(), name) for path, one, name in outputs if path is not None]
    write_files(written, force=args.force)
    digests = signed.key_digests if args.authorkey else {"id_key_digest": signed.auth.id_key_digest}
    encoded = {name: base64.b64encode(raw).decode() for name, raw in digests.items()}
    if args.json:
        parts = {"id_block": signed.block, "id_auth": signed.auth}
        texts = {name: base64.b64encode(one.to_bytes()).decode() for name, one in parts.items()}
        hashes = {name: raw.hex() for name, raw in digests.items()}
        say_json({**texts, **hashes, "files": [path for path, _, _ in written]})
        return GOOD
    say(signed.properties)
    # The labels are those of snp-create-id-block, so that scripts around it need not change.
    say(f"id_key_hash: {encoded['id_key_digest']}")
    if args.authorkey:
        say(f"author_key: {encoded['author_key_digest']}")
    return GOOD


def _id(text: str | None, name: str) -> bytes:
    return bytes(_ID_SIZE) if text is None else parse_bytes(text, name, _ID_SIZE)


def _show(args: Namespace) -> int:
    check_standard_input(("FILE", path) for path in args.files)
    signed = load_id_block(*args.files, name="FILE")
    digests = {name: raw.hex() for name, raw in signed.key_digests.items()}
    parts = {"id_block": signed.block, "id_auth": signed.auth}
    spans = {name: [span.as_dict() for span in one.spans()] for name, one in parts.items()}
    tell_either(args, lambda: {**spans, **digests, "findings": signed.findings()}, signed.explain)
    return GOOD


def _verify(args: Namespace) -> int:
    check_standard_input([*(("FILE", path) for path in args.files), ("--measurement", args.measurement)])
    verdict = verify_id_block(
        load_id_block(*args.files, name="FILE"),
        None if args.measurement is None else load_value(args.measurement, "--measurement", _DIGEST_SIZE),
        None if args.policy is None else parse_number(args.policy, "--policy", _POLICY_LIMIT),
        author_key_enabled=args.author_key_enabled,
    )
    tell(verdict, args)
    return GOOD if verdict.matches else NOT_VALIDATED
