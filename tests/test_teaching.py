"""What is handed to readers: every notebook's launch, every sample and every file that `sevlab lab` copies."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

import sevlab
from sevlab.cli import lab, main
from sevlab.labs import exercises
from tests.paths import NOTEBOOKS
from tests.peers import real_validate, why_no_real_tool

SAMPLES = NOTEBOOKS / "samples"
REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")


def reported(name: str) -> dict[str, str]:
    """What a sample host reports, read here."""
    lines = (line.split(":", 1) for line in (SAMPLES / name).read_text().splitlines() if line)
    return {key.strip().removeprefix("sev-").replace("-", "_"): value.strip() for key, value in lines}


def parameters(path: Path) -> dict[str, Any]:
    """The inputs that a notebook's parameters cell gives to load_evidence; {} when it has no such cell."""
    for cell in nbformat.read(path, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            assignment = ast.parse(cell.source).body[0]
            if ast.unparse(getattr(assignment.value, "func", assignment.value)) != "sevlab.load_evidence":
                return {}  # a notebook that makes its evidence itself
            return {word.arg: ast.literal_eval(word.value) for word in assignment.value.keywords}
    return {}


#: Every notebook by its path below the folder; what Jupyter left beside them is none.
PATHS = {
    path.relative_to(NOTEBOOKS).as_posix(): path
    for path in sorted(NOTEBOOKS.rglob("*.ipynb"))
    if ".ipynb_checkpoints" not in path.parts
}
GIVEN = {name: given for name, path in PATHS.items() if (given := parameters(path))}


def test_the_notebooks_were_found() -> None:
    assert {"00-start-here.ipynb", "01-fifty-six-bytes.ipynb", "04-what-the-digest-covers.ipynb"} <= set(GIVEN)


@pytest.mark.parametrize("name", GIVEN)
def test_a_notebook_s_parameters_are_a_sample_and_validate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = GIVEN[name]
    said = reported("launch-es.txt" if "num_cpus" in given else "launch.txt")
    assert {key: str(given[key]) for key in REPORTED} == said
    monkeypatch.chdir(PATHS[name].parent)  # where its kernel runs
    verdict = sevlab.verify_measure(sevlab.load_evidence(**given))
    assert verdict.reported == base64.b64decode(said["measurement"])[:32]


def test_the_first_sample_s_measurement_is_that_of_its_files() -> None:
    said = reported("launch.txt")
    numbers = (int(said[name]) for name in REPORTED[1:])
    blob = base64.b64decode(said["measurement"])
    digest = hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).digest()
    message = struct.pack("<4BI", 4, *numbers) + digest + blob[32:]
    assert len(blob) == 48
    assert hmac.digest((SAMPLES / "tk.bin").read_bytes()[16:], message, "sha256") == blob[:32]


@pytest.mark.peer
@pytest.mark.parametrize("cpus", [4, 3])
def test_libvirt_s_own_tool_validates_the_second_sample(cpus: int) -> None:
    if why := why_no_real_tool():
        pytest.skip(why)
    given = {**reported("launch-es.txt"), "firmware": "firmware-kernel.fd", "kernel": "kernel.bin"}
    given |= {"initrd": "initrd.bin", "cmdline": "console=ttyS0", "tk": "tk.bin", "num_cpus": str(cpus)}
    given |= {"cpu_family": "25", "cpu_model": "1", "cpu_stepping": "1"}
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = real_validate(*options, folder=SAMPLES)
    assert (done.status == 0) == (cpus == 4), done
    assert done.first_line == ("OK: Looks good to me" if cpus == 4 else sevlab.launch.verify.BAD)


SOURCES = {
    name: "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells) for name, path in PATHS.items()
}


@pytest.mark.parametrize("name", exercises.names())
def test_every_exercise_is_asked_and_marked_in_a_notebook(name: str) -> None:
    for verb in ("ask", "mark"):
        assert any(f'{verb}("{name}"' in source for source in SOURCES.values())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_lab_copies_every_file_to_the_last_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = {
        name: content
        for name, content in contents(NOTEBOOKS).items()
        if not any(part.startswith(".") for part in Path(name).parts)
    }
    assert main(["lab", "--copy-only", str(tmp_path / "mine")]) == 0
    assert contents(tmp_path / "mine") == shipped
    assert len(shipped) >= 13
    assert {"attacks/README.md", "attacks/A01-invalid-curve.ipynb"} <= set(shipped)
    assert main(["lab", "--copy-only", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Copied {len(shipped)} files to {tmp_path / 'mine'}. Kept 0 that were already there.",
        f"Copied 0 files to {tmp_path / 'mine'}. Kept {len(shipped)} that were already there.",
    ]


def test_lab_leaves_what_jupyter_put_beside_the_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = tmp_path / "origin"
    for name in (lab.FIRST, "samples/tk.bin", ".ipynb_checkpoints/a.ipynb", "samples/.hidden", "__pycache__/a.pyc"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(name)
    monkeypatch.setattr(lab, "source", lambda: origin)
    assert lab.copy_notebooks(tmp_path / "mine") == (2, 0)
    assert set(contents(tmp_path / "mine")) == {lab.FIRST, "samples/tk.bin"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[list[str]]]:
    """Stands for JupyterLab: ends with a status, and keeps how it was called."""

    def stand_in(status: int) -> list[list[str]]:
        made: list[list[str]] = []

        class Server:
            def __init__(self, command: list[str], env: dict[str, str]) -> None:
                made.append(command)

            def wait(self, timeout: float | None = None) -> int:
                return status

            def end(self) -> None:
                pass  # it has ended

            terminate = kill = end

        monkeypatch.setattr(subprocess, "Popen", Server)
        monkeypatch.setattr(lab, "find_spec", lambda name: object())
        return made

    return stand_in


@pytest.mark.parametrize("status", [0, 1, 130, -15])
def test_lab_opens_the_first_notebook_and_hands_on_what_follows(
    tmp_path: Path, calls: Callable[[int], list[list[str]]], status: int
) -> None:
    made = calls(status)
    result = main(["lab", str(tmp_path / "mine"), "--", "--no-browser", "--port=0"])
    assert result == (0 if status == 0 else 2)
    ((_, *words),) = made
    assert words[:3] == ["-m", "jupyter", "lab"]
    assert words[-4:] == [str(tmp_path / "mine" / lab.FIRST), lab.ADDRESS, "--no-browser", "--port=0"]


def test_without_jupyterlab_the_extra_is_named_and_nothing_is_made(
    tmp_path: Path,
    calls: Callable[[int], list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = calls(0)
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    assert main(["lab", str(tmp_path / "mine")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ERROR: JupyterLab: received nothing")
    assert err.count("\n") == 1
    assert "sevlab[lab]" in err
    assert made == []
    assert not (tmp_path / "mine").exists()
