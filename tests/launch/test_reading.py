"""What is opened, how often, and what a stranger's case may have opened."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import sevlab
from sevlab.cases.case_toml import read_case, write_case
from sevlab.cases.verify import verify_case
from sevlab.cli import main
from sevlab.diagnosis.run import diagnose
from sevlab.errors import InputError
from sevlab.labs import sample_files, samples
from sevlab.launch import reading
from sevlab.launch.reading import CasePath, open_input, opened_once
from tests.soak import many, pairs, some

LAUNCH = ["--measurement", base64.b64encode(samples.measurement()).decode()]
LAUNCH += ["--api-major=0", "--api-minor=22", "--build-id=13", "--policy=1"]
SNP = ["--vcpus=1", "--vcpu-type=EPYC-Milan"]
LOADED = ["--kernel=@kernel.bin", "--initrd=@initrd.bin", "--append=console=ttyS0", "--vcpus=4", SNP[1]]
REPORT = ["--vcek=@vcek-snp.der", "--chain=@chain-snp.pem", "--trust-root=@ark-snp.der", "--at=2026-01-01"]
KERNEL = ["--firmware=@firmware-kernel.fd", "--kernel=@kernel.bin", "--initrd=@initrd.bin", "--cmdline=x"]

#: Verbs by name, with the inputs that may be pipes; @ stands before each.
PIPED = {
    "validate": ["validate", *LAUNCH, "--firmware=@firmware.fd", "--tk=@tk.bin"],
    "validate --tik": ["validate", *LAUNCH, "--firmware=firmware.fd", "--tik=@tik.bin", "--tek=@tek.bin"],
    "validate --case": ["validate", "--case=@case.toml"],
    "validate --case, a bundle": ["validate", "--case=@case.sevcase", "--tk=@tk.bin"],
    "validate, a secret": [
        *("validate", *LAUNCH, "--firmware=@firmware.fd", "--tk=@tk.bin"),
        *("--inject-secret=luks-key:@secret", "--secret-header=h", "--secret-payload=p"),
    ],
    "explain": ["explain", *LAUNCH, "--firmware=@firmware.fd", "--tk=@tk.bin", "--json"],
    "explain --case": ["explain", "--case=@case.toml", "--json"],
    "diagnose": ["diagnose", *LAUNCH[:-1], "--policy=3", "--firmware=@firmware.fd", "--tk=@tk.bin"],
    "diagnose --case": ["diagnose", "--case=@case.toml"],
    "diagnose --mode snp": ["diagnose", "--mode=snp", "--ovmf=@firmware-snp.fd", "--report=@report-snp.bin", *LOADED],
    "digest": ["digest", "--mode=snp", "--ovmf=@firmware-snp.fd", "--kernel=@kernel.bin", *SNP],
    "digest --mode seves": ["digest", "--mode=seves", "--ovmf=@firmware-snp.fd", *SNP],
    "measure": [
        *("measure", *LAUNCH[2:], "--tik=@tik.bin", "--nonce=@nonce", "--firmware=@firmware-kernel.fd"),
        *("--kernel=@kernel.bin", "--initrd=@initrd.bin", "--cmdline=x"),
    ],
    "ovmf": ["ovmf", "@firmware-snp.fd", "--json"],
    "report show": ["report", "show", "@report-snp.bin", "--json"],
    "report verify": ["report", "verify", "@report-snp.bin", *REPORT],
    "vmsa show": ["vmsa", "show", "@page"],
    "case new": ["case", "new", *LAUNCH, "--firmware=@firmware.fd", "--when=now", "-oout.sevcase"],
    "case show": ["case", "show", "@case.toml"],
    "case show, a bundle": ["case", "show", "@case.sevcase"],
    "case verify": ["case", "verify", "@case.toml", "--tk=@tk.bin"],
    "case verify, a bundle": ["case", "verify", "@case.sevcase", "--tk=@tk.bin"],
    "case pack": ["case", "pack", "@case.toml", "-oout.sevcase"],
    "case redact": ["case", "redact", "@case.sevcase", "-oout.sevcase", "--digest-only"],
    "coverage": ["coverage", "--case=@case.toml"],
    "secret build": [
        *("secret", "build", "--tk=@tk.bin", f"--launch-measure-blob={LAUNCH[1]}", "--secret=luks-key:@secret"),
        *(f"--iv={'00' * 16}", "h", "p"),
    ],
    "capture": ["capture", "--domlaunchsecinfo=@secinfo", "--firmware=firmware.fd", "--tk=tk.bin", "-oout.toml"],
}
SECINFO = "sev-measurement: {}\nsev-api-major  : 0\nsev-api-minor  : 22\nsev-build-id   : 13\nsev-policy     : 1\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    sample_files.write_samples(folder)
    files = [f"--firmware={folder}/firmware.fd", f"--tk={folder}/tk.bin"]
    for name in ("case.toml", "case.sevcase"):
        assert main(["case", "new", *LAUNCH, *files, "--when=now", f"-o{folder}/{name}"]) == 0
    assert main(["vmsa", "build", "--cpu=0", "--vcpu-type=EPYC-Milan", f"{folder}/page"]) == 0
    (folder / "secinfo").write_text(SECINFO.format(LAUNCH[1]))
    (folder / "secret").write_bytes(bytes(range(40)))
    (folder / "nonce").write_bytes(bytes(range(16)))
    return folder


@pytest.fixture
def desk(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    monkeypatch.chdir(tmp_path)
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


@contextmanager
def fed(path: Path, content: bytes) -> Iterator[None]:
    """A named pipe, and somebody who writes to it, once."""
    os.mkfifo(path)

    def feed() -> None:
        try:
            with path.open("wb") as stream:
                stream.write(content)
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    yield
    try:  # whoever was not read must not wait for ever
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    finally:
        thread.join(20)
    assert not thread.is_alive()


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[bytes]]:
    for name in ("h", "p", "out.sevcase", "out.toml"):
        Path(name).unlink(missing_ok=True)
    capsys.readouterr()
    status = main(words)
    out, err = capsys.readouterr()
    outputs = [Path(name).read_bytes() for name in ("out.sevcase", "out.toml") if Path(name).exists()]
    timeless = [line for line in out.splitlines() if "seconds" not in line and "tried" not in line]
    assert "ERROR" not in err, err
    return status, "\n".join(timeless), outputs


def piped(verb: str) -> list[str]:
    return [word.partition("@")[2] for word in PIPED[verb] if "@" in word]


@pytest.mark.parametrize("verb", PIPED)
def test_a_pipe_gives_the_same_answer_as_the_file(desk: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = answer([word.replace("@", "") for word in PIPED[verb]], capsys)
    for name in some(piped(verb), 1):
        with fed(desk / "pipe", (desk / name).read_bytes()):
            words = [word.replace(f"@{name}", "pipe").replace("@", "") for word in PIPED[verb]]
            status, out, outputs = answer(words, capsys)
        os.unlink("pipe")
        assert (status, out.replace("pipe", name)) == (expected[0], expected[1])
        if verb != "case new":  # which notes the name of the file that it packs
            assert outputs == expected[2]


@pytest.mark.parametrize("verb", some(PIPED, 3))
def test_process_substitution_and_standard_input(desk: Path, verb: str) -> None:
    names = piped(verb)
    program = [sys.executable, "-m", "sevlab"]
    plain = [word.replace("@", "") for word in PIPED[verb]]

    def run(words: list[str], **options: object) -> tuple[int, bytes]:
        for name in ("h", "p", "out.sevcase", "out.toml"):
            Path(name).unlink(missing_ok=True)
        done = subprocess.run([*program, *words], stdout=subprocess.PIPE, timeout=120, **options)
        lines = [line for line in done.stdout.splitlines() if b"seconds" not in line and b"tried" not in line]
        return done.returncode, b"\n".join(lines)

    expected = run(plain)
    for name in some(names, 1):
        reader, writer = os.pipe()
        content = (desk / name).read_bytes()
        thread = threading.Thread(target=write_all, args=(writer, content))
        thread.start()
        words = [word.replace(f"@{name}", f"/dev/fd/{reader}").replace("@", "") for word in PIPED[verb]]
        status, out = run(words, pass_fds=[reader])
        os.close(reader)
        thread.join()
        assert (status, out.replace(b"/dev/fd/%d" % reader, name.encode())) == expected
        for spelled in ("-", "/dev/stdin"):
            words = [word.replace(f"@{name}", spelled).replace("@", "") for word in PIPED[verb]]
            status, out = run(words, input=content)
            assert status == expected[0]


def write_all(writer: int, content: bytes) -> None:
    with os.fdopen(writer, "wb") as stream:
        stream.write(content)


def wait_until_open(name: str, process: subprocess.Popen[str]) -> None:
    """Wait until a process has opened a file, however long it takes to start on a busy machine."""
    path, folder = os.path.realpath(name), Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        with contextlib.suppress(OSError):  # closed while we look
            if path in map(os.readlink, folder.iterdir()):
                return
        time.sleep(0.02)


def test_a_pipe_is_waited_for_and_an_interrupt_ends_it(desk: Path) -> None:
    os.mkfifo("pipe")
    for words in (["validate", *LAUNCH, "--firmware=pipe", "--tk=tk.bin"], ["report", "show", "pipe"]):
        process = subprocess.Popen([sys.executable, "-m", "sevlab", *words], stderr=subprocess.PIPE, text=True)
        wait_until_open("pipe", process)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (130, "Interrupted.\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "sevlab", "validate", *LAUNCH, "--firmware=pipe", "--tk=tk.bin"], stdout=subprocess.PIPE
    )
    time.sleep(0.3)
    with open("pipe", "wb") as stream:
        stream.write(samples.firmware()[:1000])
        stream.flush()
        time.sleep(0.3)
        stream.write(samples.firmware()[1000:])
    assert process.communicate(timeout=20)[0] == b"OK: Looks good to me\n"


def test_a_case_file_does_not_name_a_pipe(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fed(desk / "pipe", samples.firmware()):
        assert main(["case", "new", *LAUNCH, "--firmware=pipe", "-oout.toml"]) == 2
    err = capsys.readouterr().err
    assert "which a case file can name" in err
    assert ".sevcase" in err
    assert not Path("out.toml").exists()


# --- once


ONCE = {**PIPED, "explain, a kernel": ["explain", *LAUNCH, *KERNEL, "--tk=@tk.bin"]}


@pytest.mark.parametrize("verb", ONCE)
def test_each_input_is_opened_once(
    desk: Path, verb: str, capsys: pytest.CaptureFixture[str], opened: list[str]
) -> None:
    names = [word.partition("@")[2] for word in ONCE[verb] if "@" in word]
    main([word.replace("@", "") for word in ONCE[verb]])
    for name in {*names, *(["firmware.fd"] if "case.toml" in names else [])}:
        assert [os.path.basename(path) for path in opened].count(name) <= 1


_opened: list[str] = []
_listening = False


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The paths that are opened, by whatever function. (What listens can't be taken away, but it can be silent.)"""
    global _listening
    if not _opened and not _listening:
        sys.addaudithook(lambda event, given: _opened.append(str(given[0])) if _listening and event == "open" else None)
    _opened.clear()
    _listening = True
    yield _opened
    _listening = False


@pytest.mark.parametrize("how", ["renamed", "written over"])
@pytest.mark.parametrize("verb", [["case", "verify"], ["validate", "--case"], ["explain", "--case"]], ids=" ".join)
def test_a_firmware_that_is_swapped_after_it_was_hashed(
    desk: Path, verb: list[str], how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recorded hash is that of the first file, the measurement that of the second: no moment is right."""
    good = (desk / "firmware.fd").read_bytes()
    bad = bytes([good[0] ^ 1]) + good[1:]
    (desk / "firmware.fd").write_bytes(bad)
    case = read_case("case.toml", own=True)
    write_case(case.replace(hashes={"firmware": hashlib.sha256(bad).hexdigest()}), "case.toml", force=True)
    real = sevlab.cases.case.Case.changed

    def swap(self: sevlab.cases.case.Case) -> object:
        found = real.fget(self)  # type: ignore[attr-defined]
        if how == "renamed":
            (desk / "new").write_bytes(good)
            os.replace(desk / "new", desk / "firmware.fd")
        else:
            (desk / "firmware.fd").write_bytes(good)
        return found

    monkeypatch.setattr(sevlab.cases.case.Case, "changed", property(swap))
    monkeypatch.setattr("sevlab.launch.inputs._known", {})
    assert main([*verb, "case.toml", "--tk=tk.bin"]) in (1, 2)
    assert "Looks good" not in capsys.readouterr().out


def test_a_second_pass_that_meets_other_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old!")
    with opened_once():
        with open_input(str(path), "X") as stream:
            assert stream.read() == b"old!"
        path.write_bytes(b"new!")
        with (
            pytest.raises(InputError, match=r"X: received .*which changed while it was read"),
            open_input(str(path), "X") as stream,
        ):
            stream.read()
    with open_input(str(path), "X") as stream:  # another command
        assert stream.read() == b"new!"


def test_a_kept_file_is_what_every_pass_of_the_command_reads(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old!")
    with opened_once():
        with open_input(str(path), "X") as stream:
            assert stream.read_up_to(64, keep=True) == b"old!"
        path.write_bytes(b"newer")
        with open_input(str(path), "X", hashed=True) as stream:
            assert stream.seek(0, 2) == 4
            stream.seek(0)
            assert stream.read() == b"old!"
            assert stream.hashed is not None
            assert stream.hashed[1].digest() == hashlib.sha256(b"old!").digest()
    with open_input(str(path), "X") as stream:  # another command
        assert stream.read_up_to(4, keep=True) == b"newer"  # more than the limit: nothing is kept
        assert stream.raw.source.whole is None


def test_the_swap_of_every_three_milliseconds(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = (desk / "firmware.fd").read_bytes()
    bad = bytes([good[0] ^ 1]) + good[1:]
    case = read_case("case.toml", own=True)
    write_case(case.replace(hashes={"firmware": hashlib.sha256(bad).hexdigest()}), "case.toml", force=True)
    done = threading.Event()

    def swap() -> None:
        number = 0
        while not done.wait(0.003):
            number += 1
            Path("next").write_bytes((good, bad)[number % 2])
            os.replace("next", "firmware.fd")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(many(400, 30)):
            capsys.readouterr()
            status = main(["case", "verify", "case.toml", "--tk=tk.bin"])
            assert status in (1, 2)
    finally:
        done.set()
        thread.join()


def test_a_changed_file_is_noticed_by_the_next_call(tmp_path: Path) -> None:
    """What is remembered ends with the call: a widget, which asks at each key press, is not blind."""
    sample_files.write_samples(tmp_path)
    given = {
        "measurement": LAUNCH[1],
        "api_major": 0,
        "api_minor": 22,
        "build_id": 13,
        "policy": 1,
        **{name: str(tmp_path / file) for name, file in {"firmware": "firmware.fd", "tk": "tk.bin"}.items()},
    }
    before = sevlab.load_evidence(**given).digest
    (tmp_path / "firmware.fd").write_bytes(b"another")
    assert sevlab.load_evidence(**given).digest == hashlib.sha256(b"another").digest() != before


def test_many_inputs_do_not_use_up_the_files_of_the_process(tmp_path: Path) -> None:
    with opened_once():
        for number in range(200):
            (tmp_path / str(number)).write_bytes(b"%d" % number)
            with open_input(str(tmp_path / str(number)), "X") as stream:
                assert stream.read() == b"%d" % number
        if os.path.isdir("/proc/self/fd"):
            assert len(os.listdir("/proc/self/fd")) < 150
        (tmp_path / "199").write_bytes(b"other")
        with pytest.raises(InputError, match="changed"), open_input(str(tmp_path / "199"), "X") as stream:
            stream.read()


def test_a_large_pipe_is_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_IN_MEMORY", 1000)
    spilled = []
    real = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: spilled.append(1) or real())
    content = bytes(range(256)) * 400
    with opened_once(patient=True), fed(tmp_path / "pipe", content):
        for _ in range(3):
            with open_input(str(tmp_path / "pipe"), "X") as stream:
                assert stream.read(4) == content[:4]
                assert stream.read() == content[4:]
                assert stream.seek(0, os.SEEK_END) == len(content)
                stream.seek(-100, os.SEEK_END)
                assert stream.read() == content[-100:]
    assert spilled == [1]


# --- devices


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "/dev/random", "/dev/kmsg", "/proc/kmsg", "/dev/mem"])
def test_devices_are_refused_unopened(
    desk: Path, name: str, capsys: pytest.CaptureFixture[str], opened: list[str]
) -> None:
    if not os.path.exists(name):
        pytest.skip(f"no {name} here")
    for words in (["validate", *LAUNCH, f"--firmware={name}", "--tk=tk.bin"], ["report", "show", name], ["ovmf", name]):
        assert main(words) == 2
        assert ", a device; needed a file" in capsys.readouterr().err
    assert name not in opened


def test_a_device_of_ones_own_is_refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        os.mknod("node", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except OSError:
        pytest.skip("no device can be made here")
    assert main(["ovmf", "node"]) == 2
    assert "a device" in capsys.readouterr().err


def test_the_null_device_is_empty(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = hashlib.sha256(b"").digest()
    with open_input("/dev/null", "X", hashed=True) as stream:
        assert stream.read() == b""
        assert stream.hashed is not None
        assert stream.hashed[1].digest() == empty
    assert main(["validate", *LAUNCH, "--firmware=/dev/null", "--tk=tk.bin"]) == 2
    assert "an empty file" in capsys.readouterr().err


# --- what a case names


ZEROS = "0" * 64


def stranger(folder: Path, **owner: object) -> str:
    """A case file of somebody else, whose paths are these; a file is (path, sha256)."""
    lines = ["format = 2", "[reported]", f'measurement = "{LAUNCH[1]}"', "api-major = 0", "api-minor = 22"]
    lines += ["build-id = 13", "policy = 1", "[owner]"]
    for name, value in owner.items():
        shown = json.dumps(str(value))
        if isinstance(value, tuple):
            shown = f"{{ path = {json.dumps(str(value[0]))}, sha256 = {json.dumps(value[1])} }}"
        lines.append(f"{name} = {shown}")
    folder.mkdir(exist_ok=True)
    (folder / "c.toml").write_text("\n".join(lines) + "\n")
    return str(folder / "c.toml")


#: Verbs that open what a case names; {c} is the case.
OPENING = [
    *(["validate", "--case={c}", "--tk=tk.bin"], ["explain", "--case={c}", "--tk=tk.bin"]),
    *(["diagnose", "--case={c}", "--tk=tk.bin", "--budget=1"], ["case", "verify", "{c}", "--tk=tk.bin"]),
    *(["digest", "--mode=sev", "--case={c}"], ["case", "pack", "{c}", "-oout.sevcase"]),
    *(["case", "redact", "{c}", "-oout.sevcase"], ["case", "new", "--case={c}", "-oout.sevcase"]),
]


def refused(words: list[str], path: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    started = time.monotonic()
    assert main([word.format(c=path) for word in words]) == 2
    assert time.monotonic() - started < 20
    out, err = capsys.readouterr()
    assert "ERROR" in err
    assert not Path("out.sevcase").exists()
    return out + err


@pytest.mark.parametrize("words", OPENING, ids=lambda words: " ".join(words[:2]))
def test_a_case_tells_nothing_of_a_file_elsewhere(
    desk: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("shadow").write_bytes(b"root:" + bytes(range(200)))
    told = refused(words, stranger(desk / "in", firmware=(desk / "shadow", ZEROS)), capsys)
    assert hashlib.sha256(Path("shadow").read_bytes()).hexdigest() not in told
    assert "205" not in told
    assert "--own-case" in told or "SHA-256 0000" in told


NAMED = [
    "/dev/kmsg",
    "/proc/kmsg",
    "/dev/zero",
    "/dev/null",
    "/dev/stdin",
    "/dev/fd/0",
    "/proc/self/environ",
    "/proc/version",
]


@pytest.mark.parametrize(("name", "words"), pairs(NAMED, OPENING))
def test_a_case_names_no_device_and_no_program(
    desk: Path, words: list[str], name: str, capsys: pytest.CaptureFixture[str], opened: list[str]
) -> None:
    refused(words, stranger(desk / "in", firmware=(name, ZEROS)), capsys)
    assert name not in opened
    (desk / "in" / "fw").symlink_to(name)
    refused(words, stranger(desk / "in", firmware=("fw", ZEROS)), capsys)
    assert name not in opened


@pytest.mark.parametrize("words", OPENING, ids=lambda words: " ".join(words[:2]))
def test_a_case_names_no_pipe(desk: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "in").mkdir()
    os.mkfifo(desk / "in" / "fw")
    refused(words, stranger(desk / "in", firmware=("fw", ZEROS)), capsys)


def test_a_link_leads_nowhere_outside(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = hashlib.sha256(Path("firmware.fd").read_bytes()).hexdigest()
    path = stranger(desk / "in", firmware=("fw", right))
    (desk / "in" / "fw").symlink_to(desk / "firmware.fd")
    words = ["validate", f"--case={path}", "--tk=tk.bin"]
    assert "a link out of the case's folder" in refused(words, path, capsys)
    assert main([*words, "--own-case"]) == 0
    (desk / "in" / "fw").unlink()
    (desk / "in" / "there").write_bytes(Path("firmware.fd").read_bytes())
    (desk / "in" / "fw").symlink_to("there")
    assert main(words) == 0


def test_the_recorded_file_is_opened_wherever_it_is(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a case of sevlab capture, which names /usr/share/OVMF/OVMF.fd."""
    right = hashlib.sha256(Path("firmware.fd").read_bytes()).hexdigest()
    for named in (desk / "firmware.fd", "../firmware.fd"):
        assert (
            main(["validate", f"--case={stranger(desk / 'in', firmware=(named, right.upper()))}", "--tk=tk.bin"]) == 0
        )
    wrong = stranger(desk / "in", firmware=(desk / "firmware.fd", ZEROS))
    assert main(["validate", f"--case={wrong}", "--tk=tk.bin"]) == 2
    capsys.readouterr()
    assert main(["validate", f"--case={wrong}", "--tk=tk.bin", "--own-case"]) == 0
    assert "has changed" in capsys.readouterr().err


def test_a_changed_file_in_the_folder_is_told_as_before(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stranger(desk / "in", firmware=("fw", ZEROS))
    (desk / "in" / "fw").write_bytes(samples.firmware())
    assert main(["validate", f"--case={path}", "--tk=tk.bin"]) == 0
    assert f"now {hashlib.sha256(samples.firmware()).hexdigest()}" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "place"), pairs([0, 7, 15, 17, 32, 4096], ["in", "."]))
def test_a_file_of_another_size_is_no_key(
    desk: Path, size: int, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytes(range(256)) * 16
    (desk / "in").mkdir()
    (desk / place / "other-secret").write_bytes(content[:size])
    path = stranger(desk / "in", tik=desk / place / "other-secret")
    for more in ([], ["--own-case"]):
        words = ["case", "pack", "{c}", "-oout.sevcase", "--with-keys", *more]
        assert "key" in refused(words, path, capsys)
    fresh = ["case", "new", *LAUNCH, f"--tik={desk / place / 'other-secret'}", "-oout.toml"]
    assert main(fresh) == 2
    if place == ".":
        told = refused(["case", "verify", "{c}", "--json"], stranger(desk / "in", **key_and_firmware(desk)), capsys)
        assert f"{size} bytes" not in told or size in (16, 32)


def key_and_firmware(desk: Path) -> dict[str, object]:
    right = hashlib.sha256(Path("firmware.fd").read_bytes()).hexdigest()
    key = desk / "other-secret"
    return {"firmware": (desk / "firmware.fd", right), "tik": key, "tek": key}


def test_a_key_elsewhere_is_packed_when_the_case_is_ones_own(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = hashlib.sha256(Path("firmware.fd").read_bytes()).hexdigest()
    path = stranger(desk / "in", firmware=(desk / "firmware.fd", right), tk=desk / "tk.bin")
    assert main(["validate", f"--case={path}"]) == 0  # it is used; another test asks what is said of it
    words = ["case", "pack", path, "-oout.sevcase"]
    assert main([*words, "--with-keys"]) == 2
    assert "outside the case's folder" in capsys.readouterr().err
    assert main(words) == 0
    assert main([*words, "--with-keys", "--own-case", "--force"]) == 0


def test_a_path_of_a_case_stays_one(tmp_path: Path) -> None:
    import copy
    import pickle

    path = CasePath("a/b", "a", ZEROS)
    for other in (str(path), copy.deepcopy(path), pickle.loads(pickle.dumps(path))):
        assert isinstance(other, CasePath)
        assert (other, other.folder, other.sha256) == ("a/b", "a", ZEROS)
    assert path == "a/b"
    case = read_case(stranger(tmp_path / "in", firmware=("fw", ZEROS)))
    assert isinstance(case.merged({})[0]["firmware"], CasePath)
    assert type(read_case(case.path, own=True).inputs["firmware"]) is str


# --- the budget


@pytest.mark.parametrize("mode", ["sev", "snp"])
def test_the_budget_holds_inside_a_file(desk: Path, mode: str) -> None:
    Path("many").mkdir()
    for number in range(6):
        with open(f"many/{number}", "wb") as stream:
            stream.truncate((1 << 30) + number)
    started = time.monotonic()
    if mode == "sev":
        given = {"measurement": LAUNCH[1], "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 3}
        found = diagnose(
            {**given, "firmware": "firmware.fd", "tk": "tk.bin"}, candidates="many", budget=0.6, max_changes=1
        )
    else:
        launch = {"firmware": "firmware-snp.fd", "num_cpus": 1, "cpu_signature": 0xA00F11}
        found = sevlab.diagnose(launch, "11" * 48, candidates="many", budget=0.6, max_changes=1)
    assert time.monotonic() - started < 2.5
    assert any("time or number did not allow it" in one or "ended early" in one for one in found.not_tried)


def test_the_budget_holds_while_the_inputs_are_read(desk: Path) -> None:
    with open("kernel", "wb") as stream:
        stream.truncate(2 << 30)
    given = {"measurement": LAUNCH[1], "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 3}
    given |= {"firmware": "firmware-kernel.fd", "tk": "tk.bin", "kernel": "kernel"}
    started = time.monotonic()
    found = diagnose(given, budget=0.3)
    assert time.monotonic() - started < 2
    assert found.status == "unexplained"
    assert "the budget of 0.3 seconds" in str(found.explain())


def test_verify_case_uses_what_it_hashed(desk: Path) -> None:
    assert verify_case(read_case("case.toml", own=True)).matches


def test_reading_stays_light(desk: Path) -> None:
    """A validation without a pipe and without an output needs none of these. (The signals of a run are handled.)"""
    heavy = ("sevlab.cases.writing", "tempfile", "shutil", "select", "threading")
    words = ["validate", *LAUNCH, "--firmware=firmware.fd", "--tk=tk.bin"]
    code = f"import sys; from sevlab.cli import main; main({words!r});"
    code += f" print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=light(), check=True)
    assert done.stdout.splitlines() == ["OK: Looks good to me", "[]"]


def light() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(sevlab.__file__).parent.parent)}
