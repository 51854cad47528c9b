"""``sevlab session`` and ``chain``: the keys of one launch packed for one platform, and the platform's certificates."""

from __future__ import annotations

import sys
from contextlib import suppress

from ..attestation.byte_forms import read_bytes, sized
from ..attestation.session import Z_SIZE, make_session, open_session, public_key
from ..attestation.sev_chain import ROOTS, load_chain
from ..cases.writing import write_files
from ..cli import GOOD, NOT_VALIDATED
from ..errors import InputError, quoted, shell_word
from ..formats.sev_certs import PDH, SessionBlob, SevCertificate
from ..launch.keys import SecretBytes, refuse_keys
from ..launch.reading import check_standard_input, load_file, load_hidden
from ..launch.values import parse_policy
from .options import STDIN, add_actions, add_json, verb_parser
from .terminal import say, say_json, show, tell, tell_either, warn

OPEN = "Open a session as the platform does, with the PDH's private number: check every MAC and show every value."
_LIMIT = 16 << 10


def run_session(words: list[str]) -> int:
    return _open(words[1:]) if words[:1] == ["open"] else _make(words)


def _make(words: list[str]) -> int:
    statuses = "0 good, 1 the chain does not hold, or open: a check fails"
    notes = "The chain is verified first. sevlab session open --help: the session as the platform opens it."
    parser = verb_parser("session", statuses, notes)
    what = "how the names of the four files begin (default: vm)"
    parser.add_argument("--name", default="vm", metavar="NAME", help=what)
    parser.add_argument("--force", action="store_true", help="replace these files if they exist")
    add_json(parser)
    parser.add_argument("chain", metavar="CHAIN", help="the platform's certificates: sevctl export --full CHAIN")
    parser.add_argument("policy", metavar="POLICY", help="the guest policy, in decimal or 0x hex")
    args = parser.parse_args(words)
    policy = parse_policy(args.policy, "POLICY")
    for finding in policy.findings():
        warn(f"POLICY: {finding}: the firmware refuses it")
    chain = load_chain(args.chain, name="CHAIN")
    verdict = chain.verify(ROOTS)
    if not verdict.matches:
        if args.json:
            say_json({**verdict.as_dict(), "files": []})
        else:
            show(verdict.explain(), to=sys.stderr)
            say("ERROR: no session was made: its keys would go to whoever has this certificate", to=sys.stderr)
        return NOT_VALIDATED
    session = make_session(chain[PDH], policy)
    contents = {
        "godh.b64": session.godh_base64.encode(),
        "session.b64": session.blob_base64.encode(),
        "tek.bin": session.tek.reveal(),
        "tik.bin": session.tik.reveal(),
    }
    files = [(f"{args.name}_{name}", content, "--name") for name, content in contents.items()]
    write_files(files, force=args.force, private=True)
    names = [path for path, _, _ in files]
    if args.json:
        say_json({**verdict.as_dict(), "policy": int(policy), "files": names})
    else:
        say(f"OK: a session for a genuine {verdict.product} platform, policy {policy.text}")
        godh, blob, tek, tik = map(shell_word, names)
        say(f"For the host: {godh} and {blob}. Yours alone: {tek} and {tik}.")
    return GOOD


def _open(words: list[str]) -> int:
    parser = verb_parser("session", "0 good, 1 a check fails", STDIN)
    parser.prog, parser.description = "sevlab session open", OPEN
    what = "the PDH's private number, 48 bytes, big-endian"
    parser.add_argument("--pdh-key", required=True, metavar="FILE", help=what)
    parser.add_argument("--policy", metavar="N", help="the guest policy, to compare with the session's")
    parser.add_argument("--show-keys", action="store_true", help="show keys, which are hidden otherwise")
    add_json(parser, verbose=True)
    parser.add_argument("godh", metavar="GODH", help="the owner's certificate, 2084 bytes, raw or base64")
    parser.add_argument("session", metavar="SESSION", help="the launch session, 128 bytes, raw or base64")
    args = parser.parse_args(words)
    named = {"--pdh-key": args.pdh_key, "GODH": args.godh, "SESSION": args.session}
    check_standard_input(named.items())
    private = _private(args.pdh_key)
    session = _part(args.session, "SESSION", SessionBlob.size)
    godh = _part(args.godh, "GODH", SevCertificate.size)
    for public, name in ((session, "SESSION"), (godh, "GODH")):
        refuse_keys(public, name, private)
    opened = open_session(
        SessionBlob.from_bytes(session),
        SevCertificate.from_bytes(godh),
        private,
        None if args.policy is None else parse_policy(args.policy, "--policy"),
    )
    tell_either(args, opened.as_dict, lambda: opened.explain(show_keys=args.show_keys))
    return GOOD if opened.matches else NOT_VALIDATED


def _private(path: str) -> SecretBytes:
    private = load_hidden(path, "--pdh-key", _LIMIT)
    received = f"{len(private)} bytes"
    if len(private) == Z_SIZE:
        with suppress(InputError):
            public_key(private)
            return private
        received = "a number outside the curve's order"
    needed = f"a private number of P-384: {Z_SIZE} bytes, big-endian"
    raise InputError("--pdh-key", f"{quoted(path)}, {received}", needed)


def _part(path: str, name: str, size: int) -> bytes:
    raw = load_file(path, name, _LIMIT)
    try:
        return read_bytes(raw, sized(size), name, f"{size} bytes, raw or as text").raw
    except InputError as error:
        raise InputError(name, f"{quoted(path)}, {error.received}", error.needed, error.advice) from None


def run_chain(words: list[str]) -> int:
    parser = verb_parser("chain", "0 good, 1 a link does not hold or could not be checked", STDIN)
    actions = {"show": "show every certificate field by field", "verify": "check every link"}
    for action in add_actions(parser, actions).values():
        action.add_argument("files", metavar="FILE", nargs="+", help="certificates, one or several in each file")
        add_json(action)
    args = parser.parse_args(words)
    check_standard_input(("FILE", path) for path in args.files)
    chain = load_chain(*args.files, name="FILE")
    if args.action == "show":
        tell(chain, args)
        return GOOD
    verdict = chain.verify()
    tell(verdict, args)
    return GOOD if verdict.matches else NOT_VALIDATED
