"""The browser harness itself: a notebook opens, runs, takes typed text and shows the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.lab import DARK, NOTEBOOKS, Lab, Sheet, needed, open_notebook, run_all, set_theme, write_notebook
from tests.course import WIDGET

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
    page.get_by_label("Name").fill("Grace")
    page.keyboard.press("Tab")
    page.locator(".greeting", has_text="Hello, Grace").wait_for()
    set_theme(page, "JupyterLab Light")  # the server remembers


def test_a_cell_that_raises_is_reported(sheet: Sheet) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        sheet.show("1 / 0")
    sheet.page.problems.clear()  # Lab itself also logs a failed cell


def test_a_sheet_keeps_nothing_of_the_cells_before(sheet: Sheet) -> None:
    sheet.show("left = 1", GREETER)
    sheet.page.get_by_label("Name").wait_for()
    sheet.show("print('left' in globals())")
    sheet.page.get_by_text("False", exact=True).wait_for()
    assert sheet.page.get_by_label("Name").count() == 0


def test_needed_cells_are_those_that_give_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ["import os, sys", "a = 1", "def f(x):\n    return os", "b = 1 / 0", "c = f(a)", "show(c)", "c = 2"]
    write_notebook(tmp_path / "n.ipynb", *cells)
    monkeypatch.setattr("tests.browser.lab.NOTEBOOKS", tmp_path)
    assert needed("n.ipynb", "show(") == [cells[0], cells[1], cells[2], cells[4], cells[5]]


WITH_WIDGETS = sorted(
    str(path.relative_to(NOTEBOOKS))
    for path in NOTEBOOKS.rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts and WIDGET.search(path.read_text(encoding="utf-8"))
)


def test_there_are_notebooks_with_widgets() -> None:
    assert len(WITH_WIDGETS) >= 9


@pytest.mark.soak
@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_a_whole_notebook_runs_in_the_lab(lab: Lab, page: Page, name: str) -> None:
    open_notebook(page, lab, name)
    run_all(page)
    page.locator(".lm-Widget[class*='sevlab-']").first.wait_for(state="attached")
    for trial in page.locator(".sevlab-trial").all():
        drive(page, trial)


def drive(page: Page, trial: Locator) -> None:
    """Change the inputs of a small widget one after the other, until what follows from them changes."""
    answer, start = trial.locator(".sevlab-banner"), trial.locator(".sevlab-banner").inner_html()
    for box in trial.locator("input, select").all():
        kind = box.get_attribute("type") or "select"
        if kind == "checkbox":
            box.click()
        elif kind in ("number", "text"):
            box.fill(str(int(box.input_value(), 0) + 1))
            box.press("Tab")
        elif kind == "select":
            box.select_option(index=1)
        for _ in range(30):
            if answer.inner_html() != start:
                assert trial.locator(".sevlab-error").inner_text().strip() == ""
                return
            page.wait_for_timeout(100)  # an input may have no effect where the others are: then the next
    raise AssertionError("no input of the widget changes anything")
