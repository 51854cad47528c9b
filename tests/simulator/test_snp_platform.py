"""The secure processor of SEV-SNP against the facts: every order of checks, every refusal, the reverse map table.

What is expected is written down here a second time, from snp-launch 1 and 6, and not taken from the simulator.
"""

from __future__ import annotations

import hashlib
import random
import struct
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab.attestation.id_block import build_id_block
from sevlab.attestation.session import seeded
from sevlab.formats.page_info import CpuidEntry, CpuidPage, SecretsPage
from sevlab.formats.report import MilanTcb, ReportRequest, TurinTcb, parse_report
from sevlab.launch.keys import Secret
from sevlab.launch.vmm import build_vmsa
from sevlab.layout.structure import Layout
from sevlab.simulator.memory import Rmp, RmpEntry
from sevlab.simulator.snp_commands import (
    FinishFlags,
    SnpLaunchFinish,
    SnpLaunchStart,
    SnpLaunchUpdate,
    SnpPlatformStatus,
    StartFlags,
    UpdateFlags,
)
from sevlab.simulator.snp_firmware import SnpPlatform
from sevlab.simulator.snp_platform import ContextPage
from sevlab.simulator.status import FirmwareError, RmpFault
from tests.soak import many

CONTEXT, AGENT, SOMEWHERE, BLOCK, AUTH = 0x200000, 0x201000, 0x202000, 0x210000, 0x211000
SMALL, LARGE = 0x300000, 0x400000
PAGE = bytes(range(256)) * 16
ID, AUTHOR = (Secret(number.to_bytes(48, "big")) for number in (7, 11))
STARTS: dict[type[Layout], dict[str, int]] = {
    SnpLaunchStart: {
        "gctx_paddr": 0,
        "policy": 8,
        "ma_gctx_paddr": 0x10,
        "flags": 0x18,
        "desired_tsc_freq": 0x1C,
        "gosvw": 0x20,
        "": 0x30,
    },
    SnpLaunchUpdate: {
        "gctx_paddr": 0,
        "flags": 8,
        "reserved_c": 0xC,
        "page_paddr": 0x10,
        "reserved_18": 0x18,
        "vmpl1_perms": 0x19,
        "vmpl2_perms": 0x1A,
        "vmpl3_perms": 0x1B,
        "reserved_1c": 0x1C,
        "": 0x20,
    },
    SnpLaunchFinish: {
        "gctx_paddr": 0,
        "id_block_paddr": 8,
        "id_auth_paddr": 0x10,
        "flags": 0x18,
        "host_data": 0x20,
        "": 0x40,
    },
    SnpPlatformStatus: {
        "api_major": 0,
        "api_minor": 1,
        "state": 2,
        "rmp": 3,
        "build_id": 4,
        "flags": 8,
        "guest_count": 0xC,
        "tcb_version": 0x10,
        "reported_tcb": 0x18,
        "": 0x20,
    },
    SecretsPage: {
        "version": 0,
        "flags": 4,
        "fms": 8,
        "reserved_c": 0xC,
        "gosvw": 0x10,
        "vmpck0": 0x20,
        "vmpck1": 0x40,
        "vmpck2": 0x60,
        "vmpck3": 0x80,
        "guest_os": 0xA0,
        "vmsa_tweak_bitmap": 0x100,
        "guest_area": 0x140,
        "tsc_factor": 0x160,
        "reserved_164": 0x164,
        "launch_mit_vector": 0x168,
        "reserved_170": 0x170,
        "": 0x1000,
    },
    CpuidPage: {"count": 0, "reserved_4": 4, "table": 16, "rest": 3088, "": 4096},
    ContextPage: {"unknown_0": 0, "launch_digest": 0x460, "unknown_490": 0x490, "": 4096},
}


@pytest.mark.parametrize("layout", STARTS, ids=lambda layout: layout.__name__)
def test_every_field_is_where_the_facts_have_it(layout: type[Layout]) -> None:
    assert {**{row.name: row.offset for row in layout.rows}, "": layout.size} == STARTS[layout]


def answer(command: Any, *arguments: Any, **named: Any) -> str:
    """The name of the firmware's status."""
    try:
        command(*arguments, **named)
    except FirmwareError as error:
        return error.name
    return "SUCCESS"


def fault(action: Any, *arguments: Any, **named: Any) -> str:
    """How the processor refuses; "" when it does not."""
    try:
        action(*arguments, **named)
    except RmpFault as error:
        return error.name
    return ""


def first(*checks: tuple[object, str]) -> str:
    """The status of the first check that fails, in the order they are made."""
    return next((name for right, name in checks if not right), "SUCCESS")


def begun(**given: Any) -> SnpPlatform:
    platform = SnpPlatform(random=seeded(b"platform"), **given)
    platform.snp_init()
    return platform


def start_command(policy: int = 0x30000, context: int = CONTEXT, agent: int = 0, flags: int = 0) -> SnpLaunchStart:
    return SnpLaunchStart(
        gctx_paddr=context,
        policy=policy,
        ma_gctx_paddr=agent,
        flags=StartFlags(flags),
        desired_tsc_freq=0,
        gosvw=b"workarounds here",
    )


def update_command(page: int, page_type: int = 1, *, large: bool = False, imi: bool = False) -> SnpLaunchUpdate:
    return SnpLaunchUpdate(
        gctx_paddr=CONTEXT,
        flags=UpdateFlags(int(large) | page_type << 1 | imi << 4),
        page_paddr=page,
        vmpl1_perms=0,
        vmpl2_perms=0,
        vmpl3_perms=0,
    )


def finish_command(flags: int = 0, host_data: bytes = bytes(32)) -> SnpLaunchFinish:
    return SnpLaunchFinish(
        gctx_paddr=CONTEXT, id_block_paddr=BLOCK, id_auth_paddr=AUTH, flags=FinishFlags(flags), host_data=host_data
    )


def guest(platform: SnpPlatform, state: str = "LAUNCH", asid: int = 1, context: int = CONTEXT, **start: Any) -> None:
    """Make a guest in one of its states; with *asid* 0 it is not active."""
    platform.rmp.update(context, immutable=True)
    platform.gctx_create(context)
    if state == "INIT":
        return
    platform.launch_start(start_command(context=context, **start))
    platform.activate(context, 500 if context == CONTEXT else 501)
    if state == "RUNNING":
        platform.launch_finish(finish_command().replace(gctx_paddr=context))
    platform.contexts[context].asid = asid


def give(platform: SnpPlatform, address: int, gpa: int, page: bytes = PAGE, asid: int = 1, large: bool = False) -> None:
    """The host writes a page and gives it to a guest."""
    platform.host_write(address, page)
    platform.rmp.update(address, asid=asid, gpa=gpa, immutable=True, large=large)
    platform.map_page(asid, gpa, address)


# --- the order of checks


def test_launch_start_in_every_combination() -> None:
    seen = set()
    for wrong in product((False, True), repeat=7):
        reserved, unaligned, uninit, unknown, launched, newer, bit17 = wrong
        platform = begun()
        guest(platform, "LAUNCH" if launched else "INIT")
        platform.is_init = not uninit
        policy = (0x10000 if bit17 else 0x30000) | (0x200 if newer else 0)
        context = SOMEWHERE if unknown else CONTEXT
        command = start_command(policy, context + 8 * unaligned, flags=4 if reserved else 0)
        expected = first(
            (not reserved, "INVALID_PARAM"),
            (not unaligned, "INVALID_PARAM"),
            (not uninit, "INVALID_PLATFORM_STATE"),
            (not unknown, "INVALID_GUEST"),
            (not launched, "INVALID_GUEST_STATE"),
            (not newer and not bit17, "POLICY_FAILURE"),
        )
        assert answer(platform.launch_start, command) == expected, wrong
        seen.add(expected)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("policy", "platform", "expected"),
    [
        (0x30000, {}, "SUCCESS"),
        (0x20000, {}, "POLICY_FAILURE"),
        (0x20000, {"smt": False}, "SUCCESS"),
        (0x30000 | 1 << 8 | 56, {}, "SUCCESS"),
        (0x30000 | 1 << 8 | 57, {}, "POLICY_FAILURE"),
        (0x30000 | 1 << 8 | 57, {"version": 5}, "SUCCESS"),
        (0x30000 | 2 << 8, {}, "POLICY_FAILURE"),
        (0x30000 | 1 << 26, {}, "POLICY_FAILURE"),
        (0x30000 | 1 << 63, {"version": 5}, "POLICY_FAILURE"),
        *[(0x30000 | 1 << bit, {"version": 2}, "POLICY_FAILURE") for bit in range(21, 26)],
        *[(0x30000 | 1 << bit, {"version": 3}, "SUCCESS") for bit in range(18, 26)],
    ],
)
def test_policies(policy: int, platform: dict[str, Any], expected: str) -> None:
    made = begun(**platform)
    guest(made, "INIT")
    assert answer(made.launch_start, start_command(policy)) == expected


@pytest.mark.parametrize(
    ("policy", "agent", "expected"),
    [
        (0x70000, 0x30000, "SUCCESS"),
        (0x30000, 0x30000, "POLICY_FAILURE"),
        (0x170000, 0x30000, "POLICY_FAILURE"),
        (0x170000, 0x130000, "SUCCESS"),
        (0x70000, None, "INVALID_GUEST"),
    ],
)
def test_migration_agents(policy: int, agent: int | None, expected: str) -> None:
    platform = begun()
    if agent is not None:
        guest(platform, "RUNNING", 2, AGENT, policy=agent)
    guest(platform, "INIT")
    assert answer(platform.launch_start, start_command(policy, agent=AGENT, flags=1)) == expected
    if expected != "SUCCESS":
        return
    guest(platform, "INIT", context=SOMEWHERE)
    assert answer(platform.launch_start, start_command(policy, SOMEWHERE, CONTEXT, 1)) == "POLICY_FAILURE"
    assert platform.contexts[CONTEXT].report_id_ma == platform.contexts[AGENT].report_id
    assert platform.contexts[AGENT].report_id_ma == b"\xff" * 32


def test_launch_update_in_many_combinations() -> None:
    """Twelve checks in the order of the facts; 6000 of all combinations, and every status among them."""
    chance = random.Random(3)
    bits, types, states = (False, True), (0, 1, 2, 3, 4, 5, 6, 7), ("INIT", "LAUNCH", "RUNNING")
    kinds = [kind for kind in product(states, bits, bits) if kind[0] != "RUNNING" or not kind[2]]
    platforms = {kind: begun() for kind in kinds}
    for (state, active, imi), platform in platforms.items():
        guest(platform, state, 1 if active else 0, flags=2 if imi else 0)
    seen: dict[str, int] = {}
    for _ in range(6000):
        state, active, imi = chance.choice(list(platforms))
        platform = platforms[state, active, imi]
        reserved, uninit, unknown, hypervisor, foreign, middle = (chance.random() < 0.15 for _ in range(6))
        flag_large, entry_large, imi_page = (chance.random() < chances for chances in (0.2, 0.2, 0.5))
        page_type = chance.choice(types)
        base = LARGE if entry_large else SMALL
        address = base + (0x1000 if middle else 0)
        owner = 2 if foreign else 1
        entry = RmpEntry(not hypervisor, False, 0 if hypervisor else owner, 0, not hypervisor, entry_large)
        platform.rmp.put(base if entry_large else address, entry)
        platform.memory.write(address, bytes(4096))
        platform.is_init = not uninit
        command = update_command(address, page_type, large=flag_large, imi=imi_page)
        if reserved:
            command = chance.choice([command.replace(reserved_c=b"\1\0\0\0"), command.replace(page_paddr=address + 1)])
        if unknown:
            command = command.replace(gctx_paddr=SOMEWHERE)
        bound = 0 if not active or state == "INIT" else 1
        expected = first(
            (not reserved, "INVALID_PARAM"),
            (not uninit, "INVALID_PLATFORM_STATE"),
            (not unknown, "INVALID_GUEST"),
            (not hypervisor, "INVALID_PAGE_STATE"),
            (flag_large == entry_large, "INVALID_PAGE_SIZE"),
            (not (entry_large and middle), "INVALID_ADDRESS"),
            (page_type not in (2, 5, 6) or not entry_large, "INVALID_PAGE_SIZE"),
            (page_type in range(1, 7), "INVALID_PARAM"),
            (state == "LAUNCH", "INVALID_GUEST_STATE"),
            (bound, "INACTIVE"),
            (owner == bound, "INVALID_PAGE_OWNER"),
            (not imi or imi_page, "INVALID_PARAM"),
        )
        if expected == "SUCCESS" and entry_large and seen.get("large"):
            continue
        before = platform.contexts[CONTEXT].digest
        assert answer(platform.launch_update, command) == expected
        assert (platform.contexts[CONTEXT].digest != before) == (expected == "SUCCESS")
        seen[expected] = seen.get(expected, 0) + 1
        seen["large"] = seen.get("large", 0) + (expected == "SUCCESS" and entry_large)
    assert len(seen) == 10 + 1
    assert all(seen.values())


def test_launch_finish_in_every_combination() -> None:
    seen = set()
    for wrong in product((False, True), repeat=5):
        reserved, uninit, unknown, state, inactive = wrong
        for imi in (False, True):
            platform = begun()
            guest(platform, "RUNNING" if state and not imi else "LAUNCH", 0 if inactive else 1, flags=2 if imi else 0)
            platform.is_init = not uninit
            command = finish_command(8 if reserved else 0)
            command = command.replace(gctx_paddr=SOMEWHERE if unknown else CONTEXT)
            expected = first(
                (not reserved, "INVALID_PARAM"),
                (not uninit, "INVALID_PLATFORM_STATE"),
                (not unknown, "INVALID_GUEST"),
                (not imi and not state, "INVALID_GUEST_STATE"),
                (not inactive, "INACTIVE"),
            )
            assert answer(platform.launch_finish, command) == expected, wrong
            seen.add(expected)
    assert len(seen) == 6


DEFECTS = {
    "BAD_MEASUREMENT": "digest",
    "POLICY_FAILURE": "policy",
    "INVALID_PARAM": "algorithm",
    "BAD_SIGNATURE": "signature",
    "SUCCESS": "nothing",
}


@pytest.mark.parametrize("author", [False, True], ids=["id key", "author key"])
@pytest.mark.parametrize("also", [False, True], ids=["alone", "with all later ones"])
@pytest.mark.parametrize("status", DEFECTS)
def test_launch_finish_checks_the_id_block_in_stages(status: str, also: bool, author: bool) -> None:
    platform = begun()
    guest(platform)
    give(platform, SMALL, 0x1000)
    platform.launch_update(update_command(SMALL))
    context = platform.contexts[CONTEXT]
    names = list(DEFECTS.values())
    wrong = names[names.index(DEFECTS[status]) : -1] if also else [DEFECTS[status]]
    digest = bytes(48) if "digest" in wrong else context.digest
    signed = build_id_block(digest, ID, AUTHOR, policy=0xB0000 if "policy" in wrong else 0x30000)
    auth = signed.auth
    if "algorithm" in wrong:
        auth = auth.replace(**{"auth_key_algo" if author else "id_key_algo": 0})
    if "signature" in wrong:
        part = "id_key_sig" if author else "id_block_sig"
        auth = auth.replace(**{part: bytes([1]) * 48 + bytes(24) + bytes([1]) * 48 + bytes(392)})
    platform.host_write(BLOCK, signed.block.to_bytes())
    platform.host_write(AUTH, auth.to_bytes())
    assert answer(platform.launch_finish, finish_command(3)) == status
    assert context.state == ("RUNNING" if status == "SUCCESS" else "LAUNCH")
    if status == "BAD_SIGNATURE" and author:
        assert answer(platform.launch_finish, finish_command(1)) == "SUCCESS", "AUTH_KEY_EN is off"
        assert not context.author_key_enabled


def test_every_other_command_refuses() -> None:
    platform = SnpPlatform(random=seeded(b"x"))
    tcb = platform.make_tcb({})
    for command in (
        lambda: platform.config(tcb),
        platform.commit,
        platform.df_flush,
        lambda: platform.download_firmware_ex({}, 1),
        lambda: platform.vlek_load("cloud"),
        lambda: platform.gctx_create(CONTEXT),
        lambda: platform.activate(CONTEXT, 1),
        lambda: platform.decommission(CONTEXT),
        lambda: platform.guest_request(CONTEXT, 0, bytes(96)),
        lambda: platform.page_reclaim(CONTEXT),
        lambda: platform.dbg_decrypt(CONTEXT, SMALL),
    ):
        assert answer(command) == "INVALID_PLATFORM_STATE"
    platform.snp_init()
    assert answer(platform.snp_init) == "INVALID_PLATFORM_STATE"
    assert answer(platform.gctx_create, CONTEXT + 1) == "INVALID_PARAM"
    assert answer(platform.gctx_create, CONTEXT) == "INVALID_PAGE_STATE"
    assert answer(platform.activate, CONTEXT + 1, 1) == "INVALID_PARAM"
    for command in (
        lambda: platform.activate(CONTEXT, 1),
        lambda: platform.decommission(CONTEXT),
        lambda: platform.guest_request(CONTEXT, 0, bytes(96)),
        lambda: platform.dbg_decrypt(CONTEXT, SMALL),
    ):
        assert answer(command) == "INVALID_GUEST"
    guest(platform, "INIT")
    assert answer(platform.gctx_create, CONTEXT) == "INVALID_PAGE_STATE"
    assert answer(platform.activate, CONTEXT, 1) == "INVALID_GUEST_STATE"
    platform.launch_start(start_command())
    assert answer(platform.guest_request, CONTEXT, 0, bytes(96)) == "INVALID_GUEST_STATE"
    assert answer(platform.activate, CONTEXT, 0) == answer(platform.activate, CONTEXT, 510) == "INVALID_ASID"
    assert answer(platform.activate, CONTEXT, 1) == "SUCCESS"
    assert answer(platform.activate, CONTEXT, 2) == "ACTIVE"
    guest(platform, "INIT", context=AGENT)
    platform.launch_start(start_command(context=AGENT))
    assert answer(platform.activate, AGENT, 1) == "ASID_OWNED"
    platform.decommission(CONTEXT)
    assert answer(platform.launch_finish, finish_command()) == "INVALID_GUEST"
    assert answer(platform.activate, AGENT, 1) == "DF_FLUSH_REQUIRED"
    platform.df_flush()
    assert answer(platform.activate, AGENT, 1) == "SUCCESS"
    assert platform.platform_status().guest_count == 1
    platform.snp_shutdown()
    assert platform.platform_status().guest_count == 0


def test_debugging_takes_the_policy() -> None:
    for policy, expected in ((0x30000, "POLICY_FAILURE"), (0xB0000, "SUCCESS")):
        platform = begun()
        guest(platform, policy=policy)
        give(platform, SMALL, 0x1000)
        platform.launch_update(update_command(SMALL))
        assert answer(platform.dbg_decrypt, CONTEXT, SMALL) == expected
    assert platform.dbg_decrypt(CONTEXT, SMALL) == PAGE
    assert answer(platform.dbg_decrypt, CONTEXT, SOMEWHERE) == "INVALID_PAGE_OWNER"


# --- what is measured


def chained(pages: list[tuple[int, int, bytes]], digest: bytes = bytes(48)) -> bytes:
    """The launch digest, in three lines of the standard library."""
    for page_type, gpa, page in pages:
        contents = hashlib.sha384(page).digest() if page_type in (1, 2) else bytes(48)
        digest = hashlib.sha384(digest + contents + struct.pack("<HBBIQ", 0x70, page_type, 0, 0, gpa)).digest()
    return digest


def test_the_worked_example_of_the_facts() -> None:
    """snp-launch 10, page by page through the firmware."""
    platform = begun()
    guest(platform)
    vmsa = build_vmsa("qemu", signature=0x00B00F00, sev_features=1).replace(guest_tsc_scale=5, guest_tsc_offset=6)
    for number, (page_type, gpa, page, known) in enumerate(
        (
            (1, 0xFFFFF000, PAGE, "79d7e453f7b541d0"),
            (3, 0x800000, PAGE, "03ea82864e5aabf4"),
            (4, 0x801000, PAGE, "d445a6e7c5710553"),
            (5, 0x80D000, PAGE, "e90274e28b00a306"),
            (6, 0x80E000, bytes(4096), "e56a62de317f87a1"),
            (2, 0xFFFFFFFFF000, vmsa.to_bytes(), "213e98bfc649a2c6"),
        )
    ):
        address = SMALL + 0x1000 * number
        give(platform, address, gpa, page)
        platform.launch_update(update_command(address, page_type))
        assert platform.contexts[CONTEXT].digest.hex().startswith(known)
        assert platform.rmp.entry(address).state == "GUEST-VALID"
        inside = platform.guest_read(1, gpa, 4096)
        assert inside == {3: bytes(4096), 5: inside}.get(page_type, page)
        assert platform.host_read(address, 4096) not in (page, inside)
    secrets = SecretsPage.from_bytes(platform.guest_read(1, 0x80D000, 4096))
    assert [secrets.vmpck0, secrets.vmpck3] == [platform.contexts[CONTEXT].vmpck[number].reveal() for number in (0, 3)]
    assert (secrets.version, secrets.fms, secrets.gosvw) == (3, 0xA00F11, b"workarounds here")


def test_a_large_page_is_512_links() -> None:
    platform, whole = begun(), random.Random(1).randbytes(2 << 20)
    guest(platform)
    give(platform, LARGE, 0x40000000, whole, large=True)
    platform.launch_update(update_command(LARGE, large=True))
    pages = [(1, 0x40000000 + at, whole[at : at + 4096]) for at in range(0, 2 << 20, 4096)]
    assert platform.contexts[CONTEXT].digest == chained(pages)
    platform.map_page(1, 0x40005000, LARGE + 0x5000)
    assert platform.guest_read(1, 0x40005000, 16) == whole[0x5000:0x5010]
    assert fault(platform.rmp.validate, 1, LARGE, 0x40000000) == "FAIL_SIZEMISMATCH"
    assert fault(platform.rmp.update, LARGE + 0x1000, asid=1, gpa=0) == "FAIL_OVERLAP"


def test_permissions_and_migration_images_are_in_the_link() -> None:
    platform = begun()
    guest(platform, flags=2)
    give(platform, SMALL, 0x1000)
    command = update_command(SMALL, imi=True).replace(vmpl1_perms=1, vmpl2_perms=2, vmpl3_perms=3)
    platform.launch_update(command)
    info = bytes(48) + hashlib.sha384(PAGE).digest() + struct.pack("<HBBBBBBQ", 0x70, 1, 1, 0, 1, 2, 3, 0x1000)
    context = platform.contexts[CONTEXT]
    assert context.digest == context.imi_digest == hashlib.sha384(info).digest()


def cpuid(count: int = 1, ebx: int = 0, ecx: int = 0) -> CpuidPage:
    entry = CpuidEntry(eax_in=7, ecx_in=0, xcr0_in=0, xss_in=0, eax=0, ebx=ebx, ecx=ecx, edx=0)
    return CpuidPage.of([entry]).replace(count=count)


def test_cpuid_pages_are_checked_and_corrected() -> None:
    platform = begun()
    guest(platform)
    wrong, right = cpuid(ebx=1 << 16 | 1, ecx=1 << 16), cpuid(ebx=1)
    give(platform, SMALL, 0x1000, wrong.to_bytes())
    before = platform.contexts[CONTEXT].digest
    assert answer(platform.launch_update, update_command(SMALL, 6)) == "INVALID_PARAM"
    assert platform.contexts[CONTEXT].digest == before, "nothing is measured"
    assert platform.host_read(SMALL, 4096) == right.to_bytes()
    assert answer(platform.launch_update, update_command(SMALL, 6)) == "SUCCESS"
    give(platform, SMALL + 0x1000, 0x2000, cpuid(65).to_bytes())
    assert answer(platform.launch_update, update_command(SMALL + 0x1000, 6)) == "INVALID_PARAM"
    newer = begun(product="Genoa")
    guest(newer)
    give(newer, SMALL, 0x1000, wrong.to_bytes())
    assert answer(newer.launch_update, update_command(SMALL, 6)) == "SUCCESS"


@given(raw=st.binary(max_size=4096), count=st.integers(0, 1 << 31) | st.integers(0, 70))
@settings(max_examples=many(50, 10))
def test_any_cpuid_page_is_checked(raw: bytes, count: int) -> None:
    platform = begun()
    guest(platform)
    give(platform, SMALL, 0x1000, CpuidPage.from_bytes(raw.ljust(4096, b"\0")).replace(count=count).to_bytes())
    assert answer(platform.launch_update, update_command(SMALL, 6)) == ("SUCCESS" if count <= 64 else "INVALID_PARAM")


# --- the reverse map table


def running() -> SnpPlatform:
    """A guest with two pages, which runs."""
    platform = begun()
    guest(platform)
    for number in range(2):
        give(platform, SMALL + 0x1000 * number, 0x1000 * number, bytes([65 + number]) * 4096)
        platform.launch_update(update_command(SMALL + 0x1000 * number))
    platform.launch_finish(finish_command())
    return platform


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


# --- reports


def ask(platform: SnpPlatform, vmpl: int = 0, key_vmpl: int = 0, key_sel: int = 0, **changes: Any) -> bytes:
    request = ReportRequest(report_data=b"?" * 64, vmpl=vmpl, key_sel=key_sel).replace(**changes)
    return platform.guest_request(CONTEXT, key_vmpl, request.to_bytes())


def test_requests_are_checked() -> None:
    platform = running()
    good, wrong = bytes(4), (0x16).to_bytes(4, "little")
    for key_vmpl, vmpl in product(range(4), range(6)):
        assert ask(platform, vmpl, key_vmpl)[:4] == (good if key_vmpl <= vmpl < 4 else wrong)
    assert ask(platform, key_sel=3)[:4] == wrong
    assert ask(platform, reserved_48=b"\1" + bytes(23))[:4] == wrong
    refused = ask(platform, key_sel=2)
    assert refused == (0x27).to_bytes(4, "little") + bytes(28), "there is no VLEK"
    answered = ask(platform, key_sel=1)
    assert answered[4:32] == (0x4A0).to_bytes(4, "little") + bytes(24)
    assert len(answered) == 32 + 0x4A0
    assert answer(platform.guest_request, CONTEXT, 4, bytes(96)) == "INVALID_PARAM"
    assert answer(platform.guest_request, CONTEXT, 0, bytes(95)) == "INVALID_PARAM"


@pytest.mark.parametrize(
    ("csp_id", "masked", "disabled", "key_sel", "signer"),
    [
        ("", False, False, 0, "VCEK"),
        ("", False, False, 1, "VCEK"),
        ("", False, False, 2, None),
        ("cloud", False, False, 0, "VLEK"),
        ("cloud", False, False, 1, "VCEK"),
        ("cloud", False, False, 2, "VLEK"),
        ("", True, False, 0, "none"),
        ("cloud", True, False, 0, "VLEK"),
        ("cloud", True, False, 1, "none"),
        ("", False, True, 0, None),
        ("cloud", False, True, 0, "VLEK"),
        ("cloud", False, True, 1, None),
    ],
)
def test_which_key_signs(csp_id: str, masked: bool, disabled: bool, key_sel: int, signer: str | None) -> None:
    platform = begun()
    guest(platform)
    platform.launch_finish(finish_command(4 if disabled else 0))
    platform.config(mask_chip_key=masked)
    if csp_id:
        platform.vlek_load(csp_id)
    raw = ask(platform, key_sel=key_sel)
    if signer is None:
        assert raw[:4] == (0x27).to_bytes(4, "little")
        return
    report = parse_report(raw[32:])
    assert report.key_info.signer == signer
    assert report.key_info.mask_chip_key == masked
    assert any(report.signature.to_bytes()) == (signer != "none")


@pytest.mark.parametrize("version", [2, 3, 5])
@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
def test_reports_of_every_version_and_product(version: int, product: str) -> None:
    platform = begun(version=version, product=product)
    guest(platform)
    platform.launch_finish(finish_command(host_data=b"h" * 32))
    report = parse_report(ask(platform, 2)[32:])
    assert (report.version, report.findings()) == (version, [])
    told = {"Milan": "Milan or Genoa", "Genoa": "Milan or Genoa"} if version == 2 else {}
    assert report.product == told.get(product, product)
    assert (report.vmpl, report.report_data, report.host_data) == (2, b"?" * 64, b"h" * 32)
    assert any(report.chip_id[8:]) == (product != "Turin")
    assert report.platform_info.alias_check_complete == (version >= 3)
    assert type(report.reported_tcb) is (TurinTcb if product == "Turin" else MilanTcb)
    platform.config(mask_chip_id=True)
    assert not any(parse_report(ask(platform)[32:]).chip_id)


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
