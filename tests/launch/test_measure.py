"""The measure: published numbers, RFC 2104 by hand, and what a key must be."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab

#: sev-launch 7.2 (AMDESE/sev-tool, README) and 12 (our own inputs).
VECTORS = {
    "published": (
        {"api_major": 0, "api_minor": 18, "build_id": 15, "policy": 0},
        b"",
        "4fbe0bedbad6c86ae8f68971d103e554",
        "66320db73158a35a255d051758e95ed4",
        "0400120f00000000",
        "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea",
    ),
    "worked": (
        {"api_major": 1, "api_minor": 55, "build_id": 25, "policy": 0x11000005},
        b"sevlab",
        "e0e1e2e3e4e5e6e7e8e9eaebecedeeef",
        "707172737475767778797a7b7c7d7e7f",
        "0401371905000011",
        "215fa8ac20557a2092339434598120c739e150f8ff3235aeb5529cfdb62acc49",
    ),
}


@pytest.mark.parametrize(("values", "loaded", "mnonce", "tik", "start", "measure"), VECTORS.values(), ids=VECTORS)
def test_known_measures(values: dict[str, int], loaded: bytes, mnonce: str, tik: str, start: str, measure: str) -> None:
    values = values | {"policy": sevlab.Policy(values["policy"])}
    message = sevlab.MeasureMessage(digest=sevlab.compute_digest([loaded]), mnonce=bytes.fromhex(mnonce), **values)
    assert message.to_bytes()[:8].hex() == start
    for key in (bytes.fromhex(tik), sevlab.SecretBytes(bytes.fromhex(tik))):
        assert sevlab.compute_measure(message, key).hex() == measure
        assert sevlab.launch.measure.HmacSteps(message.to_bytes(), key).measure.hex() == measure


KEYS = st.binary(min_size=16, max_size=16)


@given(raw=st.binary(min_size=56, max_size=56), tik=KEYS)
def test_the_steps_are_those_of_rfc_2104(raw: bytes, tik: bytes) -> None:
    steps = sevlab.launch.measure.HmacSteps(raw, tik)
    block = tik + bytes(48)
    ipad, opad = (bytes(byte ^ pad for byte in block) for pad in (0x36, 0x5C))
    assert [s.reveal() for s in (steps.key_block, steps.inner_block, steps.outer_block)] == [block, ipad, opad]
    assert steps.inner == hashlib.sha256(ipad + raw).digest()
    assert steps.measure == hashlib.sha256(opad + steps.inner).digest() == hmac.new(tik, raw, "sha256").digest()


@given(raw=st.binary(min_size=52, max_size=52), tik=KEYS)
def test_the_older_message_has_a_measure_too(raw: bytes, tik: bytes) -> None:
    message = sevlab.formats.launch_measure.OldMeasureMessage.from_bytes(raw)
    assert sevlab.compute_measure(message, tik) == hmac.new(tik, raw, "sha256").digest()


@given(raw=st.binary(min_size=56, max_size=56), tik=KEYS, position=st.integers(0, 447))
def test_every_bit_of_the_message_counts(raw: bytes, tik: bytes, position: int) -> None:
    flipped = bytearray(raw)
    flipped[position // 8] ^= 1 << position % 8
    one, two = (sevlab.MeasureMessage.from_bytes(bytes(each)) for each in (raw, flipped))
    assert sevlab.compute_measure(one, tik) != sevlab.compute_measure(two, tik)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 32, 64])
def test_a_key_has_16_bytes(size: int) -> None:
    message = sevlab.MeasureMessage.from_bytes(bytes(56))
    for key in (b"k" * size, sevlab.SecretBytes(b"k" * size)):
        with pytest.raises(sevlab.InputError, match=f"a key of {size} bytes; needed 16 bytes"):
            sevlab.compute_measure(message, key)


def test_the_blocks_made_from_the_key_are_as_hidden_as_the_key() -> None:
    tik = bytes(range(0x30, 0x40))
    steps = sevlab.launch.measure.HmacSteps(bytes(56), tik)
    blocks = [bytes(byte ^ pad for byte in tik) for pad in (0, 0x36, 0x5C)]
    # A long value is broken over lines, so white space is taken out before looking.
    text, html = ("".join(part.split()) for part in (steps.explain().text(), steps.explain().html()))
    shown = "".join(steps.explain(show_keys=True).text().split())
    for block in blocks:
        assert block.hex() not in text + html + repr(vars(steps))
        assert block.hex() in shown
    for value in (steps.inner.hex(), steps.measure.hex()):
        assert value in text
        assert value in html
