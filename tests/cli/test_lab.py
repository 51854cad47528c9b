"""``sevlab lab``: a server that ends with its command, and a folder that is there only with something in it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sevlab.cli import main
from sevlab.cli.lab import ADDRESS, FIRST
from tests.soak import SOAK

#: Stands for JupyterLab: tells its number and what it was told, then runs until it is asked to end, or does not care.
SERVER = """
import json, os, pathlib, signal, sys, time
pathlib.Path("told").write_text(json.dumps([sys.argv[1:], os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)]))
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path("number").write_text(str(os.getpid()))
pathlib.Path("number").rename("ready")
time.sleep(60)
"""
PROGRAM = """
import signal, sys
from sevlab.cli import lab, main
lab.PATIENCE = 0.3
if sys.argv[1] != "0":
    signal.signal(int(sys.argv[1]), signal.SIG_IGN)
else:
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[2:]))
"""


def start(folder: Path, *words: str, ignored: int = 0) -> tuple[subprocess.Popen[str], int]:
    """Start ``sevlab lab`` over the server that stands for JupyterLab; return it and the server's number."""
    (folder / "jupyter.py").write_text(SERVER)
    command = [sys.executable, "-c", PROGRAM, str(ignored), "lab", "notebooks", "--", *words]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (folder / "ready").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process, int((folder / "ready").read_text())


def is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("words", [[], ["stubborn"]], ids=["willing", "stubborn"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"] if SOAK else ["SIGTERM", "SIGINT"])
def test_the_server_ends_with_the_command(tmp_path: Path, name: str, words: list[str]) -> None:
    process, server = start(tmp_path, *words)
    number = getattr(signal, name)
    process.send_signal(number)
    assert process.communicate(timeout=60)[1] == ("Interrupted.\n" if name == "SIGINT" else f"Ended by {name}.\n")
    assert process.returncode == 128 + number
    assert not is_there(server)


def test_what_the_user_says_comes_last_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of the command after ours, so that they win; the folders of the environment beside ours."""
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "one:two" if os.pathsep == ":" else "one;two")
    process, server = start(tmp_path, "--no-browser", "--LabApp.default_url=/lab")
    os.kill(server, signal.SIGTERM)
    process.communicate(timeout=60)
    words, (ours, *theirs) = json.loads((tmp_path / "told").read_text())
    assert words[-3:] == [ADDRESS, "--no-browser", "--LabApp.default_url=/lab"]
    assert theirs == ["one", "two"]
    assert json.loads((Path(ours) / "labconfig" / "default_setting_overrides.json").read_text())


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As nohup wants it."""
    process, server = start(tmp_path, ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert is_there(server)
    os.kill(server, signal.SIGTERM)
    assert (process.wait(60), process.communicate()[1]) == (2, "")  # JupyterLab did not end well


def test_no_folder_is_made_where_jupyterlab_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sevlab.cli.lab.find_spec", lambda name: None)
    assert main(["lab", str(tmp_path / "notebooks")]) == 2
    assert capsys.readouterr().err.startswith("ERROR: JupyterLab: received nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("copied", [0, 3])
@pytest.mark.parametrize("step", ["mkdir", "copyfile", "replace"])
def test_a_full_disk_leaves_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str, copied: int
) -> None:
    """What was copied whole is kept; the next run goes on from there."""
    home, calls = {"mkdir": Path, "copyfile": shutil, "replace": os}[step], []
    real = getattr(home, step)

    def full(*values: object, **options: object) -> object:
        calls.append(values)
        if len(calls) <= copied + 2 * (step == "mkdir"):
            return real(*values, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(home, step, full)
    folder = tmp_path / "a" / "b"
    assert main(["lab", "--copy-only", str(folder)]) == 2
    monkeypatch.undo()
    assert "no space left on device" in capsys.readouterr().err
    left = list(tmp_path.rglob("*"))
    files = [path for path in left if path.is_file()]
    assert len(files) == copied or step == "mkdir"
    assert not [path for path in left if path.is_dir() and not any(path.iterdir())]
    assert not [path for path in files if path.name.endswith(".partial")]
    assert main(["lab", "--copy-only", str(folder)]) == 0
    assert (folder / FIRST).is_file()
