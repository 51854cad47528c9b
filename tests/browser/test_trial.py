"""The small widgets in real JupyterLab: one change in the page, the right new bytes in the page."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest
from playwright.sync_api import Locator

from sevlab.labs import samples
from tests.browser.lab import DARK, Sheet, needed
from tests.browser.test_explorer import expect_dimmed

MESSAGE, REPORTED = samples.message().to_bytes(), samples.measurement()[:32]
FLIPPED = samples.firmware()[:1000] + bytes([samples.firmware()[1000] ^ 2]) + samples.firmware()[1001:]


def measure(message: bytes) -> bytes:
    return hmac.digest(samples.TIK, message, "sha256")


def shown(table: Locator) -> list[str]:
    """The bytes of a table in the page, in their order, with their stars."""
    return re.findall(r"\b[0-9a-f]{2}\*?(?=\s|$)", re.sub(r"0x[0-9a-f]{2}|\+[0-9a-f]", "", table.inner_text()))


def starred(raw: bytes, other: bytes) -> list[str]:
    return [f"{byte:02x}{'*' * (byte != was)}" for byte, was in zip(raw, other, strict=True)]


def assert_bytes(box: Locator, message: bytes) -> None:
    """Wait for the measure of *message*, and read every byte of the ribbon and of both measures."""
    computed = measure(message)
    bits = (int.from_bytes(computed, "big") ^ int.from_bytes(REPORTED, "big")).bit_count()
    box.locator(".sevlab-banner").get_by_text(f"{bits} of 256 bits differ" if bits else "MATCH: all").wait_for()
    ribbon, measures = box.locator(".sevlab-bytes table").all()
    assert shown(ribbon) == starred(message, MESSAGE)
    pairs = [(REPORTED[:16], computed[:16]), (REPORTED[16:], computed[16:])]
    assert shown(measures) == [cell for one, other in pairs for cell in (*starred(one, other), *starred(other, one))]


def test_one_field_is_changed_in_the_page(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("01-fifty-six-bytes.ipynb", '"policy")'))
    box = page.locator(".sevlab-field")
    assert_bytes(box, MESSAGE)
    sheet.keep_picture(".sevlab-field", "field-start")
    box.get_by_label("NODBG (bit 0)").uncheck()
    assert_bytes(box, MESSAGE[:4] + bytes(4) + MESSAGE[8:])
    number = box.get_by_label("Policy", exact=True)
    number.fill("0x17000001")
    page.keyboard.press("Tab")
    assert_bytes(box, MESSAGE[:7] + b"\x17" + MESSAGE[8:])
    sheet.keep_picture(".sevlab-field", "field-changed")
    number.fill("none")
    page.keyboard.press("Tab")
    box.locator(".sevlab-error").get_by_role("alert").get_by_text("Policy: received 'none'").wait_for()
    box.locator(".sevlab-banner").get_by_text("CANNOT TELL").wait_for()
    expect_dimmed(box.locator(".sevlab-bytes"))
    number.fill("1")
    page.keyboard.press("Tab")
    assert_bytes(box, MESSAGE)
    sheet.use_theme(DARK)
    sheet.keep_picture(".sevlab-field", "field-dark")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("field", "label", "typed", "message"),
    [
        ("context", "context", "1", b"\x01" + MESSAGE[1:]),
        ("api_major", "API major", "1", MESSAGE[:1] + b"\x01" + MESSAGE[2:]),
        ("api_minor", "API minor", "0x10", MESSAGE[:2] + b"\x10" + MESSAGE[3:]),
        ("build_id", "Build", "14", MESSAGE[:3] + b"\x0e" + MESSAGE[4:]),
        ("mnonce", "mnonce", "ff" * 16, MESSAGE[:40] + b"\xff" * 16),
    ],
)
def test_every_number_is_changed_in_the_page(sheet: Sheet, field: str, label: str, typed: str, message: bytes) -> None:
    sheet.show(*needed("01-fifty-six-bytes.ipynb", f'FieldBox(message, tik, reported, "{field}"'))
    box = sheet.page.locator(".sevlab-field")
    assert_bytes(box, MESSAGE)
    box.get_by_label(label, exact=True).fill(typed)
    sheet.page.keyboard.press("Tab")
    assert_bytes(box, message)


@pytest.mark.soak
def test_a_bit_of_the_firmware_is_flipped_in_the_page(sheet: Sheet) -> None:
    sheet.show(*needed("01-fifty-six-bytes.ipynb", 'FieldBox(message, tik, reported, "digest"'))
    box = sheet.page.locator(".sevlab-field")
    box.get_by_label("bit", exact=True).fill("1")
    box.get_by_label("Flip in the firmware: byte", exact=True).fill("1000")
    sheet.page.keyboard.press("Tab")
    assert_bytes(box, MESSAGE[:8] + hashlib.sha256(FLIPPED).digest() + MESSAGE[40:])
    sheet.keep_picture(".sevlab-field", "field-firmware")


def test_a_trial_follows_what_is_typed(sheet: Sheet) -> None:
    page = sheet.page
    sheet.show(*needed("00-start-here.ipynb", "Trial("))
    trial = page.locator(".sevlab-trial")
    banner = trial.locator(".sevlab-banner")
    banner.get_by_text("MATCH: all 256 bits are equal").wait_for()
    trial.get_by_label("build", exact=True).fill("0x0e")
    page.keyboard.press("Tab")
    banner.get_by_text("MISMATCH").wait_for()
    computed = measure(MESSAGE[:3] + b"\x0e" + MESSAGE[4:])
    assert starred(computed[:16], REPORTED[:16]) == shown(banner.locator("table"))[16:32]
    sheet.keep_picture(".sevlab-trial", "trial-changed")
    trial.get_by_label("policy", exact=True).fill("zz")
    page.keyboard.press("Tab")
    trial.locator(".sevlab-error").get_by_role("alert").get_by_text("policy: received 'zz'").wait_for()
    assert banner.locator("table").count() == 0
