"""Bundles: what is packed comes back, the verdict travels with it, and nothing hostile gets out of an archive."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sevlab import SecretBytes
from sevlab.cases.bundle import load_bundle, open_case, pack_case, unpack_bundle
from sevlab.cases.case import make_case
from sevlab.cases.case_toml import is_bundle, read_case, record_explanation
from sevlab.cases.verify import case_as_dict, explain_case, verify_case
from sevlab.cli import main
from sevlab.diagnosis.run import diagnose
from sevlab.errors import InputError
from sevlab.launch.values import KEY_SIZE
from tests.cases.sample_cases import at, case_of, inputs_of, trust
from tests.key_forms import TEK, TIK, shown
from tests.paths import ROOT, SAMPLES


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_what_is_packed_comes_back_and_gives_the_same_bytes_again(kind: str, tmp_path: Path) -> None:
    case = case_of(kind)
    first, second, third = (str(tmp_path / f"{number}.sevcase") for number in (1, 2, 3))
    packed = pack_case(case, first)
    loaded = load_bundle(first)
    assert loaded.text == packed.text
    assert loaded.manifest == packed.manifest
    assert loaded.case.hashes == case.hashes
    assert loaded.case.about == case.about
    back = unpack_bundle(first, str(tmp_path / "out"))
    assert back.changed == []
    for name, path in case.inputs.items():
        if name in case.hashes:
            assert Path(back.inputs[name]).read_bytes() == Path(str(path)).read_bytes()
    old = os.umask(0o077)
    try:
        pack_case(back, second)
        with open_case(first) as again:
            pack_case(again, third)
    finally:
        os.umask(old)
    assert Path(first).read_bytes() == Path(second).read_bytes() == Path(third).read_bytes()
    assert is_bundle(first)
    assert not is_bundle(str(tmp_path / "out" / "case.toml"))


def test_the_verdict_travels(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "x.sevcase")
    pack_case(case_of(kind), path)
    keys = {"tk": at("tk.bin")} if kind in ("sev", "seves") else {}
    with open_case(path) as case:
        here = verify_case(case_of(kind), roots=trust(), at="2026-01-01", **keys)
        there = verify_case(case, roots=trust(), at="2026-01-01", **keys)
    assert there.as_dict() == here.as_dict()
    assert there.matches
    assert (there.status, there.explanation) == ("match", "none")
    parts = {"sev": "measure", "seves": "measure", "report": "report"}
    assert getattr(there, parts.get(kind, "digest")) is not None
    assert "OK: " in str(there)
    assert "NOT CHECKED" not in str(there)


@pytest.mark.parametrize("kind", ["sev", "seves"])
def test_keys_stay_at_home(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sevcase"
    bundle = pack_case(case_of(kind), str(path))
    raw = path.read_bytes()
    both = (SAMPLES / "tk.bin").read_bytes()
    tek, tik = both[:KEY_SIZE], both[KEY_SIZE:]
    for key in (tek, tik, both):
        for form in (key, hashlib.sha256(key).digest()):
            assert form not in raw
            assert form.hex().encode() not in raw
    assert str(SAMPLES).encode() not in raw
    assert not bundle.keys
    names = {"sev": ["tk"], "seves": ["tik", "tek"]}[kind]
    assert [name for name, words in bundle.case.origin.items() if "left out" in words] == names


@pytest.mark.parametrize("kind", ["sev", "seves"])
def test_keys_that_are_asked_for_are_their_owner_s_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sevcase"
    bundle = pack_case(case_of(kind), str(path), with_keys=True)
    assert list(bundle.keys) == [name for name in case_of(kind).inputs if name in ("tik", "tek", "tk")]
    assert path.stat().st_mode & 0o777 == 0o600
    with open_case(str(path), own=True) as case:
        assert verify_case(case).matches
    case = unpack_bundle(str(path), str(tmp_path / "out"))
    for name in bundle.keys:
        assert os.stat(case.inputs[name]).st_mode & 0o777 == 0o600
    assert "Key files" in str(explain_case(bundle.case, bundle.manifest.blobs))


def test_a_file_that_was_found_travels_too(tmp_path: Path) -> None:
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "other.fd").write_bytes((SAMPLES / "firmware.fd").read_bytes())
    case = case_of("sev", firmware=at("firmware-kernel.fd"))
    found = diagnose(case.part(), candidates=str(tmp_path / "candidates"), jobs=1)
    case = record_explanation(case, found.explanations[0])
    path = str(tmp_path / "x.sevcase")
    assert len(pack_case(case, path).manifest.blobs) == 2
    with open_case(path) as again:
        assert again.found_hashes == {"firmware": hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).hexdigest()}
        assert verify_case(again, tk=at("tk.bin")).explanation == "holds"


#: A bundle of version 1 with a case of format 2. It must stay readable, whatever is added.
FIRST = """
UEsDBBQAAAAAAAAAIQDUoeyUegEAAHoBAAANAAAAbWFuaWZlc3QuanNvbnsKICAidmVyc2lvbiI6IDEsCiAgImNhc2UiOiB7CiAgICAic2hhMjU2IjogIjhi
MmViZDFkZWRhNmZiNTU3NDBiMTkwZTExZTQzY2Q5YmIzOTA3YmZjYzBjN2E0ODY1ODYxMDBhNTU5ZjMyZTUiLAogICAgInNpemUiOiA2MjgKICB9LAogICJi
bG9icyI6IFsKICAgIHsKICAgICAgInNoYTI1NiI6ICIyYWZkOTg5NmY5MDJkY2EzMWRmYTIyMzc0MDUyMTgzODFhZTU4ZGU1OWU3MDdkOWNkZmY1OWE4MGE1
NWM0OWNjIiwKICAgICAgInNpemUiOiAyMwogICAgfSwKICAgIHsKICAgICAgInNoYTI1NiI6ICI2OTIzZGQxYmMwNDYwMDgyYzVkNTVhODMxOTA4YzI0YTI4
Mjg2MGI3ZjFjZDZjMmI3OWNmMWJjODg1N2M2MzljIiwKICAgICAgInNpemUiOiA2CiAgICB9CiAgXQp9ClBLAwQUAAAAAAAAACEAkCDEjnQCAAB0AgAACQAA
AGNhc2UudG9tbCMgQSBjYXNlIGZpbGUgb2Ygc2V2bGFiOiBldmVyeSBpbnB1dCBvZiBvbmUgbGF1bmNoLiBTZWUgZG9jcy9jYXNlLm1kLgpmb3JtYXQgPSAy
CgpbcmVwb3J0ZWRdCmFwaS1tYWpvciA9IDAKcG9saWN5ID0gMQoKW293bmVyXQpjbWRsaW5lID0gImNvbnNvbGU9dHR5UzAiCgpbb3duZXIuZmlybXdhcmVd
CnBhdGggPSAiYmxvYnMvMmFmZDk4OTZmOTAyZGNhMzFkZmEyMjM3NDA1MjE4MzgxYWU1OGRlNTllNzA3ZDljZGZmNTlhODBhNTVjNDljYyIKc2hhMjU2ID0g
IjJhZmQ5ODk2ZjkwMmRjYTMxZGZhMjIzNzQwNTIxODM4MWFlNThkZTU5ZTcwN2Q5Y2RmZjU5YTgwYTU1YzQ5Y2MiCgpbb3duZXIua2VybmVsXQpwYXRoID0g
ImJsb2JzLzY5MjNkZDFiYzA0NjAwODJjNWQ1NWE4MzE5MDhjMjRhMjgyODYwYjdmMWNkNmMyYjc5Y2YxYmM4ODU3YzYzOWMiCnNoYTI1NiA9ICI2OTIzZGQx
YmMwNDYwMDgyYzVkNTVhODMxOTA4YzI0YTI4Mjg2MGI3ZjFjZDZjMmI3OWNmMWJjODg1N2M2MzljIgoKW29yaWdpbl0KcG9saWN5ID0gIi0tZG1lc2ciCmZp
cm13YXJlID0gInRoZSBmaWxlIE9WTUYuZmQiCmtlcm5lbCA9ICJ0aGUgZmlsZSB2bWxpbnV6Igp0ayA9ICJhIGtleSBmaWxlLCBsZWZ0IG91dCBvZiB0aGUg
YnVuZGxlIgpQSwMEFAAAAAAAAAAhABD/XDwXAAAAFwAAAEYAAABibG9icy8yYWZkOTg5NmY5MDJkY2EzMWRmYTIyMzc0MDUyMTgzODFhZTU4ZGU1OWU3MDdk
OWNkZmY1OWE4MGE1NWM0OWNjZmlybXdhcmUgb2YgYSBmZXcgYnl0ZXNQSwMEFAAAAAAAAAAhAKua0l0GAAAABgAAAEYAAABibG9icy82OTIzZGQxYmMwNDYw
MDgyYzVkNTVhODMxOTA4YzI0YTI4Mjg2MGI3ZjFjZDZjMmI3OWNmMWJjODg1N2M2Mzlja2VybmVsUEsBAhQDFAAAAAAAAAAhANSh7JR6AQAAegEAAA0AAAAA
AAAAAAAAAKSBAAAAAG1hbmlmZXN0Lmpzb25QSwECFAMUAAAAAAAAACEAkCDEjnQCAAB0AgAACQAAAAAAAAAAAAAApIGlAQAAY2FzZS50b21sUEsBAhQDFAAA
AAAAAAAhABD/XDwXAAAAFwAAAEYAAAAAAAAAAAAAAKSBQAQAAGJsb2JzLzJhZmQ5ODk2ZjkwMmRjYTMxZGZhMjIzNzQwNTIxODM4MWFlNThkZTU5ZTcwN2Q5
Y2RmZjU5YTgwYTU1YzQ5Y2NQSwECFAMUAAAAAAAAACEAq5rSXQYAAAAGAAAARgAAAAAAAAAAAAAApIG7BAAAYmxvYnMvNjkyM2RkMWJjMDQ2MDA4MmM1ZDU1
YTgzMTkwOGMyNGEyODI4NjBiN2YxY2Q2YzJiNzljZjFiYzg4NTdjNjM5Y1BLBQYAAAAABAAEAFoBAAAlBQAAAAA=
"""


def test_the_first_version_stays_readable_and_is_still_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "first.sevcase"
    path.write_bytes(base64.b64decode(FIRST))
    bundle = load_bundle(str(path))
    assert bundle.manifest.version == 1
    assert bundle.text.split("\n")[1] == "format = 2"
    assert bundle.case.inputs["cmdline"] == "console=ttyS0"
    with open_case(str(path)) as case:
        pack_case(case, str(tmp_path / "again.sevcase"))
    assert (tmp_path / "again.sevcase").read_bytes() == path.read_bytes()


STRANGER = """
import os, sys, tempfile
from sevlab.cli import main
folder, bundle, *options = sys.argv[1:]

def unpack_and_verify(folder):
    os.chdir(folder)
    assert main(["case", "unpack", bundle, "unpacked"]) == 0
    print("-- verdict")
    return main(["case", "verify", "unpacked", "--json", *options])

with tempfile.TemporaryDirectory() as warm:  # imports all there is, from places that only root may read
    unpack_and_verify(warm)
    os.chdir("/")
os.setgroups([]); os.setgid(65534); os.setuid(65534); os.umask(0o077)
sys.addaudithook(lambda event, _: os._exit(99) if event.startswith("socket.") else None)
print("-- stranger", os.getuid())
sys.exit(unpack_and_verify(folder))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("is_wrong", [False, True])
def test_another_user_in_a_fresh_folder_without_network_comes_to_the_same(kind: str, is_wrong: bool) -> None:
    changes = {"sev": {"policy": 3}, "seves": {"num_cpus": 3}, "snp": {"num_cpus": 3}, "report": {"snp_policy": 1}}
    case = case_of(kind, **(changes[kind] if is_wrong else {}))
    keys = {"tk": at("tk.bin")} if kind in ("sev", "seves") else {}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as away:
        os.chmod(home, 0o755)
        pack_case(case, os.path.join(home, "x.sevcase"))
        os.chown(away, 65534, 65534)
        readable = {name: os.path.join(away, name) for name in ("tk.bin", "ark-snp.der")}
        for name, path in readable.items():
            Path(path).write_bytes((SAMPLES / name).read_bytes())
        options = ["--tk", readable["tk.bin"]] if keys else ["--trust-root", readable["ark-snp.der"], "--at=2026-01-01"]
        command = [sys.executable, "-c", STRANGER, away, os.path.join(home, "x.sevcase"), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "-- stranger 65534" in done.stdout, done.stderr
    assert done.returncode == int(is_wrong), done.stderr
    there = json.loads(done.stdout.rpartition("-- verdict\n")[2])
    here = verify_case(case, roots=trust(), at="2026-01-01", **keys).as_dict()
    assert there["status"] == here["status"]
    for part in ("measure", "digest", "mode", "changed", "explanation"):
        assert there[part] == here[part]
    if here["report"]:
        states = [[(check["name"], check["state"]) for check in one["report"]["checks"]] for one in (here, there)]
        assert states[0] == states[1]


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
        assert isinstance(case.inputs["tk"], SecretBytes)
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
