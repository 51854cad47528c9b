"""``sevlab lab``, the notebooks in a folder of the user's; ``assignment`` and ``grade``, for a class."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ..cli import GOOD, UNUSABLE
from ..errors import InputError, UnsupportedError, quoted, shell_word
from ..launch.values import parse_number
from .options import Parser, split_command, verb_parser
from .terminal import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..launch.keys import SecretBytes

FIRST = "00-start-here.ipynb"
#: Makes the address that the server prints open the first notebook.
ADDRESS = f"--LabApp.default_url=/lab/tree/{FIRST}"
#: Seconds that the server has to end its kernels.
PATIENCE = 20.0


def run(words: list[str]) -> int:
    notes = "Words after -- go to JupyterLab, as in: sevlab lab -- --no-browser."
    parser = verb_parser("lab", "0 good", notes, " A file that is already in the folder is kept.")
    parser.add_argument("folder", nargs="?", default="sevlab-notebooks", help="where to (default: %(default)s)")
    parser.add_argument("--copy-only", action="store_true", help="copy, and do not open JupyterLab")
    own, rest = split_command(words)
    args = parser.parse_args(own)
    if not args.copy_only and find_spec("jupyterlab") is None:
        advice = "pip install 'sevlab[lab]'"
        raise InputError("JupyterLab", "nothing: it is not installed", "sevlab's extra 'lab'", advice)
    copied, kept = copy_notebooks(Path(args.folder))
    if copied or args.copy_only:  # not for `make lab`, whose folder is where they come from
        say(f"Copied {copied} files to {shell_word(args.folder)}. Kept {kept} that were already there.")
    if args.copy_only:
        return GOOD
    sys.stdout.flush()
    command = [sys.executable, "-m", "jupyter", "lab", str(Path(args.folder) / FIRST), ADDRESS, *rest]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(4, "--allow-root")  # without it JupyterLab refuses to run as root
    # Defaults for JupyterLab, which then does not ask whether it may fetch news. What the user has set comes first.
    paths = [str(source() / "custom"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return _serve(command, {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)})


def _serve(command: list[str], environment: dict[str, str]) -> int:
    """Run a server until it ends; return the exit status.

    What ends this command, such as Ctrl-C, ends the server first, which has :data:`PATIENCE` for its kernels.
    """
    server = subprocess.Popen(command, env=environment)
    try:
        return GOOD if server.wait() == 0 else UNUSABLE
    finally:
        server.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                server.wait(PATIENCE)
        finally:  # Ctrl-C again, in vain patience
            server.kill()
            server.wait()


def source() -> Path:
    """Return the folder that holds the notebooks: in an installed package, or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_notebooks", package.parent / "notebooks"):
        if (folder / FIRST).is_file():
            return folder
    needed = "the sevlab wheel, or a clone of its repository"
    raise UnsupportedError("this installation, which has no notebooks,", needed)


def copy_notebooks(folder: Path) -> tuple[int, int]:
    """Copy every notebook and sample that is not in *folder* yet; return how many were copied and how many kept.

    Raises :class:`~sevlab.errors.InputError` when the folder cannot be written.
    """
    copied = kept = 0
    origin = source()
    made: list[Path] = []
    try:
        for path in sorted(origin.rglob("*")):
            target = folder / path.relative_to(origin)
            if not path.is_file() or any(part.startswith((".", "__")) for part in path.relative_to(origin).parts):
                continue
            if os.path.lexists(target):  # also a link to nowhere
                kept += 1
                continue
            for one in reversed([one for one in (target.parent, *target.parent.parents) if not one.is_dir()]):
                one.mkdir()
                made.append(one)
            _copy(path, target)
            copied += 1
    except (OSError, ValueError) as error:
        for one in reversed(made):
            with suppress(OSError):  # something is in it
                one.rmdir()
        reason = (getattr(error, "strerror", None) or "cannot be used").lower()
        raise InputError("folder", f"{quoted(folder)}: {reason}", "a folder that can be written") from None
    return copied, kept


def _copy(path: Path, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)  # it may be a link to somewhere else
    try:
        shutil.copyfile(path, partial)
        os.replace(partial, target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def run_assignment(words: list[str]) -> int:
    notes = "Without the key nobody can open the solutions, or make the same tasks."
    parser = verb_parser("assignment", "0 good", notes)
    parser.add_argument("--new-course-key", metavar="FILE", help="only make a course key; FILE must be new")
    _add_key(parser, required=False)
    parser.add_argument("--student", metavar="ID", help="whom the tasks are for: the name or number in the marks")
    parser.add_argument("-n", dest="count", metavar="N", default="5", help="number of tasks, 1 to 20 (default: 5)")
    parser.add_argument("--faults", metavar="N", default="2", help="faults in each task, 1 to 3 (default: 2)")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="where to; it must be new")
    args = parser.parse_args(words)
    from ..labs import assignment  # not above: `lab` needs none of it

    if args.new_course_key is not None:
        if others := [one for one in (args.course_key, args.student, args.folder) if one is not None]:
            raise InputError("--new-course-key", f"{quoted(others[0])} beside it", "it alone", "a second command")
        assignment.make_course_key(args.new_course_key, "--new-course-key")
        say(f"Wrote a course key to {shell_word(args.new_course_key)}. Keep it secret: it opens the solutions.")
        return GOOD
    given = {"--course-key": args.course_key, "--student": args.student, "FOLDER": args.folder}
    for name, value in given.items():
        if value is None:
            raise InputError(name, "nothing", "a value", "sevlab assignment --help")
    student = assignment.check_student(args.student, "--student")
    count = parse_number(args.count, "-n", assignment.MOST_TASKS)
    if not count:
        raise InputError("-n", "0", f"1 to {assignment.MOST_TASKS}")
    faults = parse_number(args.faults, "--faults", 255)
    assignment.write_assignment(args.folder, _course_key(args.course_key), student, count, faults, "FOLDER")
    tasks = "1 task" if count == 1 else f"{count} tasks"
    say(f"Wrote {tasks} for {student} to {shell_word(args.folder)}. README.md there says how to answer.")
    return GOOD


def run_grade(words: list[str]) -> int:
    notes = "Of a student's work only answers.toml is read; nothing is run."
    parser = verb_parser("grade", "0 everything was marked", notes)
    parser.epilog = str(parser.epilog).replace("2 usage", "2 something was not marked (its row says why), or usage")
    _add_key(parser, required=True)
    parser.add_argument("folders", metavar="FOLDER", nargs="+", help="a folder that assignment wrote, with answers")
    args = parser.parse_args(words)
    from ..labs import assignment

    rows = assignment.grade(args.folders, _course_key(args.course_key))
    say(*assignment.marks_csv(rows), whole=True)
    return GOOD if all(row.is_marked for row in rows) else UNUSABLE


def _add_key(parser: Parser, required: bool) -> None:
    what = "the course's key, 32 bytes, yours alone"
    parser.add_argument("--course-key", metavar="FILE", required=required, help=what)


def _course_key(path: str) -> SecretBytes:
    from ..labs.assignment import load_course_key

    key = load_course_key(path, "--course-key")
    if os.name == "posix" and path != "-" and os.stat(path).st_mode & 0o077:
        warn(f"--course-key: others can read {shell_word(path)}: chmod 600 {shell_word(path)}")
    return key
