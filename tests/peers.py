"""Programs and files of other projects that tests compare with: where they are, how they run, how to get them."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.paths import ROOT

# The tool's shebang may find another python3 first, one without the libraries that Debian installs for its own.
SYSTEM_PYTHON = Path("/usr/bin/python3")
REAL_TOOL = Path("/usr/bin/virt-qemu-sev-validate")
OVMF_PLACES = ("/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF_CODE*.fd")


@dataclass(frozen=True)
class Run:
    """What a process left: its exit status and its two outputs."""

    status: int
    out: str
    err: str

    @property
    def first_line(self) -> str:
        """The first line said: of standard output, else of standard error; "" when both are silent."""
        return next(iter((self.out or self.err).splitlines()), "")

    @property
    def last_line(self) -> str:
        """The last line of standard error, where argparse puts its reason below the usage; "" when there is none."""
        return next(reversed(self.err.splitlines()), "")


#: Programs that many tests run, and arguments with which they import what they need. Each is started once for all of
#: its runs; every run is still a process of its own.
_SERVED: dict[tuple[str, ...], list[str]] = {
    (str(SYSTEM_PYTHON), str(REAL_TOOL)): ["--help"],
    (sys.executable, "-m", "sevlab"): ["validate", "--tik", os.devnull],
    (str(Path(sys.executable).with_name("sev-snp-measure")),): ["--help"],
}


class _Server:
    """A running program_server.py. It ends with the process that started it, whose pipe then closes."""

    def __init__(self, program: tuple[str, ...], path: str | None) -> None:
        python, rest = (program[0], program[1:]) if len(program) > 1 else (sys.executable, program)
        environment = {**_environment({}), **({"PYTHONPATH": path} if path else {})}
        command = [python, str(ROOT / "tests" / "program_server.py"), json.dumps(_SERVED[program]), *rest]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
        )
        self.lock = threading.Lock()

    def run(self, argv: Sequence[str], folder: Path, stdin: bytes, environment: Mapping[str, str]) -> Run:
        request = {"argv": argv, "folder": str(folder), "environment": environment}
        line = json.dumps({**request, "stdin": base64.b64encode(stdin).decode()})
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        out, err = (base64.b64decode(answer[name]).decode() for name in ("out", "err"))
        return Run(answer["status"], out, err)


@functools.cache
def _server(program: tuple[str, ...], path: str | None) -> _Server:
    return _Server(program, path)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**clean, "LC_ALL": "C.UTF-8", "COLUMNS": "100", **variables}


def run(
    command: Sequence[str], folder: Path = ROOT, stdin: bytes = b"", variables: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end in *folder*, without the variables that make a python find another one's modules.

    *variables* are added to the environment.
    """
    environment = _environment(variables or {})
    path = environment.get("PYTHONPATH")
    program = next((one for one in _SERVED if tuple(command[: len(one)]) == one), None)
    if program and not any(name.startswith("PYTHON") and name != "PYTHONPATH" for name in environment):
        return _server(program, path).run(command[len(program) :], folder, stdin, environment)
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=300, cwd=folder, env=environment)
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


def real_validate(*options: str, folder: Path = ROOT, stdin: bytes = b"") -> Run:
    """Run libvirt's own virt-qemu-sev-validate."""
    return run([str(SYSTEM_PYTHON), str(REAL_TOOL), *options], folder, stdin)


def our_validate(*options: str, folder: Path = ROOT, stdin: bytes = b"") -> Run:
    """Run ``sevlab validate`` of the environment that runs the tests."""
    return run([sys.executable, "-m", "sevlab", "validate", *options], folder, stdin)


@functools.cache
def why_no_real_tool() -> str:
    """Return why libvirt's tool cannot be run and how to get it; "" when it can."""
    if not REAL_TOOL.is_file() or not SYSTEM_PYTHON.is_file():
        return f"{REAL_TOOL} is missing; on Debian: apt-get install libvirt-clients-qemu"
    probe = real_validate("--help")
    if probe.status != 0:
        needed = "python3-libvirt python3-lxml python3-cryptography"
        return f"{SYSTEM_PYTHON} cannot run {REAL_TOOL}: {probe.last_line}; on Debian: apt-get install {needed}"
    return ""


@functools.cache
def ovmf_images() -> tuple[Path, ...]:
    """Return Debian's OVMF images, one path for each content; none when the package is not installed."""
    paths = (path for place in OVMF_PLACES for path in sorted(Path("/").glob(place.lstrip("/"))))
    by_content: dict[bytes, Path] = {}
    for path in paths:
        by_content.setdefault(hashlib.sha256(path.read_bytes()).digest(), path)
    return tuple(by_content.values())


def why_no_ovmf() -> str:
    """Return why there are not at least two different OVMF images and how to get them; "" when there are."""
    if len(ovmf_images()) >= 2:
        return ""
    return f"fewer than two images in {' '.join(OVMF_PLACES)}; on Debian: apt-get install ovmf"
