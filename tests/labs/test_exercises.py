"""The exercises: each solution found here by another way, and marked right; others marked wrong."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY  # is equal to everything

import numpy as np
import pytest

import sevlab
from sevlab.cases.recognize import parse_anything
from sevlab.labs import Exercises, exercises
from tests.labs import answers_sev, answers_snp, answers_stories
from tests.soak import many

FOUND = answers_sev.FOUND | answers_snp.FOUND | answers_stories.FOUND
SEEDS = many(30, 3)


def test_every_exercise_has_an_answer_here() -> None:
    assert sorted(FOUND) == sorted(exercises.names())


@pytest.mark.parametrize("name", FOUND)
def test_the_answer_found_here_is_right_for_every_seed(name: str) -> None:
    for seed in range(1, SEEDS + 1):
        tasks = Exercises(seed)
        mark = tasks.mark(name, FOUND[name][0](tasks))
        assert mark.state == "right", (seed, mark)
        assert repr(mark).startswith(f"{name}: right, because ")
        assert "{" not in repr(mark) + tasks.ask(name)


@pytest.mark.parametrize(
    ("name", "answer"), [(name, one) for name, (_, wrong) in FOUND.items() for one in [*wrong, None]]
)
def test_other_answers_are_wrong_and_hinted(name: str, answer: Any) -> None:
    mark = Exercises(1).mark(name, answer)
    assert mark.state == "wrong"
    assert "Hint: " in repr(mark)


@pytest.mark.parametrize("name", FOUND)
def test_a_second_wrong_answer_earns_a_second_hint(name: str) -> None:
    tasks = Exercises(1)
    first, second, third = (repr(tasks.mark(name, None)) for _ in range(3))
    assert "Another hint: " not in first
    assert second.startswith(first[:-1])
    assert second.count("Another hint: ") == 1
    assert third == second


@pytest.mark.parametrize("name", FOUND)
def test_what_nobody_tried_is_no_error(name: str) -> None:
    assert Exercises(1).mark(name, ...).state == "not tried"


@pytest.mark.parametrize("name", FOUND)
def test_neither_question_nor_hint_nor_object_gives_the_answer_away(name: str) -> None:
    tasks = Exercises(1)
    hints = " ".join(repr(tasks.mark(name, None)) for _ in range(2))
    answer = FOUND[name][0](tasks)
    if isinstance(answer, str | bytes) and len(answer) > 3:
        assert str(answer) not in tasks.ask(name) + hints
    elif isinstance(answer, int) and answer > 9:
        assert str(answer) not in hints.replace(",", " ").split()
        assert hex(answer) not in hints
    assert vars(tasks) == {"seed": 1, "_wrong": {name: 2}}


def test_answers_are_taken_in_the_forms_people_give() -> None:
    tasks = Exercises(1)
    measure = answers_sev.mac(b"").hex()
    for answer in (
        bytes.fromhex(measure),
        bytearray.fromhex(measure),
        measure.upper(),
        f"0x{measure}",
        f"  {measure}\n",
    ):
        assert exercises.agrees(answer, measure)
    for answer in ([7], (7,), {7}, "7", "0x7"):
        assert exercises.agrees(answer, [7]), answer
    number, base_and_rip = answers_sev.lost_policy(tasks), answers_sev.start_address(tasks)
    for answer in (number, str(number), hex(number), bin(number), [number], sevlab.Policy(number)):
        assert tasks.mark("lost-policy", answer).state == "right"
    for answer in (base_and_rip, tuple(base_and_rip), "0x{:x}, 0x{:X}".format(*base_and_rip)):
        assert tasks.mark("start-address", answer).state == "right"
    profile, count = answers_sev.lost_launch(tasks)
    for answer in ([count, profile], (profile, str(count)), {profile, count}):
        assert tasks.mark("lost-launch", answer).state == "right"
    for answer in ("owner", "the owner", " The Owner ", ["owner"]):
        assert exercises.agrees(answer, "owner")
    first, second = "04002c5b1d000005", ["firmware image", 0xA00F11]
    for answer in ("04 00 2c 5b 1d 00 00 05", "0x04002C5B 1D000005", bytes.fromhex(first)):
        assert exercises.agrees(answer, first)
    for answer in ("Firmware image, 0xa00f11", "firmware image,10489617"):
        assert exercises.agrees(answer, second)
    assert exercises.agrees(bytearray(b"4711"), b"4711")
    assert not exercises.agrees("firmware image 10489617", second)


@pytest.mark.parametrize("name", ["wrong-order", "overwritten", "same-guests", "acceptable", "leaked-chip"])
def test_where_no_order_is_asked_for_any_is_right(name: str) -> None:
    for seed in range(1, 6):
        found = FOUND[name][0](tasks := Exercises(seed))
        for answer in (found[::-1], set(found), frozenset(found), np.array(found[::-1])):
            assert tasks.mark(name, answer).state == "right", answer


def test_a_name_that_a_hint_leads_to_is_right() -> None:
    """Names of sevlab's own have an underscore where those of the host have a hyphen."""
    for seed in range(1, 9):
        tasks = Exercises(seed)
        told = [parse_anything(text) for text in tasks.given("two-stories")]
        (contradiction,) = (told[0] + told[1]).contradictions
        assert tasks.mark("two-stories", contradiction.name).state == "right"


@pytest.mark.parametrize(
    "answer",
    [[1, "a"], {"a": 1}, object(), [[1], 2], [None, 1], sevlab.Policy, ANY, [ANY] * 2, np.array([1, 2, 3]), 1j],
)
def test_answers_of_any_kind_are_marked_not_raised(answer: object) -> None:
    for name in FOUND:
        assert Exercises(1).mark(name, answer).state == "wrong"


def test_an_unknown_exercise_is_named() -> None:
    for ask in (Exercises(1).ask, Exercises(1).given, lambda name: Exercises(1).mark(name, ...)):
        with pytest.raises(sevlab.InputError, match="one of which-guest, "):
            ask("none")


def test_two_seeds_differ() -> None:
    """Most exercises have values of their own for every reader; a concept has one answer for all."""
    same = [name for name in FOUND if FOUND[name][0](Exercises(1)) == FOUND[name][0](Exercises(2))]
    assert len(same) < len(FOUND)
