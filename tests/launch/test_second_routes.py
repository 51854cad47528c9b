"""Second routes where the key came from no file, through other libraries, and digests of pipes.

What test_explain and test_files check is not repeated here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.labs import sample_files, samples
from sevlab.launch import inputs as digest

MESSAGE = bytes([4, 0, 22, 13, 1, 0, 0, 0]) + hashlib.sha256(samples.firmware()).digest() + samples.MNONCE
MEASURE = hmac.digest(samples.TIK, MESSAGE, "sha256").hex()
OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing: apt-get install openssl")
PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo") or not os.path.isdir("/dev/fd"), reason="needs pipes in /dev/fd")


def load(**inputs: str) -> sevlab.launch.evidence.Evidence:
    reported = {"api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}
    return sevlab.load_evidence(measurement=base64.b64encode(samples.measurement()).decode(), **reported, **inputs)


def pipe_in(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    return done.stdout


def fresh_python(lines: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", lines], capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sample_files.write_samples(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", ["tk", "tik", "held"])
def test_a_key_from_no_file_is_awaited_in_tik_file(folder: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "tk":
        pipe_in(monkeypatch, samples.TEK + samples.TIK)
        evidence = load(firmware="firmware.fd", tk="-")
    elif form == "tik":
        pipe_in(monkeypatch, samples.TIK)
        evidence = load(firmware="firmware.fd", tik="-", tek="tek.bin")
    else:
        held = {"tik": sevlab.SecretBytes(samples.TIK), "tek": sevlab.SecretBytes(samples.TEK)}
        evidence = load(firmware="firmware.fd", **held)
    assert sevlab.compute_measure(evidence.message, evidence.tik).hex() == MEASURE
    (folder / "TIK_FILE").write_bytes(samples.TIK)  # what its name asks for: the TIK, 16 bytes
    assert fresh_python(sevlab.launch.explain.python_route(evidence)) == MEASURE
    if shutil.which("openssl"):
        assert shell(sevlab.launch.explain.openssl_route(evidence)).split()[-1] == MEASURE


def test_a_firmware_from_standard_input_is_in_the_route_as_its_digest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe_in(monkeypatch, samples.firmware())
    route = sevlab.launch.explain.python_route(load(firmware="-", tk="tk.bin"))
    assert hashlib.sha256(samples.firmware()).hexdigest() in route
    assert fresh_python(route) == MEASURE


@OPENSSL
@pytest.mark.parametrize("keys", [("tk",), ("tik", "tek")], ids=" and ".join)
@pytest.mark.parametrize("before", ["", "-", "it's $(false) ", "-n "], ids=repr)
def test_the_openssl_route_of_a_secret_with_files_of_any_name(folder: Path, keys: tuple[str, ...], before: str) -> None:
    measure, secret = samples.measurement()[:32], b"a secret of 24 letters.."
    packet = sevlab.attestation.secret.build_secret(
        [("luks-key", secret)], samples.TIK, samples.TEK, measure, iv=bytes(16)
    )
    (folder / f"{before}payload").write_bytes(packet.payload)
    for name in keys:
        shutil.copy(folder / f"{name}.bin", folder / f"{before}{name}")
    files = {name: f"{before}{name}" for name in (*keys, "payload")}
    opened = sevlab.attestation.secret.open_secret(
        packet.header, packet.payload, samples.TIK, samples.TEK, measure, files=files
    )
    out = shell(opened.openssl_route())
    assert packet.header.mac.hex() in out
    assert secret[:8].hex(" ") in out


@given(raw=st.binary(min_size=56, max_size=56), tik=st.binary(min_size=16, max_size=16))
def test_another_library_gives_the_same_measure(raw: bytes, tik: bytes) -> None:
    other = HMAC(tik, SHA256())
    other.update(raw)
    expected = other.finalize()
    message = sevlab.MeasureMessage.from_bytes(raw)
    assert sevlab.compute_measure(message, sevlab.SecretBytes(tik)) == expected
    assert sevlab.launch.measure.HmacSteps(message.to_bytes(), sevlab.SecretBytes(tik)).measure == expected


@PIPES
def test_a_pipe_is_never_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_known", {})
    for content in (b"old!", b"new!"):  # the second pipe may get the first one's number
        reader, writer = os.pipe()
        try:
            os.write(writer, content)
            os.close(writer)
            assert sevlab.launch.inputs.load_hashed(f"/dev/fd/{reader}").digest == hashlib.sha256(content).digest()
        finally:
            os.close(reader)
    assert digest._known == {}


@PIPES
def test_a_named_pipe_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_known", {})
    os.mkfifo(tmp_path / "pipe")
    for content in (b"old!", b"new!"):
        keep = os.open(tmp_path / "pipe", os.O_RDWR)  # holds the content until somebody reads
        try:
            os.write(keep, content)
            reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        finally:
            os.close(keep)
        try:
            assert sevlab.launch.inputs.load_hashed(str(tmp_path / "pipe")).digest == hashlib.sha256(content).digest()
        finally:
            os.close(reader)
    assert digest._known == {}
