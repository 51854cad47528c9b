"""What must not leave the house stays in it: marks in paths, command lines and words, looked for in every byte."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from sevlab import Secret
from sevlab.cases.bundle import load_bundle, open_case, pack_case
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import read_case, record_explanation, write_case
from sevlab.cases.redact import redact_case
from sevlab.cases.verify import case_as_dict, verify_case
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.labs import samples as sev
from tests.cases.test_bundle import SAMPLES, Told, inputs_of
from tests.key_forms import TEK, TIK, shown

#: Words that nothing else has in it, by where they stand.
MARKS = {
    name: f"mark{name}zq"
    for name in ("folder", "candidates", "kernel", "cmdline", "wrong", "origin", "told", "firmware", "report", "key")
}


def marks_in(raw: bytes) -> set[str]:
    """Return the marks in some bytes: as they are, in hex, in base64 at any of its three positions."""
    found = set()
    for name, mark in MARKS.items():
        plain = mark.encode()
        forms = [plain, plain.hex().encode(), plain.hex().upper().encode()]
        forms += [base64.b64encode(bytes(at) + plain)[4 * at // 3 + 2 : -6] for at in range(3)]
        found |= {name for form in forms if form in raw}
    return found


def everything_in(bundle: Path, capsys: pytest.CaptureFixture[str]) -> bytes:
    """Return every byte of a bundle, its members once more as they are unpacked, and what is shown of it."""
    with zipfile.ZipFile(bundle) as archive:
        raw = [archive.read(name) + name.encode() for name in archive.namelist()]
    main(["case", "show", str(bundle)])
    main(["case", "show", "--json", str(bundle)])
    return b"".join([bundle.read_bytes(), *raw, capsys.readouterr().out.encode()])


def hashes_of(*texts: str) -> list[bytes]:
    """Return the SHA-256 of texts that can be guessed, with and without the zero byte that QEMU puts after them."""
    digests = [hashlib.sha256(text.encode() + end).digest() for text in texts for end in (b"", b"\0")]
    return [form for digest in digests for form in (digest, digest.hex().encode(), base64.b64encode(digest)[:-2])]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody's files: all are marked by name, and so are the folders."""
    folder = tmp_path / MARKS["folder"]
    (folder / MARKS["candidates"]).mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name, source in (
        (f"{MARKS['firmware']}.fd", "firmware-kernel.fd"),
        (f"{MARKS['firmware']}-snp.fd", "firmware-snp.fd"),
        (f"{MARKS['candidates']}/{MARKS['kernel']}-right", "kernel.bin"),
        (f"{MARKS['report']}.bin", "report-snp.bin"),
        (f"{MARKS['report']}.der", "vcek-snp.der"),
        (f"{MARKS['key']}.bin", "tk.bin"),
    ):
        (folder / name).write_bytes((SAMPLES / source).read_bytes())
    (folder / f"{MARKS['kernel']}-wrong").write_bytes(b"another kernel")
    return folder


def marked(kind: str, home: Path) -> Case:
    """A launch with marks, explained by another kernel and another command line."""
    inputs = dict(inputs_of(kind))
    ending = "-snp" if kind == "snp" else ""
    for name in ("tik", "tek"):
        inputs.pop(name, None)
    inputs |= {
        "firmware": str(home / f"{MARKS['firmware']}{ending}.fd"),
        "kernel": str(home / f"{MARKS['kernel']}-wrong"),
        "cmdline": f"root=/dev/{MARKS['wrong']}",
    }
    if kind == "snp":
        inputs |= {"report": str(home / f"{MARKS['report']}.bin"), "vcek": str(home / f"{MARKS['report']}.der")}
        inputs.pop("chain")
    else:
        inputs["tk"] = str(home / f"{MARKS['key']}.bin")
    found = {"kernel": str(home / MARKS["candidates"] / f"{MARKS['kernel']}-right"), "cmdline": sev.CMDLINE}
    words = f"--kernel: given {inputs['kernel']}, but {found['kernel']} fits; --cmdline: given {inputs['cmdline']}"

    class Marked(Told):
        sentence = f"{words}. {MARKS['told']}, in {home} and {home / MARKS['candidates']}"

    origin = dict.fromkeys(inputs, f"{MARKS['origin']}, {home}/x, named by the host /opt/{MARKS['folder']}/y")
    case = make_case(inputs, origin, {"title": "on purpose", "note": "on purpose too"})
    return record_explanation(case, Marked(found))


@pytest.mark.parametrize("kind", ["seves", "snp"])
def test_no_folder_gets_into_a_bundle(
    kind: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = marked(kind, home)
    assert MARKS["folder"] not in case.about["explanation"]
    assert MARKS["candidates"] not in case.about["explanation"]
    out = tmp_path / "out.sevcase"
    pack_case(case, str(out))
    raw = everything_in(out, capsys)
    assert not {"folder", "candidates"} & marks_in(raw)
    assert {"kernel", "origin", "told", "wrong"} <= marks_in(raw), "the names of files do"
    assert str(tmp_path).encode() not in raw


@pytest.mark.parametrize("kind", ["seves", "snp"])
def test_nothing_that_was_loaded_is_told_beside_its_digest(
    kind: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = marked(kind, home), tmp_path / "out.sevcase"
    write_case(case, "case.toml")
    assert main(["case", "redact", "case.toml", "--digest-only", "-o", str(out)]) == 0
    assert not marks_in(capsys.readouterr().out.encode())
    raw = everything_in(out, capsys)
    assert marks_in(raw) == set()
    assert b"on purpose" in raw
    names = [path.name for path in home.rglob("*")]
    loaded = [path for path in home.rglob("*") if path.suffix == ".fd" or "right" in path.name or "wrong" in path.name]
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in loaded]
    both = [case.inputs["cmdline"], sev.CMDLINE]
    for form in [*hashes_of(*both, *names, str(home)), *digests, *(digest.hex().encode() for digest in digests)]:
        assert form not in raw
    assert sev.CMDLINE.encode() not in raw
    with open_case(str(out)) as again:
        assert again.found
        if kind == "seves":
            assert verify_case(again, tk=f"{MARKS['key']}.bin").explanation == "holds"


def test_a_redacted_launch_of_snp_keeps_what_is_searched_with(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = marked("snp", home), tmp_path / "out.sevcase"
    pack_case(redact_case(case, str(tmp_path)), str(out))
    raw = everything_in(out, capsys)
    assert marks_in(raw) == {"wrong"}, "the command line, without which no other could be tried"
    firmware = Path(str(case.inputs["firmware"])).read_bytes()
    assert hashlib.sha256(firmware).hexdigest().encode() not in raw
    bundle = load_bundle(str(out))
    assert set(bundle.case.origin) >= {"firmware", "ovmf_hash", "kernel", "report"}
    again = redact_case(case, str(tmp_path))
    assert "explanation" not in again.about
    with open_case(str(out)) as packed:
        assert verify_case(packed).explanation == "holds"


def test_case_new_writes_explanations_without_folders(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch = {name: value for name, value in inputs_of("seves").items() if name not in ("tik", "tek", "initrd")}
    launch |= {"firmware": f"{home}/{MARKS['firmware']}.fd", "kernel": f"{home}/{MARKS['kernel']}-wrong"}
    launch |= {"initrd": inputs_of("seves")["initrd"], "tk": f"{home}/{MARKS['key']}.bin"}
    options = [word for name, value in launch.items() for word in ("--" + name.replace("_", "-"), str(value))]
    options += ["--diagnose", "--candidates", f"{home}/{MARKS['candidates']}", "--note", "on purpose"]
    for out in ("case.toml", str(tmp_path / "new.sevcase")):
        assert main(["case", "new", *options, "-o", out]) == 0
    capsys.readouterr()
    told = read_case("case.toml").about["explanation"]
    assert f"{MARKS['kernel']}-right" in told
    assert not {"folder", "candidates"} & marks_in(told.encode())
    assert not {"folder", "candidates"} & marks_in(everything_in(tmp_path / "new.sevcase", capsys))
    assert main(["case", "redact", str(tmp_path / "new.sevcase"), "--digest-only", "-o", "red.sevcase"]) == 0
    capsys.readouterr()
    assert marks_in(everything_in(Path("red.sevcase"), capsys)) == set()


# Keys of a bundle.


@pytest.fixture
def with_keys(tmp_path: Path) -> Path:
    """A bundle with keys in it."""
    for name, raw in (("tk.bin", TEK + TIK), ("tik.bin", TIK), ("tek.bin", TEK)):
        (tmp_path / name).write_bytes(raw)
    inputs = dict(inputs_of("sev")) | {"tk": str(tmp_path / "tk.bin")}
    pack_case(make_case(inputs), str(tmp_path / "keys.sevcase"), with_keys=True)
    return tmp_path / "keys.sevcase"


def test_the_keys_of_an_opened_bundle_are_on_no_disk(
    with_keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with open_case(str(with_keys)) as case:
        assert isinstance(case.inputs["tk"], Secret)
        files = [path for path in temporary.rglob("*") if path.is_file()]
        assert len(files) == 3, "manifest, case, firmware"
        assert not any(shown(path.read_bytes()) for path in files)
        assert all(path.stat().st_mode & 0o077 == 0 for path in temporary.iterdir())
        assert not verify_case(case).matches
    assert list(temporary.iterdir()) == []


def test_the_keys_of_a_bundle_are_used_and_packed_again(
    with_keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again.sevcase"
    with open_case(str(with_keys)) as case:
        pack_case(case, str(again), with_keys=True)
        with pytest.raises(TypeError):
            json.dumps(case.inputs)
        assert "hidden" in json.dumps(case_as_dict(case))
    assert again.read_bytes() == with_keys.read_bytes()
    assert main(["validate", "--case", str(again)]) == 1
    assert main(["explain", "--case", str(again)]) == 1
    assert main(["diagnose", "--case", str(again), "--budget", "1", "--max-changes", "1"]) == 1
    assert main(["case", "new", "--case", str(again), "-o", str(tmp_path / "file.toml")]) == 0
    said = capsys.readouterr()
    assert "the keys in the bundle are not in it" in said.out
    assert not shown(said.out + said.err)
    assert "tk" not in read_case(str(tmp_path / "file.toml")).inputs
    assert main(["case", "unpack", str(again), str(tmp_path / "out")]) == 0
    key = Path(str(read_case(str(tmp_path / "out" / "case.toml")).inputs["tk"]))
    assert key.read_bytes() == TEK + TIK
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_bundle_whose_key_is_a_file_too_is_refused(with_keys: Path, tmp_path: Path) -> None:
    inputs = dict(inputs_of("sev")) | {"tk": str(tmp_path / "tk.bin"), "firmware": str(tmp_path / "copy.fd")}
    (tmp_path / "copy.fd").write_bytes(TEK + TIK)
    with pytest.raises(InputError, match="firmware: received the file of a key"):
        pack_case(make_case(inputs), str(tmp_path / "bad.sevcase"), with_keys=True)
    assert not os.path.exists(tmp_path / "bad.sevcase")
