"""200 MB are enough for every verb and every file it takes: what is large is streamed, or is there once.

`make test` has smaller images, and so a smaller limit; those of 64 MiB, the largest that are taken, are in `make soak`.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sevlab.diagnosis import digests
from sevlab.labs import samples
from sevlab.labs.snp_samples import firmware_for_snp, svsm_image
from tests.commands import commands, write_inputs
from tests.made_images import snp_image
from tests.soak import SOAK, many

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")

MIB = 1 << 20
SIZE = many(64, 16) * MIB
#: In 10**6 bytes: 200 are the promise; of the smaller images there may be one, and the hashes of its pages.
LIMIT = many(200, 50)
#: A launch that is loaded from a small firmware, in pages.
PAGES = many(1 << 18, 1 << 13)
#: Runs the command line, then prints the most memory that this process had. (What getrusage says begins with that of
#: the parent.)
PROGRAM = """
import sys
from sevlab.cli import main
main(sys.argv[1:])
line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("PEAK", int(line.split()[1]) * 1024, file=sys.stderr)
"""


def peak(words: list[str], out: Path) -> tuple[int, str]:
    """Return how many bytes of memory a command takes at most, and what it says on standard error."""
    with out.open("wb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], stdout=stream, stderr=subprocess.PIPE, text=True, timeout=300
        )
    said, _, number = done.stderr.rpartition("PEAK ")
    return int(number), said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of which no page is like another one, so that the hash of each is kept."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "candidates").mkdir()
    write_inputs(folder)
    chance = random.Random(1)
    body = chance.randbytes(SIZE)
    ends = {"snp": firmware_for_snp(), "legacy": samples.firmware_for_kernels(), "neither": chance.randbytes(4096)}
    if SOAK:
        ends |= {"svsm": svsm_image(), "candidates/snp": firmware_for_snp(), "candidates/neither": bytes(4096)}
    for name, end in ends.items():
        (folder / name).write_bytes(chance.randbytes(4096) + body[4096 : SIZE - len(end)] + end)
    return folder


def test_a_trace_is_never_there_whole(tmp_path: Path) -> None:
    """A firmware of 64 KiB may ask for a million pages and more; each is a link, in JSON as in text."""
    sections = ((0x800000, 0xD000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3), (0x1000000, (PAGES - 64) << 12, 1))
    (tmp_path / "firmware").write_bytes(snp_image(sections))
    words = ["digest", "--mode=snp", f"--ovmf={tmp_path}/firmware", "--vcpus=4", "--vcpu-type=EPYC-Milan"]
    out = tmp_path / "out"
    bare, _ = peak([*words, "--json"], out)
    plain = json.loads(out.read_text())
    for more in (["--trace"], ["--trace", "--json"]):
        assert peak([*words, *more], out)[0] < bare + 6 * MIB, more
    whole = json.loads(out.read_text())
    assert out.read_text() == json.dumps(whole, indent=2) + "\n"
    assert len(whole["links"]) == sum(region["pages"] for region in whole["regions"]) > PAGES - 64
    assert whole["links"][-1]["digest_after"] == whole["digest"]
    assert {name: value for name, value in whole.items() if name != "links"} == plain


def large_commands(folder: Path) -> dict[str, list[str]]:
    """Return commands that read large files, by what they are about."""
    snp = ["--mode=snp", f"--ovmf={folder}/snp", "--vcpus=4", "--vcpu-type=EPYC-Milan"]
    svsm = ["--mode=snp:svsm", *snp[1:], f"--svsm={folder}/svsm", "--vars-size=0"]
    search = [f"--candidates={folder}/candidates", "--budget=20", f"--measurement={'01' * 48}"]
    launch = [word for word in commands(folder)["validate"] if not word.startswith(("--firmware", "--policy"))]
    launch += ["--policy=5", "--num-cpus=4096", "--cpu-family=25", "--cpu-model=1", "--cpu-stepping=1"]
    launch += [f"--firmware={folder}/legacy", f"--kernel={folder}/snp", f"--initrd={folder}/neither"]
    return {
        "ovmf": ["ovmf", f"{folder}/neither", "--json"],
        "digest": ["digest", *snp, "--trace", "--json"],
        "digest, SVSM": ["digest", *svsm],
        "diagnose": ["diagnose", *snp, *search],
        "diagnose, SVSM": ["diagnose", "--mode=snp", *svsm[1:], *search],
        "diagnose, SEV-ES": ["diagnose", *launch, *search[:2]],
        "validate": ["validate", *launch],
        "explain": ["explain", *launch, "--json"],
        "profiles": ["profiles", "--matrix", *snp],
        "vmsa": ["vmsa", "build", "-", "--cpu=1", "--vcpu-type=EPYC-Milan", f"--firmware={folder}/snp"],
        "case": [
            *("case", "new", "--mode=snp", f"--firmware={folder}/snp", f"--kernel={folder}/legacy"),
            *(f"--initrd={folder}/neither", "--num-cpus=4", "--vcpu-type=EPYC-Milan"),
            f"--out={folder}/made.sevcase",
        ],
        "case, packed": ["case", "show", f"{folder}/made.sevcase"],
        "case, judged": ["case", "verify", f"{folder}/made.sevcase"],
        "case, redacted": ["case", "redact", f"{folder}/made.sevcase", f"--out={folder}/redacted.sevcase"],
    }


def test_large_files_are_there_once(folder: Path) -> None:
    run = large_commands(folder)
    measured = {}
    for name in many(list(run), ["digest", "explain"]):
        number, said = peak(run[name], folder / "out")
        assert "an error in sevlab itself" not in said
        measured[name] = round(number / 10**6)
    assert max(measured.values()) < LIMIT, measured


def test_a_search_does_not_grow_with_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest of thousands of virtual CPUs has as many digests, for each of the launches that are tried."""
    monkeypatch.setattr(digests, "_DIGESTS", 1000)
    folded = digests.SevDigests()
    image = digests.Image(bytes(32), hashlib.sha256(), 0, 0x1000)
    cpus = digests.Cpus("qemu-legacy", 1, 0)
    for number in range(60):
        chain = folded.chain(image, None, cpus._replace(features=number), 1 + number % 7)
        assert folded.chain(image, None, cpus._replace(features=number), 100)[: len(chain)] == chain
    assert sum(len(found) for _, found in folded._chains.values()) <= 1000
