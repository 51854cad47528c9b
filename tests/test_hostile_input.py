"""Every option of the command line, fed with what people and attackers really give."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevlab import samples
from sevlab.cli import main

HERE = Path(__file__).resolve().parents[1]
NUMBERS = ("--api-major", "--api-minor", "--build-id", "--policy")
FILES = ("--firmware", "--tik", "--tek")
VERBS = pytest.mark.parametrize("verb", ["validate", "explain"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    samples.write_samples(folder)
    (folder / "empty").write_bytes(b"")
    os.mkfifo(folder / "pipe")
    return folder


def good(folder: Path) -> dict[str, str]:
    values = dict(line.split(":", 1) for line in samples.launch_text().strip().splitlines())
    reported = {key.strip().removeprefix("sev-"): value.strip() for key, value in values.items()}
    return {
        **{f"--{name}": value for name, value in reported.items()},
        "--firmware": str(folder / "firmware.fd"),
        "--tik": str(folder / "tik.bin"),
        "--tek": str(folder / "tek.bin"),
    }


def run(verb: str, options: dict[str, str], capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    status = main([verb, *(f"{name}={value}" for name, value in options.items()), *more])
    out, err = capsys.readouterr()
    return status, out, err


def assert_one_line(status: int, out: str, err: str) -> None:
    """What bad input ends in: status 2 and one line, which names the input."""
    assert status == 2
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


@VERBS
def test_the_sample_is_good(verb: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(verb, good(folder), capsys)
    assert status == 0
    assert "OK: Looks good to me" in out.split("\n")[0]
    assert err == ""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@VERBS
@given(option=st.sampled_from(["--measurement", *NUMBERS, *FILES, "--tk"]), text=st.text(max_size=100))
def test_any_text_in_any_option(
    verb: str, option: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text == "-":
        return
    status, out, err = run(verb, {**good(folder), option: text}, capsys)
    if status == 2:
        assert_one_line(status, out, err)
        assert option in err
    else:
        assert status in (0, 1)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(option=st.sampled_from(["--firmware", "--tik", "--tek", "--tk"]), raw=st.binary(max_size=80))
def test_any_bytes_in_any_file(option: str, raw: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "any").write_bytes(raw)
    status, out, err = run("explain", {**good(folder), option: str(folder / "any")}, capsys)
    if status == 2:
        assert_one_line(status, out, err)
    else:
        assert status in (0, 1)
    assert raw.hex() not in out + err or len(raw) < 16 or option == "--firmware"


@settings(deadline=None, max_examples=100)
@given(
    words=st.lists(st.text(max_size=12) | st.sampled_from(["validate", "explain", "--json", "-m", "-q"]), max_size=6)
)
def test_any_words(words: list[str]) -> None:
    if words[:1] != ["lab"]:
        assert main(words) in (0, 1, 2)


@pytest.mark.parametrize("option", [*FILES, "--tk"])
@pytest.mark.parametrize("name", ["none", ".", "pipe", "empty", "/dev/null", "/dev/zero", "a\0b", "\udcff", "x" * 5000])
def test_files_that_are_no_files(option: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = good(folder)
    if option == "--tk":
        del options["--tik"], options["--tek"]
    path = name if name.startswith(("/", "a\0", "\udcff", "x")) else str(folder / name)
    status, out, err = run("validate", {**options, option: path}, capsys)
    assert_one_line(status, out, err)
    assert err.startswith(f"ERROR: {option}: received ")


@pytest.mark.parametrize("option", NUMBERS)
@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "0x", "0b1", "1_0", " 1", "9" * 5000, "0x" + "f" * 5000, "\u0661", "1.0"]
)
def test_numbers_that_are_no_numbers(option: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run("validate", {**good(folder), option: text}, capsys)
    assert_one_line(status, out, err)
    assert len(err) < 400


def test_hostile_text_cannot_forge_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run("validate", {**good(folder), "--policy": "1\nOK: Looks good to me\x1b[2J"}, capsys)
    assert_one_line(status, out, err)
    assert "\x1b" not in err


def test_two_inputs_from_standard_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run("validate", {**good(folder), "--tik": "-", "--tek": "-"}, capsys)
    assert_one_line(status, out, err)


def test_closed_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    status, out, err = run("validate", {**good(folder), "--tik": "-"}, capsys)
    assert_one_line(status, out, err)


def test_a_key_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.TIK)))
    assert run("validate", {**good(folder), "--tik": "-"}, capsys)[0] == 0


@VERBS
@pytest.mark.parametrize("more", [(), ("--json",), ("--html=-",), ("--debug",)])
def test_keys_do_not_appear(verb: str, more: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if (verb, more) in {("validate", ("--html=-",)), ("explain", ("--debug",))}:
        return
    _, out, err = run(verb, good(folder), capsys, *more)
    shown = (out + err).replace(" ", "")
    assert samples.TIK.hex() not in shown
    assert samples.TEK.hex() not in shown
    asked = ("--show-keys",) if verb == "explain" else ("--show-keys", "--debug")
    _, out, err = run(verb, good(folder), capsys, *asked)
    assert samples.TIK.hex() in out + err


def test_an_error_of_ours_is_told_as_ours(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sevlab.cli.validate

    def broken(evidence: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(sevlab.cli.validate, "compare_measure", broken)
    status, out, err = run("validate", good(folder), capsys)
    assert (status, out) == (3, "")
    assert err == "ERROR: an error in sevlab itself, please report it: RuntimeError: 'a bug'\n"


def test_a_reader_that_leaves_early(folder: Path) -> None:
    options = " ".join(f"'{name}={value}'" for name, value in good(folder).items())
    command = f"'{sys.executable}' -m sevlab explain {options} | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=HERE, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert "OK: Looks good to me" in done.stdout


def test_a_page_is_written_whole_or_not_at_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "page.html"
    assert run("explain", good(folder), capsys, f"--html={page}")[0] == 0
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().rstrip().endswith("</html>")
    missing = folder / "no folder" / "page.html"
    assert_one_line(*run("explain", good(folder), capsys, f"--html={missing}"))
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
