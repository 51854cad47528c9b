"""What the documents say must be so."""

from __future__ import annotations

import argparse
import re
from itertools import takewhile
from pathlib import Path

import nbformat
import pytest

import sevlab
from sevlab import __version__
from sevlab.cli import VERBS
from sevlab.cli.validate import validate_parser
from tests.make_docs import TARGET, reference
from tests.make_screens import FOLDER as SCREENS
from tests.paths import DOCS, NOTEBOOKS, ROOT

ALL = sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = (DOCS / "validate.md").read_text(encoding="utf-8")
PAGES_OF_TEXT = [*ROOT.glob("*.md"), *sorted(DOCS.glob("*.md")), *sorted(NOTEBOOKS.rglob("*.md"))]


def test_the_layout_reference_is_not_stale() -> None:
    assert TARGET.read_text(encoding="utf-8") == reference(), "run: make docs"


def test_the_manual_names_every_option() -> None:
    options = [option for action in validate_parser()._actions for option in action.option_strings]
    missing = [option for option in options if f"`{option}`" not in MANUAL]
    assert missing == []
    tables = MANUAL.partition("## Exit status")[0]
    documented = set(re.findall(r"^\| `(--[a-z-]+)`", tables, re.MULTILINE))
    assert documented <= {*options, "--html"}


def test_help_tells_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = validate_parser()
    assert all(action.help for action in parser._actions)
    assert isinstance(parser, argparse.ArgumentParser)


def test_readme_names_every_verb_notebook_and_the_two_commands() -> None:
    for verb in VERBS:
        assert re.search(rf"\[`(sevlab )?{verb}`\]|`sevlab {verb}`", README), verb
    for path in ALL:
        index = path.parent / "README.md"
        assert path.name in index.read_text(encoding="utf-8"), f"{index.relative_to(ROOT)} does not name {path.name}"
    assert "make lab" in README
    assert "make test" in README


def test_changelog_has_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(NOTEBOOKS.glob("*/README.md")), ids=lambda page: page.parent.name)
def test_an_index_asks_what_its_notebooks_ask(page: Path) -> None:
    for name, question in re.findall(
        r"^\| \[\w+\]\(([^)]+\.ipynb)\) \| (.+?) \|", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert nbformat.read(page.parent / name, as_version=4).cells[0].source.split("\n")[0] == f"# {question}"


def test_links_of_notebooks_lead_somewhere() -> None:
    for path in ALL:
        for cell in nbformat.read(path, as_version=4).cells:
            for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", cell.source) if cell.cell_type == "markdown" else ():
                found = path.parent / target
                assert found.exists() or found.with_name(f"{found.name}.ipynb").exists(), (
                    f"{path.name} links to {target}"
                )


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings have on a code-hosting site."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere() -> None:
    for page in PAGES_OF_TEXT:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
            found = page.parent / target if target else page
            assert found.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(found.read_text(encoding="utf-8")), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES_OF_TEXT, ids=lambda page: str(page.relative_to(ROOT)))
def test_headings_have_a_blank_line_around_them(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"[^\n]\n(#+ .*)", text) == []
    assert re.findall(r"^(#+ .*)\n[^\n]", text, re.MULTILINE) == []


def test_the_page_about_terminals_shows_a_stored_screen() -> None:
    page, screen = (DOCS / "terminal.md").read_text("utf-8"), (SCREENS / "report-80.txt").read_text("utf-8")
    rest = page.partition("--forbid-smt\n")[2].splitlines()
    shown = "\n".join(takewhile(lambda line: line[:4].isspace() or not line, rest)).rstrip()
    answer = [line.removeprefix("    ").rstrip() for line in shown.splitlines()]
    stored = [line.rstrip() for line in screen.rpartition("--forbid-smt\n")[2].partition("\n[exit")[0].splitlines()]
    assert answer == stored


def test_names_of_the_library_in_documents_exist() -> None:
    for page in PAGES_OF_TEXT:
        text = page.read_text(encoding="utf-8").partition("\n## 0.2.0")[0]
        for name in re.findall(r"\bsevlab((?:\.[A-Za-z_]\w*)+)", text):
            found: object = sevlab
            for part in name[1:].split("."):
                assert hasattr(found, part), f"{page.name} names sevlab{name}"
                found = getattr(found, part)
        for path in re.findall(r"`(sevlab/[\w/]+\.\w+)`", text):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


#: Pages to work on, not lessons: they ask nothing and teach nothing.
PAGES = {"debugger.ipynb"}
LESSONS = [path for path in ALL if path.name not in PAGES]


def test_a_page_is_a_widget_with_its_static_twin() -> None:
    for name in PAGES:
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
        assert notebook.cells[0].source.startswith("# ")
        assert len(notebook.cells) <= 5
        assert set(notebook.cells[-1].outputs[0].data) <= {"text/plain", "text/html"}


#: Most cells and bytes of a notebook; the one that everything stands on may have more.
LIMITS = {"01-fifty-six-bytes": (70, 400_000)}
USUAL = 60, 250_000
#: Notebooks without a widget, and why.
NO_WIDGET = {"00-index": "a table of incidents to look things up in"}
WIDGET = re.compile(r"\b(?:explore|debugger|Trial|FieldBox)\(")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_notebook_conventions(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    cells, size = LIMITS.get(path.stem, USUAL)
    assert 15 <= len(notebook.cells) <= cells
    assert path.stat().st_size <= size
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    # A cell that never ran is not compared by nbval, so every cell must have run.
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [cell for cell in code if any(out.output_type == "error" for out in cell.outputs)]
    assert first.startswith("# ")
    assert first.split("\n")[0].endswith("?")
    assert "**Time:**" in first
    assert len(re.findall(r"^\d\. ", first, re.MULTILINE)) <= 5
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) <= 1
    assert any("Predict before you run" in cell.source for cell in notebook.cells)
    assert any("## What you learned" in cell.source for cell in notebook.cells)
    assert "**References**" in last
    references, _, following = last.partition("**References**")[2].partition("**Next:**")
    assert re.search(r"\]\([^)]+\.(?:ipynb|md)\)", following), "it ends in Next, with a link"
    for line in re.findall(r"^- .*", references, re.MULTILINE):
        assert "](" in line, f"a reference without a link: {line}"
    assert 1 <= len([cell for cell in code if re.search(r"\b\w+\.mark\(", cell.source)]) <= 5
    assert path.stem in NO_WIDGET or any(WIDGET.search(cell.source) for cell in code), "no widget, and no reason"
    long = [cell.source for cell in code if len(cell.source.split("\n")) > 20]
    assert len(long) <= 1
    assert all(len(source.split("\n")) <= 40 for source in long)
    for cell in code:
        assert not re.search(r"^assert .* (?:!=|==) .* != ", cell.source, re.MULTILINE), "an assert says one thing"
        assert not re.search(r"(?<![\w.])/(home|root|tmp|usr|work)/", str(cell)), "an absolute path"
    shown = {kind for cell in code for output in cell.outputs for kind in output.get("data", {})}
    assert shown <= {"text/plain", "text/html", "image/png"}
