"""The explorers of the kernel-hashes table and of a VMSA, without a kernel: what they show is what the bytes say."""

from __future__ import annotations

import base64
import hashlib
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
from sevlab.widgets.explorers import ChainExplorer
from sevlab.widgets.structure_explorers import APPLICATION, BOOT, ReportExplorer, TableExplorer, VmsaExplorer
from tests.soak import many
from tests.widgets.views import assert_static, is_dimmed, marked, raw_of, type_in


def parts(folder: Path) -> dict[str, str]:
    sample_files.write_samples(folder)
    files = {"firmware": "firmware-kernel.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    return {**{name: str(folder / file) for name, file in files.items()}, "cmdline": samples.CMDLINE}


def launch(folder: Path) -> sevlab.launch.sev.Launch:
    cpu = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), samples.ES_CPU, strict=True))
    return sevlab.load_launch(sevlab.Policy(samples.ES_POLICY), **parts(folder), num_cpus=samples.ES_CPUS, **cpu)


@pytest.fixture
def table(tmp_path: Path) -> TableExplorer:
    whole = launch(tmp_path)
    given_table = sevlab.KernelHashes.from_bytes(whole.steps[1].content)
    return sevlab.explore(given_table, launch=whole, **parts(tmp_path))


@pytest.fixture
def vmsa(tmp_path: Path) -> VmsaExplorer:
    whole = launch(tmp_path)
    return sevlab.explore(sevlab.Vmsa.from_bytes(whole.steps[2].content), launch=whole)


def snapshot(explorer: ChainExplorer) -> tuple[object, ...]:
    """Everything that a person sees."""
    boxes = (explorer.alert, explorer.banner, explorer.chain)
    fields = explorer.fields.value if isinstance(explorer, VmsaExplorer) else ""
    seen = explorer.map.spans, explorer.map.error, fields, is_dimmed(*explorer._results)
    return *(box.value for box in boxes), *seen, repr(explorer)


def edit_text(explorer: VmsaExplorer | ReportExplorer, field: str) -> str:
    """What the box to edit a field shows at first."""
    return next(span["edit"] for span in explorer.map.spans if span["name"] == field)


def assert_nothing_stale(explorer: ChainExplorer, name: str) -> None:
    assert explorer.error.startswith(f"{name}: received ")
    assert ('role="alert"' in explorer.alert.value) == (explorer.map.error == "")  # said once, at its box
    assert explorer.map.error in ("", explorer.error)
    assert "CANNOT TELL" in explorer.banner.value
    assert explorer.launch is None
    assert is_dimmed(explorer.chain, explorer.map, *([explorer.fields] if isinstance(explorer, VmsaExplorer) else []))
    assert explorer.error in repr(explorer).replace("\n", " ")


def test_a_line_break_changes_the_table_and_all_after_it(table: TableExplorer) -> None:
    before, start = snapshot(table), table.launch.digests
    table.boxes["cmdline"].set_state({"value": "console=ttyS0\n"})
    assert table.table.cmdline == hashlib.sha256(b"console=ttyS0\n\0").digest()
    assert table.changed == "kernel hashes"
    assert [one == other for one, other in zip(start, table.launch.digests, strict=True)] == [True] + 5 * [False]
    marked = [offset for span in table.map.spans for offset in span["marked"]]
    assert marked
    assert set(marked) <= set(range(0x24, 0x44))
    assert table.chain.value.count("CHANGED *") == 1
    table.boxes["cmdline"].value = "console=ttyS0"
    assert snapshot(table) == before


def test_files_are_hashed_and_no_initrd_is_an_empty_one(table: TableExplorer, tmp_path: Path) -> None:
    table.boxes["initrd"].value = ""
    assert table.table.initrd == hashlib.sha256(b"").digest()
    table.boxes["kernel"].value = str(tmp_path / "tk.bin")
    assert table.table.kernel == hashlib.sha256(samples.TEK + samples.TIK).digest()
    table.boxes["firmware"].value = str(tmp_path / "firmware.fd")
    assert table.changed == "firmware"
    pages = b"".join(step.content for step in table.launch.steps[2:])
    loaded = samples.firmware() + table.table.to_bytes() + pages
    assert table.launch.digest == hashlib.sha256(loaded).digest()


@pytest.mark.parametrize(("name", "label"), [("firmware", "Firmware"), ("kernel", "Kernel"), ("initrd", "Initrd")])
@pytest.mark.parametrize("text", ["no such", "-", "/", "\0", "\ud800", "<img src=x>"], ids=ascii)
def test_a_file_that_cannot_be_read_is_told(table: TableExplorer, name: str, label: str, text: str) -> None:
    before = snapshot(table)
    right, table.boxes[name].value = table.boxes[name].value, text
    assert_nothing_stale(table, label)
    assert "<img" not in table.alert.value
    table.boxes[name].value = right
    assert snapshot(table) == before


@pytest.mark.parametrize(("name", "label"), [("firmware", "Firmware"), ("kernel", "Kernel")])
def test_a_file_that_is_needed_cannot_be_left_out(table: TableExplorer, name: str, label: str) -> None:
    table.boxes[name].value = ""
    assert_nothing_stale(table, label)


def test_a_nul_byte_in_the_command_line_is_told(table: TableExplorer) -> None:
    table.boxes["cmdline"].value = "a\0b"
    assert_nothing_stale(table, "Command line")


def test_a_table_alone_keeps_the_hashes_that_no_box_names() -> None:
    given_table = sevlab.KernelHashes.from_bytes(bytes(range(176)))
    explorer = sevlab.explore(given_table)
    assert explorer.table == given_table
    explorer.boxes["cmdline"].value = "quiet"
    assert explorer.table == given_table.replace(cmdline=hashlib.sha256(b"quiet\0").digest())
    assert explorer.launch.digest == hashlib.sha256(explorer.table.to_bytes()).digest()
    explorer.boxes["cmdline"].value = ""
    assert explorer.changed == ""
    explorer.boxes["firmware"].value = "any"
    assert_nothing_stale(explorer, "Firmware")


def test_a_table_with_a_firmware_gives_both_digests(tmp_path: Path) -> None:
    given_table = sevlab.formats.kernel_hashes.build_kernel_hashes(bytes(32))
    explorer = sevlab.explore(given_table, firmware=parts(tmp_path)["firmware"])
    firmware = samples.firmware_for_kernels()
    digests = [hashlib.sha256(raw).digest() for raw in (firmware, firmware + given_table.to_bytes())]
    assert explorer.launch.digests == digests


def test_a_register_changes_the_chain_at_its_cpu(vmsa: VmsaExplorer) -> None:
    before = snapshot(vmsa)
    vmsa.map.set_state({"field": "rip"})
    assert edit_text(vmsa, "rip") == "0xfff0"
    type_in(vmsa.map, "rip", "4096")
    assert vmsa.page.rip == 4096
    assert vmsa.edits == {"rip": 4096}
    assert vmsa.changed == "vCPU 0"
    assert "rip*" in vmsa.fields.value
    assert hashlib.sha256(vmsa.page.to_bytes()).hexdigest() in vmsa.fields.value
    assert vmsa.chain.value.count("CHANGED *") == 1
    type_in(vmsa.map, "rip", "")
    assert edit_text(vmsa, "rip") == "0xfff0"
    assert snapshot(vmsa) == before


def test_profile_cpu_and_features_make_the_page_that_build_vmsa_makes(vmsa: VmsaExplorer) -> None:
    before = snapshot(vmsa)
    vmsa.profile.value, vmsa.cpu.value = "qemu", APPLICATION
    vmsa.boxes["model"].value = "0x11"
    vmsa.features["debug_swap"].value = True
    built = sevlab.build_vmsa(
        "qemu", cpu=1, signature=sevlab.launch.vmm.cpu_signature(25, 17, 1), reset_address=0x80B004, sev_features=0x20
    )
    assert vmsa.page == built
    vmsa.profile.value, vmsa.cpu.value = "qemu-legacy", BOOT
    vmsa.boxes["model"].value = "1"
    vmsa.features["debug_swap"].value = False
    assert snapshot(vmsa) == before


def test_an_edit_stays_while_the_profile_changes(vmsa: VmsaExplorer) -> None:
    type_in(vmsa.map, "r8", "7")
    vmsa.profile.value = "ec2"
    assert (vmsa.page.r8, vmsa.page.rdx) == (7, 0x600)
    assert all(vmsa.boxes[name].disabled for name in ("family", "model", "stepping"))


@pytest.mark.parametrize(
    ("name", "label"), [("family", "CPU family"), ("model", "CPU model"), ("stepping", "CPU stepping")]
)
@pytest.mark.parametrize("text", ["", "-1", "300", "x", "9" * 5000])
def test_a_wrong_number_is_told(vmsa: VmsaExplorer, name: str, label: str, text: str) -> None:
    before = snapshot(vmsa)
    right, vmsa.boxes[name].value = vmsa.boxes[name].value, text
    assert_nothing_stale(vmsa, label)
    vmsa.boxes[name].value = right
    assert snapshot(vmsa) == before


@pytest.mark.parametrize("text", ["", "0", "0x100000000", "b004"])
def test_an_application_processor_needs_an_address(vmsa: VmsaExplorer, text: str) -> None:
    vmsa.cpu.value = APPLICATION
    vmsa.boxes["reset"].value = text
    assert_nothing_stale(vmsa, "Reset address")


def test_a_value_that_does_not_fit_is_told_and_dropped_with_its_field(vmsa: VmsaExplorer) -> None:
    before = snapshot(vmsa)
    type_in(vmsa.map, "mxcsr", "0x100000000")
    assert_nothing_stale(vmsa, "Value of mxcsr")
    vmsa.map.set_state({"field": "rip"})
    vmsa.map.set_state({"field": "rdx"})
    assert snapshot(vmsa) == before


@settings(max_examples=many(15, 5), suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=64), st.integers(0, 4096 - 64), st.booleans())
def test_any_page_is_shown_as_it_is(noise: bytes, at: int, blank: bool) -> None:
    raw = bytearray(4096) if blank else bytearray(sevlab.build_vmsa("qemu", signature=0xA00F11).to_bytes())
    raw[at : at + len(noise)] = noise
    page = sevlab.Vmsa.from_bytes(bytes(raw))
    explorer = sevlab.explore(page)
    assert explorer.page == page
    assert (explorer.error, explorer.changed) == ("", "")
    explorer.features["secure_tsc"].value = not explorer.features["secure_tsc"].value
    assert [offset for offset in range(4096) if explorer.page.to_bytes()[offset] != raw[offset]] == [0x3B1]
    ipywidgets.Widget.close_all()


@pytest.mark.parametrize("name", [span.name for span in sevlab.Vmsa.from_bytes(bytes(4096)).spans()])
def test_every_field_can_be_edited(vmsa: VmsaExplorer, name: str) -> None:
    span = next(span for span in vmsa.page.spans() if span.name == name)
    raw = b"\1" + bytes(span.size - 1)
    long = base64.b64encode(raw).decode()
    type_in(vmsa.map, name, "1" if isinstance(span.value, int) else raw.hex() if span.size < 2000 else long)
    if text := edit_text(vmsa, name):
        type_in(vmsa.map, name, text)  # what the page shows to edit is taken as it is
    assert vmsa.error == ""
    expected = bytearray(vmsa._given.to_bytes())
    expected[span.offset : span.offset + span.size] = (1).to_bytes(span.size, "little")
    assert vmsa.page.to_bytes() == expected


def test_a_launch_without_the_part_is_refused(tmp_path: Path) -> None:
    whole = launch(tmp_path)
    for thing in (sevlab.formats.kernel_hashes.build_kernel_hashes(bytes(32)), sevlab.build_vmsa("ec2")):
        with pytest.raises(sevlab.InputError, match="launch: received one without this"):
            sevlab.explore(thing, launch=whole)
    with pytest.raises(TypeError, match="explore takes launch for a table, a VMSA or a report only"):
        sevlab.explore(sevlab.Policy(0).explain().text(), launch=whole)


# an attestation report

AT = "2026-01-01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("samples")
    sample_files.write_samples(made)
    return made


def report(folder: Path, **wanted: Any) -> ReportExplorer:
    certificates = sevlab.load_certificates(vcek=str(folder / "vcek-snp.der"), chain=str(folder / "chain-snp.pem"))
    given_report = sevlab.load_report(str(folder / "report-snp.bin"))
    roots = sevlab.simulator.kds.KeyServer().roots
    made = sevlab.explore(given_report, certificates=certificates, roots=roots, at=AT, **wanted)
    assert isinstance(made, ReportExplorer)
    return made


def names(explorer: ReportExplorer) -> list[str]:
    return [span["name"] for span in explorer.map.spans]


def failed(explorer: ReportExplorer) -> list[str]:
    assert explorer.verdict is not None
    return [check.name for check in explorer.verdict.failed]


def test_what_a_report_explorer_is_where_none_runs(folder: Path) -> None:
    assert_static(report(folder))


def test_the_report_is_shown_byte_by_byte_and_its_checks_pass(folder: Path) -> None:
    explorer = report(folder, measurement=snp.snp_launch().digest)
    assert raw_of(explorer.map) == snp.snp_report().to_bytes()
    assert failed(explorer) == []
    assert explorer.verdict is not None
    assert explorer.verdict.matches
    assert ", was " not in explorer.checklist.value
    assert explorer.map.field == "measurement"
    assert edit_text(explorer, "measurement") == snp.snp_launch().digest.hex()


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
    explorer.map.set_state({"field": field})
    type_in(explorer.map, field, value)
    assert failed(explorer) == fails
    assert explorer.checklist.value.count(">mismatch, was match<") == len(fails)
    assert ", ".join(fails) in explorer.banner.value
    assert marked(explorer.map)
    assert not explorer.undo.disabled
    type_in(explorer.map, field, "")
    assert (repr(explorer), explorer.map.spans, explorer.checklist.value) == before
    assert explorer.map.field == field
    assert explorer.undo.disabled


@settings(max_examples=many(15, 5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1183), st.integers(0, 255))
def test_any_byte_can_be_changed_and_taken_back(folder: Path, at: int, value: int) -> None:
    explorer = report(folder)
    raw = snp.snp_report().to_bytes()
    type_in(explorer.map, at, str(value))
    assert explorer.report.to_bytes() == raw[:at] + bytes([value]) + raw[at + 1 :]
    assert marked(explorer.map) == ([at] if raw[at] != value else [])
    assert explorer.error == ""
    assert ("report signature" in failed(explorer)) == (raw[at] != value)
    if raw[at] != value and at >= SIGNED:
        assert failed(explorer) == ["report signature"]
    explorer.undo.click()
    assert explorer.report.to_bytes() == raw
    assert failed(explorer) == []
    ipywidgets.Widget.close_all()


@pytest.mark.parametrize(
    ("place", "value", "label"),
    [
        ("measurement", "xyz", "Value of measurement"),
        ("measurement", "00", "Value of measurement"),
        ("measurement", "<img src=x>", "Value of measurement"),
        ("vmpl", "-1", "Value of vmpl"),
        (0, "256", "Byte"),
        (1183, "x", "Byte"),
    ],
)
def test_what_cannot_be_read_is_told_and_no_verdict_stays(
    folder: Path, place: str | int, value: str, label: str
) -> None:
    explorer = report(folder)
    before = explorer.checklist.value
    type_in(explorer.map, place, value)
    assert explorer.error.startswith(f"{label}: received ")
    assert explorer.map.error == explorer.error  # the page says it where it was typed, and only there
    assert explorer.alert.value == ""
    assert explorer.verdict is None
    assert is_dimmed(explorer.checklist, explorer.map)
    assert "CANNOT TELL" in explorer.banner.value
    assert explorer.error in repr(explorer).replace("\n", " ")
    explorer.map.set_state({"field": "report_data"})
    assert explorer.error == explorer.alert.value == explorer.map.error == ""
    assert not is_dimmed(explorer.checklist, explorer.map)
    assert explorer.checklist.value == before


@pytest.mark.parametrize(
    "message",
    [None, [], {"edit": 1, "byte": 0}, {"edit": "1"}, {"edit": "1", "byte": True}]
    + [{"edit": "1", "byte": at} for at in (-1, 1184, 1.0, "0", None, 10**30)]
    + [{"edit": "1", "field": name} for name in ("", "none", None, 3, ["vmpl"])],
    ids=repr,
)
def test_an_edit_of_what_is_not_there_is_dropped(folder: Path, message: object) -> None:
    explorer = report(folder)
    explorer.map._handle_custom_msg(message, [])
    assert (explorer.report, explorer.error) == (explorer.start, "")


def test_a_byte_may_make_it_a_report_of_another_kind(folder: Path) -> None:
    explorer = report(folder)
    type_in(explorer.map, 0x188, "0x1a")
    assert "reported_tcb.fmc" in names(explorer)
    assert {"processor", "report signature"} == set(failed(explorer))
    explorer.undo.click()
    type_in(explorer.map, 0, "99")
    assert explorer.verdict is not None
    assert explorer.verdict["version"].state == "not checked"
    assert "reserved_188" in names(explorer)
    explorer.undo.click()
    assert "cpuid_step" in names(explorer)


def test_without_certificates_nobody_vouches(folder: Path) -> None:
    explorer = sevlab.explore(sevlab.load_report(str(folder / "report-snp.bin")), at=AT)
    assert "report signature" in failed(explorer)
    assert "Every check is as at the start" in explorer.banner.value


def test_parts_are_linked_with_their_steps_and_checks(table: TableExplorer, vmsa: VmsaExplorer, folder: Path) -> None:
    assert table.frame.links == {2: "*"}
    assert vmsa.frame.links == {3: "*"}
    explorer = report(folder, measurement=snp.snp_launch().digest)
    assert explorer.verdict is not None
    names = [check.name for check in explorer.verdict.checks]
    linked = {names[row - 1]: field for row, field in explorer.frame.links.items()}
    assert linked.items() >= {"report signature": "*", "chip id": "chip_id", "measurement": "measurement"}.items()


def test_every_change_of_a_page_and_a_table_is_taken_back(vmsa: VmsaExplorer, table: TableExplorer) -> None:
    before = snapshot(vmsa)
    vmsa.profile.value, vmsa.cpu.value, vmsa.boxes["model"].value = "qemu", APPLICATION, "x"
    type_in(vmsa.map, "r8", "7")
    vmsa.boxes["model"].value = "1"
    type_in(vmsa.map, "r8", "7")
    type_in(vmsa.map, "sev_features", "0xffffffffffffffff")
    assert vmsa.features["debug_swap"].value
    assert int(vmsa.page.sev_features) == 2**64 - 1
    vmsa.features["debug_swap"].value = False  # a box still acts on a field that was typed
    assert int(vmsa.page.sev_features) == 2**64 - 1 - 0x20
    vmsa.undo.click()
    assert snapshot(vmsa) == before
    start = snapshot(table)
    table.boxes["cmdline"].value = "quiet"
    table.boxes["firmware"].value = ""
    table.undo.click()
    assert snapshot(table) == start
