"""Broken launches: every one has exactly the explanation that its seed made."""

from __future__ import annotations

import pytest

import sevlab
from sevlab.diagnosis.sev import PARAMETERS
from sevlab.labs.classroom import FAULTY, broken_launch


@pytest.mark.parametrize(
    ("seed", "faults"),
    # Two faults of seeds 0 to 23 touch every axis. (6, 3) once drew a CPU model beside a profile that has none.
    [(seed, faults) for faults in (1, 2) for seed in range(24)] + [(seed, 3) for seed in (1, 2, 6)],
)
def test_diagnose_finds_the_faults(seed: int, faults: int) -> None:
    launch = broken_launch(seed, faults)
    diagnosis = sevlab.diagnose(launch.inputs, budget=600)
    assert diagnosis.status == "explained"
    (explanation,) = diagnosis.explanations
    assert {change.input.replace("_", "-"): change.found for change in explanation.changes} == launch.solution
    assert len(explanation.hypotheses) == faults
    missing = {name.replace("-", "_") for name in launch.solution} - set(launch.inputs)
    assert not missing, "a student cannot find what the page does not show"


def test_a_seed_makes_the_same_launch_each_time() -> None:
    one, other = (broken_launch(7) for _ in range(2))
    assert str(one) == str(other)
    assert one.inputs["measurement"] == other.inputs["measurement"]
    assert str(broken_launch(8)) != str(one)


def test_answers_are_marked() -> None:
    launch = broken_launch(5, 2)
    names = list(launch.solution)
    assert launch.mark(...).state == "not tried"
    assert launch.mark(names).state == "right"
    assert launch.mark([f"--{name}" for name in names]).state == "right"
    assert launch.mark([name.replace("-", "_") for name in names]).state == "right"
    assert launch.mark(launch.solution).state == "right"
    assert launch.mark(names[-1:]).state == "partly"
    assert launch.mark([*names, "policy"]).state == "partly"
    assert launch.mark(["policy"]).state == "wrong"
    assert launch.mark("policy").state == "wrong"
    wrong = {**launch.solution, names[-1]: "another"}
    assert (launch.mark(wrong).state, names[-1] in launch.mark(wrong).text) == ("partly", True)
    assert "2 of 2" in repr(launch.mark(names))


def test_values_are_marked_as_people_write_them() -> None:
    launch = broken_launch(0, 1)
    (value,) = launch.solution.values()
    assert isinstance(value, int)
    for right in (value, str(value), hex(value), f" {value} "):
        assert launch.mark({"policy": right}).state == "right"
    for wrong in (value + 1, "nonsense", None, ..., b"", []):
        assert launch.mark({"policy": wrong}).state == "partly"


def test_a_file_is_marked_by_its_name() -> None:
    launch = broken_launch(22, 2)
    path = str(launch.solution["kernel"])
    for right in (path, "initrd.bin"):
        assert launch.mark({"kernel": right, "profile": "qemu"}).state == "right"
    assert launch.mark({"kernel": "kernel.bin", "profile": "qemu"}).state == "partly"


def test_neither_the_page_nor_a_mark_tells_the_solution() -> None:
    launch = broken_launch(5, 2)
    said = " ".join([str(launch), repr(launch), launch.explain().html(), launch.mark(["policy"]).text])
    for name, value in launch.solution.items():
        assert f"{name} {value}" not in said
    for name in launch.solution:
        assert name not in launch.mark(["policy"]).text


def test_unknown_names_and_numbers_are_refused() -> None:
    with pytest.raises(sevlab.InputError, match="names of inputs"):
        broken_launch(1).mark(["nonsense"])
    for answer in (None, 5, [None], b"x"):
        with pytest.raises(sevlab.InputError, match="names of inputs"):
            broken_launch(1).mark(answer)  # type: ignore[arg-type]
    for faults in (0, 4, -1, "2", 2.5, None, [1]):
        with pytest.raises(sevlab.InputError, match="faults"):
            broken_launch(1, faults)  # type: ignore[arg-type]


def test_the_axes_exist() -> None:
    assert set(FAULTY) <= set(PARAMETERS)
