"""The explorers of one part of a launch, in real JupyterLab: edit a part, see the chain change at that step."""

from __future__ import annotations

import hashlib
import struct

from playwright.sync_api import expect

import sevlab
from sevlab.labs import samples
from tests.browser.lab import DARK, Sheet, needed
from tests.browser.test_explorer import expect_dimmed

SAME, DIFFERS = "The launch digest is as at the start.", "First step that differs: "


def spaced(raw: bytes) -> str:
    """The first bytes of a digest, as the page's tables print them."""
    return raw[:4].hex(" ")


def test_editing_the_command_line_changes_the_chain_at_the_table(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("05-kernel-hashes.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-table-explorer")
    banner, chain = explorer.locator(".sevlab-banner"), explorer.locator(".sevlab-chain")
    banner.get_by_text(SAME).wait_for()
    whole = hashlib.sha256(samples.firmware_for_kernels()).digest()
    before = chain.inner_text()
    sheet.keep_picture(".sevlab-table-explorer", "table-start")

    box = explorer.get_by_label("Command line", exact=True)
    box.fill("console=ttyS0\n")
    page.keyboard.press("Tab")
    banner.get_by_text(f"{DIFFERS}kernel hashes").wait_for()
    changed = hashlib.sha256(b"console=ttyS0\n\0").digest()
    first = explorer.locator("[data-offset='36']")
    assert first.inner_text().split() == [f"{changed[0]:02x}*", "E"]
    rows = chain.locator("tr")
    assert "as at the start" in rows.nth(1).inner_text()
    assert spaced(whole) in rows.nth(1).inner_text()
    assert "CHANGED *" in rows.nth(2).inner_text()
    assert "differs because an earlier step differs" in rows.nth(3).inner_text()
    sheet.keep_picture(".sevlab-table-explorer", "table-changed")

    kernel = explorer.get_by_label("Kernel", exact=True)
    kernel.fill("no such file")
    page.keyboard.press("Tab")
    explorer.locator(".sevlab-error").get_by_role("alert").get_by_text("Kernel: received").wait_for()
    banner.get_by_text("CANNOT TELL").wait_for()
    expect_dimmed(chain, explorer.get_by_role("grid"))
    kernel.fill("samples/kernel.bin")
    box.fill("console=ttyS0")
    page.keyboard.press("Tab")
    banner.get_by_text(SAME).wait_for()
    assert chain.inner_text() == before
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-table-explorer", "table-dark")


def test_editing_a_register_changes_the_chain_at_its_cpu(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("06-sev-es-and-the-vmsa.ipynb", "sevlab.explore("))
    explorer = page.locator(".sevlab-vmsa-explorer")
    banner, chain = explorer.locator(".sevlab-banner"), explorer.locator(".sevlab-chain")
    registers = explorer.locator(".sevlab-registers")
    banner.get_by_text(SAME).wait_for()
    before = chain.inner_text()
    sheet.keep_picture(".sevlab-vmsa-explorer", "vmsa-start")

    explorer.locator(".sevlab-fields").get_by_text("rip", exact=True).click()
    value = explorer.get_by_label("Value", exact=True)
    expect(value).to_have_value("0xfff0")
    value.fill("0x1000")  # which counts after a pause
    banner.get_by_text(f"{DIFFERS}vCPU 0").wait_for()
    registers.get_by_text("rip*", exact=True).wait_for()
    rows = chain.locator("tr")
    assert ["as at the start" in rows.nth(number).inner_text() for number in (1, 2)] == [True, True]
    assert "CHANGED *" in rows.nth(3).inner_text()
    assert "differs because an earlier step differs" in rows.nth(4).inner_text()
    edited = sevlab.build_vmsa("qemu-legacy", signature=0xA00F11).to_bytes()
    edited = edited[:0x178] + struct.pack("<Q", 0x1000) + edited[0x180:]
    assert spaced(hashlib.sha256(edited).digest()) in rows.nth(3).inner_text()
    sheet.keep_picture(".sevlab-vmsa-explorer", "vmsa-changed")

    value.fill("1 << 4")
    explorer.locator(".sevlab-edit").get_by_role("alert").get_by_text("Value of rip: received").wait_for()
    banner.get_by_text("CANNOT TELL").wait_for()
    assert value.input_value() == "1 << 4"  # what was typed stays, to be mended
    expect_dimmed(chain, registers, explorer.get_by_role("grid"))
    value.fill("")
    banner.get_by_text(SAME).wait_for()

    explorer.get_by_label("debug_swap (bit 5)").check()
    registers.get_by_text("sev_features*", exact=True).wait_for()
    explorer.get_by_label("debug_swap (bit 5)").uncheck()
    banner.get_by_text(SAME).wait_for()
    explorer.get_by_label("Profile").select_option("qemu")
    registers.get_by_text("mxcsr*", exact=True).wait_for()
    explorer.get_by_label("Profile").select_option("qemu-legacy")
    banner.get_by_text(SAME).wait_for()
    assert chain.inner_text() == before
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-vmsa-explorer", "vmsa-dark")
