"""The guest policy, bit by bit, against the table of the facts (sev-launch 5), and the engine below it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.layout.bits import Bits, bit, reserved_bits

#: Bit, name, as the table of the specification has them.
FLAGS = [(0, "nodbg"), (1, "noks"), (2, "es"), (3, "nosend"), (4, "domain"), (5, "sev")]
NUMBERS = st.integers(0, 0xFFFFFFFF)


@pytest.mark.parametrize(("position", "name"), FLAGS)
def test_each_flag_is_one_bit_of_the_first_byte(position: int, name: str) -> None:
    policy = sevlab.Policy().replace(**{name: 1})
    assert int(policy) == 2**position
    message = sevlab.MeasureMessage.from_bytes(bytes(56)).replace(policy=policy)
    assert message.to_bytes()[4:8] == bytes([2**position, 0, 0, 0])
    assert policy.flags == (name.upper(),)
    others = sevlab.Policy(0xFFFFFFFF).replace(**{name: 0})
    assert int(others) == 0xFFFFFFFF - 2**position
    assert name.upper() not in others.flags


def test_the_version_is_major_then_minor() -> None:
    policy = sevlab.Policy().replace(api_major=1, api_minor=55)
    message = sevlab.MeasureMessage.from_bytes(bytes(56)).replace(policy=policy)
    assert message.to_bytes()[4:8] == bytes([0, 0, 1, 55])
    assert "API_MAJOR=1, API_MINOR=55" in policy.text


@pytest.mark.parametrize("position", range(32))
def test_only_bits_15_to_6_are_reserved(position: int) -> None:
    assert bool(sevlab.Policy(1 << position).findings()) == (6 <= position <= 15)


@given(number=NUMBERS)
def test_every_number_is_the_sum_of_its_parts(number: int) -> None:
    policy = sevlab.Policy(number)
    assert [name for bit_, name in FLAGS if number >> bit_ & 1] == [name.lower() for name in policy.flags]
    assert policy.api_major == number >> 16 & 0xFF
    assert policy.api_minor == number >> 24
    parts = {row.name: value for row, value in policy.items()}
    assert sevlab.Policy().replace(**parts) == policy


@given(number=NUMBERS, position=st.integers(0, 31))
def test_a_reserved_bit_is_a_finding_and_never_lost(number: int, position: int) -> None:
    policy = sevlab.Policy(number | 1 << position)
    assert int(policy) == number | 1 << position
    held = int(policy) >> 6 & 0x3FF
    assert policy.findings() == ([f"reserved bits 15:6 hold 0x{held:x}, not known to sevlab"] if held else [])


@pytest.mark.parametrize("number", [-1, 1 << 32, 1 << 20000], ids=["negative", "33 bits", "huge"])
def test_a_number_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(sevlab.LayoutError):
        sevlab.Policy(number)


def test_a_part_that_does_not_fit_is_refused() -> None:
    with pytest.raises(sevlab.LayoutError, match=r"Policy\.nodbg: received 2; needed 0 to 1"):
        sevlab.Policy().replace(nodbg=2)
    with pytest.raises(sevlab.LayoutError, match=r"Policy\.api_major: received 256; needed 0 to 255"):
        sevlab.Policy().replace(api_major=256)
    with pytest.raises(TypeError, match="no bits named 'debug'"):
        sevlab.Policy().replace(debug=1)


def test_each_flag_says_what_it_governs_and_what_the_host_may_do_without_it() -> None:
    for row, _ in sevlab.Policy().items():
        assert row.doc
        if row.is_flag:
            assert row.governs
            assert row.clear
    clear, set_ = sevlab.explain(sevlab.Policy(0)).html(), sevlab.explain(sevlab.Policy(1)).html()
    assert "Not set: the host may read and change the guest&#x27;s memory" in clear
    assert "Not set: the host may read" not in set_
    assert "DBG_DECRYPT" in clear


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"a": bit(0, ""), "b": bit(2, ""), "rest": reserved_bits(3, 5)}, "b starts at bit 2, but bit 1 is next"),
        ({"a": bit(0, "", width=4), "b": bit(3, "", width=5)}, "b starts at bit 3, but bit 4 is next"),
        ({"a": bit(0, "", width=7)}, "declares 7 bits, but 1 bytes hold 8"),
        ({"a": bit(0, "", width=9)}, "declares 9 bits, but 1 bytes hold 8"),
    ],
    ids=["gap", "overlap", "too few", "too many"],
)
def test_a_wrong_declaration_fails_where_it_is_made(rows: dict[str, object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        type("Wrong", (Bits,), rows, size=1, spec="")


def test_bits_cannot_be_set_in_place() -> None:
    policy = sevlab.Policy(1)
    changed = policy.replace(nodbg=0)
    assert (int(policy), int(changed)) == (1, 0)
    assert isinstance(changed, sevlab.Policy)
