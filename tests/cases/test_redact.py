"""What must not leave the house stays in it: marks in paths, command lines and words, looked for in every byte."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sevlab.cases.bundle import load_bundle, open_case, pack_case
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import read_case, record_explanation, write_case
from sevlab.cases.redact import keep_tables, redact_case
from sevlab.cases.verify import verify_case
from sevlab.cli import main
from sevlab.diagnosis.run import diagnose
from sevlab.errors import InputError
from sevlab.formats.ovmf import parse_ovmf
from sevlab.labs import samples as sev
from sevlab.launch.inputs import Sha256
from sevlab.launch.snp import load_snp_launch
from tests.cases.sample_cases import Told, at, case_of, explained, inputs_of, trust
from tests.made_images import snp_image, svsm_image
from tests.paths import SAMPLES


@contextmanager
def redacted(case: Case, folder: Path, **options: bool) -> Iterator[Case]:
    """Redact, pack, and open the bundle."""
    kept = folder / "kept"
    kept.mkdir()
    path = str(folder / "redacted.sevcase")
    pack_case(redact_case(case, str(kept), **options), path)
    with open_case(path) as again:
        yield again


def secrets_of(case: Case) -> list[bytes]:
    """Pieces of every file that must not be in a redacted bundle."""
    pieces = []
    for name in ("firmware", "kernel", "initrd"):
        if name in case.inputs:
            raw = Path(str(case.inputs[name])).read_bytes()
            pieces += [raw[at : at + 32] for at in range(0, min(len(raw), 0xF000), 512)]
    return [piece for piece in pieces if len(set(piece)) > 2]


def test_a_redacted_snp_case_says_the_same_without_its_firmware(tmp_path: Path) -> None:
    case = explained("snp")
    whole = verify_case(case, roots=trust(), at="2026-01-01")
    with redacted(case, tmp_path) as again:
        verdict = verify_case(again, roots=trust(), at="2026-01-01")
        assert verdict.digest == whole.digest
        assert (verdict.explanation, verdict.matches) == ("holds", False)
        assert isinstance(again.inputs["kernel"], Sha256)
    raw = (tmp_path / "redacted.sevcase").read_bytes()
    assert len(secrets_of(case)) > 100
    assert not [piece for piece in secrets_of(case) if piece in raw]
    assert len(raw) < len((SAMPLES / "firmware-snp.fd").read_bytes())


@pytest.mark.parametrize(
    "changes",
    [
        {"num_cpus": 9},
        {"cpu_signature": 0x800F12},
        {"cmdline": "console=ttyS0 quiet"},
        {"kernel": None},
        {"profile": "gce"},
    ],
)
def test_a_redacted_case_diagnoses_the_same_change(changes: dict[str, object], tmp_path: Path) -> None:
    if changes.get("kernel", "") is None:
        changes = changes | {"initrd": None, "cmdline": None}
    launched = load_snp_launch(**case_of("snp", **changes).snp_launch).digest
    case = case_of("snp", report=None, vcek=None, chain=None, reported_measurement=launched)
    whole = diagnose(case.snp_launch, launched)
    with redacted(case, tmp_path) as again:
        kept = diagnose(again.snp_launch, launched)
    assert kept.status == whole.status == "explained"
    assert kept.explanations[0].found == whole.explanations[0].found


def test_a_redacted_plain_sev_case_validates_and_is_diagnosed(tmp_path: Path) -> None:
    case = explained("sev")
    with redacted(case, tmp_path) as again:
        assert again.inputs["digest"] == hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).digest()
        verdict = verify_case(again, tk=at("tk.bin"))
        assert (verdict.matches, verdict.explanation) == (False, "holds")
        found = diagnose(again.part() | {"tk": at("tk.bin")}, jobs=1)
        assert found.explanations[0].found == {"build_id": 13}


def test_what_cannot_be_continued_is_refused_or_kept_as_a_digest(tmp_path: Path) -> None:
    case = explained("seves")
    with pytest.raises(InputError, match=r"cannot be continued from a digest.*--digest-only"):
        redact_case(case, str(tmp_path))
    plain = case_of("sev", kernel=at("kernel.bin"))
    with pytest.raises(InputError, match="kernel hashes"):
        redact_case(plain, str(tmp_path))
    with pytest.raises(InputError, match="without a firmware"):
        redact_case(case_of("report"), str(tmp_path))
    with redacted(case, tmp_path, digest_only=True) as again:
        assert {"firmware", "kernel", "initrd", "cmdline", "num_cpus"}.isdisjoint(again.inputs)
        verdict = verify_case(again, tk=at("tk.bin"))
        assert (verdict.matches, verdict.explanation) == (False, "holds")
        assert again.found["digest"] == sev.es_launch().digest


def test_of_any_snp_launch_the_digest_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "o.fd").write_bytes(snp_image())
    (tmp_path / "s.bin").write_bytes(svsm_image(((0x800000, 0x1000, 1),)))
    inputs = {"mode": "snp:svsm", "firmware": str(tmp_path / "o.fd"), "svsm": str(tmp_path / "s.bin")}
    inputs |= {"vars_size": 0x1000, "num_cpus": 2, "cpu_signature": 0xA00F11, "report": at("report-snp.bin")}
    case = make_case(inputs)
    with pytest.raises(InputError, match="SVSM"):
        redact_case(case, str(tmp_path))
    with redacted(case, tmp_path, digest_only=True) as again:
        assert set(again.inputs) == {"mode", "report", "snp_measurement"}
        assert again.inputs["snp_measurement"] == load_snp_launch(**case.snp_launch).digest.hex()


def test_the_tables_mean_the_same_without_the_rest() -> None:
    images = [snp_image(pages=pages, seed=pages) for pages in (1, 2, 5)]
    images += [(SAMPLES / name).read_bytes() for name in ("firmware.fd", "firmware-kernel.fd", "firmware-snp.fd")]
    images += [bytes(4096), snp_image() + bytes(4096), os.urandom(8192)]
    for image in images:
        whole, kept = parse_ovmf(image), parse_ovmf(keep_tables(parse_ovmf(image)))
        for name in ("sections", "hash_area", "reset_address", "secret_area"):
            assert getattr(kept, name) == getattr(whole, name)
        assert kept.size % 4096 == 0
        assert kept.size <= 8192


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
