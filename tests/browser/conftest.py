"""Fixtures of the browser tests: one JupyterLab, one Chromium and one open notebook for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.lab import (
    LIGHT,
    VIEWPORT,
    Lab,
    Sheet,
    chromium_browser,
    chromium_path,
    end_kernel,
    lab_server,
    new_page,
)
from tests.paths import NOTEBOOKS

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # pytest hands over the items of every folder, so only those below this one are marked.
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Of the package, not of the session: Playwright runs an event loop, which tests elsewhere want for themselves.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium; without one the test is skipped."""
    if chromium_path() is None:
        pytest.skip("Chromium is missing; on Debian: apt-get install chromium")
    with chromium_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on a copy of notebooks/, so that nothing a test does reaches the checkout."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with lab_server(root) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own. Afterwards its kernel is ended, and any error the page met fails the test.

    A test that provokes errors on purpose empties `page.problems` when it has looked at them.
    """
    page = new_page(browser)
    yield page
    problems = list(page.problems)  # before the kernel ends, which Lab's debugger complains about
    end_kernel(page)
    page.context.close()
    assert problems == []


@pytest.fixture(scope="package")
def _sheet(browser: Browser, lab: Lab) -> Sheet:
    return Sheet(new_page(browser), lab)


@pytest.fixture
def sheet(_sheet: Sheet) -> Iterator[Sheet]:
    """The open notebook that tests share, as if it were new. Any error that the page met fails the test."""
    _sheet.page.set_viewport_size(VIEWPORT)
    _sheet.use_theme(LIGHT)
    _sheet.page.problems.clear()
    yield _sheet
    assert _sheet.page.problems == []
