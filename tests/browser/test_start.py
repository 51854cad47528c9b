"""The first minute: the address that a server prints opens the first notebook, and nothing is asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from sevlab.cli.lab import FIRST
from tests.browser.lab import SECONDS_TO_OPEN, SECONDS_TO_START, free_port, private
from tests.paths import ROOT

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S+token=\w+")
WORDS = ["--no-browser", "--ip=127.0.0.1", "--expose-app-in-browser"]


@pytest.fixture(params=["make lab", pytest.param("sevlab lab", marks=pytest.mark.soak)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What a newcomer's server prints, who has no settings of JupyterLab yet."""
    words = [*WORDS, f"--port={free_port()}"]
    # The environment that runs this test is not made again.
    make = ["make", "--old-file=.venv/.ready", f"BIN={Path(sys.executable).parent}", f"LAB_ARGS={' '.join(words)}"]
    if request.param == "make lab":
        command, folder = [*make, "lab"], ROOT
    else:
        command, folder = [sys.executable, "-m", "sevlab", "lab", "--", *words], tmp_path
    log = tmp_path / "log"
    with log.open("wb") as output:
        # A group of its own, which ends as a whole: make hands no signal on.
        server = subprocess.Popen(
            command, cwd=folder, env=private(tmp_path), stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not (found := ADDRESS.search(log.read_text(errors="replace"))):
            assert server.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.1)
        yield found[0]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_the_address_that_is_printed_opens_the_first_notebook(address: str, page: Page) -> None:
    page.goto(address)
    page.wait_for_function("() => window.jupyterapp", timeout=SECONDS_TO_OPEN * 1000)
    page.get_by_role("heading", name="Is this guest mine?").first.wait_for(timeout=SECONDS_TO_OPEN * 1000)
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path") == FIRST
    # JupyterLab asks when it has read its settings, if these say "none".
    page.wait_for_function("() => window.jupyterapp.isPluginActivated('@jupyterlab/apputils-extension:announcements')")
    plugin = address.partition("/lab/")[0] + "/lab/api/settings/@jupyterlab/apputils-extension:notification"
    settings = page.evaluate("async address => (await fetch(address)).json()", plugin)
    defaults = {name: one["default"] for name, one in settings["schema"]["properties"].items()}
    assert (defaults["fetchNews"], defaults["checkForUpdates"]) == ("false", False)
    assert page.get_by_text("Jupyter news").count() == 0
