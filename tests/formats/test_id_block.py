"""The ID block and its authentication information against the facts (snp-launch 5)."""

from __future__ import annotations

import pytest

from sevlab.formats.id_block import IdAuth, IdBlock, key_digest
from sevlab.formats.sev_certs import P384, EccKey
from sevlab.layout.structure import Layout

#: First offsets and the end, written down from the facts, not from the declarations.
STARTS: dict[type[Layout], dict[str, int]] = {
    IdBlock: {
        "launch_digest": 0x0,
        "family_id": 0x30,
        "image_id": 0x40,
        "version": 0x50,
        "guest_svn": 0x54,
        "policy": 0x58,
        "": 0x60,
    },
    IdAuth: {
        "id_key_algo": 0x0,
        "auth_key_algo": 0x4,
        "reserved_8": 0x8,
        "id_block_sig": 0x40,
        "id_key": 0x240,
        "reserved_644": 0x644,
        "id_key_sig": 0x680,
        "author_key": 0x880,
        "reserved_c84": 0xC84,
        "": 0x1000,
    },
}


@pytest.mark.parametrize("layout", STARTS, ids=lambda layout: layout.__name__)
def test_every_field_is_where_the_facts_have_it(layout: type[Layout]) -> None:
    assert {**{row.name: row.offset for row in layout.rows}, "": layout.size} == STARTS[layout]


def test_a_key_digest_of_the_worked_example() -> None:
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    numbers = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP384R1()).public_key().public_numbers()
    key = EccKey(curve=P384, qx=numbers.x.to_bytes(72, "little"), qy=numbers.y.to_bytes(72, "little"))
    assert key_digest(key).hex() == (
        "8991a8cb80b84eb852e52a4dce794ef82f9ee406d21c5f2f916df38f9fc0b024256180c660a33ae3593c7c88480b89fb"
    )
