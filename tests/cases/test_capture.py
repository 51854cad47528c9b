"""What people paste is understood, or told to be odd; never a traceback, never more time or memory than it is worth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.cases.capture import Capture, Found
from sevlab.cases.case_toml import read_case
from sevlab.cases.domain_xml import parse_domain
from sevlab.cases.locate import locate
from sevlab.cases.qemu_cmdline import CommandLine, parse_command_line, split_parts
from sevlab.cases.sources import parse_dmesg, parse_domlaunchsecinfo, parse_qmp
from sevlab.cli import main
from sevlab.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
MEASUREMENT = "7vHlsVKpvBaUHU5jzpNtfLMFAljbBnVrkqO51p3Ny3sZHribEtvolLvSRs0SqW8a"
REPORTED = {"measurement": MEASUREMENT, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}
SECINFO = f"""\
sev-measurement: {MEASUREMENT}
sev-api-major  : 0
sev-api-minor  : 22
sev-build-id   : 13
sev-policy     : 1

"""
QMP = f"""\
{{"QMP": {{"version": {{"qemu": {{"micro": 0, "minor": 2, "major": 7}}}}, "capabilities": ["oob"]}}}}
{{ "execute": "qmp_capabilities" }}
{{"return": {{}}}}
{{ "execute": "query-sev" }}
{{"timestamp": {{"seconds": 1, "microseconds": 2}}, "event": "STOP"}}
{{"return": {{"enabled": true, "api-minor": 22, "handle": 1, "state": "launch-secret", "api-major": 0, "build-id": 13, \
"policy": 1}}}}
{{ "execute": "query-sev-launch-measure" }}
{{
  "return": {{
    "data": "{MEASUREMENT}"
  }},
  "id": "libvirt-15"
}}
"""
DOMAIN = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<domain type='kvm'>
  <name>web</name>
  <vcpu placement='static' current='2'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash' stateless='yes'>/usr/share/edk2/ovmf/OVMF.fd</loader>
    <kernel>/srv/boot/vmlinuz</kernel>
    <initrd>/srv/boot/initrd.img</initrd>
    <cmdline>console=ttyS0 root=/dev/vda1 </cmdline>
  </os>
  <cpu mode='custom'><model fallback='forbid'>EPYC-Milan</model></cpu>
  <launchSecurity type='sev' kernelHashes='yes'>
    <cbitpos>47</cbitpos>
    <reducedPhysBits>1</reducedPhysBits>
    <policy>0x0005</policy>
  </launchSecurity>
</domain>
"""
SHELL = """\
#!/bin/sh
sudo -E /usr/bin/qemu-system-x86_64 \\
  -enable-kvm -cpu EPYC-Rome-v2,+pmu -M q35,vmport=off -smp cores=2,threads=2 \\
  -machine confidential-guest-support=sev0 \\
  -object sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1,policy=0x5,kernel-hashes=on \\
  -drive if=none,file=disk,,1.qcow2,id=d0 \\
  -drive if=pflash,unit=0,file=/fw/my,,OVMF.fd,readonly=on \\
  -kernel bzImage -initrd "initrd one.img" -append "console=ttyS0  root=/dev/sda1 "
"""
PS = """\
libvirt+  4242  1 12 09:00 ?  00:01:02 /usr/bin/qemu-system-x86_64 -name guest=web,debug-threads=on -S \
-blockdev {"driver":"file","filename":"/fw/OVMF.fd","node-name":"libvirt-pflash0-storage"} \
-blockdev {"node-name":"libvirt-pflash0-format","read-only":true,"driver":"raw","file":"libvirt-pflash0-storage"} \
-machine pc-q35-7.2,usb=off,confidential-guest-support=lsec0,pflash0=libvirt-pflash0-format -accel kvm \
-cpu EPYC-Milan,x2apic=on -smp 2,maxcpus=4,sockets=4 -kernel /srv/vmlinuz -append console=ttyS0 root=/dev/vda1 \
-object {"qom-type":"sev-guest","id":"lsec0","cbitpos":47,"reduced-phys-bits":1,"policy":5,"kernel-hashes":true} \
-msg timestamp=on
"""
DMESG = """\
[    4.1] ccp 0000:47:00.1: enabling device (0000 -> 0002)
[    4.2] ccp 0000:47:00.1: SEV API:1.53 build:5
[    4.3] kvm_amd: SEV enabled (ASIDs 100 - 509)
"""


def values(capture: Capture) -> dict[str, object]:
    return {name: one.value for name, one in capture.chosen.items()}


def remarks(capture: Capture) -> str:
    return "\n".join(one.words for one in capture.remarks)


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
        ("sev-snp-policy: 1", "SEV-SNP"),
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
        ('{"return": {"enabled": true, "sev-type": "sev-snp", "snp-policy": 196608}}', "SEV-SNP guest"),
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


def test_a_domain_is_read():
    capture = parse_domain(DOMAIN)
    assert values(capture) == {
        "policy": 5,
        "firmware": "/usr/share/edk2/ovmf/OVMF.fd",
        "kernel": "/srv/boot/vmlinuz",
        "initrd": "/srv/boot/initrd.img",
        "cmdline": "console=ttyS0 root=/dev/vda1 ",
        "num_cpus": 2,
        "cpu_family": 25,
        "cpu_model": 1,
        "cpu_stepping": 1,
        "guest": "sev",
        "kernel_hashes": True,
        "cpu": "EPYC-Milan",
    }
    assert capture.left_out == {}
    assert all(one.named_by_host for one in capture.found if one.name != "policy")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<cbitpos>", "<dhCert>/srv/godh.b64</dhCert><cbitpos>", "dhCert looks like a file name"),
        ("<cbitpos>", "<session>AAAA</session><cbitpos>", "session has 3 bytes; the SEV firmware needs 128"),
        ("<cbitpos>", "<session>???</session><cbitpos>", "session is not base64"),
        ("0x0005", "10", "10 is read as hex 0x10"),
        ("0x0005", "five", "policy is not used"),
        ("type='sev' ", "type='sev-snp' ", "type sev-snp"),
        ("</os>", "<nvram>/v.fd</nvram></os>", "variables are not measured"),
        ("<loader", "<leader", "text that is not XML"),
        ("launchSecurity", "launchSecurities", "does not use SEV"),
        ("current='2'", "current='0'", "at least one virtual CPU"),
    ],
)
def test_odd_domains_become_remarks(old, new, words):
    text = DOMAIN.replace(old, new)
    if words == "text that is not XML":
        with pytest.raises(InputError, match=words):
            parse_domain(text)
    else:
        assert words in remarks(parse_domain(text))


def test_wrapped_base64_is_base64():
    import base64

    session = base64.encodebytes(bytes(128)).decode()
    assert "session" not in remarks(
        parse_domain(DOMAIN.replace("<cbitpos>", f"<session>\n{session}</session><cbitpos>"))
    )


def test_a_domain_inside_virsh_status_is_found():
    inner = DOMAIN.partition("?>")[2]
    assert values(parse_domain(f"<domstatus>{inner}</domstatus>"))["policy"] == 5


BOMB = "<!DOCTYPE l [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{i + 1} '{f'&a{i};' * 10}'>" for i in range(10)) + "]>"
TRAPS = {
    "billion laughs": f"<?xml version='1.0'?>{BOMB}<domain>&a10;</domain>",
    "external entity": "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
    "external dtd": "<!DOCTYPE d SYSTEM 'http://192.0.2.1/x.dtd'><domain/>",
    "parameter entity": "<!DOCTYPE d [<!ENTITY % x SYSTEM 'file:///etc/passwd'> %x;]><domain/>",
    "unknown entity": "<domain>&nbsp;</domain>",
    "nested 300 kB": "<a>" * 100_000,
    "nested 10 MB": "<a>" * 3_500_000,
    "many elements": "<domain>" + "<a/>" * 30_000 + "</domain>",
    "two roots": "<domain/><domain/>",
    "no domain": "<network/>",
    "empty": "",
    "not XML": "sev-policy: 1",
    "zero byte": "<domain>\0</domain>",
    "lone surrogate": "<domain>\udcff</domain>",
}


@pytest.mark.parametrize("name", TRAPS)
def test_trapped_xml_ends_in_one_line(name):
    with pytest.raises(InputError) as caught:
        parse_domain(TRAPS[name])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["billion laughs", "external entity", "nested 10 MB", "many elements"])
@pytest.mark.parametrize("verb", ["capture", "coverage"])
def test_trapped_xml_costs_little(verb, name, tmp_path):
    path = tmp_path / "trap.xml"
    path.write_text(TRAPS[name], encoding="utf-8")
    limits = "import resource; resource.setrlimit(resource.RLIMIT_AS, (400 << 20,) * 2); "
    limits += "resource.setrlimit(resource.RLIMIT_CPU, (5, 5)); "
    words = [verb, "--xml", str(path), *(["-o", "-"] if verb == "capture" else [])]
    code = f"{limits}import sys; from sevlab.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ERROR: --xml: ")
    assert done.stderr.count("\n") == 1


def test_a_shell_command_is_read():
    capture = parse_command_line(SHELL)
    assert values(capture) == {
        "policy": 5,
        "firmware": "/fw/my,OVMF.fd",
        "kernel": "bzImage",
        "initrd": "initrd one.img",
        "cmdline": "console=ttyS0  root=/dev/sda1 ",
        "num_cpus": 4,
        "cpu_family": 23,
        "cpu_model": 49,
        "cpu_stepping": 0,
        "guest": "sev",
        "kernel_hashes": True,
        "cpu": "EPYC-Rome-v2",
    }
    assert capture.remarks == ()


def test_zero_bytes_separate_exactly():
    words = ["qemu-kvm", "-append", "a b -smp 9", "-smp", "3", "-bios", "my fw.fd", "-kernel", "-odd"]
    capture = parse_command_line("\0".join(words) + "\0")
    assert values(capture)["cmdline"] == "a b -smp 9"
    assert values(capture)["num_cpus"] == 3
    assert values(capture)["firmware"] == "my fw.fd"
    assert values(capture)["kernel"] == "-odd"


def test_libvirts_words_are_read_as_ps_shows_them_and_as_its_log_does():
    expected = {
        "policy": 5,
        "firmware": "/fw/OVMF.fd",
        "kernel": "/srv/vmlinuz",
        "cmdline": "console=ttyS0 root=/dev/vda1",
        "num_cpus": 2,
        "cpu_family": 25,
        "cpu_model": 1,
        "cpu_stepping": 1,
        "guest": "sev",
        "kernel_hashes": True,
        "cpu": "EPYC-Milan",
    }
    capture = parse_command_line(PS)
    assert values(capture) == expected
    assert "quotes are lost" in remarks(capture)
    assert "-append has lost its quotes" in remarks(capture)
    words = PS[PS.index("/usr/bin") :].replace("{", "'{").replace("}", "}'").replace(" -", " \\\n-")
    logged = "LC_ALL=C \\\nPATH=/usr/bin \\\n" + words.replace(
        "console=ttyS0 root=/dev/vda1", "'console=ttyS0 root=/dev/vda1'"
    )
    capture = parse_command_line(logged)
    assert values(capture) == expected
    assert capture.remarks == ()


@pytest.mark.parametrize(
    ("smp", "count"),
    [
        ("4", 4),
        ("cpus=4,maxcpus=8", 4),
        ("4,sockets=2,cores=2", 4),
        ("sockets=2,cores=3,threads=2", 12),
        ("cores=2,maxcpus=16", 16),
        ("2 -smp 5", 5),
    ],
)
def test_smp_is_counted_as_qemu_does(smp, count):
    assert values(parse_command_line(f"qemu-kvm -smp {smp}"))["num_cpus"] == count


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-object sev-guest,id=s", "this guest runs without SEV"),
        ("-object sev-guest,id=s -machine memory-encryption=t", "this guest runs without SEV"),
        ("-m 4G", "does not use SEV"),
        ("-object sev-snp-guest,id=s -machine q35,confidential-guest-support=s", "SEV-SNP guest"),
        ("-object sev-guest,id=s,policy=07", "octal"),
        ("-object sev-guest,id=s,policy=five", "policy is not used"),
        ("-smp 0", "at least one virtual CPU"),
        ("-bios a -pflash b", "uses instead of -bios"),
        ("-bios a", "from version 7.1 on"),
        ("-pflash a -pflash b", "nothing measures them"),
        ("-kernel $KERNEL", "contains a '$'"),
        ("-readconfig my.cfg", "which was not read"),
        ("-m 4G qemu-system-x86_64 -m 8G", "only the first is read"),
        ("-object '{broken'", "not JSON"),
        ("-append 'open", "without quotes"),
        ("", "nothing was understood"),
    ],
)
def test_odd_command_lines_become_remarks(words, said):
    assert said in remarks(parse_command_line(f"qemu-system-x86_64 {words}"))


def test_the_policy_has_qemus_default_and_octal_is_octal():
    assert values(parse_command_line("qemu-kvm -object sev-guest,id=s"))["policy"] == 1
    assert values(parse_command_line("qemu-kvm -object sev-guest,policy=07"))["policy"] == 7


def test_family_model_and_stepping_can_be_given_on_their_own():
    capture = parse_command_line("qemu-kvm -cpu host,family=25,model=17,stepping=1")
    assert [values(capture)[name] for name in ("cpu_family", "cpu_model", "cpu_stepping")] == [25, 17, 1]
    assert "cpu_family" not in values(parse_command_line("qemu-kvm -cpu host"))


@given(
    st.lists(st.tuples(st.from_regex("[a-z][a-z.-]{0,8}", fullmatch=True), st.text("ab,= -", max_size=8)), max_size=5)
)
def test_commas_survive_their_escape(pairs):
    text = ",".join(f"{key}={value.replace(',', ',,')}" for key, value in pairs)
    assert split_parts(text) == pairs


def test_flash_units_are_counted_as_qemu_does():
    command = CommandLine("qemu-kvm -drive if=pflash,file=a -drive if=pflash,unit=1,file=b -pflash c")
    assert [command.flash(unit) for unit in (0, 1, 2)] == ["a", "b", "c"]


def test_a_loop_of_block_nodes_ends():
    words = "-machine pflash0=a -blockdev raw,node-name=a,file=b -blockdev raw,node-name=b,file=a"
    assert CommandLine(f"qemu-kvm {words}").flash(0) is None


def test_dmesg_is_read():
    capture = parse_dmesg(DMESG)
    assert values(capture) == {"api_major": 1, "api_minor": 53, "build_id": 5}
    assert "SEV enabled" in remarks(capture)
    assert values(parse_dmesg(DMESG.replace("SEV API", "SEV-SNP API"))) == values(capture)
    assert "nothing was understood" in remarks(parse_dmesg("[0.0] Linux"))
    assert "failed" in remarks(parse_dmesg("[1.0] ccp 0000:47:00.1: SEV: failed to INIT error 0x3"))


PARSERS = [parse_domlaunchsecinfo, parse_qmp, parse_domain, parse_command_line, parse_dmesg]
SEEDS = [SECINFO, QMP, DOMAIN, SHELL, PS, DMESG]


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
def images(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "OVMF.fd").write_bytes(b"F" * 5000)
    (tmp_path / "vmlinuz").write_bytes(b"K" * 100)
    return tmp_path


def test_candidates_are_found_below_a_folder(images):
    assert locate("/usr/share/OVMF.fd", str(images), 1 << 20) == (str(images / "deep" / "er" / "OVMF.fd"), "")
    assert locate("/usr/share/OVMF.fd", None, 1 << 20) == ("", "")
    assert locate("/usr/share/OVMF.fd", str(images), 4999)[0] == ""
    for odd in ("/", "..", "/x/.."):
        assert locate(odd, str(images), 1 << 20)[0] == ""


def test_links_out_of_the_candidates_are_not_followed(images, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "initrd").write_bytes(b"I")
    (images / "initrd").symlink_to(outside / "initrd")
    (images / "folder").symlink_to(outside)
    assert locate("/b/initrd", str(images), 1 << 20)[0] == ""
    (images / "initrd").unlink()
    (images / "initrd").symlink_to(images / "vmlinuz")
    assert locate("/b/initrd", str(images), 1 << 20)[0] == str(images / "initrd")


def test_two_files_of_one_name_are_taken_only_when_they_are_the_same(images):
    (images / "OVMF.fd").write_bytes(b"F" * 5000)
    assert locate("/x/OVMF.fd", str(images), 1 << 20)[0]
    (images / "OVMF.fd").write_bytes(b"G" * 5000)
    path, remark = locate("/x/OVMF.fd", str(images), 1 << 20)
    assert path == ""
    assert "2 different files" in remark


def test_no_key_device_or_pipe_is_taken_because_the_host_says_so(images):
    os.mkfifo(images / "pipe")
    key = str(images / "vmlinuz")
    for named in (key, str(images / "pipe"), "/dev/zero", "/proc/self/environ", str(images), "\0", "vmlinuz"):
        assert locate(named, None, 1 << 20, (key,))[0] == ""
    assert locate(key, None, 1 << 20)[0] == key


def test_the_search_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["sevlab.cases.locate"], "ENTRY_LIMIT", 3)
    for number in range(6):
        (tmp_path / f"d{number}").mkdir()
    assert "first 3 entries" in locate("/x/OVMF.fd", str(tmp_path), 1 << 20)[1]


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
    "no output": ["--xml", "xml"],
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
    "SNP": ["--qemu-cmdline", "snp", "-o", "c.toml"],
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
