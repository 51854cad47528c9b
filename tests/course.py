"""The map of the notebooks and their times, written from the notebooks themselves (``make docs``).

One rule estimates every time: 150 words of text a minute, six code cells a minute, a minute for a widget, rounded to
five minutes; and five minutes for each exercise.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from tests.paths import NOTEBOOKS

MAP = NOTEBOOKS / "README.md"
#: The cell of 00 that has the map too, and how it begins.
MAP_CELL, MAP_TEXT = (
    "map",
    (
        "## All notebooks\n\nNew words are in the [glossary](glossary.md). "
        "Minutes are to read and run, plus those for the exercises.\n\n"
    ),
)
#: The parts of the course: title, folder, and the pattern of its notebooks' names.
PARTS = (
    ("The message, and what it stands on", "", "0[0-3]*"),
    ("What was loaded, and what follows", "", "0[4-9]*"),
    ("When it does not match", "", "10*"),
    ("SEV-SNP", "", "1[1-4]*"),
    ("Attacks", "attacks", "A*"),
    ("Incidents", "incidents", "[0F]*"),
)
WIDGET = re.compile(r"\b(?:explore|debugger|Trial|FieldBox)\(")
#: An exercise is marked in a cell of its own.
MARK = re.compile(r"\b\w+\.mark\(")
TIME = re.compile(r"\*\*Time:\*\* \d+ minutes(?:, and \d+ for the exercises)?")
HEAD = """\
# Notebooks

A course on the attestation of AMD SEV, SEV-ES and SEV-SNP. Begin with [00](00-start-here.ipynb); each notebook names
those it builds on, and ends in a link to the next. Nothing needs SEV hardware. New words are in the
[glossary](glossary.md).

Minutes are to read and run, plus those for the exercises. One rule estimates them: 150 words or six code cells a
minute, a minute for a widget; and five for each exercise. To work on a launch of your own, open the
[debugger](debugger.ipynb).
"""


def lessons(folder: str, pattern: str) -> list[Path]:
    return sorted((NOTEBOOKS / folder).glob(f"{pattern}.ipynb"))


def question(notebook: nbformat.NotebookNode) -> str:
    return str(notebook.cells[0].source.split("\n")[0].removeprefix("# "))


def minutes(notebook: nbformat.NotebookNode) -> tuple[int, int]:
    """Return the estimated minutes of a notebook: to read and run it, and for its exercises.

    The map of all notebooks and the last cell (claims and references) are to look things up in, and do not count.
    """
    prose = [cell for cell in notebook.cells[:-1] if cell.cell_type == "markdown" and cell.id != MAP_CELL]
    words = sum(len(TIME.sub("", cell.source).split()) for cell in prose)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    widgets, exercises = (sum(bool(form.search(source)) for source in code) for form in (WIDGET, MARK))
    return max(5, 5 * round((words / 150 + len(code) / 6 + widgets) / 5)), 5 * exercises


def tables() -> str:
    """Return the map as Markdown."""
    parts = []
    for title, folder, pattern in PARTS:
        rows = []
        for path in lessons(folder, pattern):
            notebook = nbformat.read(path, as_version=4)
            number = path.stem.split("-")[0] if path.stem != "00-index" else "index"
            both = " + ".join(map(str, minutes(notebook)))
            rows.append(f"| [{number}]({path.relative_to(NOTEBOOKS)}) | {question(notebook)} | {both} |")
        parts.append("\n".join([f"### {title}", "", "| | question | minutes |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def timed(notebook: nbformat.NotebookNode) -> str:
    """Return the words in which a first cell says the time."""
    reading, exercises = minutes(notebook)
    return f"**Time:** {reading} minutes, and {exercises} for the exercises"


def write() -> None:
    for _, folder, pattern in PARTS:
        for path in lessons(folder, pattern):
            notebook = nbformat.read(path, as_version=4)
            first = notebook.cells[0]
            first.source = TIME.sub(timed(notebook), first.source)
            for cell in notebook.cells:
                if cell.id == MAP_CELL:
                    cell.source = MAP_TEXT + tables()
            nbformat.write(notebook, path)
    MAP.write_text(f"{HEAD}\n{tables()}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
