"""What a terminal shows: stored texts of every verb at 80 and 120 columns, and what holds at any width."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from argparse import Action, Namespace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sevlab.cli import VERBS, main, meant
from sevlab.cli.terminal import SCREEN, columns, painter, say, show_answer
from sevlab.errors import is_shown
from sevlab.layout.views import VERDICTS, Banner, Heading, Paragraph, Quote, Table, View
from tests.cli.test_terminal import HOSTILE
from tests.commands import CASES, commands, write_inputs
from tests.make_screens import COMMANDS, FOLDER, WIDTHS, Terminal, screen, screens
from tests.parsers import FORMS, all_parsers, options
from tests.paths import ROOT
from tests.soak import many
from tests.test_house import RUN

#: Words that a line of a screen may begin with, and be longer than the terminal: what is copied whole.
COPIED = ("$ ", "    ", "id-block=", "Next: ", "With a report: ", "Or: ")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_stored_screens_are_not_stale(width: int) -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob(f"*-{width}.txt")}
    assert screens(width) == stored, "read what changed, then: python -m tests.make_screens"
    assert set(COMMANDS) == {"sevlab", *VERBS}


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_a_screen_is_as_wide_as_its_terminal(path: Path) -> None:
    width = int(path.stem.rpartition("-")[2])
    for line in path.read_text(encoding="utf-8").splitlines():
        assert len(line) <= width or line.startswith(COPIED) or " " not in line.strip(), line


@pytest.mark.parametrize("name", COMMANDS)
def test_no_width_breaks_a_word(name: str) -> None:
    """Every word of a narrow screen is one of the wide screen, or a part of hex, a path or an address."""
    narrow, wide = ((FOLDER / f"{name}-{width}.txt").read_text(encoding="utf-8") for width in WIDTHS)
    known, found = ({word.strip(".,:;()") for word in text.split()} for text in (wide, narrow))
    for word in found - known:
        if re.fullmatch(r"[\[\]A-Z|]+|-+|[0-9a-f]+\W*|\w*-\w*", word):
            continue  # a bar, a line, hex, a name in which a sign allows a break
        assert any(word in one and len(one) > 20 for one in known), word


def test_answers_fit_a_screen_and_say_how_to_see_more() -> None:
    found = 0
    for path in FOLDER.iterdir():
        for shown in path.read_text(encoding="utf-8").split("\n$ ")[1:]:
            _, *lines = shown.rstrip().splitlines()
            if "--verbose shows the rest" in shown:
                found += 1
                assert len(lines) <= SCREEN, shown  # the exit status among them
    assert found > 10


def lines_of(shown: str) -> list[str]:
    return shown.rstrip("\n").split("\n")


def characters(shown: str) -> list[str]:
    """All that is seen, however it is laid out."""
    return sorted(re.sub(r"Tried .* seconds|\d\d:\d\d:\d\d UTC|[\s-]", "", shown))


@pytest.mark.parametrize("verb", ["case verify", "diagnose --max-changes=1 --case", "advise --case"])
@pytest.mark.parametrize("path", sorted(CASES.glob("*.sevcase")), ids=lambda path: path.stem)
def test_every_incident_is_answered_on_one_screen(path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With every check that fails, and --verbose is all that a pipe gets."""
    words = [*verb.split(), str(path)]
    piped = main(words)
    out, err = capsys.readouterr()
    assert "/sevlab-" not in out + err  # a folder that is gone
    assert " 1 candidates " not in out
    if out and verb == "case verify":
        err = ""  # a terminal has in the answer what a pipe gets beside it
    for width in WIDTHS:
        status, shown = screen(words, width)
        assert status == piped
        assert len(lines_of(shown)) < SCREEN, shown
        assert characters(screen([*words, "--verbose"], width)[1]) == characters(out + err)
        assert out.partition("\n")[0][:60] in shown
    main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    shown = screen(words, 80)[1]
    for check in failing(found):
        assert re.search(rf"^(?:\w+ +)?{re.escape(check)} ", shown, re.MULTILINE), (check, shown)
    for change in [one for explanation in found.get("explanations", []) for one in explanation["changes"]]:
        assert re.search(rf"^(?:--\w*)?{re.escape(change['input'].partition('-')[0])}", shown, re.MULTILINE), shown


LONG = st.lists(
    st.sampled_from(["word", "ab" * 24, "/a/long/path" * 3, "it", "OK:", "0a 1b 2c 3d  4e 5f 6a"]), max_size=60
)
CHECKS = st.lists(st.tuples(st.sampled_from(["match", "mismatch", "not checked", "cannot tell"]), LONG), min_size=1)


@settings(max_examples=many(300, 30), deadline=None)
@given(parts=st.lists(CHECKS, min_size=1, max_size=3), notes=st.lists(LONG, max_size=3), width=st.integers(80, 120))
def test_whatever_an_answer_says_the_checks_that_fail_are_named(
    parts: list[list[tuple[str, list[str]]]], notes: list[list[str]], width: int
) -> None:
    """And each takes one line, if they would not fit on a screen otherwise."""
    blocks: list[Any] = [Banner("ERROR: it fails", "pink"), Paragraph("NOT ASKED: " + "this, " * 40)]
    wrong, all_of_them = [], 0
    for number, part in enumerate(parts):
        rows = [[f"check {number}.{i}", state, " ".join(note)] for i, (state, note) in enumerate(part)]
        wrong += [name for name, state, _ in rows if state in ("mismatch", "cannot tell")]
        all_of_them += len(rows)
        blocks += [Heading(f"part {number}"), Banner(f"ERROR: part {number} fails", "pink")]
        blocks += [Table(["check", "state", "note"], rows), Table(["detail"], [["x"]] * 40)]
    blocks += [Paragraph(f"NOTE: {' '.join(words)}") for words in notes] + [
        Paragraph("WARNING: " + "all " * 20 + "of it")
    ]
    terminal = Terminal()
    with mock.patch.dict(os.environ, {"COLUMNS": str(width), "TERM": "dumb"}), contextlib.redirect_stdout(terminal):
        show_answer(View(*blocks), Namespace(verbose=False), Paragraph("The last."))
    shown = terminal.getvalue()
    lines = lines_of(shown)
    assert lines[0] == " ERROR: it fails "
    for name in wrong:
        assert re.search(rf"^{re.escape(name)} ", shown, re.MULTILINE), (name, shown)
    for number in range(len(parts)):
        assert re.search(rf"^part {number} +ERROR: part {number} fails$", shown, re.MULTILINE)
    counted = sum(int(count) for count in re.findall(r"(\d+) (?:match|not checked)", shown))
    assert counted == all_of_them - len(re.findall(r"^check \d+\.\d+ ", shown, re.MULTILINE))
    assert "\nThe last.\n" in shown
    assert shown.split().count("all") == 20
    # The banner, the parts, the checks, what was not asked, the notes, the warning, and the two last lines.
    least = 2 + len(parts) + 2 + len(wrong) + (2 if wrong else 0) + 2 + len(notes) + 5 + 2
    assert len(lines) < max(SCREEN, least + 2), shown


def failing(found: dict[str, Any]) -> list[str]:
    """The names of what is wrong in the JSON of a verdict."""
    checks = [one for part in found.values() if isinstance(part, dict) for one in part.get("checks", [])]
    wrong = [one["name"] for one in checks if one["state"] in ("mismatch", "cannot tell")]
    return wrong + [one["key"] for one in found.get("findings", []) if one["state"] == "applies"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.mark.parametrize("verb", ["ovmf", "report", "advise", "session"])
def test_verbose_shows_all_and_changes_nothing_else(folder: Path, verb: str) -> None:
    words = [verb, *commands(folder)[verb]]
    (status, short), (same, long) = screen(words, 100), screen([*words, "--verbose"], 100)
    assert (status, short.splitlines()[0]) == (same, long.splitlines()[0])
    assert short.splitlines()[-1].endswith(".")
    assert "--verbose shows the rest" in short
    assert "--verbose shows the rest" not in long
    assert len(long) > len(short)
    assert screen([*words, "--json"], 100) == screen([*words, "--json", "--verbose"], 100)


@pytest.mark.parametrize("verb", ["ovmf", "report", "advise", "session"])
def test_a_pipe_gets_every_detail(folder: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [verb, *commands(folder)[verb]]
    shown = [(main([*words, *more]), capsys.readouterr().out) for more in ([], ["--verbose"])]
    assert shown[0] == shown[1]
    assert len(shown[0][1].splitlines()) > SCREEN


def test_an_answer_names_what_is_wrong_and_counts_the_rest(folder: Path) -> None:
    words = ["report", *commands(folder)["report"], "--forbid-smt"]
    status, shown = screen(words, 80)
    assert status == 1
    assert len(shown.splitlines()) <= SCREEN
    assert re.search(r"^forbid_smt +mismatch +the policy allows SMT", shown, re.MULTILINE)
    assert "The others: 16 match, 12 not checked." in shown
    assert "report signature" not in shown
    status, shown = screen(words[:-1], 80)
    assert status == 0
    assert len(shown.splitlines()) <= SCREEN
    assert re.search(r"^measurement +match +as required", shown, re.MULTILINE)
    assert re.search(r"^revocation +not checked ", shown, re.MULTILINE)
    assert "The others: 15 match, 12 not checked." in shown


def test_a_report_with_a_header_is_answered_in_the_first_line_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", *commands(folder)["report"]]
    raw, at = (folder / "report-snp.bin").read_bytes(), words.index(str(folder / "report-snp.bin"))
    assert main(words) == 0
    first = capsys.readouterr().out.partition("\n")[0]
    for status in (0, 0x16):
        path = tmp_path / "with-a-header.bin"
        path.write_bytes(status.to_bytes(4, "little") + len(raw).to_bytes(4, "little") + bytes(24) + raw)
        words[at] = str(path)
        assert main(words) == 0
        shown = capsys.readouterr().out
        assert shown.partition("\n")[0] == first
        assert "the 32 bytes before it are the header" in shown
        assert ("FINDING" in shown) == bool(status)
        seen = screen(words, 80)[1]
        assert len(lines_of(seen)) < SCREEN
        assert ("FINDING" in seen) == bool(status)


@pytest.mark.parametrize("at", [0, 3, 4, 20, 47])
def test_an_answer_shows_that_two_values_differ(folder: Path, at: int) -> None:
    *words, measurement = ["report", *commands(folder)["report"]]
    option, _, digits = measurement.partition("=")
    raw = bytearray.fromhex(digits)
    raw[at] ^= 1
    for width in WIDTHS:
        status, shown = screen([*words, f"{option}={raw.hex()}"], width)
        assert status == 1
        row = "".join(shown.partition("\nmeasurement ")[2].partition("\n\n")[0].split())
        found = re.fullmatch(r"mismatchreportedis([0-9a-f]+)(?:\.\.\.)?,requiredis([0-9a-f]+)(?:\.\.\.)?", row)
        assert found
        assert found[1] != found[2]


def test_a_strict_answer_names_what_it_fails_for(folder: Path) -> None:
    words = ["advise", "--report", str(folder / "report-snp.bin")]
    shown = screen(words, 120)[1]
    assert "  unknown  " not in shown
    undecided = re.search(r"(\d+) cannot be decided", shown)
    assert undecided
    assert screen([*words, "--strict"], 120)[1].count("  unknown  ") == int(undecided[1])


# Widths.


@pytest.mark.parametrize(
    ("given", "size", "wide"),
    [
        ("80", 100, 80),
        ("", 97, 97),
        ("0", 97, 97),
        ("x", 97, 97),
        ("-5", 97, 97),
        ("٣٠٠", 97, 97),
        ("9" * 5000, 97, 97),
        ("10", 97, 40),
        ("3000", 97, 120),
        ("", 0, 80),
        ("", 20, 40),
    ],
)
def test_the_width_is_that_of_the_terminal(given: str, size: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", given)
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((size, 24)))
    monkeypatch.setattr(Terminal, "fileno", lambda self: 1)
    assert columns(Terminal()) == wide


def test_a_pipe_has_one_width_whatever_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for wide in ("", "80", "200"):
        monkeypatch.setenv("COLUMNS", wide)
        assert columns(io.StringIO()) == 0
        stream = io.StringIO()
        say("word " * 60, to=stream)
        assert stream.getvalue() == "word " * 60 + "\n"


def test_a_terminal_that_cannot_say_its_width_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert columns(Terminal()) == 80


WORDS = st.lists(
    st.sampled_from([*VERDICTS, "a", "word", "x" * 50, "ab" * 40, "0x" + "1f" * 40, "/a/long/" * 9, "a-b" * 20, "\n"])
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30),
    max_size=8,
).map(" ".join)


@settings(max_examples=many(500, 50), deadline=None)
@given(table=st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=4), width=st.integers(20, 130))
@example(table=[("A", "f", "ab cd ef 01  23 45 67 89  ab cd", "words")], width=40)
def test_a_table_wraps_within_its_columns(table: list[tuple[str, ...]], width: int) -> None:
    shown = Table(["", "field", "bytes", "meaning"], table).text(width=width)
    for line in shown.split("\n"):
        assert len(line) <= width + len("... "), line
    for row in table:
        for cell in row:
            assert not set("".join(cell.split())) - set(shown)


@settings(max_examples=many(500, 50))
@given(words=WORDS, width=st.integers(20, 130))
def test_prose_breaks_between_words_alone(words: str, width: int) -> None:
    for block in (Paragraph(words), Heading(words), Banner(words, "green"), Quote("It says:", words)):
        lines = [line for line in block.text(width=width).split("\n") if line.strip()]
        if isinstance(block, Paragraph):
            assert [word for line in lines for word in line.removeprefix("... ").split()] == words.split()
        else:
            assert all(len(line) <= width + len("... ") for line in lines)


def test_hex_breaks_between_bytes() -> None:
    digest = bytes(range(48)).hex()
    for width in range(30, 120):
        shown = Table(["name", "value"], [["digest", digest]]).text(width=width).split("\n")[1:]
        assert "".join(line[8:].strip() for line in shown) == digest
        assert all(len(line[8:].strip()) % 2 == 0 for line in shown)


def test_a_command_to_copy_is_never_wrapped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a case with a name of many words that is longer than any terminal of today " * 2 + ".toml"
    _, shown = screen(
        [
            "capture",
            "--domlaunchsecinfo",
            str(folder / "launch.txt"),
            f"--tk={folder}/tk.bin",
            f"--firmware={folder}/firmware.fd",
            "-o",
            name,
        ],
        80,
    )
    assert f"\nNext: sevlab validate --case '{name}'\n" in shown


# Colour.


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_can_be_refused(variables: dict[str, str], is_coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in painter(Terminal())("x", "green")) == is_coloured
    assert painter(io.StringIO())("x", "green") == "x"


# What is not imported.

#: As :data:`tests.test_house.RUN`, on a terminal.
RUN_ON_A_TERMINAL = RUN.replace("io.StringIO()", "Terminal()").replace(
    "before =", "Terminal = type('Terminal', (io.StringIO,), {'isatty': lambda self: True})\nbefore ="
)


@pytest.mark.parametrize("run", [RUN, RUN_ON_A_TERMINAL], ids=["pipe", "terminal"])
@pytest.mark.parametrize("verb", ["validate", "explain"])
def test_a_verdict_imports_nothing_that_only_a_mistake_needs(folder: Path, verb: str, run: str) -> None:
    words = [verb, *commands(folder)[verb]]
    command = [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){run}", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"TERM": "dumb", "COLUMNS": "80"}, check=True, timeout=60
    )
    status, modules = json.loads(done.stdout)
    assert status == 0
    assert {"difflib", "shutil", "shtab", "rich", "typing", "dataclasses"}.isdisjoint(modules)
    assert verb == "explain" or {"textwrap", "sevlab.layout.views"}.isdisjoint(modules)


# Mistyped words.


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("valdate", "Did you mean validate?"),
        ("VALIDATE", "Did you mean validate?"),
        ("verifier_suite", "Did you mean verifier-suite?"),
        ("--versoin", "Did you mean --version?"),
        ("case shwo x", "Did you mean show?"),
        ("id-block bulid", "Did you mean build?"),
        ("validate --polcy 3", "Did you mean --policy?"),
        ("validate --POLICY=3", "Did you mean --policy?"),
        ("id-block build --measurment 3 --idkey x", "Did you mean --measurement?"),
        ("chain verify --jsom x", "Did you mean --json?"),
        ("session open --pdhkey x a b", "Did you mean --pdh-key?"),
        ("diagnose --mode snp --vcpu-tipe x", "Did you mean --vcpu-type?"),
        ("diagnose --mode snpp", "Did you mean snp?"),
        ("digest --mode sev-es", "Did you mean seves?"),
        ("digest --mode amd-SEV-SNP", "Did you mean snp?"),
        ("digest --mode snp --firmware FIRMWARE", "Did you mean --ovmf?"),
        ("validate --ovmf FIRMWARE", "Did you mean --firmware?"),
        ("report FIRMWARE", "Try: sevlab report show "),
        ("digest --mode snp --ovmf FIRMWARE --vcpu-type epyc-mlan", "Did you mean EPYC-Milan"),
        ("digest --mode snp --ovmf FIRMWARE --vcpu-type EPYC --profile qemuu", "Did you mean qemu?"),
        ("vmsa build x --cpu 0 --profile qemu_legacy", "Did you mean qemu-legacy?"),
        ("profiles ecc2", "Did you mean ec2?"),
        ("profiles --matrix --mode sevse", "Did you mean seves?"),
        ("digest --mode snp --output-format bas64", "Did you mean base64?"),
        ("digest --mode snp --ovmf FIRMWARE --vcpu-type EPYC --vmm-type qmeu", "Did you mean QEMU?"),
        ("advise --product Miln", "Did you mean Milan?"),
    ],
)
def test_a_mistyped_word_is_asked_about(
    words: str, question: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.replace("FIRMWARE", str(folder / "firmware-snp.fd")).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert question in err


@pytest.mark.parametrize("words", ["qqqq", "validate --qqqq", "case qqqq", "validate", "validate --case /none", "vmsa"])
def test_nothing_is_asked_where_nothing_is_like_it(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert "Did you mean" not in capsys.readouterr().err


@given(word=st.text(max_size=99), known=st.lists(st.text(max_size=20)))
@example(word="x" * 10_000_000, known=["x"])
def test_a_question_names_a_known_word(word: str, known: list[str]) -> None:
    asked = meant(word, known)
    assert not asked or asked.removeprefix("Did you mean ").removesuffix("?") in known


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_help_before_a_verb_is_the_verbs_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "ovmf"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("usage: sevlab ovmf ")
    assert main(["ovmf", "--help"]) == 0
    assert capsys.readouterr().out == first
    assert main([word, "case", "verify"]) == 0
    assert capsys.readouterr().out.startswith("usage: sevlab case verify ")
    for more in (["lab", "--"], ["lab", "--copy-only"], ["verifier-suite", "run", "--", "true", "{report}"]):
        assert main([word, *more]) == 0
        assert capsys.readouterr().out.startswith(f"usage: sevlab {more[0]} ")
    assert main([word, "ovfm"]) == 2
    assert "Did you mean ovmf?" in capsys.readouterr().err


def test_an_option_before_the_action_is_looked_at_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "--hlep"]) == 2
    assert "Did you mean --help?" in capsys.readouterr().err


# Strangers' words in any option of any verb.

#: What is not run with a stranger's words: it would start a server, or a program.
PARSERS = {name: one for name, one in all_parsers().items() if name not in ("lab", "verifier-suite run")}
OPTIONS = [(name, action) for name, one in PARSERS.items() for action in options(one) if action.nargs != 0]
FORGERY = "\nOK: FORGED\nERROR: FORGED\x1b[2J\u202e\u2028"


def words_of(name: str, action: Action, value: str) -> list[str]:
    """A command in which one option or argument has *value*, and what the verb requires is there."""
    parser, found = PARSERS[name], name.split()
    for other in options(parser):
        if other is not action and other.required and other.option_strings:
            found += [other.option_strings[0], "1"]
    given = [f"{action.option_strings[-1]}={value}"] if action.option_strings else []
    if action.option_strings and not action.option_strings[-1].startswith("--"):
        given = [action.option_strings[-1], value]
    places = [value if one is action else "none" for one in options(parser) if not one.option_strings]
    return [*found, *given, "--", *places] if places else [*found, *given]


@settings(max_examples=many(4000, 250), deadline=None)
@given(which=st.sampled_from(OPTIONS), hostile=st.sampled_from([*HOSTILE.values()]), text=st.text(max_size=40))
@example(which=OPTIONS[0], hostile="", text="x" * 10_000_000)
def test_hostile_words_reach_the_terminal_dead(which: tuple[str, Action], hostile: str, text: str) -> None:
    assert_dead(words_of(*which, f"{text}{hostile}{FORGERY}"))


@pytest.mark.parametrize("name", PARSERS)
def test_ten_megabytes_reach_the_terminal_short(name: str) -> None:
    """As the first option or argument, as an option's name, and as one word too many."""
    for times in (1_500_000, 16_000):  # the first is more than Linux hands on
        text = "\x1b]0;x\x07" * times
        for words in ([f"--{text}"], [text], [f"--{text}", "--json"]):
            assert_dead([*name.split(), *words])
        for action in options(PARSERS[name])[:1]:
            assert_dead(words_of(name, action, text))


def assert_dead(words: list[str]) -> None:
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""))):
        status, shown = screen(words, 80)
    assert status in (0, 1, 2)
    assert len(shown) < 100_000
    assert all(c == "\n" or is_shown(c) for c in shown), ascii(shown)
    assert not re.search(rf"^\W{{0,2}}(?:{'|'.join(VERDICTS)})\W*FORGED", shown, re.MULTILINE), shown


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an option may well name a file to write


def test_the_forms_of_a_verb_are_among_the_parsers() -> None:
    assert {f"{verb} {' '.join(words)}" for verb, words in FORMS.items()} < set(all_parsers())
    assert View(Paragraph("a"), View(Heading("b"))).flat()[1].text() == "b\n-"  # type: ignore[attr-defined]
