"""Run a verifier against the test cases: a Python function, or a program that gets them as files.

A program is started once for each test case, without a shell, and stopped when its time is up.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cases.writing import reason_of, temporary_folder
from ...errors import InputError, UnsupportedError, quoted
from ...layout.span import Explainable
from ...layout.views import Banner, Heading, Paragraph, Table, View
from ...simulator.kds import MOMENT
from .cases import ACCEPTABLE, FLAWS, INVALID, VALID, TestCase, VerifierInput
from .der_edit import pem
from .vectors import load_cases

#: Most characters that are kept of a verifier's output.
LONGEST = 160
TABLE, FORMAT = "verifier-suite.json", "sevlab verifier-suite 1"
#: A moment at which everything is valid that should be, like any from 2025-07-01 to 2044.
AT = f"{MOMENT:%Y-%m-%d}"
#: Default time for one test case, in seconds.
TIMEOUT = 30.0
_MAKE, _HELP = "sevlab verifier-suite make DIR", "sevlab verifier-suite run --help"
#: The files of a test case: the name in a command line, the file's name, its content.
FILES: dict[str, tuple[str, Callable[[VerifierInput], bytes]]] = {
    "report": ("report.bin", lambda given: given.report),
    "vcek": ("vcek.der", lambda given: given.vcek),
    "vcek_pem": ("vcek.pem", lambda given: pem(given.vcek)),
    "chain": ("chain.pem", lambda given: given.chain),
    "ask": ("ask.der", lambda given: given.ask),
    "ark": ("ark.der", lambda given: given.ark),
    "crl": ("crl.der", lambda given: given.crl),
    "root": ("root.der", lambda given: given.root),
    "root_pem": ("root.pem", lambda given: pem(given.root)),
}
#: The values of a test case as text: bytes in lower-case hex.
VALUES: dict[str, Callable[[VerifierInput], str]] = {
    "product": lambda given: given.product,
    "root_sha256": lambda given: given.root_sha256,
    "measurement": lambda given: given.measurement.hex(),
    "report_data": lambda given: given.report_data.hex(),
    "host_data": lambda given: given.host_data.hex(),
    "id_key_digest": lambda given: given.id_key_digest.hex(),
    "min_tcb": lambda given: given.min_tcb,
    "vmpl": lambda given: str(given.vmpl),
    "policy": lambda given: f"0x{given.policy:x}",
    "at": lambda given: AT,
}
#: The names in a command line.
PLACEHOLDERS = ("key", *FILES, *VALUES)
_NAME = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}")
#: Bytes of a program's output that are kept, from the beginning and from the end.
_KEPT = 4096
#: Output begins so when a Python program fails; its last line then says why.
_TRACEBACK = "Traceback (most recent call last)"
#: Bytes that are read at once, and how many more reads there are once a program has ended.
_CHUNK, _REST = 1 << 16, 20
#: Seconds between checks for the end of a program that keeps its output open.
_TICK = 0.05


@dataclass(frozen=True)
class Outcome:
    """What a verifier did with a test case."""

    case: TestCase
    accepted: bool
    #: False if a program was stopped, or ended by a signal; that counts as not accepted.
    answered: bool = True
    words: str = ""

    @property
    def is_right(self) -> bool:
        """Whether a correct verifier may do that."""
        return self.case.result == ACCEPTABLE or self.accepted == (self.case.result == VALID)

    @property
    def verdict(self) -> str:
        """The outcome in a word or two."""
        return "no answer" if not self.answered else "accepted" if self.accepted else "refused"

    @property
    def sentence(self) -> str:
        """The test case, and the verifier's output."""
        how = "Said:" if self.answered else "It was"
        return f"{self.case.title}. {how} {self.words}" if self.words else self.case.title

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as JSON-ready data."""
        return {
            "key": self.case.key,
            "result": self.case.result,
            "accepted": self.accepted,
            "answered": self.answered,
            "right": self.is_right,
            "flaw": self.case.flaw.key if self.case.flaw is not None else "",
            "words": self.words,
        }


class Results(Explainable):
    """The outcomes of a verifier, one for each test case."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)

    def __getitem__(self, key: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.case.key == key)

    def of(self, result: str) -> list[Outcome]:
        """Return the outcomes for "valid", "invalid" or "acceptable" test cases."""
        return [outcome for outcome in self.outcomes if outcome.case.result == result]

    @property
    def false_accepts(self) -> list[Outcome]:
        """Invalid test cases that were accepted."""
        return [outcome for outcome in self.of(INVALID) if not outcome.is_right]

    @property
    def false_rejects(self) -> list[Outcome]:
        """Valid test cases that were not accepted."""
        return [outcome for outcome in self.of(VALID) if not outcome.is_right]

    @property
    def passes(self) -> bool:
        """Whether there are neither false accepts nor false rejects, and something that counts was answered."""
        counted = any(one.answered and one.case.result != ACCEPTABLE for one in self.outcomes)
        return counted and not self.false_accepts and not self.false_rejects

    def as_dict(self) -> dict[str, object]:
        """Return the results as JSON-ready data."""
        return {
            "status": "pass" if self.passes else "fail",
            "false_accepts": [outcome.case.key for outcome in self.false_accepts],
            "false_rejects": [outcome.case.key for outcome in self.false_rejects],
            "no_answer": [outcome.case.key for outcome in self.outcomes if not outcome.answered],
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }

    def explain(self) -> View:
        """Show the result, then what went wrong, then every test case."""
        blocks: list[Banner | Heading | Paragraph | Table] = [Banner(self._words(), "green" if self.passes else "pink")]
        if self.outcomes and not any(outcome.accepted for outcome in self.outcomes):
            first = self.outcomes[0]
            said = f" For {first.case.key}: {first.words}" if first.words else ""
            blocks.append(Paragraph(f"It accepted nothing at all. Is it called correctly?{said}"))
        if self.false_accepts:
            rows = [[one.case.key, one.case.sentence] for one in self.false_accepts]
            blocks += [Heading("False accepts"), Table(["test case", "what is wrong, and the flaw"], rows)]
        if self.false_rejects:
            rows = [[one.case.key, one.sentence] for one in self.false_rejects]
            blocks += [Heading("False rejects"), Table(["test case", "what it is, and what was said"], rows)]
        header = ["test case", "result", "verdict", "what it is, and what was said"]
        rows = [[one.case.key, one.case.result, one.verdict, one.sentence] for one in self.outcomes]
        colours = [
            "grey" if one.case.result == ACCEPTABLE else "green" if one.is_right else "pink" for one in self.outcomes
        ]
        blocks += [Heading("Every test case"), Table(header, rows, colours)]
        if self.of(ACCEPTABLE):
            blocks.append(Paragraph("Acceptable test cases do not count, because correct verifiers may differ."))
        return View(*blocks)

    def _words(self) -> str:
        invalid, valid = len(self.of(INVALID)), len(self.of(VALID))
        silent = sum(not outcome.answered for outcome in self.outcomes)
        more = f"; {silent} without an answer" if silent else "" if invalid + valid else "; no test case that counts"
        start, accepts, rejects = "OK" if self.passes else "ERROR", len(self.false_accepts), len(self.false_rejects)
        return f"{start}: {accepts} of {invalid} invalid accepted, {rejects} of {valid} valid refused{more}"


def run_verifier_suite(verifier: Callable[[VerifierInput], object], only: Iterable[str] = ()) -> Results:
    """Run a verifier against every test case, or against those with some keys.

    *verifier* is called with a :class:`VerifierInput`. A true result accepts; a false one, or an exception, refuses. A
    function that returns None on success must be wrapped. Raises :class:`~sevlab.errors.InputError` for an unknown key.
    """
    return Results(_call(verifier, case) for case in load_cases(only))


def _call(verifier: Callable[[VerifierInput], object], case: TestCase) -> Outcome:
    try:
        said = verifier(case.input)
        return Outcome(case, bool(said), words="" if isinstance(said, bool) else one_line(type(said).__name__))
    except (Exception, SystemExit) as error:
        return Outcome(case, False, words=one_line(f"{type(error).__name__}: {error}"))


def one_line(text: str) -> str:
    """Return output on one line, escaped and not too long."""
    line = " ".join(text[: 4 * LONGEST].split())
    line = "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in line)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def suite_files(cases: Iterable[TestCase]) -> dict[str, bytes]:
    """Return the files of test cases by their paths below a folder, and their table (``verifier-suite.json``)."""
    cases = list(cases)
    found = {f"{case.key}/{name}": read(case.input) for case in cases for name, read in FILES.values()}
    return {**found, TABLE: (json.dumps(suite_table(cases), indent=2) + "\n").encode("ascii")}


def suite_table(cases: Iterable[TestCase]) -> dict[str, object]:
    """Return the test cases and the flaws as JSON-ready data; docs/verifier-suite.md explains the names."""
    flaws = [{"key": flaw.key, "title": flaw.title, "checks": list(flaw.checks)} for flaw in FLAWS.values()]
    return {"format": FORMAT, "at": AT, "cases": [_row(case) for case in cases], "flaws": flaws}


def write_suite(folder: str, cases: Iterable[TestCase], name: str = "DIR") -> int:
    """Write all test cases into a new or empty folder; return the number of files, or raise InputError with *name*."""
    target = Path(folder)
    try:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            raise InputError(name, f"{quoted(folder)}, which exists", "a new folder, or an empty one")
        target.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that it can be renamed; removed if something fails.
        with temporary_folder(".sevlab-", str(target.resolve().parent)) as beside:
            _fill(made := Path(beside, "suite"), files := suite_files(cases))
            os.rename(made, target)
    except (OSError, ValueError) as error:
        raise InputError(name, f"{quoted(folder)}: {reason_of(error)}", "a folder that can be written") from None
    return len(files)


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def check_suite(folder: str, cases: Iterable[TestCase], name: str = "--dir") -> None:
    """Raise InputError with *name* if a file differs from that of this sevlab, which knows the expected results."""
    for path, content in suite_files(cases).items():
        if path == TABLE:
            continue
        try:
            with open(Path(folder) / path, "rb") as stream:
                same = stream.read(len(content) + 1) == content
        except (OSError, ValueError) as error:
            raise InputError(name, f"{quoted(path)}: {reason_of(error)}", "a test suite", _MAKE) from None
        if not same:
            raise InputError(name, f"{quoted(path)}, which differs", "the test suite of this sevlab", _MAKE)


def placeholders(case: TestCase, folder: Path) -> dict[str, str]:
    """Return the value of each name in a command line; files as absolute paths."""
    paths = {name: str(folder / case.key / file) for name, (file, _) in FILES.items()}
    return {"key": case.key, **paths, **{name: read(case.input) for name, read in VALUES.items()}}


def _row(case: TestCase) -> dict[str, object]:
    files = {
        name: {"path": f"{case.key}/{file}", "sha256": hashlib.sha256(read(case.input)).hexdigest()}
        for name, (file, read) in FILES.items()
    }
    return {
        **{name: getattr(case, name) for name in ("key", "result", "title", "comment", "expected")},
        "flaw": case.flaw.key if case.flaw is not None else "",
        "checks": list(case.checks),
        "incident": case.incident_name,
        "files": files,
        "values": {name: read(case.input) for name, read in VALUES.items()},
    }


def run_suite_command(
    words: Sequence[str],
    cases: Iterable[TestCase],
    *,
    folder: str | None = None,
    timeout: float = TIMEOUT,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Run a program against test cases; it accepts by ending with status 0.

    *words* are the program and its arguments, in which ``{report}`` and the other :data:`PLACEHOLDERS` are replaced;
    ``{{`` and ``}}`` are plain braces. There is no shell. *folder* has the test cases' files; the default is a
    temporary one. After *timeout* seconds a program is stopped, with all that it started. *progress* is called with
    the numbers of test cases done and in all. Raises :class:`~sevlab.errors.InputError` for an unknown name, and for
    a program that cannot be started.
    """
    if os.name != "posix":
        raise UnsupportedError("running a program on this system", "POSIX systems")
    cases = list(cases)
    check_words(words)
    with temporary_folder("sevlab-suite-") as made:
        place = Path(folder or made).resolve()
        if folder is None:
            _fill(place, suite_files(cases))
        else:
            check_suite(folder, cases)
        outcomes = []
        for number, case in enumerate(cases):
            if progress is not None:
                progress(number, len(cases))
            values = placeholders(case, place)
            outcomes.append(_try(case, [fill_in(word, values) for word in words], timeout))
    return Results(outcomes)


def check_words(words: Sequence[str]) -> None:
    """Refuse an empty command, an unknown name in braces, and a command without the report."""
    if not words:
        raise InputError("COMMAND", "nothing", "the program to run, after --", _HELP)
    names = {found for word in words for found in _NAME.findall(word) if found}
    if unknown := sorted(names - set(PLACEHOLDERS)):
        needed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise InputError("COMMAND", quoted(f"{{{unknown[0]}}}"), f"one of {needed}", "{{ and }} for plain braces")
    if "report" not in names:
        raise InputError("COMMAND", "no {report}", "a command that gets the report", _HELP)


def fill_in(word: str, values: Mapping[str, str]) -> str:
    """Replace every name in braces in a word of a command."""
    return _NAME.sub(lambda found: values[found[1]] if found[1] else found[0][0], word)


def _try(case: TestCase, words: Sequence[str], timeout: float) -> Outcome:
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except (OSError, ValueError) as error:
        received = f"{quoted(words[0])}: {reason_of(error)}"
        raise InputError("COMMAND", received, "a program that can be started") from None
    try:
        head, tail, ended = _follow(process, time.monotonic() + timeout)
    finally:
        _end(process)
    if not ended:
        return Outcome(case, False, False, f"stopped after {timeout:g} s")
    if (number := -process.returncode) > 0:
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return Outcome(case, False, False, f"ended by {name}")
    return Outcome(case, process.returncode == 0, True, _said(head, tail))


def _follow(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes, bool]:
    """Read a process's output until it ends or its time is up; return the output's ends, and whether it ended."""
    assert process.stdout is not None
    stream, head, tail, rest = process.stdout.fileno(), b"", b"", _REST
    while (left := deadline - time.monotonic()) > 0:
        # Without reaping it, so that its ID is not reused.
        has_ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        if has_ended:
            # Its children may go on printing; read only what the pipe may still hold of its own output.
            rest, left = rest - 1, 0.0
        if rest and select.select([stream], [], [], min(left, _TICK))[0]:
            if chunk := os.read(stream, _CHUNK):
                head, tail = (head + chunk)[:_KEPT] if len(head) < _KEPT else head, (tail + chunk)[-_KEPT:]
                continue
            if not has_ended:  # it closed its output, but still runs
                time.sleep(min(left, _TICK / 10))
                continue
        if has_ended:
            return head, tail, True
    return head, tail, False


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _said(head: bytes, tail: bytes) -> str:
    """Return the first line of the output, or the last one of a traceback."""
    first = _lines(head)[:1]
    return one_line("".join(_lines(tail)[-1:] if first and first[0].startswith(_TRACEBACK) else first))


def _lines(raw: bytes) -> list[str]:
    return [line for line in raw.decode("utf-8", "replace").split("\n") if line.strip()]
