"""The shape of the house: few rooms, a small core, few public names, nothing heavy on the way to a verdict."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sevlab
import sevlab.launch
from tests.walks import WALKS

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "sevlab"
#: What a student reads in one evening, in this order.
CORE = [
    *("layout/span.py", "layout/bits.py", "layout/structure.py"),
    *("formats/launch_measure.py", "formats/policy.py", "formats/kernel_hashes.py", "formats/page_info.py"),
    *("launch/sev.py", "launch/pages.py", "launch/measure.py", "launch/verify.py"),
]
LIBRARY = ("layout", "formats", "launch")
MODULES = sorted(HOUSE.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
#: Runs a command in this process, with its output thrown away, and prints which modules it imported.
RUN = """
import contextlib, io, json, sys
before = set(sys.modules)
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    from sevlab.cli import main
    status = main(sys.argv[1:])
print(json.dumps([status, sorted(set(sys.modules) - before)]))
"""


def lines(*paths: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def in_order(text: str) -> list[str]:
    """Return the files of the core that a text names, in the order of the text."""
    return sorted((name for name in CORE if name in text), key=text.index)


def imported(path: Path, types: bool = True) -> set[str]:
    """Return the modules that a file imports, anywhere in it; unless *types*, not those it imports for a type only."""
    found = set()
    package = path.relative_to(ROOT).parent.parts
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            found.add(".".join(part for part in (base, node.module) if part))
    return found


def code(path: Path) -> str:
    """Return the code of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_house_has_few_rooms_and_no_paragraph_for_a_module() -> None:
    entries = [path for path in HOUSE.iterdir() if path.is_dir() or path.suffix == ".py"]
    assert len([path for path in entries if path.name not in ("__pycache__", "_notebooks")]) <= 15
    assert len(MODULES) <= 160
    named = [path for path in MODULES if not path.name.startswith("__")]
    assert len([path for path in named if lines(path) <= 60]) <= 12


def test_the_core_is_read_in_one_evening() -> None:
    assert lines(*(HOUSE / name for name in CORE)) <= 1700
    assert in_order((ROOT / "README.md").read_text(encoding="utf-8")) == CORE
    assert in_order(sevlab.launch.__doc__ or "") == CORE


def test_the_core_takes_bytes_and_numbers() -> None:
    """Nothing in it reads a file, knows an option's name or an incident, or imports a room above it."""
    known = {"sevlab." + name.removesuffix(".py").replace("/", ".") for name in CORE} | {"sevlab.errors"}
    for name in CORE:
        text = (HOUSE / name).read_text(encoding="utf-8")
        assert not re.search(r"[\"' `]--[a-z]", text), name
        assert not re.search(r"\bopen\(|Path\(|\bF\d\d\b", text), name
        ours = {module for module in imported(HOUSE / name, types=False) if module.startswith("sevlab.")}
        assert ours <= known | {f"sevlab.layout.{part}" for part in ("views", "bytemap", "compare", "arguments")} | {
            f"sevlab.formats.{part}" for part in ("guid", "vmsa")
        } | {f"sevlab.launch.{part}" for part in ("keys", "evidence")}, (name, ours - known)


def test_the_measurement_mathematics_needs_the_standard_library_alone() -> None:
    paths = [HOUSE / "errors.py", *(path for room in LIBRARY for path in sorted((HOUSE / room).glob("*.py")))]
    assert lines(*paths) <= 7841
    for path in paths:
        roots = {module.split(".")[0] for module in imported(path, types=False)}
        assert roots <= {*sys.stdlib_module_names, "sevlab"}, path


def test_public_names_are_few_sorted_and_used() -> None:
    names = sevlab.__all__
    assert names == sorted(names)
    assert len(names) <= 40
    text = "\n".join([*map(code, NOTEBOOKS), *(page.read_text(encoding="utf-8") for page in PAGES)])
    imports = " ".join(re.findall(r"from sevlab import \(?([\w, \n]+)", text))
    used = set(re.findall(r"sevlab\.(\w+)", text)) | set(re.findall(r"\w+", imports))
    assert [name for name in names if name not in used] == []
    for name in names:
        assert getattr(sevlab, name) is not None


def test_every_name_that_a_room_hands_on_is_there() -> None:
    for room in sorted(path.name for path in HOUSE.iterdir() if (path / "__init__.py").exists()):
        module = __import__(f"sevlab.{room}", fromlist=["__all__"])
        for name in getattr(module, "__all__", ()):
            assert getattr(module, name) is not None, (room, name)
        assert list(getattr(module, "__all__", ())) == sorted(getattr(module, "__all__", ())), room


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_import_from_public_rooms_only(path: Path) -> None:
    modules = re.findall(r"(?:from|import) (sevlab[.\w]*)", code(path))
    deep = [name for name in modules if name.count(".") > (2 if name.startswith("sevlab.labs.") else 1)]
    assert deep == []


@pytest.mark.parametrize("verb", ["validate", "explain"])
def test_the_fast_path_imports_neither_typing_nor_dataclasses(verb: str) -> None:
    samples = "notebooks/samples"
    words = [
        *(verb, "--measurement", "nG00M80x/oeGcu58QHcX1gFFo/ZX1OciiYHXtUqQdgFAQUJDREVGR0hJSktMTU5P"),
        *("--api-major", "0", "--api-minor", "22", "--build-id", "13", "--policy", "0x1"),
        *("--firmware", f"{samples}/firmware.fd", "--tk", f"{samples}/tk.bin"),
    ]
    # -S and -E: what the site's own start-up imports is not ours.
    command = [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){RUN}", *words]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    status, modules = json.loads(ran.stdout)
    assert status == 0
    assert {"typing", "dataclasses", "tomllib", "cryptography", "copy"}.isdisjoint(modules)
    assert verb == "explain" or {"base64", "struct"}.isdisjoint(modules)
    ours = [name for name in modules if name.startswith("sevlab")]
    assert len(ours) <= 40


@pytest.mark.parametrize("name", ["validate", "digest", "report verify"])
def test_no_incident_is_read_unless_it_is_printed(name: str) -> None:
    program = f"{RUN}\nprint(*(name for name in sevlab.data._TABLES if name in vars(sevlab.data)))"
    command = [sys.executable, "-c", f"import sevlab.data{program}", *WALKS[name].split()]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.splitlines()[1:] == [""]
    assert json.loads(ran.stdout.splitlines()[0])[0] == 0
