"""Releases, hosts and predicted digests: the data, digests of the releases themselves, published digests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

import sevlab
from sevlab.cli import GOOD, UNUSABLE, main
from sevlab.data import HOSTS, INCIDENTS, MODES, RELEASES, UNKNOWN
from sevlab.errors import InputError
from sevlab.labs.predictions import (
    EQUAL,
    NONE,
    OTHER,
    STOPS,
    WORDS,
    Cell,
    Predictions,
    compute_predictions,
    explain_profile,
    profile_as_dict,
)
from sevlab.launch.vmm import SNP_PROFILES
from sevlab.layout.views import WIDTH
from tests.made_images import AMD_SEV, snp_image
from tests.shared_data import shared_data
from tests.soak import many

EPYC = 0x800F12
NEWEST = "sev-snp-measure 0.0.13"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "new.fd").write_bytes(snp_image())
    (tmp_path / "old.fd").write_bytes(snp_image(tuple(section for section in AMD_SEV if section[2] != 4)))
    (tmp_path / "k").write_bytes(b"kernel")
    (tmp_path / "i").write_bytes(b"initrd")
    return tmp_path


def inputs(files: Path, image: str = "old", **changes: Any) -> dict[str, Any]:
    given = {"firmware": files / f"{image}.fd", "kernel": files / "k", "initrd": files / "i", "cmdline": "a=b"}
    return {**given, "num_cpus": 2, "cpu_signature": EPYC, **changes}


def right_about(predictions: Predictions, host: str) -> list[str]:
    """The releases that compute the digest of this host."""
    return [row.release.name for row in predictions.rows if predictions[row.release.name, host].state == EQUAL]


def test_every_row_has_a_source_and_points_to_a_profile() -> None:
    assert list(HOSTS) == [host.name for host in HOSTS.values()]
    for host in HOSTS.values():
        assert host.source
        assert host.since
        assert host.mode in MODES
        assert host.profile in SNP_PROFILES
        assert host.mode == "seves" or host.features == SNP_PROFILES[host.profile].features
        assert set(host.incidents) <= set(INCIDENTS)
    assert len({release.name for release in RELEASES}) == len(RELEASES)
    for release in RELEASES:
        assert release.source
        assert release.when
        for (mode, vmm), assumed in release.assumes.items():
            assert mode in MODES
            assert vmm in {host.vmm for host in HOSTS.values()}
            assert assumed is None or assumed.profile in SNP_PROFILES
    # What is not known is said, not left blank.
    assert any(None in release.assumes.values() for release in RELEASES)


#: Digests (their first 24 digits) that the published releases printed when they were run, with 2 CPUs of EPYC-v4, the
#: kernel "kernel", the initrd "initrd", the command line "a=b": SEV-SNP on QEMU with the firmware that has no SVSM_CAA
#: section and the one that has, then EC2 and GCE with the first, then SEV-ES on QEMU.
FIRST, LEGACY, SWAP = "7f28fb6ad002c2cb2e2cb823", "dde75a968f5e24711521c535", "d047b9a3adbe762bb74ddf92"
INIT2, WITH_CAA = "322442d0c6d71bd4512633e0", "181c49c7ca72490edc6e6ac6"
EC2_0, EC2_600, GCE = "4f6f507d52042b9a0440e180", "9224d07f2f00d865c8dd14d7", "4e810fbc83dd4d47abecdd99"
ES_ZERO, ES_SET = "1c4c23485cbb3a4b438d1522", "bafa24650e2bc40002277f08"
PRINTED = {
    "0.0.3": (FIRST, "c1c1343cc738eab65a790926", NONE, NONE, ES_ZERO),
    "0.0.4": (STOPS, STOPS, NONE, NONE, ES_ZERO),
    "0.0.5": (LEGACY, STOPS, NONE, NONE, ES_ZERO),
    "0.0.6 to 0.0.8": (LEGACY, STOPS, EC2_0, NONE, ES_ZERO),
    "0.0.9": (SWAP, STOPS, "2ad6e4023ead1bfac99d8fbd", NONE, ES_ZERO),
    "0.0.10": (INIT2, STOPS, EC2_0, NONE, ES_SET),
    "0.0.11": (INIT2, WITH_CAA, EC2_0, NONE, ES_SET),
    "0.0.12": (INIT2, WITH_CAA, EC2_0, GCE, ES_SET),
    "0.0.13": (INIT2, WITH_CAA, EC2_600, GCE, ES_SET),
}


def test_the_releases_themselves_printed_these_digests(files: Path) -> None:
    old, new = compute_predictions(**inputs(files)), compute_predictions(**inputs(files, "new"))
    legacy = compute_predictions("seves", **inputs(files))
    columns = ((old, "6.10 and newer"), (new, "6.10 and newer"), (old, "EC2 since 2026"), (old, "GCE"))
    for versions, printed in PRINTED.items():
        cells = [matrix[f"sev-snp-measure {versions}", host] for matrix, host in columns]
        cells.append(legacy[f"sev-snp-measure {versions}", "SEV-ES legacy"])
        told = [cell.digest.hex()[:24] if cell.digest else cell.state for cell in cells]
        assert told == list(printed), versions
    assert set(PRINTED) == {release.versions for release in RELEASES if release.tool == "sev-snp-measure"}


def test_without_a_kernel_the_oldest_release_leaves_the_page_of_hashes_out(files: Path) -> None:
    matrix = compute_predictions(**inputs(files, "new", kernel=None, initrd=None, cmdline=None))
    cell = matrix["sev-snp-measure 0.0.3", "first SNP patches"]
    assert cell.state == OTHER
    assert cell.digest.hex()[:24] == "2fa44da592546a5b8e4ea454"  # printed by the release


def test_the_published_digests(tmp_path: Path) -> None:
    """incidents 2: the rows that are hosts, and EC2's older ones (4a02bf0), on the published fixture."""
    (tmp_path / "empty").write_bytes(b"")
    given = {"firmware": shared_data("firmware", "ovmf_AmdSev_suffix.bin"), "kernel": tmp_path / "empty"}
    given |= {"initrd": tmp_path / "empty", "num_cpus": 1, "cpu_signature": EPYC}
    matrix = compute_predictions(**given, cmdline="console=ttyS0 loglevel=7")
    digests = {host.name: digest.hex() for host, digest in zip(matrix.hosts, matrix.digests, strict=True)}
    known = {
        "6.10 and newer": "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c0",
        "before 6.6": "4893f43d1eca6df6509f37d130aba0d5da227b717f43a76def511e4de7aeffeb991d9a578093103754032d1c",
        "6.6 to 6.8": "e899d4f99f117865ebb60cb7a47c4c592505154fb3a5085ca7738607294649bcb5b2dcd5209e5f9d5ca248b5",
        "EC2 since 2026": "dd7f10feca67280894cb2f7ae7dcec653fdc17d959c9fe11aa8cb2a7d70af4bfaff989d810c3fe9e034a",
        "GCE": "58801f662c9ed5e7159aa42de6dd6fba76e2595bad9ace1237a4e1e3f6c806c71439d0d987bdcce207cf6d546ddf",
    }
    for name, begin in known.items():
        assert digests[name].startswith(begin)
    assert right_about(matrix, "6.10 and newer") == [f"sev-snp-measure 0.0.{number}" for number in (11, 12, 13)]
    assert right_about(matrix, "GCE") == [f"sev-snp-measure 0.0.{number}" for number in (12, 13)]
    # its section SVSM_CAA stops every older release, as it did in the field (F23)
    assert matrix["sev-snp-measure 0.0.9", "6.6 to 6.8"] == Cell(STOPS)
    ec2 = compute_predictions(**given, cmdline="")
    assert ec2["sev-snp-measure 0.0.12", "EC2 until 2026"].digest.hex().startswith("7d3756157c805bf6adf617064c8552e8")
    assert ec2[NEWEST, "EC2 since 2026"].digest.hex().startswith("0883bd0eeb716e65b7b977a321c278d1e51b33b5c655fab9")


def test_the_table_of_incident_f04() -> None:
    """incidents 2: which release matches which host kernels, row by row, on the sample."""
    matrix = compute_predictions()
    table = {
        "first SNP patches": ["0.0.3"],
        "before 6.6": ["0.0.5", "0.0.6 to 0.0.8"],
        "6.6 to 6.8": ["0.0.9"],
        "6.10 and newer": ["0.0.10", "0.0.11", "0.0.12", "0.0.13"],
        "GCE": ["0.0.12", "0.0.13"],
    }
    for host, versions in table.items():
        assert right_about(matrix, host) == [f"sev-snp-measure {one}" for one in versions]
    older, newer = right_about(matrix, "EC2 until 2026"), right_about(matrix, "EC2 since 2026")
    assert newer == [NEWEST]
    assert NEWEST not in older
    assert matrix["sev crate, release unknown", "EC2 until 2026"] == Cell(UNKNOWN)
    assert matrix["sev crate, release unknown", "GCE"] == Cell(NONE)
    legacy = compute_predictions("seves")
    assert right_about(legacy, "SEV-ES 6.6") == []
    assert {"libvirt 9.0", "sevctl, release unknown"} <= set(right_about(legacy, "SEV-ES legacy"))
    assert right_about(legacy, "SEV-ES INIT2") == [f"sev-snp-measure 0.0.{number}" for number in (10, 11, 12, 13)]


def test_the_matrix_is_of_one_launch(tmp_path: Path) -> None:
    """A firmware without a section for hashes does not tell the first patches from those after them."""
    (tmp_path / "fw.fd").write_bytes(snp_image(tuple(section for section in AMD_SEV if section[2] < 4)))
    matrix = compute_predictions(firmware=tmp_path / "fw.fd", num_cpus=1, cpu_signature=EPYC)
    for versions in ("0.0.3", "0.0.4", "0.0.5"):
        assert matrix[f"sev-snp-measure {versions}", "first SNP patches"].state == EQUAL
        assert matrix[f"sev-snp-measure {versions}", "before 6.6"].state == EQUAL
    # printed by 0.0.3, 0.0.4 and 0.0.5 with 2 CPUs
    two = compute_predictions(firmware=tmp_path / "fw.fd", num_cpus=2, cpu_signature=EPYC)
    assert two["sev-snp-measure 0.0.4", "before 6.6"].digest.hex()[:24] == "a08fcbba8729733c82cc1778"


@settings(max_examples=many(8, 5))
@given(seed=st.integers(0, 1 << 16), cpus=st.integers(1, 4), kernel=st.booleans())
def test_a_cell_says_equal_exactly_when_the_digests_are(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cpus: int, kernel: bool
) -> None:
    folder = tmp_path_factory.mktemp("launch")
    (folder / "fw.fd").write_bytes(snp_image(pages=2, seed=seed))
    (folder / "k").write_bytes(b"k")
    more = {"kernel": folder / "k"} if kernel else {}
    matrix = compute_predictions(firmware=folder / "fw.fd", num_cpus=cpus, cpu_signature=EPYC, **more)
    for row in matrix.rows:
        for host, held, cell in zip(matrix.hosts, matrix.digests, row.cells, strict=True):
            assert (cell.state == EQUAL) == (cell.digest == held)
            assert (cell.digest is None) == (cell.state in (STOPS, NONE, UNKNOWN))
            assert matrix[row.release.name, host.name] == cell
            launch = sevlab.load_snp_launch(
                firmware=folder / "fw.fd",
                num_cpus=cpus,
                cpu_signature=EPYC,
                profile=host.profile,
                guest_features=host.features,
                **more,
            )
            assert launch.digest == held


def test_the_matrix_in_words_html_json_and_as_a_picture() -> None:
    for mode in MODES:
        matrix = sevlab.labs.predictions.compute_predictions(mode)
        text = str(matrix)
        assert all(len(line) <= WIDTH + 2 for line in text.split("\n"))
        for word in matrix.states:
            assert WORDS[word] in text
        for host in matrix.hosts:
            assert host.name in text
        assert matrix._repr_html_() == sevlab.labs.predictions.compute_predictions(mode)._repr_html_()
        data = json.loads(json.dumps(matrix.as_dict()))
        assert [row["cells"].keys() for row in data["releases"]] == [
            {host.name: 0 for host in matrix.hosts}.keys() for _ in matrix.rows
        ]
        picture = sevlab.plots.charts.plot_predictions(matrix)
        (axes,) = picture.axes
        boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        words = [words.get_text() for words in axes.texts]
        cells = [cell.state for row in matrix.rows for cell in row.cells]
        assert len(boxes) == len(cells)
        for word in matrix.states:  # in the cells, and once in the legend
            assert words.count(word) == cells.count(word) + 1
        assert picture.words == text
        assert picture._repr_png_()[0][:4] == b"\x89PNG"


@pytest.mark.parametrize("name", SNP_PROFILES)
def test_every_profile_is_explained(name: str) -> None:
    text = str(explain_profile(name))
    data = json.loads(json.dumps(profile_as_dict(name)))
    assert all(len(line) <= WIDTH + 2 for line in text.split("\n"))
    assert SNP_PROFILES[name].summary.split(":")[0] in " ".join(text.split())
    for host in data["hosts"]:
        assert HOSTS[host].profile == name
    for row in data["releases"]:
        assert row["release"] in text
    assert all(key in text for host in data["hosts"] for key in HOSTS[host].incidents)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["profiles", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_line(capsys: pytest.CaptureFixture[str], files: Path) -> None:
    status, out, _ = run(capsys)
    assert status == GOOD
    assert all(f"\n{name} " in f"\n{out}" for name in SNP_PROFILES)
    status, out, _ = run(capsys, "--json")
    assert [row["name"] for row in json.loads(out)] == list(SNP_PROFILES)
    status, out, _ = run(capsys, "qemu-debug-swap")
    assert "sev-snp-measure 0.0.9" in out
    assert "F03" in out
    status, out, _ = run(capsys, "gce", "--json")
    assert json.loads(out)["rdx"] == "0x600"
    status, out, _ = run(capsys, "--matrix")
    assert out == f"{compute_predictions('snp')}\n\n{compute_predictions('seves')}\n"
    given = ("--ovmf", str(files / "old.fd"), "--kernel", str(files / "k"), "--initrd", str(files / "i"))
    status, out, _ = run(capsys, "--matrix", "--mode", "snp", *given, "--append", "a=b", "--vcpus", "0x2", "--json")
    data = json.loads(out)
    assert (status, list(data)) == (GOOD, ["snp"])
    digests = {row["name"]: row["digest"][:24] for row in data["snp"]["hosts"]}
    assert digests["6.6 to 6.8"] == SWAP


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quemu"], "NAME: received 'quemu'; needed one of qemu, .*Try: sevlab profiles"),
        (["gce", "--matrix"], "NAME: received 'gce' together with --matrix"),
        (["--ovmf", "x"], "--ovmf: received it without --matrix"),
        (["--matrix", "--vcpus", "2"], "--vcpus: received it without --ovmf"),
        (["--matrix", "--mode", "sev"], "--mode: received 'sev'; needed snp or seves"),
        (["--matrix", "--ovmf", "gone"], "--ovmf: received 'gone': no such file"),
        (["--matrix", "--ovmf", "-"], "--ovmf: received '-'; needed the name of a file"),
        (["--matrix", "--ovmf", "."], "--ovmf: received '.'; needed the name of a file"),
        (["--matrix", "--ovmf", "old.fd", "--vcpus", "x"], "--vcpus: received 'x'"),
        (["--matrix", "--ovmf", "old.fd", "--vcpus", "08"], None),
        (["--matrix", "--ovmf", "old.fd", "--vcpus", "0"], "--vcpus: received '0'"),
        (["--matrix", "--ovmf", "old.fd", "--vcpu-type", "i486"], "--vcpu-type: received 'i486'"),
        (["--matrix", "--ovmf", "old.fd", "--append", "x"], "--append: received it without --kernel"),
        (["--matrix", "--ovmf", "k"], "--ovmf: received 'k', 6 bytes"),
    ],
)
def test_misuse(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    files: Path,
    words: list[str],
    message: str | None,
) -> None:
    monkeypatch.chdir(files)
    status, out, err = run(capsys, *words)
    if message is None:
        assert status == GOOD
        return
    assert (status, out) == (UNUSABLE, "")
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_misuse_of_the_library(files: Path) -> None:
    with pytest.raises(InputError, match="mode: received 'sev'; needed snp or seves"):
        compute_predictions("sev")
    with pytest.raises(InputError, match="profile: received a value; needed none, because the table varies it"):
        compute_predictions(**inputs(files, profile="qemu"))
    with pytest.raises(InputError, match="NAME: received 'x'"):
        explain_profile("x")


def test_other_verbs_point_here(capsys: pytest.CaptureFixture[str], files: Path) -> None:
    options = ["--mode", "snp", "--ovmf", str(files / "old.fd"), "--vcpus", "1", "--vcpu-type", "EPYC"]
    assert main(["digest", *options, "--profile", "krun"]) == UNUSABLE
    assert "sevlab profiles" in capsys.readouterr().err
    assert main(["vmsa", "build", str(files / "v"), "--cpu", "0", "--profile", "krun"]) == UNUSABLE
    assert "sevlab profiles" in capsys.readouterr().err
    assert main(["digest", *options, "--vmm-type", "gce", "--profile", "qemu"]) == UNUSABLE
    assert "sevlab profiles" in capsys.readouterr().err
