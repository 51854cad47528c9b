"""The command line: ``sevlab VERB OPTIONS``. Thin over the library.

Exit status, everywhere: 0 good, 1 did not validate, 2 inputs or usage that cannot be supported, 3 an error in our own
code; ``validate`` with a libvirt domain also 4 to 6. A verb's module is imported only when the verb is used, because a
validation should cost no more than its HMAC.
"""

from __future__ import annotations

import gc
import sys
from contextlib import ExitStack
from importlib import import_module

from ..errors import ArgumentError, InputError, LayoutError, SevlabError, escaped, quoted
from .terminal import Ended, careful_streams, clean_end, say, say_json, warn, why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


GOOD, NOT_VALIDATED, UNUSABLE, OUR_ERROR, INTERRUPTED = 0, 1, 2, 3, 130
#: More exact than UNUSABLE, for a libvirt domain: by the names of exceptions.
DOMAIN_STATUS = {"ConfigurationError": 4, "StateError": 5, "InsecureError": 6}
#: Every verb: its module, its function, which takes the words after the verb, and what it does.
VERBS = {
    "validate": ("validate", "run", "check a reported launch measurement against your inputs"),
    "explain": ("explain", "run", "show a measurement byte by byte, and every step to the verdict"),
    "diagnose": ("diagnose", "run", "find the input that explains a mismatch"),
    "digest": ("digest", "run_digest", "compute a launch digest, for SEV, SEV-ES and SEV-SNP"),
    "measure": ("digest", "run_measure", "compute the measurement that a launch should report"),
    "secret": ("secret", "run", "pack secrets for one launch, or open such a packet"),
    "ovmf": ("platform", "run_ovmf", "identify a guest firmware file, and show what it can do"),
    "vmsa": ("vmsa", "run", "build, update, show or compare a virtual CPU's registers"),
    "profiles": ("platform", "run_profiles", "show how VMMs start guests, and which tools predict it"),
    "capture": ("capture", "run_capture", "make a case file from virsh, QMP, XML, QEMU or dmesg output"),
    "case": ("case", "run", "make, show, verify, pack, unpack or redact a case"),
    "coverage": ("capture", "run_coverage", "show which parts of a configuration are measured"),
    "report": ("report", "run", "show or verify an attestation report of SEV-SNP"),
    "advise": ("platform", "run_advise", "list known vulnerabilities of a platform, and their fixes"),
    "verifier-suite": ("verifier_suite", "run", "make invalid reports, and run a verifier against them"),
    "chain": ("session", "run_chain", "show or verify a platform's certificates, up to AMD's root"),
    "session": ("session", "run_session", "make the keys of a launch, or open a session"),
    "id-block": ("id_block", "run", "build, show or verify an ID block of SEV-SNP"),
    "lab": ("lab", "run", "copy the notebooks to a folder, and open JupyterLab there"),
    "assignment": ("lab", "run_assignment", "write broken launches for a student, with sealed solutions"),
    "grade": ("lab", "run_grade", "mark the answers to assignments, as CSV"),
}
#: Most characters of a word.
LONGEST = 128 << 10
#: What is done when the command has ended, such as removing what was unpacked for it.
AT_END = ExitStack()
#: Warnings that come last, when the command ends without an error: then the error is the one line that counts.
LAST_WORDS: list[str] = []
USAGE = "usage: sevlab VERB [OPTIONS]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    No input ends in a traceback, no signal leaves anything behind, and lost output is no success.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with careful_streams() as finish:
        status = _run(words)
        out, err = finish()
        if out is not None and (reason := why(out)):
            _complain(f"standard output: {reason}")
        # The status of validate is libvirt's, which does not depend on what is printed beside the verdict.
        is_lost = out or (err and words[:1] != ["validate"])
        if argv is None:  # the process ends, and Python would search all it has imported for garbage
            gc.freeze()
        return UNUSABLE if status == GOOD and is_lost else status


def _run(words: list[str]) -> int:
    try:
        with clean_end(_clean_up):
            status = _dispatch(words)
            for line in LAST_WORDS:
                warn(line)
            return status
    except KeyboardInterrupt:
        say("Interrupted.", to=sys.stderr)
        return INTERRUPTED
    except Ended as ended:
        say(f"Ended by {ended.name}.", to=sys.stderr)
        return ended.status
    except SystemExit as leaving:  # argparse leaves this way after --help
        return leaving.code if isinstance(leaving.code, int) else UNUSABLE
    except Exception as raised:
        return _refuse(raised, as_json="--json" in words[: [*words, "--"].index("--")])
    finally:
        LAST_WORDS.clear()


def _refuse(error: Exception, *, as_json: bool) -> int:
    """Print in one line why a command failed; return the exit status."""
    if not isinstance(error, SevlabError | OSError):
        from ..data.requirements import lacking

        error = lacking(error) or error
    if isinstance(error, SevlabError) and not isinstance(error, ArgumentError):
        words = _complain(*_parts(error))
        if as_json:
            details = {name: str(value) for name, value in vars(error).items()}
            say_json({"status": "unusable", "error": words, **details}, indent=None)
        return DOMAIN_STATUS.get(type(error).__name__, UNUSABLE)
    if isinstance(error, OSError) and not isinstance(error, InputError | LayoutError):
        _complain(quoted(error, 300))
        return UNUSABLE
    _complain(f"an error in sevlab itself, please report it: {type(error).__name__}: {quoted(error, 300)}")
    return OUR_ERROR


def _complain(words: str, *advice: str) -> str:
    """Print why a command failed; return it as one line. On a terminal the advice has a line of its own, to copy."""
    line = f"ERROR: {'. '.join([words, *advice])}"
    say(*([f"ERROR: {words}.", *advice] if advice and sys.stderr.isatty() else [line]), to=sys.stderr)
    return line.removeprefix("ERROR: ")


def _parts(error: SevlabError) -> list[str]:
    """Return an error's text, then what to try and whether something else was meant, if there is any such."""
    if not isinstance(error, InputError):
        return [str(error)]
    typed = error.received.strip("'") if error.received.startswith("'") else ""
    known = error.needed.removeprefix("one of ").replace(" or ", ", ").split(", ")
    advice = f"Try: {escaped(error.advice)}" if error.advice else ""
    words, question = str(error).removesuffix(f". {advice}"), meant(typed, known)
    if meant(typed, error.advice.split(" or ")):
        return [words, f"Did you mean {escaped(error.advice)}?"]
    tail = ". ".join(filter(None, (advice, question)))
    return [words, tail] if tail else [words]


def meant(word: str, known: Iterable[str]) -> str:
    """Return the question whether a word like it was meant; "" if none is like it."""
    from difflib import get_close_matches

    fits = (one for one in known if one and " " not in one and one.startswith("--") <= word.startswith("-"))
    folded = {one.lower(): one for one in fits}
    typed = word.lower()[:60]
    near = [one for one in folded if len(one) > 2 and typed.endswith(f"-{one}")]  # amd-sev-snp
    near = near or get_close_matches(typed, folded, n=1)
    return f"Did you mean {folded[near[0]]}?" if near else ""


def _clean_up() -> None:
    """Do what is left for the end, and remove files that a signal kept others from removing."""
    try:
        AT_END.close()
    finally:
        if leftovers := sys.modules.get("sevlab.cases.writing"):
            leftovers.remove_leftovers()


def _dispatch(words: list[str]) -> int:
    if (longest := max(map(len, words), default=0)) > LONGEST:
        raise InputError("usage", f"a word of {longest} characters", f"at most {LONGEST}, all that Linux hands on")
    verb = words[0] if words else "--help"
    if verb in ("--help", "-h", "help") and words[1:] and not words[1].startswith("-"):
        verb, words = words[1], [*(one for one in words[1:3] if not one.startswith("-")), "--help"]
    if verb in ("--version", "-V"):
        from .. import __version__

        say(f"sevlab {__version__}")
        return GOOD
    if verb in ("--help", "-h", "help"):
        width = max(map(len, VERBS))
        say(USAGE, "", *(f"  {name:{width}}  {what}" for name, (_, _, what) in VERBS.items()), "")
        say("sevlab VERB --help lists the options of a verb, sevlab --version prints the version.")
        say("Exit status: 0 good, 1 did not validate, 2 unusable input.")
        return GOOD if words else UNUSABLE
    if verb not in VERBS:
        question = meant(verb, [*VERBS, "--help", "--version"])
        needed, advice = f"one of {', '.join(VERBS)}", "sevlab --help"
        raise InputError("verb", quoted(verb), *(("a verb", f"{advice}. {question}") if question else (needed, advice)))
    from ..launch.reading import opened_once

    AT_END.enter_context(opened_once(fresh=True, patient=True))
    module, function, _ = VERBS[verb]
    status: int = getattr(import_module(f"sevlab.cli.{module}"), function)(words[1:])
    return status
