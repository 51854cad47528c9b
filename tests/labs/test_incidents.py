"""Field incidents done again: the bundles are those that are made, and a search names the cause with no other hint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import nbformat
import pytest

import sevlab
from sevlab import diagnose_case
from sevlab.cases.bundle import load_bundle, open_case
from sevlab.cases.redact import redact_case
from sevlab.cli import main
from sevlab.data import INCIDENTS
from sevlab.diagnosis.case import CaseDiagnosis
from sevlab.labs import incidents as replays
from sevlab.labs.incidents import CAUSES
from sevlab.labs.incidents.replays import FILES, REPLAYS, variable_store
from sevlab.labs.samples import TEK, TIK
from sevlab.simulator.kds import MOMENT, KeyServer
from tests import paths

FOLDER = paths.NOTEBOOKS / "incidents"
CASES = FOLDER / "cases"
#: Those about what was launched.
LAUNCHES = [key for key in REPLAYS if INCIDENTS[key].cause in ("registers", "pages", "kernel hashes")] + ["F16"]
#: Values of inputs that a search can tell in the words in which a row has them.
PLAIN = ("profile", "num_cpus", "cpu_signature", "guest_features", "api_minor", "build_id")
#: A search that must fail is ended after so many changes at once.
MOST = {"F18": 1}


@cache
def diagnosed(key: str) -> CaseDiagnosis:
    path = str(CASES / f"{key}.sevcase")
    return diagnose_case(path, roots=KeyServer().roots, at=MOMENT, max_changes=MOST.get(key, 3))


def test_the_stored_bundles_are_those_that_are_made(tmp_path: Path) -> None:
    replays.write_replays(tmp_path / "new" / "folder")
    made = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    assert made == {path.name: path.read_bytes() for path in CASES.iterdir()}
    assert len(made) == len(REPLAYS) >= 18


def test_the_script_makes_them_too(tmp_path: Path) -> None:
    line = "from sevlab.labs.incidents import write_replays; write_replays('here', ['F15', 'F27'])"
    subprocess.run([sys.executable, "-c", line], cwd=tmp_path, check=True, timeout=300)
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"F15.sevcase", "F27.sevcase"}
    assert all(path.read_bytes() == (CASES / path.name).read_bytes() for path in (tmp_path / "here").iterdir())


@pytest.mark.parametrize("key", REPLAYS)
def test_a_bundle_is_small_and_tells_the_symptom_alone(key: str) -> None:
    path, row = CASES / f"{key}.sevcase", REPLAYS[key]
    assert path.stat().st_size < 40_000
    bundle = load_bundle(str(path))
    assert bundle.case.about["title"] == row.symptom
    assert bundle.case.found == {}
    assert "explanation" not in bundle.case.about
    # Neither the incident nor what the host did is in the text.
    assert not re.search(r"\b[AF]\d\d\b", bundle.text)
    assert INCIDENTS[key].title not in bundle.text
    assert INCIDENTS[key].lesson not in bundle.text
    hidden = [row.host[name] for name in ("profile",) if row.host.get(name)]
    assert not [value for value in hidden if f'"{value}"' in bundle.text]


@pytest.mark.parametrize("key", REPLAYS)
def test_keys_are_only_where_nothing_can_be_judged_without_and_are_visibly_samples(key: str) -> None:
    bundle = load_bundle(str(CASES / f"{key}.sevcase"))
    assert bundle.keys == (["tk"] if bundle.case.mode == "sev" else [])
    if bundle.keys:
        assert "visibly samples" in bundle.case.about["note"]
        with open_case(str(CASES / f"{key}.sevcase")) as case:
            assert case.inputs["tk"].reveal() == TEK + TIK


@pytest.mark.parametrize("key", [key for key, row in REPLAYS.items() if row.found])
def test_the_cause_is_named_with_no_hint_but_the_case(key: str) -> None:
    result, row = diagnosed(key), REPLAYS[key]
    assert result.status == "found"
    assert key in result.incidents
    assert result.incidents == row.found  # and nothing else is
    shown = " ".join(str(result).split())
    assert [shown.count(INCIDENTS[one].lesson) for one in row.found] == [1] * len(row.found)
    assert all(len(line) <= 100 for line in str(result).splitlines())
    assert "/tmp" not in result.explain().html()
    wanted = {name: value for name, value in row.host.items() if name in PLAIN}
    if result.explanation is not None:
        found = {name: value for name, value in result.explanation.found.items() if name in wanted}
        assert found == wanted


@pytest.mark.parametrize("key", sorted({*LAUNCHES} - {"F23"}))
def test_the_reports_of_other_launches_are_genuine(key: str) -> None:
    verdict = diagnosed(key).verdict
    assert verdict is not None
    assert verdict.report is not None
    assert [check.name for check in verdict.report.authenticity if check.state == "mismatch"] == []
    assert diagnosed(key).status != "match"


@pytest.mark.parametrize("key", LAUNCHES)
def test_what_was_found_gives_the_reported_digest_when_it_is_launched(key: str) -> None:
    result = diagnosed(key)
    if result.comparison is None:
        assert key in {"F16", "F18", "F21", "F23"}  # no input says it, or there was no launch to compare with
        return
    assert result.verdict is not None
    assert result.verdict.digest is not None
    both = (result.comparison.reported.digest, result.comparison.computed.digest)
    assert both == (result.verdict.digest.reported, result.verdict.digest.computed)
    assert both[0] != both[1]


def test_random_bytes_are_not_found_and_that_is_said() -> None:
    result = diagnosed("F18")
    assert (result.status, result.incidents, result.explanation) == ("unknown", (), None)
    assert result.diagnosis is not None
    assert "Changed bytes in a file: no search can find these." in result.diagnosis.not_tried
    assert "NOT FOUND" in str(result)


def test_random_bytes_are_found_by_whoever_has_the_file(tmp_path: Path) -> None:
    (tmp_path / "received").write_bytes(FILES["vmlinuz-received"]())
    with open_case(str(CASES / "F18.sevcase")) as case:
        result = diagnose_case(case, candidates=str(tmp_path), max_changes=1)
    assert result.explanation is not None
    assert set(result.explanation.found) == {"kernel"}


@pytest.mark.parametrize(
    ("key", "failed"),
    [
        ("F13", {"leaf signature", "names", "one product"}),
        ("F38", {"report signature", "TCB"}),
        ("F40", {"report signature", "TCB"}),
        ("F41", {"report signature", "TCB"}),
        ("F42", {"report signature", "leaf signature"}),
        ("F43", {"report signature", "chip id"}),
        ("F47", set()),
    ],
)
def test_of_a_report_just_these_checks_fail(key: str, failed: set[str]) -> None:
    verdict = diagnosed(key).verdict
    assert verdict is not None
    assert verdict.report is not None
    assert {check.name for check in verdict.report.failed} == failed


def test_a_guest_as_its_owner_wanted_it_is_a_match(tmp_path: Path) -> None:
    for key in ("F15", "F27", "F47"):
        folder = tmp_path / key
        folder.mkdir()
        row = replace(REPLAYS[key], owner={**REPLAYS[key].owner, **REPLAYS[key].host})
        result = diagnose_case(row.case(folder), roots=KeyServer().roots, at=MOMENT)
        assert result.status == ("match" if key != "F47" else "found")
        assert (result.incidents == ()) == (key != "F47")


def test_id_blocks_are_judged_against_what_was_launched() -> None:
    early, hand = (diagnosed(key).verdict for key in ("F01", "F46"))
    assert early is not None
    assert early.id_block is not None
    assert [check.name for check in early.id_block.failed] == ["launch digest"]
    assert early.id_block.firmware_status == "BAD_MEASUREMENT"
    assert diagnosed("F01").wrong_block == []  # the block is right; the launch is another
    assert hand is not None
    assert hand.id_block is not None
    names = [check.name for check in hand.id_block.failed]
    assert names == diagnosed("F46").wrong_block == ["ID block signature"]
    assert hand.digest is None
    assert not hand.matches


def test_the_simulated_firmware_refuses_the_two_id_blocks_as_it_is_said() -> None:
    for key, host, status in (("F01", {"profile": "qemu-debug-swap"}, "BAD_MEASUREMENT"), ("F46", {}, "BAD_SIGNATURE")):
        with open_case(str(CASES / f"{key}.sevcase")) as case:
            block = sevlab.attestation.id_block.load_id_block(case.inputs["id_block"])
            run = sevlab.simulate_snp_launch({**case.snp_launch, **host}, id_block=block, seed=b"refused")
            assert run.caught is not None
            assert status in str(run.caught[1])
            assert run.report == b""
            if host:
                assert sevlab.simulate_snp_launch(case.snp_launch, id_block=block, seed=b"taken").caught is None


def test_what_was_made_without_keys_is_judged_with_them(tmp_path: Path) -> None:
    (tmp_path / "tk.bin").write_bytes(TEK + TIK)
    with open_case(str(CASES / "F27.sevcase")) as case:
        bare = case.replace(inputs={name: value for name, value in case.inputs.items() if name != "tk"})
        with pytest.raises(sevlab.InputError, match="the case comes without keys"):
            diagnose_case(bare)
        assert diagnose_case(bare, keys={"tk": str(tmp_path / "tk.bin")}).incidents == ("F27",)


def test_a_case_without_firmware_is_judged_as_well(tmp_path: Path) -> None:
    with open_case(str(CASES / "F11.sevcase")) as case:
        redacted = redact_case(case, str(tmp_path))
        result = diagnose_case(redacted, roots=KeyServer().roots, at=MOMENT)
    assert result.incidents == REPLAYS["F11"].found


def test_the_command_line_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--case", str(CASES / "F15.sevcase")]) == 1
    out = capsys.readouterr().out
    assert "--vcpus  1      2" in out
    assert "F15 'vCPU count decides the digest'" in " ".join(out.split())
    assert main(["diagnose", "--case", str(CASES / "F27.sevcase")]) == 1
    assert "F27 'Decimal versus hex'" in " ".join(capsys.readouterr().out.split())
    assert main(["case", "verify", str(CASES / "F46.sevcase")]) == 1
    out = capsys.readouterr().out
    assert "ERROR: the firmware would answer 0x0a BAD_SIGNATURE" in out
    assert "ID block signature" in out


def test_a_diagnosis_of_a_case_as_data() -> None:
    data = diagnosed("F01").as_dict()
    assert data["status"] == "found"
    assert data["incidents"][0] == "F01"
    assert data["verdict"]["id-block"]["firmware_status"] == "BAD_MEASUREMENT"
    assert data["diagnosis"]["status"] == "explained"
    assert diagnosed("F16").as_dict()["refusal"].startswith("kernel: received one for a firmware without")


def test_the_index_names_every_field_incident_once_under_its_cause_and_links_its_thread() -> None:
    keys = [key for key in sorted(INCIDENTS) if key.startswith("F")]
    assert keys == [f"F{number:02}" for number in range(1, 49)]
    assert {INCIDENTS[key].cause for key in keys} == set(CAUSES)
    assert {key for key in keys if not INCIDENTS[key].reproduced} == set(REPLAYS)
    assert sorted(key for some in replays.NOTEBOOKS.values() for key in some) == sorted(REPLAYS)
    index = nbformat.read(FOLDER / "00-index.ipynb", as_version=4)
    found = []
    for table in (cell.source for cell in index.cells if cell.source.startswith("### Cause: ")):
        cause = table.partition("\n")[0].removeprefix("### Cause: ")
        for row in re.findall(r"^\| F.*", table, re.MULTILINE):
            key, title, where, notebook, shown = (cell.strip() for cell in row.strip("|").split(" | "))
            one = INCIDENTS[key]
            assert (one.cause, one.title) == (cause, title)
            assert where == f"[{one.source}]({one.link}), {one.date}"
            assert (f"{one.notebook}.ipynb)" in notebook) if one.notebook else notebook == ""
            assert shown == (f"`{key}.sevcase`" if key in REPLAYS else one.reproduced)
            found.append(key)
    assert sorted(found) == keys


@pytest.mark.parametrize("name", [*replays.NOTEBOOKS, "00-index"])
def test_a_notebook_tells_the_incidents_that_the_data_names(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells)
    for key in replays.NOTEBOOKS.get(name, ()):
        assert f"{key}.sevcase" in source or f'"{key}"' in source
        assert INCIDENTS[key].source in source.replace(", issue ", "#").replace(", pull request ", "#")


def test_the_notebooks_that_others_are_told_in_are_there() -> None:
    names = {one.notebook for one in INCIDENTS.values() if one.notebook}
    for name in names:
        assert (FOLDER / f"{name}.ipynb").exists() or (FOLDER.parent / f"{name}.ipynb").exists()


def test_published_digests_are_whole_and_none_is_one_of_ours() -> None:
    ours = set()
    for key in REPLAYS:
        verdict = diagnosed(key).verdict
        if verdict is not None and verdict.digest is not None:
            ours |= {verdict.digest.reported.hex(), verdict.digest.computed.hex()}
    assert [key for key, one in INCIDENTS.items() if one.digests] == ["F04", "F06", "F07", "F08", "F10", "F21"]
    for key, told in ((key, one.digests) for key, one in INCIDENTS.items() if one.digests):
        values = set(told.values())
        assert all(re.fullmatch("[0-9a-f]{96}", value) for value in values)
        assert not values & ours
        assert str(replays.published(key)).count("public") >= len(told)
    assert "ours" in str(replays.published("F04", diagnosed("F04")))


def test_the_made_variable_store_is_one() -> None:
    ovmf = sevlab.formats.ovmf.parse_ovmf(variable_store() + bytes(4096))
    assert [(volume.offset, volume.size, volume.is_nvram) for volume in ovmf.volumes] == [(0, 4096, True)]


def test_bundles_are_written_for_everybody(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        replays.write_replays(tmp_path, ["F27"])
    finally:
        os.umask(old)
    assert (tmp_path / "F27.sevcase").stat().st_mode & 0o777 == 0o644
