"""The browser harness itself: a notebook opens, runs, takes typed text and shows the answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.lab import DARK, Lab, open_notebook, run_all, set_theme, write_notebook

GREETER = """
import ipywidgets

name = ipywidgets.Text(description="Name", continuous_update=False)
greeting = ipywidgets.HTML()
greeting.add_class("greeting")

def greet(change):
    greeting.value = f"Hello, <b>{change.new}</b>"

name.observe(greet, "value")
ipywidgets.VBox([name, greeting])
"""


def test_a_widget_answers_in_jupyterlab(lab: Lab, page: Page) -> None:
    write_notebook(lab.root / "greeter.ipynb", GREETER, "print('the last cell ran')")
    open_notebook(page, lab, "greeter.ipynb")
    run_all(page)
    page.get_by_text("the last cell ran", exact=True).wait_for()

    page.get_by_label("Name").fill("Ada")
    page.keyboard.press("Tab")
    page.locator(".greeting", has_text="Hello, Ada").wait_for()

    set_theme(page, DARK)
    assert page.locator(".greeting b").inner_text() == "Ada"


def test_a_cell_that_raises_is_reported(lab: Lab, page: Page) -> None:
    write_notebook(lab.root / "broken.ipynb", "1 / 0")
    open_notebook(page, lab, "broken.ipynb")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_all(page)
    page.problems.clear()  # Lab itself also logs a failed cell
