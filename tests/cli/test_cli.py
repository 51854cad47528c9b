"""The command line: first lines, exit statuses, JSON, files, and inputs from hell."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sevlab
from sevlab import cli
from sevlab.cli import main
from sevlab.cli.options import sentence
from sevlab.labs import sample_files, samples
from tests.soak import many

GOOD = "OK: Looks good to me"
BAD = "ERROR: Measurement does not match, VM is not trustworthy"
NUMBERS = {"--api-major": "0", "--api-minor": "22", "--build-id": "13", "--policy": "1"}
BOTH = pytest.mark.parametrize("verb", ["validate", "explain"])
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    sample_files.write_samples(folder)
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    return folder


@pytest.fixture(scope="module")
def right(folder: Path) -> dict[str, str]:
    """Options of a launch that validates."""
    keys = {f"--{name}": str(folder / f"{name}.bin") for name in ("tik", "tek")}
    text = base64.b64encode(samples.measurement()).decode()
    return {"--measurement": text, **NUMBERS, "--firmware": str(folder / "firmware.fd"), **keys}


def words(options: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]


def process(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run it as people do."""
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run(
        [sys.executable, "-m", "sevlab", *argv], capture_output=True, text=True, timeout=300, **options
    )


def assert_refused(status: int, out: str, err: str) -> None:
    """How every bad input ends: status 2, nothing but one printable line."""
    assert (status, out) == (2, "")
    assert err.startswith("ERROR: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()


def assert_behaved(status: int, out: str, err: str) -> None:
    """Good, mismatch, or refused; never an error of ours."""
    assert status in (0, 1, 2)
    assert "Traceback" not in out + err
    assert err.count("ERROR: ") == (0 if status == 0 or "VM is not trustworthy" in out else 1)
    if status == 2:
        assert_refused(status, out, err)


def test_validate_says_what_scripts_wait_for(run: Run, right: dict[str, str]) -> None:
    assert run("validate", *words(right)) == (0, f"{GOOD}\n", "")
    status, out, err = run("validate", *words({**right, "--build-id": "12"}))
    assert (status, out, err.splitlines()[0]) == (1, "", BAD)


def test_quiet_leaves_the_status_only(run: Run, right: dict[str, str]) -> None:
    for option in ("--quiet", "-q"):
        assert run("validate", *words(right), option) == (0, "", "")
        assert run("validate", *words({**right, "--policy": "3"}), option) == (1, "", "")
        assert_refused(*run("validate", *words({**right, "--policy": "x"}), option))


def test_explain_has_the_status_of_validate(run: Run, right: dict[str, str]) -> None:
    status, out, err = run("explain", *words(right))
    assert (status, out.splitlines()[0].strip(), err) == (0, GOOD, "")
    status, out, err = run("explain", *words({**right, "--policy": "3"}))
    assert (status, out.splitlines()[0].strip(), err) == (1, BAD, "")


@pytest.mark.parametrize("option", NUMBERS)
@BOTH
def test_hex_numbers_are_decimal_numbers(run: Run, right: dict[str, str], verb: str, option: str) -> None:
    for value in (int(NUMBERS[option]), int(NUMBERS[option]) + 1):
        results = [
            run(verb, *words({**right, option: form})) for form in (f"{value}", f"0x{value:x}", f"0X{value:02X}")
        ]
        assert results[0] == results[1] == results[2]
        assert results[0][0] == (value != int(NUMBERS[option]))


@BOTH
@pytest.mark.parametrize("form", ["tk", "short letters", "two words", "abbreviated"])
def test_options_in_every_form(run: Run, right: dict[str, str], folder: Path, verb: str, form: str) -> None:
    if form == "tk":
        rest = {name: value for name, value in right.items() if name not in ("--tik", "--tek")}
        argv = words({**rest, "--tk": str(folder / "tk.bin")})
    else:
        short = {
            "short letters": {"--measurement": "-m", "--firmware": "-f"},
            "abbreviated": {"--measurement": "--meas", "--build-id": "--build", "--firmware": "--firm"},
        }.get(form, {})
        argv = [word for name, value in right.items() for word in (short.get(name, name), value)]
    assert run(verb, *argv)[0] == 0


# JSON.


@pytest.mark.parametrize(("build", "status"), [("13", 0), ("12", 1)])
def test_validate_json(run: Run, right: dict[str, str], build: str, status: int) -> None:
    code, out, err = run("validate", *words({**right, "--build-id": build}), "--json")
    assert (code, err) == (status, "")
    data = json.loads(out)
    assert list(data) == ["status", "reported", "computed", "checks", "warnings"]
    assert data["status"] == ["match", "mismatch"][status]
    assert (data["reported"] == data["computed"]) == (status == 0)
    assert data["reported"] == samples.measurement()[:32].hex()


def test_explain_json(run: Run, right: dict[str, str]) -> None:
    code, out, err = run("explain", *words(right), "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert list(data) == [
        *("status", "reported", "computed", "checks", "warnings"),
        *("measurement", "message", "policy", "digest", "launch", "hmac", "second_route"),
    ]
    assert list(data["message"][0]) == ["name", "offset", "size", "hex", "value", "text", "meaning", "finding"]
    assert "".join(span["hex"] for span in data["measurement"]) == samples.measurement().hex()


@BOTH
def test_refusals_are_json_too_when_asked(run: Run, right: dict[str, str], verb: str) -> None:
    code, out, err = run(verb, *words({**right, "--policy": "<\n>"}), "--json")
    assert code == 2
    assert err.startswith("ERROR: --policy: received ")
    assert err.count("\n") == 1
    data = json.loads(out)
    assert (data["status"], data["input"]) == ("unusable", "--policy")
    assert f"ERROR: {data['error']}\n" == err


def test_another_program_s_json_is_not_asked_of_sevlab(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verifier-suite", "run", "--", "its-own-program", "--json"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


# Help and versions.


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"sevlab {sevlab.__version__}\n", "")
    assert process("--version").stdout == f"sevlab {sevlab.__version__}\n"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    status, out, err = run(verb, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: sevlab {verb}")
    assert max(map(len, out.splitlines())) <= 80
    assert verb in run("--help")[1]


ACTIONS = {
    "case": ["new", "show", "verify", "pack", "unpack", "redact"],
    "chain": ["show", "verify"],
    "diagnose": ["--mode=snp"],
    "id-block": ["build", "show", "verify"],
    "report": ["show", "verify"],
    "secret": ["build", "open"],
    "session": ["open"],
    "vmsa": ["build", "update", "show", "diff"],
    "verifier-suite": ["list", "make", "run"],
}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_keeps_the_capitals_of_names(run: Run, verb: str) -> None:
    """Of SEV-SNP and CPU, at the beginning of a sentence and within one."""
    pages = {action: run(verb, *action.split(), "--help")[1] for action in ("", *ACTIONS.get(verb, []))}
    flat = {action: " ".join(page.split()) for action, page in pages.items()}
    assert sentence(cli.VERBS[verb][2]) in flat[""].replace("- ", "-")
    for action, page in flat.items():
        assert not re.search(r"\b[a-z][A-Z]", page), action
        small = re.findall(r"(?<![\w./<-])(?:sev|sev-es|sev-snp|amd|qemu|cpu|ovmf|vmsa)(?:'s)?(?= [a-z])", page)
        assert set(small) <= {"sev", "ovmf", "vmsa"}, action  # the modes' and verbs' own names


@BOTH
def test_help_names_every_option(run: Run, right: dict[str, str], verb: str) -> None:
    out = run(verb, "--help")[1]
    more = ["--debug", "-d", "--quiet", "-q"] if verb == "validate" else ["--html"]
    for option in (*right, "--tk", "-m", "-f", "--json", "--show-keys", *more):
        assert f"{option} " in out.replace(",", " ").replace("]", " ").replace("\n", " ")


def test_no_verb_shows_how_and_is_no_success(run: Run) -> None:
    status, out, _ = run()
    assert status == 2
    assert out.startswith("usage: sevlab VERB")


@pytest.mark.parametrize(
    "verb", ["validat", "", "--verbose", "VALIDATE", "x\nOK: Looks good to me", "\udcff", "..", "cli.lab"]
)
def test_an_unknown_verb(run: Run, verb: str) -> None:
    status, out, err = run(verb)
    assert_refused(status, out, err)
    assert "validate, explain" in err or re.search(r"Did you mean (validate|lab|--version)\?$", err)


@BOTH
@pytest.mark.parametrize(
    "extra", ["x", "--nope", "--nope=1", "x\nOK: Looks good to me", "\x1b[2J", "\udcff", "--quiet=1", "--api"]
)
def test_words_that_are_no_options_cannot_forge_a_line(run: Run, right: dict[str, str], verb: str, extra: str) -> None:
    status, out, err = run(verb, *words(right), extra)
    assert_refused(status, out, err)
    assert f"sevlab {verb} --help" in err


def test_a_value_that_is_missing(run: Run, right: dict[str, str]) -> None:
    for option in right:
        rest = {name: value for name, value in right.items() if name != option}
        status, out, err = run("validate", *words(rest))
        assert_refused(status, out, err)
        assert option in err
        assert_refused(*run("validate", *words(rest), option))


# Whatever comes in.

ANY_TEXT = st.text(st.characters(codec=None), max_size=80)
FAST = settings(max_examples=many(80, 16), suppress_health_check=[HealthCheck.function_scoped_fixture])
OPTIONS = [
    "--measurement",
    *NUMBERS,
    "--firmware",
    "--tik",
    "--tek",
    "--tk",
    "--html",
    "--case",
    "--cmdline",
    "--kernel",
]


@FAST
@BOTH
@given(option=st.sampled_from(OPTIONS), text=ANY_TEXT)
@example(option="--tik", text="a\0b")
@example(option="--firmware", text="\udcff")
@example(option="--html", text="")
@example(option="--policy", text="9" * 10_000)
@example(option="--policy", text="4")
@example(option="--measurement", text="=" * 64)
def test_any_text_in_any_option(
    verb: str, option: str, text: str, run: Run, right: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # --html may well write here
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    if option == "--html" and ("/" in text or text == "-"):
        return
    status, out, err = run(verb, *words({**right, option: text}))
    assert_behaved(status, out, err)
    if status == 2 and option != "--case":  # a case file names the place in it instead
        # A policy that asks for SEV-ES is good in itself, and needs the number of virtual CPUs.
        assert option in err or (option == "--policy" and "--num-cpus" in err)


@FAST
@given(
    option=st.sampled_from(["--firmware", "--tik", "--tek", "--tk", "--case", "--kernel"]), raw=st.binary(max_size=80)
)
def test_any_bytes_in_any_file(option: str, raw: bytes, run: Run, right: dict[str, str], folder: Path) -> None:
    (folder / "any").write_bytes(raw)
    options = {**right, option: str(folder / "any")}
    if option == "--tk":
        del options["--tik"], options["--tek"]
    result = run("validate", *words(options), "--debug")
    if result[0] == 2:
        assert_refused(*result)
    else:
        assert result[0] in (0, 1)
        assert "Traceback" not in result[2]


@FAST
@given(argv=st.lists(ANY_TEXT | st.sampled_from(["validate", "explain", "-q", "-d", "--json", "-m", "--"]), max_size=5))
def test_any_command_line(argv: list[str], run: Run) -> None:
    if argv[:1] != ["lab"]:
        assert run(*argv)[0] in (0, 1, 2)


PATHS = {
    "missing": "none",
    "folder": "folder",
    "empty": "empty",
    "null": "/dev/null",
    "endless": "/dev/zero",
    "NUL": "a\0b",
    "surrogate": "\udcff",
    "long": "x" * 5000,
    "below a file": "tik.bin/x",
    "line break": "a\nERROR: b",
    "terminal codes": "\x1b[2J",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("option", ["--firmware", "--tik", "--tek", "--tk"])
@BOTH
def test_files_that_are_no_files(
    run: Run, right: dict[str, str], folder: Path, verb: str, option: str, path: str
) -> None:
    options = {**right, option: path if "\0" in path else str(folder / path)}
    if option == "--tk":
        del options["--tik"], options["--tek"]
    status, out, err = run(verb, *words(options))
    assert_refused(status, out, err)
    assert err.startswith(f"ERROR: {option}: received ")
    assert len(err) < 400


def test_two_inputs_from_standard_input(run: Run, right: dict[str, str]) -> None:
    status, out, err = run("validate", *words({**right, "--tik": "-", "--firmware": "-"}))
    assert_refused(status, out, err)
    assert "already reads standard input" in err


@pytest.mark.parametrize(
    ("option", "file"), [("--firmware", "firmware.fd"), ("--tik", "tik.bin"), ("--tek", "tek.bin")]
)
def test_one_input_from_standard_input(right: dict[str, str], folder: Path, option: str, file: str) -> None:
    with (folder / file).open("rb") as stream:
        done = process("validate", *words({**right, option: "-"}), stdin=stream)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{GOOD}\n", "")


@BOTH
@pytest.mark.parametrize(
    ("closed", "status"), [("<&-", 0), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)], ids=["in", "out", "error", "all"]
)
def test_closed_streams(right: dict[str, str], verb: str, closed: str, status: int) -> None:
    """Neither a traceback nor an error of ours; the status still tells. Explain says nothing but what is lost."""
    status = 2 if verb == "explain" and ">&-" in closed.replace("2>&-", "") else status
    for changes, expected in (({}, status), ({"--policy": "3"}, 1), ({"--policy": "x"}, 2), ({"--tik": "-"}, 2)):
        if changes == {"--tik": "-"} and "<" not in closed:
            continue
        command = shlex.join([sys.executable, "-m", "sevlab", verb, *words({**right, **changes})])
        done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, timeout=300)
        assert done.returncode == expected
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_no_success(right: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "sevlab", "explain", *words(right)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: ")
    assert done.stderr.count("\n") == 1


@BOTH
@pytest.mark.parametrize("more", ["", "--json"])
def test_a_reader_that_leaves_early(right: dict[str, str], verb: str, more: str) -> None:
    command = shlex.join([sys.executable, "-m", "sevlab", verb, *words(right)])
    for reader in ("head -n 1", "true"):
        done = subprocess.run(["sh", "-c", f"{command} {more} | {reader}"], capture_output=True, text=True, timeout=300)
        assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii"])
def test_a_file_name_that_no_encoding_holds(right: dict[str, str], tmp_path: Path, encoding: str) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xc3\xa9.bin"
    try:
        shutil.copyfile(os.fsencode(right["--tik"]), name)
    except OSError:
        pytest.skip("this file system takes no such name")
    page = tmp_path / "page.html"
    argv = words({**right, "--tik": os.fsdecode(name), "--html": str(page)})
    done = process("explain", *argv, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\udcff" in done.stdout
    assert r"\udcff" in page.read_text()


# Keys.


def leaks(text: str) -> list[str]:
    """Forms of the keys (and of the blocks made from the TIK) that stand in a text."""
    text = "".join(text.split())
    keys = [samples.TIK, samples.TEK, *(bytes(b ^ pad for b in samples.TIK) for pad in (0x36, 0x5C))]
    forms = [form for key in keys for form in (key.hex(), base64.b64encode(key).decode(), repr(key)[2:-1])]
    return [form for form in forms if form in text]


KEY_RUNS = [
    ("validate", "--debug"),
    ("validate", "--debug", "--json"),
    ("validate", "-d", "-q"),
    ("explain",),
    ("explain", "--json"),
    ("explain", "--html=-"),
]


@pytest.mark.parametrize("argv", KEY_RUNS, ids=" ".join)
@pytest.mark.parametrize("policy", ["1", "3", "x"])
def test_keys_do_not_appear(run: Run, right: dict[str, str], argv: tuple[str, ...], policy: str) -> None:
    verb, *more = argv
    status, out, err = run(verb, *words({**right, "--policy": policy}), *more)
    assert status == {"1": 0, "3": 1, "x": 2}[policy]
    assert leaks(out + err) == []


@pytest.mark.parametrize("argv", KEY_RUNS, ids=" ".join)
def test_keys_appear_when_asked(run: Run, right: dict[str, str], argv: tuple[str, ...]) -> None:
    verb, *more = argv
    _, out, err = run(verb, *words(right), *more, "--show-keys")
    assert samples.TIK.hex() in "".join((out + err).split())
    if verb == "validate":
        assert samples.TEK.hex() in err


def test_keys_are_not_shown_by_half(run: Run, right: dict[str, str]) -> None:
    status, out, err = run("validate", *words(right), "--show-keys")
    assert_refused(status, out, err)
    assert "--show-keys" in err


@pytest.mark.parametrize("wrap", [bytes.hex, base64.b64encode, lambda key: key + b"\n", lambda key: key * 2])
def test_a_wrong_key_file_is_not_shown(run: Run, right: dict[str, str], tmp_path: Path, wrap: Callable) -> None:
    content = wrap(samples.TIK)
    (tmp_path / "key").write_bytes(content.encode() if isinstance(content, str) else content)
    status, out, err = run("validate", *words({**right, "--tik": str(tmp_path / "key")}))
    assert_refused(status, out, err)
    assert leaks(err) == []


def test_debug_shows_every_value_on_the_way(run: Run, right: dict[str, str]) -> None:
    status, out, err = run("validate", *words(right), "--debug")
    assert (status, out) == (0, f"{GOOD}\n")
    digest = sevlab.compute_digest([samples.firmware()])
    message = bytes([4, 0, 22, 13, 1, 0, 0, 0]) + digest + samples.MNONCE
    lines = dict(line.removeprefix("[DEBUG]: ").split(": ", 1) for line in err.splitlines())
    assert lines["message (56 bytes)"] == message.hex()
    assert lines["firmware digest (SHA-256)"] == digest.hex()
    assert lines["computed measure"] == lines["reported measure"] == samples.measurement()[:32].hex()
    assert lines["TIK"] == lines["TEK"] == "<16 bytes, hidden>"


# Files that are written.


def test_a_page_is_written_beside_the_text(run: Run, right: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, out, _ = run("explain", *words(right), f"--html={page}")
    assert status == 0
    assert GOOD in out
    html = page.read_text()
    assert html.startswith("<!doctype html>")
    assert html.endswith("</html>\n")
    assert run("explain", *words(right), "--html=-")[1] == html
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("path", ["missing/page.html", "file/page.html", ".", "", "/proc/page.html", "a\0b", "x" * 300])
def test_a_page_that_cannot_be_written(
    run: Run, right: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (tmp_path / "file").write_text("kept")
    monkeypatch.chdir(tmp_path)
    status, out, err = run("explain", *words(right), f"--html={path}")
    assert_refused(status, out, err)
    assert err.startswith("ERROR: --html: received ")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "os.replace", "os.fdopen"])
def test_what_was_there_stays_when_writing_fails(
    run: Run, right: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (tmp_path / "page.html").write_text("old")
    real_fdopen = os.fdopen

    def fail(*given: object, **options: object) -> None:
        if step == "os.fdopen" and given[1:] != ("wb",):
            return real_fdopen(*given, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, fail)
    status, out, err = run("explain", *words(right), f"--html={tmp_path / 'page.html'}", "--force")
    monkeypatch.undo()
    assert_refused(status, out, err)
    assert "no space left on device" in err
    assert (tmp_path / "page.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere; run as another")
def test_a_folder_one_may_not_write_to(run: Run, right: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    tmp_path.chmod(0o500)
    result = run("explain", *words(right), f"--html={tmp_path / 'page.html'}", "--force")
    tmp_path.chmod(0o700)
    assert_refused(*result)
    assert (tmp_path / "page.html").read_text() == "old"


# The notebooks.


def test_lab_copies_once_and_keeps_what_people_changed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "my notebooks"
    status, out, err = run("lab", "--copy-only", str(folder))
    assert (status, err) == (0, "")
    copied = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert out == f"Copied {len(copied)} files to '{folder}'. Kept 0 that were already there.\n"
    assert {Path("00-start-here.ipynb"), Path("01-fifty-six-bytes.ipynb"), Path("samples/tk.bin")} <= set(copied)
    (folder / "00-start-here.ipynb").write_text("mine")
    (folder / "samples" / "tek.bin").unlink()
    status, out, _ = run("lab", "--copy-only", str(folder))
    assert out == f"Copied 1 files to '{folder}'. Kept {len(copied) - 1} that were already there.\n"
    assert (folder / "00-start-here.ipynb").read_text() == "mine"
    assert (folder / "samples" / "tek.bin").read_bytes() == samples.TEK


@pytest.mark.parametrize("path", ["file", "file/below", "a\0b", "x" * 300, "/proc/none/here"])
def test_lab_in_a_folder_that_cannot_be(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / "file").write_text("kept")
    monkeypatch.chdir(tmp_path)
    status, out, err = run("lab", "--copy-only", path)
    assert_refused(status, out, err)
    assert err.startswith("ERROR: folder: received ")
    assert (tmp_path / "file").read_text() == "kept"


def test_lab_where_a_file_takes_the_place_of_a_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("in the way")
    assert_refused(*run("lab", "--copy-only", str(tmp_path)))
    assert (tmp_path / "samples").read_text() == "in the way"


def test_lab_does_not_write_through_links_that_lie_in_wait(run: Run, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".00-start-here.ipynb.partial").symlink_to(tmp_path / "victim")
    (folder / "01-fifty-six-bytes.ipynb").symlink_to(tmp_path / "not yet")
    assert run("lab", "--copy-only", str(folder))[0] == 0
    assert (tmp_path / "victim").read_text() == "kept"
    assert not (tmp_path / "not yet").exists()
    assert not (folder / "00-start-here.ipynb").is_symlink()


# Our own errors.


@pytest.mark.parametrize(
    "error", [RuntimeError("a\nbug"), KeyError("k"), RecursionError(), UnicodeError("\udcff"), MemoryError()]
)
@BOTH
def test_an_error_of_ours_is_one_line_and_status_3(
    run: Run, right: dict[str, str], monkeypatch: pytest.MonkeyPatch, verb: str, error: Exception
) -> None:
    def broken(evidence: object) -> None:
        raise error

    main([verb, "--help"])  # so that the module is there
    monkeypatch.setattr(f"sevlab.cli.{verb}.compare_measure", broken)
    status, out, err = run(verb, *words(right))
    assert (status, out) == (3, "")
    assert err.startswith(f"ERROR: an error in sevlab itself, please report it: {type(error).__name__}: ")
    assert err[:-1].isprintable()


def test_an_interrupt_is_no_traceback(run: Run, right: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(evidence: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sevlab.cli.validate.compare_measure", interrupted)
    assert run("validate", *words(right)) == (130, "", "Interrupted.\n")


def test_every_public_name_resolves() -> None:
    assert sevlab.__all__ == sorted(set(sevlab.__all__))
    for name in sevlab.__all__:
        assert getattr(sevlab, name) is not None
        assert name in dir(sevlab)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sevlab.nothing  # noqa: B018


@pytest.mark.parametrize("option", ["--firmware", "--tik", "--tek"])
def test_a_page_is_never_written_over_an_input(run: Run, right: dict[str, str], option: str) -> None:
    before = Path(right[option]).read_bytes()
    status, _, err = run("explain", *words({**right, "--html": right[option]}))
    assert status == 2
    assert "which is an input" in err
    assert Path(right[option]).read_bytes() == before
