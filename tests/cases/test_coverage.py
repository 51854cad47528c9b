"""Every part of a configuration has the label it deserves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.cases.case import Case
from sevlab.cases.case_toml import read_case
from sevlab.cases.coverage import (
    BREAKS,
    IN_REPORT,
    MARKS,
    MEASURED,
    NOT_MEASURED,
    RULES,
    Coverage,
    cover_case,
    cover_command_line,
    cover_domain,
)
from sevlab.cli import main
from sevlab.errors import InputError, SevlabError
from tests.cases.sample_texts import DOMAIN, PS, SEEDS, SHELL


def label(coverage: Coverage, words: str) -> str:
    """Return the label of the one part that holds *words*."""
    [line] = [line for line in coverage.lines if words in line.words]
    return line.label


def qemu(words: str) -> Coverage:
    machine = "-machine q35,confidential-guest-support=sev0"
    return cover_command_line(f"qemu-system-x86_64 {machine} -drive if=pflash,file=OVMF.fd {words}")


GUEST = "-object sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1,dh-cert-file=d,session-file=s"


def test_a_whole_command_line():
    coverage = cover_command_line(SHELL)
    labels = {line.words.strip(): line.label for line in coverage.lines}
    assert {words for words, own in labels.items() if own == MEASURED} == {
        "-cpu EPYC-Rome-v2",
        "-smp cores=2",
        "threads=2",
        "policy=0x5",
        "kernel-hashes=on",
        "-drive if=pflash,unit=0,file=/fw/my,,OVMF.fd,readonly=on",
        "-kernel bzImage",
        "-initrd initrd one.img",
        "-append console=ttyS0  root=/dev/sda1",
    }
    assert labels["-drive if=none,file=disk,,1.qcow2,id=d0"] == NOT_MEASURED
    assert coverage.broken == []


@pytest.mark.parametrize(
    ("words", "part", "expected"),
    [
        (GUEST, "OVMF.fd", MEASURED),
        (GUEST, "cbitpos", NOT_MEASURED),
        (GUEST, "reduced-phys-bits", NOT_MEASURED),
        (GUEST, "dh-cert-file", NOT_MEASURED),
        (GUEST, "session-file", NOT_MEASURED),
        (GUEST, "confidential-guest-support", NOT_MEASURED),
        (f"{GUEST},policy=0x1", "policy", MEASURED),
        (f"{GUEST},policy=0x1 -smp 4", "-smp", NOT_MEASURED),
        (f"{GUEST},policy=0x5 -smp 4", "-smp", MEASURED),
        (f"{GUEST},policy=0x5 -smp 4,maxcpus=8", "maxcpus", NOT_MEASURED),
        (f"{GUEST},policy=0x1 -cpu EPYC", "-cpu", NOT_MEASURED),
        (f"{GUEST},policy=0x5 -cpu EPYC,+pmu", "-cpu", MEASURED),
        (f"{GUEST},policy=0x5 -cpu EPYC,+pmu", "+pmu", NOT_MEASURED),
        (f"{GUEST} -hda disk.img", "-hda", NOT_MEASURED),
        (f"{GUEST} disk.img", "disk.img", NOT_MEASURED),
        (f"{GUEST} -pflash VARS.fd", "VARS.fd", BREAKS),
        (f"{GUEST} -drive if=pflash,unit=1,file=VARS.fd", "VARS.fd", BREAKS),
        (f"{GUEST} -drive if=pflash,unit=3,file=more.fd", "more.fd", BREAKS),
        (f"{GUEST} -bios x.fd", "-bios", NOT_MEASURED),
        (f"{GUEST} -kernel k", "-kernel", NOT_MEASURED),
        (f"{GUEST} -kernel k", "(absent) kernel-hashes", BREAKS),
        (f"{GUEST},kernel-hashes=on -kernel k", "-kernel", MEASURED),
        (f"{GUEST},kernel-hashes=on -kernel k -append x", "-append", MEASURED),
        (f"{GUEST},kernel-hashes=on -append x", "-append", NOT_MEASURED),
        (f"{GUEST},kernel-hashes=on", "kernel-hashes", NOT_MEASURED),
        (f"{GUEST},kernel-hashes=off -kernel k -initrd i", "-initrd", NOT_MEASURED),
        (f"{GUEST} -incoming defer", "-incoming", BREAKS),
        (f"{GUEST} -readconfig c", "-readconfig", BREAKS),
        (f"{GUEST} -m 4G", "-m 4G", NOT_MEASURED),
        (f"{GUEST} -device loader,file=x", "loader", NOT_MEASURED),
        (f"{GUEST} -frobnicate 7", "-frobnicate 7", NOT_MEASURED),
        ("-object rng-random,id=sev0 -object sev-guest,id=other", "OVMF.fd", NOT_MEASURED),
        ("-object rng-random,id=sev0 -object sev-guest,id=other", "(absent) -machine", BREAKS),
    ],
)
def test_labels_of_a_command_line(words, part, expected):
    assert label(qemu(words), part) == expected


def test_a_guest_without_sev_is_said_to_be_one_only_where_all_was_understood():
    plain = "qemu-system-x86_64 -machine q35 -drive if=pflash,file=OVMF.fd -m 4G"
    assert label(cover_command_line(plain), "(absent) -object sev-guest") == BREAKS
    assert label(cover_command_line(plain), "OVMF.fd") == NOT_MEASURED
    for spoiled in (f"{plain} sev-guest,id=s", f"{plain} -objct x", plain.replace("q35", "q35,memory-encryption=sev0")):
        with pytest.raises(InputError, match="not all was understood"):
            cover_command_line(spoiled)
    with pytest.raises(InputError, match="virt-install --print-xml"):
        cover_command_line("virt-install --name g1 --launchSecurity type=sev,policy=39")
    with pytest.raises(InputError, match="not all was understood"):
        cover_domain("<domain><launchSecuritie type='sev'/></domain>")


def test_bios_alone_is_measured_and_no_firmware_breaks():
    start = "qemu-kvm -machine q35,confidential-guest-support=sev0 -object sev-guest,id=sev0"
    assert label(cover_command_line(f"{start} -bios OVMF.fd"), "-bios") == MEASURED
    assert label(cover_command_line(start), "(absent) firmware") == BREAKS


def test_the_unknown_is_said_to_be_unknown():
    [line] = [line for line in qemu(f"{GUEST} -frobnicate").lines if line.words == "-frobnicate"]
    assert "Not known to sevlab" in line.reason


def test_libvirts_block_nodes_are_the_firmware():
    coverage = cover_command_line(PS)
    assert label(coverage, '"filename":"/fw/OVMF.fd"') == MEASURED
    assert label(coverage, "pflash0=") == NOT_MEASURED


@pytest.mark.parametrize(
    ("old", "new", "part", "expected"),
    [
        ("", "", "<loader", MEASURED),
        ("", "", "<kernel>", MEASURED),
        ("", "", "<cmdline>", MEASURED),
        ("", "", "<policy>", MEASURED),
        ("", "", "kernelHashes", MEASURED),
        ("", "", "<cbitpos>", NOT_MEASURED),
        ("", "", "<vcpu", MEASURED),
        ("", "", "<cpu ", MEASURED),
        ("", "", "<type ", NOT_MEASURED),
        ("", "", "<name>", NOT_MEASURED),
        ("0x0005", "0x0001", "<vcpu", NOT_MEASURED),
        ("kernelHashes='yes'", "", "<kernel>", NOT_MEASURED),
        ("kernelHashes='yes'", "", "(absent) kernelHashes", BREAKS),
        ("</os>", "<nvram>/v.fd</nvram></os>", "<nvram>", BREAKS),
        ("</domain>", "<devices><disk/></devices></domain>", "<disk/>", NOT_MEASURED),
        ("type='sev' ", "type='s390-pv' ", "(absent) <launchSecurity", BREAKS),
        ("type='sev' ", "type='s390-pv' ", "<loader", NOT_MEASURED),
        ("</domain>", "<odd/></domain>", "<odd/>", NOT_MEASURED),
    ],
)
def test_labels_of_a_domain(old, new, part, expected):
    assert label(cover_domain(DOMAIN.replace(old, new) if old else DOMAIN), part) == expected


def test_words_handed_to_qemu_are_labelled_as_qemus():
    passed = "".join(f"<q:arg value='{word}'/>" for word in ("-drive", "if=pflash,unit=1,file=v", "-s"))
    text = DOMAIN.replace("<domain ", "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0' ")
    coverage = cover_domain(text.replace("</domain>", f"<q:commandline>{passed}</q:commandline></domain>"))
    assert label(coverage, "<qemu:arg> -drive if=pflash,unit=1") == BREAKS


@pytest.mark.parametrize(("policy", "expected"), [(1, NOT_MEASURED), (5, MEASURED), (None, NOT_MEASURED)])
def test_labels_of_a_case(policy, expected):
    inputs = {"measurement": "x", "api_minor": 1, "firmware": "f", "kernel": "k", "num_cpus": 2, "tik": "t"}
    coverage = cover_case(Case(inputs | ({} if policy is None else {"policy": policy})))
    assert label(coverage, "num-cpus") == expected
    assert [label(coverage, part) for part in ("firmware", "kernel", "api-minor")] == [MEASURED] * 3
    assert [label(coverage, part) for part in ("measurement", "tik")] == [NOT_MEASURED] * 2
    assert label(cover_case(Case({"policy": 1})), "(absent) firmware") == BREAKS


def test_a_snp_guest_is_labelled_word_by_word():
    coverage = cover_command_line(
        "qemu-system-x86_64 -machine q35,confidential-guest-support=s -cpu EPYC-v4 -smp 2 -bios OVMF.fd -kernel k "
        "-object sev-snp-guest,id=s,cbitpos=51,reduced-phys-bits=1,policy=0x30000,host-data=AAAA,kernel-hashes=on,"
        "id-block=AAAA,id-auth=AAAA,author-key-enabled=on,vcek-disabled=off,guest-visible-workarounds=AAAA"
    )
    labels = {line.words.strip().split("=")[0]: line.label for line in coverage.lines}
    assert {name for name, own in labels.items() if own == IN_REPORT} == {
        *("policy", "host-data", "id-block", "id-auth", "author-key-enabled", "vcek-disabled"),
    }
    assert {"kernel-hashes", "-smp 2", "-cpu EPYC-v4", "-bios OVMF.fd"} <= {
        name for name, own in labels.items() if own == MEASURED
    }
    assert labels["guest-visible-workarounds"] == labels["cbitpos"] == NOT_MEASURED
    domain = cover_domain(DOMAIN.replace("type='sev' ", "type='sev-snp' "))
    assert label(domain, "<policy>") == IN_REPORT
    assert label(domain, "<vcpu") == MEASURED
    assert domain.as_dict()["counts"][IN_REPORT] == 1


def test_every_rule_is_sound():
    words = qemu(GUEST).setup.conditions
    for rule in RULES:
        assert rule.label in MARKS
        assert rule.reason.endswith(".")
        assert all(word in words for word in rule.when.split())
        assert all(path == path.strip() and path for path in rule.paths)


def test_the_label_is_told_without_colour():
    text = str(qemu(f"{GUEST} -pflash VARS.fd"))
    assert "[M]" in text.splitlines()[0]
    line = next(line for line in text.splitlines() if "VARS.fd" in line)
    assert line.startswith("!  breaks measurement")


def test_hostile_words_are_escaped():
    view = qemu(f"{GUEST} -name '<script>\x1b[2J'").explain()
    assert "\x1b" not in view.text()
    assert "<script>" not in view.html()


@pytest.mark.parametrize("cover", [cover_domain, cover_command_line])
@given(
    seed=st.sampled_from(["", *SEEDS]),
    cut=st.tuples(st.integers(0, 900), st.integers(0, 60)),
    new=st.text(max_size=30),
)
def test_any_text_gives_labels_or_one_line(cover, seed, cut, new):
    message = ""
    try:
        coverage = cover(seed[: cut[0]] + new + seed[cut[0] + cut[1] :])
    except SevlabError as error:
        message = str(error)
    else:
        assert all(line.reason for line in coverage.lines)
        assert all(character.isprintable() or character == "\n" for character in coverage.explain().text())
        json.dumps(coverage.as_dict())
    assert "\n" not in message


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("xml").write_text(DOMAIN, encoding="utf-8")
    Path("sh").write_text(SHELL, encoding="utf-8")
    Path("c.toml").write_text("format = 2\n[reported]\npolicy = 5\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("words", [["--xml", "xml"], ["--qemu-cmdline", "sh"], ["--case", "c.toml"]])
def test_the_command_labels_and_tells_the_same_as_json(desk, capsys, words):
    assert main(["coverage", *words]) == 0
    text = capsys.readouterr().out
    assert main(["coverage", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert text.count("\nM  measured") == told["counts"][MEASURED]
    assert set(told) - {"firmware"} == {"status", "setup", "counts", "parts"}
    assert ("firmware" in told) == (told["setup"]["enforcement"] != "") == ("Firmware: " in text)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--xml", "xml", "--case", "c.toml"],
        ["--xml", "sh"],
        ["--case", "xml"],
        ["--xml", "none"],
        ["--qemu-cmdline", "/dev/null"],
        ["--frob"],
    ],
)
def test_misuse_ends_in_one_line(desk, capsys, words):
    assert main(["coverage", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("ERROR: ")


def test_a_written_case_is_labelled(desk):
    case = read_case("c.toml")
    assert label(cover_case(case), "policy = 5") == MEASURED


def test_an_empty_command_line_is_refused():
    with pytest.raises(InputError):
        cover_command_line("")
