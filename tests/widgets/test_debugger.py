"""The debugger, without a browser: paste, drop, read, search, apply, go on, take along."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import threading
from html import unescape
from pathlib import Path
from typing import Any

import ipywidgets
import pytest

import sevlab
from sevlab.cases.bundle import open_case
from sevlab.cases.capture import TEXT_LIMIT
from sevlab.cases.case import BY_NAME, KEY, MODE, ROWS, Case, make_case
from sevlab.cases.case_toml import format_case, read_case
from sevlab.cases.recognize import recognize_file
from sevlab.cli import main
from sevlab.errors import InputError, SevlabError
from sevlab.labs import samples
from sevlab.labs import snp_samples as snp
from sevlab.labs.classroom import broken_launch
from sevlab.launch.keys import SecretBytes
from sevlab.launch.verify import compare_measure
from sevlab.launch.vmm import CPU_MODELS, PROFILES, SNP_PROFILES
from sevlab.widgets.boxes import LABELS, UPLOAD_LIMIT, label_of
from sevlab.widgets.debugger import (
    COMMAND,
    ES,
    LEGACY,
    OTHER,
    PYTHON,
    SEV,
    SEV_SNP,
    SNP_CASE,
    TAKE,
    Debugger,
    debugger,
)
from tests.diagnosis.sev_cases import SPACES, report, true_values
from tests.paths import NOTEBOOKS, SAMPLES
from tests.soak import some

CASES = sorted((NOTEBOOKS / "incidents" / "cases").glob("*.sevcase"))
#: The one whose search ends with its time alone.
SLOW = "F18"
ES_INPUTS = {
    "firmware": str(SAMPLES / "firmware-kernel.fd"),
    "tk": str(SAMPLES / "tk.bin"),
    "kernel": str(SAMPLES / "kernel.bin"),
    "initrd": str(SAMPLES / "initrd.bin"),
    "cmdline": "console=ttyS0",
    "num_cpus": 4,
    "cpu_family": 25,
    "cpu_model": 1,
    "cpu_stepping": 1,
}
SNP_INPUTS = {
    "report": str(SAMPLES / "report-snp.bin"),
    "vcek": str(SAMPLES / "vcek-snp.der"),
    "chain": str(SAMPLES / "chain-snp.pem"),
    "firmware": str(SAMPLES / "firmware-snp.fd"),
    "kernel": str(SAMPLES / "kernel.bin"),
    "initrd": str(SAMPLES / "initrd.bin"),
    "cmdline": "console=ttyS0",
    "num_cpus": 4,
    "cpu_signature": 0xA00F11,
}
HOSTILE = ("<img src=x onerror=alert(1)>", "</div><script>alert(1)</script>", "\x1b[31mred\x1b[0m", "a\u202eb\u2066c")


def paste(page: Debugger, text: str) -> None:
    page.paste.value = text
    page.read.click()


def drop(page: Debugger, name: str, raw: bytes) -> None:
    """Hand over a file as the page does: in a message, not in the state of a widget."""
    page.paste._handle_custom_msg({"file": name}, [memoryview(raw)])


def search(page: Debugger) -> None:
    page.why.click()
    page.wait(300)


def words(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def everything(page: Debugger) -> str:
    """All that the page says, as HTML."""
    parts = [
        page.understood,
        page.alert,
        page.banner,
        page.compared,
        page.progress,
        page.note,
        page.taken,
        page.example,
    ]
    return "\n".join(part.value for part in (*parts, *page.result.children) if hasattr(part, "value"))


@pytest.fixture
def page() -> Debugger:
    """A page with the second sample on it, which validates."""
    page = debugger(ES_INPUTS)
    paste(page, (SAMPLES / "launch-es.txt").read_text())
    return page


# From what somebody has to the verdict


def test_from_a_paste_to_the_verdict(page: Debugger) -> None:
    assert page.error == ""
    assert page.verdict is not None
    assert page.verdict.matches
    assert "Understood" in page.understood.value
    assert "OK: Looks good to me" in page.banner.value
    measure = page.verdict.measure
    assert measure is not None
    assert measure.computed.hex(" ", 1)[:11] in page.compared.value


def test_from_a_mismatch_to_the_reason_and_on(page: Debugger) -> None:
    page.boxes["build_id"].value = "19"
    page.boxes["num_cpus"].value = "8"
    assert page.verdict is not None
    assert not page.verdict.matches
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.status == "explained"
    note, text, button = page.result.children
    assert "EXPLAINED" in text.value
    assert "Decimal versus hex" in text.value
    assert (button.disabled, note.value) == (False, "")
    button.click()
    assert page.verdict is not None
    assert page.verdict.matches
    assert button.disabled is True
    assert words(page.note.value).endswith("box before now Build 19 13 CPU count 8 4")
    assert "OK: Looks good to me" in repr(page)
    assert (page.boxes["build_id"].value, page.boxes["num_cpus"].value) == ("13", "4")
    changed = [name for name, box in page.boxes.items() if "sevlab-changed" in box._dom_classes]
    assert changed == ["build_id", "num_cpus"]
    assert page.why.disabled is False
    assert page.stop.disabled is True
    page.clear.click()
    assert not [name for name, box in page.boxes.items() if "sevlab-changed" in box._dom_classes]


@pytest.mark.parametrize("by", ["text", "digest", "file", "case"])
def test_what_comes_in_is_not_judged_by_an_example_s_files(by: str) -> None:
    page, digest = debugger(), bytes(snp.snp_report().measurement)
    paste(page, "nonsense")
    assert "An example" in page.example.value
    assert "An example" in repr(page)
    if by == "text":
        paste(page, (SAMPLES / "launch.txt").read_text())
        assert page.missing == ["Firmware", "Key file"]
    elif by == "digest":
        paste(page, digest.hex())
        assert page.inputs == {"reported_measurement": digest.hex()}
    elif by == "file":
        drop(page, "OVMF.fd", (SAMPLES / "firmware.fd").read_bytes())
        assert [*page.inputs] == ["firmware"]
    else:
        paste(page, "format = 2\n[reported]\npolicy = 1\n")
        assert [*page.inputs] == ["policy"]
        assert "A case file with 1 input<" in page.understood.value
    assert page.example.value == ""
    assert page.understood.value
    assert page.verdict is None


def test_nor_is_it_when_the_example_was_changed_before() -> None:
    page = debugger()
    page.boxes["build_id"].value = "20"
    page.boxes["kernel"].value = kernel = str(SAMPLES / "kernel.bin")
    assert page.example.value == ""
    paste(page, (SAMPLES / "launch.txt").read_text())
    assert page.missing == ["Firmware", "Key file"]
    assert (page.inputs["build_id"], page.inputs["kernel"], page.inputs.get("initrd")) == ("13", kernel, None)


def test_a_variable_store_does_not_change_the_mode() -> None:
    page = debugger({})
    drop(page, "OVMF_VARS.fd", bytes(0x84000))
    assert page.mode.value == "SEV"
    assert "a variable store; needed the CODE half" in page.understood.value
    page.mode.value = "SEV-SNP"
    drop(page, "OVMF_VARS.fd", bytes(0x84000))
    assert "uploaded" in page.boxes["vars_file"].value


def test_an_example_is_called_one_until_it_is_changed() -> None:
    page = debugger()
    assert "An example" in page.example.value
    search(page)
    assert "An example" in page.example.value
    page.result.children[2].click()
    assert "OK: Looks good to me" in page.banner.value
    assert page.example.value == ""


def test_it_opens_with_a_broken_launch_whose_reason_is_a_press_away() -> None:
    page = debugger()
    assert page.verdict is not None
    assert "ERROR: Measurement does not match" in page.banner.value
    assert "An example" in page.example.value
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.status == "explained"
    first = page.inputs
    page.another.click()
    assert page.inputs != first
    assert page.result.children == ()
    assert page.verdict is not None
    assert not page.verdict.matches
    page.clear.click()
    assert (page.inputs, page.example.value) == ({}, "")
    assert "Nothing is given yet" in page.banner.value


def test_an_empty_page_is_no_error() -> None:
    page = debugger({})
    assert (page.error, page.verdict, page.alert.value) == ("", None, "")
    assert "Nothing is given yet" in page.banner.value
    search(page)
    assert words(page.progress.value).startswith("Missing: Measurement, API major")
    assert page.why.disabled is False


@pytest.mark.parametrize("text", [(samples.TEK + samples.TIK).hex(), samples.TIK.hex(), "MDEyMzQ1Njc4OTo7PD0+Pw=="])
def test_a_pasted_key_is_not_shown(text: str) -> None:
    page = debugger({})
    paste(page, text)
    assert "hidden" in page.understood.value
    assert text not in everything(page)
    assert page.inputs == {}


def test_all_that_is_missing_is_named_at_once_and_goes_when_it_is_filled() -> None:
    page = debugger({})
    page.boxes["policy"].value = "0x5"
    assert page.mode.value == ES
    given = {**ES_INPUTS, "measurement": "A" * 64, "api_major": 0, "api_minor": 22, "build_id": 13}
    missing = ["Measurement", "API major", "API minor", "Build", "Firmware", "Key file", "CPU count", "CPU type"]
    assert page.missing == missing
    assert f"INCOMPLETE. Missing: {', '.join(missing)}" in page.banner.value
    for name, value in given.items():
        page.set_inputs({name: value})
        assert label_of(name) not in page.missing
    assert page.missing == []
    assert "INCOMPLETE" not in everything(page)
    page.set_inputs({"firmware": str(SAMPLES / "firmware-snp.fd"), "reported_measurement": bytes(48)})
    assert page.mode.value == SEV_SNP
    page.set_inputs(dict.fromkeys(("num_cpus", "cpu_family", "cpu_model", "cpu_stepping")))
    assert page.missing == ["CPU count", "CPU type"]
    assert "Find out why searches for them" in page.banner.value


def test_a_case_is_taken_by_paste_and_by_name(tmp_path: Path) -> None:
    lines = dict(line.split(":", 1) for line in (SAMPLES / "launch-es.txt").read_text().splitlines() if line)
    given = {**ES_INPUTS, **{key.strip()[4:].replace("-", "_"): value.strip() for key, value in lines.items()}}
    numbers = {name: int(given[name], 0) for name in ("api_major", "api_minor", "build_id", "policy")}
    case = sevlab.cases.case.make_case({**given, **numbers})
    page = debugger(case)
    assert page.verdict is not None
    assert page.verdict.matches
    path = tmp_path / "case.toml"
    sevlab.cases.case_toml.write_case(case, str(path))
    page = debugger({})
    paste(page, path.read_text())
    assert "A case file with" in page.understood.value
    assert page.boxes["num_cpus"].value == "4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "<",
        "<a>" * 100_000,
        "{",
        "[reported]",
        "format = 2\n[reported]\nmeasurement = 5\n",
        "\0" * 1000,
        "<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>",
        "x" * (2 << 20),
        "a line of text\n" * 700_000,
        "\ud800",
        "sev-measurement: nonsense",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----",
        *HOSTILE,
    ],
)
def test_a_hostile_paste_is_one_line_and_loses_nothing(text: str, page: Debugger) -> None:
    before = page.inputs
    paste(page, text)
    assert page.inputs == before
    assert page.verdict is not None
    assert page.verdict.matches
    assert len(page.understood.value) < 100_000


@pytest.mark.parametrize("length", [TEXT_LIMIT + 1, 10_000_000, 10**12])
def test_a_paste_too_long_to_send_is_told(length: int, page: Debugger) -> None:
    before = page.inputs
    page.paste._handle_custom_msg({"refused": length}, [])
    assert f"{length} characters" in page.understood.value
    assert 'role="alert"' in page.understood.value
    assert page.inputs == before
    page.read.click()  # what stood in the box is still there
    assert "Understood" in page.understood.value
    for nonsense in (None, {}, [], {"refused": "<b>"}, "x", {"file": 5}, {"file": "x"}, {"refused": 5, "file": []}):
        page.paste._handle_custom_msg(nonsense, [])
    assert "Understood" in page.understood.value


def test_a_refusal_is_not_replaced_by_nothing() -> None:
    page = debugger({})
    page.paste._handle_custom_msg({"refused": 3_000_000}, [])
    page.read.click()
    assert "3000000 characters" in page.understood.value
    assert "received nothing" not in page.understood.value
    page.paste._handle_custom_msg({"refused": UPLOAD_LIMIT + 1, "file": "vmlinuz"}, [])
    assert "its path, in its box" in page.understood.value


def test_several_things_in_one_paste_add_up() -> None:
    page = debugger({})
    xml = "<domain type='kvm'><os><loader>/OVMF.fd</loader></os><launchSecurity type='sev'><policy>0x1</policy>"
    text = f"{xml}<cbitpos>47</cbitpos></launchSecurity></domain>\n{(SAMPLES / 'launch.txt').read_text()}"
    paste(page, text + (SAMPLES / "chain-snp.pem").read_text())
    assert {"measurement", "api_major", "build_id", "policy", "firmware"} <= set(page.inputs)
    assert page.boxes["chain"].value.endswith("(uploaded)")
    assert "/OVMF.fd" in page.understood.value


def test_a_case_and_certificates_in_one_paste_add_up() -> None:
    page, pem = debugger({}), (SAMPLES / "chain-snp.pem").read_text()
    case = format_case(make_case({"reported_measurement": bytes(48), "mode": "snp"}))
    for text in (f"{pem}\n{case}", f"{case}\n{pem}"):
        paste(page, text)
        assert {*page.inputs} == {"reported_measurement", "chain"}
        assert "A case file" in page.understood.value
        assert "as ASK and ARK" in page.understood.value


@pytest.mark.parametrize("form", ["hex", "base64", "dump"])
def test_a_report_can_be_pasted_in_any_form(form: str) -> None:
    raw = (SAMPLES / "report-snp.bin").read_bytes()
    lines = (f"{at:08x}  {raw[at : at + 16].hex(' ')}" for at in range(0, len(raw), 16))
    text = {"hex": raw.hex(), "base64": base64.b64encode(raw).decode(), "dump": "\n".join(lines)}[form]
    page = debugger({})
    paste(page, text)
    assert page.mode.value == SEV_SNP
    assert page.verdict is not None
    assert page.verdict.report is not None
    assert page.verdict.report.report.to_bytes() == raw


def test_a_measurement_alone_goes_where_the_mode_says() -> None:
    measurement = (SAMPLES / "launch.txt").read_text().split()[1]
    raw = base64.b64decode(measurement)
    page = debugger({})
    paste(page, measurement)
    assert page.inputs == {"measurement": measurement}
    paste(page, raw.hex())
    assert page.inputs == {"measurement": measurement}
    page.clear.click()
    paste(page, raw.hex())
    assert page.inputs == {"reported_measurement": raw.hex()}
    assert page.mode.value == SEV_SNP


def test_a_paste_changes_what_it_says_and_nothing_else() -> None:
    page, text = debugger({}), (SAMPLES / "launch.txt").read_text()
    paste(page, text)
    before, other = page.inputs, base64.b64encode(bytes(48)).decode()
    page.boxes["policy"].value = "3"
    paste(page, other)
    paste(page, "qemu-system-x86_64 -object sev-guest,id=a,policy=0x1 -bios /none.fd")
    assert page.inputs == {**before, "policy": "3", "measurement": other, "firmware": "/none.fd"}
    paste(page, text)
    assert page.inputs == {**before, "firmware": "/none.fd"}


def test_what_was_not_understood_of_a_paste_comes_first() -> None:
    page = debugger({})
    paste(page, "sev-measurement: nG00M80x/oeGcu58QHcX1gFFo\nsev-policy: 1\n")
    assert words(page.understood.value).startswith("NOTE: sev-measurement is not used: received")


def test_a_guest_of_snp_is_recognized_by_its_command_line_and_its_xml() -> None:
    page = debugger({})
    paste(page, "qemu-system-x86_64 -cpu EPYC-v4 -smp 4 -object sev-snp-guest,id=sev0 -bios /usr/share/OVMF.fd")
    assert page.mode.value == SEV_SNP
    assert page.inputs["num_cpus"] == "4"
    assert page.cpu.value != "(by the numbers)"
    page = debugger({})
    paste(
        page,
        "<domain><vcpu>2</vcpu><launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity></domain>",
    )
    assert page.mode.value == SEV_SNP
    assert "not supported" not in everything(page)


# Boxes


def test_every_input_of_a_case_has_one_box_with_a_label_of_its_own() -> None:
    page = debugger({})
    assert set(page.boxes) == {row.name for row in ROWS if row.kind != MODE} == LEGACY | SNP_CASE
    labels = [box.description for box in page.boxes.values()]
    assert len(set(labels)) == len(labels)
    for mode, counting in ((SEV, LEGACY), (ES, LEGACY), (SEV_SNP, SNP_CASE)):
        page.mode.value = mode
        page.more.click()
        assert {name for name, box in page.boxes.items() if box.layout.display is None} == counting
        page.more.click()
        assert {name for name, box in page.boxes.items() if box.layout.display is None} < counting


def test_the_policy_and_the_mode_go_together(page: Debugger) -> None:
    assert page.mode.value == ES
    page.mode.value = SEV
    assert page.boxes["policy"].value == "0x1"
    page.mode.value = ES
    assert page.boxes["policy"].value == "0x5"
    page.boxes["policy"].value = "1"
    assert page.mode.value == SEV
    page.boxes["policy"].value = "5"
    assert page.verdict is not None
    assert page.verdict.matches


@pytest.mark.parametrize("name", ["EPYC-Milan-v2", "EPYC-Genoa", "EPYC-v1"])
def test_a_cpu_type_is_its_numbers(name: str, page: Debugger) -> None:
    page.cpu.value = name
    assert [page.boxes[f"cpu_{part}"].value for part in CPU_MODELS[name]._fields] == [*map(str, CPU_MODELS[name])]
    assert page.cpu.value == name
    page.set_inputs({"report": SNP_INPUTS["report"]})
    page.cpu.value = "EPYC-Turin"
    page.cpu.value = name
    assert page.boxes["cpu_signature"].value == hex(CPU_MODELS[name].signature)
    assert page.boxes["cpu_family"].value == ""
    page.boxes["cpu_signature"].value = "0x1"
    assert page.cpu.value == "(by the numbers)"


def test_the_list_of_cpus_shows_the_numbers_that_count() -> None:
    page = debugger(SNP_INPUTS)
    assert page.cpu.value == "EPYC-Milan"
    page.mode.value = "SEV-ES"
    assert "CPU type" in page.missing
    assert page.cpu.value == OTHER
    page.cpu.value = "EPYC-Rome"
    page.mode.value = "SEV-SNP"
    assert page.cpu.value == "EPYC-Rome"
    assert page.error == ""


def test_profiles_are_a_list_and_an_unknown_one_is_an_error_not_a_crash() -> None:
    page = debugger(ES_INPUTS)
    assert {value for _, value in page.boxes["profile"].options} == {"", *PROFILES}
    page.set_inputs({"report": SNP_INPUTS["report"]})
    assert {value for _, value in page.boxes["profile"].options} == {"", *SNP_PROFILES}
    page = debugger(SNP_INPUTS | {"profile": HOSTILE[0]})
    assert "Profile: received" in page.error
    assert "<img" not in everything(page)


# Files


def test_files_are_taken_and_keys_do_not_stay(page: Debugger) -> None:
    for name, file, raw in (
        ("firmware", "OVMF.fd", samples.firmware_for_kernels()),
        ("kernel", "vmlinuz-6.8", samples.KERNEL),
        ("initrd", "initramfs.img", samples.INITRD),
        ("tk", "guest.tk", samples.TEK + samples.TIK),
    ):
        page.boxes[name].value = ""
        drop(page, file, raw)
        assert page.boxes[name].value.endswith("(uploaded)"), file
    assert page.error == ""
    assert page.verdict is not None
    assert page.verdict.matches
    assert page.boxes["tk"].value == "(uploaded)"
    assert samples.TIK.hex() not in repr(page.inputs)
    states = repr([widget.get_state() for widget in (page.paste, *page.boxes.values())])
    assert samples.TIK.hex() not in states
    assert repr(samples.TIK) not in states
    page.boxes["policy"].value = "0x7"
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"policy": 5}
    folder = Path(str(page.inputs["firmware"])).parent
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*[a-z].[bdfp]*")), ids=lambda path: path.name)
def test_a_sample_is_recognized(path: Path) -> None:
    kinds = {"ark": "ark", "chain": "chain", "vcek": "vcek", "report": "report", "firmware": "firmware"}
    wanted = next((kind for start, kind in kinds.items() if path.name.startswith(start)), path.stem)
    assert recognize_file(path.name, path.read_bytes()) == wanted
    if wanted not in ("firmware", "kernel", "initrd"):  # these samples hold nothing that names them
        assert recognize_file("nameless", path.read_bytes()) in (wanted, "tik")


def test_files_are_recognized_by_their_content() -> None:
    page = bytes(samples.INITRD)
    for raw, wanted in (
        (bytes(40) + b"_FVH" + bytes(9000), "firmware"),
        (bytes(0x202) + b"HdrS" + bytes(9000), "kernel"),
        (b"\x1f\x8b" + bytes(9000), "initrd"),
        (b"070701" + bytes(9000), "initrd"),
        (bytes(4096), "vmsa_cpu0"),
        (page, ""),
        (os.urandom(9 << 20), ""),
    ):
        assert recognize_file("file", raw) == wanted


@pytest.mark.parametrize("raw", [b"", b"short", (samples.TEK + samples.TIK).hex().encode()])
def test_a_key_upload_of_another_size_is_told_and_searched(raw: bytes, page: Debugger) -> None:
    drop(page, "tk.bin", raw)
    assert "Key file" in page.error
    assert samples.TIK.hex() not in page.error
    if len(raw) == 64:
        search(page)
        assert page.diagnosis is not None
        assert page.diagnosis.explanations[0].found == {"tk": "hex text"}
        page.result.children[2].click()
        assert page.verdict is not None
        assert page.verdict.matches


def test_a_tik_alone_is_enough(page: Debugger) -> None:
    drop(page, "key", samples.TIK)
    assert (page.boxes["tk"].value, page.boxes["tik"].value) == ("", "(uploaded)")
    assert page.verdict is not None
    assert page.verdict.matches


@pytest.mark.parametrize("name", ["nobody knows", *HOSTILE, "../../etc/passwd", "a" * 5000, "x/../y\0z", "."])
def test_a_file_that_nobody_knows_is_one_line(name: str, page: Debugger) -> None:
    before = page.inputs
    drop(page, name, b"\xff\xfe\x00nothing")
    assert "which neither name nor content explains" in page.understood.value
    assert page.inputs == before
    drop(page, name, b"\x1f\x8b" + bytes(9))  # an initrd, whatever it is called
    assert Path(str(page.inputs["initrd"])).parent.name.startswith("sevlab-")
    shown = everything(page) + page.boxes["initrd"].value
    assert "<img" not in everything(page)
    assert not [one for one in shown if one in "\x1b\u202e\u2066\0"]


def test_a_file_larger_than_a_message_is_refused(page: Debugger) -> None:
    before = page.inputs
    drop(page, "vmlinuz", bytes(UPLOAD_LIMIT + 1))
    assert f"{UPLOAD_LIMIT + 1} bytes" in page.understood.value
    assert page.inputs == before


# Bundles


def judged(path: Path, budget: float) -> tuple[str, object, object]:
    """What sevlab case verify and sevlab diagnose --case say of a bundle."""
    with open_case(str(path)) as case:
        try:
            verdict = sevlab.verify_case(case)
            said = verdict.words, {name: part.status for name, part in verdict.parts.items()}
        except InputError as error:
            said = str(error.renamed(label_of)), {}
    found = sevlab.diagnose_case(str(path), budget=budget).diagnosis
    return *said, found and (found.status, [[one.input for one in each.changes] for each in found.explanations])


@pytest.mark.parametrize("path", some([one for one in CASES if one.stem != SLOW], 9), ids=lambda path: path.stem)
def test_a_bundle_is_judged_and_explained_as_by_the_command(path: Path) -> None:
    page = debugger({})
    drop(page, path.name, path.read_bytes())
    search(page)
    said, parts, found = judged(path, 60)
    if page.verdict is not None:
        assert (page.verdict.words, {name: part.status for name, part in page.verdict.parts.items()}) == (said, parts)
    else:
        assert page.error == said
    mine = page.diagnosis
    assert (mine and (mine.status, [[one.input for one in each.changes] for each in mine.explanations])) == found
    shown = everything(page)
    assert "/tmp" not in words(shown)
    options = re.findall(r"--([a-z][a-z0-9-]+)", words(shown))
    assert not {one.replace("-", "_") for one in options} & {*page.boxes, *LABELS}
    for box in page.boxes.values():
        assert "/tmp" not in str(box.value)


@pytest.mark.soak
def test_the_bundle_that_nothing_explains() -> None:
    path = next(one for one in CASES if one.stem == SLOW)
    page = debugger({})
    drop(page, path.name, path.read_bytes())
    page.budget.value = 5
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.status == judged(path, 5)[2][0] == "unexplained"  # type: ignore[index]


def test_a_bundle_s_folder_goes_and_its_keys_stay_in_memory() -> None:
    path = next(one for one in CASES if one.stem == "F27")
    page = debugger({})
    drop(page, path.name, path.read_bytes())
    assert isinstance(page.inputs["tk"], SecretBytes)
    assert page.boxes["tk"].value == "(uploaded)"
    firmware = Path(str(page.inputs["firmware"]))
    assert firmware.exists()
    page.clear.click()
    assert not firmware.exists()


def test_a_stranger_s_keys_prove_nothing_beside_one_s_own() -> None:
    page = debugger(ES_INPUTS)
    paste(page, (SAMPLES / "launch-es.txt").read_text())
    raw = saved(page, with_keys=True)
    other = debugger({})
    drop(other, "launch.sevcase", raw)
    assert "NOT DECIDED" in other.banner.value
    assert "--" not in words(everything(other))
    drop(other, "mine.tk", samples.TEK + samples.TIK)
    assert "OK: Looks good to me" in other.banner.value


def as_the_command(page: Debugger, path: Path, *options: str) -> None:
    """Check that a page says what sevlab case verify says of a bundle or a case file."""
    command = [sys.executable, "-m", "sevlab", "case", "verify", str(path), "--json", *options]
    done = subprocess.run(command, capture_output=True, check=False)  # not here: it removes its temporary folders
    assert page.verdict is not None, page.error
    said, mine = json.loads(done.stdout), json.loads(json.dumps(page.verdict.as_dict()))
    for one in (said, mine):
        one["trusted_from_case"] = sorted(one["trusted_from_case"])
        if one["report"]:  # what is said of a root names the option, or the box
            one["report"] = [{**check, "note": ""} for check in one["report"]["checks"]]
    assert mine == said
    assert done.returncode == (0 if page.verdict.matches else 1)


def test_a_case_of_one_s_own_is_judged_as_by_the_command(page: Debugger, tmp_path: Path) -> None:
    path = tmp_path / "launch.sevcase"
    path.write_bytes(saved(page, with_keys=True))
    other = debugger({})
    drop(other, path.name, path.read_bytes())
    assert other.own.layout.display is None
    assert "NOT DECIDED" in other.banner.value
    assert "or tick 'This case is mine' if the bundle is yours" in unescape(words(everything(other)))
    as_the_command(other, path)
    other.own.value = True
    assert "OK: Looks good to me" in other.banner.value
    as_the_command(other, path, "--own-case")
    assert saved(other, with_keys=True) == path.read_bytes()
    other.own.value = False
    as_the_command(other, path)
    other.own.value = True
    drop(other, path.name, path.read_bytes())  # said of one case, and of no other
    assert "NOT DECIDED" in other.banner.value
    other.clear.click()
    assert (other.own.value, other.own.layout.display) == (False, "none")


def test_a_pasted_case_of_one_s_own_may_name_any_file(tmp_path: Path) -> None:
    text = (SAMPLES / "launch-es.txt").read_text()
    numbers = {"api_major": 0, "api_minor": 22, "build_id": 13, "policy": 5}
    (tmp_path / "vmlinuz").write_bytes(samples.KERNEL)
    given = {**ES_INPUTS, "kernel": str(tmp_path / "vmlinuz"), "measurement": text.split()[1]}
    case, path = make_case({**given, **numbers}), tmp_path / "case.toml"
    path.write_text(format_case(case).replace(case.hashes["kernel"], "0" * 64))
    page = debugger({})
    paste(page, path.read_text())
    assert "not the recorded one" in page.error
    page.own.value = True
    assert "files of this case that are not the recorded ones: 1" in page.banner.value
    as_the_command(page, path, "--own-case")


def test_a_root_of_one_s_own_is_trusted_as_by_the_command(tmp_path: Path) -> None:
    page, root, path = debugger(SNP_INPUTS), SAMPLES / "ark-snp.der", tmp_path / "snp.sevcase"
    assert page.root.layout.display is None
    path.write_bytes(saved(page))
    as_the_command(page, path)
    assert "report: ARK known mismatch" in words(page.compared.value)
    page.root.text.value = str(root)
    as_the_command(page, path, "--trust-root", str(root))
    assert "below a root of yours, not of AMD" in page.banner.value
    assert "by Trusted root: SHA-256" in words(page.compared.value)
    verify = page.taking(COMMAND).split("\n")[1]
    assert f" --trust-root {root}" in verify
    assert run(verify)[0] == 0
    done = subprocess.run([sys.executable, "-c", page.taking(PYTHON)], capture_output=True, text=True, check=True)
    assert "below a root of yours, not of AMD" in done.stdout
    for change in ("8", "4"):
        page.boxes["num_cpus"].value = change
        search(page)
        assert "ARK known" not in everything(page).replace("by Trusted root", "").partition("<details")[0]
    page.root.text.value = ""
    assert "report: ARK known mismatch" in words(page.compared.value)
    upload = {"name": "ark.der", "type": "", "size": 9, "last_modified": 0}
    page.root.upload.set_state({"value": [{**upload, "content": memoryview(root.read_bytes())}]})
    as_the_command(page, path, "--trust-root", str(root))
    assert " --trust-root root.der" in page.taking(COMMAND)
    page.set_inputs({"report": None})
    assert page.root.layout.display == "none"
    assert debugger(ES_INPUTS).root.layout.display == "none"


@pytest.mark.parametrize("text", ["/nonexistent", "-", str(SAMPLES / "report-snp.bin"), *HOSTILE])
def test_what_is_no_root_is_one_line_at_its_box(text: str) -> None:
    page = debugger(SNP_INPUTS)
    page.root.text.value = text
    assert page.verdict is None
    assert page.error.startswith("Trusted root: received")
    assert "<img" not in everything(page)
    page.root.text.value = ""
    assert page.verdict is not None
    upload = {"name": text, "type": "", "size": 9, "last_modified": 0, "content": memoryview(text.encode())}
    page.root.upload.set_state({"value": [upload]})
    assert "Trusted root: received" in page.understood.value
    assert page.verdict is not None


@pytest.mark.parametrize("raw", [b"PK", b"PK\x03\x04" + bytes(100), b"PK\x05\x06" + bytes(18)])
def test_a_broken_bundle_is_one_line_and_loses_nothing(raw: bytes, page: Debugger) -> None:
    before = page.inputs
    drop(page, "x.sevcase", raw)
    assert 'role="alert"' in page.understood.value
    assert page.inputs == before


def test_a_pasted_case_opens_no_file_that_its_hash_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"something of mine")
    case = make_case(
        {**ES_INPUTS, "measurement": "A" * 64, "api_major": 0, "api_minor": 22, "build_id": 1, "policy": 5}
    )
    text = format_case(case).replace(ES_INPUTS["kernel"], str(tmp_path / "secret"))
    page = debugger({})
    paste(page, text)
    assert "Kernel: received" in page.error
    assert "not the recorded one" in page.error


def test_words_of_a_stranger_s_case_are_dead() -> None:
    for text in HOSTILE:
        about = {"title": text, "note": text, "explanation": text}
        case = Case({"measurement": "A" * 64, "cmdline": text, "profile": text}, origin={"cmdline": text}, about=about)
        page = debugger(case)
        shown = everything(page) + page.static().html() + repr(page)
        assert "<img" not in shown.replace(repr(page), "")
        assert "<script" not in shown.replace(repr(page), "")
        assert not [one for one in shown if one in "\x1b\u202e\u2066"]


# SEV-SNP


def test_a_report_of_snp_is_judged_with_its_certificates_and_its_launch() -> None:
    page = debugger(SNP_INPUTS)
    assert page.mode.value == SEV_SNP
    assert page.verdict is not None
    assert page.verdict.status == sevlab.verify_case(make_case({**SNP_INPUTS, "mode": "snp"})).status
    assert page.verdict.digest is not None
    assert page.verdict.digest.matches
    page.boxes["num_cpus"].value = "8"
    assert not page.verdict.digest.matches
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"num_cpus": 4}
    page.result.children[2].click()
    assert page.verdict is not None
    assert page.verdict.digest is not None
    assert page.verdict.digest.matches
    before = page.compared.value.partition("<details")[0]  # what is wrong beside it is in view, too
    assert "launch digest" not in words(before).partition("what is wrong")[2]
    assert "report: ARK known mismatch" in words(before)


def test_what_snp_does_not_know_is_searched() -> None:
    given = {name: value for name, value in SNP_INPUTS.items() if name not in ("num_cpus", "cpu_signature")}
    page = debugger(given)
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"cpu_signature": 0xA00F11, "num_cpus": 4}
    assert "num_cpus" not in words(everything(page))
    page.result.children[2].click()
    assert page.missing == []
    assert page.cpu.value == "EPYC-Milan"


def test_a_digest_that_the_host_reported_is_enough() -> None:
    given = {name: value for name, value in SNP_INPUTS.items() if name not in ("report", "vcek", "chain")}
    page = debugger({**given, "reported_measurement": bytes(snp.snp_report().measurement)})
    assert page.verdict is not None
    assert page.verdict.digest is not None
    assert page.verdict.digest.matches


# The search


def test_without_threads_the_search_runs_at_once(page: Debugger, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    page.boxes["policy"].value = "3"
    monkeypatch.setattr(threading.Thread, "start", start)
    page.why.click()
    assert page.diagnosis is not None
    assert page.diagnosis.status == "explained"
    assert (page.why.disabled, page.stop.disabled) == (False, True)
    page.wait()


def test_where_cryptography_is_missing_launches_are_judged_and_explained() -> None:
    """As in a browser, where there are no threads either."""
    path = next(one for one in CASES if one.stem == "F02")
    program = f"""
        import sys, threading
        from pathlib import Path
        sys.modules["cryptography"] = None
        threading.Thread.start = lambda thread: exec("raise RuntimeError")
        import sevlab
        page = sevlab.debugger()
        page.why.click()
        assert page.diagnosis.status == "explained"
        page.paste._handle_custom_msg({{"file": "F02.sevcase"}}, [Path({str(path)!r}).read_bytes()])
        assert "cryptography" in page.error and 'role="alert"' in page.alert.value
        page.boxes["vcek"].value = page.boxes["chain"].value = ""
        page.why.click()
        assert page.diagnosis.status == "explained"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_a_search_can_be_stopped(page: Debugger) -> None:
    page.boxes["tk"].value = ""
    drop(page, "tk", bytes(range(32)))
    page.why.click()
    assert page.why.disabled is True
    assert page.stop.disabled is False
    page.stop.click()
    page.wait(300)
    assert page.diagnosis is not None
    assert page.diagnosis.stopped == "it was interrupted"
    assert page.why.disabled is False


def test_an_emptied_page_stays_empty_and_can_search_at_once(page: Debugger) -> None:
    good = {name: box.value for name, box in page.boxes.items()}
    drop(page, "tk", bytes(range(32)))
    page.why.click()
    first = page._thread
    page.clear.click()
    assert page.why.disabled is False
    page.set_inputs({**{name: value for name, value in good.items() if name in LEGACY}, "build_id": 19})
    search(page)
    first.join(30)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"build_id": 13}
    assert "EXPLAINED" in page.result.children[1].value
    drop(page, "tk", bytes(range(32)))
    page.why.click()
    page.clear.click()
    page.wait(300)
    assert (page.diagnosis, page.result.children, page.progress.value) == (None, (), "")


@pytest.mark.parametrize("when", ["after", "while"])
def test_an_explanation_of_other_inputs_is_not_applied(
    when: str, page: Debugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.boxes["build_id"].value = "19"
    if when == "while":

        def change_then_search(*args: Any, **options: Any) -> sevlab.diagnosis.result.Diagnosis:
            diagnosis = sevlab.diagnose(*args, **options)
            page.boxes["policy"].value = "0x1"
            return diagnosis

        monkeypatch.setitem(Debugger.search.__globals__, "diagnose", change_then_search)
    search(page)
    if when == "after":
        page.boxes["policy"].value = "0x1"
    note, text, button = page.result.children
    assert "EXPLAINED" in text.value
    assert button.disabled is True
    assert "have changed since" in note.value
    assert "EXPLAINED" not in repr(page)


def test_a_search_that_fails_leaves_nothing_of_the_one_before(page: Debugger, tmp_path: Path) -> None:
    page.boxes["build_id"].value = "19"
    search(page)
    assert page.diagnosis is not None
    page.boxes["build_id"].value = "20"
    page.candidates.value = "/nonexistent"
    search(page)
    assert page.diagnosis is None
    assert "EXPLAINED" not in repr(page)
    path = tmp_path / "launch.sevcase"
    path.write_bytes(saved(page))
    with open_case(str(path)) as case:
        assert (case.found, "explanation" in case.about) == ({}, False)


def test_an_error_of_ours_is_told_in_the_page(page: Debugger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("inside")

    monkeypatch.setitem(Debugger.search.__globals__, "diagnose", fail)
    with pytest.raises(RuntimeError):
        page.search()
    assert "An error in sevlab: RuntimeError" in page.progress.value
    assert page.why.disabled is False


def test_a_folder_that_is_not_there_is_named_as_on_the_page(page: Debugger) -> None:
    page.boxes["build_id"].value = "19"
    page.candidates.value = "/nonexistent"
    search(page)
    assert "Candidates: received" in page.progress.value


@pytest.mark.parametrize("last", ["\n", " "])
def test_a_line_break_at_the_end_of_the_command_line_is_seen(last: str) -> None:
    given = {**ES_INPUTS, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 5, "measurement": "A" * 64}
    computed = compare_measure(sevlab.load_evidence(**{**given, "cmdline": f"console=ttyS0{last}"})).computed
    page = debugger({**given, "measurement": base64.b64encode(computed + bytes(16)).decode()})
    search(page)
    page.result.children[2].click()
    assert "OK: Looks good to me" in page.banner.value
    assert page.boxes["cmdline"].value == f"console=ttyS0{last}"
    assert isinstance(page.boxes["cmdline"], ipywidgets.Textarea)  # a box of one line drops what it cannot show
    assert last == " " or r"console=ttyS0\n" in page.note.value


def test_an_explanation_that_no_input_can_say_is_told(page: Debugger) -> None:
    raw = report({**true_values(SPACES["es"], {}), "message": True})
    given = {**SPACES["es"].inputs.launch.given, "tk": ES_INPUTS["tk"], "policy": 5}
    given |= {"api_major": 0, "api_minor": 22, "build_id": 13}
    page.set_inputs({**given, "measurement": base64.b64encode(raw).decode()})
    search(page)
    page.result.children[2].click()
    assert "not supported" in page.progress.value


def test_starting_again_empties_the_page(page: Debugger) -> None:
    page.clear.click()
    assert page.inputs == {}
    assert (page.paste.value, page.understood.value, page.result.children) == ("", "", ())


def test_a_broken_launch_of_the_classroom_is_explained() -> None:
    launch = broken_launch(4, 2)
    page = debugger(launch.inputs)
    search(page)
    page.result.children[2].click()
    assert page.verdict is not None
    assert page.verdict.matches


def test_coverage_is_shown_for_a_configuration(page: Debugger) -> None:
    line = "-object sev-guest,id=sev0,policy=0x5 -machine confidential-guest-support=sev0 -drive file=d"
    paste(page, f"qemu-system-x86_64 {line}")
    assert "What of it is measured" in page.understood.value


# Taken along


def saved(page: Debugger, *, with_keys: bool = False) -> bytes:
    sent: list[Any] = []
    page.with_keys.value = with_keys
    page.saving.send = lambda *message: sent.append(message)  # type: ignore[method-assign]
    page.saving.click()
    assert page.taken.value == ""
    ((content, (raw,)),) = sent
    assert content == {"save": "launch.sevcase"}
    return bytes(raw)


def run(command: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = main(shlex.split(command)[1:])
    return status, out.getvalue()


def test_the_command_says_what_the_page_says(page: Debugger) -> None:
    assert run(page.taking(COMMAND)) == (0, "OK: Looks good to me\n")
    page.boxes["build_id"].value = "19"
    assert run(page.taking(COMMAND))[0] == 1
    digest, verify = debugger(SNP_INPUTS).taking(COMMAND).split("\n")
    assert run(digest) == (0, f"{bytes(snp.snp_report().measurement).hex()}\n")
    assert run(f"{verify} --trust-root {SAMPLES / 'ark-snp.der'} --at 2026-01-01")[0] == 0


def test_no_command_says_less_than_the_page(tmp_path: Path) -> None:
    """What one command cannot say is refused: without it, it could answer OK where the page does not."""
    digest = bytes(snp.snp_report().measurement)
    same, other = debugger({**SNP_INPUTS, "snp_measurement": digest}), debugger(SNP_INPUTS)
    assert same.taking(COMMAND) == other.taking(COMMAND)
    cases = {
        "Required measurement": {**SNP_INPUTS, "snp_measurement": bytes(48)},
        "ID block": {**SNP_INPUTS, "id_block": str(SAMPLES / "tk.bin")},
        "digest": {"digest": bytes(32), "tk": ES_INPUTS["tk"]},
    }
    for what, given in cases.items():
        page = debugger(given)
        page.take.value = COMMAND
        page.copying.click()
        assert what in words(page.taken.value)
        assert "not supported" in page.taken.value
        page.taking(PYTHON)


def test_the_python_says_what_the_page_says(page: Debugger) -> None:
    for one in (page, debugger(SNP_INPUTS)):
        done = subprocess.run([sys.executable, "-c", one.taking(PYTHON)], capture_output=True, text=True, check=True)
        assert one.verdict is not None
        assert one.verdict.words in done.stdout


@pytest.mark.parametrize("text", ['it\'s; $(touch x) `y` "z"', "a\u202eb", "tab\there", "-x", "--help", *HOSTILE])
def test_no_value_is_more_than_a_word_of_the_command_or_a_text_of_python(text: str, page: Debugger) -> None:
    page.boxes["cmdline"].value = text
    command = page.taking(COMMAND)
    assert not [one for one in command if one in "\x1b\u202e\u2066\t"]
    got = subprocess.run(
        ["bash", "-c", f"sevlab() {{ printf '%s\\0' \"$@\"; }}; {command}"], capture_output=True, check=True
    ).stdout.decode()
    assert {text, f"--cmdline={text}"} & {*got.split("\0")}
    assert text not in ("-x", "--help") or f"--cmdline={text}" in got.split("\0")
    python = page.taking(PYTHON)
    assert python.isascii()
    assert text in eval(python.partition("make_case(")[2].partition(")\nprint")[0]).values()


@pytest.mark.parametrize("given", [ES_INPUTS, SNP_INPUTS], ids=["es", "snp"])
def test_values_are_copied_as_hex_and_base64(given: dict[str, object]) -> None:
    page = debugger(given)
    if given is ES_INPUTS:
        paste(page, (SAMPLES / "launch-es.txt").read_text())
    sent: list[Any] = []
    page.copying.send = lambda *message: sent.append(message)  # type: ignore[method-assign]
    for what in TAKE[2:]:
        page.take.value = what
        page.copying.click()
        text = sent[-1][0]["copy"]
        raw = bytes.fromhex(text) if what.endswith("hex") else base64.b64decode(text, validate=True)
        assert raw == page._values()[what.partition(",")[0]]
    page.clear.click()
    page.copying.click()
    assert "copy: received no" in page.taken.value


@pytest.mark.parametrize("given", [ES_INPUTS, SNP_INPUTS], ids=["es", "snp"])
def test_a_saved_bundle_is_the_same_case(given: dict[str, object], tmp_path: Path) -> None:
    page = debugger(given)
    if given is ES_INPUTS:
        paste(page, (SAMPLES / "launch-es.txt").read_text())
    page.boxes["num_cpus"].value = "8"
    search(page)
    raw = saved(page)
    other = debugger({})
    drop(other, "launch.sevcase", raw)
    keys = {row.name for row in ROWS if row.kind == KEY}
    assert set(other.inputs) == set(page.inputs) - keys
    path = tmp_path / "launch.sevcase"
    path.write_bytes(raw)
    with open_case(str(path)) as case:
        assert case.found == {"num_cpus": 4}
    if given is ES_INPUTS:
        assert samples.TEK + samples.TIK not in raw
        assert other.missing == ["Key file"]
        assert samples.TEK + samples.TIK in saved(page, with_keys=True)
    else:
        assert other.verdict is not None
        assert other.verdict.explanation == "holds"
        assert saved(other) == raw


def test_what_cannot_be_saved_or_copied_is_told(page: Debugger) -> None:
    page.boxes["measurement"].value = "nonsense"
    page.saving.click()
    assert "alert" in page.taken.value
    page.boxes["firmware"].value = "/nonexistent"
    page.saving.click()
    assert "/nonexistent" in page.taken.value


# Where no widget runs


def test_it_has_a_static_twin(page: Debugger) -> None:
    bundle = page._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "OK: Looks good to me" in data["text/plain"]
    assert "OK: Looks good to me" in data["text/html"]


def test_the_example_is_told_to_the_end_where_no_widget_runs() -> None:
    first, second = debugger(), debugger()
    assert "EXPLAINED" in repr(first)
    assert repr(first) == repr(second)
    assert first.static().html() == second.static().html()
    assert "/tmp" not in repr(first)
    assert "--" not in repr(first).replace("-" * 3, "")
    assert first.diagnosis is None  # the page itself waits for a press


def test_boxes_are_named_not_options_or_library_names(page: Debugger) -> None:
    page.budget.value = 1  # what is said counts here, not what is found
    for name in ("api_major", "firmware", "tk", "num_cpus", "cmdline", "build_id"):
        before = page.boxes[name].value
        page.boxes[name].value = "x" * 20
        with contextlib.suppress(SevlabError):
            search(page)
        said = words(everything(page))
        assert not re.findall(r"--[a-z]+", said), name
        assert not {one for one in re.findall(r"\b([a-z]+_[a-z_]+):", said) if one in BY_NAME}, name
        page.boxes[name].value = before


def test_read_case_is_not_needed_for_a_paste(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text("# A case file of sevlab: every input of one launch.\nformat = 2\n\n[reported]\npolicy = 1\n")
    page = debugger({})
    paste(page, path.read_text())
    assert page.inputs == {name: hex(value) for name, value in read_case(str(path)).inputs.items()}  # type: ignore[arg-type]
