"""The debugger in real JupyterLab, and as an application: paste, press the button, read the sentence, apply, go on."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.lab import DARK, Lab, app_server, open_notebook, run_all, set_theme

GOOD, BAD = "OK: Looks good to me", "ERROR: Measurement does not match, VM is not trustworthy"


def keep_picture(page: Page, name: str) -> None:
    """Store a screenshot when SEVLAB_PICTURES names a folder, for people who want to look."""
    if folder := os.environ.get("SEVLAB_PICTURES"):
        page.set_viewport_size({"width": 1280, "height": 2600})  # or what is scrolled away is not in it
        page.locator(".sevlab-debugger").screenshot(path=Path(folder) / f"{name}.png")


def fill(page: Page, label: str, text: str) -> None:
    page.locator(".sevlab-debugger").get_by_label(label, exact=True).fill(text)
    page.keyboard.press("Tab")


def use_it(page: Page, samples: str, name: str) -> None:
    """From a paste with one wrong number to the reason, and on to a launch that validates."""
    whole = page.locator(".sevlab-debugger")
    verdict, progress = whole.locator(".sevlab-verdict"), whole.locator(".sevlab-progress")
    verdict.get_by_text("Nothing is given yet").wait_for(timeout=60_000)
    broken = Path(samples, "launch.txt").read_text().replace(": 13", ": 19")
    assert "19" in broken
    whole.locator(".sevlab-paste textarea").fill(broken)
    whole.get_by_role("button", name="Read it").click()
    whole.locator(".sevlab-understood").get_by_text("Understood").wait_for()
    fill(page, "Firmware", str(Path(samples, "firmware.fd")))
    fill(page, "Key file", str(Path(samples, "tk.bin")))
    verdict.get_by_text(BAD).wait_for()
    whole.get_by_role("button", name="Find out why").click()
    result = whole.locator(".sevlab-diagnosis")
    result.get_by_text("EXPLAINED: with 1 change").wait_for(timeout=60_000)
    result.get_by_text("Decimal versus hex").wait_for()
    result.get_by_text("does not make the guest trustworthy").wait_for()
    progress.get_by_text("candidates in").wait_for()
    box = whole.locator(".sevlab-paste textarea").bounding_box()
    assert box is not None
    assert box["width"] > 500, "a measurement must fit in one line"
    keep_picture(page, f"{name}-explained")
    result.get_by_role("button", name="Apply this").click()
    verdict.get_by_text(GOOD).wait_for()
    assert whole.get_by_label("Build", exact=True).input_value() == "13"
    result.get_by_text("Applied").wait_for()
    assert result.get_by_role("button", name="Apply this").is_disabled()
    keep_picture(page, f"{name}-good")


def test_the_debugger_in_the_lab(lab: Lab, page: Page) -> None:
    open_notebook(page, lab, "debugger.ipynb")
    run_all(page)
    use_it(page, str(lab.root / "samples"), "debugger")
    set_theme(page, DARK)
    keep_picture(page, "debugger-dark")


def test_a_hostile_paste_is_one_line_and_the_page_goes_on(lab: Lab, page: Page) -> None:
    open_notebook(page, lab, "debugger.ipynb")
    run_all(page)
    whole = page.locator(".sevlab-debugger")
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for(timeout=60_000)
    for text in ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>", "nonsense", "<script>alert(1)</script>"):
        whole.locator(".sevlab-paste textarea").fill(text)
        whole.get_by_role("button", name="Read it").click()
        whole.locator(".sevlab-understood").get_by_role("alert").get_by_text("received").wait_for()
    whole.get_by_role("button", name="Start again").click()
    whole.locator(".sevlab-understood").get_by_role("alert").wait_for(state="detached")
    use_it(page, str(lab.root / "samples"), "debugger-again")


def test_pastes_of_megabytes_are_one_line_and_the_page_goes_on(lab: Lab, page: Page) -> None:
    """10 MiB in one message would end the connection; 100 MB in a text box would end the browser."""
    open_notebook(page, lab, "debugger.ipynb")
    run_all(page)
    whole = page.locator(".sevlab-debugger")
    box, understood = whole.locator(".sevlab-paste textarea"), whole.locator(".sevlab-understood")
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for(timeout=60_000)
    for lines in (80_000, 700_000, 7_000_000):
        box.evaluate(
            """(box, lines) => {
                const clipboardData = new DataTransfer();
                clipboardData.setData("text/plain", "a line of text\\n".repeat(lines));
                box.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
            }""",
            lines,
        )
        understood.get_by_role("alert").get_by_text(f"received {15 * lines} characters").wait_for()
    box.evaluate(
        """box => {
            const dataTransfer = new DataTransfer();
            dataTransfer.setData("text/plain", "x".repeat(3 << 20));
            box.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    understood.get_by_role("alert").get_by_text(f"received {3 << 20} characters").wait_for()
    box.fill("x" * (2 << 20))  # not by a paste
    page.keyboard.press("Tab")
    understood.get_by_role("alert").get_by_text(f"received {2 << 20} characters").wait_for()
    assert box.input_value() == ""
    use_it(page, str(lab.root / "samples"), "debugger-after-megabytes")


def test_the_debugger_as_an_application(lab: Lab, page: Page) -> None:
    with app_server(lab.root / "debugger.ipynb") as url:
        page.goto(url, timeout=120_000)
        use_it(page, str(lab.root / "samples"), "app")
        assert page.get_by_text("sevlab.debugger()").count() == 0  # no code is shown
        page.problems.clear()  # Voila's own page asks for things that are not there
