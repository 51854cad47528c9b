"""The samples: the same to the last byte each time, and a launch that validates."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import sevlab
from sevlab.formats.report import ReportV3, parse_report
from sevlab.labs import sample_files, samples
from sevlab.labs import snp_samples as snp
from tests.paths import SAMPLES


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_stored_samples_are_those_that_are_made(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path / "new" / "folder")
    assert contents(tmp_path / "new" / "folder") == contents(SAMPLES)


def test_the_script_makes_them_too(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "sevlab.labs.sample_files", "made here"], cwd=tmp_path, check=True, timeout=300
    )
    assert contents(tmp_path / "made here") == contents(SAMPLES)


def test_keys_are_visibly_samples() -> None:
    files = contents(SAMPLES)
    assert files["tek.bin"].hex(" ") == "20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f"
    assert files["tik.bin"].hex(" ") == "30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f"
    assert files["tk.bin"] == files["tek.bin"] + files["tik.bin"]


@pytest.mark.parametrize("keys", [{"tk": "tk.bin"}, {"tik": "tik.bin", "tek": "tek.bin"}], ids=["tk", "tik and tek"])
def test_the_stored_sample_validates(keys: dict[str, str]) -> None:
    lines = (line.split(":", 1) for line in (SAMPLES / "launch.txt").read_text().strip().splitlines())
    reported = {name.strip().removeprefix("sev-").replace("-", "_"): value.strip() for name, value in lines}
    evidence = sevlab.load_evidence(
        **reported,
        firmware=str(SAMPLES / "firmware.fd"),
        **{name: str(SAMPLES / file) for name, file in keys.items()},
    )
    verdict = sevlab.verify_measure(evidence)
    assert verdict.reported == base64.b64decode(reported["measurement"])[:32]
    assert verdict.warnings == []


def test_the_readme_names_every_file_and_is_right_about_sizes() -> None:
    text, files = (SAMPLES / "README.md").read_text(), contents(SAMPLES)
    for name in set(files) - {"README.md"}:
        assert f"`{name}`" in text
    sizes = {name: int(size) for name, size in re.findall(r"\| `([^`]+)` \| (\d+) \|", text)}
    assert sizes
    assert sizes == {name: len(files[name]) for name in sizes}


def test_the_samples_of_sev_are_made_without_the_others(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path, sample_files.SEV_FILES)
    assert contents(tmp_path) == {
        name: raw for name, raw in contents(SAMPLES).items() if name not in sample_files.SNP_FILES
    }
    lines = (
        "import sys, sevlab; sevlab.labs.Exercises().mark('first-step', 'vCPU 3'); print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=300)
    assert done.stdout == "False\n", done.stderr


def snp_digest() -> bytes:
    """The launch digest of the SEV-SNP sample, page by page, from the stored files and the facts."""
    firmware = (SAMPLES / "firmware-snp.fd").read_bytes()
    pages = [(1, 0xFFFF0000 + at, firmware[at : at + 4096]) for at in range(0, len(firmware), 4096)]
    table = sevlab.KernelHashes.from_bytes(samples.es_launch().steps[1].content).to_bytes()  # the same kernel
    hashes = bytes(0xC00) + table + bytes(0x400 - len(table))
    sections = ((3, 0x800000, 9), (3, 0x80A000, 3), (5, 0x80D000, 1), (6, 0x80E000, 1), (3, 0x80F000, 1))
    pages += [(kind, start + 4096 * n, b"") for kind, start, count in sections for n in range(count)]
    pages += [(1, 0x810000, hashes), *((3, 0x811000 + 4096 * n, b"") for n in range(15))]
    for cpu in range(4):
        start = {"cpu": 1, "reset_address": 0x80B004} if cpu else {}
        page = sevlab.build_vmsa("qemu", signature=0xA00F11, sev_features=1, **start).to_bytes()
        pages.append((2, 0xFFFFFFFFF000, page))
    digest = bytes(48)
    for kind, gpa, page in pages:
        held = hashlib.sha384(page).digest() if page else bytes(48)
        digest = hashlib.sha384(digest + held + struct.pack("<HB5xQ", 0x70, kind, gpa)).digest()
    return digest


def test_the_report_is_of_the_launch_of_the_stored_files() -> None:
    report = parse_report((SAMPLES / "report-snp.bin").read_bytes())
    assert isinstance(report, ReportV3)
    assert report.findings() == []
    assert report.measurement == snp_digest() == snp.snp_launch().digest
    tcbs = [getattr(report, f"{name}_tcb").to_bytes() for name in ("current", "committed", "launch", "reported")]
    assert len(set(tcbs)) == 4  # each is for another certificate
    # None may be above the one from which it follows.
    for lower, upper in (("reported", "committed"), ("committed", "current"), ("launch", "current")):
        assert getattr(report, f"{upper}_tcb").below(getattr(report, f"{lower}_tcb").parts) == []


def test_the_snp_sample_s_signatures_hold_for_openssl(tmp_path: Path) -> None:
    raw = (SAMPLES / "report-snp.bin").read_bytes()
    r, s = (int.from_bytes(raw[at : at + 72], "little") for at in (0x2A0, 0x2E8))

    def integer(value: int) -> bytes:
        body = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return bytes([2, len(body)]) + body

    both = integer(r) + integer(s)
    (tmp_path / "signature").write_bytes(bytes([0x30, len(both)]) + both)
    (tmp_path / "signed").write_bytes(raw[:0x2A0])
    key = openssl("x509", "-inform", "DER", "-in", str(SAMPLES / "vcek-snp.der"), "-noout", "-pubkey")
    (tmp_path / "key").write_text(key)
    check = ("dgst", "-sha384", "-verify", str(tmp_path / "key"), "-signature", str(tmp_path / "signature"))
    assert openssl(*check, str(tmp_path / "signed")) == "Verified OK\n"
    leaf = openssl("x509", "-inform", "DER", "-in", str(SAMPLES / "vcek-snp.der"))
    ask, ark, _ = re.split("(?<=-----END CERTIFICATE-----\n)", (SAMPLES / "chain-snp.pem").read_text())
    for name, text in {"leaf": leaf, "ask": ask, "ark": ark}.items():
        (tmp_path / name).write_text(text)
    above = ("verify", "-attime", "1767225600", "-CAfile", str(tmp_path / "ark"), "-untrusted", str(tmp_path / "ask"))
    assert openssl(*above, str(tmp_path / "leaf")).endswith("leaf: OK\n")
    root = (SAMPLES / "ark-snp.der").read_bytes()
    assert base64.b64decode("".join(ark.split("\n")[1:-2])) == root
    assert hashlib.sha256(root).hexdigest() in (SAMPLES / "README.md").read_text()


def openssl(*words: str) -> str:
    """What OpenSSL answers. A test that needs it is skipped without it."""
    if not (path := shutil.which("openssl")):
        pytest.skip("openssl is missing")
    done = subprocess.run([path, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
