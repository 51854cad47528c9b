"""The buffers of the commands of SEV-SNP, and pages that the firmware reads or writes: every offset."""

from __future__ import annotations

import pytest

from sevlab.layout.structure import Layout
from sevlab.simulator.snp_commands import (
    CpuidPage,
    SecretsPage,
    SnpLaunchFinish,
    SnpLaunchStart,
    SnpLaunchUpdate,
    SnpPlatformStatus,
)
from sevlab.simulator.snp_platform import ContextPage

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
