"""The command line: ``sevlab VERB OPTIONS``. Thin over the library.

Exit status, everywhere: 0 good, 1 did not validate, 2 inputs or usage that cannot be supported, 3 an error in our own
code; ``validate`` with a libvirt domain also 4 to 6. A verb's module is imported only when the verb is used, because a
validation should cost no more than its HMAC.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from .terminal import Ended, careful_streams, clean_end, why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


GOOD, NOT_VALIDATED, UNUSABLE, OUR_ERROR, INTERRUPTED = 0, 1, 2, 3, 130

#: More exact than UNUSABLE, for a libvirt domain: by the names of exceptions.
DOMAIN_STATUS = {"ConfigurationError": 4, "StateError": 5, "InsecureError": 6}

#: Every verb and what it does. The verb ``x-y`` lives in the module ``sevlab.cli.x_y``, which has ``run(words)``.
VERBS = {
    "validate": "check that a reported launch measurement follows from your inputs",
    "explain": "take the measurement apart byte by byte and show every step to the verdict",
    "diagnose": "find the input that explains a measurement that does not match",
    "digest": "compute the launch digest of firmware, kernel hashes and registers, for SEV, SEV-ES and SEV-SNP",
    "measure": "compute the measurement that a launch should report, from its parts",
    "secret": "pack secrets for one launch, or open such a packet and show its bytes",
    "ovmf": "identify a guest firmware file, say what it can do in a launch, and show its tables",
    "vmsa": "build, update, show or compare the registers that a virtual CPU of SEV-ES starts with",
    "profiles": "show known VMM launch behaviours and which tool versions predict them",
    "capture": "make a case file from the output of virsh or QMP, a domain XML, a QEMU command line or dmesg",
    "case": "make, show, verify, pack, unpack or redact a case: a launch in one file that can be sent",
    "coverage": "label every part of a configuration: measured, not measured, or breaks measurement",
    "report": "show or verify an attestation report of SEV-SNP, check by check up to AMD's root",
    "advise": "list known vulnerabilities affecting a platform, and the firmware version or setting that fixes each",
    "verifier-suite": "generate invalid attestation reports and run a verifier against them",
    "chain": "show or verify the certificates of a platform, link by link up to AMD's root",
    "session": "make the keys of one launch and pack them for one platform, or open such a session",
    "id-block": "build, show or verify an ID block, which says what a SEV-SNP launch must be",
    "lab": "copy the notebooks to a folder of yours and open JupyterLab there",
}

#: Verbs that share a module with others, and its name. There the verb ``x`` is ``run_x(words)``.
_SHARED = {
    "explain": "explain",
    "coverage": "explain",
    "digest": "digest",
    "measure": "digest",
    "session": "session",
    "chain": "session",
    "advise": "platform",
    "ovmf": "platform",
    "profiles": "platform",
}

#: What is to be done when the command has ended, such as taking away what was unpacked for it.
AT_END = ExitStack()

#: Warnings that come last, when the command ends without an error: then the error is the one line that counts.
LAST_WORDS: list[str] = []

USAGE = "usage: sevlab VERB [OPTIONS]     (sevlab VERB --help lists the options of a verb)"


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
        # The status of validate is libvirt's, which does not depend on what is said beside the verdict.
        is_lost = out or (err and words[:1] != ["validate"])
        return UNUSABLE if status == GOOD and is_lost else status


def _run(words: list[str]) -> int:
    """Run one command; turn whatever ends it into an exit status."""
    try:
        with clean_end(_clean_up):
            return _dispatch_and_warn(words)
    except KeyboardInterrupt:
        from .terminal import say

        say("Interrupted.", to=sys.stderr)
        return INTERRUPTED
    except Ended as ended:
        from .terminal import say

        say(f"Ended by {ended.name}.", to=sys.stderr)
        return ended.status
    except SystemExit as leaving:  # argparse leaves this way after --help
        return leaving.code if isinstance(leaving.code, int) else UNUSABLE
    except Exception as raised:
        from ..errors import ArgumentError, InputError, LayoutError, SevlabError, lacking, quoted

        error = raised
        if not isinstance(raised, SevlabError | OSError):
            error = lacking(raised) or raised
        if isinstance(error, SevlabError) and not isinstance(error, ArgumentError):
            _complain(str(error))
            if "--json" in words:
                _print_error_json(error)
            return DOMAIN_STATUS.get(type(error).__name__, UNUSABLE)
        if isinstance(error, OSError) and not isinstance(error, InputError | LayoutError):
            _complain(quoted(error, 300))
            return UNUSABLE
        _complain(f"an error in sevlab itself, please report it: {type(error).__name__}: {quoted(error, 300)}")
        return OUR_ERROR
    finally:
        LAST_WORDS.clear()


def _complain(words: str) -> None:
    from .terminal import say

    say(f"ERROR: {words}", to=sys.stderr)


def _dispatch_and_warn(words: list[str]) -> int:
    """Run a verb, and then say the warnings that come last."""
    from .terminal import warn

    status = _dispatch(words)
    for line in LAST_WORDS:
        warn(line)
    return status


def _clean_up() -> None:
    """Do what is to be done when the command has ended, and take away what a signal kept others from taking away."""
    try:
        AT_END.close()
    finally:
        if leftovers := sys.modules.get("sevlab.cases.writing"):
            leftovers.remove_leftovers()


def _dispatch(words: list[str]) -> int:
    from .terminal import say

    verb = words[0] if words else "--help"
    if verb in ("--version", "-V"):
        from .. import __version__

        say(f"sevlab {__version__}")
        return GOOD
    if verb in ("--help", "-h", "help"):
        width = max(map(len, VERBS))
        say(USAGE, "", *(f"  {name:{width}}  {what}" for name, what in VERBS.items()))
        say("", "sevlab --version prints the version. Exit status: 0 good, 1 did not validate, 2 unusable input.")
        return GOOD if words else UNUSABLE
    if verb not in VERBS:
        from ..errors import InputError, quoted

        raise InputError("verb", quoted(verb), f"one of {', '.join(VERBS)}", "sevlab --help")
    from importlib import import_module

    from ..launch.reading import opened_once

    AT_END.enter_context(opened_once(fresh=True, patient=True))
    name = verb.replace("-", "_")
    module = import_module(f"sevlab.cli.{_SHARED.get(name, name)}")
    status: int = getattr(module, f"run_{name}" if name in _SHARED else "run")(words[1:])
    return status


def _print_error_json(error: Exception) -> None:
    from .terminal import say_json

    told = {name: str(value) for name, value in vars(error).items()}
    say_json({"status": "unusable", "error": str(error), **told}, indent=None)
