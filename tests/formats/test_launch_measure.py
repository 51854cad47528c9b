"""The published numbers: what is under the HMAC, and what comes of it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.formats.launch_measure import MeasureMessage


def test_the_published_example_of_sev_tool() -> None:
    message = MeasureMessage(
        api_major=0,
        api_minor=18,
        build_id=15,
        policy=0,
        digest=hashlib.sha256().digest(),
        mnonce=bytes.fromhex("4fbe0bedbad6c86ae8f68971d103e554"),
    )
    tik = bytes.fromhex("66320db73158a35a255d051758e95ed4")
    measure = bytes.fromhex("6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea")
    assert message.to_bytes()[:8] == bytes.fromhex("0400120f00000000")
    assert sevlab.compute_measure(message, tik) == measure
    assert sevlab.launch.measure.HmacSteps(message, tik).measure == measure


def test_the_worked_example_with_a_policy_and_a_build() -> None:
    message = MeasureMessage(
        api_major=1,
        api_minor=55,
        build_id=25,
        policy=sevlab.Policy(0x11000005),
        digest=sevlab.compute_digest([b"sev", b"lab"]),
        mnonce=bytes(range(0xE0, 0xF0)),
    )
    assert message.digest.hex() == "fc62724f1358b968902e70c8821040fe459c7b03f1c4e11b5e4c119f7df2c90e"
    assert message.to_bytes()[:8].hex() == "0401371905000011"
    measure = sevlab.compute_measure(message, bytes(range(0x70, 0x80)))
    assert measure.hex() == "215fa8ac20557a2092339434598120c739e150f8ff3235aeb5529cfdb62acc49"


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
