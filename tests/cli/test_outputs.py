"""What writes files: every verb, and everything that may be in the place of the file."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sevlab.cases import writing
from sevlab.cases.writing import whole_file, write_files
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.labs import sample_files, samples
from sevlab.launch.reading import note_input, opened_once
from tests.attestation.test_id_block import DIGEST, ID, curve_key
from tests.attestation.test_session import PLATFORM, path_of
from tests.soak import pairs

LAUNCH = ["--measurement", base64.b64encode(samples.measurement()).decode()]
LAUNCH += ["--api-major=0", "--api-minor=22", "--build-id=13", "--policy=1"]
MEASURE = [*LAUNCH[2:], "--tik=tik.bin", f"--nonce={'00' * 16}"]
KERNEL = ["measure", *MEASURE, "--firmware=firmware-kernel.fd"]
SECRET = ["secret", "build", "--tk=tk.bin", "--launch-measure-blob", LAUNCH[1]]
VMSA = ["--vcpu-type=EPYC-Milan"]
SECINFO = "sev-measurement: {}\nsev-api-major  : 0\nsev-api-minor  : 22\nsev-build-id   : 13\nsev-policy     : 1\n"

#: Verbs by name: an input, the file that is written, and the words. {i} and {o} are those two.
Verb = tuple[str, str, list[str]]
VERBS: dict[str, Verb] = {
    "case new": ("firmware.fd", "out.toml", ["case", "new", *LAUNCH, "--firmware={i}", "--tk=tk.bin", "-o{o}"]),
    "case new: a key": ("tk.bin", "out.toml", ["case", "new", *LAUNCH, "--firmware=firmware.fd", "--tk={i}", "-o{o}"]),
    "case new: a bundle": ("firmware.fd", "out.sevcase", ["case", "new", *LAUNCH, "--firmware={i}", "-o{o}"]),
    "case new --case": ("case.toml", "out.toml", ["case", "new", "--case={i}", "-o{o}"]),
    "case pack": ("case.toml", "out.sevcase", ["case", "pack", "{i}", "-o{o}"]),
    "case pack: its firmware": ("firmware.fd", "out.sevcase", ["case", "pack", "case.toml", "-o{o}"]),
    "case pack: its key, left out": ("tk.bin", "out.sevcase", ["case", "pack", "case.toml", "-o{o}"]),
    "case pack: its key": ("tk.bin", "out.sevcase", ["case", "pack", "case.toml", "-o{o}", "--with-keys"]),
    "case redact": ("firmware.fd", "out.sevcase", ["case", "redact", "case.toml", "-o{o}"]),
    "measure": (
        "kernel.bin",
        "out",
        [*KERNEL, "--kernel={i}", "--outfile={o}"],
    ),
    "measure: a key": ("tik.bin", "out", ["measure", *MEASURE, "--firmware=firmware.fd", "--outfile={o}"]),
    "measure: the nonce": (
        *("nonce", "out"),
        ["measure", *MEASURE[:-1], "--nonce={i}", "--firmware=firmware.fd", "--outfile={o}"],
    ),
    "explain": ("case.toml", "out.html", ["explain", "--case={i}", "--html={o}"]),
    "explain: its key": ("tk.bin", "out.html", ["explain", "--case=case.toml", "--html={o}"]),
    "digest": (
        *("firmware.fd", "vmsa0.bin"),
        ["digest", "--mode=seves", "--ovmf={i}", "--vcpus=1", *VMSA, "--dump-vmsa"],
    ),
    "vmsa build, an input that nothing opens": (
        *("firmware.fd", "out"),
        ["vmsa", "build", "--cpu=0", "--firmware={i}", *VMSA, "{o}"],
    ),
    "vmsa build": ("firmware-snp.fd", "out", ["vmsa", "build", "--cpu=1", "--firmware={i}", *VMSA, "{o}"]),
    "id-block build": (
        *("id.pem", "out"),
        ["id-block", "build", f"--measurement={DIGEST.hex()}", "--idkey={i}", "--out-block={o}"],
    ),
    "secret build": (
        *("secret", "out"),
        [*SECRET, "--secret=luks-key:{i}", "{o}", "payload"],
    ),
    "session": ("chain", "vm_tik.bin", ["session", "{i}", "5"]),
    "capture": ("secinfo", "out.toml", ["capture", "--domlaunchsecinfo={i}", "--firmware=firmware.fd", "-o{o}"]),
    "capture: a key": (
        *("tk.bin", "out.toml"),
        ["capture", "--domlaunchsecinfo=secinfo", "--firmware=firmware.fd", "--tk={i}", "-o{o}"],
    ),
}
#: These replace what exists unasked, as the original does.
UNASKED: dict[str, Verb] = {
    "validate: header": (
        *("case.toml", "out"),
        ["validate", "--case={i}", "--inject-secret=luks-key:secret", "--secret-header={o}", "--secret-payload=p"],
    ),
    "validate: payload": (
        *("secret", "out"),
        ["validate", "--case=case.toml", "--inject-secret=luks-key:{i}", "--secret-header=h", "--secret-payload={o}"],
    ),
}
ALL = VERBS | UNASKED


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    sample_files.write_samples(folder)
    (folder / "secret").write_bytes(bytes(range(40)))
    (folder / "nonce").write_bytes(bytes(range(16)))
    (folder / "secinfo").write_text(SECINFO.format(LAUNCH[1]))
    pem = curve_key(ID).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "id.pem").write_bytes(pem)
    files = [f"--firmware={folder}/firmware.fd", f"--tk={folder}/tk.bin"]
    assert main(["case", "new", *LAUNCH, *files, f"-o{folder}/case.toml"]) == 0
    return folder


@pytest.fixture
def desk(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


def argv(verb: str, given: str, out: str) -> list[str]:
    return [word.replace("{i}", given).replace("{o}", out) for word in ALL[verb][2]]


def force(verb: str) -> list[str]:
    return [] if verb in UNASKED else ["--force"]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    status = main(list(words))
    err = capsys.readouterr().err
    assert status in (0, 1, 2), err
    assert not list(Path().rglob(".sevlab-*"))
    return status, err


def ready(verb: str) -> None:
    """Bring what only one verb needs, and may not be here."""
    if verb == "session":
        Path("chain").write_bytes(b"".join(Path(path_of(f"naples-{name}")).read_bytes() for name in PLATFORM))


# --- the kinds of things that may be there already


def the_input(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The output is an input, by its very name."""
    given = ALL[verb][0]
    if out in ("vmsa0.bin", "vm_tik.bin") or verb.startswith("case new: a bundle"):
        os.rename(given, out)  # these verbs choose the name of what they write
        given = out
    before = contents(Path())
    for more in ([], force(verb)):
        status, err = run(capsys, *argv(verb, given, given), *more)
        assert status == 2
        assert "which is an input" in err or (not more and "which exists" in err)
        assert contents(Path()) == before


def hard_link(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.link(ALL[verb][0], out)
    before = contents(Path())
    status, err = run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))
    assert (status, "which is an input" in err) == (2, True)
    assert contents(Path()) == before


def link_to_the_input(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.symlink(ALL[verb][0], out)
    before = contents(Path())
    status, err = run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))
    assert (status, "which is an input" in err) == (2, True)
    assert contents(Path()) == before


def other_file(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(out).write_bytes(b"other")
    os.chmod(out, 0o640)
    before = contents(Path())
    if verb in VERBS:
        status, err = run(capsys, *argv(verb, ALL[verb][0], out))
        assert (status, "which exists" in err) == (2, True)
        assert contents(Path()) == before
    assert run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))[0] == 0
    after = contents(Path())
    assert after.pop(out) not in (b"other", b"")
    assert {name: after[name] for name in before if name != out} == {n: c for n, c in before.items() if n != out}
    is_private = verb in ("session", "case pack: its key")
    assert stat.S_IMODE(os.stat(out).st_mode) == (0o600 if is_private else 0o640)


def device(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        os.mknod(out, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with open(out, "rb"):
            pass
    except OSError:
        pytest.skip("no device can be made or opened here")
    run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))
    assert stat.S_ISCHR(os.lstat(out).st_mode)


def block_device(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        os.mknod(out, stat.S_IFBLK | 0o666, os.makedev(240, 17))  # of no driver
    except OSError:
        pytest.skip("no device can be made here")
    assert run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))[0] == 2
    assert stat.S_ISBLK(os.lstat(out).st_mode)


def pipe(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(out)
    reader, got = os.open(out, os.O_RDONLY | os.O_NONBLOCK), []
    os.set_blocking(reader, True)
    hold = os.open(out, os.O_WRONLY)  # so that the reader waits for what comes

    def drain() -> None:
        while piece := os.read(reader, 1 << 16):
            got.append(piece)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        status, _ = run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))
    finally:
        os.close(hold)
        thread.join(20)
        os.close(reader)
    assert status == 0
    assert b"".join(got)
    assert stat.S_ISFIFO(os.lstat(out).st_mode)


def pipe_without_a_reader(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(out)
    before = contents(Path())
    status, err = run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))
    assert (status, "a pipe that nobody reads" in err) == (2, True)
    assert stat.S_ISFIFO(os.lstat(out).st_mode)
    assert contents(Path()) == before


def link(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("target").write_bytes(b"target")
    os.symlink("target", out)
    if verb in VERBS:
        assert run(capsys, *argv(verb, ALL[verb][0], out))[0] == 2
        assert Path("target").read_bytes() == b"target"
    assert run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))[0] == 0
    assert os.readlink(out) == "target"
    assert Path("target").read_bytes() != b"target"


def link_to_nowhere(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.symlink("target", out)
    if verb in VERBS:
        assert run(capsys, *argv(verb, ALL[verb][0], out))[0] == 2
        assert not os.path.exists("target")
    assert run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))[0] == 0
    assert os.readlink(out) == "target"
    assert Path("target").read_bytes()


def folder(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(out).mkdir()
    (Path(out) / "file").write_bytes(b"file")
    before = contents(Path())
    assert run(capsys, *argv(verb, ALL[verb][0], out), *force(verb))[0] == 2
    assert contents(Path()) == before


def missing_folder(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(Path())
    named = f"none/{out}"
    words = argv(verb, ALL[verb][0], named)
    if verb == "session":
        words = ["session", "--name=none/vm", "chain", "5"]
    if verb == "digest":
        pytest.skip("digest writes into the current folder")
    assert run(capsys, *words, *force(verb))[0] == 2
    assert contents(Path()) == before


def read_only_folder(verb: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; run as another")
    Path("closed").mkdir()
    os.chmod("closed", 0o500)
    before = contents(Path())
    if verb in ("session", "digest"):
        pytest.skip("these write into the current folder")
    assert run(capsys, *argv(verb, ALL[verb][0], f"closed/{out}"), *force(verb))[0] == 2
    assert contents(Path()) == before


Kind = Callable[[str, str, pytest.CaptureFixture[str]], None]
KINDS: list[Kind] = [
    *(the_input, hard_link, link_to_the_input, other_file, device, block_device, pipe, pipe_without_a_reader),
    *(link, link_to_nowhere, folder, missing_folder, read_only_folder),
]


@pytest.mark.parametrize(("verb", "kind"), pairs(list(ALL), KINDS), ids=lambda one: getattr(one, "__name__", one))
def test_nothing_is_lost(desk: Path, verb: str, kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    ready(verb)
    kind(verb, ALL[verb][1], capsys)


@pytest.mark.parametrize("verb", ALL)
def test_no_verb_writes_over_its_input(desk: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    ready(verb)
    the_input(verb, ALL[verb][1], capsys)


def test_update_is_the_one_that_changes_its_input(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "vmsa", "build", "--cpu=0", *VMSA, "page")[0] == 0
    before = Path("page").read_bytes()
    os.chmod("page", 0o640)
    assert run(capsys, "vmsa", "update", "--cpu=0", "--vcpu-type=EPYC-Rome", "page")[0] == 0
    assert Path("page").read_bytes() != before
    assert stat.S_IMODE(os.stat("page").st_mode) == 0o640


def test_standard_output_by_its_name_gets_the_file_alone(desk: Path) -> None:
    words = [sys.executable, "-m", "sevlab", "case", "pack", "case.toml", "-o"]
    subprocess.run([*words, "out.sevcase"], check=True, capture_output=True)
    for name in ("/dev/stdout", "/dev/fd/1"):
        done = subprocess.run([*words, name], capture_output=True, check=True)
        assert done.stdout == Path("out.sevcase").read_bytes()
        assert b"Wrote" in done.stderr
    with open("appended", "wb") as stream:
        stream.write(b"before")
        stream.flush()
        subprocess.run([*words, "/dev/stdout"], stdout=stream, stderr=subprocess.PIPE, check=True)
    assert Path("appended").read_bytes() == b"before" + Path("out.sevcase").read_bytes()


def test_notebooks_are_not_copied_over_a_link_to_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "--copy-only", str(tmp_path / "a")]) == 0
    name = next(path for path in (tmp_path / "a").rglob("*") if path.is_file()).relative_to(tmp_path / "a")
    (tmp_path / "b" / name).parent.mkdir(parents=True)
    (tmp_path / "b" / name).symlink_to("nowhere")
    assert main(["lab", "--copy-only", str(tmp_path / "b")]) == 0
    assert os.readlink(tmp_path / "b" / name) == "nowhere"


# --- whole or not at all

STEPS = ["os.link", "os.replace", "os.chmod", "os.lstat", "os.fdopen", "tempfile.mkstemp"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_whatever_passes_at_any_moment_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: int, after: bool, error: type[BaseException]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(b"old a")
    Path("b").write_bytes(b"old b")
    module = __import__(step.split(".")[0])
    name, calls = step.split(".")[1], 0
    real = getattr(module, name)

    def broken(*given: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise error
        made = real(*given, **options)
        if calls == call and step not in ("os.fdopen", "tempfile.mkstemp", "os.replace", "os.link"):
            raise error
        return made

    monkeypatch.setattr(module, name, broken)
    done = False
    try:
        write_files([("a", b"new a", "A"), ("b", b"new b", "B"), ("c", b"new c", "C")], force=True)
        done = True
    except (KeyboardInterrupt, SystemExit, InputError):
        pass
    monkeypatch.undo()
    os.chdir(tmp_path)
    expected = {"a": b"new a", "b": b"new b", "c": b"new c"} if done else {"a": b"old a", "b": b"old b"}
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("step", ["link", "replace"])
def test_a_signal_while_files_get_their_names_waits(tmp_path: Path, name: str, step: str) -> None:
    """Also a signal that nobody handles: there is no moment at which an old file is gone."""
    (tmp_path / "a").write_bytes(b"old a")
    (tmp_path / "b").write_bytes(b"old b")
    program = f"""
import os, signal
from sevlab.cases.writing import write_files
real = os.{step}
def signalled(*given):
    os.kill(os.getpid(), signal.{name})
    real(*given)
os.{step} = signalled
write_files([("a", b"new a", "A"), ("b", b"new b", "B")], force=True)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == -getattr(signal, name) or b"KeyboardInterrupt" in done.stderr
    assert contents(tmp_path) == {"a": b"new a", "b": b"new b"}


def write_and(path: str, then: Callable[[], object], force: bool = False) -> None:
    with whole_file(path, "X", force=force) as stream:
        stream.write(b"half")
        then()


def test_a_stream_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, SystemExit, OSError(28, "No space left on device"), ValueError):

        def fail(error: BaseException | type[BaseException] = error) -> None:
            raise error

        with pytest.raises((KeyboardInterrupt, SystemExit, InputError)):
            write_and(str(tmp_path / "x"), fail)
        assert not list(tmp_path.iterdir())


def test_what_a_function_was_given_is_not_replaced_either(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with opened_once():
        note_input(str(tmp_path / "x"))
        with pytest.raises(InputError, match="which is an input"):
            write_files([(str(tmp_path / "x"), b"new", "X")], force=True)
    write_files([(str(tmp_path / "x"), b"new", "X")], force=True)


def test_a_file_that_appears_or_becomes_an_input_meanwhile(tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "y"
    path.write_bytes(b"old")
    with opened_once(), pytest.raises(InputError, match="which is an input"):
        write_and(str(path), lambda: note_input(str(path)), force=True)
    assert path.read_bytes() == b"old"
    with pytest.raises(InputError, match="which exists"):
        write_and(str(other), lambda: other.write_bytes(b"somebody's"))
    assert other.read_bytes() == b"somebody's"


def test_a_file_system_without_links_replaces_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "a").write_bytes(b"old a")
    monkeypatch.setattr(writing.os, "link", refuse)
    write_files([(str(tmp_path / "a"), b"new a", "A"), (str(tmp_path / "b"), b"new b", "B")], force=True)
    assert contents(tmp_path) == {"a": b"new a", "b": b"new b"}


def test_help_tells_of_force(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("measure", "explain"):
        assert main([verb, "--help"]) == 0
        assert "--force" in capsys.readouterr().out


def test_json_says_where_it_was_written(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv("measure", "kernel.bin", "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outfile"] == "out"


@pytest.mark.parametrize("verb", ["build", "update"])
def test_no_raw_bytes_go_to_a_terminal(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    assert run(capsys, "vmsa", "build", "--cpu=0", *VMSA, str(page))[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(page.read_bytes())))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    status, err = run(capsys, "vmsa", verb, "--cpu=0", *VMSA, "-")
    assert status == 2
    assert "'-' on a terminal; needed a file or a pipe" in err
