"""The engine: boxes, executors, and without threads or processes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import sevlab
from sevlab.diagnosis import engine
from sevlab.diagnosis.engine import Context, Engine, Hit, Stopped, split_box, try_box
from sevlab.labs import samples
from tests.diagnosis.sev_cases import (
    ES,
    PLAIN,
    only,
    with_report,
)
from tests.paths import SAMPLES
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


@settings(max_examples=many(50, 10))
@drawn(
    majors=NUMBERS,
    minors=NUMBERS,
    builds=NUMBERS,
    policies=POLICIES,
    data=st.data(),
    key=st.binary(min_size=16, max_size=16),
)
def test_a_box_is_tried_whole_and_nothing_else(
    majors: list[int], minors: list[int], builds: list[int], policies: list[int], data: Any, key: bytes
) -> None:
    truth = tuple(data.draw(st.sampled_from(part)) for part in (majors, minors, builds, policies))
    box: Any = (majors, minors, builds, policies)
    assert try_box([context(measure(*truth, key=key), key)], box) == [Hit(0, *truth)]
    assert try_box([context(bytes(32), key)], box) == []


@settings(max_examples=many(50, 10))
@drawn(sizes=st.tuples(*[st.integers(1, 40)] * 4), limit=st.integers(1, 500))
def test_a_box_is_cut_without_loss(sizes: tuple[int, ...], limit: int) -> None:
    from itertools import product

    box: Any = tuple(tuple(range(size)) for size in sizes)
    parts = list(split_box(box, limit))
    tried = [combination for part in parts for combination in product(*part)]
    assert len(tried) == len(set(tried))
    assert set(tried) == set(product(*box))
    assert all(len(list(product(*part))) <= limit for part in parts)


def test_any_executor_is_taken() -> None:
    sent = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            sent.append(args[0])
            return super().submit(*args, **kwargs)

    with Counted(2) as executor:
        given = with_report({**ES, "api_minor": 99, "policy": 7}, api_minor=22, policy=sevlab.Policy(0x2D))
        found = sevlab.diagnose(given, executor=executor)
    assert only(found).found == {"api_minor": 22, "policy": 0x2D}
    assert sent


def test_dask_s_executor_is_taken() -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is missing: pip install 'sevlab[dask]'")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    try:
        with distributed.Client(cluster) as client:
            given = with_report({**ES, "api_minor": 99, "policy": 7}, api_minor=22, policy=sevlab.Policy(0x2D))
            found = sevlab.diagnose(given, executor=client.get_executor())
    finally:
        cluster.close()
    assert only(found).found == {"api_minor": 22, "policy": 0x2D}


#: Diagnoses what it is given, and prints what comes of it and which modules it took from outside.
SERIAL = """
import json, sys, threading

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("multiprocessing", "_multiprocessing", "concurrent"):
            raise ModuleNotFoundError(name)

def start(thread):
    raise RuntimeError("can't start new thread")

sys.meta_path.insert(0, Refusal())
threading.Thread.start = start
import sevlab
for given, reported, most in json.loads(sys.argv[1]):
    found = sevlab.diagnose(given, reported, max_changes=most, jobs=4, budget=600)
    print(found.status, found.stopped or "to its end", *[sorted(one.found) for one in found.explanations], found.tried)
print(sorted({name.partition(".")[0] for name in sys.modules} - {*sys.stdlib_module_names, "__main__", "sevlab"}))
"""


def test_a_search_needs_neither_threads_nor_processes_nor_anything_from_outside() -> None:
    """As in a browser: SEV, SEV-ES and SEV-SNP are diagnosed on the standard library alone."""
    snp = {"firmware": str(SAMPLES / "firmware-snp.fd"), "num_cpus": 4, "cpu_signature": 0xA00F11}
    reported = sevlab.load_snp_launch(**snp).digest.hex()
    plain = with_report({**PLAIN, "policy": 3, "build_id": 99}, build_id=13, policy=sevlab.Policy(1))
    es = with_report({**ES, "num_cpus": 2, "build_id": 99}, build_id=13, count=4)
    hopeless = with_report(ES, key=bytes(range(16)))
    given = [(plain, None, 3), (es, None, 3), (hopeless, None, 2), (snp | {"num_cpus": 1}, reported, 3)]
    environment = {**os.environ, "PYTHONPATH": str(Path(sevlab.__file__).parent.parent)}
    command = [sys.executable, "-S", "-c", SERIAL, json.dumps(given)]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    assert said[0].startswith("explained to its end ['build_id', 'policy']")
    assert said[1].startswith("explained to its end ['build_id', 'num_cpus']")
    assert said[2].startswith("unexplained to its end")
    assert int(said[2].split()[-1]) > engine.PARALLEL  # elsewhere it would have started processes
    assert said[3].startswith("explained to its end ['num_cpus']")
    assert said[4:] == ["[]"]


def test_the_budget_stops_an_engine() -> None:
    runner = Engine(1e-9)
    time.sleep(0.001)
    with pytest.raises(Stopped, match="budget"):
        runner.check()
