"""``sevlab validate --inject-secret``: checked first, packed for a launch that validates, as libvirt's tool does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from pathlib import Path

import pytest

import sevlab
from sevlab.cli import main
from tests.peers import our_validate, real_validate, why_no_real_tool

TEK, TIK, MNONCE = bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40)), bytes(range(0x40, 0x50))
GUID = "736869e5-84f0-4973-92ec-06879ce3da0b"
OTHER = "00112233-4455-6677-8899-aabbccddeeff"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fw.fd").write_bytes(b"firmware" * 100)
    (tmp_path / "tk").write_bytes(TEK + TIK)
    (tmp_path / "disk").write_bytes(b"correct horse")
    (tmp_path / "other").write_bytes(b"x" * 40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(*more: str, policy: int = 1) -> list[str]:
    start = struct.pack("<4BI", 4, 0, 22, 13, 1)
    message = start + hashlib.sha256(b"firmware" * 100).digest() + MNONCE
    text = base64.b64encode(hmac.digest(TIK, message, "sha256") + MNONCE).decode()
    host = ["-m", text, "--api-major=0", "--api-minor=22", "--build-id=13", f"--policy={policy}"]
    return [*host, "-f", "fw.fd", "--tk", "tk", *more]


OUT = ("--secret-header=header", "--secret-payload=payload")


def opened(folder: Path) -> dict[str, bytes]:
    header, payload = (base64.b64decode((folder / name).read_text(), validate=True) for name in ("header", "payload"))
    measure = base64.b64decode(words()[1])[:32]
    packet = sevlab.attestation.secret.open_secret(header, payload, TIK, TEK, measure)
    assert packet.mac_matches
    return {str(entry.guid.text).split()[0]: entry.data for entry in packet.table.entries}


def test_secrets_are_packed_for_a_launch_that_validates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", *words("-s", "luks-key:disk", "-s", f"{OTHER}:other", *OUT)]) == 0
    assert capsys.readouterr().out == "OK: Looks good to me\nOK: Injected 2 secrets\n"
    assert opened(folder) == {GUID: b"correct horse", OTHER: b"x" * 40}


@pytest.mark.peer
@pytest.mark.parametrize("which", [real_validate, our_validate], ids=["real", "ours"])
def test_what_either_program_writes_is_opened(folder: Path, which: object) -> None:
    if why := why_no_real_tool():
        pytest.skip(why)
    done = which(*words("-s", f"{GUID}:disk", *OUT), folder=folder)  # type: ignore[operator]
    assert (done.status, done.out) == (0, "OK: Looks good to me\nOK: Injected 1 secrets\n")
    assert opened(folder) == {GUID: b"correct horse"}


def test_nothing_is_written_for_a_launch_that_does_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", *words("-s", "luks-key:disk", *OUT, policy=3)]) == 1
    assert capsys.readouterr().out == ""
    assert not (folder / "header").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("-s", "luks-key:disk"), "--secret-header"),
        (("--secret-header=header",), "--secret-payload"),
        (("-s", "luks-key:disk", "--secret-payload=payload"), "--secret-header"),
        (("-s", "luks-key:disk", "-s", "luks-key:none", *OUT), "--inject-secret"),
        (("-s", "nonsense", *OUT), "--inject-secret"),
        (("-s", "luks-key:disk", "--secret-header=same", "--secret-payload=same"), "--secret-payload"),
        (("-s", "luks-key:disk", "--secret-header=header", "--secret-payload=tk"), "--secret-payload"),
        (("-s", "luks-key:disk", "--secret-header=header", "--secret-payload=no/folder"), "--secret-payload"),
    ],
)
def test_a_bad_secret_is_told_before_anything_is_good(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], told: str
) -> None:
    before = sorted(folder.iterdir())
    assert main(["validate", *words(*more)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"ERROR: {told}")
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    assert (folder / "tk").read_bytes() == TEK + TIK
