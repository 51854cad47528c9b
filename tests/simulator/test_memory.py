"""Encrypted memory, and the status codes of what is refused."""

from __future__ import annotations

from sevlab.formats.status import STATUS
from sevlab.simulator.memory import Memory
from tests.simulator.test_psp_commands import refused


def test_memory_is_bounded_and_its_tweak_is_the_address() -> None:
    memory, key = Memory(), bytes(range(32))
    memory.write(0, bytes(32), key)
    memory.write(4096, bytes(32), key)
    assert memory.read(0, 32) != memory.read(4096, 32)
    assert memory.read(0, 16) != memory.read(16, 16)
    assert memory.read(4090, 20, key)[6:] == bytes(14)
    for address, size in ((-1, 16), (1 << 40, 16), (0, 1 << 40)):
        refused("INVALID_ADDRESS", memory.read, address, size)


def test_status_codes_are_those_of_the_facts() -> None:
    assert (STATUS[0x00], STATUS[0x0B], STATUS[0x11], STATUS[0x27]) == (
        *("SUCCESS", "BAD_MEASUREMENT", "INVALID_COMMAND", "INVALID_KEY"),
    )
    assert {0x1E, *range(0x29, 0x30), 0x34}.isdisjoint(STATUS)
    assert max(STATUS) == 0x3F
    assert len(STATUS) == 0x40 - 1 - 7 - 1
