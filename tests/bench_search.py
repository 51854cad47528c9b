"""The rows of the search in ``make bench``: rates against a loop of hmac.new and against OpenSSL, times against limits.

A rate is candidates per second: how many messages can be tried under one key. A candidate costs three compressions of
SHA-256 (64 bytes each), so OpenSSL's bulk rate on this processor, divided by 3 * 64, is what a search without any
overhead on one core would do with OpenSSL's code.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from sevlab.diagnosis import engine
from sevlab.diagnosis.engine import Context, Engine, try_box

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "build" / "search-rates.png"
KEY, DIGEST, MNONCE = bytes(range(16)), bytes(range(32)), bytes(range(16))
BYTES = tuple(range(256))
#: What no candidate reports, so that every box is searched to its end.
CONTEXT = Context(KEY, False, DIGEST, bytes(32), MNONCE)
SMALL = ((0,), BYTES, BYTES, (1,))
LARGE = ((0, 1), BYTES, BYTES, tuple(range(64)))
FLAGS_AND_MINIMUMS = tuple(flags | minor << 24 for minor in range(16) for flags in range(64))
#: API major, minor, build and policy: 2 * 256 * 256 * 1024 = 2**27 candidates.
WHOLE = ((0, 1), BYTES, BYTES, FLAGS_AND_MINIMUMS)


def size(box: Any) -> int:
    return len(box[0]) * len(box[1]) * len(box[2]) * len(box[3])


def timed(work: Any, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def loop_of_hmac() -> None:
    """What people write today."""
    policy = (1).to_bytes(4, "little")
    for minor in BYTES:
        for build in BYTES:
            message = bytes((4, 0, minor, build)) + policy + DIGEST + MNONCE
            if hmac.new(KEY, message, "sha256").digest() == CONTEXT.measure:
                raise RuntimeError("found what is not there")


def on_all_cores(box: Any) -> None:
    runner = Engine(600)
    try:
        if list(runner.run([(CONTEXT, None)], box, size(box))):
            raise RuntimeError("found what is not there")
    finally:
        runner.close()


def openssl_rate() -> float:
    """Candidates per second of OpenSSL's SHA-256 on one core; 0.0 without its program."""
    if not shutil.which("openssl"):
        return 0.0
    command = ["openssl", "speed", "-seconds", "2", "-bytes", "16384", "-evp", "sha256"]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.search(r"^sha256\s+([\d.]+)k", said, re.MULTILINE | re.IGNORECASE)
    return float(found[1]) * 1000 / 64 / 3 if found else 0.0


def compile_seconds() -> float:
    """Seconds until the compiled loop's first answer in a new process that has nothing compiled."""
    code = (
        "import time; start = time.perf_counter()\n"
        "from sevlab.diagnosis import sha256_numba\n"
        "sha256_numba.search(bytes(16), bytes(32), bytes(16), bytes(32), ((0,), (0,), (0,), (0,)))\n"
        "print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    return float(done.stdout)


def search_inputs(folder: Path) -> dict[str, Any]:
    """The inputs of a SEV-ES launch with a kernel and 4 MiB of firmware, and a report that nothing explains."""
    samples = ROOT / "notebooks" / "samples"
    firmware = (samples / "firmware-kernel.fd").read_bytes()
    path = folder / "search.fd"
    path.write_bytes((bytes(range(256)) * (4 << 12))[: (4 << 20) - len(firmware)] + firmware)
    return {
        "measurement": base64.b64encode(bytes(range(0x80, 0xB0))).decode(),
        "api_major": 0,
        "api_minor": 22,
        "build_id": 13,
        "policy": 5,
        "firmware": str(path),
        "tk": str(samples / "tk.bin"),
        "kernel": str(samples / "kernel.bin"),
        "initrd": str(samples / "initrd.bin"),
        "cmdline": "console=ttyS0 root=/dev/vda1 quiet",
        "num_cpus": 4,
        "cpu_family": 25,
        "cpu_model": 1,
        "cpu_stepping": 1,
    }


def time_of(given: dict[str, Any], changes: int) -> tuple[float, int]:
    """Seconds to try every explanation of so many changes, to the end, and how many candidates that is."""
    from sevlab import diagnose

    diagnosis = diagnose(given, budget=600, max_changes=changes)
    if diagnosis.status != "unexplained" or diagnosis.stopped:
        raise RuntimeError(f"{diagnosis.status}: {diagnosis.stopped}")
    return diagnosis.seconds, diagnosis.tried


def search_rows(folder: Path, rounds: int, row: Any) -> Iterator[Any]:
    """The rows of the search. *row* makes one: name, ratio, limit, detail, skipped."""
    given = search_inputs(folder)
    for changes, limit in ((1, 1.0), (2, 5.0)):
        times, tried = zip(*(time_of(given, changes) for _ in range(max(1, rounds // 5))), strict=True)
        name = f"diagnose, every explanation of {'one change' if changes == 1 else 'two changes'} / {limit:g} s"
        yield row(name, median(times) / limit, 1.0, f"{median(times):.2f} s, {tried[0]:,} candidates")
    rates = {"hmac.new in a loop": size(SMALL) / timed(loop_of_hmac, rounds)}
    rates["standard library, one core"] = size(SMALL) / timed(lambda: try_box([CONTEXT], SMALL), rounds)
    rates["OpenSSL's own speed, one core"] = openssl_rate()
    fast = engine.compiled_loop() is not None
    reason = "" if fast else "the extra fast is missing: pip install 'sevlab[fast]'"
    if fast:
        yield row("compiling the fast loop, once", compile_seconds(), None, "seconds, not a ratio")
        try_box([CONTEXT], ((0,), (0,), (0,), (0,)), fast=True)
        rates["compiled loop, one core"] = size(LARGE) / timed(lambda: try_box([CONTEXT], LARGE, fast=True), rounds)
        on_all_cores(LARGE)
        rates["compiled loop, all cores"] = size(LARGE) / timed(lambda: on_all_cores(LARGE), rounds)
    loop = rates["hmac.new in a loop"]
    limits = {"standard library, one core": 1 / 2, "compiled loop, one core": 1 / 15}
    for name in (*limits, "compiled loop, all cores", "OpenSSL's own speed, one core"):
        title = f"time of a candidate, {name} / hmac.new in a loop"
        if not rates.get(name):
            yield row(title, skipped=reason or "openssl is missing")
            continue
        detail = f"{rates[name] / 1e6:.2f} / {loop / 1e6:.2f} million per second: {rates[name] / loop:.1f} times"
        yield row(title, loop / rates[name], limits.get(name), detail)
    if fast:
        seconds = timed(lambda: on_all_cores(WHOLE), max(1, rounds // 10))
        yield row("API x build x policy, 2**27 candidates / 30 s", seconds / 30, 1.0, f"{seconds:.1f} s")
    else:
        yield row("API x build x policy, 2**27 candidates / 30 s", skipped=reason)
    draw({name: rate for name, rate in rates.items() if rate})


def draw(rates: dict[str, float]) -> None:
    """Draw the rates as bars: as text, and as a picture under build/."""
    most = max(rates.values())
    print(f"Candidates per second, {engine.available_cores()} cores:")
    for name, rate in sorted(rates.items(), key=lambda item: item[1]):
        print(f"  {name:30} {rate / 1e6:7.2f} million  {'#' * max(1, round(40 * rate / most))}")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.6 * len(rates) + 1), layout="constrained")
    axes = figure.subplots()
    names = sorted(rates, key=lambda name: rates[name])
    bars = axes.barh(names, [rates[name] / 1e6 for name in names], color="#9ecae9", edgecolor="black")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlabel("million candidates per second")
    axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=150)
    print(f"  drawn in {PICTURE.relative_to(ROOT)}", flush=True)
