"""The debugger in real JupyterLab, and as an application: press the button, read the sentence, apply, take it along."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from sevlab.cases.bundle import load_bundle
from tests.browser.lab import DARK, LIGHT, TOKEN, Lab, Sheet, app_server, needed, open_notebook, run_all
from tests.browser.test_explorer import type_and_press
from tests.soak import many, pairs

GOOD, BAD = "OK: Looks good to me", "ERROR: Measurement does not match, VM is not trustworthy"
SIZES = (400, 800, 1280, 1920)
#: Runs a script if any of it becomes a part of the page; and characters that move others or paint a terminal.
ALIVE = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>\x1b[31m\u202e\u2066"


def no_picture(css: str, name: str) -> None:
    """What a page outside JupyterLab does in place of :meth:`Sheet.keep_picture`."""


@pytest.fixture
def debugger(sheet: Sheet) -> Page:
    sheet.show(*needed("debugger.ipynb", "sevlab.debugger("))
    sheet.page.locator(".sevlab-debugger .sevlab-verdict").get_by_text(BAD).wait_for()
    return sheet.page


@pytest.fixture
def wide(debugger: Page) -> Iterator[Page]:
    """The debugger without JupyterLab's sidebar beside it, at 1280x900."""
    debugger.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    debugger.set_viewport_size({"width": 1280, "height": 900})
    yield debugger
    debugger.evaluate("() => window.jupyterapp.shell.expandLeft()")


def start_empty(page: Page) -> Locator:
    """Wait for the example, and press it away."""
    whole = page.locator(".sevlab-debugger")
    whole.locator(".sevlab-verdict").get_by_text(BAD).wait_for(timeout=60_000)
    whole.get_by_role("button", name="Start empty").click()
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for()
    return whole


def drop(page: Page, name: str, raw: bytes) -> None:
    """Drop a file onto the box."""
    page.locator(".sevlab-paste textarea").evaluate(
        """(box, [name, text]) => {
            const dataTransfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            dataTransfer.items.add(new File([bytes], name));
            box.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [name, base64.b64encode(raw).decode()],
    )


def assert_in_view(page: Page, *shown: Locator) -> None:
    """Check that nobody needs to scroll for these."""
    for one in shown:
        expect(one.first).to_be_in_viewport(ratio=0.99)
        box, height = one.first.bounding_box(), page.viewport_size["height"]  # type: ignore[index]
        assert box is not None
        assert 0 <= box["y"] < box["y"] + box["height"] <= height


def assert_dead(page: Page) -> None:
    whole = page.locator(".sevlab-debugger")
    assert page.evaluate("() => window.hit") is None
    assert whole.locator("img, script, iframe").count() == 0
    assert not set("\x1b\u202e\u2066") & set(whole.inner_text())


def fill(page: Page, label: str, text: str) -> None:
    page.locator(".sevlab-debugger").get_by_label(label, exact=True).fill(text)
    page.keyboard.press("Tab")


def use_it(
    page: Page, samples: Path, name: str = "debugger", keep_picture: Callable[[str, str], None] = no_picture
) -> None:
    """From a paste with one wrong number to the reason, and on to a launch that validates."""
    whole = start_empty(page)
    verdict, progress = whole.locator(".sevlab-verdict"), whole.locator(".sevlab-progress")
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
    assert box["width"] > 400, "most of a measurement must be seen at once"
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
    whole = start_empty(debugger)
    understood = whole.locator(".sevlab-understood")
    for text in ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>", "nonsense", "<script>alert(1)</script>"):
        whole.locator(".sevlab-paste textarea").fill(text)
        whole.get_by_role("button", name="Read it").click()
        understood.get_by_role("alert").get_by_text("received").wait_for()
        assert "received nothing" not in understood.inner_text()
    whole.get_by_role("button", name="Start empty").click()
    understood.get_by_role("alert").wait_for(state="detached")
    expect(whole.locator(".sevlab-paste textarea")).to_have_value("")
    whole.get_by_role("button", name="Another broken launch").click()
    use_it(debugger, sheet.lab.root / "samples")


def test_a_press_acts_on_what_the_page_shows(sheet: Sheet, debugger: Page) -> None:
    """The kernel gets the text and the press as two messages; here it gets the press alone."""
    whole = start_empty(debugger)
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


def test_an_emptied_page_stays_empty_whatever_was_typed_before(debugger: Page) -> None:
    whole = start_empty(debugger)
    build, empty = whole.get_by_label("Build", exact=True), whole.get_by_role("button", name="Start empty")
    type_and_press(debugger, build, empty, "1", "19")
    expect(build).to_have_value("")
    debugger.wait_for_timeout(1500)  # for what would come late
    expect(build).to_have_value("")
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for()


def test_pastes_of_megabytes_are_one_line_and_the_page_goes_on(sheet: Sheet, debugger: Page) -> None:
    """10 MiB in one message would end the connection; 100 MB in a text box would end the browser."""
    whole = start_empty(debugger)
    box, understood = whole.locator(".sevlab-paste textarea"), whole.locator(".sevlab-understood")
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
    whole.get_by_role("button", name="Read it").click()
    debugger.wait_for_timeout(300)
    assert "received nothing" not in understood.inner_text()
    drop(debugger, "vmlinuz", bytes(10 << 20))
    understood.get_by_role("alert").get_by_text(f"{10 << 20} bytes").wait_for()
    whole.get_by_role("button", name="Another broken launch").click()
    use_it(debugger, sheet.lab.root / "samples")


@pytest.mark.parametrize("label", ["Command line", "Kernel"])
def test_megabytes_in_any_box_are_cut_and_the_verdict_is_theirs(debugger: Page, label: str) -> None:
    whole = debugger.locator(".sevlab-debugger")
    whole.get_by_role("button", name="Find out why").click()
    whole.get_by_role("button", name="Apply this").click(timeout=60_000)
    good = whole.locator(".sevlab-verdict").get_by_text(GOOD)
    good.wait_for()
    box = whole.get_by_label(label, exact=True)
    box.click()
    debugger.evaluate("""() => {
        document.activeElement.select();
        document.execCommand("insertText", false, "x".repeat(11 << 20)); // as a paste does
    }""")
    debugger.keyboard.press("Tab")
    good.wait_for(state="detached")


def reason_without_scrolling(page: Page) -> None:
    """One click from the example to its reason; then the whole answer is in view."""
    whole = page.locator(".sevlab-debugger")
    why = whole.get_by_role("button", name="Find out why")
    assert_in_view(page, whole.locator(".sevlab-verdict"), whole.locator(".sevlab-bytes table"), why)
    why.click()
    result = whole.locator(".sevlab-diagnosis")
    result.get_by_text("EXPLAINED: with 2 changes").wait_for(timeout=60_000)
    page.wait_for_timeout(700)  # for a smooth scroll to end
    owner, apply = result.get_by_text("does not make the guest trustworthy"), whole.get_by_role("button", name="Apply")
    assert_in_view(page, whole.locator(".sevlab-verdict"), result.get_by_text("EXPLAINED"), owner, apply)
    apply.click()
    result.get_by_text("Applied").wait_for()
    page.wait_for_timeout(700)
    assert_in_view(page, whole.locator(".sevlab-verdict").get_by_text(GOOD), result.get_by_text("Applied"))
    assert whole.locator(".sevlab-changed").count() == 2


def test_from_opening_to_the_reason_in_one_click_without_scrolling(wide: Page) -> None:
    reason_without_scrolling(wide)
    left, right = (wide.locator(f".sevlab-{side}").bounding_box() for side in ("left", "right"))
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"], "two columns"


@pytest.mark.parametrize(("width", "theme"), pairs(SIZES, (LIGHT, DARK)))
def test_the_verdict_stays_in_view_and_nothing_is_cut(sheet: Sheet, wide: Page, width: int, theme: str) -> None:
    debugger = wide
    sheet.use_theme(theme)
    debugger.set_viewport_size({"width": width, "height": 800})
    whole = debugger.locator(".sevlab-debugger")
    whole.get_by_role("button", name="Find out why").click()
    whole.locator(".sevlab-diagnosis").get_by_text("EXPLAINED").wait_for(timeout=60_000)
    for name in ("Start empty", "Find out why", "More inputs", "Apply this", "Save as .sevcase"):
        # No farther than a reader would: Playwright's own scrolling puts it in the middle.
        whole.get_by_role("button", name=name).evaluate("button => button.scrollIntoView({ block: 'nearest' })")
        expect(whole.locator(".sevlab-verdict b")).to_be_in_viewport(ratio=0.99)
    cut = whole.evaluate(
        """whole => [...whole.querySelectorAll("button, input, select, textarea, td, p")]
            .filter(one => one.getClientRects().length && !one.closest("details"))  // which scroll by themselves
            .filter(one => one.getBoundingClientRect().right > whole.getBoundingClientRect().right + 1)
            .map(one => one.outerHTML)"""
    )
    assert cut == []
    sheet.keep_picture(".sevlab-debugger", f"debugger-{width}-{theme.split()[-1].lower()}")


def test_ids_are_unique_and_every_box_and_button_has_a_name(sheet: Sheet, debugger: Page) -> None:
    sheet.show("import sevlab\nsevlab.debugger()", "sevlab.debugger()")
    debugger.locator(".sevlab-verdict").nth(1).get_by_text(BAD).wait_for()
    whole = debugger.locator(".sevlab-debugger")
    for number in (0, 1):
        whole.nth(number).get_by_role("button", name="More inputs").click()
        whole.nth(number).get_by_role("button", name="Fewer inputs").wait_for()
        assert whole.nth(number).get_by_role("button", name="Fewer inputs").get_attribute("aria-expanded") == "true"
    twice, nameless = debugger.evaluate(
        """() => {
            const ids = [...document.querySelectorAll(".jp-OutputArea [id]")].map(one => one.id);
            const boxes = [...document.querySelectorAll(".sevlab-debugger :is(input, select, textarea, button)")]
                .filter(one => one.type !== "file");
            const labels = one => [...(one.labels ?? [])].map(label => label.innerText).join("");
            const nameless = boxes.filter(one => !(one.ariaLabel || labels(one) || one.innerText));
            return [ids.filter((id, at) => ids.indexOf(id) !== at), nameless.map(one => one.outerHTML)];
        }"""
    )
    assert (twice, nameless) == ([], [])


def test_the_whole_flow_by_keyboard_alone(wide: Page) -> None:
    whole, keyboard = wide.locator(".sevlab-debugger"), wide.keyboard
    wide.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def walk_to(name: str) -> None:
        for _ in range(60):
            focused = wide.evaluate("() => document.activeElement.innerText || document.activeElement.ariaLabel")
            if focused == name:
                return
            keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {name}")

    whole.get_by_role("button", name="Another broken launch").focus()
    walk_to("Every check")
    keyboard.press("Enter")
    whole.locator(".sevlab-bytes details[open]").wait_for()
    walk_to("Find out why")
    keyboard.press("Enter")
    whole.locator(".sevlab-diagnosis").get_by_text("EXPLAINED").wait_for(timeout=60_000)
    expect(whole.get_by_role("button", name="Find out why")).to_be_enabled()
    whole.get_by_role("button", name="Find out why").focus()  # a button that was off has lost it
    walk_to("Apply this")
    keyboard.press("Enter")
    whole.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()
    walk_to("Copy")
    keyboard.press("Enter")
    whole.get_by_role("status").get_by_text("Copied").wait_for()
    assert wide.evaluate("() => navigator.clipboard.readText()").startswith("sevlab validate --measurement ")
    whole.locator(".sevlab-paste textarea").focus()
    keyboard.type("sev-policy: 0x3")
    walk_to("Read it")
    keyboard.press("Enter")
    whole.locator(".sevlab-understood").get_by_text("Understood").wait_for()
    walk_to("More inputs")
    keyboard.press("b")
    keyboard.press("Enter")
    whole.get_by_role("button", name="Fewer inputs").wait_for()
    assert wide.locator(".jp-Notebook .jp-Cell").count() == 2, "no key reached the notebook"


@pytest.mark.parametrize(("key", "words"), [("F01", "ID block"), ("F27", "Decimal versus hex")])
def test_a_bundle_that_is_dropped_or_uploaded_is_judged_and_explained(
    sheet: Sheet, debugger: Page, key: str, words: str
) -> None:
    whole, path = start_empty(debugger), sheet.lab.root / "incidents" / "cases" / f"{key}.sevcase"
    if key == "F27":
        with debugger.expect_file_chooser() as chooser:
            whole.get_by_role("button", name="Upload files").click()
        chooser.value.set_files(path)
    else:
        drop(debugger, path.name, path.read_bytes())
    whole.locator(".sevlab-understood").get_by_text("A case file with").wait_for()
    whole.locator(".sevlab-verdict").get_by_text("ERROR").wait_for()
    mode = whole.get_by_label("Mode", exact=True).evaluate("list => list.selectedOptions[0].innerText")
    assert mode == ("SEV" if key == "F27" else "SEV-SNP")
    whole.get_by_role("button", name="Find out why").click()
    whole.locator(".sevlab-diagnosis").get_by_text(words).first.wait_for(timeout=60_000)
    wider = "whole => [...whole.querySelectorAll('td')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    assert whole.evaluate(wider) == 0
    right = whole.locator(".sevlab-diagnosis").evaluate(
        "one => [...one.querySelectorAll('td')].every(td => td.getBoundingClientRect().right <= innerWidth)"
    )
    assert right, "a hash is broken, not cut"
    sheet.keep_picture(".sevlab-debugger", f"debugger-{key}")


def test_a_root_is_uploaded_and_a_case_is_said_to_be_one_s_own(sheet: Sheet, debugger: Page) -> None:
    whole, samples = start_empty(debugger), sheet.lab.root / "samples"
    tick, root = whole.get_by_label("This case is mine"), whole.get_by_label("Trusted root")
    assert (tick.is_visible(), root.is_visible()) == (False, False)
    for name in ("report-snp.bin", "vcek-snp.der", "chain-snp.pem"):
        drop(debugger, name, (samples / name).read_bytes())
    wrong = whole.locator(".sevlab-bytes tr", has_text="report: ARK known")
    wrong.wait_for()
    with debugger.expect_file_chooser() as chooser:
        whole.get_by_role("button", name="Upload an ARK to trust").click()
    chooser.value.set_files(samples / "ark-snp.der")
    wrong.wait_for(state="detached")
    fill(debugger, "CPU count", "4")
    whole.get_by_label("CPU type", exact=True).select_option("EPYC-Milan")
    signature = whole.get_by_label("CPU signature", exact=True)
    expect(signature).to_have_value("0xa00f11")
    assert signature.evaluate("box => box.scrollWidth <= box.clientWidth"), "it is cut off"
    drop(debugger, "F27.sevcase", (sheet.lab.root / "incidents" / "cases" / "F27.sevcase").read_bytes())
    whole.locator(".sevlab-understood").get_by_text("A case file with").wait_for()
    assert not root.is_visible()
    note = whole.locator(".sevlab-bytes").get_by_text("was taken from the bundle").first
    note.wait_for()
    tick.check()
    note.wait_for(state="detached")


def test_the_case_is_saved_and_copied(debugger: Page, tmp_path: Path) -> None:
    whole = debugger.locator(".sevlab-debugger")
    with debugger.expect_download() as download:
        whole.get_by_role("button", name="Save as .sevcase").click()
    assert download.value.suggested_filename == "launch.sevcase"
    download.value.save_as(tmp_path / "launch.sevcase")
    assert load_bundle(str(tmp_path / "launch.sevcase")).keys == []
    # A page that came over plain HTTP has no clipboard.
    debugger.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    whole.get_by_label("Take it", exact=True).select_option("as Python")
    whole.get_by_role("button", name="Copy", exact=True).click()
    whole.get_by_role("status").get_by_text("opied").wait_for()
    debugger.evaluate("() => { delete navigator.clipboard; }")


def test_what_is_alive_elsewhere_is_dead_on_the_page(sheet: Sheet, debugger: Page) -> None:
    whole = start_empty(debugger)
    whole.get_by_role("button", name="More inputs").click()
    whole.get_by_role("button", name="Fewer inputs").wait_for()
    for box in whole.locator(".sevlab-inputs input[type=text]:visible").all():
        box.fill(ALIVE)
    debugger.keyboard.press("Tab")
    whole.get_by_role("alert").first.wait_for()
    assert_dead(debugger)
    whole.get_by_role("button", name="Start empty").click()
    whole.locator(".sevlab-verdict").get_by_text("Nothing is given yet").wait_for()
    xml = f"<domain><name>x</name><os><loader>{ALIVE}</loader></os><launchSecurity type='sev'/></domain>"
    note = f'format = 2\n[about]\ntitle = "{ALIVE[:60]}"\n[owner]\ncmdline = "{ALIVE[:60]}"\n'
    for text in (xml, xml.replace("<img", "&lt;img").replace("<script", "&lt;script"), note, f"sev-policy: {ALIVE}"):
        whole.locator(".sevlab-paste textarea").fill(text)
        whole.get_by_role("button", name="Read it").click()
        expect(whole.locator(".sevlab-understood")).not_to_be_empty()
        assert_dead(debugger)
    for name, raw in ((ALIVE, b"\xff\xfe"), (f"{ALIVE}.fd", bytes(4096)), (ALIVE, note.encode())):
        before = whole.locator(".sevlab-understood").inner_text()
        drop(debugger, name, raw)
        expect(whole.locator(".sevlab-understood")).not_to_have_text(before)
        assert_dead(debugger)
    whole.get_by_role("button", name="Find out why").click()
    whole.locator(".sevlab-progress").get_by_role("alert").wait_for()
    assert_dead(debugger)


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
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{url}/?token={TOKEN}", timeout=120_000)
        page.locator(".sevlab-verdict").get_by_text(BAD).wait_for(timeout=60_000)
        reason_without_scrolling(page)
        page.get_by_role("button", name="Another broken launch").click()
        use_it(page, lab.root / "samples")
        assert page.get_by_text("sevlab.debugger()").count() == 0  # no code is shown
        page.problems.clear()  # Voila's own page asks for things that are not there
