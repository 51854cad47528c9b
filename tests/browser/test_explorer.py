"""The explorer in real JupyterLab: change an input in the page, see the verdict turn in the page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from sevlab.labs import samples
from sevlab.launch.verify import BAD, GOOD
from sevlab.layout.span import COLOURS
from tests.browser.lab import DARK, LIGHT, Sheet, needed


def spaced(measure: bytes) -> str:
    """The first bytes of a measure, as the page's tables print them."""
    return measure[:4].hex(" ")


def measure(policy: int = samples.POLICY, api_minor: int = samples.API_MINOR) -> bytes:
    """The sample's measure under another policy or version, from the standard library alone."""
    start = bytes([4, samples.API_MAJOR, api_minor, samples.BUILD_ID]) + policy.to_bytes(4, "little")
    digest = hashlib.sha256(samples.firmware()).digest()
    return hmac.digest(samples.TIK, start + digest + samples.MNONCE, "sha256")


def background(verdict: Locator) -> str:
    """The colour of the banner as the browser paints it, as ``#rrggbb``."""
    painted = verdict.locator("[role=status] > div").evaluate("node => getComputedStyle(node).backgroundColor")
    return "#" + bytes(int(part) for part in painted.removeprefix("rgb(").rstrip(")").split(",")).hex()


def expect_dimmed(*boxes: Locator, dimmed: bool = True) -> None:
    """Wait until the page paints these paler and without colour, or as always."""
    for box in boxes:
        expect(box).to_have_css("opacity", "0.45" if dimmed else "1")
        expect(box).to_have_css("filter", "grayscale(1)" if dimmed else "none")


def test_flipping_a_policy_bit_turns_the_verdict_and_back(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    verdict, comparison = explorer.locator(".sevlab-verdict"), explorer.locator(".sevlab-comparison")
    verdict.get_by_text(GOOD).wait_for()
    assert background(verdict) == COLOURS["green"]
    sheet.keep_picture(".sevlab-explorer", "explorer-good")

    explorer.get_by_label("NODBG (bit 0)").uncheck()
    verdict.get_by_text(BAD).wait_for()
    comparison.get_by_text(spaced(measure(policy=0))).first.wait_for()
    assert background(verdict) == COLOURS["pink"]
    assert explorer.get_by_label("Policy", exact=True).input_value() == "0x0"
    sheet.keep_picture(".sevlab-explorer", "explorer-bad")

    explorer.get_by_label("NODBG (bit 0)").check()
    verdict.get_by_text(GOOD).wait_for()
    comparison.get_by_text(spaced(measure())).first.wait_for()
    assert explorer.get_by_label("Policy", exact=True).input_value() == "0x1"

    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-explorer", "explorer-dark")


def test_typed_values_wrong_values_and_uploads(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    verdict, error = explorer.locator(".sevlab-verdict"), explorer.locator(".sevlab-error")

    minor = explorer.get_by_label("API minor")
    minor.fill("0x17")
    page.keyboard.press("Tab")
    verdict.get_by_text(BAD).wait_for()
    explorer.locator(".sevlab-comparison").get_by_text(spaced(measure(api_minor=23))).first.wait_for()
    minor.fill("256")
    page.keyboard.press("Tab")
    error.get_by_role("alert").get_by_text("API minor: received '256'").wait_for()
    verdict.get_by_text("CANNOT TELL").wait_for()
    sheet.keep_picture(".sevlab-explorer", "explorer-error")
    minor.fill("22")
    page.keyboard.press("Tab")
    verdict.get_by_text(GOOD).wait_for()

    box = explorer.get_by_label("Measurement", exact=True)
    whole = box.input_value()
    box.fill(f"{whole[:30]}\n{whole[30:]}\n")
    page.keyboard.press("Tab")
    verdict.get_by_text(GOOD).wait_for()

    changed = sheet.lab.root / "changed.fd"
    changed.write_bytes(samples.firmware()[:-1] + b"!")
    with page.expect_file_chooser() as chooser:
        explorer.get_by_text("Upload firmware").click()
    chooser.value.set_files(changed)
    verdict.get_by_text(BAD).wait_for()
    with page.expect_file_chooser() as chooser:
        explorer.get_by_text("Upload firmware").click()
    chooser.value.set_files(sheet.lab.root / "samples" / "firmware.fd")
    verdict.get_by_text(GOOD).wait_for()


WHOLE = f"""
import sevlab

sevlab.explore(sevlab.load_evidence(
    measurement="{base64.b64encode(samples.es_measurement()).decode()}",
    api_major=0, api_minor=22, build_id=13, policy=0x5,
    firmware="samples/firmware-kernel.fd", tk="samples/tk.bin",
    kernel="samples/kernel.bin", initrd="samples/initrd.bin", cmdline="console=ttyS0",
    num_cpus=4, cpu_family=25, cpu_model=1, cpu_stepping=1,
))
"""


def test_every_input_of_a_launch_can_be_changed(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(WHOLE)
    explorer = page.locator(".sevlab-explorer")
    verdict, chain = explorer.locator(".sevlab-verdict"), explorer.locator(".sevlab-loaded")
    error = explorer.locator(".sevlab-error")
    verdict.get_by_text(GOOD).wait_for()
    before = chain.inner_text()
    firmware = hashlib.sha256(samples.firmware_for_kernels()).digest()
    assert spaced(firmware) in before
    colour = chain.locator("td", has_text="kernel hashes").evaluate("node => getComputedStyle(node).backgroundColor")
    assert "#" + bytes(int(part) for part in colour[4:-1].split(",")).hex() == COLOURS["orange"]
    sheet.keep_picture(".sevlab-explorer", "launch-good")

    box = explorer.get_by_label("Command line", exact=True)
    box.fill("console=ttyS0\n")
    page.keyboard.press("Tab")
    verdict.get_by_text(BAD).wait_for()
    chain.get_by_text("First step that differs from the start: kernel hashes").wait_for()
    sheet.keep_picture(".sevlab-explorer", "launch-bad")
    box.fill("console=ttyS0")
    page.keyboard.press("Tab")
    verdict.get_by_text(GOOD).wait_for()
    assert chain.inner_text() == before

    title = explorer.get_by_text("What else is loaded")
    title.click()
    count = explorer.get_by_label("CPU count", exact=True)
    count.wait_for(state="hidden")
    title.click()
    count.fill("none")
    page.keyboard.press("Tab")
    error.get_by_role("alert").get_by_text("CPU count: received 'none'").wait_for()
    verdict.get_by_text("CANNOT TELL").wait_for()
    assert chain.inner_text() == before  # nothing jumps, but it is dimmed
    expect_dimmed(chain)
    assert count.get_attribute("aria-invalid") == "true"
    sheet.keep_picture(".sevlab-explorer", "launch-error")
    count.fill("5")
    page.keyboard.press("Tab")
    chain.get_by_text("First step that differs from the start: vCPU 4").wait_for()
    expect_dimmed(chain, dimmed=False)
    assert count.get_attribute("aria-invalid") is None
    count.fill("4")
    page.keyboard.press("Tab")
    verdict.get_by_text(GOOD).wait_for()
    explorer.get_by_label("Profile", exact=True).select_option("qemu")
    chain.get_by_text("First step that differs from the start: vCPU 0").wait_for()
    explorer.get_by_label("Profile", exact=True).select_option("qemu-legacy")
    verdict.get_by_text(GOOD).wait_for()

    explorer.get_by_role("button", name="Remove Initrd").click()
    verdict.get_by_text(BAD).wait_for()
    with page.expect_file_chooser() as chooser:
        explorer.get_by_text("Upload (up to").nth(1).click()
    chooser.value.set_files(sheet.lab.root / "samples" / "initrd.bin")
    verdict.get_by_text(GOOD).wait_for()
    assert explorer.get_by_label("Initrd", exact=True).get_attribute("placeholder") == "uploaded: initrd.bin"
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-explorer", "launch-dark")


def test_ticking_sev_es_opens_the_boxes_it_needs(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    explorer.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()
    count = explorer.get_by_label("CPU count", exact=True)
    assert not count.is_visible()
    sheet.keep_picture(".sevlab-explorer", "explorer-closed")
    explorer.get_by_label("ES (bit 2)").check()
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text("CPU count: received nothing").wait_for()
    count.wait_for(state="visible")


def message_map(sheet: Sheet) -> Locator:
    """The map of the message, in an explorer of the first notebook."""
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = sheet.page.locator(".sevlab-explorer")
    explorer.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()
    explorer.locator("[data-offset='47']").nth(1).wait_for()  # both maps are there, and nothing moves any more
    return explorer.locator(".sevlab-map.sevlab-linked-map")


def offsets(cells: Locator) -> list[int]:
    return cells.evaluate_all("all => all.map(one => Number(one.dataset.offset))")


def test_the_byte_map_by_mouse_and_by_keyboard(sheet: Sheet) -> None:
    page, shown = sheet.page, message_map(sheet)
    grid, detail = shown.get_by_role("grid"), shown.locator(".sevlab-detail")
    selected, pointed = grid.locator("[aria-selected=true]"), grid.locator(".sevlab-pointed")
    fields = shown.locator(".sevlab-fields button")

    grid.locator("[data-offset='5']").hover()  # a byte marks its field, all its bytes, and says what it is
    detail.get_by_text("E: policy, offset 0x04, 4 bytes: 0x00000001 (NODBG)").wait_for()
    assert offsets(pointed) == [4, 5, 6, 7]
    assert shown.locator(".sevlab-fields .sevlab-pointed").all_inner_texts() == ["E policy: 0x00000001 (NODBG)"]
    fields.filter(has_text="G mnonce").hover()  # and a field its bytes
    detail.get_by_text("G: mnonce").wait_for()
    assert offsets(pointed) == list(range(40, 56))
    assert selected.count() == 0
    grid.locator("[data-offset='5']").click()  # a click keeps it
    page.mouse.move(0, 0)
    detail.get_by_text("E: policy").wait_for()
    assert offsets(selected) == [4, 5, 6, 7]
    assert pointed.count() == 0
    fields.filter(has_text="G mnonce").click()
    assert offsets(selected) == list(range(40, 56))

    cells = page.locator(".jp-Notebook .jp-Cell").count()
    grid.focus()
    page.keyboard.press("Home")
    detail.get_by_text("A: context").wait_for()
    page.keyboard.press("ArrowRight")
    detail.get_by_text("B: api_major").wait_for()
    page.keyboard.press("ArrowDown")
    detail.get_by_text("F: digest").wait_for()
    assert page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']").get_attribute("data-offset") == "17"
    page.keyboard.press("b")  # in command mode Lab would insert a cell
    page.keyboard.press("End")
    detail.get_by_text("G: mnonce").wait_for()
    page.keyboard.press("Escape")
    detail.get_by_text("Point at a byte").wait_for()
    assert selected.count() == 0
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells

    fields.first.focus()  # one stop of the keyboard for all fields
    assert offsets(pointed) == [0]
    page.keyboard.press("ArrowRight")
    assert offsets(pointed) == [1]
    page.keyboard.press("Enter")
    assert offsets(selected) == [1]
    assert shown.locator(".sevlab-fields button[tabindex='0']").count() == 1


def test_a_field_and_the_step_that_makes_it_are_marked_together(sheet: Sheet) -> None:
    shown, linked = message_map(sheet), sheet.page.locator(".sevlab-loaded .sevlab-linked")
    assert linked.count() == 0
    shown.locator("[data-offset='8']").hover()
    assert linked.all_inner_texts()[0].startswith("firmware")
    shown.locator("[data-offset='0']").hover()
    assert linked.count() == 0
    sheet.page.locator(".sevlab-loaded tr", has_text="firmware").hover()
    shown.locator(".sevlab-detail").get_by_text("F: digest").wait_for()
    assert offsets(shown.locator(".sevlab-pointed[data-offset]")) == list(range(8, 40))
    sheet.page.locator(".sevlab-loaded b", has_text="What was loaded").hover()
    assert shown.locator(".sevlab-pointed").count() == 0


@pytest.mark.parametrize("how", ["clipboard", "no clipboard", "selection"])
def test_what_is_copied_is_bytes_and_nothing_else(sheet: Sheet, how: str) -> None:
    page, shown = sheet.page, message_map(sheet)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    read = "() => navigator.clipboard.readText()"
    raw = samples.message().to_bytes()
    if how == "selection":
        shown.get_by_role("grid").scroll_into_view_if_needed()
        first, last = (shown.locator(f"[data-offset='{at}']").bounding_box() for at in (3, 20))
        page.mouse.move(first["x"] + 3, first["y"] + 8)
        page.mouse.down()
        page.mouse.move(last["x"] + 22, last["y"] + 8, steps=5)
        page.mouse.up()
        page.wait_for_function("() => !document.getSelection().isCollapsed")
        page.keyboard.press("Control+c")
        assert page.evaluate(read).split("\n") == [raw[3:16].hex(" "), raw[16:21].hex(" ")]
        page.evaluate("() => document.getSelection().removeAllRanges()")
        return
    if how == "no clipboard":
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    shown.locator("[data-offset='8']").click()
    forms = {"hex": bytes.hex, "base64": lambda raw: base64.b64encode(raw).decode(), "Python": None}
    for of, part in (("digest", raw[8:40]), ("all bytes", raw)):
        for form, write in forms.items():
            button = shown.get_by_role("button", name=f"Copy {of} as {form}", exact=True)
            button.focus()
            page.keyboard.press("Enter")
            shown.get_by_text(f"Copied {len(part)} bytes").wait_for()
            copied = page.evaluate(read)
            assert (write(part) if write else f'bytes.fromhex("{part.hex()}")') == copied
            if not write:
                assert eval(copied) == part
    page.evaluate("() => { delete navigator.clipboard.writeText; }")


def test_no_two_ids_on_a_page_are_equal(sheet: Sheet) -> None:
    sheet.show(WHOLE, WHOLE, *needed("12-a-report-byte-by-byte.ipynb", "sevlab.explore("))
    sheet.page.locator(".sevlab-report-explorer [data-offset='0']").wait_for()
    sheet.page.locator(".sevlab-explorer [data-offset='0']").nth(3).wait_for()
    found = sheet.page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea-output [id]')].map(node => node.id)"
    )
    assert len(found) > 500
    assert len(set(found)) == len(found)
    code = sheet.page.evaluate("() => Object.keys(globalThis).filter(name => name.startsWith('sevlab ')).length")
    assert code == 2  # of the maps and of the explorers, one copy each


def test_a_text_too_long_for_the_connection_is_cut_off(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    explorer.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()
    box = explorer.get_by_label("Measurement", exact=True)
    box.focus()
    page.evaluate("""() => {
        document.activeElement.select();
        document.execCommand("insertText", false, "<b>" .repeat(4 << 20));
    }""")
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text("Measurement: received").wait_for()
    assert len(box.input_value()) == 1 << 20
    explorer.get_by_role("button", name="Take all changes back").click()
    explorer.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()


def test_the_whole_launch_by_keyboard(sheet: Sheet) -> None:
    """From the policy by Tab to the closed part, which Enter opens, and into its boxes."""
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    explorer.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()
    opener = explorer.get_by_role("button", name="What else is loaded")
    assert opener.get_attribute("aria-expanded") == "false"
    explorer.get_by_label("Key file", exact=True).focus()
    for _ in range(5):
        page.keyboard.press("Tab")
        if opener.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    kernel = explorer.get_by_label("Kernel", exact=True)
    kernel.wait_for(state="visible")
    assert opener.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Tab")
    assert kernel.evaluate("node => node === document.activeElement")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    kernel.wait_for(state="hidden")


def test_typed_text_counts_after_a_pause_and_can_be_taken_back(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    verdict, undo = explorer.locator(".sevlab-verdict"), explorer.get_by_role("button", name="Take all changes back")
    verdict.get_by_text(GOOD).wait_for()
    assert undo.is_disabled()
    minor = explorer.get_by_label("API minor")
    minor.press("End")
    minor.press_sequentially("0")  # 220, and the box keeps the focus
    verdict.get_by_text(BAD).wait_for()
    explorer.locator(".sevlab-comparison").get_by_text(spaced(measure(api_minor=220))).wait_for()
    assert minor.evaluate("node => node === document.activeElement")
    minor.press_sequentially("0")  # 2200
    said = explorer.locator(".sevlab-error").get_by_text("API minor: received '2200'")
    said.wait_for()
    assert abs(said.bounding_box()["y"] - minor.bounding_box()["y"]) < 600  # on one screen, and the box has a frame
    expect(minor).to_have_css("border-top-width", "3px")
    explorer.get_by_label("NOKS (bit 1)").check()
    undo.click()
    verdict.get_by_text(GOOD).wait_for()
    assert (minor.input_value(), explorer.get_by_label("Policy", exact=True).input_value()) == ("22", "0x1")
    assert explorer.locator(".sevlab-error").inner_text().strip() == ""
    expect(undo).to_be_disabled()


#: Two changes of a text at once, and a press: the second is held back while the first is on its way to the kernel.
TYPE_AND_PRESS = """([box, button, ...texts]) => {
    for (const text of texts) {
        box.value = text;
        for (const event of ["input", "change"]) box.dispatchEvent(new Event(event, { bubbles: true }));
    }
    button.click();
}"""


def type_and_press(page: Page, box: Locator, button: Locator, *texts: str) -> None:
    page.evaluate(TYPE_AND_PRESS, [box.element_handle(), button.element_handle(), *texts])


def test_taking_back_wins_over_what_was_typed_at_the_last_moment(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    verdict, undo = explorer.locator(".sevlab-verdict"), explorer.get_by_role("button", name="Take all changes back")
    minor, alone = explorer.get_by_label("API minor"), "API minor: received '2200'"
    verdict.get_by_text(GOOD).wait_for()
    changes = page.evaluate_handle(
        """verdict => {
            const seen = [];
            const watch = new MutationObserver(() => seen.push(verdict.innerText));
            watch.observe(verdict, { subtree: true, childList: true });
            return seen;
        }""",
        verdict.element_handle(),
    )
    type_and_press(page, minor, undo, "220", "2200")
    expect(minor).to_have_value("22")
    page.wait_for_timeout(1500)  # for what would come late
    expect(minor).to_have_value("22")
    assert verdict.inner_text() == GOOD
    assert explorer.get_by_text(alone).count() == 0
    assert len(changes.evaluate("seen => seen")) >= 2  # it came, and was taken back
    minor.press("End")
    minor.press_sequentially("0")  # by hand, within the pause
    undo.click()
    page.wait_for_timeout(1500)
    expect(minor).to_have_value("22")
    assert verdict.inner_text() == GOOD
    expect(undo).to_be_disabled()


def test_taking_back_wins_over_an_edit_in_the_map(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("12-a-report-byte-by-byte.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-report-explorer")
    banner, undo = explorer.locator(".sevlab-banner"), explorer.get_by_role("button", name="Take all changes back")
    banner.get_by_text("Every check is as at the start").wait_for()
    byte = explorer.get_by_label("Byte", exact=True)
    before = byte.input_value()
    byte.fill("0x1" if before != "0x1" else "0x2")
    undo.click()
    page.wait_for_timeout(1500)
    banner.get_by_text("Every check is as at the start").wait_for()
    assert "changed" not in banner.inner_text()
    assert explorer.locator(".sevlab-mark").count() == 0


def test_a_bit_of_any_file_or_digest_is_flipped(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(WHOLE)
    explorer = page.locator(".sevlab-explorer")
    verdict, chain = explorer.locator(".sevlab-verdict"), explorer.locator(".sevlab-loaded")
    verdict.get_by_text(GOOD).wait_for()
    target, at = explorer.get_by_label("Flip a bit in", exact=True), explorer.get_by_label("At byte", exact=True)
    for name, first in (("Firmware", "firmware"), ("Kernel", "kernel hashes"), ("Initrd", "kernel hashes")):
        target.select_option(name)
        verdict.get_by_text(BAD).wait_for()
        chain.get_by_text(f"First step that differs from the start: {first}").wait_for()
    target.select_option("Digest")
    at.fill("31")
    marked = explorer.locator(".sevlab-linked-map:not(:has([data-offset='8'] .sevlab-mark)) .sevlab-mark")
    expect(marked).to_have_count(1)
    expect(explorer.locator(".sevlab-linked-map [data-offset='39'] .sevlab-mark")).to_have_count(1)
    target.select_option("Measurement")
    explorer.locator(".sevlab-columns [data-offset='31'] .sevlab-mark").wait_for()
    at.fill("48")
    error = "At byte: received '48'; needed a whole number from 0 to 47"
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text(error).wait_for()
    assert at.get_attribute("aria-invalid") == "true"
    target.select_option("(nothing)")
    verdict.get_by_text(GOOD).wait_for()


WIDTHS = [(400, 900), (800, 900), (1280, 900), (1920, 1000)]


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param(size, theme, marks=[] if (size[0], theme) in ((800, DARK), (1280, LIGHT)) else pytest.mark.soak)
        for size in WIDTHS
        for theme in (LIGHT, DARK)
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else value[-5:].strip(),
)
def test_the_warning_is_at_its_box_and_the_difference_in_sight(sheet: Sheet, size: tuple[int, int], theme: str) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    page.set_viewport_size({"width": size[0], "height": size[1]})
    sheet.use_theme(theme)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    explorer = page.locator(".sevlab-explorer")
    box = explorer.get_by_label("NODBG (bit 0)")
    box.uncheck()
    warning = explorer.get_by_text("WARNING: policy: bit 0 (NODBG) is clear")
    warning.wait_for()
    explorer.get_by_text("Not set: the host may read and change the guest's memory").wait_for()
    explorer.get_by_text(BAD).wait_for()  # which comes last, and moves what is below it
    watched = {
        "whole": explorer,
        "box": box,
        "warning": warning,
        "verdict": explorer.get_by_text(BAD),
        "difference": explorer.locator(".sevlab-columns .sevlab-bytemap"),
        "policy": explorer.locator(".sevlab-bits"),
    }
    before, places = None, {name: one.bounding_box() for name, one in watched.items()}
    while before != places:  # until the page is still
        page.wait_for_timeout(200)
        before, places = places, {name: one.bounding_box() for name, one in watched.items()}
    assert abs(places["warning"]["y"] - places["box"]["y"]) < 120
    if size[0] >= 800:  # all on one screen
        used = [one for name, one in places.items() if name != "whole"]
        assert max(one["y"] + one["height"] for one in used) - min(one["y"] for one in used) < size[1]
    right = places["whole"]["x"] + places["whole"]["width"] + 1
    for name, one in places.items():
        assert one["x"] + one["width"] <= right, name
    labels = explorer.locator(".sevlab-bits .widget-label-basic")
    assert labels.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")  # none is cut off
    assert explorer.locator(".sevlab-map").evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
    if folder := os.environ.get("SEVLAB_PICTURES"):
        explorer.evaluate("node => node.scrollIntoView()")
        page.screenshot(path=Path(folder) / f"launch-{size[0]}-{theme[-5:].strip()}.png")


def test_a_configuration_is_labelled_in_the_page(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("04-what-the-digest-covers.ipynb", "sevlab.explore("))
    result = page.locator(".sevlab-coverage-result")
    result.get_by_text("(absent) kernel-hashes=on").wait_for()
    box = page.locator(".sevlab-coverage").get_by_label("Configuration")
    box.fill(box.input_value().replace("policy=0x5", "policy=0x5,kernel-hashes=on"))
    page.keyboard.press("Tab")
    result.get_by_text("1 breaks measurement").wait_for()
    assert result.get_by_text("(absent) kernel-hashes=on").count() == 0
