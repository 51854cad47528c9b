"""Four walks through the house: how many modules one enters, and how often one moves between them.

``python tests/walks.py`` makes four runs that a reader would trace, each in a Python of its own. It prints the calls of
sevlab's functions, the functions and modules entered, and the moves: how often the next function entered is in another
module than the one before. Functions entered at import count, comprehensions and the bodies of classes and modules not.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = str(ROOT / "sevlab")
SAMPLES = "notebooks/samples"
REPORTED = "nG00M80x/oeGcu58QHcX1gFFo/ZX1OciiYHXtUqQdgFAQUJDREVGR0hJSktMTU5P"
DIGEST = "f74df3a5b9044b6b52d0bb2c423e8baeff6d70860c089abe6b1271fb8d9b4d71ccf0e9628aa44b051544ea22894e5251"
#: The commands of README, and a paste into the debugger.
WALKS = {
    "validate": (
        f"validate --measurement {REPORTED} --api-major 0 --api-minor 22 --build-id 13 --policy 0x1 "
        f"--firmware {SAMPLES}/firmware.fd --tk {SAMPLES}/tk.bin"
    ),
    "digest": (
        f"digest --mode snp --ovmf {SAMPLES}/firmware-snp.fd --kernel {SAMPLES}/kernel.bin "
        f"--initrd {SAMPLES}/initrd.bin --append console=ttyS0 --vcpus 4 --vcpu-type EPYC-Milan"
    ),
    "report verify": (
        f"report verify {SAMPLES}/report-snp.bin --vcek {SAMPLES}/vcek-snp.der --chain {SAMPLES}/chain-snp.pem "
        f"--trust-root {SAMPLES}/ark-snp.der --measurement {DIGEST}"
    ),
    "paste": "",
}


class Walk:
    """Counts the calls of sevlab's own functions; it is what :func:`sys.setprofile` takes."""

    def __init__(self) -> None:
        self.calls, self.moves, self.last = 0, -1, ""
        self.functions: set[tuple[str, str, int]] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event != "call" or not is_function(frame):
            return
        self.calls += 1
        self.functions.add((code.co_filename, code.co_name, code.co_firstlineno))
        self.moves += self.last != code.co_filename
        self.last = code.co_filename

    def __str__(self) -> str:
        modules = len({file for file, _, _ in self.functions})
        return f"{self.calls:6} calls {len(self.functions):5} functions {modules:4} modules {self.moves:5} moves"


def is_function(frame: FrameType) -> bool:
    """Whether a frame is one of a function of sevlab, not of a comprehension, a class body or a module."""
    code = frame.f_code
    named = not code.co_name.startswith("<") or code.co_name == "<lambda>"
    return named and bool(code.co_flags & 1) and code.co_filename.startswith(PACKAGE)  # 1: CO_OPTIMIZED


def walk(name: str) -> Walk:
    """Make one of the walks and return what was counted."""
    counted = Walk()
    if name == "paste":
        from sevlab.widgets.debugger import debugger

        page, text = debugger(), (ROOT / SAMPLES / "launch.txt").read_text()
        page.paste.value = text
        sys.setprofile(counted)
        page.read.click()
        sys.setprofile(None)
        return counted
    from sevlab.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        sys.setprofile(counted)
        status = main(WALKS[name].split())
        sys.setprofile(None)
    if status:
        raise SystemExit(f"{name} ended with status {status}")
    return counted


if __name__ == "__main__":
    if sys.argv[1:]:
        print(f"{sys.argv[1]:14}", walk(sys.argv[1]))
    else:
        for name in WALKS:
            subprocess.run([sys.executable, "-P", __file__, name], check=True, cwd=ROOT)
