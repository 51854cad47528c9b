"""Every parser on arbitrary, truncated and mutated bytes, and on what earlier fuzzing found (``make fuzz``)."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import CORPUS, TARGETS, attempt, seeds
from tests.soak import many

EACH = pytest.mark.parametrize("name", TARGETS)


@EACH
def test_what_fuzzing_found(name: str) -> None:
    for raw in seeds(name):
        attempt(TARGETS[name], raw)


def test_the_corpus_is_of_targets_and_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 4 << 20


@EACH
@settings(max_examples=many(60, 12), suppress_health_check=[HealthCheck.too_slow])
@given(raw=st.binary(max_size=5000))
def test_arbitrary_bytes(name: str, raw: bytes) -> None:
    attempt(TARGETS[name], raw)


@EACH
@settings(max_examples=many(40, 8), suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), changes=st.integers(0, 8), cut=st.booleans())
def test_changed_and_truncated_bytes(name: str, seed: int, changes: int, cut: bool) -> None:
    chance = random.Random(seed)
    raw = bytearray(chance.choice(seeds(name) or [b""]))
    for _ in range(changes if raw else 0):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    attempt(TARGETS[name], bytes(raw[: chance.randrange(len(raw) + 1)] if cut else raw))
