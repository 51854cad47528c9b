"""Standard streams that are closed, full, or pipes that nobody reads: one line, a status of the manual, no success.

Each run is a process of its own, as an exit status can still change when Python ends. So there are few in `make test`.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sevlab import compute_digest
from sevlab.cli import VERBS
from sevlab.labs import samples
from tests.commands import STATUS, commands
from tests.soak import SOAK, some

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")

#: How a stream can be broken, as a shell says it, and what is then said on the other one.
BROKEN = {
    ">&-": "ERROR: standard output: it is closed\n",
    "> /dev/full": "ERROR: standard output: no space left on device\n",
    "> >(true)": "",  # as of head or less, which have seen enough
}
BROKEN_ERRORS = ["2>&-", "2> /dev/full", "2> >(true)"]


def over_verbs(broken: list[str], test: int) -> pytest.MarkDecorator:
    """Every verb with every broken stream; in `make test` a few of each."""
    return pytest.mark.parametrize(("verb", "broken"), some(itertools.product(VERBS, broken), test))


def shell(words: list[str], streams: str) -> tuple[int, str, str]:
    """Run sevlab in a shell that gives it the streams; return status, output and errors."""
    # The reader has gone before anything is said: it is waited for.
    wait = "sleep 0.1; " if "(true)" in streams else ""
    command = ["bash", "-c", f'"$@" {streams}' if not wait else f'{{ {wait}"$@"; }} {streams}', "bash"]
    program = [sys.executable, "-m", "sevlab", *words]
    done = subprocess.run([*command, *program], capture_output=True, text=True, errors="replace", timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_there_is_a_command_of_every_verb(folder: Path) -> None:
    assert set(commands(folder)) == set(VERBS)


@over_verbs(list(BROKEN), 3)
def test_lost_output_is_no_success(folder: Path, verb: str, broken: str) -> None:
    status, out, err = shell([verb, *commands(folder)[verb]], broken)
    wanted = BROKEN[broken]
    if (verb, broken) == ("validate", ">&-"):
        # Its status is the verdict, and is that of the original, which says nothing where there is no output.
        assert (status, out, err) == (0, "", "NOTE: standard output is closed: OK: Looks good to me\n")
        return
    assert (status, out) == (STATUS.get(verb, 2), "")
    assert err.endswith(wanted)
    assert err.count("ERROR: ") == wanted.count("ERROR: ")


@over_verbs(list(BROKEN), 2)
def test_help_that_is_lost_is_no_success(verb: str, broken: str) -> None:
    assert shell([verb, "--help"], broken) == (2, "", BROKEN[broken])


@pytest.mark.parametrize("broken", BROKEN if SOAK else ["> /dev/full"])
@pytest.mark.parametrize("words", some([["--help"], ["--version"], [], ["validate", "--json", "--policy=x"]], 2))
def test_so_it_is_without_a_verb(words: list[str], broken: str) -> None:
    status, out, err = shell(words, broken)
    assert (status, out) == (2, "")
    assert err.endswith(BROKEN[broken])


@over_verbs(BROKEN_ERRORS, 2)
def test_status_and_output_do_not_need_standard_error(folder: Path, verb: str, broken: str) -> None:
    """Unless something was to be said there: then it is no success."""
    words = [verb, *commands(folder)[verb]]
    good = shell(words, "")
    says = bool(good[2])
    assert good[0] == STATUS.get(verb, 0)
    if verb == "assignment":  # its folder must be new, each time
        words = [*words[:-1], words[-1].removesuffix("new") + "one"]
    status, out, err = shell(words, broken)
    assert (status, len(out), err) == (2 if says and good[0] == 0 else good[0], len(good[1]), "")


@pytest.mark.parametrize("broken", BROKEN_ERRORS if SOAK else ["2> >(true)"])
def test_a_mismatch_stays_one_and_bad_input_two(folder: Path, broken: str) -> None:
    launch = commands(folder)["validate"]
    for words, wanted in ((["--policy=3"], 1), (["--policy=x"], 2), (["--policy=3", "--json"], 1)):
        assert shell(["validate", *launch, *words], broken)[0] == wanted
    assert shell(["explain", *launch, "--policy=3"], broken)[0] == 1
    # What is said beside the verdict may be lost: its status is that of the original, which says no such thing.
    message = ["validate", *launch, "--policy=0", "--measurement=" + _measurement_of_policy_0()]
    good = shell(message, "")
    assert (good[0], "WARNING: " in good[2]) == (0, True)
    assert shell(message, broken) == (0, good[1], "")


def _measurement_of_policy_0() -> str:
    digest = compute_digest([samples.firmware()])
    message = struct.pack("<4BI", 4, 0, 22, 13, 0) + digest + samples.MNONCE
    return base64.b64encode(hmac.digest(samples.TIK, message, "sha256") + samples.MNONCE).decode()


def test_everything_is_closed(folder: Path) -> None:
    launch = commands(folder)["validate"]
    for changes, wanted in (([], 0), (["--policy=3"], 1), (["--policy=x"], 2)):
        assert shell(["validate", *launch, *changes], "<&- >&- 2>&-") == (wanted, "", "")


def test_a_file_does_not_take_the_place_of_a_closed_stream(folder: Path, tmp_path: Path) -> None:
    """Otherwise the next words for standard error would go into the first file that is opened."""
    page = tmp_path / "page.html"
    words = ["explain", *commands(folder)["explain"], "--show-keys", f"--html={page}"]
    assert shell(words, "<&- >&- 2>&-")[0] == 2
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().endswith("</html>\n")


def test_a_pipe_that_does_not_block_gets_everything(folder: Path) -> None:
    words = [sys.executable, "-m", "sevlab", "explain", *commands(folder)["explain"], "--json"]
    whole = subprocess.run(words, capture_output=True, timeout=60).stdout
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    os.write(theirs, bytes(1 << 16))  # full, so that the first write has to wait
    process = subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        assert stream.read()[1 << 16 :] == whole
    assert (process.communicate(timeout=60)[1], process.returncode) == (b"", 0)
