"""The explorer in real JupyterLab: change an input in the page, see the verdict turn in the page."""

from __future__ import annotations

import base64
import hashlib
import hmac

from playwright.sync_api import Locator

from sevlab.labs import samples
from sevlab.launch.verify import BAD, GOOD
from sevlab.layout.span import COLOURS
from tests.browser.lab import DARK, Sheet, needed


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
    assert chain.inner_text().strip() == ""
    sheet.keep_picture(".sevlab-explorer", "launch-error")
    count.fill("5")
    page.keyboard.press("Tab")
    chain.get_by_text("First step that differs from the start: vCPU 4").wait_for()
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


def test_the_byte_map_by_mouse_and_by_keyboard(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-explorer")
    explorer.locator(".sevlab-verdict").get_by_text(GOOD).wait_for()
    grid, detail = explorer.locator(".sevlab-bytemap").first, explorer.locator(".sevlab-detail").first
    selected = grid.locator("[aria-selected=true]")

    grid.locator("[data-offset='2']").hover()
    detail.get_by_text("C: api_minor, offset 0x02, 1 byte: 22 (0x16)").wait_for()
    grid.locator("[data-offset='5']").click()
    assert [cell.get_attribute("data-offset") for cell in selected.all()] == ["4", "5", "6", "7"]
    explorer.locator(".sevlab-fields").first.get_by_text("G mnonce").click()
    assert [int(cell.get_attribute("data-offset")) for cell in selected.all()] == list(range(40, 56))

    cells = page.locator(".jp-Notebook .jp-Cell").count()
    grid.focus()
    page.keyboard.press("Home")
    detail.get_by_text("A: context").wait_for()
    page.keyboard.press("ArrowRight")
    detail.get_by_text("B: api_major").wait_for()
    page.keyboard.press("ArrowDown")
    detail.get_by_text("F: digest").wait_for()
    page.keyboard.press("b")  # in command mode Lab would insert a cell
    page.keyboard.press("End")
    detail.get_by_text("G: mnonce").wait_for()
    page.keyboard.press("Escape")
    detail.get_by_text("Select a byte").wait_for()
    assert selected.count() == 0
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells


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
