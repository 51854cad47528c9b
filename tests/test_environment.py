"""pyproject.toml, requirements.lock and environment.yml agree, and what we hand out is whole and light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec

from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())

# Where conda-forge's name is not PyPI's.
CONDA_NAMES = {"dask": "dask-core", "matplotlib": "matplotlib-base", "playwright": "playwright-python"}

# What conda needs beside our direct dependencies: Python, and pip to install sevlab itself.
CONDA_ONLY = {"pip", "python"}

# What conda-forge is not known to have; pip installs it there.
PIP_ONLY = {"axe-playwright-python", "omne-attest", "sev-snp-measure"}

# What has no wheel for every system; whoever wants it installs it.
UNLOCKED = {"atheris", "libvirt-python"}

HEAVY = [
    "anywidget",
    "cryptography",
    "defusedxml",
    "IPython",
    "ipywidgets",
    "matplotlib",
    "numba",
    "numpy",
    "rich",
    "tomli_w",
    "tqdm",
]


def direct_dependencies() -> dict[str, Requirement]:
    """The requirements of the library and of its extras, by name; the extras' mentions of sevlab itself left out."""
    texts = [*PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values() for text in extra)]
    requirements = {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, texts)}
    del requirements["sevlab"]
    for name in UNLOCKED:
        del requirements[name]
    return requirements


DIRECT = direct_dependencies()


@dataclass(frozen=True)
class Locked:
    name: str
    version: str
    marker: Marker | None
    hashes: list[str]


def locked() -> list[Locked]:
    """The entries of the lock. A backslash at a line's end joins it with the next, as in pip."""
    entries = []
    for line in filter(None, LOCK.replace("\\\n", " ").splitlines()):
        text, *hashes = re.split(r"\s+--hash=", line.strip())
        requirement = Requirement(text)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        entries.append(Locked(canonicalize_name(requirement.name), pin.version, requirement.marker, hashes))
    return entries


def conda_specs() -> dict[str, str]:
    """The version ranges of environment.yml by name, read with conda's own grammar."""
    specs = {}
    for entry in ENVIRONMENT["dependencies"]:
        if isinstance(entry, str):
            spec = MatchSpec(entry, strict=True)
            specs[spec.name.normalized] = str(spec.version or "")
    return specs


def test_the_lock_names_no_address() -> None:
    # Only requirements and hashes: an option line could bring in an index or a folder.
    assert "://" not in LOCK
    assert not [line for line in LOCK.splitlines() if line.startswith(("-", "#", "."))]


def test_every_locked_package_has_its_hashes() -> None:
    entries = locked()
    assert len(entries) > len(DIRECT)
    for entry in entries:
        assert entry.hashes, entry.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in entry.hashes), entry.name


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
@pytest.mark.parametrize("name", DIRECT)
def test_a_direct_dependency_is_locked_in_its_range(name: str, python: str) -> None:
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    versions = [
        entry.version
        for entry in locked()
        if entry.name == name and (entry.marker is None or entry.marker.evaluate(environment))
    ]
    assert len(versions) == 1
    assert DIRECT[name].specifier.contains(versions[0])


def test_the_build_backend_is_locked_too() -> None:
    # `make` installs sevlab without build isolation, so what builds it has to be in the environment.
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert DIRECT[canonicalize_name(requirement.name)].specifier == requirement.specifier


def test_conda_has_the_same_packages() -> None:
    assert set(conda_specs()) == {CONDA_NAMES.get(name, name) for name in DIRECT if name not in PIP_ONLY} | CONDA_ONLY


@pytest.mark.parametrize("name", [name for name in DIRECT if name not in PIP_ONLY])
def test_conda_has_the_same_range(name: str) -> None:
    assert SpecifierSet(conda_specs()[CONDA_NAMES.get(name, name)]) == DIRECT[name].specifier


def test_conda_has_the_same_python() -> None:
    assert SpecifierSet(conda_specs()["python"]) == SpecifierSet(PROJECT["requires-python"])


def test_conda_installs_sevlab_from_the_checkout() -> None:
    assert ENVIRONMENT["name"] == "sevlab"
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    assert [entry for entry in ENVIRONMENT["dependencies"] if not isinstance(entry, str)] == [
        {"pip": [*(str(DIRECT[name]) for name in sorted(PIP_ONLY)), "-e ."]}
    ]


def test_the_citation_has_our_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'__version__ = "{citation["version"]}"' in (ROOT / "sevlab" / "__init__.py").read_text()
    assert citation["license"] == PROJECT["license"]


def test_the_wheel_carries_the_notebooks(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    notebooks = ROOT / "notebooks"
    shipped = [
        path
        for kind in ("*.ipynb", "voila.json", "custom/**/*", "samples/**/*", "incidents/cases/*")
        for path in notebooks.rglob(kind)
        if path.is_file()
    ]
    wanted = {
        f"sevlab/_notebooks/{path.relative_to(notebooks).as_posix()}"
        for path in shipped
        if ".ipynb_checkpoints" not in path.parts
    }
    assert wanted, "there are no notebooks to carry"
    assert wanted <= names

    assert {"sevlab/__init__.py", "sevlab/cli/__init__.py"} <= names
    version = wheel.name.split("-")[1]
    shared = {name for name in names if name.startswith(f"sevlab-{version}.data/")}
    assert {name.rpartition("/")[2] for name in shared} == {"sevlab", "_sevlab", "sevlab.fish"}  # for three shells
    assert {name.split("/")[0] for name in names - shared} == {"sevlab", f"sevlab-{version}.dist-info"}
    unwanted = re.compile(r"(^|/)(\.ipynb_checkpoints|__pycache__|tests|test_[^/]*|conftest\.py)(/|$)")
    assert not list(filter(unwanted.search, names))


def test_the_application_is_for_who_started_it() -> None:
    """Voila reads voila.json in the folder where it is started; tests/browser looks at what that does."""
    told = json.loads((ROOT / "notebooks" / "voila.json").read_text())["Voila"]
    assert (told["ip"], told["auto_token"]) == ("127.0.0.1", True)
    assert told["tornado_settings"] == {"allow_remote_access": False, "local_hostnames": ["localhost"]}
    rule = (ROOT / "Makefile").read_text().partition("\napp: ")[2].partition("\n\n")[0]
    assert rule.splitlines()[1] == "\tcd notebooks && ../$(BIN)/voila debugger.ipynb $(APP_ARGS)"


def test_importing_sevlab_is_light() -> None:
    # In a process of its own, because the tests around this one have long imported everything.
    program = f"import sevlab, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
