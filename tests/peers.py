"""Programs and files of other projects that tests compare with: where they are, how they run, how to get them."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
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


def run(
    command: Sequence[str], folder: Path = ROOT, stdin: bytes = b"", variables: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end in *folder*, without the variables that make a python find another one's modules.

    *variables* are added to the environment.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**clean, "LC_ALL": "C.UTF-8", "COLUMNS": "100", **(variables or {})}
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, cwd=folder, env=environment)
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
