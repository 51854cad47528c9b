"""The explorers of SEV-SNP in real JupyterLab: change an input, step through links, change a byte of a report."""

from __future__ import annotations

import hashlib
import struct

from playwright.sync_api import expect

from sevlab.labs import snp_samples as snp
from tests.browser.lab import DARK, Sheet, needed

SAME = "The launch digest is as at the start."


def test_a_changed_input_leads_to_the_first_link_that_differs(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("11-snp-page-by-page.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-snp-explorer")
    banner, chain = explorer.locator(".sevlab-banner"), explorer.locator(".sevlab-chain")
    banner.get_by_text(SAME).wait_for()
    before, cells = chain.inner_text(), page.locator(".jp-Cell").count()
    assert snp.snp_launch().digest.hex() in before
    sheet.keep_picture(".sevlab-snp-explorer", "snp-start")

    explorer.get_by_label("Command line", exact=True).fill("console=ttyS1")
    page.keyboard.press("Tab")
    banner.get_by_text("Link 32 is the first that differs (contents): kernel hashes").wait_for()
    rows = chain.locator("tr")
    assert "as at the start" in rows.nth(6).inner_text()
    assert "CHANGED *" in rows.nth(7).inner_text()
    assert "differs because an earlier step differs" in rows.nth(8).inner_text()
    explorer.get_by_text("PAGE_INFO of link 32: kernel hashes").wait_for()
    assert explorer.locator("[data-offset='48']").inner_text().split()[0].endswith("*")
    assert not explorer.locator("[data-offset='0']").inner_text().split()[0].endswith("*")
    sheet.keep_picture(".sevlab-snp-explorer", "snp-changed")

    number = explorer.get_by_label("Link", exact=True)
    number.press("ArrowUp")
    explorer.get_by_text("PAGE_INFO of link 33: SEC_MEM, page 1 of 15").wait_for()
    number.press("b")  # in a cell's command mode it would insert a cell
    assert page.locator(".jp-Cell").count() == cells
    explorer.get_by_label("Region", exact=True).select_option("vCPU 0, from link 48")
    explorer.get_by_text("PAGE_INFO of link 48: vCPU 0").wait_for()
    raw = bytes.fromhex(
        "".join(
            explorer.locator("[data-offset]").evaluate_all("all => all.map(one => one.firstChild.data.slice(0, 2))")
        )
    )
    assert raw[96:] == struct.pack("<HB5xQ", 112, 2, 0xFFFFFFFFF000)
    assert hashlib.sha384(raw).hexdigest() in explorer.locator(".sevlab-link").inner_text()

    count = explorer.get_by_label("CPU count", exact=True)
    count.fill("none")
    page.keyboard.press("Tab")
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text("CPU count: received").wait_for()
    banner.get_by_text("CANNOT TELL").wait_for()
    assert chain.inner_text().strip() == ""
    assert explorer.locator("[data-offset]").count() == 0
    count.fill("4")
    explorer.get_by_label("Command line", exact=True).fill("console=ttyS0")
    page.keyboard.press("Tab")
    banner.get_by_text(SAME).wait_for()
    assert chain.inner_text() == before
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-snp-explorer", "snp-dark")


def test_a_changed_byte_of_a_report_turns_checks_red(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("12-a-report-byte-by-byte.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-report-explorer")
    banner, checks = explorer.locator(".sevlab-banner"), explorer.locator(".sevlab-checklist")
    banner.get_by_text("Every check is as at the start.").wait_for()
    before = checks.inner_text()
    sheet.keep_picture(".sevlab-report-explorer", "report-start")

    explorer.locator("[data-offset='417']").click()  # the second byte of CHIP_ID
    field, value = explorer.get_by_label("Field", exact=True), explorer.get_by_label("Value", exact=True)
    byte = explorer.get_by_label("Byte", exact=True)
    expect(byte).to_have_value("0xc0")  # the last box that is filled when a field is chosen
    assert value.input_value().startswith("c0c1c2")
    assert field.evaluate("node => node.selectedOptions[0].label") == "chip_id"
    explorer.get_by_label("Byte at", exact=True).fill("0x1a1")
    page.keyboard.press("Tab")
    expect(byte).to_have_value("0xc1")
    byte.fill("0")
    page.keyboard.press("Tab")
    banner.get_by_text("1 byte changed. Checks that changed: report signature, chip id.").wait_for()
    assert explorer.locator("[data-offset='417']").inner_text().split()[0] == "00*"
    assert checks.get_by_text("mismatch, was match", exact=True).count() == 2
    sheet.keep_picture(".sevlab-report-explorer", "report-changed")

    field.select_option("vmpl")
    expect(value).to_have_value("0x0")
    expect(byte).to_have_value("0x00")
    assert explorer.locator("[data-offset='48']").get_attribute("aria-selected") == "true"
    value.fill("four")
    page.keyboard.press("Tab")
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text("Value of vmpl: received").wait_for()
    assert checks.inner_text().strip() == ""
    explorer.get_by_role("button", name="Take all changes back").click()
    banner.get_by_text("Every check is as at the start.").wait_for()
    assert checks.inner_text() == before
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-report-explorer", "report-dark")
