"""Hostile text typed into every box of a widget, and as the name of a file, in real JupyterLab: it stays text.

tests/widgets/test_hostile.py tries every text in every widget without a browser.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import KINDS, Sheet, needed

HIT = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
TEXT = f"\u202e\u2066{HIT}\x1b[2J"
WIDGETS = [kind for kind in KINDS if "explore(" in kind[1] or "FieldBox" in kind[1]]
FAST = "11-snp-page-by-page.ipynb"

#: All that the page says outside of boxes that people type into, also what it says when one points at it.
SAID = """widget => [widget.innerText, ...[...widget.querySelectorAll("*")].flatMap(
    node => ["title", "aria-label", "placeholder"].map(name => node.getAttribute(name) ?? ""))].join(" ")"""


def assert_dead(page: Page) -> None:
    assert page.evaluate("() => window.hit") is None
    widget = page.locator(".jp-OutputArea-output").last
    assert widget.locator("img, script").count() == 0
    assert not set(widget.evaluate(SAID)) & {"\u202e", "\u2066", "\x1b"}


#: Text in a box of numbers, as something else than a keyboard may set it.
SENT_ANYWAY = """(node, text) => {
    node.type = "text";
    node.value = text;
    for (const kind of ["input", "change"]) node.dispatchEvent(new Event(kind, { bubbles: true }));
}"""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.soak] * (kind[0] != FAST), id=kind[0][:2]) for kind in WIDGETS]
)
def test_hostile_text_in_every_box_stays_text(sheet: Sheet, kind: tuple[str, str]) -> None:
    page = sheet.page
    sheet.show(*needed(*kind))
    widget = page.locator(".jp-OutputArea-output").last
    widget.locator("table:visible").first.wait_for()
    for box in widget.locator(":is(input[type=text], input[type=number], textarea):visible").all():
        if not box.is_editable():  # another box decides
            continue
        if box.evaluate("node => node.closest('.sevlab-number') !== null"):  # where the browser takes digits alone
            box.evaluate(SENT_ANYWAY, TEXT)
        else:
            box.fill(TEXT)
            page.keyboard.press("Tab")
        assert_dead(page)
    if widget.locator(":is(input[type=text], input[type=number], textarea):visible").count():
        expect(widget.locator("[role=alert]").first).to_contain_text("received")
    for button in widget.get_by_role("button", name="Upload").all():
        if not button.is_visible():
            continue
        with page.expect_file_chooser() as chooser:
            button.click()
        chooser.value.set_files({"name": f"{TEXT[:2]}{HIT.replace('/', '')}.bin", "mimeType": "", "buffer": b"text"})
        assert_dead(page)
    sheet.show("print(6 * 7)")
    page.get_by_text("42", exact=True).wait_for()
