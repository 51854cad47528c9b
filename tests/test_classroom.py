"""Broken launches: every one has exactly the explanation that its seed made."""

from __future__ import annotations

import pytest

import sevlab
from sevlab.classroom import FAULTY
from sevlab.exercises import broken_launch
from sevlab.search.space import AXES


@pytest.mark.parametrize(
    ("seed", "faults"), [(seed, faults) for faults in (1, 2) for seed in range(8)] + [(1, 3), (2, 3)]
)
def test_diagnose_finds_the_faults(seed: int, faults: int) -> None:
    launch = broken_launch(seed, faults)
    diagnosis = sevlab.diagnose(launch.inputs, budget=120)
    assert diagnosis.status == "explained"
    (explanation,) = diagnosis.explanations
    assert {change.input.replace("_", "-"): change.found for change in explanation.changes} == launch.solution
    assert len(explanation.hypotheses) == faults


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
    for faults in (0, 4, -1):
        with pytest.raises(sevlab.InputError, match="faults"):
            broken_launch(1, faults)


def test_the_axes_exist() -> None:
    assert set(FAULTY) <= set(AXES)
