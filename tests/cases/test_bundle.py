"""Bundles: what is packed comes back, the verdict travels with it, and nothing hostile gets out of an archive."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from sevlab.cases.bundle import load_bundle, open_case, pack_case, unpack_bundle
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import format_case, is_bundle, read_case, record_explanation, write_case
from sevlab.cases.redact import keep_tables, redact_case
from sevlab.cases.verify import explain_case, verify_case
from sevlab.diagnosis.run import diagnose
from sevlab.errors import InputError, UnsupportedError
from sevlab.formats.ovmf import parse_ovmf
from sevlab.labs import samples as sev
from sevlab.labs.snp_samples import snp_report
from sevlab.launch.files import Sha256
from sevlab.launch.snp import load_snp_launch
from sevlab.launch.values import KEY_SIZE
from tests.made_images import snp_image, svsm_image

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "notebooks" / "samples"
TIK = bytes(range(0x40, 0x50))
TEK = bytes(range(0x20, 0x30))
KINDS = ("sev", "seves", "snp", "report")


def at(name: str) -> str:
    return str(SAMPLES / name)


def launch_values(name: str) -> dict[str, object]:
    """The values that a sample's host reports."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    pairs = dict(line.replace(" ", "").split(":") for line in text.split("\n") if line)
    names = {"measurement": str, "api_major": int, "api_minor": int, "build_id": int, "policy": int}
    return {name: kind(pairs[f"sev-{name.replace('_', '-')}"]) for name, kind in names.items()}


def inputs_of(kind: str) -> dict[str, object]:
    """The inputs of one of the samples."""
    direct = {"kernel": at("kernel.bin"), "initrd": at("initrd.bin"), "cmdline": sev.CMDLINE}
    report = {name: at(f"{name}-snp.{end}") for name, end in (("report", "bin"), ("vcek", "der"), ("chain", "pem"))}
    cpus = {"num_cpus": sev.ES_CPUS}
    if kind == "sev":
        return {**launch_values("launch.txt"), "firmware": at("firmware.fd"), "tk": at("tk.bin")}
    if kind == "seves":
        sku = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), sev.ES_CPU, strict=True))
        keys = {"tik": at("tik.bin"), "tek": at("tek.bin")}
        return {**launch_values("launch-es.txt"), "firmware": at("firmware-kernel.fd"), **direct, **cpus, **sku, **keys}
    if kind == "report":
        measurement = snp_report().measurement.hex()
        return {"mode": "snp", **report, "snp_measurement": measurement, "snp_policy": 0x30000}
    return {"mode": "snp", "firmware": at("firmware-snp.fd"), **direct, **cpus, "cpu_signature": 0xA00F11, **report}


def trust() -> dict[str, str]:
    return {hashlib.sha256((SAMPLES / "ark-snp.der").read_bytes()).hexdigest(): "sample"}


def case_of(kind: str, **changes: object) -> Case:
    inputs = {name: value for name, value in (inputs_of(kind) | changes).items() if value is not None}
    return make_case(inputs, {"firmware": "bought"} if "firmware" in inputs else {}, {"title": kind, "note": "a\nb"})


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


def test_what_does_not_match_is_told(kind: str) -> None:
    changes = {"sev": {"policy": 3}, "seves": {"num_cpus": 3}, "snp": {"num_cpus": 3}, "report": {"snp_policy": 1}}
    keys = {"tk": at("tk.bin")} if kind in ("sev", "seves") else {}
    verdict = verify_case(case_of(kind, **changes[kind]), roots=trust(), at="2026-01-01", **keys)
    assert not verdict.matches
    assert verdict.status == "mismatch"
    assert "ERROR: " in str(verdict).split("\n")[0]
    assert verdict._repr_html_().startswith("<div")


def test_a_measurement_without_a_report_is_compared_and_nobody_vouches_for_it() -> None:
    reported = snp_report().measurement
    case = case_of("snp", report=None, vcek=None, chain=None, reported_measurement=reported)
    verdict = verify_case(case)
    assert (verdict.matches, verdict.status) == (False, "not_decided")
    assert verdict.words.endswith("whoever reported it; missing: a report with its certificates")
    assert "NOT CHECKED: who reported the measurement" in str(verdict)
    assert not verify_case(case.replace(inputs=case.inputs | {"num_cpus": 3})).matches
    wanted = Case({"mode": "snp", "reported_measurement": reported, "snp_measurement": reported.hex()})
    assert verify_case(wanted).status == "not_decided"
    assert not verify_case(wanted.replace(inputs=wanted.inputs | {"reported_measurement": bytes(48)})).matches
    without = case_of("snp", vcek=None, chain=None)
    assert verify_case(without).notes == ("who made the report: the case has no certificates",)
    assert not verify_case(case_of("report", vcek=None, chain=None)).matches


def test_a_case_with_nothing_to_check_is_refused() -> None:
    with pytest.raises(InputError, match="a launch, and a report or its measurement"):
        verify_case(Case({"mode": "snp", "num_cpus": 1}))
    with pytest.raises(InputError, match="the case comes without keys"):
        verify_case(case_of("sev", tk=None))


def test_a_changed_file_does_not_pass(tmp_path: Path) -> None:
    firmware = tmp_path / "f.fd"
    firmware.write_bytes((SAMPLES / "firmware.fd").read_bytes())
    case = case_of("sev", firmware=str(firmware))
    firmware.write_bytes(b"other" * 100)
    verdict = verify_case(case)
    assert not verdict.matches
    assert "1 files of this case are not" in str(verdict)
    with pytest.raises(InputError, match="has changed"):
        pack_case(case, str(tmp_path / "x.sevcase"))
    with pytest.raises(InputError, match="has changed"):
        redact_case(case, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["f.fd"]


# Keys.


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


# Explanations.


@cache
def explained(kind: str) -> Case:
    """A case in which one input is wrong, with what a search found."""
    if kind == "snp":
        case = case_of("snp", num_cpus=2)
        found = diagnose(case.snp_launch, snp_report())
    else:
        case = case_of(kind, **({"num_cpus": 3} if kind == "seves" else {"build_id": 12}))
        found = diagnose(case.part(), jobs=1)
    return record_explanation(case, found.explanations[0])


@pytest.mark.parametrize("kind", ["sev", "seves", "snp"])
def test_the_explanation_is_computed_again(kind: str, tmp_path: Path) -> None:
    case = explained(kind)
    path = str(tmp_path / "x.sevcase")
    pack_case(case, path)
    keys = {"tk": at("tk.bin")} if kind != "snp" else {}
    with open_case(path) as again:
        assert again.found == case.found
        assert again.about["explanation"] == case.about["explanation"]
        verdict = verify_case(again, roots=trust(), at="2026-01-01", **keys)
        assert (verdict.matches, verdict.explanation) == (False, "holds")
        assert "THE EXPLANATION HOLDS" in str(verdict)
        assert "Explanation" in str(explain_case(again))
        wrong = again.replace(found={name: value + 1 for name, value in again.found.items()})
        assert verify_case(wrong, roots=trust(), **keys).explanation == "does not hold"
        nothing = again.replace(found=again.found | {"firmware": None})
        assert verify_case(nothing, roots=trust(), **keys).explanation == "cannot be computed"
        words = again.replace(found={})
        assert verify_case(words, roots=trust(), **keys).explanation == "in words only"


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


class Told:
    """An explanation with other inputs than a case can hold."""

    sentence = "because"

    def __init__(self, inputs: dict[str, object] | None) -> None:
        self._inputs = inputs

    @property
    def inputs(self) -> dict[str, object]:
        if self._inputs is None:
            raise UnsupportedError("this", "that")
        return self._inputs


@pytest.mark.parametrize("inputs", [None, {"tik": "k"}, {"message": 1}, {"firmware": "no such file"}, {"policy": -1}])
def test_what_no_input_says_is_noted_in_words(inputs: dict[str, object] | None) -> None:
    case = record_explanation(case_of("sev"), Told(inputs))
    assert (case.found, case.about["explanation"]) == ({}, "because")


def test_an_input_that_must_go_is_noted_as_gone() -> None:
    case = record_explanation(case_of("seves"), Told({"kernel": None, "initrd": None, "cmdline": None, "svsm": None}))
    assert case.found == {"kernel": None, "initrd": None, "cmdline": None}
    assert "kernel = false" in format_case(case)


# Redacting.


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


# Versions.

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


# Another machine.

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


# Showing.


def test_show_tells_everything_and_lets_no_stranger_write_to_the_terminal(tmp_path: Path) -> None:
    case = make_case(
        {"mode": "snp", "cmdline": "a\x1b[2Jb", "num_cpus": 12, "kernel": Sha256(bytes(32)), "snp_vmpl": 0},
        {"cmdline": "evil\x07", "svsm": "not there"},
        {"note": "two\nlines \x1b]0;x\x07 and \u202e", "by": "Zoë"},
    )
    text = str(explain_case(case))
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    for words in (
        "two",
        "lines \\x1b]0;x\\x07 and \\u202e",
        "Zoë",
        "12 (0xc)",
        "SHA-256 00",
        "a\\x1b[2Jb",
        "not there",
    ):
        assert words in text
    assert max(map(len, text.split("\n"))) <= 110
    write_case(case_of("seves"), str(tmp_path / "c.toml"))
    shown = str(explain_case(read_case(str(tmp_path / "c.toml"))))
    for words in ("A case of SEV-ES", "Key files are named above", "bought"):
        assert words in shown
