"""The walkthrough: each step's number is there, and both second routes really give the same one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sevlab
from sevlab.labs import sample_files, samples
from sevlab.launch.explain import walk, walk_as_dict

DIGEST = hashlib.sha256(samples.firmware()).digest()
MESSAGE = bytes([4, 0, 22, 13, 1, 0, 0, 0]) + DIGEST + samples.MNONCE
MEASURE = hmac.new(samples.TIK, MESSAGE, "sha256").hexdigest()

FOLDERS = [
    "plain",
    "with space",
    "it's",
    'say "so"',
    "$(false) `x` $HOME",
    "back\\slash",
    "a\nb",
    "été",
    "*?[",
    "&;|<>#!",
]
OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing: apt-get install openssl")


def load(folder: Path, **keys: str) -> sevlab.launch.evidence.Evidence:
    return sevlab.load_evidence(
        measurement=base64.b64encode(samples.measurement()).decode(),
        api_major=0,
        api_minor=22,
        build_id=13,
        policy=1,
        firmware=str(folder / "firmware.fd"),
        **keys,
    )


@pytest.fixture
def evidence(tmp_path: Path) -> sevlab.launch.evidence.Evidence:
    sample_files.write_samples(tmp_path)
    return load(tmp_path, tik=str(tmp_path / "tik.bin"), tek=str(tmp_path / "tek.bin"))


@pytest.fixture(params=FOLDERS)
def hostile_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    try:
        sample_files.write_samples(folder)
    except UnicodeEncodeError:
        pytest.skip(f"file names are {sys.getfilesystemencoding()} here")
    return folder


def from_files(folder: Path, form: str) -> sevlab.launch.evidence.Evidence:
    names = ["tk"] if form == "tk" else ["tik", "tek"]
    return load(folder, **{name: str(folder / f"{name}.bin") for name in names})


def shell(command: str, **options: object) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=300, **options)
    assert done.stderr == ""
    return done.stdout.split()[-1]


def fresh_python(lines: str, **options: object) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", lines], capture_output=True, text=True, timeout=300, **options)
    assert done.stderr == ""
    return done.stdout.strip()


FORMS = pytest.mark.parametrize("form", ["tk", "tik"])


@OPENSSL
@FORMS
def test_openssl_gives_the_same_measure(hostile_folder: Path, form: str) -> None:
    evidence = from_files(hostile_folder, form)
    assert sevlab.compute_measure(evidence.message, evidence.tik).hex() == MEASURE
    assert shell(sevlab.launch.explain.openssl_route(evidence)) == MEASURE


@FORMS
def test_a_fresh_python_gives_the_same_measure(hostile_folder: Path, form: str) -> None:
    lines = sevlab.launch.explain.python_route(from_files(hostile_folder, form))
    assert len(lines.splitlines()) == 3
    assert fresh_python(lines) == MEASURE


@FORMS
def test_relative_paths_even_those_that_look_like_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    sample_files.write_samples(tmp_path)
    for name in ("tk.bin", "tik.bin", "firmware.fd"):
        os.link(tmp_path / name, tmp_path / f"-{name}")
    monkeypatch.chdir(tmp_path)
    keys = {"tk": "-tk.bin"} if form == "tk" else {"tik": "-tik.bin", "tek": "tek.bin"}
    evidence = load(Path(), **keys).replace(firmware="-firmware.fd")
    assert fresh_python(sevlab.launch.explain.python_route(evidence), cwd=tmp_path) == MEASURE
    if shutil.which("openssl"):
        assert shell(sevlab.launch.explain.openssl_route(evidence), cwd=tmp_path) == MEASURE


@pytest.mark.parametrize("change", [{"policy": 0xFF000085}, {"api_minor": 255, "build_id": 0}, {"digest": bytes(32)}])
def test_the_routes_follow_the_inputs(evidence: sevlab.launch.evidence.Evidence, change: dict[str, object]) -> None:
    if change.get("policy"):  # this policy asks for SEV-ES, whose registers are measured as well
        change = {**change, "num_cpus": 1, "profile": "gce"}
    changed = evidence.replace(**change)
    computed = sevlab.compute_measure(changed.message, changed.tik).hex()
    assert computed != MEASURE
    assert fresh_python(sevlab.launch.explain.python_route(changed)) == computed
    if shutil.which("openssl"):
        assert shell(sevlab.launch.explain.openssl_route(changed)) == computed


def test_the_routes_hold_no_key_and_name_its_file(evidence: sevlab.launch.evidence.Evidence, tmp_path: Path) -> None:
    for route in (sevlab.launch.explain.openssl_route(evidence), sevlab.launch.explain.python_route(evidence)):
        assert samples.TIK.hex() not in route
        assert base64.b64encode(samples.TIK).decode() not in route
        assert str(tmp_path / "tik.bin") in route


def test_a_key_that_is_in_no_file_gets_a_placeholder(evidence: sevlab.launch.evidence.Evidence) -> None:
    held = evidence.replace(tik=sevlab.SecretBytes(samples.TIK), tek=sevlab.SecretBytes(samples.TEK))
    assert "TIK_FILE" in sevlab.launch.explain.openssl_route(held)
    assert "TIK_FILE" in sevlab.launch.explain.python_route(held)


def test_the_text_holds_every_step(evidence: sevlab.launch.evidence.Evidence) -> None:
    view = sevlab.explain(evidence)
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in samples.TIK + bytes(48)) + MESSAGE).hexdigest()
    for page in (view.text(), view.html()):
        page = page.replace("<br>", " ")
        for step in range(1, 7):
            assert f"{step}. " in page
        compact = "".join(page.split())
        for number in (inner, MEASURE, base64.b64encode(MESSAGE).decode()):
            assert number in compact
        assert "<64 bytes, hidden>" in page.replace("&lt;", "<").replace("&gt;", ">")
    for line in (DIGEST[:4].hex(" "), samples.MNONCE[:4].hex(" "), "OK: Looks good to me"):
        assert line in view.text()


def test_a_mismatch_is_marked_where_it_is(evidence: sevlab.launch.evidence.Evidence) -> None:
    text = sevlab.explain(evidence.replace(build_id=12)).text()
    assert "Fields that differ: measure" in text
    assert "VM is not trustworthy" in text
    assert text.count("MISMATCH *") == 1


KEYS = ["measurement", "message", "policy", "digest", "launch", "hmac", "second_route"]


def test_the_walk_is_json_with_every_number(evidence: sevlab.launch.evidence.Evidence) -> None:
    verdict = sevlab.compare_measure(evidence)
    data = json.loads(json.dumps(walk_as_dict(verdict)))
    assert list(data) == [*verdict.as_dict(), *KEYS]
    assert "".join(span["hex"] for span in data["message"]) == MESSAGE.hex()
    assert "".join(span["hex"] for span in data["measurement"]) == samples.measurement().hex()
    assert [span["offset"] for span in data["message"]] == [0, 1, 2, 3, 4, 8, 40]
    assert data["digest"] == DIGEST.hex()
    assert data["launch"][0]["digest_after"] == DIGEST.hex()
    assert data["hmac"]["measure"] == MEASURE
    assert {row["name"]: row["value"] for row in data["policy"]}["nodbg"] == 1


def test_keys_are_shown_only_when_asked(evidence: sevlab.launch.evidence.Evidence) -> None:
    verdict = sevlab.compare_measure(evidence)
    view, asked = walk(verdict), walk(verdict, show_keys=True)
    for page in (view.text(), view.html(), json.dumps(walk_as_dict(verdict))):
        compact = "".join(page.split())
        for key in (samples.TIK, samples.TEK):
            for form in (key.hex(), base64.b64encode(key).decode(), repr(key)[2:-1]):
                assert form not in compact
        for pad in (0x36, 0x5C):
            assert bytes(b ^ pad for b in samples.TIK).hex() not in compact
    for page in (asked.text(), asked.html(), json.dumps(walk_as_dict(verdict, show_keys=True))):
        assert samples.TIK.hex() in "".join(page.split())
