"""JupyterLab and Chromium for tests: start them, open a notebook, run it, read what the page shows.

A test reads like a user:

    def test_banner(sheet):
        sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
        sheet.page.get_by_label("API minor").fill("52")
        sheet.page.keyboard.press("Tab")
        sheet.page.locator(".sevlab-verdict", has_text="mismatch").wait_for()

`sheet` is one open notebook for all tests: a test replaces its cells, and pays neither for a browser nor for a kernel.
The fixtures are in conftest.py.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Page, sync_playwright

from tests.paths import NOTEBOOKS

TOKEN = "sevlab-tests"

# Debian calls it chromium, others chromium-browser.
CHROMIUM_NAMES = ("chromium", "chromium-browser")

# A page under test talks to one server on this machine and to nothing else.
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Settings that make a page the same at every run: no news, no autosave, and no cell that leaves the page when it is
# scrolled out of view.
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}

LIGHT = "JupyterLab Light"
DARK = "JupyterLab Dark"

VIEWPORT = {"width": 1280, "height": 1400}
SECONDS_TO_START = 90
SECONDS_TO_OPEN = 60

# One of each kind of what sevlab shows: the notebook, and what is in the cell that shows it.
KINDS = (
    ("debugger.ipynb", "sevlab.debugger("),
    ("01-fifty-six-bytes.ipynb", "sevlab.explore("),
    ("01-fifty-six-bytes.ipynb", '"policy")'),
    ("02-keys-and-the-session.ipynb", "sevlab.explore("),
    ("04-what-the-digest-covers.ipynb", "sevlab.explore("),
    ("05-kernel-hashes.ipynb", "sevlab.explore("),
    ("06-sev-es-and-the-vmsa.ipynb", "sevlab.explore("),
    ("08-a-launch-from-start-to-finish.ipynb", "sevlab.explore("),
    ("11-snp-page-by-page.ipynb", "sevlab.explore("),
    ("12-a-report-byte-by-byte.ipynb", "sevlab.explain(report)"),
    ("12-a-report-byte-by-byte.ipynb", "sevlab.explore("),
)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, and the folder whose notebooks it shows."""

    url: str
    root: Path


def private(state: Path) -> dict[str, str]:
    """An environment for a server that neither reads nor writes the user's own settings: they are in *state*."""
    return {
        **os.environ,
        "IPYTHONDIR": str(state / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_DATA_DIR": str(state / "data"),
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
    }


@contextlib.contextmanager
def lab_server(root: Path) -> Iterator[Lab]:
    """Serve the notebooks in `root` with this Python's JupyterLab, untouched by the user's own settings."""
    with tempfile.TemporaryDirectory(prefix="sevlab-lab-") as folder:
        state = Path(folder)
        for plugin, settings in LAB_SETTINGS.items():
            package, name = plugin.split(":")
            path = state / "settings" / package / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
            *(f"--ServerApp.root_dir={root}", "--LabApp.extension_manager=readonly"),
            # Gives the page window.jupyterapp, by which a test waits for things instead of guessing.
            "--expose-app-in-browser",
        ]
        log = state / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=root, env=private(state), stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for_server(url, server, log)
            yield Lab(url, root)
        finally:
            # SIGTERM lets the server end its kernels too.
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextlib.contextmanager
def app_server(notebook: Path) -> Iterator[str]:
    """Show a notebook, or all in a folder, as `make app` does: with the voila.json there. Give the address.

    That is without the token, which is TOKEN here.
    """
    with tempfile.TemporaryDirectory(prefix="sevlab-app-") as private_folder:
        state = Path(private_folder)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        folder, names = (notebook, []) if notebook.is_dir() else (notebook.parent, [notebook.name])
        command = [sys.executable, "-m", "voila", *names, f"--port={port}", f"--token={TOKEN}"]
        log = state / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=folder, env=private(state), stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for_server(url, server, log, path="/voila/static/require.min.js")
            yield url
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_server(url: str, server: subprocess.Popen[bytes], log: Path, path: str = "") -> None:
    # No proxy: the server is on this machine, whatever the environment says about the rest of the world.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            opener.open(url + (path or f"/api/status?token={TOKEN}"), timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"The server did not start. The end of its log:\n{tail}") from error
            time.sleep(0.1)


def chromium_path() -> str | None:
    """The distribution's Chromium, or None. Playwright's own browsers are never used."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@contextlib.contextmanager
def chromium_browser() -> Iterator[Browser]:
    """A fresh Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser) -> Page:
    """A page that shares nothing with others. `page.problems` lists its uncaught exceptions and console errors."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(f"uncaught: {error}"))
    page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
    return page


class Sheet:
    """One open notebook for many tests. Each shows its own cells in it, in a kernel emptied of what was before."""

    NAME = "sheet.ipynb"
    EMPTY = "import ipywidgets\nipywidgets.Widget.close_all()\n%reset -f"

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page, self.lab, self.theme = page, lab, LIGHT
        write_notebook(lab.root / self.NAME, "")
        open_notebook(page, lab, self.NAME)

    def show(self, *sources: str) -> None:
        """Put these cells into the notebook and run them to the end. One that raised fails the test."""
        self.page.evaluate(
            """sources => {
                const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
                model.deleteCellRange(0, model.cells.length);
                model.insertCells(0, sources.map(source => ({ cell_type: "code", source, metadata: {}, outputs: [] })));
            }""",
            [self.EMPTY, *sources],
        )
        run_all(self.page)

    def use_theme(self, theme: str) -> None:
        """Change the theme, which stays until the next test."""
        if theme != self.theme:
            set_theme(self.page, theme)
            self.theme = theme

    def keep_picture(self, css: str, name: str) -> None:
        """Store a screenshot, when SEVLAB_PICTURES names a folder, for people who want to look."""
        if folder := os.environ.get("SEVLAB_PICTURES"):
            self.page.set_viewport_size({"width": 1280, "height": 2600})  # or what is scrolled away is not in it
            self.page.locator(css).screenshot(path=Path(folder) / f"{name}.png")


def needed(name: str, what: str) -> list[str]:
    """The code cells of a notebook up to the first with *what* in it, without those it does not need.

    A cell needs the last cell before it that gives a name it uses.
    """
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    at = next(number for number, source in enumerate(sources) if what in source)
    wanted, taken = _names_used(sources[at]), [sources[at]]
    for source in reversed(sources[:at]):
        if given := _names_given(source) & wanted:
            taken.insert(0, source)
            wanted = wanted - given | _names_used(source)
    return taken


def _names_used(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def _names_given(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    imported = {
        alias.asname or alias.name.split(".")[0]
        for node in nodes
        for alias in getattr(node, "names", [])
        if isinstance(alias, ast.alias)
    }
    return stored | imported | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def write_notebook(path: Path, *sources: str) -> None:
    """A notebook with these code cells. The kernelspec matters: without it Lab asks which kernel to use."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def open_notebook(page: Page, lab: Lab, name: str, theme: str = LIGHT) -> None:
    """Open a notebook, by its path below `lab.root`, and wait until its kernel is ready."""
    page.goto(f"{lab.url}/lab/tree/{name}?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp", timeout=SECONDS_TO_OPEN * 1000)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=SECONDS_TO_OPEN * 1000)
    page.evaluate(
        """async () => {
            const app = window.jupyterapp;
            await app.restored;
            const notebook = app.shell.currentWidget;
            await notebook.context.ready;
            await notebook.sessionContext.ready;
        }"""
    )
    # Always, because the server remembers the theme that the test before this one chose.
    set_theme(page, theme)


def run_all(page: Page) -> None:
    """Run every cell and wait for the last. A cell that raised fails the test, unless tagged raises-exception."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    raised = page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells
            .filter(cell => cell.cell_type === 'code' && !(cell.metadata.tags ?? []).includes('raises-exception'))
            .flatMap(cell => cell.outputs)
            .filter(output => output.output_type === 'error')
            .map(output => `${output.ename}: ${output.evalue}`)"""
    )
    if raised:
        raise AssertionError(f"cells raised: {'; '.join(raised)}")


def set_theme(page: Page, theme: str) -> None:
    """Change the theme of an open JupyterLab to LIGHT or DARK."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")  # it covers the page while a theme loads


def end_kernel(page: Page) -> None:
    """End the open notebook's kernel; a page that shows no notebook is left as it is."""
    page.evaluate("async () => { await window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown(); }")
