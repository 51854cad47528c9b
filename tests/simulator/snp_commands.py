"""Commands of SEV-SNP as a host would give them, and what the firmware answers."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from sevlab.attestation.session import seeded
from sevlab.formats.report import ReportRequest
from sevlab.launch.keys import SecretBytes
from sevlab.simulator.snp_commands import (
    FinishFlags,
    SnpLaunchFinish,
    SnpLaunchStart,
    SnpLaunchUpdate,
    StartFlags,
    UpdateFlags,
)
from sevlab.simulator.snp_firmware import SnpPlatform
from sevlab.simulator.status import FirmwareError, RmpFault

CONTEXT, AGENT, SOMEWHERE, BLOCK, AUTH = 0x200000, 0x201000, 0x202000, 0x210000, 0x211000
SMALL, LARGE = 0x300000, 0x400000
PAGE = bytes(range(256)) * 16
ID, AUTHOR = (SecretBytes(number.to_bytes(48, "big")) for number in (7, 11))


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


def chained(pages: list[tuple[int, int, bytes]], digest: bytes = bytes(48)) -> bytes:
    """The launch digest, in three lines of the standard library."""
    for page_type, gpa, page in pages:
        contents = hashlib.sha384(page).digest() if page_type in (1, 2) else bytes(48)
        digest = hashlib.sha384(digest + contents + struct.pack("<HBBIQ", 0x70, page_type, 0, 0, gpa)).digest()
    return digest


def ask(platform: SnpPlatform, vmpl: int = 0, key_vmpl: int = 0, key_sel: int = 0, **changes: Any) -> bytes:
    request = ReportRequest(report_data=b"?" * 64, vmpl=vmpl, key_sel=key_sel).replace(**changes)
    return platform.guest_request(CONTEXT, key_vmpl, request.to_bytes())


def running() -> SnpPlatform:
    """A guest with two pages, which runs."""
    platform = begun()
    guest(platform)
    for number in range(2):
        give(platform, SMALL + 0x1000 * number, 0x1000 * number, bytes([65 + number]) * 4096)
        platform.launch_update(update_command(SMALL + 0x1000 * number))
    platform.launch_finish(finish_command())
    return platform
