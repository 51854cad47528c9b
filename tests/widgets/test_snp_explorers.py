"""The explorers of SEV-SNP, without a kernel: what they show is what launch and report say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.formats.report import SIGNED
from sevlab.labs import sample_files, samples
from sevlab.labs import snp_samples as snp
from sevlab.widgets.explorers import SnpExplorer
from sevlab.widgets.structure_explorers import ReportExplorer
from tests.soak import many

AT = "2026-01-01"


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("samples")
    sample_files.write_samples(made)
    return made


def inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    files = {"firmware": "firmware-snp.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    cpu = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), samples.ES_CPU, strict=True))
    made = {name: str(folder / file) for name, file in files.items()}
    return {**made, **cpu, "cmdline": samples.CMDLINE, "num_cpus": 4, **changes}


@pytest.fixture
def launch(folder: Path) -> SnpExplorer:
    made = sevlab.explore(inputs(folder))
    assert isinstance(made, SnpExplorer)
    return made


def seen(explorer: SnpExplorer) -> tuple[object, ...]:
    """Everything that a person sees."""
    boxes = (explorer.alert, explorer.banner, explorer.chain, explorer.link)
    return *(box.value for box in boxes), explorer.map.spans, repr(explorer)


def raw_map(explorer: SnpExplorer | ReportExplorer) -> bytes:
    return b"".join(bytes.fromhex(span["hex"]) for span in explorer.map.spans)


def marked(explorer: SnpExplorer | ReportExplorer) -> list[int]:
    return [offset for span in explorer.map.spans for offset in span["marked"]]


def test_every_link_shows_what_is_hashed_for_it(launch: SnpExplorer) -> None:
    digest = bytes(48)
    assert (launch.number.min, launch.number.max) == (1, 51)
    for number in range(1, 52):
        launch.number.set_state({"value": number})
        raw = raw_map(launch)
        assert raw[:48] == digest
        digest = hashlib.sha384(raw).digest()
        assert digest.hex() in launch.link.value
    assert launch.launch is not None
    assert digest == launch.launch.digest == snp.snp_launch().digest
    assert "vCPU 3" in launch.map.title


def test_regions_and_links_follow_each_other(launch: SnpExplorer) -> None:
    launch.region.set_state({"index": 3})
    assert launch.number.value == 29
    assert "SECRETS" in launch.map.title
    launch.number.set_state({"value": 48})
    assert launch.region.label == "vCPU 0, from link 48"
    launch.number.set_state({"value": 47})
    assert launch.region.label == "SEC_MEM, from link 33"


def test_a_changed_input_shows_the_first_link_that_differs(launch: SnpExplorer) -> None:
    launch.number.value = 32  # where a change of the command line leads anyway
    before = seen(launch)
    assert launch.loaded is not None
    launch.loaded.cmdline.set_state({"value": "console=ttyS1"})
    assert launch.number.value == 32
    assert launch.comparison is not None
    assert launch.comparison.number == 31
    assert set(marked(launch)) <= set(range(0x30, 0x60))
    assert marked(launch)
    assert launch.chain.value.count("CHANGED *") == 1
    assert launch.chain.value.count("as at the start") == 6
    assert "Link 32 is the first that differs (contents): kernel hashes" in launch.banner.value
    launch.number.set_state({"value": 33})
    assert set(marked(launch)) <= set(range(48))  # only the digest before it
    launch.number.set_state({"value": 31})
    assert marked(launch) == []
    launch.loaded.cmdline.set_state({"value": samples.CMDLINE})
    launch.number.set_state({"value": 32})
    assert seen(launch) == before


def remove_kernel(box: Any) -> None:
    for name in ("kernel", "initrd"):
        box.files[name].remove.click()
    box.cmdline.value = ""


@pytest.mark.parametrize(
    ("change", "first", "words"),
    [
        (lambda box: box.numbers["num_cpus"].set_state({"value": "0x5"}), 52, "only the computed launch goes on"),
        (lambda box: box.numbers["num_cpus"].set_state({"value": "3"}), 51, "only the reported launch goes on"),
        (lambda box: box.numbers["guest_features"].set_state({"value": "0x21"}), 48, "(contents): vCPU 0"),
        (lambda box: box.numbers["cpu_model"].set_state({"value": "17"}), 48, "(contents): vCPU 0"),
        (lambda box: setattr(box.profile, "value", "gce"), 17, "(page_type): SEC_MEM"),
        (remove_kernel, 32, "reported kernel hashes, computed KERNEL_HASHES"),
    ],
    ids=["more CPUs", "fewer CPUs", "features", "model", "profile", "no kernel"],
)
def test_every_kind_of_change_is_found(launch: SnpExplorer, change: Any, first: int, words: str) -> None:
    change(launch.loaded)
    assert launch.error == ""
    assert launch.comparison is not None
    assert launch.comparison.number == first - 1
    assert words in launch.banner.value
    assert launch.number.value == min(first, launch.number.max)


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [("num_cpus", "many", "CPU count"), ("num_cpus", "", "CPU count"), ("guest_features", "21h", "SEV features")],
)
def test_after_an_error_nothing_that_was_computed_stays(launch: SnpExplorer, name: str, value: str, label: str) -> None:
    before = seen(launch)
    assert launch.loaded is not None
    box = launch.loaded.numbers[name]
    was = box.value
    box.value = value
    assert launch.error.startswith(f"{label}: received ")
    assert 'role="alert"' in launch.alert.value
    assert "CANNOT TELL" in launch.banner.value
    assert launch.launch is None
    assert launch.chain.value == launch.link.value == ""
    assert launch.map.spans == []
    assert launch.error in repr(launch).replace("\n", " ")
    launch.number.value = 5  # nothing to show, and nothing breaks
    assert launch.map.spans == []
    launch.number.value = 1
    box.value = was
    assert seen(launch) == before


def test_a_launch_that_was_read_can_be_stepped_through(folder: Path) -> None:
    explorer = sevlab.explore(sevlab.load_snp_launch(**inputs(folder)))
    assert isinstance(explorer, SnpExplorer)
    assert explorer.loaded is None
    explorer.number.set_state({"value": 51})
    assert hashlib.sha384(raw_map(explorer)).hexdigest() == snp.snp_launch().digest.hex()
    empty = sevlab.explore(sevlab.launch.snp.SnpLaunch([]))
    assert empty.number.disabled
    assert empty.map.spans == []
    assert "as at the start" in repr(empty)


def test_inputs_without_a_box_are_kept(folder: Path) -> None:
    after = snp.snp_launch().after[0].hex()
    given_inputs = inputs(folder, ovmf_hash=after, cpu_signature=0xA00F11)
    for name in ("cpu_family", "cpu_model", "cpu_stepping"):
        del given_inputs[name]
    explorer = sevlab.explore(given_inputs)
    assert explorer.fixed == {"ovmf_hash": after}
    assert explorer.launch.digest == sevlab.load_snp_launch(**given_inputs).digest
    explorer.loaded.numbers["num_cpus"].value = "5"
    assert explorer.launch.digest == sevlab.load_snp_launch(**{**given_inputs, "num_cpus": 5}).digest
    assert explorer.loaded.numbers["cpu_model"].value == "1"


def test_what_a_widget_is_where_none_runs(launch: SnpExplorer, folder: Path) -> None:
    for made in (launch, report(folder)):
        data, _ = made._repr_mimebundle_()
        assert data["text/plain"] == repr(made)
        assert data["text/html"] == made.static().html()
        assert "<script" not in data["text/html"]
        assert max(map(len, repr(made).splitlines())) <= 110


def test_explore_says_what_it_takes(folder: Path) -> None:
    with pytest.raises(sevlab.InputError, match="Firmware: received nothing"):
        sevlab.explore({"num_cpus": 4})
    with pytest.raises(TypeError, match="'cpus'"):
        sevlab.explore({**inputs(folder), "cpus": 4})
    with pytest.raises(TypeError, match="a table, a VMSA or a report only"):
        sevlab.explore(inputs(folder), num_cpus=4)


def report(folder: Path, **wanted: Any) -> ReportExplorer:
    certificates = sevlab.load_certificates(vcek=str(folder / "vcek-snp.der"), chain=str(folder / "chain-snp.pem"))
    given_report = sevlab.load_report(str(folder / "report-snp.bin"))
    roots = sevlab.simulator.kds.KeyServer().roots
    made = sevlab.explore(given_report, certificates=certificates, roots=roots, at=AT, **wanted)
    assert isinstance(made, ReportExplorer)
    return made


def failed(explorer: ReportExplorer) -> list[str]:
    assert explorer.verdict is not None
    return [check.name for check in explorer.verdict.failed]


def test_the_report_is_shown_byte_by_byte_and_its_checks_pass(folder: Path) -> None:
    explorer = report(folder, measurement=snp.snp_launch().digest)
    assert raw_map(explorer) == snp.snp_report().to_bytes()
    assert failed(explorer) == []
    assert explorer.verdict is not None
    assert explorer.verdict.matches
    assert ", was " not in explorer.checklist.value
    assert explorer.value.value == snp.snp_launch().digest.hex()


def test_fields_and_bytes_are_selected_both_ways(folder: Path) -> None:
    explorer = report(folder)
    explorer.map.set_state({"field": "chip_id"})
    assert (explorer.field.value, explorer.offset.value, explorer.byte.value) == ("chip_id", "0x1a0", "0xc0")
    explorer.field.set_state({"index": explorer.field.options.index("reported_tcb.snp")})
    assert (explorer.map.field, explorer.value.value, explorer.offset.value) == ("reported_tcb.snp", "0x16", "0x186")
    explorer.offset.set_state({"value": "0x91"})
    assert (explorer.map.field, explorer.field.value) == ("measurement", "measurement")
    assert explorer.byte.value == f"0x{snp.snp_launch().digest[1]:02x}"


@pytest.mark.parametrize(
    ("field", "value", "fails"),
    [
        ("report_data", "00" * 64, ["report signature"]),
        ("measurement", "00" * 48, ["report signature", "measurement"]),
        ("reported_tcb.snp", "23", ["report signature", "TCB"]),
        ("chip_id", "01" * 64, ["report signature", "chip id"]),
        ("cpuid_mod_id", "0x11", ["report signature", "processor"]),
        ("key_info", "4", ["signing key", "report signature"]),
        ("signature_algo", "2", ["report signature"]),
        ("r", "00" * 72, ["report signature"]),
        ("reserved_330", "01" * 368, ["report signature"]),
    ],
)
def test_an_edited_field_turns_its_checks_red(folder: Path, field: str, value: str, fails: list[str]) -> None:
    explorer = report(folder, measurement=snp.snp_launch().digest)
    before = repr(explorer), explorer.map.spans, explorer.checklist.value
    explorer.field.value = field
    was = explorer.value.value
    explorer.value.set_state({"value": value})
    assert failed(explorer) == fails
    assert explorer.checklist.value.count(">mismatch, was match<") == len(fails)
    assert ", ".join(fails) in explorer.banner.value
    assert marked(explorer)
    explorer.value.set_state({"value": ""})
    assert (repr(explorer), explorer.map.spans, explorer.checklist.value) == before
    assert explorer.value.value == was


@settings(max_examples=many(15, 5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1183), st.integers(0, 255))
def test_any_byte_can_be_changed_and_taken_back(folder: Path, at: int, value: int) -> None:
    explorer = report(folder)
    raw = snp.snp_report().to_bytes()
    explorer.offset.value = str(at)
    explorer.byte.value = str(value)
    assert explorer.report.to_bytes() == raw[:at] + bytes([value]) + raw[at + 1 :]
    assert marked(explorer) == ([at] if raw[at] != value else [])
    assert explorer.error == ""
    assert ("report signature" in failed(explorer)) == (raw[at] != value)
    if raw[at] != value and at >= SIGNED:
        assert failed(explorer) == ["report signature"]
    explorer.undo.click()
    assert explorer.report.to_bytes() == raw
    assert failed(explorer) == []
    ipywidgets.Widget.close_all()


@pytest.mark.parametrize(
    ("box", "value", "label"),
    [
        ("value", "xyz", "Value of measurement"),
        ("value", "00", "Value of measurement"),
        ("offset", "1184", "Byte at"),
        ("offset", "", "Byte at"),
        ("byte", "256", "Byte"),
    ],
)
def test_what_cannot_be_read_is_told_and_no_verdict_stays(folder: Path, box: str, value: str, label: str) -> None:
    explorer = report(folder)
    before = explorer.checklist.value
    getattr(explorer, box).set_state({"value": value})
    assert explorer.error.startswith(f"{label}: received ")
    assert 'role="alert"' in explorer.alert.value
    assert explorer.verdict is None
    assert explorer.checklist.value == ""
    assert "CANNOT TELL" in explorer.banner.value
    assert explorer.error in repr(explorer).replace("\n", " ")
    explorer.field.value = "vmpl"
    assert explorer.error == explorer.alert.value == ""
    assert explorer.checklist.value == before


def test_a_byte_may_make_it_a_report_of_another_kind(folder: Path) -> None:
    explorer = report(folder)
    explorer.offset.value = "0x188"
    explorer.byte.value = "0x1a"
    assert "reported_tcb.fmc" in explorer.field.options
    assert {"processor", "report signature"} == set(failed(explorer))
    explorer.undo.click()
    explorer.offset.value = "0"
    explorer.byte.value = "99"
    assert explorer.verdict is not None
    assert explorer.verdict["version"].state == "not checked"
    assert "reserved_188" in explorer.field.options
    explorer.undo.click()
    assert "cpuid_step" in explorer.field.options


def test_without_certificates_nobody_vouches(folder: Path) -> None:
    explorer = sevlab.explore(sevlab.load_report(str(folder / "report-snp.bin")), at=AT)
    assert "report signature" in failed(explorer)
    assert "Every check is as at the start" in explorer.banner.value
