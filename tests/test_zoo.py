"""The verifier zoo: every animal against sevlab, against its careless verifier, and against programs that misbehave."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import warnings
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
from sevlab.simulator.curve import PRIME, multiply
from sevlab.zoo import LAPSES, Animal, Given, Lapse, Trial, judge, run_zoo_command, zoo, zoo_files, zoo_table
from sevlab.zoo.command import check_words, fill_in
from sevlab.zoo.files import FILES, PLACEHOLDERS, VALUES, check_zoo, placeholders, write_zoo
from sevlab.zoo.naive import BASE, ORDER, naive_signature
from sevlab.zoo.trial import LONGEST, shown
from tests.peers import ROOT, run

ANIMALS = {animal.key: animal for animal in zoo()}
BAD = [animal for animal in ANIMALS.values() if animal.accept is False]
CONTROLS = [animal for animal in ANIMALS.values() if animal.accept]
OPEN = [animal for animal in ANIMALS.values() if animal.accept is None]
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


def keys(animals: list[Animal]) -> list[str]:
    return [animal.key for animal in animals]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "a zoo"
    write_zoo(str(folder), zoo())
    return folder


def script(*lines: str) -> list[str]:
    """A program of a few lines that is told the report."""
    return [sys.executable, "-I", "-S", "-c", "\n".join(lines), "{report}"]


def one(words: list[str], key: str = "milan-v3", **more: Any) -> Any:
    return run_zoo_command(words, zoo([key]), **more)[key]


# The truth


@pytest.mark.parametrize("animal", BAD, ids=keys(BAD))
def test_bad(animal: Animal) -> None:
    verdict = judge(animal.given)
    assert tuple(check.name for check in verdict.failed) == animal.lines
    assert not verdict.matches
    assert animal.lapse is not None
    assert animal.lapse.accepts(animal.given), "its careless verifier refuses it"
    assert set(animal.lines) <= set(animal.lapse.lines) or animal.lapse.prepare is not None


@pytest.mark.parametrize("animal", CONTROLS, ids=keys(CONTROLS))
def test_control(animal: Animal) -> None:
    assert judge(animal.given).matches
    refusing = {key for key, lapse in LAPSES.items() if not lapse.accepts(animal.given)}
    # These two refuse genuine reports, too: that is how they were found in the field (F38, F40).
    assert refusing == {"tcb-behind": {"tcb-current"}, "turin-v5": {"tcb-layout"}}.get(animal.key, set())


@pytest.mark.parametrize("animal", OPEN, ids=keys(OPEN))
def test_open(animal: Animal) -> None:
    if OURS[animal.key] is None:
        with pytest.raises(LayoutError, match="1200 bytes"):
            judge(animal.given)
        assert animal.lapse is not None
        assert animal.lapse.accepts(animal.given)
    else:
        assert judge(animal.given).matches is OURS[animal.key]


def test_every_careless_check_has_an_animal_that_needs_it() -> None:
    assert {animal.lapse for animal in ANIMALS.values()} - {None} == set(LAPSES.values())
    lines = {check.name for check in judge(ANIMALS["milan-v3"].given).checks}
    for lapse in LAPSES.values():
        assert set(lapse.lines) <= lines
        assert lapse.lines or lapse.prepare is not None
    blind = Lapse("blind", "nothing is looked at", tuple(lines))
    strict = Lapse("strict", "nothing is left out", ())
    assert all(blind.accepts(animal.given) and not strict.accepts(animal.given) for animal in BAD)


def test_a_weaker_check_still_checks() -> None:
    """What stands in the place of a line refuses what other lapses let through."""
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
    weaker = {lapse.key for lapse in LAPSES.values() if lapse.instead is not None or lapse.prepare is not None}
    assert weaker == set(refused)
    for lapse, key in refused.items():
        assert not LAPSES[lapse].accepts(ANIMALS[key].given), lapse


def test_animals_are_told_apart() -> None:
    assert len(ANIMALS) == len(zoo()) == len({animal.title for animal in ANIMALS.values()})
    assert len({animal.given for animal in ANIMALS.values()}) == len(ANIMALS)
    for animal in ANIMALS.values():
        assert all((animal.title, animal.wrong, animal.right))
        assert animal.incident in {"", *INCIDENTS}
        assert bool(animal.incident_name) == bool(animal.incident)
    assert {"F35", "F38", "F40", "F41", "F42", "F43", "F47", "F13", "A07", "A17", "A23"} == {
        animal.incident for animal in ANIMALS.values()
    } - {""}


def test_the_documentation_tells_every_animal_and_every_name() -> None:
    page = (ROOT / "docs" / "zoo.md").read_text()
    assert {key for key in ANIMALS if f"`{key}`" not in page} == set()
    assert {name for name in PLACEHOLDERS if f"`{{{name}}}`" not in page} == set()
    assert f"none of {len(BAD)} bad ones accepted, all of {len(CONTROLS)} genuine ones" in page


def test_a_report_by_another_route() -> None:
    """The library's own X.509 and ECDSA say the same, without a line of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # serial number 0
        for animal in CONTROLS:
            assert by_library(animal.given), animal.key
        for key in ("flipped-bit", "edited-measurement", "other-key", "zero-signature", "r-above-order"):
            assert not by_library(ANIMALS[key].given), key
        for key in ("altered-vcek", "unsigned-vcek", "forged-ask", "other-chain"):
            assert not by_library(ANIMALS[key].given), key
        for key in ("home-made-root", "expired-vcek", "other-chip", "older-leaf", "other-measurement", "debug-policy"):
            assert by_library(ANIMALS[key].given), f"{key}: its signatures are right"
        leaf = x509.load_der_x509_certificate(ANIMALS["expired-vcek"].given.vcek)
        assert leaf.not_valid_after_utc.year == 2025
        assert x509.load_der_x509_certificate(ANIMALS["early-vcek"].given.vcek).not_valid_before_utc.year == 2044
        revoked = x509.load_der_x509_crl(ANIMALS["revoked-ask"].given.crl)
        ask = x509.load_der_x509_certificate(ANIMALS["revoked-ask"].given.ask)
        assert [entry.serial_number for entry in revoked] == [ask.serial_number]
        usage = x509.load_der_x509_certificate(ANIMALS["ask-for-data"].given.ask).extensions
        assert not usage.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        home = x509.load_der_x509_certificate(ANIMALS["home-made-root"].given.ark)
        true = x509.load_der_x509_certificate(ANIMALS["home-made-root"].given.root)
        assert home.subject == true.subject
        assert home.public_key() != true.public_key()


def by_library(one: Given) -> bool:
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
    assert all(naive_signature(animal.given) for animal in CONTROLS)
    assert not naive_signature(ANIMALS["other-key"].given)
    no_key = ANIMALS["milan-v3"].given._replace(vcek=ANIMALS["milan-v3"].given.root)
    assert not naive_signature(no_key)


# Files


def test_files(folder: Path) -> None:
    table = json.loads((folder / "zoo.json").read_text())
    assert table["format"] == "sevlab zoo 1"
    assert [row["key"] for row in table["animals"]] == list(ANIMALS)
    for row in table["animals"]:
        animal = ANIMALS[row["key"]]
        assert row["accept"] is animal.accept
        assert set(row["values"]) == set(VALUES)
        for name, found in row["files"].items():
            content = (folder / found["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == found["sha256"]
            assert content == FILES[name][1](animal.given)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == set(zoo_files(zoo()))
    assert json.loads(json.dumps(zoo_table(zoo()))) == table
    names = placeholders(ANIMALS["milan-v3"], folder)
    assert set(names) == set(PLACEHOLDERS)
    assert Path(names["vcek_pem"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE-----\n")
    check_zoo(str(folder), zoo())


def test_the_same_to_the_last_byte(tmp_path: Path, folder: Path) -> None:
    made = run([sys.executable, "-m", "sevlab", "zoo", "make", "again"], tmp_path, variables={"PYTHONHASHSEED": "7"})
    assert (made.status, made.first_line) == (
        0,
        "Wrote 433 files to again: 48 animals (8 control, 34 bad, 6 open), 29 careless checks.",
    )
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_a_zoo_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    assert write_zoo(str(tmp_path / "empty"), zoo(["milan-v3"])) == 10
    (tmp_path / "file").write_text("here before")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("empty", "file", "link", "file/below", "a\0b"):
        with pytest.raises(InputError, match="DIR"):
            write_zoo(str(tmp_path / name), zoo(["milan-v3"]))
    assert (tmp_path / "file").read_text() == "here before"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="no space left on device"):
        write_zoo(str(tmp_path / "new"), zoo(["milan-v3"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]


def test_a_folder_must_hold_what_the_truth_is_about(tmp_path: Path) -> None:
    write_zoo(str(tmp_path / "zoo"), zoo(["milan-v3"]))
    report = tmp_path / "zoo" / "milan-v3" / "report.bin"
    report.write_bytes(report.read_bytes() + b"x")
    with pytest.raises(InputError, match="which is another"):
        one(script("pass"), folder=str(tmp_path / "zoo"))
    report.unlink()
    with pytest.raises(InputError, match="no such file"):
        one(script("pass"), folder=str(tmp_path / "zoo"))


# Verifiers in Python


def test_sevlab_lets_nothing_through() -> None:
    trial = sevlab.run_zoo(lambda given: judge(given).matches)
    assert trial.passes
    assert trial.let_through == trial.wrongly_refused == []
    assert {outcome.animal.key: outcome.accepted for outcome in trial.of("open")} == {
        k: bool(v) for k, v in OURS.items()
    }
    assert str(trial).startswith(" OK: none of 34 bad ones accepted, all of 8 genuine ones \n")


def test_a_verifier_that_accepts_everything() -> None:
    trial = sevlab.run_zoo(lambda given: "yes")
    assert [outcome.animal for outcome in trial.let_through] == BAD
    assert not trial.wrongly_refused
    assert not trial.passes
    assert "ERROR: 34 of 34 bad ones accepted, 0 of 8 genuine ones not" in str(trial)
    assert "the host may read the guest's memory. Careless: a policy that allows debugging" in str(trial)
    assert all(len(line) <= 101 for line in str(trial).splitlines())


def test_a_verifier_that_accepts_nothing() -> None:
    def raises(given: Given) -> bool:
        raise ValueError(f"line\n{'x' * 9999}\x1b[31m")

    trial = sevlab.run_zoo(raises)
    assert [outcome.animal for outcome in trial.wrongly_refused] == CONTROLS
    assert "It accepted nothing at all. Is it called in the right way? For milan-v2: ValueError" in str(trial)
    assert all(len(outcome.words) <= LONGEST + 3 and "\n" not in outcome.words for outcome in trial.outcomes)
    assert trial._repr_html_().count("<tr>") > len(ANIMALS)


def test_some_animals_only() -> None:
    trial = sevlab.run_zoo(lambda given: given.vmpl == 0, only=["replayed", "milan-v3"])
    assert [outcome.animal.key for outcome in trial.outcomes] == ["milan-v3", "replayed"]
    assert trial.as_dict()["let_through"] == ["replayed"]
    with pytest.raises(InputError, match="Try: milan-v3"):
        zoo(["milan-v4"])


# Verifiers that are programs


def test_sevlab_as_a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own command line, told everything, on every animal; in this process, because 48 starts take long."""
    for animal in ANIMALS.values():
        status = main([fill_in(word, placeholders(animal, folder)) for word in VERIFY])
        said = capsys.readouterr()
        if animal.accept is None:
            assert status == {True: 0, False: 1, None: 2}[OURS[animal.key]], animal.key
        else:
            assert status == (0 if animal.accept else 1), animal.key
        if animal.accept is False:
            first = said.out.splitlines()[0]
            assert ", ".join(animal.lines) in first, animal.key


def test_a_program_is_run(folder: Path) -> None:
    chosen = "milan-v3,home-made-root"
    command = [sys.executable, "-m", "sevlab", *VERIFY]
    done = run([sys.executable, "-m", "sevlab", "zoo", "run", "--only", chosen, "--dir", str(folder), "--", *command])
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(" OK: none of 1 bad ones accepted, all of 1 genuine ones \n")
    assert "Said: ERROR: 1 of 29 checks fails: ARK known" in " ".join(done.out.split())


def test_it_gets_what_it_asks_for_and_no_shell(folder: Path, tmp_path: Path) -> None:
    lines = ["import sys, pathlib", "pathlib.Path(sys.argv[2]).write_text(repr(sys.argv[3:]))"]
    out, words = tmp_path / "out", ["--a={measurement}", "$(false); {{x}} {A} {}", "{key}", "{crl}"]
    assert one([*script(*lines), str(out), *words], folder=str(folder)).accepted
    given = ANIMALS["milan-v3"].given
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
    trial = Trial([outcome])
    assert not trial.passes
    assert "; 1 without an answer" in str(trial)
    assert "version 3. It was stopped after 0.4 s" in str(trial)
    assert trial.as_dict()["no_answer"] == ["milan-v3"]


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
        ([], "needed the program to try, behind --"),
        (["x", "{reports}"], "'{reports}'; needed one of {key}, {report}"),
        (["x", "{vcek}"], "no {report}"),
        (["/does/not/exist", "{report}"], "'/does/not/exist': no such file or directory"),
        ([str(plain), "{report}"], "permission denied"),
        (["a\0b", "{report}"], "cannot be started"),
    ):
        with pytest.raises(InputError, match="COMMAND") as refused:
            run_zoo_command(words, zoo(["milan-v3"]))
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
    assert all(" " <= char <= "~" for char in shown(text))
    assert len(shown(text)) <= LONGEST + 3


# The command line


def test_cli_list_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "list"]) == 0
    text = capsys.readouterr().out
    assert all(key in text for key in (*ANIMALS, *LAPSES))
    assert all(len(line) <= 100 for line in text.splitlines())
    assert main(["zoo", "list", "--json", "--only", "debug-policy"]) == 0
    [row] = json.loads(capsys.readouterr().out)["animals"]
    assert (row["lapse"], row["lines"], row["incident"]) == ("debug", ["forbid_debug"], INCIDENTS["A07"].name)


def test_cli_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "zoo")
    assert main(["zoo", "make", target, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["files"], len(told["animals"])) == (target, 433, 48)
    assert main(["zoo", "make", target]) == 2
    assert "which exists; needed a new folder, or an empty one" in capsys.readouterr().err


def test_cli_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["zoo", "run", "--only", "milan-v3,replayed", "--json", "--", "true", "{report}"]
    assert main(words) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["let_through"], told["wrongly_refused"]) == ("fail", ["replayed"], [])
    assert told["command"] == ["true", "{report}"]
    assert main(["zoo", "run", "--only", "milan-v3,replayed", "--skip", "replayed", "--", "true", "{report}"]) == 0
    assert "OK: none of 0 bad ones accepted, all of 1 genuine ones" in capsys.readouterr().out
    assert main(["zoo", "run", "--only", "milan-v3", "--", "false", "{report}"]) == 1
    assert "It accepted nothing at all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zoo"], "usage"),
        (["zoo", "feed"], "invalid choice"),
        (["zoo", "make"], "DIR"),
        (["zoo", "list", "--", "true"], "no command behind zoo list"),
        (["zoo", "run"], "COMMAND: received nothing"),
        (["zoo", "run", "true", "{report}"], "unrecognized arguments"),
        (["zoo", "run", "--timeout", "0", "--", "true", "{report}"], "--timeout: received '0'"),
        (["zoo", "run", "--timeout", "nan", "--", "true", "{report}"], "--timeout"),
        (["zoo", "run", "--timeout", "9" * 400, "--", "true", "{report}"], "--timeout"),
        (["zoo", "run", "--timeout", "soon", "--", "true", "{report}"], "--timeout"),
        (["zoo", "run", "--only", "lion", "--", "true", "{report}"], "--only: received 'lion'"),
        (["zoo", "run", "--skip", "", "--", "true", "{report}"], "--skip: received ''"),
        (["zoo", "run", "--skip", ",".join(ANIMALS), "--", "true", "{report}"], "at least one animal"),
        (["zoo", "run", "--dir", "/does/not/exist", "--", "true", "{report}"], "--dir: received 'milan-v2/report.bin'"),
    ],
)
def test_cli_misuse(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
