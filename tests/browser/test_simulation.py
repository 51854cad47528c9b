"""The explorers of session and launch in real JupyterLab: edit a part, see which check or which party stops it."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.lab import DARK, Sheet, needed


def test_a_spoilt_session_is_stopped_by_a_check(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("02-keys-and-the-session.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-session-explorer")
    result = explorer.locator(".sevlab-session-result")
    result.get_by_text("OK: The platform opens this session").wait_for()
    box = explorer.get_by_label("wrap_iv", exact=True)
    before = box.input_value()
    box.fill(("0" if before[0] != "0" else "1") + before[1:])
    page.keyboard.press("Tab")
    result.get_by_text("ERROR: The platform refuses this session").wait_for()
    sheet.keep_picture(".sevlab-session-explorer", "session-refused")
    box.fill("zz")
    page.keyboard.press("Tab")
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text("wrap_iv: received").wait_for()
    box.fill(before)
    page.keyboard.press("Tab")
    result.get_by_text("OK: The platform opens this session").wait_for()
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-session-explorer", "session-dark")


def test_a_cheating_host_is_caught_in_the_page(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("08-a-launch-from-start-to-finish.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-transcript-explorer")
    verdict = explorer.locator(".sevlab-verdict")
    verdict.get_by_text("The guest runs and has its secret").wait_for()
    explorer.get_by_label("The host changes", exact=True).select_option("kernel hashes")
    verdict.get_by_text("CAUGHT by the owner").wait_for()
    sheet.keep_picture(".sevlab-transcript-explorer", "launch-caught")
    explorer.get_by_label("The host changes", exact=True).select_option("secret payload")
    verdict.get_by_text("CAUGHT by the secure processor").wait_for()
    explorer.get_by_label("The host changes", exact=True).select_option("nothing")
    verdict.get_by_text("The guest runs and has its secret").wait_for()
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-transcript-explorer", "launch-honest-dark")


def test_a_secret_is_handed_in_three_times_in_the_page(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("07-secret-injection.ipynb", "Trial("))
    trial = page.locator(".sevlab-trial")
    banner = trial.locator(".sevlab-banner")
    banner.get_by_text("ACCEPTED every time").wait_for()
    trial.get_by_label("address", exact=True).select_option("0x10ff40")
    banner.get_by_text("0x10ff40", exact=True).wait_for()
    trial.get_by_label("times", exact=True).fill("3")
    page.keyboard.press("Tab")
    banner.get_by_text("0x10ffc0", exact=True).wait_for()
    assert banner.get_by_text("42 f5 74 1e", exact=False).count() == 3
    trial.get_by_label("times", exact=True).press("ArrowDown")  # and no other key: it counts after a pause
    expect(banner.get_by_text("42 f5 74 1e", exact=False)).to_have_count(2)
    trial.get_by_label("times", exact=True).fill("")  # unfinished
    said = trial.locator(".sevlab-error").get_by_role("alert")
    said.get_by_text("times: received nothing; needed a whole number from 1 to 3").wait_for()
    trial.get_by_label("times", exact=True).press_sequentially("31")
    said.get_by_text("times: received '31'").wait_for()
    assert trial.get_by_label("times", exact=True).get_attribute("aria-invalid") == "true"
    trial.get_by_label("times", exact=True).press("Backspace")
    expect(banner.get_by_text("42 f5 74 1e", exact=False)).to_have_count(3)
    trial.get_by_label("flip a bit", exact=True).check()
    banner.get_by_text("REFUSED by the secure processor").wait_for()
    assert banner.get_by_text("BAD_MEASUREMENT").count() == 3
