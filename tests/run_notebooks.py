"""Run every notebook and store its outputs (``make notebooks``).

The outputs are committed: people read them on the web, and strict nbval compares them. So they must be the same each
time. Times are not recorded, and the state of widgets, whose ids are random, is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1] / "notebooks"


def run(path: Path) -> None:
    """Execute one notebook in its own folder and write it back, cleaned."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", record_timing=False, resources={"metadata": {"path": path.parent}}
    ).execute()
    clean(notebook)
    nbformat.write(notebook, path)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Remove what differs from run to run or from machine to machine."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        if "outputs" in cell:  # what is printed slowly comes in pieces, other pieces each time
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", []):
            # A view without its state shows nothing; the static twin in the same output does.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return outputs with neighbouring pieces of one stream made one."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(ROOT.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            run(path)
            print(path.relative_to(ROOT.parent) if path.is_relative_to(ROOT.parent) else path)
