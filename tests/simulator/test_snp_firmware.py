"""The secure processor of SEV-SNP against the facts: every order of checks, every refusal, every report.

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
from sevlab.formats.report import SIGNED, MilanTcb, TurinTcb, parse_report
from sevlab.launch.vmm import build_vmsa
from sevlab.simulator.memory import RmpEntry
from sevlab.simulator.snp_commands import CpuidEntry, CpuidPage, SecretsPage
from sevlab.simulator.snp_firmware import SnpPlatform
from tests.simulator.snp_commands import (
    AGENT,
    AUTH,
    AUTHOR,
    BLOCK,
    CONTEXT,
    ID,
    LARGE,
    PAGE,
    SMALL,
    SOMEWHERE,
    answer,
    ask,
    begun,
    chained,
    fault,
    finish_command,
    first,
    give,
    guest,
    running,
    start_command,
    update_command,
)
from tests.soak import many


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
    assert any(report.to_bytes()[SIGNED:]) == (signer != "none")


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
