"""Captures: what sources agree on, what is left out and what is missing; any text gives one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.cases.capture import Capture, Found
from sevlab.cases.case_toml import read_case
from sevlab.cases.domain_xml import parse_domain
from sevlab.cases.qemu_cmdline import parse_command_line
from sevlab.cases.sources import parse_dmesg, parse_domlaunchsecinfo, parse_qmp
from sevlab.cli import main
from sevlab.errors import InputError
from tests.cases.sample_texts import (
    DMESG,
    DOMAIN,
    MEASUREMENT,
    SECINFO,
    SEEDS,
    SHELL,
    values,
)

PARSERS = [parse_domlaunchsecinfo, parse_qmp, parse_domain, parse_command_line, parse_dmesg]


@pytest.mark.parametrize("parser", PARSERS)
@given(text=st.text(max_size=300) | st.text("{}[]\"\\:,<>/=-'\n\0 aq1&;!", max_size=300))
def test_any_text_gives_a_capture_or_one_line(parser, text):
    check(parser, text)


@pytest.mark.parametrize("parser", PARSERS)
@given(seed=st.sampled_from(SEEDS), cut=st.tuples(st.integers(0, 900), st.integers(0, 60)), new=st.text(max_size=20))
def test_damaged_texts_give_a_capture_or_one_line(parser, seed, cut, new):
    check(parser, seed[: cut[0]] + new + seed[cut[0] + cut[1] :])


def check(parser, text):
    try:
        capture = parser(text)
    except InputError as error:
        message = str(error)
    else:
        message = ""
        page = capture.explain().text()
        assert all(character.isprintable() or character in "\n" for character in page)
        json.dumps(capture.as_dict())
        assert str(capture.missing)
    assert "\n" not in message


@pytest.mark.parametrize("parser", PARSERS)
def test_long_texts_are_refused(parser):
    with pytest.raises(InputError, match="characters"):
        parser("x" * (1 << 20) + "x")


def test_remarks_have_an_end():
    assert len(parse_domlaunchsecinfo("sev-x: 1\n" * 5000).remarks) < 50


def test_sources_that_disagree_are_both_named_and_the_guests_own_report_is_taken():
    capture = parse_dmesg(DMESG) + parse_domain(DOMAIN) + parse_domlaunchsecinfo(SECINFO)
    told = {one.name: str(one) for one in capture.contradictions}
    assert set(told) == {"api_major", "api_minor", "build_id", "policy"}
    assert "1 (--domlaunchsecinfo sev-policy) is taken" in told["policy"]
    assert "5 (--xml /domain/launchSecurity/policy)" in told["policy"]


@pytest.mark.parametrize("order", [0, 1])
def test_the_order_of_sources_does_not_matter(order):
    captures = [parse_domain(DOMAIN), parse_domlaunchsecinfo(SECINFO)]
    if order:
        captures.reverse()
    assert values(captures[0] + captures[1])["policy"] == 1


def test_what_is_not_measured_is_left_out():
    plain = parse_domain(DOMAIN.replace("0x0005", "0x0001").replace("kernelHashes='yes'", ""))
    assert set(plain.left_out) == {
        *("kernel", "initrd", "cmdline"),
        *("num_cpus", "cpu_family", "cpu_model", "cpu_stepping"),
    }
    assert set(plain.inputs) == {"policy", "firmware"}
    plain += Capture((Found("kernel", "mine", "option", "option --kernel"),))
    assert plain.inputs["kernel"].value == "mine"


def test_what_is_missing_comes_with_the_command_that_gives_it():
    missing = {one.name: f"{one.why} {one.how}" for one in parse_domain(DOMAIN.replace("EPYC-Milan", "")).missing}
    assert "query-sev-launch-measure" in missing["measurement"]
    assert "--candidates" in missing["firmware"]
    assert "/srv/boot/vmlinuz" in missing["kernel"]
    assert "lscpu" in missing["cpu_family, cpu_model, cpu_stepping"]
    assert "--tik" in missing["tik, tek"]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = {"info": SECINFO.replace("policy     : 1", "policy     : 5"), "xml": DOMAIN, "sh": SHELL, "dmesg": DMESG}
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("images").mkdir()
    for name in ("OVMF.fd", "vmlinuz", "initrd.img"):
        (Path("images") / name).write_bytes(name.encode())
    Path("tik").write_bytes(bytes(16))
    Path("tek").write_bytes(bytes(16))
    return tmp_path


FULL = ["--domlaunchsecinfo", "info", "--xml", "xml", "--candidates", "images", "--tik", "tik", "--tek", "tek"]


def test_capture_writes_a_complete_case(desk, capsys):
    assert main(["capture", *FULL, "-o", "case.toml"]) == 0
    out, err = capsys.readouterr()
    assert "Complete" in out.splitlines()[0]
    assert "firmware *" in out
    assert err == ""
    case = read_case("case.toml")
    assert case.inputs["firmware"] == os.path.join("images", "OVMF.fd")
    assert case.inputs["cmdline"] == "console=ttyS0 root=/dev/vda1 "
    assert case.origin["kernel"] == "--xml /domain/os/kernel /srv/boot/vmlinuz, named by the host"
    assert case.origin["tik"] == "option --tik"
    assert case.changed == []


def test_capture_says_what_is_missing(desk, capsys):
    assert main(["capture", "--xml", "xml", "-o", "case.toml"]) == 0
    out = capsys.readouterr().out
    assert "Incomplete" in out.splitlines()[0]
    assert "virsh domlaunchsecinfo" in out
    assert "firmware" not in read_case("case.toml").inputs


def test_capture_tells_contradictions(desk, capsys):
    assert main(["capture", *FULL, "--dmesg", "dmesg", "-o", "case.toml"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "3 contradictions" in out
    assert "13 (--domlaunchsecinfo sev-build-id) is taken, but there is also 5 (--dmesg line 'SEV API')" in out


def test_capture_as_json(desk, capsys):
    assert main(["capture", *FULL, "--json", "-o", "case.toml"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["case"]) == ("complete", "case.toml")
    assert {"found", "contradictions", "left_out", "missing", "remarks"} <= set(told)


def test_a_case_on_standard_output_is_only_the_case(desk, capsys):
    from sevlab.cases.case_toml import parse_case

    assert main(["capture", *FULL, "-o", "-"]) == 0
    out, err = capsys.readouterr()
    assert parse_case(out, "").inputs["policy"] == 5
    assert "Complete" in err


def test_the_owners_file_wins_over_the_hosts(desk):
    Path("mine.fd").write_bytes(b"mine")
    assert main(["capture", *FULL, "--firmware", "mine.fd", "-o", "case.toml"]) == 0
    case = read_case("case.toml")
    assert case.inputs["firmware"] == "mine.fd"
    assert case.origin["firmware"] == "option --firmware"


def test_an_owners_kernel_that_the_host_does_not_measure_stays_and_is_told(desk, capsys):
    Path("xml").write_text(DOMAIN.replace("kernelHashes='yes'", ""), encoding="utf-8")
    assert main(["capture", *FULL, "--kernel", "images/vmlinuz", "-o", "case.toml"]) == 0
    assert "this can't validate" in " ".join(capsys.readouterr().out.split())
    assert "kernel" in read_case("case.toml").inputs


def test_utf16_from_a_windows_shell_is_read(desk):
    Path("info").write_bytes(SECINFO.encode("utf-16"))
    assert main(["capture", "--domlaunchsecinfo", "info", "-o", "case.toml"]) == 0
    assert read_case("case.toml").inputs["measurement"] == MEASUREMENT


MISUSE = {
    "nothing given": ["-o", "c.toml"],
    "two from standard input": ["--xml", "-", "--qmp", "-", "-o", "c.toml"],
    "json and case on one stream": ["--xml", "xml", "-o", "-", "--json"],
    "no such file": ["--xml", "none", "-o", "c.toml"],
    "a folder": ["--xml", "images", "-o", "c.toml"],
    "nothing understood": ["--qmp", "dmesg", "-o", "c.toml"],
    "not XML": ["--xml", "info", "-o", "c.toml"],
    "no such candidates": ["--xml", "xml", "--candidates", "none", "-o", "c.toml"],
    "no such key": ["--xml", "xml", "--tik", "none", "-o", "c.toml"],
    "both forms of keys": ["--xml", "xml", "--tik", "tik", "--tk", "tek", "-o", "c.toml"],
    "firmware from standard input": ["--xml", "xml", "--firmware", "-", "-o", "c.toml"],
    "no such firmware": ["--xml", "xml", "--firmware", "none", "-o", "c.toml"],
    "over an existing file": ["--xml", "xml", "-o", "info"],
    "over an input": ["--xml", "xml", "-o", "xml", "--force"],
    "over a key": ["--xml", "xml", "--tik", "tik", "-o", "tik", "--force"],
    "into no folder": ["--xml", "xml", "-o", "none/c.toml"],
    "over a folder": ["--xml", "xml", "-o", "images", "--force"],
    "unknown option": ["--xmll", "xml", "-o", "c.toml"],
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_ends_in_one_line(desk, capsys, name):
    Path("snp").write_text("qemu-kvm -object sev-snp-guest,id=s", encoding="utf-8")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert main(["capture", *MISUSE[name]]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    assert out == "" or ("--json" in MISUSE[name] and json.loads(out)["status"] == "unusable")
    assert before == {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def test_without_an_output_it_prints_what_it_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "info").write_text(SECINFO)
    assert main(["capture", "--domlaunchsecinfo", "info"]) == 0
    out = capsys.readouterr().out
    assert MEASUREMENT[:20] in out
    assert out.rstrip().endswith("Nothing was written. To go on: -o CASE")
    assert [path.name for path in tmp_path.iterdir()] == ["info"]
