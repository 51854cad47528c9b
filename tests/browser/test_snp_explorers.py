"""The explorers of SEV-SNP in real JupyterLab: change an input, step through links, change a byte of a report."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sevlab.labs import snp_samples as snp
from tests.browser.lab import DARK, LIGHT, Sheet, needed
from tests.browser.test_explorer import expect_dimmed

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
    expect_dimmed(chain, explorer.get_by_role("grid"))
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

    field = explorer.locator(".sevlab-fields").get_by_text("chip_id", exact=True)
    value, byte = explorer.get_by_label("Value", exact=True), explorer.get_by_label("Byte", exact=True)
    field.click()
    expect(byte).to_have_value("0xc0")
    assert value.input_value().startswith("c0c1c2")
    explorer.locator("[data-offset='417']").click()  # its second byte
    expect(byte).to_have_value("0xc1")
    assert field.get_attribute("aria-pressed") == "true"
    byte.fill("0")
    banner.get_by_text("1 byte changed. Checks that changed: report signature, chip id.").wait_for()
    assert byte.input_value() == "0"  # as it was typed
    assert explorer.locator("[data-offset='417']").inner_text().split()[0] == "00*"
    assert checks.get_by_text("mismatch, was match", exact=True).count() == 2
    sheet.keep_picture(".sevlab-report-explorer", "report-changed")

    where = explorer.get_by_label("Byte at", exact=True)
    where.fill("0x30")
    expect(value).to_have_value("0x0")
    assert explorer.locator("[data-offset='48']").get_attribute("aria-selected") == "true"
    value.fill("four")
    page.keyboard.press("Tab")
    explorer.locator(".sevlab-edit").get_by_role("alert").get_by_text("Value of vmpl: received").wait_for()
    expect_dimmed(checks, explorer.get_by_role("grid"))
    explorer.locator("[data-offset='0']").hover()
    page.mouse.move(0, 0)
    assert value.input_value() == "four"  # to be mended, wherever one looked meanwhile
    explorer.get_by_role("button", name="Take all changes back").click()
    banner.get_by_text("Every check is as at the start.").wait_for()
    assert checks.inner_text() == before
    expect(value).to_have_value("0x0")
    where.fill("1184")
    explorer.locator(".sevlab-edit").get_by_role("alert").get_by_text("Byte at: received '1184'").wait_for()
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-report-explorer", "report-dark")


@pytest.mark.parametrize(
    ("width", "theme"),
    [
        pytest.param(width, theme, marks=[] if (width, theme) in ((1280, LIGHT), (800, DARK)) else pytest.mark.soak)
        for width in (400, 800, 1280, 1920)
        for theme in (LIGHT, DARK)
    ],
)
def test_what_a_byte_is_and_its_box_are_beside_it(sheet: Sheet, width: int, theme: str) -> None:
    """Any byte of the report: its description and the box to edit it are on the same screen; zeros are folded."""
    page = sheet.page
    sheet.show(*needed("12-a-report-byte-by-byte.ipynb", "sevlab.explore("))
    page.set_viewport_size({"width": width, "height": 900})
    sheet.use_theme(theme)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    explorer = page.locator(".sevlab-report-explorer")
    grid, side = explorer.get_by_role("grid"), explorer.locator(".sevlab-side")
    box = explorer.get_by_label("Value", exact=True)
    fields = explorer.locator(".sevlab-fields button")
    assert set(fields.all_inner_texts()) >= {"version", "chip_id", "reserved_330"}  # names, no letters
    assert grid.bounding_box()["height"] < 500
    folded = grid.get_by_role("button", name="zero bytes")
    assert folded.count() == 3
    assert grid.locator("[data-offset='1100']").count() == 0

    fields.filter(has_text="chip_id").hover()
    first = grid.locator("[data-offset='416']")
    assert "sevlab-pointed" in first.get_attribute("class")
    inside, frame = first.bounding_box(), grid.bounding_box()
    assert frame["y"] <= inside["y"] <= frame["y"] + frame["height"] - inside["height"]  # it was scrolled to
    first.click()
    side.locator(".sevlab-detail").get_by_text("chip_id, offset 0x1a0, 64 bytes").wait_for()
    for one in (side.locator(".sevlab-detail"), box):
        expect(one).to_be_in_viewport()
        assert abs(one.bounding_box()["y"] - first.bounding_box()["y"]) < 700
    beside = side.bounding_box()["x"] > frame["x"] + 400
    assert beside == (width >= 1280)

    explorer.get_by_label("Byte at", exact=True).fill("1100")  # folded: it is unfolded
    grid.locator("[data-offset='1100'][aria-selected=true]").wait_for()
    opened = grid.get_by_role("button", name="Fold")
    assert opened.get_attribute("aria-expanded") == "true"
    opened.press("Enter")
    grid.locator("[data-offset='1100']").wait_for(state="detached")
    if folder := os.environ.get("SEVLAB_PICTURES"):
        explorer.evaluate("node => node.scrollIntoView()")
        page.screenshot(path=Path(folder) / f"report-{width}-{theme[-5:].strip()}.png")


def test_a_check_and_what_it_is_about_are_marked_together(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("12-a-report-byte-by-byte.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-report-explorer")
    linked = explorer.locator(".sevlab-checklist .sevlab-linked")
    explorer.locator(".sevlab-fields").get_by_text("chip_id", exact=True).hover()
    assert [text.split("\t")[0] for text in linked.all_inner_texts()] == ["report signature", "chip id"]
    explorer.locator(".sevlab-checklist tr", has_text="chip id").hover()
    explorer.locator(".sevlab-detail").get_by_text("chip_id, offset 0x1a0").wait_for()
