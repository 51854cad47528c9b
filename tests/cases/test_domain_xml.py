"""Domain XML: what is read, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sevlab.cases.domain_xml import parse_domain
from sevlab.errors import InputError
from tests.cases.sample_texts import (
    DOMAIN,
    remarks,
    values,
)
from tests.paths import ROOT


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
        ("type='sev' ", "type='s390-pv' ", "neither 'sev' nor 'sev-snp'"),
        ("</os>", "<nvram>/v.fd</nvram></os>", "variables are not measured"),
        ("<loader", "<leader", "text that is not XML"),
        ("launchSecurity", "launchSecurities", "not understood: launchSecurities; give"),
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
