"""The debugger as an application: the system's theme, a name in its tab, and a narrow page that loses nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, TimeoutError

from sevlab.cli.lab import copy_notebooks
from tests.browser.lab import app_server, new_page
from tests.browser.test_axe import equal_ids, findings, show
from tests.browser.test_static import luminance

SCHEMES = ("light", "dark")
WIDTHS = (400, 800, 1280, 1920)

#: What is out of reach: beyond an edge of the page, or cut off by a box that does not scroll.
OUT_OF_REACH = """() => [...document.querySelectorAll("#rendered_cells *")].filter(node => {
    const { left, right, width, height } = node.getBoundingClientRect();
    if (!width || !height || getComputedStyle(node).visibility === "hidden") return false;
    for (let box = node.parentElement; box; box = box.parentElement) {
        const { overflowX } = getComputedStyle(box), edges = box.getBoundingClientRect();
        if (["auto", "scroll"].includes(overflowX) && box.scrollWidth > box.clientWidth) return false;
        if (["hidden", "clip"].includes(overflowX) && width > 1 && right > edges.right + 1) return edges.width > 1;
    }
    return right > innerWidth + 1 || left < -1;
}).map(node => `${node.tagName} ${node.className}: ${node.textContent.slice(0, 40)}`)"""


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
        app.set_viewport_size({"width": width, "height": 900})
        with contextlib.suppress(TimeoutError):  # the page is laid out anew a moment after its width has changed
            app.wait_for_function(f"() => ({OUT_OF_REACH})().length === 0")
        assert app.evaluate(OUT_OF_REACH) == [], width
        assert app.evaluate("() => document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("SEVLAB_PICTURES"):
            app.set_viewport_size({"width": width, "height": 2600})
            app.screenshot(path=Path(folder) / f"app-{request.node.callspec.params['app']}-{width}.png")
