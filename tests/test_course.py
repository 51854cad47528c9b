"""The course as a whole: its order, its links, its map, and statements that must not come back."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from tests.course import MAP, MAP_CELL, MAP_TEXT, PARTS, lessons, question, tables, timed
from tests.paths import NOTEBOOKS

PATHS = [path for _, folder, pattern in PARTS for path in lessons(folder, pattern)]
MAIN = [path for path in PATHS if path.parent == NOTEBOOKS]
READ = {path: nbformat.read(path, as_version=4) for path in PATHS}


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in READ[path].cells if cell.cell_type == "markdown")


def everything(path: Path) -> str:
    """Text and code of a notebook, in one line: a sentence may be broken anywhere."""
    return " ".join(" ".join(cell.source for cell in READ[path].cells).split())


def test_every_notebook_is_on_the_map() -> None:
    found = {path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    assert found == {*PATHS, NOTEBOOKS / "debugger.ipynb"}
    assert tables() in MAP.read_text(encoding="utf-8"), "run: make docs"
    (cell,) = (cell for cell in READ[MAIN[0]].cells if cell.id == MAP_CELL)
    assert cell.source == MAP_TEXT + tables(), "run: make docs"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_time_is_what_the_rule_gives(path: Path) -> None:
    assert timed(READ[path]) in READ[path].cells[0].source, "run: make docs"


def test_the_questions_differ() -> None:
    asked = [question(READ[path]) for path in PATHS]
    assert len(set(asked)) == len(asked)


def test_next_leads_through_the_course() -> None:
    """From 00 on, each lesson's Next is the following one."""
    for path, following in pairwise(MAIN):
        (target, *_) = re.findall(r"\]\(([^)]+)\)", prose(path).partition("**Next:**")[2])
        assert target == following.name, path.name


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_needs_earlier_ones_only(path: Path) -> None:
    needed = re.search(r"\*\*You need\*\*(.*?)(?:\*\*Time|\n\n)", READ[path].cells[0].source, re.DOTALL)
    assert needed, "the first cell says what one needs"
    for target in re.findall(r"\]\(([^)#]+\.ipynb)\)", needed[1]):
        before = (path.parent / target).resolve()
        assert PATHS.index(before) < PATHS.index(path), target


def slugs(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_links_inside_resolve_and_links_outside_are_well_formed(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith(("http://", "https://")):
            parts = urlsplit(target)
            assert parts.scheme == "https", target
            assert re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parts.netloc), target
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        assert page.exists(), target
        if anchor and page.suffix == ".md":
            assert anchor in slugs(page), target


def test_lessons_and_their_attacks_and_incidents_link_each_other() -> None:
    links = {
        path: {(path.parent / name).resolve() for name in re.findall(r"\]\(([^)#\s]+\.ipynb)\)", prose(path))}
        for path in PATHS
    }
    for path in PATHS:
        if path in MAIN or path.stem == "00-index":
            continue
        lessons_of = {other for other in links[path] if other in MAIN}
        assert lessons_of, f"{path.name} links to no lesson"
        assert any(path in links[other] for other in MAIN), f"no lesson links to {path.name}"


#: Words of statements that readers found to be wrong, contradicted or without a source (all notebooks).
WRONG = {
    "W1": r"can read none of it",
    "W2": r"[Aa]ll you get from there is 48 bytes(?! and)|48 bytes are enough|[Ff]ive values come from the host",
    "W3": r"travels inside the session",
    "W4": r"and each starts with its own number",
    "W5": r"three independent programs|shares no code with the two above",
    "W6": r"The nonce does not stop a replay; fresh keys do",
    "W7": r"not AMD's at all \(bits 4 and 5 clear\)",
    "W8": r"is the one the firmware used",
    "W9": r"[Oo]ne of fifteen inputs",
    "W10": r"in no other program's library",
    "W11": r"the host, who has both points, does not",
    "W12": r"cheats in every way it can",
    "W13": r"That is no hole",
    "W14": r"vmpl`? \| the guest's word",
    "D2": r"A nonce in report_data says that the report is new",
    "D3": r"half of all confusion|Four tools made this mistake",
    "E1": r"there\?\.|not both other than",
}


@pytest.mark.parametrize("name", WRONG)
def test_no_wrong_statement_comes_back(name: str) -> None:
    assert [path.name for path in PATHS if re.search(WRONG[name], everything(path))] == []
