"""Signals end a command as Ctrl-C does: nothing stays behind, one line says so, and the status is a shell's."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sevlab.cases import writing as leftovers
from sevlab.cases.bundle import pack_case
from sevlab.cases.case import make_case
from sevlab.cases.writing import write_files
from sevlab.cli import main
from sevlab.cli.terminal import ENDING, Ended, clean_end
from tests.cases.sample_cases import inputs_of
from tests.key_forms import TEK, TIK, shown
from tests.soak import many

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
NAMES = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_is_an_error_that_names_it_and_then_as_before(name: str) -> None:
    number, done = getattr(signal, name), []
    before = signal.getsignal(number)

    def command() -> None:
        with clean_end(lambda: done.append(1)):
            assert signal.getsignal(number) is not before
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(Ended) as found:
        command()
    assert (found.value.status, found.value.name, done) == (128 + number, name, [1])
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_or_somebody_else_s_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mine = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with clean_end(lambda: None):
            for number in (signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, mine)


def test_what_is_taken_away_is_taken_away_undisturbed() -> None:
    done = []

    def clean() -> None:
        for number in (*ENDING, signal.SIGINT):
            os.kill(os.getpid(), number)
        done.append(1)

    with clean_end(clean):
        pass
    assert done == [1]


def test_a_second_signal_soon_after_belongs_to_the_first() -> None:
    done = []

    def command() -> None:
        with clean_end(lambda: None):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                done.append(1)

    with pytest.raises(Ended):
        command()
    assert done == [1]


def test_a_signal_between_two_files_leaves_both_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"old")

    def link(*given: object, **more: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    def command() -> None:
        with clean_end(lambda: None):
            write_files([(str(tmp_path / name), b"new", name) for name in ("a", "b")], force=True)

    monkeypatch.setattr(os, "link", link)  # what puts the first of two files in its place
    with pytest.raises(Ended):
        command()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}


def test_other_threads_are_left_alone() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(main(["--version"])))
    thread.start()
    thread.join()
    assert found == [0]


def test_leftovers_are_noted_before_they_are_made(tmp_path: Path) -> None:
    path = Path(leftovers.note_name(str(tmp_path)))
    assert not path.exists()
    path.mkdir()
    (path / "x").write_bytes(b"x")
    other = Path(leftovers.note_name(str(tmp_path)))
    other.write_bytes(b"y")
    leftovers.note_name(str(tmp_path))
    leftovers.remove_leftovers()
    assert list(tmp_path.iterdir()) == []
    with leftovers.temporary_folder(parent=str(tmp_path)) as folder:
        assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with keys, and a kernel that takes a while to unpack."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "tk.bin").write_bytes(TEK + TIK)
    (folder / "kernel").write_bytes(random.Random(1).randbytes(1 << 20) * 96)
    inputs = dict(inputs_of("seves")) | {"tk": str(folder / "tk.bin"), "kernel": str(folder / "kernel")}
    inputs = {name: value for name, value in inputs.items() if name not in ("tik", "tek")}
    pack_case(make_case(inputs), str(folder / "big.sevcase"), with_keys=True)
    return folder / "big.sevcase"


#: What is done with it, and what may be there afterwards.
COMMANDS = {
    "verify": (["case", "verify", "{bundle}"], ""),
    "validate": (["validate", "--case", "{bundle}"], ""),
    "unpack": (["case", "unpack", "{bundle}", "{out}/folder"], "folder"),
    "pack": (["case", "pack", "{bundle}", "--with-keys", "-o", "{out}/again.sevcase"], "again.sevcase"),
}


def ended(name: str, command: str, delay: float, bundle: Path, folder: Path) -> tuple[int, str, float]:
    """Run a command, send it a signal after some seconds; return its status, last line and how long it ran."""
    words = [word.format(bundle=bundle, out=folder / "out") for word in COMMANDS[command][0]]
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sevlab", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=120)
    return process.returncode, err.decode(), time.monotonic() - start


def check(name: str, command: str, status: int, err: str, folder: Path, *, whole: bool) -> None:
    """Check that nothing stayed behind. *whole* says that the command is sure to have been under way."""
    number, result = getattr(signal, name), COMMANDS[command][1]
    assert list((folder / "tmp").iterdir()) == [], (name, command, err)
    left = [path.name for path in (folder / "out").iterdir()]
    assert left in ([], [result]), (name, command, left)
    for path in (folder / "tmp").rglob("*"):
        assert not shown(path.read_bytes())
    assert not shown(err)
    # A signal before Python has begun with us ends it in its own way; one after the end comes too late.
    assert status in (0, 1, 128 + number, *(() if whole else (-number,))), (name, command, err)
    if status == 128 + number:
        assert err.splitlines()[-1] in ("Interrupted.", f"Ended by {name}.")
        assert "Traceback" not in err


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_while_a_bundle_is_unpacked(name: str, bundle: Path, tmp_path: Path) -> None:
    """Wait until there is something to be left behind, then send the signal."""
    for folder in ("tmp", "out"):
        (tmp_path / folder).mkdir()
    words = ["case", "verify", str(bundle)]
    process = subprocess.Popen(
        [sys.executable, "-m", "sevlab", *words],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    for _ in range(60_000):
        if list((tmp_path / "tmp").rglob("blobs/*")) or process.poll() is not None:
            break
        time.sleep(0.001)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=120)
    check(name, "verify", process.returncode, err.decode(), tmp_path, whole=True)
    assert process.returncode == 128 + getattr(signal, name)


@pytest.mark.parametrize("trial", range(many(200, 6)))
def test_signals_at_random_moments(trial: int, bundle: Path, tmp_path: Path) -> None:
    rng = random.Random(trial)
    name, command = NAMES[trial % 4], list(COMMANDS)[(trial + trial // 4) % 4]
    for folder in ("tmp", "out"):
        (tmp_path / folder).mkdir()
    status, err, _ = ended(name, command, rng.uniform(0.1, 1.2), bundle, tmp_path)
    check(name, command, status, err, tmp_path, whole=False)


def test_nohup_goes_on(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    code = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from sevlab.cli import main; "
    code += "import os; os.kill(os.getpid(), signal.SIGHUP); sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "case", "show", str(bundle)]
    assert subprocess.run(words, env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True).returncode == 0


@pytest.mark.parametrize("raised", [Ended(signal.SIGHUP), KeyboardInterrupt()])
def test_a_signal_while_a_class_is_made_is_still_one(raised: BaseException) -> None:
    """Python 3.11 wraps what __set_name__ raises in a RuntimeError."""
    done = []
    with pytest.raises(type(raised)), clean_end(lambda: done.append(1)):
        raise RuntimeError("Error calling __set_name__ on a descriptor") from raised
    with pytest.raises(RuntimeError, match="ours"), clean_end(lambda: done.append(2)):
        raise RuntimeError("ours")
    assert done == [1, 2]
