"""Both guest policies against the specifications, bit for bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab

POLICY_BITS = {
    "smt": 16,
    "must_be_one": 17,
    "migrate_ma": 18,
    "debug": 19,
    "single_socket": 20,
    "cxl_allow": 21,
    "mem_aes_256_xts": 22,
    "rapl_dis": 23,
    "ciphertext_hiding_dram": 24,
    "page_swap_disable": 25,
}


def test_policy_bits_are_where_the_specification_has_them() -> None:
    for bit, name in enumerate(["nodbg", "noks", "es", "nosend", "domain", "sev"]):
        assert int(sevlab.Policy().replace(**{name: 1})) == 1 << bit
        assert getattr(sevlab.Policy(1 << bit), name) == 1
    policy = sevlab.Policy(0x16010000)
    assert (policy.api_major, policy.api_minor) == (1, 22)
    assert sevlab.Policy(0x40).findings() == ["reserved bits 15:6 hold 0x1, not known to sevlab"]
    with pytest.raises(sevlab.LayoutError):
        sevlab.Policy(1 << 32)


@given(value=st.integers(0, 0xFFFFFFFF))
def test_any_policy_is_kept_and_shown(value: int) -> None:
    policy = sevlab.Policy(value)
    assert int(policy) == value
    assert sum(row.limit and (part << row.low) for row, part in policy.items()) == value
    assert f"0x{value:08x}" in str(policy)


def test_bits_of_snp_are_where_the_facts_have_them() -> None:
    assert {row.name: row.low for row in sevlab.SnpPolicy.rows if row.is_flag} == POLICY_BITS
    policy = sevlab.SnpPolicy(0x30000 | 1 << 8 | 55)
    assert (policy.abi_major, policy.abi_minor, policy.findings()) == (1, 55, [])
    assert sevlab.SnpPolicy(0).findings() == ["bit 17 must be 1"]
