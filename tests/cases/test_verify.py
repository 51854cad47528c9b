"""Verifying a case: its files, its launch, its report, its explanation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sevlab.cases.bundle import open_case, pack_case
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import read_case, write_case
from sevlab.cases.redact import redact_case
from sevlab.cases.verify import explain_case, verify_case
from sevlab.errors import InputError
from sevlab.labs.snp_samples import snp_report
from sevlab.launch.inputs import Sha256
from tests.cases.sample_cases import at, case_of, explained, inputs_of, trust
from tests.paths import SAMPLES


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


def test_what_contradicts_a_report_or_stands_beside_another_launch_is_not_passed_over() -> None:
    how = {"roots": trust(), "at": "2026-01-01"}
    for kind in ("snp", "report"):
        assert verify_case(case_of(kind, reported_measurement=snp_report().measurement), **how).matches
        with pytest.raises(InputError, match="reported_measurement: received another one than the report has"):
            verify_case(case_of(kind, reported_measurement=bytes(48)), **how)
    for name, value in {**inputs_of("report"), "snp_vmpl": 0}.items():
        if name != "mode":
            with pytest.raises(InputError, match=f"{name}: received it in a case of SEV; needed a case of SEV-SNP"):
                verify_case(case_of("sev", **{name: value}))


def test_a_changed_file_does_not_pass(tmp_path: Path) -> None:
    firmware = tmp_path / "f.fd"
    firmware.write_bytes((SAMPLES / "firmware.fd").read_bytes())
    case = case_of("sev", firmware=str(firmware))
    firmware.write_bytes(b"other" * 100)
    verdict = verify_case(case)
    assert not verdict.matches
    assert "files of this case that are not the recorded ones: 1" in str(verdict)
    with pytest.raises(InputError, match="has changed"):
        pack_case(case, str(tmp_path / "x.sevcase"))
    with pytest.raises(InputError, match="has changed"):
        redact_case(case, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["f.fd"]


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
