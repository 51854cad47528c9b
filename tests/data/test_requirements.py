"""Another project's module that is missing or too old: one line that says what to install, exit status 2."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sevlab.cli import VERBS, main
from sevlab.data import requirements
from sevlab.data.requirements import complaint, lacking
from tests.commands import STATUS, commands, write_inputs
from tests.peers import ROOT, SYSTEM_PYTHON
from tests.soak import some
from tests.test_environment import PROJECT

#: What a verb may import. Without the rest of the list, no verb of a terminal misses anything.
MODULES = ["cryptography", "tomli_w", "defusedxml", "rich", "matplotlib", "ipywidgets", "anywidget", "tqdm"]
WITHOUT = "import sys\nsys.modules[sys.argv[1]] = None\nfrom sevlab.cli import main\nsys.exit(main(sys.argv[2:]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def test_every_requirement_is_in_the_table() -> None:
    texts = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
    assert len(requirements._requirements()) == len({text for text in texts if not text.startswith("sevlab[")})
    assert requirements._requirements()["cryptography"] == ">=43"
    assert requirements._requirements()["tomli-w"] in (">=1,<2", "<2,>=1")


@pytest.mark.parametrize(
    ("installed", "is_right"),
    [("42.0.9", False), ("43", True), ("43.0.1", True), ("100.1", True), ("43rc1", True), ("38.0.4", False)],
)
def test_versions_are_compared_as_numbers(monkeypatch: pytest.MonkeyPatch, installed: str, is_right: bool) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: installed)
    found = complaint("cryptography")
    assert (found is None) == is_right
    assert is_right or f"received version '{installed}'; needed cryptography>=43. Try: pip install" in str(found)


def test_a_version_that_is_too_new_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.0")
    assert "received version '2.0'" in str(complaint("tomli-w"))


@pytest.mark.parametrize(
    ("module", "verb"),
    [("cryptography", "report"), ("tomli_w", "capture"), *some(itertools.product(MODULES, VERBS), 2)],
)
def test_a_missing_module_is_named(folder: Path, module: str, verb: str) -> None:
    words = [sys.executable, "-c", WITHOUT, module, verb, *commands(folder)[verb]]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60)
    if done.returncode == 2:
        advice = f"pip install {module.replace('_', '-')}"
        assert done.stderr == f"ERROR: Python: received no module '{module}'; needed it. Try: {advice}\n"
    else:
        assert done.returncode == STATUS.get(verb, 0)
        assert "ERROR" not in done.stderr
    if (module, verb) in (("cryptography", "report"), ("tomli_w", "capture")):
        assert done.returncode == 2


def test_an_old_library_is_no_fault_of_a_certificate(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One without the dates in UTC once made a right chain one whose dates cannot be read."""
    from cryptography import x509

    load = x509.load_der_x509_certificate

    class Old:
        def __init__(self, raw: bytes) -> None:
            self.new = load(raw)

        def __getattr__(self, name: str) -> object:
            if name.endswith("_utc"):
                raise AttributeError(name)
            return getattr(self.new, name)

    monkeypatch.setattr(x509, "load_der_x509_certificate", Old)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "38.0.4")
    assert main(["report", *commands(folder)["report"]]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "ERROR: Python package cryptography: received version '38.0.4'; needed cryptography>=43. "
        "Try: pip install 'cryptography>=43'\n",
    )


@pytest.mark.peer
@pytest.mark.parametrize("verb", some(VERBS, 2))
def test_with_the_libraries_of_the_system(folder: Path, verb: str) -> None:
    """Debian's Python has an old cryptography and no tomli_w. Whatever it has, no verb calls that an error of ours."""
    if not SYSTEM_PYTHON.exists():
        pytest.skip(f"no {SYSTEM_PYTHON}")
    words = [str(SYSTEM_PYTHON), "-m", "sevlab", verb, *commands(folder)[verb]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60, env=environment)
    assert done.returncode in (STATUS.get(verb, 0), 2)
    assert (done.returncode == 2) == ("ERROR: Python" in done.stderr)


@pytest.mark.parametrize("error", [AttributeError("x"), TypeError("x"), ImportError("x", name="sevlab.nothing")])
def test_an_error_of_ours_stays_one(error: Exception) -> None:
    assert lacking(error) is None
