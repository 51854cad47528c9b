"""``diagnose`` on generated mismatches: every one in the declared space is explained, rightly; others are not."""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.diagnosis.model import Choice
from sevlab.diagnosis.sev import BOX, SevSpace
from sevlab.labs import samples
from tests.diagnosis.sev_cases import CASES, GIVEN, PLAIN, SEED, SPACES, cases, report, reported_text, true_values
from tests.soak import many

HOPELESS = many(100, 15)


@pytest.mark.parametrize("faults", CASES)
def test_every_case_in_the_declared_space_is_explained_and_rightly(faults: int) -> None:
    for name, chosen in cases(faults):
        space, given = SPACES[name], GIVEN[name]
        text = reported_text(space, chosen)
        diagnosis = sevlab.diagnose({**given, "measurement": text}, budget=600, max_changes=faults)
        what = {parameter: choice.changes for parameter, choice in chosen.items()}
        assert diagnosis.status == "explained", (name, what)
        (explanation,) = diagnosis.explanations
        assert 1 <= len(explanation.hypotheses) <= faults, (name, what)
        # By another route: the values found make the very report.
        found = dict(zip((h.parameter for h in explanation.hypotheses), explanation.hypotheses, strict=True))
        if set(found) == set(chosen):
            assert set(explanation.changes) == {change for choice in chosen.values() for change in choice.changes} or (
                _same_report(space, explanation.changes, chosen)
            ), (name, what, explanation.changes)
        else:
            assert _same_report(space, explanation.changes, chosen), (name, what, explanation.changes)


def _same_report(space: SevSpace, changes: tuple[Any, ...], chosen: dict[str, Choice]) -> bool:
    """Say whether other changes than those that were drawn stand for the same launch: one that reports the same."""
    values = {name: parameter.base.value for name, parameter in space.parameters.items()}
    rest = set(changes)
    for parameter in space.parameters.values():
        for choice in parameter.choices:
            if choice.changes and set(choice.changes) <= rest:
                values[parameter.name] = choice.value
    return report(values) == report(true_values(space, chosen))


@pytest.mark.parametrize("name", GIVEN)
def test_no_hopeless_case_is_explained(name: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    space = SPACES[name]
    for number in range(HOPELESS // len(GIVEN) + 1):
        values = true_values(space, {})
        if number % 2:
            raw = bytearray(Path(PLAIN["firmware"]).read_bytes())
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            values["firmware"] = replace(values["firmware"], running=hashlib.sha256(raw))
            measurement = report(values)
        else:
            measurement = report(values, key=chance.randbytes(16))
        text = base64.b64encode(measurement).decode()
        diagnosis = sevlab.diagnose({**GIVEN[name], "measurement": text}, budget=300, max_changes=1, jobs=1)
        assert (diagnosis.status, diagnosis.explanations) == ("unexplained", ())
        assert diagnosis.searched


@pytest.mark.parametrize(
    ("release", "given"),
    [
        *((one, ()) for one in ((0, 17, 22), (0, 24, 15), (1, 33, 3), (1, 55, 21))),
        ((0, 17, 22), (0, 23, 34)),  # and what the wrong base makes of a version, too
        ((1, 55, 21), (1, 85, 33)),
    ],
)
@pytest.mark.parametrize("flag", [0, 1, 3])
def test_another_host_s_version_and_one_flag_of_the_policy_are_two_changes(
    release: tuple[int, int, int], given: tuple[int, ...], flag: int
) -> None:
    """Three numbers of one firmware are one mistake, so this is found within the time of two changes."""
    space, names = SPACES["plain"], ("api_major", "api_minor", "build_id")
    version, noted = dict(zip(names, release, strict=True)), PLAIN | dict(zip(names, given, strict=False))
    values = true_values(space, {}) | version | {"policy": int(PLAIN["policy"]) ^ 1 << flag}
    text = base64.b64encode(report(values)).decode()
    diagnosis = sevlab.diagnose({**noted, "measurement": text}, max_changes=2)
    (explanation,) = diagnosis.explanations
    assert {cause.hypothesis.parameter for cause in explanation.causes} == {"release", "policy"}
    found = {change.input: change.found for change in explanation.changes}
    assert found == {name: value for name, value in version.items() if value != noted[name]} | {
        "policy": values["policy"]
    }


def test_one_wrong_number_is_that_number_s_mistake() -> None:
    values = true_values(SPACES["plain"], {}) | {"build_id": PLAIN["build_id"] + 1}
    diagnosis = sevlab.diagnose({**PLAIN, "measurement": base64.b64encode(report(values)).decode()}, max_changes=1)
    (explanation,) = diagnosis.explanations
    assert [cause.hypothesis.parameter for cause in explanation.causes] == ["build_id"]


def test_the_samples_keys_are_those_of_the_cases() -> None:
    assert Path(PLAIN["tk"]).read_bytes() == samples.TEK + samples.TIK
    assert set(BOX) <= set(SPACES["es"].parameters)
