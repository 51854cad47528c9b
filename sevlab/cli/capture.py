"""``sevlab capture`` and ``coverage``: make a case of what people have, or label what is measured of it."""

from __future__ import annotations

import os
from argparse import Namespace

from ..attestation.byte_forms import coding_of
from ..cases.capture import (
    COMMAND_LINE,
    DMESG,
    HASHED,
    HERE,
    NEEDED,
    OPTION,
    QMP,
    SECINFO,
    TEXT_LIMIT,
    XML,
    Capture,
    Found,
    Remark,
    plain,
    shown,
)
from ..cases.case import BY_NAME, make_case
from ..cases.case_toml import check_names, encode_case, format_case, write_case
from ..cases.coverage import cover_case, cover_command_line, cover_domain
from ..cases.locate import locate
from ..cases.recognize import READERS, named_text
from ..cases.writing import check_output, stream_beside, write_bytes
from ..cli import GOOD
from ..errors import InputError, quoted, shell_word
from ..launch.files import check_standard_input
from ..launch.inputs import KEYS
from ..launch.reading import open_input
from .options import STDIN, add_inputs, add_json, add_own_case, legacy_case, verb_parser
from .terminal import say, say_json, show, tell

#: The texts that can be read.
TEXTS = {
    SECINFO: "what 'virsh domlaunchsecinfo DOMAIN' printed",
    QMP: "a QMP transcript with query-sev and query-sev-launch-measure",
    XML: "what 'virsh dumpxml DOMAIN' printed",
    COMMAND_LINE: "QEMU's command line, from a script, a log, ps or /proc/PID/cmdline",
    DMESG: "the host kernel's log",
}
FILES = ("firmware", "kernel", "initrd")


def run_capture(words: list[str]) -> int:
    statuses = "0 the texts were read, whether the case is complete or not (the output lists what is missing)"
    parser = verb_parser("capture", statuses, "'-' reads one of the texts from standard input.")
    host = parser.add_argument_group("what the host says")
    for source, what in TEXTS.items():
        host.add_argument(f"--{source}", metavar="FILE", help=what)
    owner = parser.add_argument_group("what the owner knows (key files are noted by path, never read)")
    add_inputs(owner, *FILES, *KEYS)
    owner.add_argument("--candidates", metavar="DIR", help="look here for files that the host names")
    out = parser.add_argument_group("what comes out")
    out.add_argument("-o", metavar="CASE", help="the case file to write; '-' prints it; without it nothing is written")
    out.add_argument("--force", action="store_true", help="replace the case file if it exists")
    add_json(out)
    args = parser.parse_args(words)
    if args.o == "-" and args.json:
        raise InputError("-o", "'-' together with --json", "one of the two on standard output")
    # Checked before any work; checked again, without a gap, when the file gets its name.
    if args.o not in ("-", None):
        check_output(args.o, "-o", force=args.force)
    capture = _read(args)
    capture = _find_files(args, _owner(args, capture))
    unfound = {one.name for one in capture.missing if one.name in FILES}
    inputs = {name: one for name, one in capture.inputs.items() if name not in unfound}
    origin = {name: one.origin for name, one in inputs.items()}
    case = make_case({name: one.value for name, one in inputs.items()}, origin)
    if args.o == "-":
        check_names(case)
        write_bytes("-", encode_case(format_case(case, "."), "-o"), "-o")
    elif args.o is not None:
        write_case(case, args.o, args.force, "-o")
    _tell(args, capture)
    return GOOD


def _read(args: Namespace) -> Capture:
    paths = {source: getattr(args, source.replace("-", "_")) for source in READERS}
    given = {source: path for source, path in paths.items() if path is not None}
    if not given:
        raise InputError("usage", "no text to read", f"at least one of {', '.join(f'--{one}' for one in paths)}")
    check_standard_input((f"--{source}", path) for source, path in given.items())
    capture = Capture()
    for source, path in given.items():
        capture += READERS[source](read_text(path, f"--{source}"))
    if not capture.found:
        needed = " or ".join(NEEDED[source] for source in given)
        names = " and ".join(f"--{source}" for source in given)
        what, advice = named_text(read_text(next(iter(given.values())), names))
        told = (one.words for one in capture.remarks if "kernel says" in one.words)
        said = next(told, "nothing that sevlab understands")
        raise InputError(names, what or said, needed, advice)
    return capture


def read_text(path: str, name: str) -> str:
    """Read a stranger's text: at most 1 MiB, in UTF-8, or in UTF-16 as Windows shells write it."""
    with open_input(path, name) as stream:
        raw = stream.read(TEXT_LIMIT + 1)
    if len(raw) > TEXT_LIMIT:
        advice = "only the part that matters"
        raise InputError(name, f"{quoted(path)}, more than {TEXT_LIMIT >> 20} MiB", "a shorter text", advice)
    codec = coding_of(raw)[0]
    # Bytes that are not UTF-8 are kept, so that they are refused only where they matter, such as in a path.
    return plain(raw.decode(codec, "surrogateescape" if codec.startswith("utf-8") else "replace"))


def _owner(args: Namespace, capture: Capture) -> Capture:
    """Add the owner's own files, which win over those that the host names."""
    if args.tk and (args.tik or args.tek):
        raise InputError("--tk", "together with --tik or --tek", "one of the two forms")
    for name in (*FILES, *KEYS):
        path = getattr(args, name)
        if path == "-":
            raise InputError(f"--{name}", "'-'", "a file, which the case can name")
        if path is None:
            continue
        if name in KEYS and not os.path.isfile(path):
            raise InputError(f"--{name}", f"{quoted(path)}, which is not a file", "a key file")
        capture += Capture((Found(name, path, OPTION, f"option --{name}"),))
    hashes = capture.chosen.get("kernel_hashes")
    named = [f"--{name}" for name in HASHED if getattr(args, name, None)]
    if named and hashes and not hashes.value:
        words = f"{named[0]} is given, but the host does not measure the kernel ({hashes.origin}): this can't validate"
        capture += Capture(remarks=(Remark("", words),))
    return capture


def _find_files(args: Namespace, capture: Capture) -> Capture:
    found, remarks = [], []
    secret = tuple(path for path in (args.tik, args.tek, args.tk) if path)
    for name in FILES:
        one = capture.inputs.get(name)
        if one is None or one.source == OPTION:
            continue
        path, remark = locate(str(one.value), args.candidates, BY_NAME[name].limit, secret)
        if path:
            found.append(Found(name, path, HERE, f"--{one.source} {one.place} {shown(one.value)}"))
        if remark:
            remarks.append(Remark("", f"{name}: {remark}"))
    return capture + Capture(tuple(found), tuple(remarks))


def _tell(args: Namespace, capture: Capture) -> None:
    if args.json:
        status = "incomplete" if capture.missing else "complete"
        say_json({"status": status, "case": args.o, **capture.as_dict()})
        return
    # With the case on standard output, messages about it must not get into it.
    stream = stream_beside(args.o or "")
    show(capture.explain(), to=stream)
    if args.o is None:
        say("", "Nothing was written. To go on: -o CASE", to=stream)
    elif args.o != "-":
        say("", f"Wrote {shell_word(args.o)}.", to=stream)
        case = f"--case {shell_word(args.o)}"
        if capture.is_snp:
            say(f"Next: sevlab digest {case}", to=stream, whole=True)
            say(f"With a report: sevlab diagnose {case} --report FILE", to=stream, whole=True)
            say(f"Or: sevlab report verify FILE {case}", to=stream, whole=True)
        elif not capture.missing:
            say(f"Next: sevlab validate {case}", to=stream, whole=True)


def run_coverage(words: list[str]) -> int:
    parser = verb_parser("coverage", "0 the configuration was labelled, whatever the labels", STDIN)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", metavar="FILE", help="a case file")
    what.add_argument("--xml", metavar="FILE", help="what 'virsh dumpxml DOMAIN' printed")
    what.add_argument("--qemu-cmdline", metavar="FILE", help="QEMU's command line, from a script, a log or ps")
    add_own_case(parser)
    add_json(parser)
    args = parser.parse_args(words)
    if args.case is not None:
        coverage = cover_case(legacy_case(args))
    elif args.xml is not None:
        coverage = cover_domain(read_text(args.xml, "--xml"))
    else:
        coverage = cover_command_line(read_text(args.qemu_cmdline, "--qemu-cmdline"))
    tell(coverage, args)
    return GOOD
