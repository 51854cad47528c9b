"""Cases: options override them, what was found replaces what was given, and a case knows whose it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sevlab.attestation.certificates import FILES
from sevlab.attestation.report import LIMIT
from sevlab.attestation.requirements import REQUIREMENTS
from sevlab.cases.bundle import open_case
from sevlab.cases.case import ROWS, SNP, Case, make_case
from sevlab.cases.case_toml import read_case


def test_options_win_over_the_case_and_alternatives_leave_it():
    case = Case({"policy": 5, "tik": "a", "tek": "b", "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1})
    merged, replaced = case.merged({"policy": None, "tk": "both", "vmsa_cpu0": "v"})
    assert merged == {"policy": 5, "tk": "both", "vmsa_cpu0": "v"}
    assert replaced == ["cpu_family", "cpu_model", "cpu_stepping", "tik", "tek"]
    merged, replaced = case.merged({"policy": 4})
    assert (merged["policy"], replaced) == (4, ["policy"])


def test_what_a_report_needs_is_apart_from_a_launch() -> None:
    case = Case({"policy": 5, "report": "r", "chain": "c", "snp_policy": 0x30000, "snp_forbid_debug": True})
    assert case.part() == {"policy": 5}
    merged, replaced = case.merged({"policy": 4})
    assert (merged, replaced) == ({"policy": 4}, ["policy"])
    merged, replaced = case.merged({"ask": "a", "snp_policy": 1}, SNP)
    assert merged == {"report": "r", "ask": "a", "snp_policy": 1, "snp_forbid_debug": True}
    assert replaced == ["chain", "snp_policy"]


def test_the_report_s_rows_are_what_its_verification_takes() -> None:
    wanted = [row.name.removeprefix("snp_") for row in ROWS if row.name.startswith("snp_")]
    assert tuple(wanted) == REQUIREMENTS
    files = [row for row in ROWS if row.section == "snp" and row.kind == "file"]
    assert tuple(row.name for row in files) == ("report", *FILES)
    assert {row.limit for row in files} == {LIMIT}
    assert [row.option for row in ROWS if row.name in ("policy", "snp_policy")] == ["--policy", "--policy"]


def test_a_case_knows_what_it_is_about() -> None:
    assert Case({"policy": 1}).mode == "sev"
    assert Case({"policy": 5}).mode == "seves"
    assert Case({"svsm": "s"}).mode == "snp:svsm"
    assert Case({"report": "r"}).mode == "snp"
    assert Case({"mode": "seves"}).mode == "seves"
    assert Case({}).mode == ""
    assert Case({"mode": "snp", "policy": 1}).is_snp


def test_what_was_found_takes_the_place_of_what_was_given() -> None:
    case = Case(
        {"firmware": "f", "kernel": "k", "cmdline": "x", "cpu_family": 25, "num_cpus": 2, "ovmf_hash": bytes(48)},
        {"firmware": "11", "kernel": "22"},
        found={"kernel": None, "cmdline": None, "cpu_signature": 1, "num_cpus": 4, "firmware": "g"},
        found_hashes={"firmware": "33"},
    )
    explained = case.explained
    assert explained.inputs == {"firmware": "g", "num_cpus": 4, "cpu_signature": 1}
    assert explained.hashes == {"firmware": "33"}
    assert explained.found == {}
    assert list(case.recorded) == [("firmware", "f", "11"), ("kernel", "k", "22"), ("firmware", "g", "33")]


def test_a_case_knows_its_names():
    with pytest.raises(TypeError, match="firmwear"):
        Case({"firmwear": 1})
    with pytest.raises(TypeError, match="notes"):
        Case({}, about={"notes": ""})
    with pytest.raises(TypeError, match="input"):
        Case({}).replace(input={})


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
