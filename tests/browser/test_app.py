"""The debugger as an application: the system's theme, a name in its tab, and a narrow page that loses nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from sevlab.cli.lab import copy_notebooks
from tests.browser.lab import app_server, new_page
from tests.browser.test_axe import WIDTHS, equal_ids, findings, out_of_reach, show
from tests.browser.test_static import luminance

SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("app")
    copy_notebooks(folder)  # as `sevlab lab` does: the look comes with the notebooks
    page = new_page(browser)
    with app_server(folder / "debugger.ipynb") as url:
        show(page, url)
        yield page
        page.context.close()


@pytest.fixture(params=SCHEMES)
def app(opened: Page, request: pytest.FixtureRequest) -> Page:
    opened.emulate_media(color_scheme=request.param)
    return opened


def test_the_tab_has_a_name(opened: Page) -> None:
    assert opened.title() == "sevlab debugger"


def test_the_page_follows_the_system_s_theme(app: Page) -> None:
    dark = app.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    back, words, button = app.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor,
            getComputedStyle(document.querySelector("#rendered_cells p")).color,
            getComputedStyle(document.querySelector(".sevlab-debugger button:not([class*='mod-'])")).backgroundColor]"""
    )
    assert (luminance(back) < 0.05) == (luminance(button) < 0.2) == (luminance(words) > 0.5) == dark


def test_axe_finds_nothing_serious(app: Page) -> None:
    app.set_viewport_size({"width": 1280, "height": 900})
    assert findings(app) == []
    assert equal_ids(app) == []


def test_a_narrow_page_loses_nothing(app: Page, request: pytest.FixtureRequest) -> None:
    for width in WIDTHS:
        assert out_of_reach(app, width) == [], width
        assert app.evaluate("() => document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("SEVLAB_PICTURES"):
            app.set_viewport_size({"width": width, "height": 2600})
            app.screenshot(path=Path(folder) / f"app-{request.node.callspec.params['app']}-{width}.png")
