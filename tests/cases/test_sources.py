"""Short texts from a host: domlaunchsecinfo, QMP, dmesg."""

from __future__ import annotations

import html
import itertools
import json
import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.attestation.byte_forms import describe
from sevlab.cases.capture import plain
from sevlab.cases.domain_xml import parse_domain
from sevlab.cases.qemu_cmdline import parse_command_line
from sevlab.cases.recognize import parse_anything
from sevlab.cases.sources import parse_dmesg, parse_domlaunchsecinfo, parse_qmp
from sevlab.errors import InputError
from sevlab.widgets.debugger import _CASE as IS_CASE
from tests.cases.sample_texts import (
    DMESG,
    DOMAIN,
    MEASUREMENT,
    QMP,
    REPORTED,
    SECINFO,
    remarks,
    values,
)
from tests.soak import pairs


def test_domlaunchsecinfo_is_read():
    capture = parse_domlaunchsecinfo(SECINFO)
    assert values(capture) == REPORTED
    assert capture.remarks == ()
    assert capture.chosen["api_minor"].origin == "--domlaunchsecinfo sev-api-minor"


def test_the_measurement_alone_is_what_older_libvirt_prints():
    capture = parse_domlaunchsecinfo(f"sev-measurement: {MEASUREMENT}\r\n")
    assert values(capture) == {"measurement": MEASUREMENT}
    assert [one.name for one in capture.missing][:4] == ["api_major", "api_minor", "build_id", "policy"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sev-api-major: 256", "sev-api-major is not used: received '256'"),
        ("sev-measurement: AAAA", "3 bytes"),
        ("sev-policy: -1", "sev-policy is not used"),
        ("sev-frobnicate: 1", "sev-frobnicate is not known"),
        ("virsh # domlaunchsecinfo web", "1 other line(s)"),
    ],
)
def test_odd_parameters_become_remarks(line, words):
    capture = parse_domlaunchsecinfo(SECINFO + line + "\n")
    assert words in remarks(capture)
    assert {name: values(capture)[name] for name in REPORTED} == REPORTED


def test_a_qmp_transcript_is_read():
    capture = parse_qmp(QMP)
    assert values(capture) == REPORTED
    assert capture.remarks == ()


@given(
    st.permutations(["enabled", "api-minor", "state", "api-major", "build-id", "policy"]), st.booleans(), st.booleans()
)
def test_a_qmp_answer_is_read_in_any_order_and_shape(keys, pretty, bare):
    answer = {"enabled": True, "api-minor": 22, "state": "running", "api-major": 0, "build-id": 13, "policy": 1}
    document = {key: answer[key] for key in keys}
    text = json.dumps(document if bare else {"return": document}, indent=2 if pretty else None)
    capture = parse_qmp(f'(QEMU) query-sev {{}} "\n{text}\n<- {{"return": {{"data": "{MEASUREMENT}"}}}}')
    assert values(capture) == REPORTED


def test_the_last_of_several_answers_counts_and_the_others_are_told():
    capture = parse_qmp(QMP + QMP.replace('"build-id": 13', '"build-id": 14'))
    assert values(capture)["build_id"] == 14
    [one] = capture.contradictions
    assert (one.name, [other.value for other in one.others]) == ("build_id", [13])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"return": {"enabled": false, "api-major": 0}}', "not enabled"),
        ('{"return": {"enabled": true, "state": "launch-update"}}', "was not measured yet"),
        ('{"error": {"class": "GenericError", "desc": "SEV is not enabled"}}', "SEV is not enabled"),
        ('{"error": 3}', "error: 3"),
        ('{"return": {"data": "' + "A" * 280 + '"}}', "is not used"),
        ('{"return": {"data": "' + "A" * 276 + "AA==" + '"}}', "attestation report of 208 bytes"),
        ('{"return": {"data": 5}}', "nothing was understood"),
        ('{"return": {"api-major": 1e99}}', "received float"),
        ('{"return": {"api-major": ' + "9" * 4000 + "}}", "a huge number"),
        ('{"return": {"api-major": ' + "9" * 5000 + "}}", "is not a JSON object"),
        ('{"return": [1, 2]}', "nothing was understood"),
        ('{"return": {"data": "', "is not a JSON object"),
    ],
)
def test_odd_answers_become_remarks(text, words):
    assert words in remarks(parse_qmp(text))


def test_broken_pieces_do_not_hide_what_follows():
    assert values(parse_qmp("{broken\n" + QMP))["measurement"] == MEASUREMENT
    assert "too much" in remarks(parse_qmp("{broken\n" * 100 + QMP))


def test_dmesg_is_read():
    capture = parse_dmesg(DMESG)
    assert values(capture) == {"api_major": 1, "api_minor": 53, "build_id": 5}
    assert "SEV enabled" in remarks(capture)
    assert values(parse_dmesg(DMESG.replace("SEV API", "SEV-SNP API"))) == values(capture)
    assert "nothing was understood" in remarks(parse_dmesg("[0.0] Linux"))
    assert "failed" in remarks(parse_dmesg("[1.0] ccp 0000:47:00.1: SEV: failed to INIT error 0x3"))


# Whatever people have

VALUES = {"measurement": MEASUREMENT, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}
WRITTEN = {
    "camel JSON": json.dumps({"apiMajor": 0, "apiMinor": 22, "buildID": 13, "policy": 1, "measurement": MEASUREMENT}),
    "JSON with a log": json.dumps(
        {"log": "on", "apiMajor": 0, "apiMinor": 22, "buildID": 13, "policy": 1, "measurement": MEASUREMENT}
    ),
    "snake JSON": json.dumps(
        {"api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1, "measurement": MEASUREMENT}
    ),
    "Python": repr({"sev-measurement": MEASUREMENT, "sev-api-major": 0, "sev-api-minor": 22, "sev-build-id": 13})[:-1]
    + ", 'sev-policy': 1}",
    "YAML": f"measurement: {MEASUREMENT}\napiMajor: 0\napiMinor: 22\nbuildId: 13\npolicy: 0x1\n",
    "Go": f"{{APIMajor:0 APIMinor:22 BuildID:13 Policy:1 Measurement:{MEASUREMENT}}}",
    "shell": f"SEV_MEASUREMENT={MEASUREMENT}\nSEV_API_MAJOR=0\nSEV_API_MINOR=22\nSEV_BUILD_ID=13\nSEV_POLICY=1\n",
    "upper": SECINFO.upper().replace(MEASUREMENT.upper(), MEASUREMENT),
    "words": f"SEV measurement: {MEASUREMENT}\nAPI major: 0\nAPI minor: 22\nBuild ID: 13\nPolicy: 0x1\n",
    "tabs": SECINFO.replace(":", "\t"),
    "a table": re.sub(r"(?m)^(\S+)\s*:", r"\1  |", SECINFO.strip()),
    "a container's log": re.sub("(?m)^", "vm  | ", SECINFO.strip()),
    "Markdown, bold": re.sub(r"(?m)^(\S+)\s*:", r"**\1**:", SECINFO),
    "sevctl": f"--api-major 0 --api-minor 22 --build-id 13 --policy 1 --launch-measure-blob {MEASUREMENT}",
    "options": f"sevctl x --measurement {MEASUREMENT} --api-major 0 --api-minor 22 --build-id 13 --policy 1 --tk tk",
    "journald": "".join(json.dumps({"_PID": "7", "MESSAGE": line}) + "\n" for line in SECINFO.splitlines()),
    "docker's log": "".join(
        json.dumps({"log": f"{line}\n", "stream": "stdout"}) + "\n" for line in SECINFO.splitlines()
    ),
    "wrapped": SECINFO.replace(MEASUREMENT, f"{MEASUREMENT[:40]}\n{MEASUREMENT[40:]}"),
    "wrapped and indented": SECINFO.replace(MEASUREMENT, f"{MEASUREMENT[:60]}\n    {MEASUREMENT[60:]}"),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_reported_values_are_read_by_name_in_any_form(form):
    for read in (parse_domlaunchsecinfo, parse_qmp):
        if read is parse_qmp and form.startswith("wrapped"):
            continue
        assert values(read(plain(WRITTEN[form]))) == VALUES


def test_a_measurement_alone_is_one_and_hex_digits_alone_may_be_a_key():
    assert values(parse_domlaunchsecinfo(f'"{MEASUREMENT}"\n')) == {"measurement": MEASUREMENT}
    assert values(parse_domlaunchsecinfo("1f" * 32)) == {}


def test_qemus_monitor_names_all_but_the_policy():
    text = "(qemu) info sev\nSEV type: sev\nstate: launch-secret\nbuild: 15\napi version: 0.24\ndebug: off\n"
    for read in (parse_domlaunchsecinfo, parse_qmp):
        capture = read(text)
        assert values(capture) == {"api_major": 0, "api_minor": 24, "build_id": 15}
        assert "does not print the policy" in remarks(capture)


def test_qemus_monitor_of_a_snp_guest_has_its_policy():
    text = "SEV type: sev-snp\r\nstate: running\r\nbuild: 21\r\napi version: 1.55\r\nSNP policy: 0x30000\r\n"
    for capture in (parse_domlaunchsecinfo(text), parse_qmp(json.dumps({"return": text, "id": "libvirt-9"}))):
        found = values(capture)
        assert (found["mode"], found["guest"], int(str(found["snp_guest_policy"]), 0)) == ("snp", "sev-snp", 0x30000)
        assert "policy" not in found
        assert "does not print the policy" not in remarks(capture)


def test_a_domain_is_read_out_of_what_is_around_it():
    for text in (f"# virsh dumpxml g\n{DOMAIN}\n#", f"```xml\n{DOMAIN}```\n", plain(html.escape(DOMAIN))):
        assert values(parse_domain(text)) == values(parse_domain(DOMAIN))


def test_dmesg_without_a_colon_is_read_and_a_guest_s_is_named():
    assert values(parse_dmesg("ccp 0000:02:00.1: SEV API 0.22 build:7")) == {
        "api_major": 0,
        "api_minor": 22,
        "build_id": 7,
    }
    assert "from a guest's kernel" in remarks(parse_dmesg("Memory Encryption Features active: AMD SEV SEV-ES"))


def test_several_kinds_in_one_paste_add_up():
    found = values(parse_anything(f"The domain:\n{DOMAIN}\nand what it said:\n{SECINFO}"))
    assert {name: found[name] for name in REPORTED} == REPORTED
    assert found["firmware"] == "/usr/share/edk2/ovmf/OVMF.fd"
    assert values(parse_anything(QMP)) == REPORTED
    assert values(parse_anything(MEASUREMENT)) == {"measurement": MEASUREMENT}


COMMAND = "/usr/bin/qemu-kvm -machine q35,confidential-guest-support=s -object sev-guest,id=s,policy=1 -smp 3"
SECRET = f'-object {{"qom-type":"secret","id":"k","data":"{"A" * 64}","format":"base64"}}'
KINDS = {"xml": DOMAIN, "domlaunchsecinfo": SECINFO, "dmesg": DMESG, "qemu-cmdline": COMMAND, "qmp": QMP}


@pytest.mark.parametrize("names", list(itertools.permutations(KINDS, 2)), ids=",".join)
def test_any_two_kinds_in_one_paste_say_what_both_say(names):
    first, second = (parse_anything(KINDS[name]) for name in names)
    both = parse_anything("\n\n".join(KINDS[name] for name in names))
    assert {one.source for one in both.found} == set(names)
    assert values(both) == values(first + second)


def test_a_secret_on_a_command_line_is_no_measurement():
    found = values(parse_anything(f"{COMMAND} {SECRET}\n{QMP}"))
    assert found["measurement"] == MEASUREMENT
    assert "measurement" not in values(parse_anything(f"{COMMAND} {SECRET}"))


def test_two_domains_are_not_chosen_from():
    two = DOMAIN + "\n" + DOMAIN.replace("OVMF.fd", "OTHER.fd")
    for text in (two, f"# virsh dumpxml a\n{two}", f"# virsh dumpxml a\n{DOMAIN}\n# virsh dumpxml b\n{DOMAIN}"):
        for read in (parse_anything, parse_domain):
            with pytest.raises(InputError, match="XML of 2 domains"):
                read(text)


def test_a_domain_inside_a_domain_is_not_the_domain():
    inner = "<metadata><domain><os><loader>/evil.fd</loader></os></domain></metadata></domain>"
    for read in (parse_anything, parse_domain):
        assert values(read(DOMAIN.replace("</domain>", inner))) == values(parse_domain(DOMAIN))


def test_the_fields_of_a_report_are_no_evidence_of_sev():
    fields = {"version": 3, "guest_svn": 0, "policy": 196608, "current": {"major": 1, "minor": 55, "build": 21}}
    for text in (json.dumps(fields), "Guest SVN: 0\nGuest Policy: 0x30000\nBuild: 21\n"):
        for read in (parse_qmp, parse_domlaunchsecinfo):
            assert values(read(text)) == {}
    with pytest.raises(InputError, match="the fields of a report"):
        parse_anything("Guest SVN: 0\nGuest Policy: 0x30000\nBuild: 21\n")


def test_no_part_of_a_value_is_taken_for_it():
    capture = parse_domlaunchsecinfo(f"measurement: {MEASUREMENT}\npolicy: 0x1_0000\nbuild: 13_debug\n")
    assert values(capture) == {"measurement": MEASUREMENT}
    assert "received '13_debug'" in remarks(capture)


def test_half_of_an_answer_is_named_as_one():
    text = json.dumps({"return": {"enabled": True, "build-id": 13, "policy": 32769}})
    assert "is not a JSON object" in remarks(parse_qmp(text[:-4]))
    assert "is not a JSON object" not in remarks(parse_qmp(text.replace('"', "'")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("virt-install --name g1 --launchSecurity type=sev", "virt-install --print-xml"),
        ("[    0.1] Memory Encryption Features active: AMD SEV", "a guest's kernel log"),
        ("[    1.0] sev-guest sev-guest: Initialized SEV guest driver", "a guest's kernel log"),
        ("error: Operation not supported: Launch security is not enabled", "an error of virsh"),
        ("<!doctype html><p>404", "an HTML page"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "sevlab report verify"),
        (f"measurement: {MEASUREMENT}\npolicy: 1\npolicy: 5\n", "policy with two values"),
        ("hello", "received 'hello'"),
        ("", "nothing"),
    ],
)
def test_what_is_no_evidence_is_named(text, words):
    with pytest.raises(InputError) as caught:
        parse_anything(text)
    assert words in str(caught.value)


#: What is read a little further at each line, tag or quote: a reader that begins anew at each would take hours.
RUNS = (
    *("\n", "\r\n", " \n", "\t", " ", "a", "A ", "0", "0x", "00 ", "-", "- a ", "<pre>", "<domain "),
    *("<domain>", "</domain>", "<a ", "&lt;", "> ", "| ", "{", "{\n", '{"', "[", '"', '"a",', "'", "`", "$a "),
    *("(", "a=(", "a+=(", "\\", "\\\n", '.arg("', "=", ": ", "x: 0x", "qemu-system-x86_64 "),
    *("qemu-system-x86_64 $a\n", '"MESSAGE": "', "2026-01-01T00:00:00Z ", "abc | ", '"-a b" ', "a= ", "b'"),
    *("eyJhbGci.", "sev", "sev-measurement:\n", "measurement: a\n\n", "error: ", "args: ", "* ", "```", "#"),
    *("//", "0000 0000 ", "[ 1.2] a: ", "`00000000", "%2B", "=\n", "!!binary |\n a\n", '\\"'),
    *("# qemu-kvm -m \n", "'qemu-kvm -m ' failed", "qemu-kvm\0-m\0", "> > "),
)
PREFIXES = ("", "{", "<pre>", "sev-measurement: abcdef", "qemu-system-x86_64 ", '"', "[", "x = ")


@pytest.mark.parametrize(("run", "prefix"), pairs(RUNS, PREFIXES))
def test_a_long_run_of_one_thing_is_read_once(run: str, prefix: str) -> None:
    text = prefix + (run * 60_000)[:60_000]
    begun = time.process_time()
    for read in (parse_anything, parse_command_line, parse_domain, parse_domlaunchsecinfo, parse_qmp, parse_dmesg):
        with suppress(InputError):
            read(text)
    assert describe(text.encode(), lambda raw: False)
    assert not IS_CASE.search(text)
    assert time.process_time() - begun < 8  # less than one; minutes if anything is read over and over
