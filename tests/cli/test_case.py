"""``sevlab case`` and every ``--case``, as someone at a terminal meets them."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path

import pytest

from sevlab.cases.case_toml import read_case
from sevlab.cli import main
from tests.cases.sample_cases import at, case_of, explained, inputs_of
from tests.paths import SAMPLES

SNP_OPTIONS = ["--mode=snp", f"--ovmf={at('firmware-snp.fd')}", f"--kernel={at('kernel.bin')}"]
SNP_OPTIONS += [f"--initrd={at('initrd.bin')}", "--append=console=ttyS0", "--vcpus=4", "--vcpu-type=EPYC-Milan"]
REPORT = [f"--report={at('report-snp.bin')}", f"--vcek={at('vcek-snp.der')}", f"--chain={at('chain-snp.pem')}"]
ROOT_OPTIONS = [f"--trust-root={at('ark-snp.der')}", "--at=2026-01-01"]


def options(kind: str) -> list[str]:
    """The inputs of a sample as options of ``case new``."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in inputs_of(kind).items()]


def made(folder: Path, kind: str, *more: str, name: str = "x.sevcase") -> str:
    path = str(folder / name)
    assert main(["case", "new", *options(kind), *more, "--out", path]) == 0
    return path


@pytest.mark.parametrize("name", ["x.sevcase", "x.toml"])
@pytest.mark.parametrize("kind", ["sev", "seves", "snp", "report"])
def test_a_case_is_made_shown_and_verified(
    kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(tmp_path, kind, "--note=two\nlines", "--by=me", "--from=a ticket", "--when=today", name=name)
    assert f"Next: sevlab case verify {path}" in capsys.readouterr().out
    assert main(["case", "show", path]) == 0
    shown = capsys.readouterr().out
    for words in ("two\n", "lines\n", "me\n", "a ticket\n", "today\n", "written-by  sevlab "):
        assert words in shown
    keys = [f"--tk={at('tk.bin')}"] if kind in ("sev", "seves") else []
    assert main(["case", "verify", path, *keys, *ROOT_OPTIONS]) == 0
    assert capsys.readouterr().out.startswith(" OK: ")
    assert main(["case", "verify", path, *keys, *ROOT_OPTIONS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "match"
    assert main(["case", "show", path, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["about"]["by"], data["bundle"] is None) == ("me", name == "x.toml")
    assert set(data) == {"bundle", "mode", "about", "inputs", "found", "origin"}
    if keys and name == "x.sevcase":
        assert main(["case", "verify", path]) == 2
        assert "since the case comes without keys" in capsys.readouterr().err


def test_pack_unpack_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = made(tmp_path, "sev", name="x.toml")
    packed, again, folder = (str(tmp_path / name) for name in ("a.sevcase", "b.sevcase", "out"))
    assert main(["case", "pack", toml, "-o", packed]) == 0
    assert main(["case", "unpack", packed, folder]) == 0
    assert main(["case", "pack", folder, "-o", again]) == 0
    assert Path(packed).read_bytes() == Path(again).read_bytes()
    assert main(["case", "verify", folder, f"--tk={at('tk.bin')}"]) == 0
    assert main(["validate", "--case", folder, f"--tk={at('tk.bin')}"]) == 0
    assert main(["diagnose", "--case", folder, f"--tk={at('tk.bin')}"]) == 0
    capsys.readouterr()
    for words in (["unpack", packed, folder], ["pack", toml, "-o", packed], ["pack", "none", "-o", again]):
        assert main(["case", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["case", "pack", toml, "-o", packed, "--force", "--with-keys"]) == 2
    assert "outside the case's folder" in capsys.readouterr().err
    assert main(["case", "pack", toml, "-o", packed, "--force", "--with-keys", "--own-case"]) == 0
    assert "WARNING: it has keys in it (tk)" in capsys.readouterr().out
    assert main(["case", "verify", packed, "--own-case"]) == 0
    assert main(["case", "verify", packed]) == 1
    assert main(["case", "show", packed]) == 0
    assert "keys among them: tk" in capsys.readouterr().out


def test_a_diagnosis_is_noted_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, "sev", "--build-id=14", "--diagnose", "--budget=300")
    assert "EXPLAINED" in capsys.readouterr().out
    assert main(["case", "verify", path, f"--tk={at('tk.bin')}"]) == 1
    assert "THE EXPLANATION HOLDS" in capsys.readouterr().out
    path = made(tmp_path, "snp", "--num-cpus=2", "--diagnose", name="y.sevcase")
    assert main(["case", "verify", path, *ROOT_OPTIONS, "--json"]) == 1
    assert json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))["explanation"]["status"] == "holds"
    path = made(tmp_path, "sev", "--diagnose", name="z.sevcase")
    assert "MATCH" in capsys.readouterr().out


def test_what_was_found_can_be_noted_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, "seves", "--num-cpus=3", "-F", "num-cpus=4", "--explanation=one more", name="x.toml")
    capsys.readouterr()
    assert main(["case", "verify", path]) == 1
    out = capsys.readouterr().out
    assert "THE EXPLANATION HOLDS" in out
    assert "one more" in out
    wrong = made(tmp_path, "seves", "--num-cpus=3", "-F", "num-cpus=5", "-F", "kernel=", name="y.toml")
    assert read_case(wrong).found == {"kernel": None, "num_cpus": 5}
    assert main(["case", "verify", wrong]) == 1
    found = made(
        tmp_path, "sev", f"--firmware={at('kernel.bin')}", f"--found=firmware={at('firmware.fd')}", name="z.toml"
    )
    assert main(["case", "verify", found]) == 1
    assert "THE EXPLANATION HOLDS" in capsys.readouterr().out


def test_a_case_goes_on_from_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = made(tmp_path, "snp", "--title=first", "--by=me")
    second = str(tmp_path / "second.sevcase")
    assert main(["case", "new", "--case", first, "--title=second", "--vcpus=3", "-o", second]) == 0
    capsys.readouterr()
    assert main(["case", "show", second, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["about"]["title"], data["about"]["by"], data["inputs"]["num-cpus"]) == ("second", "me", 3)
    assert data["origin"]["kernel"] == "the file kernel.bin"


def test_redact_says_what_it_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, redacted = made(tmp_path, "snp"), str(tmp_path / "r.sevcase")
    assert main(["case", "redact", whole, "-o", redacted]) == 0
    assert "kernel: its SHA-256 is kept" in capsys.readouterr().out
    assert main(["case", "verify", redacted, *ROOT_OPTIONS]) == 0
    with zipfile.ZipFile(redacted) as archive:
        assert "firmware-snp.fd" not in archive.read("case.toml").decode()
    legacy = made(tmp_path, "seves", name="e.sevcase")
    capsys.readouterr()
    assert main(["case", "redact", legacy, "-o", str(tmp_path / "s.sevcase")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot be continued from a digest" in error
    assert main(["case", "redact", legacy, "-o", str(tmp_path / "s.sevcase"), "--digest-only"]) == 0
    assert main(["case", "verify", str(tmp_path / "s.sevcase"), f"--tk={at('tk.bin')}"]) == 0


REFUSED = {
    "nothing": [],
    "no inputs": ["--note=x"],
    "mode": ["--mode=tdx"],
    "number": ["--num-cpus=many"],
    "measurement": ["--measurement=AAAA"],
    "bytes": ["--ovmf-hash=aa"],
    "no such file": ["--firmware=none"],
    "standard input": ["--firmware=-"],
    "key from standard input": ["--tk=-"],
    "model twice": ["--vcpu-type=EPYC", "--cpu-signature=1"],
    "no such model": ["--vcpu-type=6502"],
    "unknown found": ["--num-cpus=1", "--found=x=1"],
    "found key": ["--num-cpus=1", "--found=tk=1"],
    "found nothing": ["--num-cpus=1", "--found=num-cpus"],
    "found no number": ["--num-cpus=1", "--found=num-cpus=x"],
    "keys in a case file": ["--num-cpus=1", "--with-keys"],
    "wanted": ["--snp-host-data=aa"],
    "policy against mode": ["--mode=sev", "--policy=5"],
    "budget": ["--num-cpus=1", "--policy=1", "--diagnose", "--budget=0"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.toml"
    assert main(["case", "new", *REFUSED[name], "-o", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ERROR: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ["", "run", "show", "new --out"])
def test_usage_is_told(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", *action.split()]) == 2
    assert capsys.readouterr().err.startswith("ERROR: usage")


def test_help_tells_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "new", "--help"]) == 0
    text = capsys.readouterr().out
    for words in ("--firmware", "--ovmf", "--vcpus", "--snp-min-tcb", "--note", "--diagnose", "--with-keys"):
        assert words in text


# Every other verb's --case.


def test_digest_takes_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, "snp")
    capsys.readouterr()
    assert main(["digest", *SNP_OPTIONS]) == 0
    whole = capsys.readouterr().out
    assert main(["digest", "--case", path]) == 0
    assert capsys.readouterr().out == whole
    assert main(["digest", "--case", path, "--vcpus", "5"]) == 0
    captured = capsys.readouterr()
    assert captured.out != whole
    assert "WARNING: --num-cpus of" in captured.err
    assert main(["digest", "--case", path, "--mode", "snp:ovmf-hash"]) == 0
    assert len(capsys.readouterr().out) == 97
    redacted = str(tmp_path / "r.sevcase")
    assert main(["case", "redact", path, "-o", redacted]) == 0
    capsys.readouterr()
    assert main(["digest", "--case", redacted]) == 0
    assert capsys.readouterr().out == whole
    assert main(["digest", "--case", redacted, "--ovmf", at("firmware-snp.fd"), "--vcpus", "4"]) == 0
    assert capsys.readouterr().out == whole  # the digest in place of the firmware goes with it
    for kind in ("sev", "seves"):
        legacy = made(tmp_path, kind, name=f"{kind}.sevcase")
        capsys.readouterr()
        assert main(["digest", "--case", legacy]) == 0
        assert len(capsys.readouterr().out) == 65
    assert main(["digest", "--case", made(tmp_path, "report", name="report.sevcase")]) == 2
    assert "the case has no firmware" in capsys.readouterr().err


def test_diagnose_takes_a_case_of_snp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, "snp", "--vcpus=7")
    redacted = str(tmp_path / "r.sevcase")
    assert main(["case", "redact", path, "-o", redacted]) == 0
    for one in (path, redacted):
        capsys.readouterr()
        assert main(["diagnose", "--mode", "snp", "--case", one, "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        assert main(["diagnose", "--case", one, "--json"]) == 1  # a case says itself what it is about
        again = json.loads(capsys.readouterr().out)
        assert again["explanations"] == found["explanations"]
        assert found["explanations"][0]["changes"] == [{"input": "num-cpus", "given": 7, "found": 4}]
    reported = case_of("snp").inputs
    measurement = explained("snp").inputs
    assert reported["report"] == measurement["report"]
    bare = made(tmp_path, "sev", name="bare.sevcase")
    capsys.readouterr()
    assert main(["diagnose", "--mode", "snp", "--case", bare]) == 2
    assert "neither it nor --report" in capsys.readouterr().err


def test_bundles_serve_as_cases_everywhere_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy, snp = made(tmp_path, "sev"), made(tmp_path, "report", name="r.sevcase")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    keys = f"--tk={at('tk.bin')}"
    assert main(["validate", "--case", legacy, keys]) == 0
    assert main(["explain", "--case", legacy, keys]) == 0
    assert main(["diagnose", "--case", legacy, keys]) == 0
    assert main(["coverage", "--case", legacy]) == 0
    assert main(["report", "verify", "--case", snp, *ROOT_OPTIONS]) == 0
    capsys.readouterr()
    for words in (["validate", keys], ["coverage"]):
        assert main([*words, "--case", snp]) == 2
        assert "a case of SEV-SNP; needed a case of SEV or SEV-ES" in capsys.readouterr().err
    (tmp_path / "broken.sevcase").write_bytes(Path(legacy).read_bytes()[:-9])
    assert main(["validate", keys, "--case", str(tmp_path / "broken.sevcase")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert os.listdir(tmp_path / "temporary") == []
    assert (SAMPLES / "tk.bin").exists()
