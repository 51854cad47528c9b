"""SEV-ES and kernels with hashes: ``sevlab validate`` against libvirt's own tool, on generated launches."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import struct
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from sevlab.formats.policy import Policy
from sevlab.launch.inputs import load_launch
from tests.peers import ROOT, our_validate, ovmf_images, real_validate, why_no_ovmf, why_no_real_tool
from tests.soak import many

pytestmark = pytest.mark.peer

MANUAL = ROOT / "docs" / "validate.md"
TEK, TIK, MNONCE = bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40)), bytes(range(0x40, 0x50))
NEEDED = many(500, 120)
SEED = 3


def table(kernel: bytes, initrd: bytes, cmdline: str) -> bytes:
    """The kernel-hashes table by the facts' table of offsets, apart from sevlab's declaration."""

    def entry(guid: str, content: bytes) -> bytes:
        return uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + hashlib.sha256(content).digest()

    entries = (
        entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline.encode() + b"\0")
        + entry("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd)
        + entry("4de79437-abd2-427f-b835-d5b172d2045b", kernel)
    )
    head = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168)
    return (head + entries).ljust(176, b"\0")


def measurement(policy: int, digest: bytes) -> str:
    message = struct.pack("<4BI", 4, 0, 22, 13, policy) + digest + MNONCE
    return base64.b64encode(hmac.digest(TIK, message, "sha256") + MNONCE).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if why := why_no_real_tool() or why_no_ovmf():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("launches")
    chance = random.Random(SEED)
    for name, size in (("kernel", 5000), ("kernel2", 5000), ("initrd", 3000), ("initrd2", 3000)):
        (folder / name).write_bytes(chance.randbytes(size))
    for name in ("vmsa0", "vmsa1", "vmsa2"):
        (folder / name).write_bytes(chance.randbytes(4096))
    (folder / "none").write_bytes(b"")
    (folder / "short").write_bytes(bytes(4095))
    (folder / "tk").write_bytes(TEK + TIK)
    return folder


class Case(NamedTuple):
    options: dict[str, str]
    valid: bool


def cases(folder: Path) -> list[Case]:
    """All combinations of kernel, initrd and command line, with and without SEV-ES, and a wrong input of every kind."""
    chance = random.Random(SEED)
    made = []
    parts = [
        {},
        *({"kernel": "kernel", **i, **c} for i in ({}, {"initrd": "initrd"}, {"initrd": "none"}) for c in COMMANDS),
    ]
    while len(made) < NEEDED + 40:
        for part in parts:
            for cpus in ({}, by_files(chance), by_numbers(chance)):
                image = chance.choice(ovmf_images())
                policy = (5 if cpus else 1) | chance.getrandbits(2) << 4
                options = {"firmware": str(image), **part, **cpus}
                right = {**options, "measurement": measurement(policy, digest(folder, policy, options))}
                made.append(Case({**right, "policy": str(policy)}, True))
                if wrong := wrong_input(right, cpus, chance):
                    made.append(Case({**right, "policy": str(policy), **wrong}, False))
    return made


COMMANDS = ({}, {"cmdline": ""}, {"cmdline": "console=ttyS0 root=/dev/vda"}, {"cmdline": "quiet  café "})


def by_files(chance: random.Random) -> dict[str, str]:
    return {"num_cpus": str(chance.choice((1, 2, 3, 17, 255))), "vmsa_cpu0": "vmsa0", "vmsa_cpu1": "vmsa1"}


def by_numbers(chance: random.Random) -> dict[str, str]:
    family, model, stepping = chance.choice(((23, 1, 2), (23, 49, 0), (25, 1, 1), (25, 17, 0), (26, 0, 0), (6, 15, 3)))
    count = chance.choice((1, 2, 4, 64, 255))
    cpu = {"cpu_family": str(family), "cpu_model": str(model), "cpu_stepping": str(stepping)}
    return {"num_cpus": str(count), **cpu}


def digest(folder: Path, policy: int, options: dict[str, str]) -> bytes:
    """The launch digest: from the bytes themselves, but for registers by numbers, which the real tool confirms."""
    if "cpu_family" in options:
        paths = {name: str(folder / options[name]) for name in ("kernel", "initrd") if name in options}
        return load_launch(Policy(policy), **{**options, **paths}).digest
    loaded = Path(options["firmware"]).read_bytes()
    if "kernel" in options:
        initrd = (folder / options["initrd"]).read_bytes() if "initrd" in options else b""
        loaded += table((folder / options["kernel"]).read_bytes(), initrd, options.get("cmdline", ""))
    if "vmsa_cpu0" in options:
        further = (folder / "vmsa1").read_bytes() * (int(options["num_cpus"]) - 1)
        loaded += (folder / "vmsa0").read_bytes() + further
    return hashlib.sha256(loaded).digest()


def wrong_input(right: dict[str, str], cpus: dict[str, str], chance: random.Random) -> dict[str, str]:
    """One input of the launch, changed so that the digest changes."""
    wrong: list[dict[str, str]] = []
    if "kernel" in right:
        wrong.append({"kernel": "kernel2"})
        wrong.append({"cmdline": right.get("cmdline", "") + " "})
        wrong.append({"initrd": "initrd2"})
    else:
        wrong.append({"kernel": "kernel"})
    if cpus:
        wrong.append({"num_cpus": str(int(right["num_cpus"]) % 255 + 1)})
    if "vmsa_cpu0" in right:
        wrong.append({"vmsa_cpu0": "vmsa2"})
    if "vmsa_cpu1" in right and right["num_cpus"] != "1":
        wrong.append({"vmsa_cpu1": "vmsa2"})
    if "cpu_family" in right:
        wrong.append({"cpu_model": str(int(right["cpu_model"]) + 1)})
    return chance.choice(wrong)


def words(options: dict[str, str]) -> list[str]:
    fixed = {"tk": "tk", "api_major": "0", "api_minor": "22", "build_id": "13", "policy": "1"}
    return [f"--{name.replace('_', '-')}={value}" for name, value in {**fixed, **options}.items()]


def test_verdict_status_and_first_line_agree(folder: Path) -> None:
    made = cases(folder)

    def both(case: Case) -> tuple[Case, tuple[int, str], tuple[int, str]]:
        real = real_validate(*words(case.options), folder=folder)
        ours = our_validate(*words(case.options), folder=folder)
        return case, (real.status, real.first_line), (ours.status, ours.first_line)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(both, made))
    wrong = [outcome for outcome in outcomes if outcome[1] != outcome[2] or outcome[1][0] != int(not outcome[0].valid)]
    assert wrong == []
    assert len(outcomes) >= NEEDED
    assert NEEDED // 5 < sum(case.valid for case, _, _ in outcomes) < len(outcomes) - NEEDED // 5


ES = {"policy": "5", "measurement": "A" * 64}
NUMBERS = {"cpu_family": "23", "cpu_model": "1", "cpu_stepping": "2"}
#: Misuse on which both end with 2, and the option our one line names.
MISUSES = {
    "initrd without kernel": ({"initrd": "initrd"}, "--initrd"),
    "cmdline without kernel": ({"cmdline": "x"}, "--cmdline"),
    "no number of CPUs": ({**ES, "vmsa_cpu0": "vmsa0"}, "--num-cpus"),
    "no registers": ({**ES, "num_cpus": "1"}, "--vmsa-cpu0"),
    "registers of the first CPU only": ({**ES, "num_cpus": "2", "vmsa_cpu0": "vmsa0"}, "--vmsa-cpu1"),
    "registers of further CPUs only": ({**ES, "num_cpus": "2", "vmsa_cpu1": "vmsa1"}, "--vmsa-cpu1"),
    "files and numbers": ({**ES, **NUMBERS, "num_cpus": "1", "vmsa_cpu0": "vmsa0"}, "--vmsa-cpu0"),
    "a family alone": ({**ES, "num_cpus": "1", "cpu_family": "23"}, "--cpu-model"),
    "no stepping": ({**ES, "num_cpus": "1", "cpu_family": "23", "cpu_model": "1"}, "--cpu-stepping"),
    "registers of another size": ({**ES, "num_cpus": "1", "vmsa_cpu0": "short"}, "--vmsa-cpu0"),
    "a CPU count that is no number": ({**ES, **NUMBERS, "num_cpus": "two"}, "--num-cpus"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_ends_with_2_in_both(folder: Path, misuse: str) -> None:
    options, about = MISUSES[misuse]
    given = words({"firmware": str(ovmf_images()[0]), "measurement": "A" * 64, **options})
    real, ours = real_validate(*given, folder=folder), our_validate(*given, folder=folder)
    assert (real.status, ours.status) == (2, 2)
    assert ours.err.startswith(f"ERROR: {about}: received ")
    assert ours.err.count("\n") == 1


def es_measurement(folder: Path, further: bytes = b"") -> str:
    loaded = ovmf_images()[0].read_bytes() + (folder / "vmsa0").read_bytes() + further
    return measurement(5, hashlib.sha256(loaded).digest())


#: Where the two differ on purpose: the input, the real tool's status, ours. The manual has the same rows.
DIFFERENCES = {
    "`--num-cpus 1` with SEV-ES and no `--vmsa-cpu1`": ({"num_cpus": "1", "vmsa_cpu0": "vmsa0"}, 6, 0),
    "`--num-cpus` 0 or negative": ({"num_cpus": "0", "vmsa_cpu0": "vmsa0", "vmsa_cpu1": "vmsa1"}, 0, 2),
    "CPU model over 255": ({"num_cpus": "1", "cpu_family": "23", "cpu_model": "4096", "cpu_stepping": "0"}, 1, 2),
    "CPU family negative": ({"num_cpus": "1", "cpu_family": "-1", "cpu_model": "1", "cpu_stepping": "0"}, 1, 2),
    "`--kernel`: an empty file": (
        {"kernel": "none", "num_cpus": "1", "vmsa_cpu0": "vmsa0", "vmsa_cpu1": "vmsa1"},
        1,
        2,
    ),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_difference_is_as_told(folder: Path, difference: str) -> None:
    options, real_status, our_status = DIFFERENCES[difference]
    fixed = {"firmware": str(ovmf_images()[0]), "policy": "5", "measurement": es_measurement(folder)}
    given = words({**fixed, **options})
    real, ours = real_validate(*given, folder=folder), our_validate(*given, folder=folder)
    assert (real.status, ours.status) == (real_status, our_status), (real, ours)
    row = f"| {difference} | {real_status} | {our_status} |"
    assert any(line.startswith(row) for line in MANUAL.read_text(encoding="utf-8").splitlines()), row


def test_a_kernel_for_a_firmware_without_a_hash_area_is_warned_of(folder: Path) -> None:
    options = {"firmware": str(ovmf_images()[0]), "kernel": "kernel"}
    given = words({**options, "measurement": measurement(1, digest(folder, 1, options))})
    assert real_validate(*given, folder=folder).err == ""
    ours = our_validate(*given, folder=folder)
    assert ours.status == 0
    assert "WARNING: firmware: this firmware has no area for kernel hashes" in ours.err
