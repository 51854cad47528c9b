"""The platform under SEV-SNP: the reverse map table, random commands, and TCBs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sevlab.formats.report import MilanTcb, parse_report
from sevlab.simulator.memory import Rmp, RmpEntry
from sevlab.simulator.snp_firmware import SnpPlatform
from sevlab.simulator.status import FirmwareError, RmpFault
from tests.simulator.snp_commands import (
    AGENT,
    CONTEXT,
    SMALL,
    SOMEWHERE,
    answer,
    ask,
    begun,
    chained,
    fault,
    finish_command,
    guest,
    running,
    start_command,
    update_command,
)


def test_the_host_cannot_write_to_what_it_gave_away() -> None:
    platform = running()
    for address in (SMALL, SMALL + 5, SMALL - 1, CONTEXT, 0x100000):
        assert fault(platform.host_write, address, bytes(16)) == "RMP violation"
    assert fault(platform.host_write, SMALL + 0x2000, bytes(16)) == ""
    assert platform.guest_read(1, 0x1000, 4) == b"BBBB"
    platform.guest_write(1, 0x1004, b"x")
    assert platform.guest_read(1, 0x1000, 8) == b"BBBBxBBB"


def test_pages_cannot_be_exchanged_or_replayed() -> None:
    platform = running()
    platform.map_page(1, 0x0, SMALL + 0x1000)
    assert fault(platform.guest_read, 1, 0x0, 4) == "RMP violation", "the page belongs elsewhere"
    platform.map_page(1, 0x0, SOMEWHERE)
    assert fault(platform.guest_read, 1, 0x0, 4) == "RMP violation", "the host's own page"
    platform.rmp.update(SOMEWHERE, asid=1, gpa=0)
    assert fault(platform.guest_read, 1, 0x0, 4) == "RMP violation", "never accepted"
    assert platform.guest_validate(1, 0x0), "here a guest that keeps count sees that something is wrong"
    assert not platform.guest_validate(1, 0x0)
    assert platform.rmp.entry(SOMEWHERE).state == "GUEST-VALID"
    assert platform.guest_validate(1, 0x0, accept=False)
    old = platform.host_read(SMALL, 4096)
    platform.rmp.update(SMALL, assigned=False)
    assert fault(platform.host_write, SMALL, old) == ""
    platform.rmp.update(SMALL, asid=1, gpa=0)
    platform.map_page(1, 0x0, SMALL)
    assert fault(platform.guest_read, 1, 0x0, 4) == "RMP violation", "what was taken away must be accepted anew"


def test_another_guest_reads_nothing() -> None:
    platform = running()
    guest(platform, "RUNNING", 2, AGENT)
    platform.map_page(2, 0x0, SMALL)
    assert fault(platform.guest_read, 2, 0x0, 4) == "RMP violation"
    assert answer(platform.guest_read, 2, 0x9000, 4) == "INVALID_ADDRESS"
    assert answer(platform.guest_read, 2, 0xFFE, 4) == "INVALID_ADDRESS"
    platform.rmp.put(SOMEWHERE, RmpEntry(True, True, 3, 0))
    platform.map_page(3, 0x0, SOMEWHERE)
    assert answer(platform.guest_read, 3, 0x0, 4) == "INVALID_ASID"


def test_instructions_check_their_operands() -> None:
    rmp = Rmp()
    assert fault(rmp.update, 1) == "FAIL_INPUT"
    assert fault(rmp.update, 0x1000, asid=1, gpa=5) == "FAIL_INPUT"
    assert fault(rmp.update, 0x1000, large=True) == "FAIL_INPUT"
    assert fault(rmp.update, 0x1000, assigned=False, asid=1) == "FAIL_INPUT"
    rmp.update(0x1000, immutable=True)
    assert fault(rmp.update, 0x1000, assigned=False) == "FAIL_PERMISSION"
    rmp.update(0x2000, asid=1, gpa=0x2000)
    assert fault(rmp.update, 0x0, asid=1, large=True) == "FAIL_PERMISSION"
    rmp.put(0x1000, RmpEntry())
    assert fault(rmp.update, 0x0, asid=1, large=True) == "FAIL_OVERLAP"
    assert fault(rmp.validate, 1, 0x2000, 0x2001) == "FAIL_INPUT"
    assert fault(rmp.validate, 2, 0x2000, 0x2000) == "RMP violation"
    assert fault(rmp.validate, 1, 0x2000, 0x3000) == "RMP violation"
    assert fault(rmp.validate, 1, 0x2000, 0x2000) == ""
    states = {
        RmpEntry(): "HYPERVISOR",
        RmpEntry(True): "RECLAIM",
        RmpEntry(True, immutable=True): "FIRMWARE",
        RmpEntry(True, immutable=True, context=True): "CONTEXT",
        RmpEntry(True, False, 1): "GUEST-INVALID",
        RmpEntry(True, True, 1): "GUEST-VALID",
        RmpEntry(True, False, 1, immutable=True): "PRE-GUEST",
        RmpEntry(True, True, 1, immutable=True): "PRE-SWAP",
    }
    assert {entry: entry.state for entry in states} == states


def test_pages_come_back_by_page_reclaim() -> None:
    platform = running()
    assert answer(platform.page_reclaim, CONTEXT) == "INVALID_PAGE_STATE"
    assert answer(platform.page_reclaim, SMALL) == "INVALID_PAGE_STATE", "not immutable"
    assert answer(platform.page_reclaim, 0x100000) == "INVALID_PAGE_STATE", "the table itself"
    platform.decommission(CONTEXT)
    assert fault(platform.rmp.update, CONTEXT, assigned=False) == "FAIL_PERMISSION"
    assert answer(platform.page_reclaim, CONTEXT) == "SUCCESS"
    assert fault(platform.rmp.update, CONTEXT, assigned=False) == ""


def test_a_long_walk_of_random_commands() -> None:
    """Whatever the order: nothing but refusals, no write into a guest, and the digest of what was taken."""
    chance, platform = random.Random(1), begun()
    contexts, pages = (CONTEXT, AGENT), [SMALL + 0x1000 * number for number in range(4)]
    taken: dict[int, bytes] = {}
    reached: set[str] = set()

    def walk(name: str, command: Any, *arguments: Any, **named: Any) -> bool:
        try:
            command(*arguments, **named)
        except (FirmwareError, RmpFault):
            return False
        reached.add(name)
        return True

    for _ in range(8000):
        context, address = chance.choice(contexts), chance.choice(pages)
        asid, gpa, state = chance.choice((1, 2)), chance.choice((0x1000, 0x2000)), platform.rmp.entry(address).state
        page, page_type = bytes([chance.randrange(256)]) * 4096, chance.choice((1, 3, 4))
        match chance.randrange(12):
            case 0:
                walk("firmware page", platform.rmp.update, context, immutable=True)
            case 1:
                if walk("gctx_create", platform.gctx_create, context):
                    taken[context] = bytes(48)
            case 2:
                walk("launch_start", platform.launch_start, start_command(context=context))
            case 3:
                walk("activate", platform.activate, context, asid)
            case 4:
                immutable = chance.random() < 0.7
                walk("pre-guest", platform.rmp.update, address, asid=asid, gpa=gpa, immutable=immutable)
                platform.map_page(asid, gpa, address)
            case 5:
                content, place = platform.host_read(address, 4096), platform.rmp.entry(address).gpa
                command = update_command(address, page_type).replace(gctx_paddr=context)
                if walk("launch_update", platform.launch_update, command):
                    taken[context] = chained([(page_type, place, content)], taken[context])
            case 6 if chance.random() < 0.3:
                walk("launch_finish", platform.launch_finish, finish_command().replace(gctx_paddr=context))
            case 7 if chance.random() < 0.3:
                walk("decommission", platform.decommission, context)
                platform.df_flush()
            case 8:
                if walk("host_write", platform.host_write, address, page):
                    assert state == "HYPERVISOR"
            case 9:
                if walk("guest_read", platform.guest_read, asid, gpa, 16):
                    there = platform.rmp.entry(platform.tables[asid, gpa])
                    assert (there.state, there.asid, there.gpa) == ("GUEST-VALID", asid, gpa)
            case 10:
                walk("take back", platform.rmp.update, address, assigned=False)
            case 11:
                walk("page_reclaim", platform.page_reclaim, chance.choice((context, address)))
                walk("guest_validate", platform.guest_validate, asid, gpa)
        assert {one: kept.digest for one, kept in platform.contexts.items()} == {
            one: taken[one] for one in platform.contexts
        }
    assert len(reached) == 13, reached


def test_the_ladder_of_tcbs() -> None:
    """snp-launch 6.3: reported <= committed <= current, and the guest's own from when it was made."""
    platform = begun(tcb={"snp": 20})
    guest(platform)
    platform.launch_finish(finish_command())
    platform.download_firmware_ex({"snp": 22}, 30)
    platform.commit()
    platform.download_firmware_ex({"snp": 24}, 31)
    platform.config(platform.make_tcb({"snp": 21}))
    report = parse_report(ask(platform)[32:])
    found = [report.launch_tcb, report.reported_tcb, report.committed_tcb, report.current_tcb]
    assert [tcb.parts["snp"] for tcb in found] == [20, 21, 22, 24]
    assert report.to_bytes()[0x1E8:0x1F0] == bytes([31, 56, 1, 0, 30, 56, 1, 0])
    assert answer(platform.config, platform.make_tcb({"snp": 23})) == "INVALID_PARAM"
    assert answer(platform.download_firmware_ex, {"snp": 21}, 29) == "BAD_SVN"
    assert answer(platform.download_firmware_ex, {"snp": 22}, 30) == "SUCCESS"
    status = platform.platform_status()
    assert (status.api_major, status.api_minor, status.build_id) == (1, 56, 30)
    assert MilanTcb.from_bytes(status.reported_tcb).snp == 21
    assert status.findings() == []


def test_misuse_is_told() -> None:
    with pytest.raises(TypeError, match="no fault is named 'nothing'"):
        SnpPlatform(faults={"nothing"})
    for wrong in ({"product": "Rome"}, {"version": 4}):
        with pytest.raises(TypeError, match="products are"):
            SnpPlatform(**wrong)  # type: ignore[arg-type]
