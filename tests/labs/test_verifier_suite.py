"""The verifier suite: every test case against sevlab and a flawed verifier, and programs that misbehave."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given as for_any
from hypothesis import strategies as st

import sevlab
from sevlab.cli import main
from sevlab.data import INCIDENTS
from sevlab.errors import InputError, LayoutError
from sevlab.labs.verifier_suite.cases import (
    BASE,
    FLAWS,
    ORDER,
    Flaw,
    TestCase,
    VerifierInput,
    naive_signature,
    verify_input,
)
from sevlab.labs.verifier_suite.run import (
    FILES,
    LONGEST,
    PLACEHOLDERS,
    VALUES,
    Results,
    check_suite,
    check_words,
    fill_in,
    one_line,
    placeholders,
    run_suite_command,
    suite_files,
    suite_table,
    write_suite,
)
from sevlab.labs.verifier_suite.vectors import load_cases
from sevlab.simulator.curve import PRIME, multiply
from tests.peers import ROOT, run

CASES = {case.key: case for case in load_cases()}
INVALID, VALID, ACCEPTABLE = (
    [case for case in CASES.values() if case.result == result] for result in ("invalid", "valid", "acceptable")
)
#: What sevlab says of those about which right verifiers may differ; None for what it does not take for a report.
OURS = {
    "masked-chip-id": True,
    "version-4": True,
    "later-bit": True,
    "trailing-bytes": None,
    "after-signature": False,
    "other-cloud": True,
}
#: How sevlab's own command is told all that it can be told.
VERIFY = [
    "report",
    "verify",
    "{report}",
    "--vcek",
    "{vcek}",
    "--chain",
    "{chain}",
    "--crl",
    "{crl}",
    "--trust-root",
    "{root}",
    "--at",
    "{at}",
    "--measurement",
    "{measurement}",
    "--report-data",
    "{report_data}",
    "--host-data",
    "{host_data}",
    "--id-key-digest",
    "{id_key_digest}",
    "--min-tcb",
    "{min_tcb}",
    "--vmpl",
    "{vmpl}",
    "--forbid-debug",
    "--forbid-migration",
]


def keys(cases: list[TestCase]) -> list[str]:
    return [case.key for case in cases]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite") / "a suite"
    write_suite(str(folder), load_cases())
    return folder


def script(*lines: str) -> list[str]:
    """A program of a few lines that is told the report."""
    return [sys.executable, "-I", "-S", "-c", "\n".join(lines), "{report}"]


def one(words: list[str], key: str = "milan-v3", **more: Any) -> Any:
    return run_suite_command(words, load_cases([key]), **more)[key]


# The truth


@pytest.mark.parametrize("case", INVALID, ids=keys(INVALID))
def test_invalid(case: TestCase) -> None:
    verdict = verify_input(case.input)
    assert tuple(check.name for check in verdict.failed) == case.checks
    assert not verdict.matches
    assert case.flaw is not None
    assert case.flaw.accepts(case.input), "its flawed verifier refuses it"
    assert set(case.checks) <= set(case.flaw.checks) or case.flaw.prepare is not None


@pytest.mark.parametrize("case", VALID, ids=keys(VALID))
def test_valid(case: TestCase) -> None:
    assert verify_input(case.input).matches
    refusing = {key for key, flaw in FLAWS.items() if not flaw.accepts(case.input)}
    # These two refuse genuine reports, too: that is how they were found in the field (F38, F40).
    assert refusing == {"tcb-behind": {"tcb-current"}, "turin-v5": {"tcb-layout"}}.get(case.key, set())


@pytest.mark.parametrize("case", ACCEPTABLE, ids=keys(ACCEPTABLE))
def test_acceptable(case: TestCase) -> None:
    if OURS[case.key] is None:
        with pytest.raises(LayoutError, match="1200 bytes"):
            verify_input(case.input)
        assert case.flaw is not None
        assert case.flaw.accepts(case.input)
    else:
        assert verify_input(case.input).matches is OURS[case.key]


def test_every_flaw_has_a_test_case_that_finds_it() -> None:
    assert {case.flaw for case in CASES.values()} - {None} == set(FLAWS.values())
    lines = {check.name for check in verify_input(CASES["milan-v3"].input).checks}
    for flaw in FLAWS.values():
        assert set(flaw.checks) <= lines
        assert flaw.checks or flaw.prepare is not None
    blind = Flaw("blind", "nothing is looked at", tuple(lines))
    strict = Flaw("strict", "nothing is left out", ())
    assert all(blind.accepts(case.input) and not strict.accepts(case.input) for case in INVALID)


def test_a_weaker_check_still_checks() -> None:
    """What a flaw checks instead still refuses what other flaws accept."""
    refused = {
        "range": "flipped-bit",
        "missing": "older-leaf",
        "tcb-current": "older-leaf",
        "tcb-layout": "older-leaf",
        "chip-id-beginning": "other-chip",
        "tcb-number": "old-tcb",
        "put-together": "flipped-bit",
        "length": "flipped-bit",
    }
    weaker = {flaw.key for flaw in FLAWS.values() if flaw.instead is not None or flaw.prepare is not None}
    assert weaker == set(refused)
    for flaw, key in refused.items():
        assert not FLAWS[flaw].accepts(CASES[key].input), flaw


def test_no_two_test_cases_are_the_same() -> None:
    assert len(CASES) == len(load_cases()) == len({case.title for case in CASES.values()})
    assert len({case.input for case in CASES.values()}) == len(CASES)
    for case in CASES.values():
        assert all((case.title, case.comment, case.expected))
        assert case.incident in {"", *INCIDENTS}
        assert bool(case.incident_name) == bool(case.incident)
    assert {"F35", "F38", "F40", "F41", "F42", "F43", "F47", "F13", "A07", "A17", "A23"} == {
        case.incident for case in CASES.values()
    } - {""}


def test_the_documentation_has_every_test_case_and_every_name() -> None:
    page = (ROOT / "docs" / "verifier-suite.md").read_text()
    assert {key for key in CASES if f"`{key}`" not in page} == set()
    assert {name for name in PLACEHOLDERS if f"`{{{name}}}`" not in page} == set()
    assert f"OK: 0 of {len(INVALID)} invalid accepted, 0 of {len(VALID)} valid refused" in page


def test_a_report_by_another_route() -> None:
    """The library's own X.509 and ECDSA say the same, without a line of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # serial number 0
        for case in VALID:
            assert by_library(case.input), case.key
        for key in ("flipped-bit", "edited-measurement", "other-key", "zero-signature", "r-above-order"):
            assert not by_library(CASES[key].input), key
        for key in ("altered-vcek", "unsigned-vcek", "forged-ask", "other-chain"):
            assert not by_library(CASES[key].input), key
        for key in ("home-made-root", "expired-vcek", "other-chip", "older-leaf", "other-measurement", "debug-policy"):
            assert by_library(CASES[key].input), f"{key}: its signatures are right"
        leaf = x509.load_der_x509_certificate(CASES["expired-vcek"].input.vcek)
        assert leaf.not_valid_after_utc.year == 2025
        assert x509.load_der_x509_certificate(CASES["early-vcek"].input.vcek).not_valid_before_utc.year == 2044
        revoked = x509.load_der_x509_crl(CASES["revoked-ask"].input.crl)
        ask = x509.load_der_x509_certificate(CASES["revoked-ask"].input.ask)
        assert [entry.serial_number for entry in revoked] == [ask.serial_number]
        usage = x509.load_der_x509_certificate(CASES["ask-for-data"].input.ask).extensions
        assert not usage.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        home = x509.load_der_x509_certificate(CASES["home-made-root"].input.ark)
        true = x509.load_der_x509_certificate(CASES["home-made-root"].input.root)
        assert home.subject == true.subject
        assert home.public_key() != true.public_key()


def by_library(one: VerifierInput) -> bool:
    """Verify the signatures of a report and its chain, and nothing else."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    ask, ark = x509.load_pem_x509_certificates(one.chain)
    leaf = x509.load_der_x509_certificate(one.vcek)
    kind = hashes.SHA384()
    try:
        for signed, signer in ((ark, ark), (ask, ark), (leaf, ask)):
            key: Any = signer.public_key()
            pss = padding.PSS(padding.MGF1(kind), kind.digest_size)
            key.verify(signed.signature, signed.tbs_certificate_bytes, pss, kind)
        r, s = (int.from_bytes(one.report[start : start + 72], "little") for start in (0x2A0, 0x2E8))
        point: Any = leaf.public_key()
        point.verify(encode_dss_signature(r, s), one.report[:0x2A0], ec.ECDSA(kind))
    except InvalidSignature:
        return False
    return True


def test_naive_signatures() -> None:
    numbers = ec.derive_private_key(1, ec.SECP384R1()).public_key().public_numbers()
    assert (numbers.x, numbers.y) == BASE
    assert multiply(BASE, ORDER) is None
    assert multiply(BASE, ORDER - 1) == (BASE[0], PRIME - BASE[1])
    assert all(naive_signature(case.input) for case in VALID)
    assert not naive_signature(CASES["other-key"].input)
    no_key = replace(CASES["milan-v3"].input, vcek=CASES["milan-v3"].input.root)
    assert not naive_signature(no_key)


# Files


def test_files(folder: Path) -> None:
    table = json.loads((folder / "verifier-suite.json").read_text())
    assert table["format"] == "sevlab verifier-suite 1"
    assert [row["key"] for row in table["cases"]] == list(CASES)
    for row in table["cases"]:
        case = CASES[row["key"]]
        assert row["result"] == case.result
        assert set(row["values"]) == set(VALUES)
        for name, found in row["files"].items():
            content = (folder / found["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == found["sha256"]
            assert content == FILES[name][1](case.input)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == set(suite_files(load_cases()))
    assert json.loads(json.dumps(suite_table(load_cases()))) == table
    names = placeholders(CASES["milan-v3"], folder)
    assert set(names) == set(PLACEHOLDERS)
    assert Path(names["vcek_pem"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE-----\n")
    check_suite(str(folder), load_cases())


def test_the_same_to_the_last_byte(tmp_path: Path, folder: Path) -> None:
    made = run(
        [sys.executable, "-m", "sevlab", "verifier-suite", "make", "again"], tmp_path, variables={"PYTHONHASHSEED": "7"}
    )
    assert (made.status, made.first_line) == (
        0,
        "Wrote 433 files to again: 48 test cases (8 valid, 34 invalid, 6 acceptable), 29 flaws.",
    )
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_a_suite_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    assert write_suite(str(tmp_path / "empty"), load_cases(["milan-v3"])) == 10
    (tmp_path / "file").write_text("here before")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("empty", "file", "link", "file/below", "a\0b"):
        with pytest.raises(InputError, match="DIR"):
            write_suite(str(tmp_path / name), load_cases(["milan-v3"]))
    assert (tmp_path / "file").read_text() == "here before"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="no space left on device"):
        write_suite(str(tmp_path / "new"), load_cases(["milan-v3"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]


def test_a_folder_must_hold_this_suite(tmp_path: Path) -> None:
    write_suite(str(tmp_path / "suite"), load_cases(["milan-v3"]))
    report = tmp_path / "suite" / "milan-v3" / "report.bin"
    report.write_bytes(report.read_bytes() + b"x")
    with pytest.raises(InputError, match="which differs"):
        one(script("pass"), folder=str(tmp_path / "suite"))
    report.unlink()
    with pytest.raises(InputError, match="no such file"):
        one(script("pass"), folder=str(tmp_path / "suite"))


# Verifiers in Python


def test_sevlab_has_no_false_accepts() -> None:
    results = sevlab.labs.verifier_suite.run.run_verifier_suite(lambda given: verify_input(given).matches)
    assert results.passes
    assert results.false_accepts == results.false_rejects == []
    assert {outcome.case.key: outcome.accepted for outcome in results.of("acceptable")} == {
        k: bool(v) for k, v in OURS.items()
    }
    assert str(results).startswith(" OK: 0 of 34 invalid accepted, 0 of 8 valid refused \n")


def test_nothing_that_counts_is_no_ok() -> None:
    words = ["verifier-suite", "run", "--only", "masked-chip-id", "--", "true", "{report}"]
    assert main(words) == 1
    end = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)", "{report}"]
    killed = run_suite_command(end, INVALID[:1])
    assert (killed.false_accepts, killed.passes) == ([], False)
    acceptable = sevlab.labs.verifier_suite.run.run_verifier_suite(lambda given: True, only=["masked-chip-id"])
    assert "ERROR: 0 of 0 invalid accepted, 0 of 0 valid refused; no test case that counts" in str(acceptable)


def test_a_verifier_that_accepts_everything() -> None:
    results = sevlab.labs.verifier_suite.run.run_verifier_suite(lambda given: "yes")
    assert [outcome.case for outcome in results.false_accepts] == INVALID
    assert not results.false_rejects
    assert not results.passes
    assert "ERROR: 34 of 34 invalid accepted, 0 of 8 valid refused" in str(results)
    assert "the host may read the guest's memory. Flaw: a policy that allows debugging" in str(results)
    assert all(len(line) <= 101 for line in str(results).splitlines())


def test_a_verifier_that_accepts_nothing() -> None:
    def raises(given: VerifierInput) -> bool:
        raise ValueError(f"line\n{'x' * 9999}\x1b[31m")

    results = sevlab.labs.verifier_suite.run.run_verifier_suite(raises)
    assert [outcome.case for outcome in results.false_rejects] == VALID
    assert "It accepted nothing at all. Is it called correctly? For milan-v2: ValueError" in str(results)
    assert all(len(outcome.words) <= LONGEST + 3 and "\n" not in outcome.words for outcome in results.outcomes)
    assert results._repr_html_().count("<tr>") > len(CASES)


def test_a_verifier_that_leaves_refuses() -> None:
    """One that is made as a command calls sys.exit, which is no Exception."""
    (outcome,) = sevlab.labs.verifier_suite.run.run_verifier_suite(lambda given: sys.exit(1), ["milan-v3"]).outcomes
    assert (outcome.verdict, outcome.words) == ("refused", "SystemExit: 1")


def test_some_test_cases_only() -> None:
    results = sevlab.labs.verifier_suite.run.run_verifier_suite(
        lambda given: given.vmpl == 0, only=["replayed", "milan-v3"]
    )
    assert [outcome.case.key for outcome in results.outcomes] == ["milan-v3", "replayed"]
    assert results.as_dict()["false_accepts"] == ["replayed"]
    with pytest.raises(InputError, match="Try: milan-v3"):
        load_cases(["milan-v4"])


# Verifiers that are programs


def test_sevlab_as_a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own command line, told everything, on every case; in this process, because 48 starts take long."""
    for case in CASES.values():
        status = main([fill_in(word, placeholders(case, folder)) for word in VERIFY])
        said = capsys.readouterr()
        if case.result == "acceptable":
            assert status == {True: 0, False: 1, None: 2}[OURS[case.key]], case.key
        else:
            assert status == (0 if case.result == "valid" else 1), case.key
        if case.result == "invalid":
            first = said.out.splitlines()[0]
            assert ", ".join(case.checks) in first, case.key


def test_a_program_is_run(folder: Path) -> None:
    chosen = "milan-v3,home-made-root"
    command = [sys.executable, "-m", "sevlab", *VERIFY]
    done = run(
        [
            sys.executable,
            "-m",
            "sevlab",
            "verifier-suite",
            "run",
            "--only",
            chosen,
            "--dir",
            str(folder),
            "--",
            *command,
        ]
    )
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(" OK: 0 of 1 invalid accepted, 0 of 1 valid refused \n")
    assert "Said: ERROR: 1 of 29 checks fails: ARK known" in " ".join(done.out.split())


def test_it_gets_what_it_asks_for_and_no_shell(folder: Path, tmp_path: Path) -> None:
    lines = ["import sys, pathlib", "pathlib.Path(sys.argv[2]).write_text(repr(sys.argv[3:]))"]
    out, words = tmp_path / "out", ["--a={measurement}", "$(false); {{x}} {A} {}", "{key}", "{crl}"]
    assert one([*script(*lines), str(out), *words], folder=str(folder)).accepted
    given = CASES["milan-v3"].input
    crl = str(folder / "milan-v3" / "crl.der")
    assert out.read_text() == repr([f"--a={given.measurement.hex()}", "$(false); {x} {A} {}", "milan-v3", crl])


def test_the_exit_status_decides() -> None:
    for status in (0, 1, 2, 77, 255):
        outcome = one(script(f"print('to stdout'); raise SystemExit({status})"))
        assert (outcome.accepted, outcome.answered, outcome.words) == (status == 0, True, "to stdout")
    outcome = one(script("raise ValueError('no such report')"))
    assert (outcome.verdict, outcome.words) == ("refused", "ValueError: no such report")


def test_a_program_that_hangs_is_stopped() -> None:
    start = time.monotonic()
    outcome = one(script("import time; time.sleep(60)"), timeout=0.4)
    assert (outcome.accepted, outcome.answered, outcome.words) == (False, False, "stopped after 0.4 s")
    closed = one(script("import os, time; os.close(1); os.close(2); time.sleep(60)"), timeout=0.4)
    assert closed.verdict == "no answer"
    assert time.monotonic() - start < 10
    results = Results([outcome])
    assert not results.passes
    assert "; 1 without an answer" in str(results)
    assert "version 3. It was stopped after 0.4 s" in str(results)
    assert results.as_dict()["no_answer"] == ["milan-v3"]


def test_what_a_program_started_is_stopped_with_it(tmp_path: Path) -> None:
    """A child that keeps the output open neither delays the answer nor outlives it."""
    note = tmp_path / "pid"
    child = f"import time, os; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    lines = ["import subprocess, sys, time, pathlib", f"subprocess.Popen([sys.executable, '-c', {child!r}])"]
    lines += [f"note = pathlib.Path({str(note)!r})", "while not note.exists() or not note.read_text(): time.sleep(.01)"]
    start = time.monotonic()
    assert one(script(*lines), timeout=30).accepted
    assert time.monotonic() - start < 20
    pid = int(note.read_text())
    for _ in range(100):
        if not is_alive(pid):
            break
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_prints_without_end() -> None:
    flood = ["import os", "try:", "    while True: os.write(1, b'x' * 65536)", "except OSError: pass"]
    outcome = one(script(*flood), timeout=0.5)
    assert outcome.verdict == "no answer"
    outcome = one(script("import sys; sys.stdout.write('y' * 50_000_000)"), timeout=300)
    assert outcome.accepted
    assert len(outcome.words) == LONGEST + 3
    noise = one(script("import os; os.write(2, bytes(range(256)))"))
    assert noise.accepted
    assert noise.words.isprintable()


def test_a_program_that_crashes() -> None:
    outcome = one(script("import os; os.kill(os.getpid(), 11)"))
    assert (outcome.verdict, outcome.words) == ("no answer", "ended by SIGSEGV")
    assert one(script("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)")).words.startswith(
        "ended by signal 3"
    )


def test_commands_that_cannot_be_meant(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for words, said in (
        ([], "needed the program to run, after --"),
        (["x", "{reports}"], "'{reports}'; needed one of {key}, {report}"),
        (["x", "{vcek}"], "no {report}"),
        (["/does/not/exist", "{report}"], "'/does/not/exist': no such file or directory"),
        ([str(plain), "{report}"], "permission denied"),
        (["a\0b", "{report}"], "not a file name"),
    ):
        with pytest.raises(InputError, match="COMMAND") as refused:
            run_suite_command(words, load_cases(["milan-v3"]))
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)


@for_any(st.text(), st.sampled_from(sorted(PLACEHOLDERS)))
def test_braces(text: str, name: str) -> None:
    values = {known: f"<{known}>" for known in PLACEHOLDERS}
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert fill_in(doubled, values) == text
    assert fill_in(f"{doubled}{{{name}}}", values) == f"{text}<{name}>"
    check_words(["{report}", doubled])


@for_any(st.text(max_size=2000))
def test_what_others_say_is_one_line(text: str) -> None:
    assert all(" " <= char <= "~" for char in one_line(text))
    assert len(one_line(text)) <= LONGEST + 3


# The command line


def test_cli_list_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verifier-suite", "list"]) == 0
    text = capsys.readouterr().out
    assert all(key in text for key in (*CASES, *FLAWS))
    assert all(len(line) <= 100 for line in text.splitlines())
    assert main(["verifier-suite", "list", "--json", "--only", "debug-policy"]) == 0
    [row] = json.loads(capsys.readouterr().out)["cases"]
    assert (row["flaw"], row["checks"], row["incident"]) == ("debug", ["forbid_debug"], INCIDENTS["A07"].name)


def test_cli_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "suite")
    assert main(["verifier-suite", "make", target, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["files"], len(told["cases"])) == (target, 433, 48)
    assert main(["verifier-suite", "make", target]) == 2
    assert "which exists; needed a new folder, or an empty one" in capsys.readouterr().err


def test_cli_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verifier-suite", "run", "--only", "milan-v3,replayed", "--json", "--", "true", "{report}"]
    assert main(words) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["false_accepts"], told["false_rejects"]) == ("fail", ["replayed"], [])
    assert told["command"] == ["true", "{report}"]
    assert (
        main(["verifier-suite", "run", "--only", "milan-v3,replayed", "--skip", "replayed", "--", "true", "{report}"])
        == 0
    )
    assert "OK: 0 of 0 invalid accepted, 0 of 1 valid refused" in capsys.readouterr().out
    assert main(["verifier-suite", "run", "--only", "milan-v3", "--", "false", "{report}"]) == 1
    assert "It accepted nothing at all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verifier-suite"], "usage"),
        (["verifier-suite", "feed"], "one of list, make, run"),
        (["verifier-suite", "make"], "DIR"),
        (["verifier-suite", "list", "--", "true"], "no command after verifier-suite list"),
        (["verifier-suite", "run"], "COMMAND: received nothing"),
        (["verifier-suite", "run", "true", "{report}"], "more than it takes"),
        (["verifier-suite", "run", "--timeout", "0", "--", "true", "{report}"], "--timeout: received '0'"),
        (["verifier-suite", "run", "--timeout", "nan", "--", "true", "{report}"], "--timeout"),
        (["verifier-suite", "run", "--timeout", "9" * 400, "--", "true", "{report}"], "--timeout"),
        (["verifier-suite", "run", "--timeout", "soon", "--", "true", "{report}"], "--timeout"),
        (["verifier-suite", "run", "--only", "lion", "--", "true", "{report}"], "--only: received 'lion'"),
        (["verifier-suite", "run", "--skip", "", "--", "true", "{report}"], "--skip: received ''"),
        (["verifier-suite", "run", "--skip", ",".join(CASES), "--", "true", "{report}"], "at least one test case"),
        (
            ["verifier-suite", "run", "--dir", "/does/not/exist", "--", "true", "{report}"],
            "--dir: received 'milan-v2/report.bin'",
        ),
    ],
)
def test_cli_misuse(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
