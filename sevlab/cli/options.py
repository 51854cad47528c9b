"""Command line options, declared once for every verb that takes them."""

from __future__ import annotations

import argparse
import os
import re
import sys

from ..cli import AT_END, LAST_WORDS, VERBS, meant
from ..errors import InputError, describe_content, hide_keys, quoted, renaming, shell_word
from ..formats.launch_measure import Measurement
from ..launch.inputs import FILES, INPUTS, KEYS, REPORTED, as_option, as_peer
from ..launch.reading import check_standard_input, load_file, note_input
from ..launch.values import TEXT_LIMIT, parse_bytes, parse_measurement
from .terminal import columns, say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn, TypeVar

    from ..cases.case import Case, Value
    from ..launch.inputs import Trust

    V = TypeVar("V")


#: Options that libvirt's tool does not have.
OURS = ("--case", "--own-case", "--json", "--show-keys", "--html", "--force", "--profile", "--guest-features")
#: What the help of several verbs says at its end.
NUMBERS, STDIN = "Numbers are decimal or 0x hex.", "'-' reads a file from standard input."
#: The page of a verb in docs/, where it is not called like the verb.
PAGES = {"explain": "validate", "coverage": "capture", "case": "case-format", "lab": "README"}
PAGES |= {"assignment": "teaching", "grade": "teaching"}
#: The inputs of a launch as options: libvirt's letter, the kind of value, and the help.
INPUT_OPTIONS = {
    "measurement": ("m", "BASE64", "the measurement: 48 bytes in base64"),
    "api_major": ("", "N", "major version of the host's SEV API"),
    "api_minor": ("", "N", "minor version of the host's SEV API"),
    "build_id": ("", "N", "build number of the host's SEV firmware"),
    "policy": ("", "N", "the guest policy"),
    "firmware": ("f", "FILE", "the guest firmware image, such as OVMF.fd"),
    "kernel": ("k", "FILE", "the kernel, for measured direct boot"),
    "initrd": ("r", "FILE", "the initrd (with a kernel)"),
    "cmdline": ("e", "TEXT", "the kernel command line (with a kernel)"),
    "num_cpus": ("n", "N", "number of virtual CPUs (all but plain SEV)"),
    "vmsa_cpu0": ("0", "FILE", "registers (VMSA) of the boot CPU, 4096 bytes (SEV-ES)"),
    "vmsa_cpu1": ("1", "FILE", "registers of all further CPUs (SEV-ES)"),
    "vcpu_type": ("", "NAME", "QEMU's CPU model, such as EPYC-v4"),
    "cpu_signature": ("", "N", "the CPU signature (CPUID 1, EAX), instead of a CPU model"),
    "cpu_family": ("", "N", "instead of VMSA files or a CPU model: CPU family ..."),
    "cpu_model": ("", "N", "... CPU model ..."),
    "cpu_stepping": ("", "N", "... and stepping"),
    "profile": ("", "NAME", "how the VMM behaves (default: qemu; validate, explain and diagnose: qemu-legacy)"),
    "guest_features": ("", "N", "SEV_FEATURES of the registers (default: 0 for SEV-ES, 1 for SEV-SNP)"),
    "ovmf_hash": ("", "HEX", "the digest after the firmware, instead of hashing it (mode snp)"),
    "svsm": ("", "FILE", "the SVSM image (mode snp:svsm), with one of these two:"),
    "vars_size": ("", "N", "bytes of OVMF's variable store"),
    "vars_file": ("", "FILE", "OVMF's variable store; only its size counts"),
    "tik": ("", "FILE", "transport integrity key, 16 raw bytes"),
    "tek": ("", "FILE", "transport encryption key, 16 raw bytes"),
    "tk": ("", "FILE", "both keys in one file: TEK, then TIK, 32 raw bytes"),
}
#: The numbers of a platform, and the guest policy.
PLATFORM = REPORTED[1:]
_SECONDS = r"[0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9}"
#: Cases that this command has opened, by path.
_opened: dict[str, Case] = {}


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line, and makes a sentence of its description."""

    #: What happens to an option that is given again, because no value must be dropped in silence: "warn" that the last
    #: one counts; "refuse" it, where it may be a requirement; "ignore" it, in a first look at the words.
    repeated = "warn"

    def __init__(self, *, description: str | None = None, **more: Any) -> None:
        super().__init__(description=description and sentence(description), formatter_class=_Help, **more)

    def parse_known_args(self, args: Any = None, namespace: Any = None, **more: Any) -> Any:
        """Parse, as argparse does, except that a word too many is refused here: the parser of an action knows more."""
        self._seen: set[str] = set()
        self._words = list(args or ())
        known, extra = super().parse_known_args(args, namespace, **more)
        if extra and self.repeated != "ignore":
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return known, extra

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            advice = f"{self.prog} --help"
            if action.dest == "action" and "show" in action.choices and os.path.exists(value):
                advice = f"{self.prog} show {shell_word(value)}"
            raise InputError("usage", quoted(value), f"one of {', '.join(action.choices)}", advice)

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

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Keep the abbreviations of libvirt's tool, although there are more options here."""
        found = super()._get_option_tuples(option_string)
        theirs = [match for match in found if match[1] not in OURS]
        return theirs if len(theirs) == 1 else found

    def error(self, message: str) -> NoReturn:
        options, advice = self._option_string_actions, f"{self.prog} --help"
        for word in self._words[: self._words.index("--")] if "--" in self._words else self._words:
            name = word.partition("=")[0]
            if self._subparsers and not word.startswith("-"):
                break  # the rest is the action's
            if re.match("-[^0-9]", name) and not any(one.startswith(name) or one == name[:2] for one in options):
                # The same input in libvirt's words or in sev-snp-measure's.
                both = ((as_option(one), as_peer(one)) for one in INPUT_OPTIONS)
                other = [one for spellings in both if name in spellings for one in spellings if one in options]
                hint = f"Did you mean {other[0]}?" if other else meant(name, options)
                if hint or message.startswith("unrecognized"):
                    advice = f"{advice}. {hint}" if hint else advice
                    raise InputError("usage", f"the unknown option {quoted(name)}", f"an option of {self.prog}", advice)
        # argparse repeats words as they were typed, of any length; the error escapes them.
        message = hide_keys(message[:4096])[:300]
        if self._subparsers and "required" in message:
            names = ", ".join(self._subparsers._group_actions[0].choices or ())
            raise InputError("usage", "no action", f"one of {names}", advice)
        said = next(filter(None, (re.fullmatch(pattern, message, re.DOTALL) for pattern in _SAID)), None)
        received, needed = _SAID[said.re.pattern] if said else (message, "options as declared")
        if message.startswith("unrecognized") and not self._get_positional_actions():
            needed = "an option before each value"
        raise InputError("usage", said.expand(received) if said else received, needed, advice)


#: What argparse says of words that do not fit, and what was received and needed then.
_SAID = {
    "the following arguments are required: (.*)": (r"no \1", "what the verb requires"),
    "one of the arguments (.*) is required": (r"none of \1", "one of them"),
    "unrecognized arguments: (.*)": (r"more than it takes: \1", "nothing more"),
    "ambiguous option: (.*) could match (.*)": (r"\1, which could be \2", "one of these"),
    "argument ([^:]*): expected (?:one|at least one) argument": (r"\1 without a value", "a value"),
    "argument ([^:]*): not allowed with argument (.*)": (r"\1 together with \2", "one of the two"),
}


class _Help(argparse.HelpFormatter):
    """Help that is as wide as the terminal, 80 columns in a pipe, and breaks no word."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, width=columns(piped=80), **more)

    def _split_lines(self, text: str, width: int) -> list[str]:
        from ..layout.views import filled

        return filled(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(self._split_lines(text, width))


def sentence(words: str) -> str:
    """Return *words* as a sentence. Unlike capitalize(), this keeps the capitals of SEV-SNP."""
    return f"{words[0].upper()}{words[1:].removesuffix('.')}{'' if words.endswith('?') else '.'}"


def phrase(words: str) -> str:
    """Return a sentence as a part of another one: "CPU family" as it is, but "number of virtual CPUs"."""
    first = words.partition(" ")[0]
    begin = words[0].lower() if len(first) == 1 or first[1:].islower() else words[0]
    return f"{begin}{words[1:].rstrip('.')}"


def verb_parser(verb: str, statuses: str, notes: str = "", more: str = "") -> Parser:
    """Return a parser for a verb. Its description is what VERBS says, and *more*; *statuses* says what 0 and 1 mean."""
    errors = "2 usage or input that cannot be supported, 3 an error in sevlab"
    epilog = f"{notes} Exit status: {statuses}, {errors}. See docs/{PAGES.get(verb, verb)}.md."
    return Parser(prog=f"sevlab {verb}", description=sentence(VERBS[verb][2]) + more, epilog=epilog.lstrip())


def add_actions(parser: Parser, actions: Mapping[str, str]) -> dict[str, Parser]:
    """Add actions of a verb, each with what it does; return their parsers, by name."""
    made = parser.add_subparsers(dest="action", metavar="|".join(actions), required=True)
    return {
        name: made.add_parser(name, help=what, description=what, epilog=parser.epilog) for name, what in actions.items()
    }


def launch_parser(
    verb: str, statuses: str, *notes: str, verbose: bool = False
) -> tuple[Parser, argparse._ArgumentGroup]:
    """Return a parser with the options that describe a launch, and its group about what is shown."""
    parser = verb_parser(verb, statuses, " ".join((NUMBERS, STDIN, *notes)))
    host = parser.add_argument_group("what the host reports")
    add_inputs(host, *REPORTED, letters=True)
    add_case(host)
    add_inputs(parser.add_argument_group("what the owner knows"), "firmware", *KEYS, letters=True)
    add_inputs(parser.add_argument_group("what else was loaded"), *INPUTS[1:], letters=True)
    shown = parser.add_argument_group("what is shown")
    add_json(shown, verbose=verbose)
    return parser, shown


def add_inputs(
    group: argparse._ActionsContainer,
    *names: str,
    spellings: Sequence[Callable[[str], str]] = (as_option,),
    letters: bool = False,
    required: bool = False,
) -> None:
    """Add options for inputs of a launch, in one or several *spellings*, and with libvirt's *letters*."""
    for name in names:
        letter, metavar, words = INPUT_OPTIONS[name]
        flags = [*dict.fromkeys(spell(name) for spell in spellings), *([f"-{letter}"] if letters and letter else [])]
        kind = _noted if metavar == "FILE" else str
        group.add_argument(*flags, dest=name, metavar=metavar, required=required, help=words, type=kind)


def _noted(path: str) -> str:
    """Return the path of an input, so noted that nothing replaces it, even where nothing opens it."""
    note_input(path)
    return path


def add_json(*groups: argparse._ActionsContainer, verbose: bool = False) -> None:
    """Add the option for JSON, and the one for all that an answer leaves out."""
    for group in groups:
        group.add_argument("--json", action="store_true", help="print the result as JSON")
        if verbose:
            group.add_argument("--verbose", "-v", action="store_true", help="show every detail, not only the answer")


def add_show_keys(group: argparse._ActionsContainer) -> None:
    """Add the option that shows keys."""
    group.add_argument("--show-keys", action="store_true", help="show keys, which are hidden otherwise")


def add_case(group: argparse._ActionsContainer, words: str = "", metavar: str = "FILE") -> None:
    """Add the option for a case, with its help, and the option that makes it the user's own."""
    words = words or "a case file with these inputs; options given beside it win"
    group.add_argument("--case", metavar=metavar, help=words)
    add_own_case(group)


def add_own_case(*groups: argparse._ActionsContainer) -> None:
    """Add the option that makes a case the user's own."""
    words = "the case is yours: its keys and requirements are trusted, and it may name files anywhere"
    for group in groups:
        group.add_argument("--own-case", action="store_true", help=words)


def readers(args: argparse.Namespace, *names: str) -> list[tuple[str, str | None]]:
    """Return options that may read standard input, with their values."""
    return [(as_option(name), getattr(args, name)) for name in names]


def split_command(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first ``--``, and those after it."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def inputs_from(args: argparse.Namespace) -> dict[str, Any]:
    """Return the inputs that the options give, with those of a case under them."""
    given = {name: getattr(args, name) for name in (*REPORTED, *INPUTS, *KEYS)}
    return given if args.case is None else case_under(args, given, readers(args, *FILES, *KEYS))


def registers_read(given: dict[str, V]) -> dict[str, V]:
    """Return the inputs with the registers among them read, in whatever form they are; say which form it was."""
    if given.get("vmsa_cpu0") is None:
        return given
    from ..cases.case import with_registers  # not above: few launches have them

    with renaming(as_option):
        read = with_registers(given)
    for name in FILES[3:]:
        if (form := getattr(read.get(name), "form", "")) not in ("", "binary"):
            say(f"NOTE: {as_option(name)}: read from {form}", to=sys.stderr)
    return read


def opened_case(args: argparse.Namespace) -> Case:
    """Return the case of --case: a case file, a folder that has one, or a bundle, whose files stay until the end."""
    from ..cases.case_toml import is_bundle, read_case

    path, own = str(args.case), bool(args.own_case)
    if path not in _opened:
        if os.path.isdir(path) or is_bundle(path):
            from ..cases.bundle import open_case  # not above: a case file does not need it

            _opened[path] = AT_END.enter_context(open_case(path, "--case", own))
        else:
            _opened[path] = read_case(path, "--case", own)
        AT_END.callback(_opened.pop, path)
    return _opened[path]


def trust_from(args: argparse.Namespace) -> Trust | None:
    """Return what is trusted of the case of --case where no option gives the keys; None without a case."""
    return None if args.case is None else opened_case(args).trust({name: getattr(args, name) for name in KEYS})


def tell_trust(trust: Trust, path: str) -> None:
    """Print on standard error what is taken on the word of the case at *path*."""
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
    given: Mapping[str, Value | None],
    readers: Iterable[tuple[str, str | None]],
    sections: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the inputs of the case of --case, with the *given* options laid over them; warn of each it replaces.

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


def parse_seconds(text: str, name: str, limit: float) -> float:
    """Return a number of seconds above 0 and at most *limit*, written in decimal."""
    seconds = float(text) if re.fullmatch(_SECONDS, text) else 0.0
    if not 0 < seconds <= limit:
        raise InputError(name, quoted(text), f"seconds, more than 0 and at most {limit:g}")
    return seconds


def load_value(value: str, name: str, size: int) -> bytes:
    """Return exactly *size* bytes, given as base64 or hex text, or as the path of a file that holds them.

    A file may hold the bytes themselves, or base64 or hex text. As with sevctl, the name of a file is a path.
    """
    return _value_or_file(value, name, size, parse_bytes)


def load_measurement(value: str, name: str = "measurement") -> Measurement:
    """Return a measurement, given as base64 or hex text, or as the path of a file that holds it; see load_value."""

    def parse(text: str, name: str, size: int) -> bytes:
        return parse_measurement(text, name, allow_hex=True).to_bytes()

    return Measurement.from_bytes(_value_or_file(value, name, Measurement.size, parse))


def _value_or_file(value: str, name: str, size: int, parse: Callable[[str, str, int], bytes]) -> bytes:
    is_file = value == "-" or ("\0" not in value and os.path.exists(value))
    text, raw = value, b""
    if is_file:
        raw = load_file(value, name, TEXT_LIMIT)
        if len(raw) == size:
            return raw
        text = raw.decode("ascii", "replace")
    try:
        return parse(text, name, size)
    except InputError as error:
        # The content of a file is never shown: it may be a key, given in the wrong place.
        where = f"{quoted(value)}, which is no file"
        if is_file:
            where = f"the file {quoted(value)} with {describe_content(raw)}"
            text, raw = "", b""
        raise InputError(name, where, f"{error.needed}, or a file that holds them", error.advice) from None
