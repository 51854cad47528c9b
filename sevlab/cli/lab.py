"""``sevlab lab``: the notebooks in a folder of the user's, open in JupyterLab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ..cli import GOOD, UNUSABLE
from ..errors import InputError, UnsupportedError, quoted, shell_word
from .options import split_command, verb_parser
from .terminal import say

FIRST = "00-start-here.ipynb"
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
    say(f"Copied {copied} files to {shell_word(args.folder)}. Kept {kept} that were already there.")
    if args.copy_only:
        return GOOD
    sys.stdout.flush()
    command = [sys.executable, "-m", "jupyter", "lab", str(Path(args.folder) / FIRST), *rest]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(4, "--allow-root")  # without it JupyterLab refuses to run as root
    return _serve(command)


def _serve(command: list[str]) -> int:
    """Run a server until it ends; return the exit status, as a shell reports it.

    A signal that ends this process, such as Ctrl-C, ends the server first, which has :data:`PATIENCE` for its kernels.
    """
    received: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
    # One that is ignored stays so: that is how nohup works.
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in handled}
    try:
        server = subprocess.Popen(command)
        end = 0.0
        while server.poll() is None:
            if received and not end:
                end = time.monotonic() + PATIENCE
                server.terminate()
            if end and time.monotonic() > end:
                server.kill()
            time.sleep(0.2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        name = signal.Signals(received[0]).name
        say("Interrupted." if name == "SIGINT" else f"Ended by {name}.", to=sys.stderr)
        return 128 + received[0]
    return GOOD if server.returncode == 0 else UNUSABLE


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
