"""``--own-case``: every verb that takes a case takes it, and the case knows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sevlab.cases.bundle import open_case
from sevlab.cases.case import make_case
from sevlab.cases.case_toml import read_case

#: Every verb that takes a case, and its actions that do.
VERBS = [
    ["validate"],
    ["explain"],
    ["diagnose"],
    ["diagnose", "--mode", "snp"],
    ["digest"],
    ["coverage"],
    ["advise"],
    ["report", "verify"],
    *(["case", action] for action in ("new", "show", "verify", "pack", "unpack", "redact")),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_that_takes_a_case_asks_whose_it_is(verb: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sevlab", *verb, "--help"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "--own-case" in done.stdout
    assert "the case is yours" in done.stdout


def test_a_case_knows_whose_it_is(tmp_path: object) -> None:
    path = f"{tmp_path}/c.toml"
    with open(path, "w") as stream:
        stream.write("format = 2\n[reported]\npolicy = 1\n")
    assert not read_case(path).own
    assert read_case(path, own=True).own
    assert read_case(path, own=True).replace(inputs={}).own
    with open_case(path) as case, open_case(path, own=True) as mine:
        assert (case.own, mine.own) == (False, True)
        assert not mine.bundled
    assert make_case({"policy": 1}).own
