"""Every number by a second route, and the hash of a file that is asked for again."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as openssl_hmac
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab import digest as digests
from sevlab import samples


@pytest.fixture(params=["plain", 'it\'s a "strange" $(name)'])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    samples.write_samples(folder)
    return folder


def sample(folder: Path, **keys: str) -> sevlab.Evidence:
    return sevlab.load_evidence(
        measurement=sevlab.Measurement.from_bytes(samples.measurement()),
        api_major=samples.API_MAJOR,
        api_minor=samples.API_MINOR,
        build_id=samples.BUILD_ID,
        policy=samples.POLICY,
        firmware=str(folder / "firmware.fd"),
        **{name: str(folder / file) for name, file in keys.items()},
    )


KEYS = pytest.mark.parametrize("keys", [{"tk": "tk.bin"}, {"tik": "tik.bin", "tek": "tek.bin"}], ids=["tk", "tik"])


@KEYS
def test_openssl_gives_the_same_measure(folder: Path, keys: dict[str, str]) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing; on Debian: apt-get install openssl")
    command = sevlab.openssl_route(sample(folder, **keys))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.split()[-1] == samples.measurement()[:32].hex(), done.stderr
    assert samples.TIK.hex() not in command


@KEYS
def test_three_lines_of_python_give_the_same_measure(folder: Path, keys: dict[str, str]) -> None:
    lines = sevlab.python_route(sample(folder, **keys))
    done = subprocess.run([sys.executable, "-I", "-c", lines], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == samples.measurement()[:32].hex(), done.stderr
    assert len(lines.splitlines()) == 3
    assert "sevlab" not in lines.replace(str(folder), "")


@given(raw=st.binary(min_size=56, max_size=56), tik=st.binary(min_size=16, max_size=16))
def test_four_programs_agree(raw: bytes, tik: bytes) -> None:
    message = sevlab.MeasureMessage.from_bytes(raw)
    measure = sevlab.compute_measure(message, tik)
    openssl = openssl_hmac.HMAC(tik, hashes.SHA256())
    openssl.update(raw)
    assert measure == hmac.new(tik, raw, "sha256").digest()
    assert measure == sevlab.HmacSteps(message, tik).measure
    assert measure == openssl.finalize()


def test_a_verdict_raises_only_when_asked(tmp_path: Path) -> None:
    samples.write_samples(tmp_path)
    good = sample(tmp_path, tk="tk.bin")
    assert sevlab.verify_measure(good).matches
    wrong = good.replace(build_id=samples.BUILD_ID + 1)
    assert not sevlab.compare_measure(wrong).matches
    with pytest.raises(sevlab.MismatchError) as caught:
        sevlab.verify_measure(wrong)
    assert caught.value.comparison.computed != good.measurement.measure


def test_the_verdict_warns_of_what_numbers_do_not_tell(tmp_path: Path) -> None:
    samples.write_samples(tmp_path)
    (tmp_path / "zero").write_bytes(bytes(32))
    evidence = sample(tmp_path, tk="tk.bin")
    assert sevlab.compare_measure(evidence).warnings == []
    loud = evidence.replace(policy=0x80, tk=str(tmp_path / "zero"))
    told = " ".join(sevlab.compare_measure(loud).warnings)
    assert "reserved bits" in told
    assert "NODBG" in told
    assert "all zero" in told


def test_a_firmware_is_read_once_while_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counting() -> object:
        reads.append(1)
        return hashlib.new("sha256")

    monkeypatch.setattr(digests.hashlib, "sha256", counting)
    path = tmp_path / "firmware.fd"
    path.write_bytes(b"one" * 1000)
    first = sevlab.load_digest(str(path))
    assert sevlab.load_digest(str(path)) == first == hashlib.new("sha256", b"one" * 1000).digest()
    assert len(reads) == 1
    stamp = path.stat()
    path.write_bytes(b"two" * 1000)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert sevlab.load_digest(str(path)) == hashlib.new("sha256", b"two" * 1000).digest()
    assert len(reads) == 2


def test_standard_input_is_never_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"one", b"two"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert sevlab.load_digest("-") == hashlib.sha256(content).digest()


def test_a_firmware_has_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "big.fd"
    with path.open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    with pytest.raises(sevlab.InputError, match="more than 64 MiB"):
        sevlab.load_digest(str(path))


def test_a_secret_shows_nothing_and_goes_nowhere() -> None:
    secret = sevlab.Secret(samples.TIK)
    assert repr(secret) == str(secret) == f"{secret}" == "<16 bytes, hidden>"
    assert secret == sevlab.Secret(samples.TIK)
    assert secret != sevlab.Secret(samples.TEK)
    assert secret != samples.TIK
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
