"""``sevlab secret``: what is written, what is refused, what is said."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevlab.cases.writing import write_files
from sevlab.cli import main
from sevlab.errors import InputError
from tests.attestation.test_secret import DATA, HEADER, IV, MEASURE, TEK, TIK, sealed
from tests.paths import DOCS
from tests.soak import many

BLOB = MEASURE + bytes(range(0xE0, 0xF0))
BLOB64 = base64.b64encode(BLOB).decode()


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the keys of the worked example, and the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tik").write_bytes(TIK.reveal())
    (tmp_path / "tek").write_bytes(TEK.reveal())
    (tmp_path / "tk").write_bytes(TEK.reveal() + TIK.reveal())
    (tmp_path / "key").write_bytes(b"correct horse")
    return tmp_path


def build(*words: str, keys: str = "--tk tk", secret: str = "luks-key:key") -> int:
    given = ["--secret", secret] if secret else []
    return main(["secret", "build", *keys.split(), "--launch-measure-blob", BLOB64, *given, *words])


def opened(*words: str, keys: str = "--tk tk", blob: str = BLOB64) -> int:
    return main(["secret", "open", *keys.split(), "--launch-measure-blob", blob, *words])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    return err


def test_worked_example(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("H", "P", "--iv", IV.hex()) == 0
    assert Path("H").read_bytes().hex() == HEADER
    assert Path("P").read_bytes().hex() == DATA
    out, err = capsys.readouterr()
    assert "(LUKS disk key), 13 bytes" in out
    assert "header   H, 52 bytes" in out
    assert "payload  P, 64 bytes" in out
    assert err.startswith("WARNING: --iv is for reproducing")
    assert err.count("\n") == 1
    assert {file.name for file in owner.iterdir()} == {"H", "P", "tik", "tek", "tk", "key"}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(Path("H").stat().st_mode) == 0o666 & ~mask


def test_built_is_opened(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("H", "P", keys="--tik tik --tek tek") == 0
    assert capsys.readouterr().err == ""
    assert opened("H", "P", "--verbose") == 0
    out = capsys.readouterr().out
    assert "OK: The packet opens and holds 1 secret" in out
    assert b"correct horse".hex(" ")[:11] not in out
    assert "<13 bytes," in out
    assert opened("H", "P", "--show-secret") == 0
    assert "63 6f 72 72" in capsys.readouterr().out


def test_two_builds_differ(owner: Path) -> None:
    assert build("H", "P") == build("H2", "P2") == 0
    assert Path("P").read_bytes() != Path("P2").read_bytes()


@pytest.mark.parametrize("blob", [BLOB64, BLOB.hex(), "raw", "text", "hex"])
def test_forms_of_the_blob(owner: Path, blob: str) -> None:
    Path("raw").write_bytes(BLOB)
    Path("text").write_text(BLOB64 + "\n")
    Path("hex").write_text(BLOB.hex() + "\n")
    words = ["secret", "build", "--tk", "tk", "--launch-measure-blob", blob, "--secret", "luks-key:key", "H", "P"]
    assert main([*words, "--iv", base64.b64encode(IV).decode()]) == 0
    assert Path("H").read_bytes().hex() == HEADER
    assert opened("H", "P", blob=blob) == 0


def test_json(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("H", "P", "--iv", IV.hex(), "--json") == 0
    built = json.loads(capsys.readouterr().out)
    assert built["status"] == "built"
    assert base64.b64decode(built["header"]["base64"]).hex() == HEADER
    assert built["payload"] | {"base64": ""} == {"path": "P", "size": 64, "base64": ""}
    guid = "736869e5-84f0-4973-92ec-06879ce3da0b"
    assert built["secrets"] == [{"guid": guid, "name": "LUKS disk key", "size": 13}]
    assert len(built["warnings"]) == 1
    assert opened("H", "P", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "match"
    assert result["secrets"] == [{"guid": guid, "name": "LUKS disk key", "size": 13, "hex": None}]
    assert opened("H", "P", "--json", "--show-secret") == 0
    assert json.loads(capsys.readouterr().out)["secrets"][0]["hex"] == b"correct horse".hex()
    assert build("H", "P", "--json") == 2
    assert json.loads(capsys.readouterr().out)["status"] == "unusable"


def test_exit_status_of_open(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("H", "P") == 0
    capsys.readouterr()
    assert opened("H", "P", blob=base64.b64encode(bytes(48)).decode()) == 1
    assert "(bad: MAC)" in capsys.readouterr().out
    assert opened("H", "P", keys="--tik tik --tek tik") == 1
    assert "(bad: table)" in capsys.readouterr().out
    header, payload = sealed(bytes(64), flags=1)
    Path("H").write_bytes(header.to_bytes())
    Path("P").write_bytes(payload)
    assert opened("H", "P") == 1
    assert "(bad: flags)" in capsys.readouterr().out
    assert opened("P", "H") == 2
    assert "HEADER: received 64 bytes; needed 52 bytes" in one_line(capsys)


# Both files or none


def test_nothing_is_written_over(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("P").write_bytes(b"old")
    assert build("H", "P") == 2
    assert "PAYLOAD: received 'P', which exists" in one_line(capsys)
    assert not Path("H").exists()
    assert Path("P").read_bytes() == b"old"
    assert build("H", "P", "--force") == 0
    assert len(Path("P").read_bytes()) == 64
    assert opened("H", "P") == 0


@pytest.mark.parametrize("words", ["H nowhere/P", "nowhere/H P", "H H", "H ./H", "H -", "- P", "H folder", "H pipe"])
def test_both_or_none(owner: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    before = sorted(os.listdir())
    assert build(*words.split()) == 2
    one_line(capsys)
    assert build(*words.split(), "--force") == 2
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("name", ["tk", "key", "link", "./folder/../tk"])
def test_no_input_is_replaced(owner: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    Path("folder").mkdir()
    Path("link").symlink_to("tk")
    assert build("H", name, "--force") == 2
    assert "which is an input" in one_line(capsys)
    assert Path("tk").read_bytes() == TEK.reveal() + TIK.reveal()
    assert not Path("H").exists()


def test_failure_at_the_second_file_undoes_the_first(owner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a").write_bytes(b"old a")
    files = [("a", b"new a", "A"), ("b", b"new b", "B"), ("c", b"new c", "C")]
    link = os.link

    def fails_for_c(source: str, target: str) -> None:
        if target.endswith("/c"):
            raise FileExistsError(17, "File exists")
        link(source, target)

    monkeypatch.setattr(os, "link", fails_for_c)
    before = sorted(os.listdir())
    with pytest.raises(InputError, match="C: received 'c': file exists"):
        write_files(files, force=True)
    assert sorted(os.listdir()) == before
    assert Path("a").read_bytes() == b"old a"
    monkeypatch.undo()
    os.chdir(owner)
    write_files(files, force=True)
    assert [Path(name).read_bytes() for name in "abc"] == [b"new a", b"new b", b"new c"]
    assert sorted(os.listdir()) == sorted({*before, "b", "c"})


def test_file_system_without_links(owner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert build("H", "P") == 0
    assert opened("H", "P") == 0


def test_symbolic_link_is_followed(owner: Path) -> None:
    Path("real").write_bytes(b"old")
    Path("H").symlink_to("real")
    assert build("H", "P", "--force") == 0
    assert Path("H").is_symlink()
    assert len(Path("real").read_bytes()) == 52


# Broken input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("build --tk tk --launch-measure-blob {blob} H P", "--secret: received none"),
        (
            "build --launch-measure-blob {blob} --secret luks-key:key H P",
            "--tk: received nothing; needed --tk, or --tik and --tek",
        ),
        ("build --tk tk --tik tik --launch-measure-blob {blob} --secret luks-key:key H P", "one of the two forms"),
        ("build --tk tik --launch-measure-blob {blob} --secret luks-key:key H P", "32 raw bytes"),
        ("build --tk tk --launch-measure-blob nofile --secret luks-key:key H P", "'nofile', which is no file"),
        ("build --tk tk --launch-measure-blob tk --secret luks-key:key H P", "the file 'tk' with"),
        ("build --tk tk --launch-measure-blob {blob} --secret luks-key:none H P", "no such file"),
        ("build --tk tk --launch-measure-blob {blob} --secret key H P", "Try: luks-key:key"),
        ("build --tk tk --launch-measure-blob {blob} --secret a:key H P", "--secret: received 'a'"),
        ("build --tk tk --launch-measure-blob {blob} --secret luks-key:key --iv 00 H P", "--iv"),
        ("build --tk - --launch-measure-blob {blob} --secret luks-key:- H P", "already reads standard input"),
        ("build --tk tk --launch-measure-blob {blob} --secret luks-key:key --secret luks-key:tk H P", "twice"),
        ("open --tk tk --launch-measure-blob {blob} H P", "HEADER: received 'H': no such file"),
        ("open --tk tk --launch-measure-blob {blob} - -", "already reads standard input"),
        ("open --tk tk --launch-measure-blob {blob} tik tek", "HEADER: received 16 bytes"),
        ("bogus", "one of build, open"),
        ("", "one of build, open"),
    ],
)
def test_one_line_for_every_misuse(owner: Path, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    before = sorted(os.listdir())
    assert main(["secret", *shlex.split(words.format(blob=BLOB64))]) == 2
    assert said in one_line(capsys)
    assert sorted(os.listdir()) == before


def test_secret_from_standard_input(owner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped"), encoding="utf-8"))
    assert build("H", "P", secret="luks-key:-") == 0
    assert not Path("-").exists()
    assert opened("H", "P") == 0


@settings(max_examples=many(60, 12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(min_size=40, max_size=60), payload=st.binary(max_size=80), blob=st.text(max_size=70))
def test_any_files_end_in_a_status(owner: Path, header: bytes, payload: bytes, blob: str) -> None:
    Path("any-h").write_bytes(header)
    Path("any-p").write_bytes(payload)
    assert opened("any-h", "any-p") in (1, 2)
    assert opened("any-h", "any-p", "--json", blob=blob) == 2


def test_the_manual(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The examples of docs/secret.md give what they show."""
    page = (DOCS / "secret.md").read_text()
    values = dict(re.findall(r"^\| (header|payload|DATA) \| `([0-9a-f]+)` \|$", page, re.MULTILINE))
    assert values == {"header": HEADER, "payload": DATA}
    commands = re.findall(r"^    \$ sevlab (secret (?:.*\\\n)*.*)$", page, re.MULTILINE)
    assert len(commands) >= 3
    Path("disk.key").write_bytes(b"correct horse")
    Path("vm_tik.bin").write_bytes(TIK.reveal())
    Path("vm_tek.bin").write_bytes(TEK.reveal())
    Path("measurement.b64").write_text(BLOB64)
    for command in commands:
        status = main(shlex.split(command.replace("\\\n", " ")))
        out = capsys.readouterr().out
        assert status == 0, command
        after = page.split(command, 1)[1].split("\n\n")[0]
        for line in after.strip("\n").splitlines():
            if not line.strip().startswith("..."):
                assert line.strip() in out, command
