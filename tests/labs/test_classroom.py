"""Broken launches: each can happen, and has exactly the explanation that its seed made."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.diagnosis.sev import PARAMETERS
from sevlab.labs import classroom, samples
from sevlab.labs.classroom import FILES, RELEASES, BrokenLaunch, broken_launch, faults
from tests.soak import many

SEEDS = range(many(1000, 20))


def plan(seed: int, count: int = 2) -> Any:
    """Everything about a launch, which only the module itself can draw."""
    return classroom._draw(seed, count)


def answer(seed: int, count: int = 2) -> dict[str, object]:
    """The right answer: every input that differs, with the value of the launch."""
    solution = plan(seed, count).solution
    changed = ((name, pair) for inputs in solution.values() for name, pair in inputs.items())
    return {name.replace("_", "-"): found for name, (wrote, found) in changed if wrote != found}


def ran(seed: int, count: int, folder: str) -> dict[str, Any]:
    """The inputs with which the host launched, in the terms of load_launch."""
    truth = {name: value for name, value in plan(seed, count).truth.items() if value is not None}
    left_out = () if "kernel" in truth else ("initrd", "cmdline")
    names = [name for name in truth if name not in (*left_out, "tk", "policy", *faults()["version"].inputs)]
    return {name: str(Path(folder, truth[name])) if name in FILES else truth[name] for name in names}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_secure_processor_launches_it_and_reports_the_measurement(seed: int) -> None:
    count = seed % 3 + 1
    launch, truth = broken_launch(seed, count), plan(seed, count).truth
    inputs = ran(seed, count, str(Path(str(launch.inputs["firmware"])).parent))
    version = tuple(truth[name] for name in faults()["version"].inputs)
    run = sevlab.simulate_launch(inputs, truth["policy"], api=version[:2], build=version[2], seed=bytes([seed % 256]))
    assert run.caught is None
    assert version in RELEASES
    measurement = base64.b64decode(str(launch.inputs["measurement"]))
    message = struct.pack("<4BI", 4, *version, truth["policy"])
    message += run.platform.guests[run.host.handle].digest + measurement[32:]
    tik = samples.TEK if truth["tk"] == "swapped" else samples.TIK
    assert hmac.digest(tik, message, hashlib.sha256) == measurement[:32]


def test_nothing_is_launched_that_no_host_does() -> None:
    for seed in range(300):
        truth = plan(seed, 1 + seed % 3).truth
        assert truth.get("profile") in (None, "qemu", "qemu-legacy")
        assert truth.get("guest_features") in (None, 0, 0x20), "SNP_ACTIVE is no feature of an SEV-ES guest"
        assert truth["policy"] >> 2 & 1 == ("num_cpus" in truth)


def test_faults_are_drawn_evenly() -> None:
    drawn = Counter(name for seed in range(600) for name in plan(seed).solution)
    assert set(drawn) == set(faults())
    assert max(drawn.values()) < 2 * min(drawn.values())


@pytest.mark.parametrize(
    ("seed", "count"), [(seed, 1 + (seed % 4 > 0)) for seed in SEEDS] + [(seed, 3) for seed in range(many(40, 1))]
)
def test_diagnose_finds_the_faults(seed: int, count: int) -> None:
    launch = broken_launch(seed, count)
    diagnosis = sevlab.diagnose(launch.inputs, budget=600)
    assert diagnosis.status == "explained"
    (explanation,) = diagnosis.explanations
    words = {"halves swapped": "swapped"}
    found = {change.input.replace("_", "-"): words.get(change.found, change.found) for change in explanation.changes}
    assert found == answer(seed, count)
    assert launch.mark(found).state == "right"
    missing = {name.replace("-", "_") for name in found} - set(launch.inputs)
    assert not missing, "a student cannot find what the page does not show"


def test_a_seed_makes_the_same_launch_each_time() -> None:
    one, other = (broken_launch(7) for _ in range(2))
    assert str(one) == str(other)
    assert one.inputs["measurement"] == other.inputs["measurement"]
    assert str(broken_launch(8)) != str(one)


def clues(launch: BrokenLaunch) -> list[str]:
    shown = "\n".join(launch.journal + launch.notes)
    return [name for name, fault in faults().items() if fault.clue in shown]


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_has_a_clue_and_two_clues_mislead(seed: int) -> None:
    shown = clues(broken_launch(seed))
    assert len(shown) == 4
    assert set(plan(seed).solution) < set(shown)


def test_the_page_fits_a_terminal_and_says_what_may_be_wrong() -> None:
    for seed in range(20):
        page = str(broken_launch(seed))
        assert max(map(len, page.splitlines())) <= 88
        assert all(
            word in " ".join(page.split()) for word in ("console=tty0", "0.24.15", "EPYC-Rome", "Value: swapped.")
        )


def first(*wanted: str, count: int = 2) -> int:
    """The first seed with these faults."""
    return next(seed for seed in range(2000) if set(wanted) <= set(plan(seed, count).solution))


def test_answers_are_marked() -> None:
    seed = first("model", "count")
    launch, right = broken_launch(seed), answer(seed)
    assert launch.mark(...).state == "not tried"
    for names in (
        ["cpu-model", "num-cpus"],
        ["--cpu_model", " NUM-CPUS "],
        ["model", "count"],
        ("cpu-family", "num_cpus"),
    ):
        assert launch.mark(names).state == "right", names
    assert launch.mark(right).state == "right"
    assert launch.mark(["num-cpus"]).state == "partly"
    assert launch.mark(["model", "num-cpus", "policy"]).state == "partly"
    assert launch.mark(["policy"]).state == "wrong"
    assert launch.mark("policy").state == "wrong"
    wrong = launch.mark({**right, "num-cpus": "another"})
    assert (wrong.state, "another value is right for: num-cpus" in wrong.text) == ("partly", True)
    assert "2 of 2" in repr(launch.mark(["model", "count"]))


def test_values_are_marked_as_people_write_them() -> None:
    seed = first("policy", count=1)
    launch = broken_launch(seed, 1)
    (value,) = answer(seed, 1).values()
    assert isinstance(value, int)
    for right in (value, str(value), hex(value), f" {value} "):
        assert launch.mark({"policy": right}).state == "right"
    for wrong in (value + 1, float(value), True, "nonsense", None, ..., b"", [], "0x" + "f" * 9999, 1 << 99999):
        assert launch.mark({"policy": wrong}).state == "partly"


@pytest.mark.parametrize(
    ("fault", "rights"), [("key", ("swapped", "TEK and TIK exchanged")), ("initrd", (None, "None"))]
)
def test_words_are_values_too(fault: str, rights: tuple[object, ...]) -> None:
    launch = broken_launch(first(fault, count=1), 1)
    (name,) = faults()[fault].inputs
    assert all(launch.mark({name: right}).state == "right" for right in rights)
    assert launch.mark({name: f"{name}.bin"}).state == "partly"


def test_a_version_is_one_fault() -> None:
    seed = first("version", count=1)
    launch = broken_launch(seed, 1)
    for name in ("api-major", "api-minor", "build-id", "version"):
        assert launch.mark([name]).state == "right"
    lone = broken_launch(first("build", count=1), 1)
    assert (lone.mark(["build-id"]).state, lone.mark(["api-minor"]).state) == ("right", "wrong")


def test_neither_the_page_nor_the_object_nor_a_mark_tells_the_solution() -> None:
    for seed in range(20):
        launch = broken_launch(seed)
        said = " ".join([str(launch.evidence()), *map(repr, vars(launch).values()), launch.mark(["firmware"]).text])
        said += " ".join(block.text() for block in launch.evidence())
        for name, value in answer(seed).items():
            assert f"{name} {value}" not in said
            assert len(str(value)) < 5 or name in ("profile", "tk") or repr(value) not in said, (seed, name)
        assert not hasattr(launch, "solution")
        assert not set(vars(launch)) - {"seed", "title", "_count", "_keep", "inputs", "journal", "notes"}


def test_unknown_names_and_numbers_are_refused() -> None:
    for unknown in (["nonsense"], None, 5, [None], b"x"):
        with pytest.raises(sevlab.InputError, match="names of inputs"):
            broken_launch(1).mark(unknown)  # type: ignore[arg-type]
    for count in (0, 4, -1, "2", 2.5, None, [1]):
        with pytest.raises(sevlab.InputError, match="faults"):
            broken_launch(1, count)  # type: ignore[arg-type]


def test_every_fault_is_of_inputs_that_diagnose_knows() -> None:
    known = {name for about in PARAMETERS.values() for name in about.inputs}
    assert {name for fault in faults().values() for name in fault.inputs} <= known
    assert {fault.where for fault in faults().values()} == {"journal", "notes"}
