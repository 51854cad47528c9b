"""PAGE_INFO against the facts (snp-launch 2 and 10)."""

from __future__ import annotations

import hashlib

from sevlab.formats.page_info import ZEROS, PageInfo

#: First offsets and the end, written down from the facts, not from the declarations.
STARTS = {
    "digest_cur": 0x0,
    "contents": 0x30,
    "length": 0x60,
    "page_type": 0x62,
    "imi_page": 0x63,
    "reserved_64": 0x64,
    "vmpl1_perms": 0x65,
    "vmpl2_perms": 0x66,
    "vmpl3_perms": 0x67,
    "gpa": 0x68,
    "": 0x70,
}


def test_every_field_is_where_the_facts_have_it() -> None:
    assert {**{row.name: row.offset for row in PageInfo.rows}, "": PageInfo.size} == STARTS


def test_the_first_link_of_the_worked_example() -> None:
    """snp-launch 10: a NORMAL page of the bytes 00 to ff, sixteen times."""
    page = bytes(range(256)) * 16
    info = PageInfo(
        digest_cur=ZEROS,
        contents=hashlib.sha384(page).digest(),
        page_type=1,
        imi_page=0,
        **{f"vmpl{number}_perms": 0 for number in (1, 2, 3)},
        gpa=0xFFFFF000,
    )
    assert hashlib.sha384(info.to_bytes()).hexdigest() == (
        "79d7e453f7b541d04f7f51cccc6f4acca624b7a97430595dd7c98bd8c7a897656a91c611473f137680bd00e9e72e47c4"
    )
