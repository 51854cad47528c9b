"""The options of a launch, declared once for every verb that takes them. Names and letters are libvirt's."""

from __future__ import annotations

import argparse
import sys

from ..cli import AT_END, LAST_WORDS
from ..errors import InputError, hide_keys, quoted, renaming, shell_word
from ..launch.evidence import KEYS, REPORTED, Evidence, load_evidence
from ..launch.files import check_standard_input
from ..launch.inputs import FILES, INPUTS, as_option
from .terminal import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from ..cases.case import Case
    from ..launch.evidence import Trust


#: Options that libvirt's tool does not have.
OURS = ("--case", "--own-case", "--json", "--show-keys", "--html", "--force", "--profile", "--guest-features")

EPILOG = (
    "Numbers are decimal or 0x hex. '-' reads a file from standard input. "
    "Exit status: 0 validated, 1 did not validate or not decided, 2 usage or input that cannot be supported, "
    "3 an error in sevlab; of validate --domain also 4 its configuration, 5 its state, 6 insecure usage. "
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
    #: What happens to an option that is given again, because no value must be dropped in silence: "warn" that the last
    #: one counts; "refuse" it, where it may be a requirement; "ignore" it, in a first look at the words.
    repeated = "warn"

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parse, as argparse does; which options were seen is counted anew."""
        self._seen: set[str] = set()
        return super().parse_known_args(*args, **kwargs)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Notice an option that is given again: argparse calls this once for each time."""
        if action.option_strings and isinstance(action, argparse._StoreAction | argparse.BooleanOptionalAction):
            name = action.option_strings[0]
            if name in self._seen and self.repeated == "refuse":
                raise InputError(name, "it more than once", "it once")
            if name in self._seen and self.repeated == "warn":
                LAST_WORDS.append(f"{name} was given more than once; the last one counts")
            self._seen.add(name)
        return super()._get_values(action, arg_strings)

    def __init__(self, *, description: str | None = None, **more: Any) -> None:
        super().__init__(description=description and sentence(description), **more)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Let what libvirt's tool takes as a short form of one of its options stay one, beside options of our own."""
        found = super()._get_option_tuples(option_string)
        theirs = [match for match in found if match[1] not in OURS]
        return theirs if len(theirs) == 1 else found

    def error(self, message: str) -> NoReturn:
        # argparse repeats words as they were typed, of any length; the error escapes them.
        raise InputError("usage", hide_keys(message)[:300], "options as declared", f"{self.prog} --help")


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
    add_platform(host)
    add_case(host)
    owner = parser.add_argument_group("what the owner knows")
    add_inputs(owner, "firmware", letters=True)
    launch = parser.add_argument_group("what else was loaded")
    add_inputs(launch, *INPUTS[1:], letters=True)
    owner.add_argument("--tik", metavar="FILE", help="transport integrity key, 16 raw bytes")
    owner.add_argument("--tek", metavar="FILE", help="transport encryption key, 16 raw bytes")
    owner.add_argument("--tk", metavar="FILE", help="both keys in one file: TEK, then TIK, 32 raw bytes")
    parser.shown = shown = parser.add_argument_group("what is shown")
    shown.add_argument("--json", action="store_true", help="print the result as JSON")
    if keys:
        shown.add_argument("--show-keys", action="store_true", help="show keys, which are hidden otherwise")
    return parser


def add_platform(group: argparse._ArgumentGroup, *, required: bool = False) -> None:
    """Add the options for the numbers that a platform and a policy have."""
    for name, words in (
        ("--api-major", "major version of the host's SEV API"),
        ("--api-minor", "minor version of the host's SEV API"),
        ("--build-id", "build number of the host's SEV firmware"),
        ("--policy", "the guest policy"),
    ):
        group.add_argument(name, metavar="N", required=required, help=words)


def add_case(group: argparse._ActionsContainer, words: str = "", metavar: str = "FILE") -> None:
    """Add the option for a case, which *words* tell of, and that for saying whose it is."""
    told = words or "a case file with these inputs; options given beside it win"
    group.add_argument("--case", metavar=metavar, help=told)
    add_own_case(group)


def add_own_case(group: argparse._ActionsContainer) -> None:
    """Add the option for a case that its user made, where a case is taken."""
    words = "the case is yours: its keys and wishes are trusted, files it names anywhere are opened"
    group.add_argument("--own-case", action="store_true", help=words)


#: The inputs of a launch as options: libvirt's letter, what the value is, and what it says.
_LAUNCH = {
    "firmware": ("f", "FILE", "the guest firmware image, such as OVMF.fd"),
    "kernel": ("k", "FILE", "the kernel, for measured direct boot"),
    "initrd": ("r", "FILE", "the initrd (with a kernel)"),
    "cmdline": ("e", "TEXT", "the kernel command line (with a kernel)"),
    "num_cpus": ("n", "N", "number of virtual CPUs (all but plain SEV)"),
    "vmsa_cpu0": ("0", "FILE", "registers (VMSA) of the boot CPU, 4096 bytes (SEV-ES)"),
    "vmsa_cpu1": ("1", "FILE", "registers of all further CPUs (SEV-ES)"),
    "cpu_signature": ("", "N", "the CPU signature (CPUID 1, EAX), instead of a CPU model"),
    "cpu_family": ("", "N", "instead of VMSA files or a CPU model: the CPU's family ..."),
    "cpu_model": ("", "N", "... its model ..."),
    "cpu_stepping": ("", "N", "... and its stepping"),
    "profile": ("", "NAME", "how a host behaves (default: qemu; of validate, explain and diagnose: qemu-legacy)"),
    "guest_features": ("", "N", "SEV_FEATURES of the registers (default: 0 for SEV-ES, 1 for SEV-SNP)"),
    "ovmf_hash": ("", "HEX", "the digest after the firmware, in its place (mode snp)"),
    "svsm": ("", "FILE", "the SVSM image (mode snp:svsm), with one of these two:"),
    "vars_size": ("", "N", "bytes of OVMF's variable store"),
    "vars_file": ("", "FILE", "OVMF's variable store, of which only the size counts"),
}


def add_inputs(
    group: argparse._ArgumentGroup, *names: str, spell: Callable[[str], str] = as_option, letters: bool = False
) -> None:
    """Add options for inputs of a launch, as *spell* writes them, with libvirt's *letters*."""
    for name in names:
        letter, metavar, words = _LAUNCH[name]
        flags = [spell(name), *([f"-{letter}"] if letters and letter else [])]
        group.add_argument(*flags, dest=name, metavar=metavar, help=words)


def evidence_from(args: argparse.Namespace) -> Evidence:
    """Read the launch that the options describe, all of which will be shown but the keys."""
    inputs = inputs_from(args)
    with renaming(as_option):
        evidence = load_evidence(trust=trust_from(args), **inputs)
        evidence.refuse_keys()
    return evidence


def inputs_from(args: argparse.Namespace) -> dict[str, Any]:
    """Return the inputs that the options give, those of a case file among them."""
    given = {name: getattr(args, name) for name in (*REPORTED, *INPUTS, *KEYS)}
    readers = [(as_option(name), given[name]) for name in (*FILES, *KEYS)]
    return given if args.case is None else case_under(args, given, readers)


def opened_case(args: argparse.Namespace) -> Case:
    """Return the case that --case names, a case file or a bundle. A bundle's files are there until the command ends."""
    from ..cases.case_toml import is_bundle, read_case

    path, own = str(args.case), bool(args.own_case)
    if path not in _opened:
        if is_bundle(path):
            from ..cases.bundle import open_case  # not above: whoever has a case file need not wait for it

            _opened[path] = AT_END.enter_context(open_case(path, "--case", own))
        else:
            _opened[path] = read_case(path, "--case", own)
        AT_END.callback(_opened.pop, path)
    return _opened[path]


def trust_from(args: argparse.Namespace) -> Trust | None:
    """Return what is trusted of the case of --case where no option gives the keys; None without a case."""
    return None if args.case is None else opened_case(args).trust({name: getattr(args, name) for name in KEYS})


def tell_trust(trust: Trust, path: str) -> None:
    """Say on standard error what is taken on the word of the case at *path*: a key, or all that a bundle wants."""
    for note in trust.notes if trust.keys or trust.bundled else ():
        say(f"NOTE: {shell_word(path)}: {note}", to=sys.stderr)


def legacy_case(args: argparse.Namespace) -> Case:
    """Return the case that --case names; refuse one of SEV-SNP."""
    from ..cases.case import MODES

    case = opened_case(args)
    if case.is_snp:
        received = f"{quoted(args.case)}, a case of {MODES[case.mode]}"
        advice = "sevlab case verify, sevlab report verify or sevlab diagnose --mode snp"
        raise InputError("--case", received, "a case of SEV or SEV-ES", advice)
    return case


def case_under(
    args: argparse.Namespace,
    given: dict[str, Any],
    readers: Sequence[tuple[str, str | None]],
    sections: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what the case of --case gives, with explicit options laid over it; say which of its values they replace.

    *readers* are the options that may read standard input, and their values. *sections* are those of the case that
    count, the launch of SEV and SEV-ES without any.
    """
    from ..cases.case import BY_NAME, LAUNCH, SNP

    path = args.case
    check_standard_input([("--case", path), *readers])
    case = opened_case(args) if sections else legacy_case(args)
    merged, replaced = case.merged(given, sections or LAUNCH)
    for name in replaced:
        warn(f"{BY_NAME[name].option} of {shell_word(path)} is replaced by an option")
    if not sections or set(sections) <= set(SNP):
        tell_trust(case.trust(given, sections or LAUNCH), path)
    for change in case.changed:
        if change.name in merged and change.name not in replaced:
            warn(f"{shell_word(path)}: {change}")
    return merged
