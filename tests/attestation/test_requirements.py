"""What an owner can require of a report."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sevlab.attestation.certificates import (
    Certificates,
)
from sevlab.attestation.report import verify_report
from sevlab.attestation.requirements import BYTES, SIZES, parse_requirements
from sevlab.cases.case_toml import parse_case
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.launch.verify import MATCH, MISMATCH, NOT_CHECKED
from tests.snp_reports import TCBS, certificates, failures, made_verdict, make

#: What asks for nothing, asks twice, or asks for what no product has.
NO_LEAST_TCB: list[Any] = [
    *("", " ", ",", "=", "bl", "bl=", "bl= ", "=4", "bl=4,", ",bl=4", "bl=4,,tee=0", "bl=256", "bl=-1", "bl=4;tee=0"),
    *("bl=200,bl=0", "bl=200, bl=0", "bl=200,bl =0", "bl=200,\tbl=0", " bl=200,bl=0", "bl=200,bl=0 ", "bl=200,BL=0"),
    *("bl=200,tee=0, bl=200", "BL=4", "cpu=1", "bl=200,cpu=1", "cpu=1, cpu=1", "bl=0=4", "bl=٤", "bl=1_0", "ﬂ=4"),
]


NO_LEAST_TCB_IN_PYTHON: list[Any] = [
    {},
    [],
    4,
    b"bl=4",
    {"": 4},
    {"BL": 4},
    {"bl": None},
    {"bl": True},
    {"bl": 256},
    {4: 4},
]


def test_f47_the_measurement_is_asked_for() -> None:
    verdict = made_verdict(make(), certificates())
    assert (verdict["measurement"].state, verdict["measurement"].incident) == (NOT_CHECKED, "F47")
    assert not verdict.matches
    assert "F47" in str(verdict)


@pytest.mark.parametrize("name", BYTES)
def test_required_bytes(name: str) -> None:
    value = bytes(range(100, 100 + SIZES[name]))
    raw = make(**{name: value})
    for form in (value, value.hex(), base64.b64encode(value).decode()):
        assert made_verdict(raw, certificates(), **{name: form})[name].state == MATCH
    for place in range(SIZES[name]):
        other = value[:place] + bytes([value[place] ^ 0x80]) + value[place + 1 :]
        check = made_verdict(raw, Certificates(), **{name: other})[name]
        assert check.state == MISMATCH
        assert value.hex() in check.note
        assert other.hex() in check.note
    for wrong in (b"", value + b"\0", "zz", 5):
        with pytest.raises(InputError, match=name):
            made_verdict(raw, certificates(), **{name: wrong})


def test_required_policy_and_vmpl() -> None:
    raw = make(policy=0xB0000, vmpl=2)
    verdict = made_verdict(raw, certificates(), policy="0xb0000", vmpl=2)
    assert (verdict["policy"].state, verdict["vmpl"].state) == (MATCH, MATCH)
    verdict = made_verdict(raw, certificates(), policy=0x30000, vmpl="0")
    assert failures(verdict) == ["policy", "vmpl"]
    assert "DEBUG is 1, required 0" in verdict["policy"].note
    for wrong in ({"policy": 1 << 64}, {"vmpl": 4}, {"policy": "x"}):
        with pytest.raises(InputError):
            parse_requirements(**wrong)
    with pytest.raises(TypeError, match="colour"):
        verify_report(raw, colour=1)


def test_forbidden() -> None:
    free, strict = make(policy=0xF0000, platform_info=1), make(policy=0x20000)
    forbid = {"forbid_debug": True, "forbid_smt": True, "forbid_migration": True}
    verdict = made_verdict(free, certificates(), **forbid)
    assert failures(verdict) == list(forbid)
    assert verdict["forbid_debug"].incident == "A07"
    assert "the platform has it on now" in verdict["forbid_smt"].note
    verdict = made_verdict(strict, certificates(), **forbid)
    assert all(verdict[name].state == MATCH for name in forbid)
    assert "off now" in verdict["forbid_smt"].note
    verdict = made_verdict(free, certificates())
    assert all(verdict[name].state == NOT_CHECKED for name in forbid)
    assert verdict.notes
    assert made_verdict(strict, certificates()).notes == []


@pytest.mark.parametrize("name", ["forbid_debug", "forbid_smt", "forbid_migration"])
def test_what_is_forbidden_is_true_or_false(name: str) -> None:
    for value in (0, 1, "", "no", "true", [], b"x"):
        with pytest.raises(InputError, match=name):
            parse_requirements(**{name: value})


def test_the_least_tcb_is_compared_part_by_part() -> None:
    for product in ("Milan", "Turin"):
        mine = TCBS[product].parts
        text = ",".join(f"{part}={value}" for part, value in mine.items())
        for least in (text, mine, TCBS[product]):
            assert made_verdict(make(product), certificates(product), min_tcb=least)["min_tcb"].state == MATCH
        for part, value in mine.items():
            # Everything else may be newer: that does not make up for one part that is older.
            least = dict.fromkeys(mine, 0) | {part: value + 1}
            check = made_verdict(make(product), certificates(product), min_tcb=least)["min_tcb"]
            assert check.state == MISMATCH
            assert f"{part} is {value}, required {value + 1} or more" in check.note
    assert "no fmc" in made_verdict(make(), certificates(), min_tcb="fmc=0")["min_tcb"].note
    newer = TCBS["Milan"].replace(snp=99)
    assert made_verdict(make(current_tcb=newer), certificates(), min_tcb={"snp": 99})["min_tcb"].state == MISMATCH
    unknown = verify_report(make("Milan", 4), min_tcb={"snp": 1})["min_tcb"]
    assert unknown.state == MISMATCH
    for wrong in ("", "bl", "bl=", "bl=256", "bl=-1", "bl=1,bl=2", "cpu=1", "bl=1;tee=2", 5, {"bl": "x"}):
        with pytest.raises(InputError, match="min_tcb"):
            parse_requirements(min_tcb=wrong)


@pytest.mark.parametrize("value", [*NO_LEAST_TCB, *NO_LEAST_TCB_IN_PYTHON], ids=repr)
def test_a_least_tcb_is_read_once_or_refused(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_requirements(min_tcb=value)
    assert str(caught.value).startswith("min_tcb")
    if not isinstance(value, str):
        return
    assert main(["report", "verify", "none", "--min-tcb", value]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["case", "new", f"--snp-min-tcb={value}", "-o", "/nowhere/x.toml"]) == 2
    assert "snp-min-tcb" in capsys.readouterr().err
    with pytest.raises(InputError, match="snp-min-tcb"):
        parse_case(f"format = 2\n[snp]\nsnp-min-tcb = {json.dumps(value)}\n", "case.toml")


@pytest.mark.parametrize("text", ["bl=4", " bl = 4 ", "snp=0x18, bl=4", "ucode=219,snp=24,tee=0,bl=4,fmc=1"])
def test_what_a_case_requires_is_what_is_used(text: str) -> None:
    wanted = parse_requirements(min_tcb=text).min_tcb
    case = parse_case(f"format = 2\n[snp]\nsnp-min-tcb = {json.dumps(text)}\n", "case.toml")
    assert parse_requirements(min_tcb=case.inputs["snp_min_tcb"]).min_tcb == wanted
    assert " " not in case.inputs["snp_min_tcb"]
    encoded = base64.b64encode(bytes(48)).decode()
    case = parse_case(f"format = 2\n[snp]\nsnp-measurement = '{encoded}'\n", "case.toml")
    assert case.inputs["snp_measurement"] == "00" * 48
