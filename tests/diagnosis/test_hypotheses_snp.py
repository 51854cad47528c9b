"""Every mistake of SEV-SNP: found by its name, alone, with the incidents that it resembles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab import diagnose
from sevlab.diagnosis.hypotheses_snp import HYPOTHESES
from sevlab.diagnosis.model import MISSING, Change
from sevlab.diagnosis.snp import PARAMETERS, SnpSpace
from tests.diagnosis.snp_cases import (
    EPYC,
    MILAN,
    ODD,
    SNP_ONLY,
    VARS,
    by_files,
    chain_of,
    digest_of,
    inputs,
    only,
    space_of,
    svsm_inputs,
    values_of,
)
from tests.launch.test_snp import GOLDEN, three_lines
from tests.made_images import AMD_SEV
from tests.shared_data import shared_data

#: Inputs under which a hypothesis has something to offer, where the usual ones do not.
NEEDS: dict[str, dict[str, Any]] = {
    "CPU model that was not given": {"cpu_signature": None},
    "number of virtual CPUs that was not given": {"num_cpus": None},
    "command line in other bytes": {"cmdline": "caf\u00e9 console=ttyS0"},
}
#: Tested below, since they need files or forms of their own, or are SEV's alone.
BY_HAND = {
    "another part of the firmware file",
    "padded firmware",
    "another SVSM image",
    "another size of the variable store",
    "digest of another firmware",
    "digest in another form",
    "firmware without a section for kernel hashes",
    "DebugSwap with an SVSM",
    "registers of one CPU, or of all, with an SVSM",
}


def computed(space: SnpSpace) -> bytes | None:
    """The digest of the launch as given; None where something was left out."""
    values = values_of(space, {})
    return None if MISSING in (values["model"], values["count"]) else chain_of(values)


@pytest.mark.parametrize(
    "hypothesis", [one for one in HYPOTHESES if one.name not in BY_HAND and one.parameter in PARAMETERS]
)
def test_every_hypothesis_is_found_by_its_own_name(hypothesis: Any, folder: Path) -> None:
    hosts: list[dict[str, Any]] = [
        {"profile": name, "guest_features": value}
        for name in (*sevlab.launch.vmm.PROFILES, *SNP_ONLY)
        for value in (None, 1)
    ]
    hosts += [by_files(folder, name) for name in ("gce", "qemu-legacy")]
    for changes in hosts if hypothesis.parameter == "profile" else [NEEDS.get(hypothesis.name, {})]:
        space = space_of(folder, **changes)
        choices = [
            choice for choice in space.parameters[hypothesis.parameter].choices if choice.hypothesis is hypothesis
        ]
        if choices and chain_of(values_of(space, {hypothesis.parameter: choices[0]})) != computed(space):
            break
    else:
        pytest.fail("no launch in which it is offered")
    for choice in choices[:: max(1, len(choices) // 4)]:
        reported = chain_of(values_of(space, {hypothesis.parameter: choice}))
        found = only(diagnose(inputs(folder, **changes), reported, candidates=str(folder / "others")))
        assert found.changes == choice.changes
        assert found.hypotheses == (hypothesis,)
        assert hypothesis.how in found.sentence
        assert all(sevlab.data.INCIDENTS[key].title in found.sentence for key in hypothesis.incidents)
        assert json.dumps(found.as_dict())


def test_hypotheses_are_declared_whole() -> None:
    named = [one.name for one in HYPOTHESES]
    assert len({(one.name, one.how) for one in HYPOTHESES}) == len(named)
    assert [name for name in set(named) if named.count(name) > 1 and not name.startswith("profile ")] == []
    assert {one.parameter for one in HYPOTHESES} - set(PARAMETERS) == {"table"}  # its padding is in a page of zeros
    for hypothesis in HYPOTHESES:
        assert 0 < hypothesis.prior < 1
        assert hypothesis.how.endswith(".")
        assert set(hypothesis.incidents) <= set(sevlab.data.INCIDENTS)
    assert BY_HAND | set(NEEDS) <= set(named)


@pytest.mark.parametrize(("changes", "digest"), GOLDEN, ids=[", ".join(row[0]) or "baseline" for row in GOLDEN])
def test_the_golden_digests_are_explained_by_their_change(tmp_path: Path, changes: dict[str, Any], digest: str) -> None:
    (tmp_path / "empty").write_bytes(b"")
    image = shared_data("firmware", "ovmf_AmdSev_suffix.bin")
    given = inputs(tmp_path, firmware=str(image), num_cpus=1, cmdline="console=ttyS0 loglevel=7")
    given |= {"kernel": str(tmp_path / "empty"), "initrd": str(tmp_path / "empty")}
    diagnosis = diagnose(given, digest, candidates=str(image.parent))
    if not changes:
        assert (diagnosis.status, diagnosis.tried) == ("match", 1)
        return
    wanted = {name: value for name, value in changes.items() if name != "cpu_signature" or value is not None}
    if wanted.get("guest_features") == 1:
        del wanted["guest_features"]
    if "kernel" in wanted:
        del wanted["initrd"], wanted["cmdline"]
    if "firmware" in wanted:
        wanted["firmware"] = str(image.parent / wanted["firmware"])
    if wanted.get("cmdline") == "":
        wanted["cmdline"] = None
    found = only(diagnosis)
    assert found.found == wanted
    assert sevlab.load_snp_launch(**{**given, **found.inputs}).digest.hex() == digest


def incident(folder: Path, reported: bytes, key: str, found: dict[str, Any], **changes: Any) -> Any:
    explanation = only(diagnose(inputs(folder, **changes), reported, candidates=str(folder / "others")))
    assert explanation.found == found
    assert key in explanation.incidents
    assert sevlab.data.INCIDENTS[key].title in str(explanation).replace("\n", " ")
    return explanation


def test_f01_to_f05_what_the_kernel_and_the_tool_believed(folder: Path) -> None:
    """Every row of the table of releases against every other one: one change of profile or features explains it."""
    for key in ("F01", "F02", "F03"):
        incident(folder, digest_of(folder, guest_features=0x21), key, {"guest_features": 0x21})
    incident(folder, digest_of(folder, profile="qemu-legacy"), "F05", {"profile": "qemu-legacy"})
    beliefs = ["qemu", "qemu-legacy", "qemu-debug-swap", "qemu-hashes-first"]
    for given in beliefs:
        for other in beliefs:
            if given != other:
                incident(folder, digest_of(folder, profile=other), "F04", {"profile": other}, profile=given)
    back = digest_of(folder, profile="qemu-legacy")
    found = incident(folder, back, "F03", {"profile": "qemu-legacy"}, profile="qemu-debug-swap")
    assert "F05" not in found.incidents
    both = incident(folder, digest_of(folder), "F05", {"profile": "qemu"}, profile="qemu-debug-swap")
    assert {"F01", "F02", "F03", "F04"} <= set(both.incidents)


def test_f07_ec2_changed_rdx_and_the_build_was_another_one(folder: Path) -> None:
    """Two causes at once: fixing only one of them still fails."""
    other = str(folder / "others" / "fw.fd")
    reported = digest_of(folder, profile="ec2", cpu_signature=None, firmware=other)
    given = {"profile": "ec2-rdx0", "cpu_signature": None}
    found = incident(folder, reported, "F07", {"profile": "ec2", "firmware": other}, **given)
    assert {"F07", "F25"} <= set(found.incidents)
    for change in found.changes:
        half = inputs(folder, **{**given, change.input: change.found})
        assert diagnose(half, reported, max_changes=1).status != "match"


def test_f09_f11_f15_gce_model_and_count(folder: Path) -> None:
    incident(folder, digest_of(folder, profile="gce", cpu_signature=None), "F09", {"profile": "gce"})
    incident(folder, digest_of(folder, cpu_signature=MILAN), "F11", {"cpu_signature": MILAN})
    incident(folder, digest_of(folder, cpu_signature=MILAN), "F12", {"cpu_signature": MILAN})
    for count in (1, 16, 255, 512):
        incident(folder, digest_of(folder, num_cpus=count), "F15", {"num_cpus": count})


def test_f10_two_bugs_hide_each_other(folder: Path) -> None:
    given = svsm_inputs(folder)
    reported = sevlab.load_snp_launch(**svsm_inputs(folder, num_cpus=1, guest_features=0x21)).digest
    found = only(diagnose(given, reported))
    assert found.found == {"num_cpus": 1, "guest_features": 0x21}
    assert [one.name for one in found.hypotheses] == [
        "DebugSwap with an SVSM",
        "registers of one CPU, or of all, with an SVSM",
    ]
    assert {"F10", "F01", "F15"} <= set(found.incidents)
    assert sevlab.load_snp_launch(**{**given, **found.inputs}).digest == reported
    # and the other way round: all were measured where one was told
    more = only(diagnose(svsm_inputs(folder, num_cpus=1), sevlab.load_snp_launch(**given).digest))
    assert (more.found, more.incidents[0]) == ({"num_cpus": 4}, "F10")


def test_another_svsm_and_another_variable_store(folder: Path) -> None:
    other = str(folder / "others" / "images" / "svsm.bin")
    reported = sevlab.load_snp_launch(**svsm_inputs(folder, svsm=other)).digest
    found = only(diagnose(svsm_inputs(folder), reported, candidates=str(folder / "others" / "images")))
    assert (found.found, found.hypotheses[0].name) == ({"svsm": other}, "another SVSM image")
    reported = sevlab.load_snp_launch(**svsm_inputs(folder, vars_size=0x84000)).digest
    found = only(diagnose(svsm_inputs(folder), reported))
    assert (found.found, found.incidents) == ({"vars_size": 0x84000}, ("F21",))
    store = folder / "vars.fd"
    store.write_bytes(bytes(VARS))
    by_file = {**svsm_inputs(folder, vars_size=None), "vars_file": str(store)}
    found = only(diagnose(by_file, reported))
    assert found.changes == (Change("vars_size", VARS, 0x84000),)
    assert sevlab.load_snp_launch(**{**by_file, **found.inputs}).digest == reported


def test_f16_a_kernel_for_a_firmware_without_a_section_for_it(folder: Path) -> None:
    bare = str(folder / "bare.fd")
    reported = digest_of(folder, firmware=bare, kernel=None, initrd=None, cmdline=None)
    found = incident(folder, reported, "F16", {"kernel": None}, firmware=bare)
    assert any("No kernel was measured" in alarm for alarm in found.alarms)
    assert sevlab.load_snp_launch(**{**inputs(folder, firmware=bare), **found.inputs}).digest == reported


def test_a09_no_kernel_hashes_and_hashes_of_a_kernel_nobody_named(folder: Path) -> None:
    reported = digest_of(folder, kernel=None, initrd=None, cmdline=None)
    found = incident(folder, reported, "A09", {"kernel": None})
    assert any("No kernel was measured" in alarm for alarm in found.alarms)
    nothing = inputs(folder, kernel=None, initrd=None, cmdline=None)
    reported = digest_of(folder)
    missed = diagnose(nothing, reported, max_changes=1)
    assert any("Kernel hashes: no kernel was given; if the host loads one, name it." in one for one in missed.not_tried)
    both = {"kernel": str(folder / "kernel"), "initrd": str(folder / "initrd")}
    reported = digest_of(folder, cmdline=None)
    assert only(diagnose(nothing, reported, candidates=str(folder))).found == both


def by_order(folder: Path, image: str, sections: list[tuple[int, int, int]]) -> bytes:
    """The digest of a launch of that image without a kernel, with these sections in this order."""
    raw = (folder / image).read_bytes()
    base = (1 << 32) - len(raw)
    pages = [(1, base + at, raw[at : at + 4096]) for at in range(0, len(raw), 4096)]
    types = {1: 3, 2: 5, 3: 6}
    pages += [(types.get(kind, 3), gpa + at, b"") for gpa, size, kind in sections for at in range(0, size, 4096)]
    vmsa = sevlab.build_vmsa("qemu", signature=EPYC, sev_features=1).to_bytes()
    return three_lines([*pages, (2, 0xFFFFFFFFF000, vmsa)])


def test_f21_f22_f23_pages_in_another_order(folder: Path) -> None:
    bare = dict.fromkeys(("kernel", "initrd", "cmdline"))
    for image, sections in (("fw.fd", AMD_SEV), ("odd.fd", ODD)):
        given = {**bare, "firmware": str(folder / image), "num_cpus": 1}
        rest = {kind: [one for one in sections if one[2] != kind] for kind in (3, 4, 0x10, 0x77)}
        moved = {kind: [one for one in sections if one[2] == kind] for kind in rest}
        cases = [
            ("F22", moved[0x10] + rest[0x10], "kernel hashes before all other"),
            ("F22", rest[0x10] + moved[0x10], "kernel hashes after all other"),
            ("F21", rest[3] + moved[3], "CPUID page after all other"),
            ("F21", rest[3], "sections CPUID left out"),
            ("F23", rest[4], "sections SVSM_CAA left out"),
            *([("F23", rest[0x77], "sections of type 0x77 left out")] if moved[0x77] else []),
        ]
        for key, order, words in cases:
            found = only(diagnose(inputs(folder, **given), by_order(folder, image, order)))
            assert list(found.found) == ["pages"]
            assert words in found.found["pages"]
            assert key in found.incidents
            with pytest.raises(sevlab.UnsupportedError, match="order and types of pages"):
                _ = found.inputs
