"""The compiled loop agrees with hashlib."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from sevlab.diagnosis import engine
from sevlab.diagnosis.engine import Context, Engine, Hit, try_box
from sevlab.labs import samples
from tests.soak import many

TIK, TEK = samples.TIK, samples.TEK
DIGEST, MNONCE = hashlib.sha256(b"loaded").digest(), bytes(range(16))
BYTE = st.integers(0, 255)
NUMBERS = st.lists(BYTE, min_size=1, max_size=6, unique=True)
POLICIES = st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=4, unique=True)


def measure(major: int, minor: int, build: int, policy: int, key: bytes = TIK) -> bytes:
    message = bytes((4, major, minor, build)) + policy.to_bytes(4, "little") + DIGEST + MNONCE
    return hmac.digest(key, message, "sha256")


def context(reported: bytes, key: bytes = TIK) -> Context:
    return Context(key, False, DIGEST, reported, MNONCE)


def sha256_numba() -> Any:
    return pytest.importorskip(
        "sevlab.diagnosis.sha256_numba", reason="the extra fast is missing: pip install 'sevlab[fast]'"
    )


def test_the_compiled_loop_knows_sha_256_s_constants() -> None:
    compiled = sha256_numba()
    # FIPS 180-4, 4.2.2 and 5.3.3: the first and the last of each table.
    assert (int(compiled.ROUND_WORDS[0]), int(compiled.ROUND_WORDS[63])) == (0x428A2F98, 0xC67178F2)
    assert (int(compiled.START_WORDS[0]), int(compiled.START_WORDS[7])) == (0x6A09E667, 0x5BE0CD19)


@settings(max_examples=many(30, 6))
@drawn(
    majors=NUMBERS,
    minors=NUMBERS,
    builds=NUMBERS,
    policies=POLICIES,
    data=st.data(),
    key=st.binary(min_size=16, max_size=16),
)
def test_the_compiled_loop_agrees_with_hmac(
    majors: list[int], minors: list[int], builds: list[int], policies: list[int], data: Any, key: bytes
) -> None:
    compiled = sha256_numba()
    truth = tuple(data.draw(st.sampled_from(part)) for part in (majors, minors, builds, policies))
    box = (majors, minors, builds, policies)
    assert compiled.search(key, DIGEST, MNONCE, measure(*truth, key=key), box) == [truth]
    assert compiled.search(key, DIGEST, MNONCE, bytes(32), box) == []


def test_the_compiled_loop_finds_the_corners_of_a_large_box() -> None:
    sha256_numba()
    box: Any = ((0, 1), tuple(range(256)), tuple(range(256)), tuple(range(8)))
    for truth in ((0, 0, 0, 0), (1, 255, 255, 7), (0, 255, 63, 3), (1, 0, 64, 4)):
        assert try_box([context(bytes(32)), context(measure(*truth))], box, fast=True) == [Hit(1, *truth)]


@pytest.mark.parametrize("fast", [True, False])
def test_large_boxes_go_the_same_way_with_and_without_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(engine, "compiled_loop", lambda: None)
    box: Any = ((0, 1), tuple(range(256)), tuple(range(256)), tuple(range(8)))
    runner = Engine(600, jobs=2)
    try:
        truth = (1, 200, 100, 5)
        found = list(runner.run([(context(measure(*truth)), "label")], box, 1 << 20))
        assert [(label, hit[1:]) for _, label, hit in found] == [("label", truth)]
        assert runner.tried == 1 << 20
    finally:
        runner.close()
