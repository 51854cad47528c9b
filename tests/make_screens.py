"""Write ``tests/cli/screens/``: what each verb shows in a terminal of 80 and of 120 columns (``make docs``).

Each file has the help of a verb and of its actions, and an answer or two. They are stored to be read: a change of what
people see shows up here line by line.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

from sevlab.cli import VERBS, main
from tests.commands import CASES, write_inputs
from tests.parsers import all_parsers
from tests.paths import ROOT

FOLDER = ROOT / "tests" / "cli" / "screens"
WIDTHS = (80, 120)
LINE = "qemu-system-x86_64 -machine q35,confidential-guest-support=s0 -object sev-guest,id=s0,policy=1 -bios f.fd -m 4G"
DIGEST = "f74df3a5b9044b6b52d0bb2c423e8baeff6d70860c089abe6b1271fb8d9b4d71ccf0e9628aa44b051544ea22894e5251"
MEASUREMENT = "nG00M80x/oeGcu58QHcX1gFFo/ZX1OciiYHXtUqQdgFAQUJDREVGR0hJSktMTU5P"
LAUNCH = "--api-major 0 --api-minor 22 --policy 1 --firmware firmware.fd"
PACKET = f"--tk tk.bin --launch-measure-blob {MEASUREMENT}"
REPORT = "report-snp.bin --vcek vcek-snp.der --chain chain-snp.pem --at 2026-01-01 --trust-root ark-snp.der"
#: The commands of each file after the help, in this order. What a later one reads an earlier one may have written.
COMMANDS = {
    "sevlab": ["--help", "--version", "valdate", "--helpp"],
    "validate": [
        f"--measurement {MEASUREMENT} {LAUNCH} --build-id 13 --tk tk.bin",
        f"--measurement {MEASUREMENT} {LAUNCH} --build-id 12 --tk tk.bin",
        f"--measurement {MEASUREMENT} {LAUNCH} --biuld-id 12 --tk tk.bin",
        f"--measurement {MEASUREMENT}",
        "--case F01.sevcase",
    ],
    "explain": [f"--measurement {MEASUREMENT} {LAUNCH} --build-id 12 --tk tk.bin"],
    "diagnose": [
        f"--measurement {MEASUREMENT} {LAUNCH} --build-id 12 --tk tk.bin",
        "--case F01.sevcase",
        "--mode snpp",
        "--mode",
    ],
    "digest": [
        "--mode snp --ovmf firmware-snp.fd --vcpus 1 --vcpu-type EPYC-Milan --profile ec2 --verbose",
        "--mode snp --ovmf firmware-snp.fd --vcpus 1 --vcpu-type EPYC-Mlan",
    ],
    "measure": [f"{LAUNCH} --build-id 13 --tik tik.bin --nonce 404142434445464748494a4b4c4d4e4f", "--nonse 00"],
    "secret": [
        f"build {PACKET} --secret luks-key:passphrase header payload",
        f"build {PACKET} --secret luks-key:passphrase header payload",
        f"build {PACKET} --secret luks-key:passphrase --iv 404142434445464748494a4b4c4d4e4f --force header payload",
        f"open {PACKET} header payload",
        f"open {PACKET} header payload --verbose",
        "opne",
    ],
    "ovmf": ["firmware-snp.fd", "firmware-enforcing.fd"],
    "vmsa": [
        "build boot.vmsa --cpu 0 --vcpu-type EPYC-Milan",
        "build other.vmsa --cpu 0 --vcpu-type EPYC-Milan --profile ec2",
        "build gone.vmsa --cpu 0 --vcpu-type EPYC-Milan --profile ec3",
        "show boot.vmsa",
        "diff boot.vmsa other.vmsa",
    ],
    "profiles": ["", "ec2"],
    "capture": ["--domlaunchsecinfo launch.txt", "--domlaunchsecinfo launch.txt --tk tk.bin -o case.toml"],
    "case": ["show F01.sevcase", "verify F01.sevcase", "shwo F01.sevcase", "pack case.toml -o x.sevcase"],
    "coverage": ["--qemu-cmdline line"],
    "report": [
        "show report-snp.bin",
        f"verify {REPORT} --measurement {DIGEST}",
        f"verify {REPORT} --measurement {DIGEST} --forbid-smt",
        "verify",
    ],
    "advise": ["--report report-snp.bin", "--product Miln --api 1.55"],
    "verifier-suite": ["list --only milan-v2,other-key", "make suite", "run --only milan-v2 -- grep -q . {report}"],
    "chain": ["show platform.cert", "verify platform.cert"],
    "session": ["open --pdh-key pdh.key godh session", "platform.cert 1"],
    "id-block": [
        "build --measurement digest --idkey id.pem --out-block block --out-auth auth",
        "show block auth",
        "verify block auth --measurement digest",
    ],
    "lab": ["--copy-only notebooks"],
    "assignment": ["--new-course-key new.key", "--course-key course.key --student bob -n 1 bob"],
    "grade": ["--course-key course.key ada"],
}
#: What is different each time, and what is shown for it.
CHANGES = {
    r"Tried [\d,]+ candidates? in \d+\.\d seconds": "Tried 99 candidates in 0.1 seconds",
    r"(nonce +random, in the session +)[0-9a-f]{32}": r"\g<1>00112233445566778899aabbccddeeff",
    r"Copied \d+ files": "Copied 99 files",
    r"(id-(?:block|auth)=)[\w+/=,-]+": r"\1...",
}


class Terminal(io.StringIO):
    """A stream that is a terminal, and does nothing but print."""

    def isatty(self) -> bool:
        return True


def screen(words: list[str], width: int) -> tuple[int, str]:
    """Run a command in this process; return its exit status, and what a terminal of *width* columns shows."""
    terminal = Terminal()
    environment = {"COLUMNS": str(width), "TERM": "dumb"}
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
    ):
        status = main(words)
    return status, terminal.getvalue()


def screens(width: int) -> dict[str, str]:
    """The text of every file for *width*, by its name."""
    found = {}
    before, umask = Path.cwd(), os.umask(0o077)
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_inputs(Path(folder))
            shutil.copy(CASES / "F01.sevcase", folder)
            (Path(folder) / "line").write_text(LINE)
            os.chdir(folder)
            for name, commands in COMMANDS.items():
                verb = [] if name == "sevlab" else [name]
                helps = [f"{words} --help" for words in all_parsers() if verb and words.split()[0] == name]
                given = [*map(shlex.split, helps), *([*verb, *shlex.split(one)] for one in commands)]
                found[f"{name}-{width}.txt"] = "".join(_shown(words, width) for words in given)
        finally:
            os.chdir(before)
            os.umask(umask)
    return found


def _shown(words: list[str], width: int) -> str:
    status, text = screen(words, width)
    for pattern, instead in CHANGES.items():
        text = re.sub(pattern, instead, text)
    command = shlex.join(["sevlab", *words])
    return f"$ {command}\n{text}[exit status {status}]\n\n"


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    assert set(COMMANDS) == {"sevlab", *VERBS}
    for width in WIDTHS:
        for name, text in screens(width).items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    print(FOLDER.relative_to(ROOT), file=sys.stderr)
