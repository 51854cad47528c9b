"""The benchmark: ``make bench``, or ``python -m tests.bench [-n ROUNDS]``.

How to read a row::

    OK      0.48  limit 0.50   sevlab validate / virt-qemu-sev-validate   38.1 / 79.4 ms

The number is a ratio, so that it means the same on a slow machine as on a fast one: the median time of what stands
before the slash, divided by that of the yardstick after it. Both are warmed up once and then timed in turns (A B A B),
so that what else the machine does falls on both. At the end of the row are the two medians themselves. A row is OK or
MISSED by its limit; one without a limit is there for interest; one whose yardstick is not installed is skipped, with
the reason. The exit status is 1 when any row is missed.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from statistics import median

from tests.bench_search import search_rows
from tests.bench_snp import snp_rows
from tests.peers import REAL_TOOL, SYSTEM_PYTHON, why_no_real_tool

SEVLAB = str(Path(sys.executable).parent / "sevlab")
BARE_PYTHON = [sys.executable, "-c", "import argparse, base64, hashlib, hmac, logging"]
DEBIANS_IMAGE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VIEW_LIMIT_MS = 100.0
#: From a change in a lesson's small widget, or in a page, to the new bytes.
FIELD_LIMIT_MS = 150.0

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the benchmark. ``limit`` None: for interest only. ``skipped``: why there is no ratio."""

    name: str
    ratio: float = 0.0
    limit: float | None = None
    detail: str = ""
    skipped: str = ""

    @property
    def missed(self) -> bool:
        return not self.skipped and self.limit is not None and self.ratio > self.limit

    def __str__(self) -> str:
        if self.skipped:
            return f"{'-':6}  skipped: {self.skipped}  ({self.name})"
        state = "" if self.limit is None else "MISSED" if self.missed else "OK"
        limit = "" if self.limit is None else f"limit {self.limit:.2f}"
        return f"{state:6} {self.ratio:6.3f}  {limit:10}  {self.name}   {self.detail}"


#: Python's own settings are left out, for every command alike: one of them keeps compiled modules from being stored.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def timed(rounds: int, *works: Work, before: Work = lambda: None) -> list[list[float]]:
    """Return the times of each piece of work, in seconds: one warm-up, then *rounds* in turns.

    *before* is done before each piece, and not timed.
    """

    def once(work: Work) -> float:
        before()
        return seconds(work)

    for work in works:
        once(work)
    times = [[once(work) for work in works] for _ in range(rounds)]
    return [list(column) for column in zip(*times, strict=True)]


def compared(
    name: str, limit: float | None, rounds: int, ours: Work, yardstick: Work, before: Work = lambda: None
) -> Row:
    """Return the row of two pieces of work timed side by side."""
    a, b = (median(times) for times in timed(rounds, ours, yardstick, before=before))
    return Row(name, a / b, limit, f"{1000 * a:.2f} / {1000 * b:.2f} ms")


def process(command: Sequence[str], status: int = 0) -> Work:
    """Return the work of running a whole process. It fails when the exit status is another one."""

    def run() -> None:
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        if done.returncode != status:
            raise RuntimeError(f"{command[:2]} ended with {done.returncode}: {done.stderr[-500:]}")

    return run


def made_image(folder: Path) -> Path:
    """Return a file of 4 MiB that stands for a firmware image."""
    path = folder / "made.fd"
    path.write_bytes(bytes(range(256)) * (4 << 12))
    return path


def stock_image(image: Path, folder: Path) -> Path:
    """Return Debian's image with a place for kernel hashes, as stock builds have it since edk2-stable202511.

    Its code is theirs in what counts: compressed, and the driver that hands over the kernel checks nothing.
    """
    from sevlab.formats.ovmf_tables import HASH_BLOCK

    raw, path = image.read_bytes(), folder / "stock.fd"
    place = raw.rfind(HASH_BLOCK) - 10
    path.write_bytes(raw[:place] + struct.pack("<II", 0x810C00, 0x400) + raw[place + 8 :])
    return path


def launch(image: Path, folder: Path, **more: str) -> dict[str, str]:
    """Return the inputs of a launch that validates, by the names of the library; *more* are a kernel and its kin."""
    from sevlab import Measurement, MeasureMessage, Policy, SecretBytes, compute_measure, load_launch
    from sevlab.labs.samples import API_MAJOR, API_MINOR, BUILD_ID, MNONCE, POLICY, TEK, TIK

    numbers = {"api_major": API_MAJOR, "api_minor": API_MINOR, "build_id": BUILD_ID}
    digest = load_launch(Policy(POLICY), firmware=str(image), **more).digest
    message = MeasureMessage(**numbers, policy=Policy(POLICY), digest=digest, mnonce=MNONCE)
    blob = Measurement(measure=compute_measure(message, SecretBytes(TIK)), mnonce=MNONCE).to_bytes()
    (folder / "tk.bin").write_bytes(TEK + TIK)
    values = {**numbers, "policy": POLICY, "firmware": image, "tk": folder / "tk.bin", **more}
    return {"measurement": base64.b64encode(blob).decode(), **{name: str(value) for name, value in values.items()}}


def process_rows(inputs: dict[str, str], rounds: int) -> Iterator[Row]:
    """The command as a whole process, start to end."""
    options = [word for name, value in inputs.items() for word in ("--" + name.replace("_", "-"), value)]
    ours = process([SEVLAB, "validate", *options])
    name = "sevlab validate / virt-qemu-sev-validate"
    if reason := why_no_real_tool():
        yield Row(name, skipped=reason)
    else:
        yield compared(name, 0.5, rounds, ours, process([str(SYSTEM_PYTHON), str(REAL_TOOL), *options]))
    yield compared("sevlab validate / python that only imports", 2.0, rounds, ours, process(BARE_PYTHON))


def kernel_row(image: Path, folder: Path, rounds: int) -> Row:
    """The command with a kernel: tables are read, and the firmware's code is decompressed after the verdict."""
    name = "sevlab validate with a kernel / virt-qemu-sev-validate"
    if reason := why_no_real_tool():
        return Row(name, skipped=reason)
    if image != DEBIANS_IMAGE:
        return Row(name, skipped=f"{DEBIANS_IMAGE} is missing; on Debian: apt-get install ovmf")
    kernel = folder / "kernel"
    kernel.write_bytes(bytes(10 << 20))
    inputs = launch(stock_image(image, folder), folder, kernel=str(kernel), cmdline="console=ttyS0")
    options = [word for name, value in inputs.items() for word in ("--" + name.replace("_", "-"), value)]
    ours, theirs = process([SEVLAB, "validate", *options]), process([str(SYSTEM_PYTHON), str(REAL_TOOL), *options])
    return compared(name, 1.0, rounds, ours, theirs)


def widget_rows(inputs: dict[str, str], rounds: int) -> Iterator[Row]:
    """The explorer, in process: from a change to the new view (a browser's share not counted). The yardstick is
    the limit itself."""
    from sevlab import explore, load_evidence

    explorer = explore(load_evidence(**inputs))
    blobs = cycle((base64.b64encode(bytes(48)).decode(), inputs["measurement"]))
    minors = cycle(("23", inputs["api_minor"]))

    def flip_bit_0() -> None:
        box = explorer.policy.boxes["nodbg"]
        box.value = not box.value

    def change_minor() -> None:
        explorer.numbers["api_minor"].value = next(minors)

    def change_measurement() -> None:
        explorer.measurement.value = next(blobs)

    # Not warmed up: the first change a person makes counts too.
    for name, change in {
        "policy bit 0": flip_bit_0,
        "API minor": change_minor,
        "measurement": change_measurement,
    }.items():
        times = []
        for _ in range(2 * rounds):  # there and back
            before = explorer.banner.value, explorer.comparison.value
            times.append(1000 * seconds(change))
            if explorer.verdict is None or (explorer.banner.value, explorer.comparison.value) == before:
                raise RuntimeError(f"the view did not follow the change: {explorer.error}")
        for what, value in (("median", median(times)), ("max", max(times))):
            row = f"explorer, {name} to new view: {what} / {VIEW_LIMIT_MS:.0f} ms"
            yield Row(row, value / VIEW_LIMIT_MS, 1.0, f"{value:.2f} ms")


def field_rows(rounds: int) -> Iterator[Row]:
    """A lesson's widget for one field, in process: from a change to the new ribbon and measures."""
    from sevlab.labs.samples import TIK, firmware, measurement, message
    from sevlab.widgets import FieldBox

    start = message().to_bytes(), TIK, measurement()[:32]
    for field, name, values in (("api_minor", "api_minor", ("16", "22")), ("digest", "offset", ("1000", ""))):
        box = FieldBox(*start, field, firmware() if field == "digest" else b"")
        values, times = cycle(values), []
        for _ in range(2 * rounds):  # there and back
            before = box.bytes.value
            times.append(1000 * seconds(lambda: setattr(box.boxes[name], "value", next(values))))  # noqa: B023
            if box.bytes.value in ("", before):
                raise RuntimeError(f"the bytes did not follow the change: {box.error}")
        row = f"field box, {field} to new bytes: median / {FIELD_LIMIT_MS:.0f} ms"
        yield Row(row, median(times) / FIELD_LIMIT_MS, 1.0, f"{median(times):.2f} ms")


#: From a press of a policy bit's box to the frame that shows the other byte in a map. Times in milliseconds.
PRESS = """async rounds => {
    const explorer = document.querySelector(".sevlab-explorer"), times = [];
    const label = [...explorer.querySelectorAll("label")].find(one => one.textContent.includes("NODBG"));
    // Of the byte 4 in every map: that of the measurement is neither.
    const bytes = () => [...explorer.querySelectorAll("[data-offset='4']")].map(one => one.textContent.slice(0, 2));
    for (let round = 0; round < rounds; round++) {
        const wanted = bytes().includes("01") ? "00" : "01", start = performance.now();
        label.querySelector("input").click();
        while (!bytes().includes(wanted)) {
            if (performance.now() - start > 10000) throw new Error("the byte did not follow the press");
            await new Promise(requestAnimationFrame);
        }
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - start);
        await new Promise(done => setTimeout(done, 500));  // the rest of the view follows
    }
    return times;
}"""


def browser_row(folder: Path, rounds: int) -> Row:
    """The explorer in JupyterLab: from a press to the new byte in the page. The yardstick is the limit itself."""
    from tests.browser.lab import Sheet, chromium_browser, chromium_path, lab_server, needed, new_page
    from tests.paths import NOTEBOOKS

    name = f"in the browser, policy bit 0 to new byte: median / {FIELD_LIMIT_MS:.0f} ms"
    if chromium_path() is None:
        return Row(name, skipped="Chromium is missing; on Debian: apt-get install chromium")
    root = shutil.copytree(NOTEBOOKS, folder / "notebooks")
    with chromium_browser() as browser, lab_server(root) as lab:
        sheet = Sheet(new_page(browser), lab)
        sheet.show(*needed("01-fifty-six-bytes.ipynb", "sevlab.explore("))
        sheet.page.locator(".sevlab-explorer [data-offset='4']").first.wait_for()
        value = median(sheet.page.evaluate(PRESS, rounds))
    return Row(name, value / FIELD_LIMIT_MS, 1.0, f"{value:.0f} ms")


def digest_row(image: Path, rounds: int) -> Row:
    """How much asking again about an unchanged image saves."""
    from sevlab.launch import inputs as digest

    def first() -> None:
        digest._known.clear()
        digest.load_hashed(str(image))

    return compared(
        "digest of a known image / of a new one", None, rounds, lambda: digest.load_hashed(str(image)), first
    )


def simulation_row(folder: Path, rounds: int) -> Row:
    """A whole simulated launch, from the certificates to the secret in the guest. The yardstick is the limit itself."""
    from sevlab import simulate_launch
    from tests.bench_search import search_inputs

    names = ("firmware", "kernel", "initrd", "cmdline", "num_cpus", "cpu_family", "cpu_model", "cpu_stepping")
    inputs = {name: search_inputs(folder)[name] for name in names}

    def launch_it() -> None:
        if simulate_launch(inputs, 5).caught is not None:
            raise RuntimeError("the launch did not go through")

    (times,) = timed(rounds, launch_it)
    value = 1000 * median(times)
    return Row("simulated launch, 4 MiB of firmware / 200 ms", value / 200, 1.0, f"{value:.1f} ms")


def report(rows: Iterable[Row]) -> int:
    """Print every row as it is measured; return 1 when one is missed, else 0."""
    status = 0
    for row in rows:
        print(row, flush=True)
        status |= row.missed
    return status


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure speed, as ratios.")
    parser.add_argument("-n", type=int, default=20, metavar="ROUNDS", help="times each is run (default: %(default)s)")
    rounds = max(1, parser.parse_args(words).n)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = made_image(folder)
        image = DEBIANS_IMAGE if DEBIANS_IMAGE.is_file() else made
        size = image.stat().st_size / 2**20
        print(f"Firmware of the processes: {image} ({size:.1f} MiB); in process: 4.0 MiB made on the spot.")
        print(f"Rounds: {rounds}.", flush=True)
        processes, widgets = process_rows(launch(image, folder), rounds), widget_rows(launch(made, folder), rounds)
        searches = chain([simulation_row(folder, rounds)], search_rows(folder, rounds, Row))
        launches = snp_rows(image, rounds, Row, compared, process)
        kernels = (kernel_row(image, folder, rounds) for _ in range(1))
        pages = (browser_row(folder, rounds) for _ in range(1))
        fields, digests = field_rows(rounds), [digest_row(made, rounds)]
        return report(chain(processes, kernels, widgets, fields, pages, digests, launches, searches))


if __name__ == "__main__":
    sys.exit(main())
