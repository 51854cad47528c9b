"""``diagnose`` for SEV-SNP: random mistakes are explained rightly, hopeless ones are not; and the command."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab import InputError, diagnose
from sevlab.cli import main
from sevlab.diagnosis.digests import walk
from sevlab.diagnosis.inputs import read_digest
from sevlab.formats.report import SIZE, parse_report
from tests.diagnosis.snp_cases import (
    CMDLINE,
    EPYC,
    MILAN,
    VARS,
    ZEROS,
    by_files,
    chain_of,
    digest_of,
    inputs,
    only,
    space_of,
    svsm_inputs,
    values_of,
)
from tests.launch.test_snp import three_lines
from tests.made_images import snp_image
from tests.shared_data import shared_data


def test_parts_and_padding_of_the_firmware(folder: Path) -> None:
    image = (folder / "fw.fd").read_bytes()
    padded = folder / "padded.fd"
    padded.write_bytes(image + bytes(4096))
    found = only(diagnose(inputs(folder, firmware=str(padded), **NO_KERNEL), digest_of(folder, **NO_KERNEL)))
    assert "without the 4096 bytes after its end" in found.found["firmware"]
    assert found.incidents == ("F25",)
    short = folder / "short.fd"
    short.write_bytes(image[-4096 * 7 :])
    (folder / "filled.fd").write_bytes(image[-4096 * 7 :] + b"\xff" * (4096 * 9))
    alone = {"num_cpus": 1, **NO_KERNEL}
    reported = digest_of(folder, firmware=str(folder / "filled.fd"), **alone)
    found = only(diagnose(inputs(folder, firmware=str(short), **alone), reported))
    assert "padded by 36864 bytes of 0xff" in found.found["firmware"]


NO_KERNEL: dict[str, Any] = dict.fromkeys(("kernel", "initrd", "cmdline"))


def test_a_digest_after_the_firmware_alone(folder: Path) -> None:
    reported = sevlab.load_snp_launch(**inputs(folder)).after
    found = only(diagnose(inputs(folder), reported[0]))
    assert found.found == {"part": "the digest after the firmware, with nothing after it"}
    assert "--snp-ovmf-hash" in found.sentence
    last = only(diagnose(inputs(folder, num_cpus=None, cpu_signature=None), reported[-3]))
    assert last.found == {"part": "the digest after section 7 of the metadata (SEC_MEM), with nothing after it"}
    after_one = only(diagnose(inputs(folder, num_cpus=3), reported[-2]))
    assert after_one.found == {"num_cpus": 1}


def test_a_firmware_s_digest_of_another_build(folder: Path) -> None:
    other = sevlab.load_snp_launch(**inputs(folder, firmware=str(folder / "others" / "fw.fd"))).after[0]
    given = inputs(folder, ovmf_hash=other.hex())
    found = only(diagnose(given, digest_of(folder)))
    assert (found.found, found.incidents) == ({"ovmf_hash": None}, ("F25",))
    assert diagnose(given, sevlab.load_snp_launch(**given).digest).status == "match"


@pytest.mark.parametrize(
    ("form", "word"),
    [
        (lambda raw: raw[::-1].hex(), "bytes reversed"),
        (lambda raw: base64.b64encode(raw[::-1]).decode(), "bytes reversed"),
        (lambda raw: "".join(raw[at : at + 8][::-1].hex() for at in range(0, 48, 8)), "words of 8 bytes reversed"),
        (lambda raw: "0x" + raw.hex(), "hex digits"),
        (lambda raw: ":".join(f"{byte:02X}" for byte in raw), "hex digits"),
        (lambda raw: base64.b64encode(raw.hex().encode()).decode(), "inside base64"),
        (lambda raw: base64.b64encode(base64.b64encode(raw)).decode(), "encoded twice"),
    ],
)
def test_a_digest_is_read_in_every_form(form: Any, word: str, folder: Path) -> None:
    raw = digest_of(folder)
    found = only(diagnose(inputs(folder), form(raw)))
    assert found.found["measurement"].startswith(raw.hex())
    assert word in found.found["measurement"]
    assert found.as_dict()["changes"][0]["given"] == form(raw)
    assert found.inputs == {}


@pytest.mark.parametrize("form", [bytes.hex, lambda raw: raw.hex().upper(), lambda raw: base64.b64encode(raw).decode()])
def test_plain_forms_are_no_mistake(form: Any, folder: Path) -> None:
    assert diagnose(inputs(folder), form(digest_of(folder))).status == "match"
    assert diagnose(inputs(folder), f" {form(digest_of(folder))}\n").status == "match"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("", "nothing"),
        ("hello", "hello"),
        ("00" * 32, "SEV-ES"),
        ("ab" * 64, "REPORT_DATA"),
        ("ab" * SIZE, "whole report"),
        (bytes(32), "SEV-ES"),
        (bytes(7), "7 bytes"),
        (b"", "0 bytes"),
        (5, "int"),
        ("A" * 10_000_000, "10000000"),
        ("\0" * 64, "48 bytes"),
    ],
)
def test_a_digest_of_another_length_is_refused_with_a_guess(value: Any, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        read_digest(value, "measurement")
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_model_and_a_number_that_were_not_given_are_searched(folder: Path) -> None:
    reported = digest_of(folder, num_cpus=24, cpu_signature=MILAN)
    found = only(diagnose(inputs(folder, num_cpus=None, cpu_signature=None), reported))
    assert found.found == {"num_cpus": 24, "cpu_signature": MILAN}
    assert [change.given for change in found.changes] == [None, None]
    features = digest_of(folder, num_cpus=24, cpu_signature=MILAN, guest_features=0x21)
    found = only(diagnose(inputs(folder, num_cpus=None, cpu_signature=None), features))
    assert found.found == {"num_cpus": 24, "cpu_signature": MILAN, "guest_features": 0x21}
    cloud = digest_of(folder, profile="ec2", cpu_signature=None)
    assert only(diagnose(inputs(folder, cpu_signature=None), cloud)).found == {"profile": "ec2"}


def test_registers_from_files(folder: Path) -> None:
    given = inputs(folder, **by_files(folder, "qemu"))
    assert diagnose(given, digest_of(folder)).status == "match"
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"num_cpus": 5}, {"num_cpus": 5}),
        ({"cpu_signature": MILAN}, {"cpu_signature": MILAN}),
        ({"guest_features": 0x21}, {"guest_features": 0x21}),
        ({"profile": "qemu-debug-swap", "guest_features": 1}, {"profile": "qemu-legacy"}),
    ]
    for changes, found in cases:
        assert only(diagnose(given, digest_of(folder, **changes), max_changes=2)).found == found
    alone = {name: value for name, value in given.items() if name != "vmsa_cpu1"}
    missed = diagnose(alone, digest_of(folder), max_changes=1)
    assert "More than one virtual CPU: vmsa_cpu1 was not given." in missed.not_tried


CASES = {1: 100, 2: 50, 3: 8}


@pytest.mark.parametrize("faults", CASES)
def test_random_mistakes_are_explained_and_rightly(faults: int, folder: Path) -> None:
    chance = random.Random(faults)
    usual: dict[str, Any] = {"num_cpus": 3}
    bases = [usual, {**usual, "profile": "gce"}, {**usual, **NO_KERNEL}, {**usual, "guest_features": 0x21}]
    spaces = [space_of(folder, **base) for base in bases]
    kinds = [space.combinations(faults, likely=faults > 2) for space in spaces]
    hand_made = {"padded firmware", "another part of the firmware file", "digest in another form"}
    for _ in range(CASES[faults]):
        place = chance.randrange(len(bases))
        while True:
            combination = chance.choice(kinds[place])
            drawn = [chance.choice(choices) for choices in combination.lists.values()]
            if hand_made.isdisjoint(choice.hypothesis.name for choice in drawn):
                break
        chosen = dict(zip(combination.lists, drawn, strict=True))
        truth = values_of(spaces[place], chosen)
        reported = chain_of(truth)
        given = inputs(folder, **bases[place])
        others = str(folder / "others")
        diagnosis = diagnose(given, reported, candidates=others, max_changes=faults, budget=600)
        if chain_of(values_of(spaces[place], {})) == reported:  # another model where the profile fixes RDX
            assert diagnosis.status == "match"
            continue
        found = only(diagnosis)
        assert 1 <= len(found.hypotheses) <= len(chosen)
        # By another route: what was found makes the very digest.
        again = {}
        for name, parameter in spaces[place].parameters.items():
            for choice in parameter.choices:
                if set(choice.changes) <= set(found.changes):
                    again[name] = choice
        assert chain_of(values_of(spaces[place], again)) == reported, (chosen, found)


def test_no_hopeless_case_is_explained(folder: Path) -> None:
    chance = random.Random(5)
    for _ in range(10):
        diagnosis = diagnose(inputs(folder), chance.randbytes(48), max_changes=1)
        assert diagnosis.status == "unexplained"
        told = {ruled_out.what for ruled_out in diagnosis.searched}
        assert {"the profile", "the CPU model", "SEV_FEATURES", "the number of virtual CPUs"} <= told
    image = bytearray((folder / "fw.fd").read_bytes())
    image[100] ^= 1
    (folder / "tampered.fd").write_bytes(image)
    diagnosis = diagnose(inputs(folder), digest_of(folder, firmware=str(folder / "tampered.fd")), max_changes=2)
    assert diagnosis.status == "unexplained"
    assert "any two of these: all their values." in map(str, diagnosis.searched)
    assert any("Changed bytes in a file" in one for one in diagnosis.not_tried)
    zeros = diagnose(inputs(folder), ZEROS, max_changes=1)
    assert any("A digest of zeros" in one for one in zeros.not_tried)


def test_the_budget_ends_the_search(folder: Path) -> None:
    started = time.monotonic()
    diagnosis = diagnose(inputs(folder), bytes(range(48)), budget=0.2)
    assert time.monotonic() - started < 30
    assert diagnosis.status == "unexplained"
    assert "budget of 0.2 seconds" in diagnosis.stopped
    assert any("the search ended early" in one for one in diagnosis.not_tried)


def test_an_interrupt_returns_what_is_known(folder: Path) -> None:
    def interrupt(progress: Any) -> None:
        if progress.tried > 700:
            raise KeyboardInterrupt

    diagnosis = diagnose(inputs(folder), bytes(range(48)), progress=interrupt)
    assert (diagnosis.status, diagnosis.stopped) == ("unexplained", "it was interrupted")
    assert len(diagnosis.searched) > 5


def test_all_numbers_of_cpus_come_from_one_walk(folder: Path) -> None:
    digests = space_of(folder).cpu_digests(300)
    for count in (1, 2, 17, 300):
        assert digests[count - 1] == digest_of(folder, num_cpus=count)
    assert (
        walk(ZEROS, (hashlib.sha384(bytes(4096)).digest(), None), 300)
        == walk(ZEROS, (hashlib.sha384(bytes(4096)).digest(), None), 1)
        == [three_lines([(2, 0xFFFFFFFFF000, bytes(4096))])]
    )
    assert space_of(folder, firmware=str(folder / "bare.fd")).cpu_digests(3) == []  # no place for the kernel's hashes


def test_single_changes_of_a_large_firmware_are_quick(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "fw.fd").write_bytes(snp_image(pages=1024, seed=9))
    started = time.process_time()
    diagnosis = diagnose(inputs(folder, firmware=str(tmp_path / "fw.fd")), bytes(range(48)), max_changes=1)
    assert time.process_time() - started < 1
    assert diagnosis.tried > 700


@pytest.mark.parametrize(
    ("changes", "options", "word"),
    [
        ({"num_cpus": 0}, {}, "num_cpus"),
        ({"num_cpus": "many"}, {}, "num_cpus"),
        ({"firmware": None}, {}, "firmware"),
        ({"firmware": "/nowhere"}, {}, "no such file"),
        ({"kernel": "/nowhere"}, {}, "no such file"),
        ({"profile": "vax"}, {}, "qemu-legacy"),
        ({"guest_features": -1}, {}, "guest_features"),
        ({"kernel": None}, {}, "cmdline|initrd"),
        ({"cpu_signature": None, "cpu_family": 25}, {}, "cpu_model"),
        ({"svsm": "/nowhere"}, {}, "svsm"),
        ({}, {"max_changes": 5}, "max_changes"),
        ({}, {"budget": 0}, "budget"),
        ({}, {"candidates": "/nowhere"}, "candidates"),
    ],
)
def test_misuse_is_one_line(changes: dict[str, Any], options: dict[str, Any], word: str, folder: Path) -> None:
    with pytest.raises(InputError, match=word) as caught:
        diagnose(inputs(folder, **changes), ZEROS, **options)
    assert "\n" not in str(caught.value)


def test_unknown_inputs_are_an_error_of_the_caller(folder: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        diagnose(inputs(folder, colour=1), ZEROS)


def a_report(measurement: bytes, **fields: Any) -> Any:
    raw = bytearray(shared_data("snp", "milan-v2-report.bin").read_bytes())
    report = parse_report(bytes(raw))
    return report.replace(measurement=measurement, **fields)


def test_a_report_is_searched_and_its_policy_told(folder: Path) -> None:
    report = a_report(digest_of(folder, guest_features=0x21), policy=0xB0000)
    diagnosis = diagnose(inputs(folder), report)
    assert only(diagnosis).found == {"guest_features": 0x21}
    assert any("DEBUG" in alarm and "clear text" in alarm for alarm in diagnosis.alarms)
    assert any("signature of the report is not checked" in note for note in diagnosis.notes)
    quiet = diagnose(inputs(folder), a_report(digest_of(folder), policy=0x30000))
    assert (quiet.status, quiet.alarms) == ("match", ())
    odd = diagnose(inputs(folder), a_report(digest_of(folder), policy=0x10000))
    assert any("bit 17" in alarm for alarm in odd.alarms)
    unsigned = diagnose(inputs(folder), a_report(digest_of(folder), key_info=7 << 2))
    assert any("anyone can make such a report" in alarm for alarm in unsigned.alarms)


def options(folder: Path, **changes: Any) -> list[str]:
    given = {"ovmf": folder / "fw.fd", "vcpus": 2, "vcpu_type": "EPYC-v4", "kernel": folder / "kernel"}
    given |= {"initrd": folder / "initrd", "append": CMDLINE, **changes}
    words = ["diagnose", "--mode", "snp"]
    for name, value in given.items():
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return words


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"vcpu_type": "EPYC-Genoa-v2"}, ["--vcpu-type EPYC-Genoa-v2 EPYC-Milan"]),
        ({"vcpu_type": None}, ["--vcpu-type nothing EPYC-Milan"]),
        ({"vcpu_type": None, "vcpu_sig": "0xa10f10"}, ["--vcpu-sig 0xa10f10 (EPYC-Genoa) 0xa00f11 (EPYC-Milan)"]),
        (
            {"vcpu_type": None, "vcpu_family": 25, "vcpu_model": 17, "vcpu_stepping": 0},
            ["--vcpu-model 17 (0x11) 1", "--vcpu-stepping 0 1"],
        ),
    ],
)
def test_a_cpu_is_named_by_the_options_that_gave_it(
    given: dict[str, Any], rows: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reported = digest_of(folder, cpu_signature=MILAN).hex()
    assert main([*options(folder, **given), "-m", reported]) == 1
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in shown if line.startswith("--vcpu-")] == rows


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reported = digest_of(folder, guest_features=0x21).hex()
    assert main([*options(folder), "--measurement", reported]) == 1
    shown = capsys.readouterr().out
    assert "EXPLAINED: with 1 change the computed launch digest equals the reported one" in shown
    assert "--guest-features" in shown
    assert "F01" in shown
    assert max(map(len, shown.splitlines())) <= 104
    assert main([*options(folder, guest_features=0x21), "-m", reported, "--jobs", "2"]) == 0
    captured = capsys.readouterr()
    assert "MATCH: the computed launch digest equals" in captured.out
    assert "--jobs has no effect" in captured.err
    assert main([*options(folder, vcpus=None, vcpu_type=None), "-m", reported, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert list(data) == [
        *("status", "explanations", "tried", "seconds", "searched", "not-tried", "stopped", "alarms", "notes")
    ]
    assert data["explanations"][0]["changes"] == [
        {"input": "cpu-signature", "given": None, "found": EPYC},
        {"input": "guest-features", "given": 1, "found": 0x21},
        {"input": "num-cpus", "given": None, "found": 2},
    ]
    assert main([*options(folder), "-m", bytes(range(48)).hex(), "--max-changes", "1"]) == 1
    shown = capsys.readouterr().out
    assert "UNEXPLAINED: no change that was tried makes the computed launch digest equal" in shown
    assert "Ruled out" in shown
    assert "Not tried" in shown


def test_the_command_with_an_svsm(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reported = sevlab.load_snp_launch(**svsm_inputs(folder, num_cpus=1)).digest.hex()
    words = options(
        folder, kernel=None, initrd=None, append=None, svsm=folder / "images" / "svsm.bin", vars_size=VARS, vcpus=4
    )
    for mode in ("snp", "snp:svsm"):
        assert main([*words, "-m", reported, "--mode", mode]) == 1
        assert "F10" in capsys.readouterr().out


def test_the_command_with_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "report.bin"
    file.write_bytes(a_report(digest_of(folder), policy=0xB0000).to_bytes())
    words = [*options(folder), "--report", str(file)]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out) | {"seconds": 0}
    assert main([word for word in [*words, "--json"] if word not in ("--mode", "snp")]) == 0  # a report implies it
    assert json.loads(capsys.readouterr().out) | {"seconds": 0} == said
    assert main(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "MATCH" in shown
    assert "sets DEBUG" in shown
    assert "not checked here; sevlab report verify" in shown


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--measurement", "ab"], "--measurement"),
        ([], "--measurement"),
        (["--measurement", "00" * 48, "--report", "x"], "--report"),
        (["--report", "/nowhere"], "no such file"),
        (["--mode", "vax"], "one of sev, seves, snp, snp:svsm"),
        (["--mode", "snp:ovmf-hash"], "firmware alone"),
        (["--mode", "snp:svsm", "-m", "00" * 48], "--svsm"),
        (["-m", "00" * 48, "--max-changes", "9"], "--max-changes"),
        (["-m", "00" * 48, "--budget", "soon"], "--budget"),
        (["-m", "00" * 48, "--vcpu-type", "VAX"], "--vcpu-type"),
        (["-m", "00" * 48, "--candidates", "/nowhere"], "--candidates"),
        (["-m", "00" * 48, "--policy", "1"], "unknown option"),
    ],
)
def test_misuse_of_the_command_is_one_line(
    words: list[str], what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(folder), *words]) == 2
    captured = capsys.readouterr()
    assert what in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_example_of_the_manual(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parent.parent.parent
    monkeypatch.chdir(root)
    manual = (root / "docs" / "diagnose.md").read_text(encoding="utf-8")
    command = manual[manual.index("    sevlab diagnose --mode snp --report") :].partition("\n\n")[0]
    assert main(command.replace("\\\n", " ").split()[1:]) == 1
    shown = capsys.readouterr().out
    assert "EXPLAINED: with 1 change" in shown
    assert all(key in shown for key in ("F05", "F04"))


def test_legacy_modes_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    samples = Path(__file__).parent.parent.parent / "notebooks" / "samples"
    words = ["diagnose", "--measurement", "nG00M80x/oeGcu58QHcX1gFFo/ZX1OciiYHXtUqQdgFAQUJDREVGR0hJSktMTU5P"]
    words += ["--api-major", "0", "--api-minor", "22", "--build-id", "19", "--policy", "1"]
    words += ["--firmware", str(samples / "firmware.fd"), "--tk", str(samples / "tk.bin")]
    shown = []
    for mode in ([], ["--mode", "sev"], ["--mode=seves"]):
        assert main([*words, *mode]) == 1
        shown.append(capsys.readouterr().out.split("Tried")[0])
    assert len(set(shown)) == 1
    assert "--build-id" in shown[0]
