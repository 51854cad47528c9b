"""The search as people run it: budget, progress, inputs, and the command."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.cli import main
from sevlab.labs import samples
from tests.diagnosis.sev_cases import (
    ES,
    GIVEN,
    PLAIN,
    diagnose,
    only,
    with_report,
)

TIK, TEK = samples.TIK, samples.TEK


def test_progress_is_told_and_the_budget_kept() -> None:
    told = []
    start = time.monotonic()
    diagnosis = diagnose(with_report(ES, key=bytes(range(16))), budget=1.0, progress=told.append)
    assert time.monotonic() - start < 3
    assert diagnosis.status == "unexplained"
    assert "budget of 1 seconds" in diagnosis.stopped
    assert len(told) >= 3
    assert told[-1].tried > 0
    assert told[-1].rate > 0
    assert told[-1].now
    assert [p.tried for p in told] == sorted(p.tried for p in told)


def test_an_interrupt_returns_what_is_known() -> None:
    def interrupt(progress: Any) -> None:
        if " and " in progress.now:  # single changes are done
            raise KeyboardInterrupt

    diagnosis = diagnose(with_report(ES, key=bytes(range(16))), progress=interrupt)
    assert (diagnosis.status, diagnosis.stopped) == ("unexplained", "it was interrupted")
    assert diagnosis.searched


def test_the_bar_of_notebooks_says_nothing_of_a_short_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(with_report(PLAIN, policy=sevlab.Policy(3)), progress=True).status == "explained"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"max_changes": 0}, {"max_changes": 5}, {"budget": 0}, {"budget": -1.0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(sevlab.InputError):
        diagnose(with_report(PLAIN), **options)


def test_evidence_verdicts_and_cases_are_taken(tmp_path: Path) -> None:
    given = with_report({**ES, "build_id": 19}, build_id=13)
    evidence = sevlab.load_evidence(**given)
    case = sevlab.cases.case.make_case(given)
    for thing in (evidence, sevlab.compare_measure(evidence), case):
        assert only(diagnose(thing)).found == {"build_id": 13}
    assert sevlab.compare_measure(evidence.replace(build_id=13)).matches


def test_evidence_of_which_only_the_digest_is_known() -> None:
    given = with_report({**PLAIN, "policy": 3}, policy=sevlab.Policy(1))
    evidence = sevlab.load_evidence(**given).replace(digest=sevlab.launch.inputs.load_hashed(PLAIN["firmware"]).digest)
    found = diagnose(evidence)
    assert only(found).found == {"policy": 1}
    assert any("only its digest" in sentence for sentence in found.not_tried)


@pytest.mark.parametrize("name", GIVEN)
def test_a_match_is_a_match(name: str) -> None:
    diagnosis = diagnose(with_report(GIVEN[name]))
    assert diagnosis.status == "match"
    assert "MATCH" in str(diagnosis)


def options(given: dict[str, Any]) -> list[str]:
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_the_command_prints_the_documented_json(capsys: pytest.CaptureFixture[str]) -> None:
    given = with_report({**ES, "build_id": 19, "num_cpus": 2}, build_id=13, count=4)
    assert main(["diagnose", *options(given), "--json", "--jobs", "1"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"status", "explanations", "tried", "seconds", "searched", "not-tried", "stopped"}
    assert said["status"] == "explained"
    (explanation,) = said["explanations"]
    changes = sorted(explanation["changes"], key=lambda change: change["input"])
    assert changes == [
        {"input": "build-id", "given": 19, "found": 13},
        {"input": "num-cpus", "given": 2, "found": 4},
    ]
    assert explanation["sentence"].startswith("--")


def test_the_command_s_exit_status(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["diagnose", *options(with_report(PLAIN))]) == 0
    assert main(["diagnose", *options(with_report(PLAIN, policy=sevlab.Policy(3)))]) == 1
    hopeless = with_report(PLAIN, key=bytes(range(16)))
    assert main(["diagnose", *options(hopeless), "--max-changes", "1"]) == 1
    out = capsys.readouterr().out
    assert "Ruled out" in out
    assert "every" in out or "API major" in out
    for wrong in (
        ["--budget", "0"],
        ["--budget", "soon"],
        ["--jobs", "0"],
        ["--max-changes", "9"],
        ["--max-changes", "0"],
        ["--candidates", "/none"],
    ):
        assert main(["diagnose", *options(hopeless), *wrong]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_the_command_takes_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = with_report({**PLAIN, "api_minor": 0x22}, api_minor=22)
    path = tmp_path / "case.toml"
    sevlab.cases.case_toml.write_case(sevlab.cases.case.make_case(given), str(path))
    assert main(["diagnose", "--case", str(path)]) == 1
    assert "--api-minor  34 (0x22)  22 (0x16)" in capsys.readouterr().out


def test_keys_never_appear(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tk").write_bytes(TIK + TEK)
    given = {**with_report(PLAIN), "tk": str(tmp_path / "tk")}
    main(["diagnose", *options(given)])
    main(["diagnose", *options(given), "--json"])
    out = "".join(capsys.readouterr())
    assert "halves swapped" in out
    for key in (TIK, TEK):
        assert key.hex() not in out
        assert base64.b64encode(key).decode()[:20] not in out


def test_ctrl_c_ends_the_command_with_what_is_known() -> None:
    given = with_report(ES, key=bytes(range(16)))
    command = [sys.executable, "-m", "sevlab", "diagnose", *options(given)]
    # Whoever runs the tests in the background has Ctrl-C switched off, and what he starts inherits that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "it was interrupted" in out
    assert "Traceback" not in err
