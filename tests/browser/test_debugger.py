"""The debugger in real JupyterLab, and as an application: paste, press the button, read the sentence, apply, go on."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import DARK, TOKEN, Lab, Sheet, app_server, needed, open_notebook, run_all
from tests.soak import many

GOOD, BAD = "OK: Looks good to me", "ERROR: Measurement does not match, VM is not trustworthy"


def no_picture(css: str, name: str) -> None:
    """What a page outside JupyterLab does in place of :meth:`Sheet.keep_picture`."""


@pytest.fixture
def debugger(sheet: Sheet) -> Page:
    sheet.show(*needed("debugger.ipynb", "sevlab.debugger("))
    return sheet.page


def fill(page: Page, label: str, text: str) -> None:
    page.locator(".sevlab-debugger").get_by_label(label, exact=True).fill(text)
    page.keyboard.press("Tab")


def use_it(
    page: Page, samples: Path, name: str = "debugger", keep_picture: Callable[[str, str], None] = no_picture
) -> None:
    """From a paste with one wrong number to the reason, and on to a launch that validates."""
    whole = page.locator(".sevlab-debugger")
    verdict, progress = whole.locator(".sevlab-verdict"), whole.locator(".sevlab-progress")
    verdict.get_by_text("Nothing is given yet").wait_for(timeout=60_000)
    broken = (samples / "launch.txt").read_text().replace(": 13", ": 19")
    assert "19" in broken
    whole.locator(".sevlab-paste textarea").fill(broken)
    whole.get_by_role("button", name="Read it").click()
    whole.locator(".sevlab-understood").get_by_text("Understood").wait_for()
    fill(page, "Firmware", str(samples / "firmware.fd"))
    fill(page, "Key file", str(samples / "tk.bin"))
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
    keep_picture(".sevlab-debugger", f"{name}-explained")
    result.get_by_role("button", name="Apply this").click()
    verdict.get_by_text(GOOD).wait_for()
    assert whole.get_by_label("Build", exact=True).input_value() == "13"
    result.get_by_text("Applied").wait_for()
    assert result.get_by_role("button", name="Apply this").is_disabled()
    keep_picture(".sevlab-debugger", f"{name}-good")


def test_the_debugger_in_the_lab(sheet: Sheet, debugger: Page) -> None:
    use_it(debugger, sheet.lab.root / "samples", keep_picture=sheet.keep_picture)
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-debugger", "debugger-dark")


def test_a_hostile_paste_is_one_line_and_the_page_goes_on(sheet: Sheet, debugger: Page) -> None:
    whole = debugger.locator(".sevlab-debugger")
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for()
    understood = whole.locator(".sevlab-understood")
    for text in ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>", "nonsense", "<script>alert(1)</script>"):
        whole.locator(".sevlab-paste textarea").fill(text)
        whole.get_by_role("button", name="Read it").click()
        understood.get_by_role("alert").get_by_text("received").wait_for()
        assert "received nothing" not in understood.inner_text()
    whole.get_by_role("button", name="Start again").click()
    understood.get_by_role("alert").wait_for(state="detached")
    assert whole.locator(".sevlab-paste textarea").input_value() == ""
    use_it(debugger, sheet.lab.root / "samples")


def test_a_press_acts_on_what_the_page_shows(sheet: Sheet, debugger: Page) -> None:
    """The kernel gets the text and the press as two messages; here it gets the press alone."""
    whole = debugger.locator(".sevlab-debugger")
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for()
    debugger.evaluate(
        """() => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const send = kernel.sendShellMessage.bind(kernel);
            const isUpdate = message => message.content?.data?.method === "update";
            window.restore = () => { delete kernel.sendShellMessage; };
            window.dropped = 0;
            kernel.sendShellMessage = (message, ...rest) => {
                if (isUpdate(message)) {  // it never arrives, not even late
                    window.dropped += 1;
                    message = { ...message, content: { ...message.content, data: {} } };
                }
                return send(message, ...rest);
            };
        }"""
    )
    try:
        whole.locator(".sevlab-paste textarea").fill("sev-policy: 0x5")
        whole.get_by_label("Build", exact=True).fill("77")
        whole.get_by_role("button", name="Read it").click()
        whole.locator(".sevlab-understood").get_by_text("Understood").wait_for()
    finally:
        debugger.evaluate("() => window.restore()")
    expect(whole.get_by_label("Policy", exact=True)).to_have_value("0x5")
    assert whole.get_by_label("Build", exact=True).input_value() == "77"
    assert debugger.evaluate("() => window.dropped") >= 2  # the text and the number


def test_pastes_of_megabytes_are_one_line_and_the_page_goes_on(sheet: Sheet, debugger: Page) -> None:
    """10 MiB in one message would end the connection; 100 MB in a text box would end the browser."""
    whole = debugger.locator(".sevlab-debugger")
    box, understood = whole.locator(".sevlab-paste textarea"), whole.locator(".sevlab-understood")
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for()
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
    debugger.keyboard.press("Tab")
    understood.get_by_role("alert").get_by_text(f"received {2 << 20} characters").wait_for()
    assert box.input_value() == ""
    use_it(debugger, sheet.lab.root / "samples")


@pytest.mark.soak
@pytest.mark.parametrize("number", range(many(20, 1)))
def test_a_paste_and_a_press_on_a_cold_start(lab: Lab, page: Page, number: int) -> None:
    """The first messages of a page go to another thread of the kernel than those that follow, and may arrive late."""
    open_notebook(page, lab, "debugger.ipynb")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    whole = page.locator(".sevlab-debugger")
    whole.locator(".sevlab-paste textarea").fill("nonsense")
    whole.get_by_role("button", name="Read it").click()
    whole.locator(".sevlab-understood").get_by_role("alert").get_by_text("received").wait_for()
    assert "received nothing" not in whole.locator(".sevlab-understood").inner_text()


@pytest.mark.soak
def test_the_debugger_s_whole_notebook(lab: Lab, page: Page) -> None:
    open_notebook(page, lab, "debugger.ipynb")
    run_all(page)
    use_it(page, lab.root / "samples")


def nobody_else_gets_in(url: str) -> None:
    """Without the token there is a login page, and no kernel; under a name of somebody else's there is nothing."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    channels = f"{url}/api/kernels/00000000-0000-0000-0000-000000000000/channels"
    for address, headers, wanted in (
        (url, {}, 302),
        (f"{url}/?token=wrong", {}, 302),
        (f"{url}/?token={TOKEN}", {"Host": "evil.example"}, 403),
        (f"{url}/login", {"Host": "evil.example"}, 403),
        (f"{url}/?token={TOKEN}", {"Host": "127.0.0.1.evil.example:80"}, 403),
        (channels, {**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, 403),
    ):
        host, path = address.removeprefix("http://").partition("/")[::2]
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", f"/{path}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == wanted, (address, headers)
        assert wanted != 302 or answer.getheader("Location", "").startswith("/login")
        connection.close()


def test_the_debugger_as_an_application(lab: Lab, page: Page) -> None:
    with app_server(lab.root / "debugger.ipynb") as url:
        nobody_else_gets_in(url)
        page.goto(f"{url}/?token={TOKEN}", timeout=120_000)
        use_it(page, lab.root / "samples")
        assert page.get_by_text("sevlab.debugger()").count() == 0  # no code is shown
        page.problems.clear()  # Voila's own page asks for things that are not there
