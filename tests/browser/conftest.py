"""Fixtures of the browser tests: one JupyterLab for the whole run, one fresh page for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.lab import Lab, chromium_page, chromium_path, end_kernel, lab_server

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent.parent / "notebooks"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # pytest hands over the items of every folder, so only those below this one are marked.
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; without one the test is skipped."""
    path = chromium_path()
    if path is None:
        pytest.skip("Chromium is missing; on Debian: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on a copy of notebooks/, so that nothing a test does reaches the checkout."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    if NOTEBOOKS.is_dir():
        shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    else:
        root.mkdir()
    with lab_server(root) as server:
        yield server


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    """A page of a fresh Chromium. Afterwards its kernel is ended, and any error the page met fails the test.

    A test that provokes errors on purpose empties `page.problems` when it has looked at them.
    """
    # A browser for each test costs half a second. Kept open over tests, Playwright's event loop would get in the way
    # of tests elsewhere that run one of their own.
    with chromium_page() as page:
        yield page
        problems = list(page.problems)  # before the kernel ends, which Lab's debugger complains about
        end_kernel(page)
        assert problems == []
