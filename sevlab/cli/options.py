"""The options of a launch, declared once for every verb that takes them. Names and letters are libvirt's."""

from __future__ import annotations

import argparse
import sys

from ..errors import InputError, quoted
from ..evidence import KEYS, REPORTED, Evidence, as_option, load_evidence
from ..inputs import check_standard_input
from ..launch import FILES, INPUTS
from . import AT_END

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from ..case import Case

#: Options that libvirt's tool does not have.
OURS = ("--case", "--json", "--show-keys", "--html", "--profile", "--guest-features")
EPILOG = (
    "Numbers are decimal or 0x hex. '-' reads a file from standard input. "
    "Exit status: 0 validated, 1 did not validate, 2 usage or input that cannot be supported, 3 an error in sevlab; "
    "of validate --domain also 4 its configuration, 5 its state, 6 insecure usage. "
    "The whole story, with the trust model and examples, is in docs/validate.md of the repository."
)


#: Cases that this command has opened, by path.
_opened: dict[str, Case] = {}


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks in one line, as everything else here does.

    Its description is made a sentence, so that what a verb does can be said once, in VERBS.
    """

    #: Where a verb adds its own options about what is shown.
    shown: argparse._ArgumentGroup

    def __init__(self, *, description: str | None = None, **more: Any) -> None:
        super().__init__(description=description and sentence(description), **more)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Let what libvirt's tool takes as a short form of one of its options stay one, beside options of our own."""
        found = super()._get_option_tuples(option_string)
        theirs = [match for match in found if match[1] not in OURS]
        return theirs if len(theirs) == 1 else found

    def error(self, message: str) -> NoReturn:
        # argparse repeats words as they were typed; escaped, they can neither forge a line nor flood the terminal.
        shown = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in message[:300])
        raise InputError("usage", shown, "options as declared", f"{self.prog} --help")


def sentence(words: str) -> str:
    """Return *words* as a sentence; other than capitalize(), this keeps the capitals of SEV-SNP."""
    return f"{words[0].upper()}{words[1:].removesuffix('.')}."


def phrase(words: str) -> str:
    """Return a sentence as it stands within another one: "CPU family" as it is, but "number of virtual CPUs"."""
    first = words.partition(" ")[0]
    begin = words[0].lower() if len(first) == 1 or first[1:].islower() else words[0]
    return f"{begin}{words[1:].rstrip('.')}"


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Format help for 100 columns. (Asking the terminal for its width costs an import on every run.)"""
    return argparse.HelpFormatter(prog, width=100)


def launch_parser(verb: str, description: str, *, keys: bool = True) -> Parser:
    """Return a parser with the options that describe a launch; without *keys*, with none that shows keys."""
    parser = Parser(prog=f"sevlab {verb}", description=description, epilog=EPILOG, formatter_class=_formatter)
    host = parser.add_argument_group("what the host reports")
    host.add_argument("--measurement", "-m", metavar="BASE64", help="the measurement: 48 bytes in base64")
    host.add_argument("--api-major", metavar="N", help="major version of the host's SEV API")
    host.add_argument("--api-minor", metavar="N", help="minor version of the host's SEV API")
    host.add_argument("--build-id", metavar="N", help="build number of the host's SEV firmware")
    host.add_argument("--policy", metavar="N", help="the guest policy")
    host.add_argument("--case", metavar="FILE", help="a case file with these inputs; options given beside it win")
    owner = parser.add_argument_group("what the owner knows")
    owner.add_argument("--firmware", "-f", metavar="FILE", help="the guest's firmware image, such as OVMF.fd")
    launch = parser.add_argument_group("what else was loaded")
    add_launch_options(launch)
    owner.add_argument("--tik", metavar="FILE", help="transport integrity key, 16 raw bytes")
    owner.add_argument("--tek", metavar="FILE", help="transport encryption key, 16 raw bytes")
    owner.add_argument("--tk", metavar="FILE", help="both keys in one file: TEK, then TIK, 32 raw bytes")
    parser.shown = shown = parser.add_argument_group("what is shown")
    shown.add_argument("--json", action="store_true", help="print the result as JSON")
    if keys:
        shown.add_argument("--show-keys", action="store_true", help="show keys, which are hidden otherwise")
    return parser


def add_launch_options(group: argparse._ArgumentGroup) -> None:
    """Add the options for what is loaded beside the firmware."""
    group.add_argument("--kernel", "-k", metavar="FILE", help="the kernel, for measured direct boot")
    group.add_argument("--initrd", "-r", metavar="FILE", help="the initrd (with --kernel)")
    group.add_argument("--cmdline", "-e", metavar="TEXT", help="the kernel command line (with --kernel)")
    group.add_argument("--num-cpus", "-n", metavar="N", help="number of virtual CPUs (SEV-ES)")
    group.add_argument("--vmsa-cpu0", "-0", metavar="FILE", help="registers (VMSA) of the boot CPU (SEV-ES)")
    group.add_argument("--vmsa-cpu1", "-1", metavar="FILE", help="registers of all further CPUs (SEV-ES)")
    group.add_argument("--cpu-family", metavar="N", help="in place of VMSA files: the CPU's family ...")
    group.add_argument("--cpu-model", metavar="N", help="... its model ...")
    group.add_argument("--cpu-stepping", metavar="N", help="... and its stepping")
    group.add_argument("--profile", metavar="NAME", help="how the registers start (default: qemu-legacy)")
    group.add_argument("--guest-features", metavar="N", help="SEV_FEATURES of the registers (default: 0)")


def evidence_from(args: argparse.Namespace) -> Evidence:
    """Read the launch that the options describe."""
    return load_evidence(names=as_option, **inputs_from(args))


def inputs_from(args: argparse.Namespace) -> dict[str, Any]:
    """Return the inputs that the options give, those of a case file among them."""
    given = {name: getattr(args, name) for name in (*REPORTED, *INPUTS, *KEYS)}
    readers = [(as_option(name), given[name]) for name in (*FILES, *KEYS)]
    return given if args.case is None else case_under(args.case, given, readers)


def opened_case(path: str) -> Case:
    """Return the case of a case file or a bundle. A bundle's files are there until the command ends."""
    from ..case import is_bundle, read_case

    if path not in _opened:
        if is_bundle(path):
            from ..bundle import open_case  # not above: whoever has a case file need not wait for it

            _opened[path] = AT_END.enter_context(open_case(path, "--case"))
        else:
            _opened[path] = read_case(path, "--case")
        AT_END.callback(_opened.pop, path)
    return _opened[path]


def legacy_case(path: str) -> Case:
    """Return the case of a case file or a bundle; refuse one of SEV-SNP."""
    from ..case import MODES

    case = opened_case(path)
    if case.is_snp:
        received = f"{quoted(path)}, a case of {MODES[case.mode]}"
        advice = "sevlab case verify, sevlab report verify or sevlab diagnose --mode snp"
        raise InputError("--case", received, "a case of SEV or SEV-ES", advice)
    return case


def case_under(
    path: str, given: dict[str, Any], readers: Sequence[tuple[str, str | None]], sections: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a case file gives, with explicit options laid over it; say which of its values they replace.

    *readers* are the options that may read standard input, and their values. *sections* are those of the case that
    count, the launch of SEV and SEV-ES without any.
    """
    from ..case import BY_NAME, LAUNCH

    check_standard_input([("--case", path), *readers])
    case = opened_case(path) if sections else legacy_case(path)
    merged, replaced = case.merged(given, sections or LAUNCH)
    for name in replaced:
        print(f"WARNING: {BY_NAME[name].option} of {path} is replaced by an option", file=sys.stderr)
    for change in case.changed:
        if change.name in merged and change.name not in replaced:
            print(f"WARNING: {path}: {change}", file=sys.stderr)
    return merged
