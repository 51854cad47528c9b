"""``sevlab lab``: the notebooks in a folder of the user's, open in JupyterLab."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError, UnsupportedError, quoted
from . import GOOD, UNUSABLE, VERBS
from .options import Parser

FIRST = "00-start-here.ipynb"


def run(words: list[str]) -> int:
    """Copy the notebooks, open JupyterLab; return its exit status."""
    parser = Parser(
        prog="sevlab lab",
        description=f"{VERBS['lab']}. A file that is already in the folder is kept as it is.",
        epilog="What follows -- goes to JupyterLab, as in: sevlab lab -- --no-browser",
    )
    parser.add_argument("folder", nargs="?", default="sevlab-notebooks", help="where to (default: %(default)s)")
    parser.add_argument("--copy-only", action="store_true", help="copy, and do not open JupyterLab")
    own, rest = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = parser.parse_args(own)
    copied, kept = copy_notebooks(Path(args.folder))
    print(f"{args.folder}: {copied} files copied, {kept} already there and kept as they are.")
    if args.copy_only:
        return GOOD
    if find_spec("jupyterlab") is None:
        raise InputError(
            "JupyterLab", "nothing: it is not installed", "sevlab's extra 'lab'", "pip install 'sevlab[lab]'"
        )
    sys.stdout.flush()
    command = [sys.executable, "-m", "jupyter", "lab", str(Path(args.folder) / FIRST), *rest]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(4, "--allow-root")  # JupyterLab refuses to run as root without being told
    import subprocess

    return GOOD if subprocess.call(command) == 0 else UNUSABLE


def source() -> Path:
    """Return the folder that holds the notebooks: in an installed package, or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_notebooks", package.parent / "notebooks"):
        if (folder / FIRST).is_file():
            return folder
    raise UnsupportedError(
        "this installation, which has no notebooks,", "the sevlab wheel, or a clone of its repository"
    )


def copy_notebooks(folder: Path) -> tuple[int, int]:
    """Copy every notebook and sample that is not in *folder* yet; return how many were copied and how many kept.

    Raises :class:`~sevlab.errors.InputError` when the folder cannot be written.
    """
    copied = kept = 0
    origin = source()
    try:
        for path in sorted(origin.rglob("*")):
            target = folder / path.relative_to(origin)
            if not path.is_file() or any(part.startswith((".", "__")) for part in path.relative_to(origin).parts):
                continue
            if target.exists():
                kept += 1
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            partial.unlink(missing_ok=True)  # it may be a link to somewhere else
            shutil.copyfile(path, partial)
            os.replace(partial, target)
            copied += 1
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "cannot be used").lower()
        raise InputError("folder", f"{quoted(folder)}: {reason}", "a folder that can be written") from None
    return copied, kept
