"""A guest under libvirt: what is asked, what is refused, and what a hostile host cannot do. libvirt is a stub here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevlab.attestation.secret import open_secret
from sevlab.cases import libvirt as domain
from sevlab.cases.libvirt import Guest, bare_name, complete_inputs, is_this_machine
from sevlab.cli import main
from sevlab.errors import SevlabError
from sevlab.formats.policy import Policy
from sevlab.labs import samples
from sevlab.launch.inputs import REPORTED, load_launch
from tests.fake_libvirt import (
    CAPABILITIES,
    CONFIGURATIONS,
    CPU_OPTIONS,
    FIRMWARE,
    INITRD,
    KERNEL,
    KERNEL_OPTIONS,
    LOADER,
    REPORT_OPTIONS,
    TK,
    UUID,
    WHOLE,
    es_scenario,
    info,
    load_stub,
    scenario,
    xml,
)
from tests.paths import DOCS
from tests.soak import many

BAD_MEASUREMENT = base64.b64encode(bytes(48)).decode()
Done = tuple[int, str, str, ModuleType]
Play = Callable[..., Done]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Play:
    """Run ``sevlab validate`` over a scenario; return status, output, errors, and the stub that was asked."""

    def play(content: dict[str, Any], *options: str, name: str = "guest", keys: bool = True) -> Done:
        stub = load_stub(content)
        monkeypatch.setitem(sys.modules, "libvirt", stub)
        capsys.readouterr()
        status = main(["validate", "-o", name, *(["--tk", str(TK)] if keys else []), *options])
        return (status, *capsys.readouterr(), stub)

    return play


def called(stub: ModuleType) -> list[str]:
    return [call[0] for call in stub.calls]


# ---------------------------------------------------------------- where the hypervisor is


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give this machine a name, a full name, and addresses that only its name service knows."""

    def named(name: str, full: str = "", *addresses: str, wait: float = 0) -> None:
        def look(*_: object, **__: object) -> list[Any]:
            time.sleep(wait)
            return [(2, 1, 6, full, (address, 0)) for address in addresses]

        monkeypatch.setattr(socket, "gethostname", lambda: name)
        monkeypatch.setattr(socket, "getfqdn", lambda *_: time.sleep(wait) or full or name)
        monkeypatch.setattr(socket, "getaddrinfo", look)

    return named


#: What a hypervisor answers, on a machine that is called `vm`, in full `vm.a.org`, and is 198.51.100.7 outside.
HERE = [
    *("vm", "VM", "Vm.", " vm\n", "vm.a.org", "VM.A.ORG.", "vm.example.com"),
    *("localhost", "LocalHost.", "localhost.localdomain", "127.0.0.1", "127.9.9.9", "0.0.0.0"),
    *("::", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "198.51.100.7", "::ffff:198.51.100.7"),
]
ELSEWHERE = [
    *("vm2", "v", "a.org", "vm-a.org", "xvm.a.org", "127.0.0.1.a.org", "203.0.113.9", "2001:db8::9", "[2001:db8::9]"),
    *("224.0.0.1", "255.255.255.255", "ff02::1", "fe80::9", "fe80::9%none", "2001:db8::9%lo"),
    *("\0", "\x1b[2J", "%s", "[", "x" * 100_000, "\udcff", "v\u00fc"),
]


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+ssh://vm/system", "qemu+tcp://localhost:16509/system"])
def test_a_host_does_not_judge_itself(play: Play, named: Callable[..., None], uri: str) -> None:
    """What the hypervisor answers counts, never the address: a tunnel through localhost ends on another machine."""
    named("vm", "vm.a.org", "198.51.100.7")
    for host in HERE:
        status, out, err, stub = play(scenario(host=host), *WHOLE, "-c", uri)
        assert (status, out, err.count("\n"), called(stub)) == (6, "", 1, ["open", "getHostname"]), host
        assert f"received '{uri}', a hypervisor on this machine, '{host.strip().rstrip('.').lower()}'" in err
    for host in ELSEWHERE:
        assert play(scenario(host=host), *WHOLE, "-c", uri)[:3] == (0, "OK: Looks good to me\n", ""), host[:20]
    for host in ("", ".", " ", None, 5, b"vm"):
        status, out, err, _ = play(scenario(host=host), *WHOLE, "-c", uri)
        assert (status, out, err.count("\n")) == (6, "", 1), host
        assert "a hypervisor that does not say where it is" in err


def test_insecure_takes_files_from_this_machine_whatever_its_name(play: Play, named: Callable[..., None]) -> None:
    named("vm", "vm.a.org", "198.51.100.7")
    for host in HERE:
        assert play(scenario(host=host), "-i")[:3] == (0, "OK: Looks good to me\n", ""), host
    for host in (*ELSEWHERE, ""):
        status, _, err, _ = play(scenario(host=host), "-i")
        assert (status, "is on another machine" in err, err.count("\n")) == (2, True, 1), host[:20]


@pytest.mark.parametrize(
    ("name", "full", "answer", "same"),
    [
        ("vm.a.org", "vm.a.org", "vm", True),
        ("vm.a.org", "vm.a.org", "vm.b.org", False),
        ("VM.A.org", "", "vm.a.ORG.", True),
        ("box", "vm.a.org", "vm.a.org", True),
        ("box", "vm.a.org", "vm", True),
        ("box", "vm.a.org", "vm.b.org", False),
        ("10", "10", "10.0.0.1", False),
        ("vm", "127.0.0.1", "vm2", False),
    ],
)
def test_short_names_count_where_one_side_is_short(
    named: Callable[..., None], name: str, full: str, answer: str, same: bool
) -> None:
    named(name, full)
    assert is_this_machine(bare_name(answer)) is same


def test_own_addresses_are_known_without_a_name_service(named: Callable[..., None]) -> None:
    """Whatever interfaces this machine has; a machine without a network has none to ask of."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no network")
        own = probe.getsockname()[0]
    named("vm")
    assert is_this_machine(own)


def test_a_name_service_that_does_not_answer_is_given_up(
    play: Play, named: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "PATIENCE", 0.05)
    named("vm", "other.a.org", wait=2)
    start = time.monotonic()
    assert play(scenario(host="vm"), *WHOLE)[0] == 6  # nothing is looked up
    assert play(scenario(host="elsewhere"), *WHOLE)[0] == 0
    assert time.monotonic() - start < 1.5

    def broken(*_: object, **__: object) -> None:
        raise OSError("no name service")

    for name in ("getfqdn", "getaddrinfo"):
        monkeypatch.setattr(socket, name, broken)
    assert play(scenario(host="elsewhere"), *WHOLE)[0] == 0


# ---------------------------------------------------------------- what is asked


def test_a_good_launch(play: Play) -> None:
    status, out, err, stub = play(scenario(), *WHOLE)
    assert (status, out, err) == (0, "OK: Looks good to me\n", "")
    asked = ["open", "getHostname", "lookupByName", "isActive", "info", "XMLDesc", "launchSecurityInfo"]
    assert called(stub) == asked
    assert stub.calls[0] == ["open", "qemu:///system"]


def test_another_launch_does_not_validate(play: Play) -> None:
    status, out, err, _ = play(scenario(info=info(measurement=BAD_MEASUREMENT)), *WHOLE)
    assert (status, out) == (1, "")
    assert err.startswith("ERROR: Measurement does not match, VM is not trustworthy\n")


def test_what_is_given_is_not_asked_for(play: Play) -> None:
    status, _, _, stub = play(scenario(info={}, capabilities=""), *WHOLE, *REPORT_OPTIONS)
    assert status == 0
    assert "launchSecurityInfo" not in called(stub)
    options = [*WHOLE, *KERNEL_OPTIONS, *CPU_OPTIONS]
    status, _, _, stub = play(es_scenario(), *options)
    assert status == 0
    assert "getCapabilities" not in called(stub)


def test_a_given_value_wins_over_the_host_s(play: Play) -> None:
    wrong = scenario(info={**info(), "sev-build-id": 99, "sev-policy": 0})
    assert play(wrong, *WHOLE)[0] == 1
    assert play(wrong, *WHOLE, "--build-id", "13", "--policy", "1")[0] == 0
    assert play(scenario(), *WHOLE, "--build-id", "14")[0] == 1


def test_everything_from_the_host_when_that_is_wanted(play: Play) -> None:
    """Only --insecure takes files, CPU count and CPU signature from the host, and only a local one has the files."""
    status, out, _, _ = play(es_scenario(host="local"), "-i")
    assert (status, out) == (0, "OK: Looks good to me\n")
    status, _, err, _ = play(es_scenario(), "-i")
    assert status == 2
    assert err.startswith("ERROR: --firmware: received nothing, and the file")


def test_a_case_file_and_a_domain(play: Play, tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    image = f'firmware = {{ path = "{FIRMWARE}", sha256 = "{hashlib.sha256(FIRMWARE.read_bytes()).hexdigest()}" }}'
    case.write_text(f'format = 2\n[reported]\npolicy = 1\n[owner]\n{image}\ntk = "{TK}"\n')
    status, out, err, _ = play(scenario(), "--case", str(case), keys=False)
    assert (status, out) == (0, "OK: Looks good to me\n"), err


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("7", ["lookupByID", 7]),
        ("guest", ["lookupByName", "guest"]),
        (UUID, ["lookupByUUIDString", UUID]),
        (UUID.replace("-", "").upper(), ["lookupByUUIDString", UUID.replace("-", "").upper()]),
    ],
)
def test_a_domain_is_found_by_number_name_and_uuid(play: Play, name: str, call: list[Any]) -> None:
    status, _, _, stub = play(scenario(), *WHOLE, "-c", "qemu+ssh://host/system", name=name)
    assert status == 0
    assert stub.calls[0] == ["open", "qemu+ssh://host/system"]
    assert call in stub.calls


@pytest.mark.parametrize("name", ["deadbeef", "add-on", "9999999999", "-", ""])
def test_what_is_no_uuid_and_no_number_is_a_name(play: Play, name: str) -> None:
    status, _, _, stub = play(scenario(name=name), *WHOLE, f"--domain={name}")
    assert status == 0
    assert ["lookupByName", name] in stub.calls


# ---------------------------------------------------------------- what is refused

#: What is wrong, the options, the status, and what our one line begins with.
REFUSED: dict[str, tuple[dict[str, Any], list[str], int, str]] = {
    "a local hypervisor": (scenario(host="local"), WHOLE, 6, "--connect: received 'qemu:///system', a hypervisor on"),
    "not running": (scenario(active=0, state=5), [*WHOLE, "-ig"], 5, "--domain: received 'guest', which does not run"),
    "running on": (scenario(state=1), WHOLE, 5, "--domain: received 'guest', which runs already"),
    **{
        name: (scenario(xml=CONFIGURATIONS[name]), WHOLE, 4, f"--domain: received a configuration without {what}")
        for name, what in {
            "no security": "SEV",
            "SNP": "SEV",
            "another document": "SEV",
            "within another element": "SEV",
            "no dhCert": "one <dhCert>",
            "no session": "one <session>",
            "two sessions": "one <session>",
            "no loader": "one <loader>",
            "two loaders": "one <loader>",
        }.items()
    },
    "hashes without kernel": (
        *(scenario(xml=CONFIGURATIONS["hashes without kernel"]), WHOLE),
        *(4, "--domain: received kernelHashes='yes' without a kernel"),
    ),
    "nvram": (scenario(xml=CONFIGURATIONS["nvram"]), WHOLE, 6, "--domain: received firmware with a variable store"),
    "kernel": (scenario(xml=CONFIGURATIONS["kernel"]), WHOLE, 6, "--domain: received a kernel that is not measured"),
    "a kernel given": (scenario(), [*WHOLE, *KERNEL_OPTIONS], 2, "--kernel: received a kernel, but the domain does"),
    "another name": (scenario(name="other"), WHOLE, 2, "--domain: received 'guest': 'Domain not found'"),
    "no CPU count": (es_scenario(), [*WHOLE, *KERNEL_OPTIONS], 6, "--num-cpus: received the number of virtual CPUs"),
    "no firmware": (es_scenario(), CPU_OPTIONS, 2, "--firmware: received nothing, and the file that"),
    "no kernel": (es_scenario(), [*WHOLE, *CPU_OPTIONS], 2, "--kernel: received nothing, and the file that"),
    "no initrd": (
        *(es_scenario(), [*WHOLE, *KERNEL_OPTIONS[:2], *CPU_OPTIONS]),
        *(2, "--initrd: received nothing, and the file that"),
    ),
    "no command line": (
        *(es_scenario(), [*WHOLE, *KERNEL_OPTIONS[:4], *CPU_OPTIONS]),
        *(6, "--cmdline: received a command line from the host's"),
    ),
    "no signature": (
        *(es_scenario(), [*WHOLE, *KERNEL_OPTIONS, "-n", "4"]),
        *(6, "--cpu-family: received the CPU's family, model and stepping that"),
    ),
    "two signatures": (
        es_scenario(capabilities=CAPABILITIES.replace("</cpu>", "<signature family='6'/></cpu>")),
        [*WHOLE, *KERNEL_OPTIONS, "-n", "4", "-i"],
        *(2, "--connect: received capabilities without the CPU's signature"),
    ),
    "a loader without a path": (scenario(host="local", xml=xml(os="<loader/>")), ["-i"], 2, "--firmware: received not"),
    "a loader that is not there": (
        scenario(host="local", xml=xml(os="<loader>/none</loader>")),
        *(["-i"], 2, "--firmware (from libvirt): received '/none': no such file"),
    ),
    "no CPU": (
        *(es_scenario(cpus=0), [*WHOLE, *KERNEL_OPTIONS, "-i"]),
        *(2, "--num-cpus (from libvirt): received '0'; needed a whole number from 1 to 4096"),
    ),
    "a signature without numbers": (
        es_scenario(capabilities=CAPABILITIES.replace("family='25'", "")),
        [*WHOLE, *KERNEL_OPTIONS, "-i"],
        *(2, "--cpu-family (from libvirt): received ''"),
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_refused_in_one_line(play: Play, wrong: str) -> None:
    content, options, wanted, begins = REFUSED[wrong]
    status, out, err, _ = play(content, *options)
    assert (status, out, err.count("\n")) == (wanted, "", 1)
    assert err.startswith(f"ERROR: {begins}"), err


def test_the_manual_shows_a_refusal_as_it_is(play: Play) -> None:
    content, options, _, _ = REFUSED["kernel"]
    assert f"    {play(content, *options)[2]}" in (DOCS / "validate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("wrong", [name for name, row in REFUSED.items() if row[2] >= 4])
def test_json_tells_what_was_refused(play: Play, wrong: str) -> None:
    content, options, wanted, begins = REFUSED[wrong]
    status, out, _, _ = play(content, *options, "--json")
    answer = json.loads(out)
    assert (status, answer["status"]) == (wanted, "unusable")
    assert answer["error"].startswith(begins)
    assert answer["needed"]


#: Half of an answer. The host must not complete it, for that would replace what was given.
HALVES = {
    "initrd without kernel": (["-r", str(INITRD)], "--initrd"),
    "command line without kernel": (["-e", "x"], "--cmdline"),
    "a model alone": ([*KERNEL_OPTIONS, "--cpu-model", "9"], "--cpu-family"),
    "no stepping": ([*KERNEL_OPTIONS, *CPU_OPTIONS[:6]], "--cpu-stepping"),
    "registers of further CPUs": ([*KERNEL_OPTIONS, "-1", str(FIRMWARE)], "--vmsa-cpu1"),
    "files and numbers": ([*KERNEL_OPTIONS, *CPU_OPTIONS, "-0", str(FIRMWARE)], "--vmsa-cpu0"),
}


@pytest.mark.parametrize("half", HALVES)
def test_half_of_an_answer_is_refused_before_libvirt_is_asked(play: Play, half: str) -> None:
    options, about = HALVES[half]
    status, out, err, stub = play(es_scenario(host="local"), "-i", *options)
    assert (status, out, err.count("\n"), called(stub)) == (2, "", 1, [])
    assert err.startswith(f"ERROR: {about}: received ")


def test_keys_are_asked_for_before_libvirt_is(play: Play) -> None:
    status, _, err, stub = play(scenario(), keys=False)
    assert (status, called(stub)) == (2, [])
    assert "--tk" in err


CALLS = ("open", "getHostname", "lookupByName", "isActive", "info", "XMLDesc", "launchSecurityInfo", "getCapabilities")


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_libvirt_refuses_is_one_line(play: Play, call: str) -> None:
    status, out, err, _ = play(es_scenario(fails=[call]), *WHOLE, *KERNEL_OPTIONS, "-i")
    assert (status, out, err.count("\n")) == (2, "", 1)
    about = "--connect" if call in ("open", "getHostname", "getCapabilities") else "--domain"
    assert err.startswith(f"ERROR: {about}: received ")
    assert f"'{call} was refused'" in err


def test_words_that_are_not_utf8(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """libvirt's module encodes what it is asked, and fails on what a terminal can hand over as bytes."""

    def lookup(self: Any, name: str) -> None:
        name.encode()

    stub = load_stub(scenario())
    monkeypatch.setattr(stub.Connection, "lookupByName", lookup)
    guest = Guest("qemu:///system", "\udcff", stub)
    guest.connect()
    with pytest.raises(SevlabError, match="surrogates not allowed"):
        guest.find()


# ---------------------------------------------------------------- secrets


@pytest.fixture
def secret(tmp_path: Path) -> list[str]:
    (tmp_path / "key").write_bytes(b"a sample passphrase")
    return [*WHOLE, "-s", f"luks-key:{tmp_path / 'key'}"]


def test_a_secret_is_handed_over_and_written(play: Play, secret: list[str], tmp_path: Path) -> None:
    paths = [tmp_path / "header", tmp_path / "payload"]
    files = ["--secret-header", str(paths[0]), "--secret-payload", str(paths[1])]
    status, out, _, stub = play(scenario(), *secret, *files)
    assert (status, out) == (0, "OK: Looks good to me\nOK: Injected 1 secrets\n")
    (_, values, flags), resumed = stub.calls[-2:]
    assert (flags, resumed) == (0, ["resume"])
    assert [path.read_text() for path in paths] == [values["sev-secret-header"], values["sev-secret"]]
    header, payload = (base64.b64decode(path.read_text()) for path in paths)
    measure = base64.b64decode(info()["sev-measurement"])[:32]
    opened = open_secret(header, payload, samples.TIK, samples.TEK, measure)
    assert opened.matches
    assert [entry.data for entry in opened.table.entries] == [b"a sample passphrase"]


def test_a_guest_without_a_secret_stays_paused(play: Play) -> None:
    assert "resume" not in called(play(scenario(), *WHOLE)[3])


@pytest.mark.parametrize("wrong", ["no match", "no file", "no name", "twice"])
def test_a_guest_that_cannot_have_its_secret_is_not_touched(play: Play, secret: list[str], wrong: str) -> None:
    content = scenario(info=info(measurement=BAD_MEASUREMENT)) if wrong == "no match" else scenario()
    more = {"no file": ["-s", "luks-key:none"], "no name": ["-s", "nothing"], "twice": secret[-2:]}.get(wrong, [])
    status, out, _, stub = play(content, *secret, *more)
    assert (status, out) == (1 if wrong == "no match" else 2, "")
    assert not {"setLaunchSecurityState", "resume"} & set(called(stub))


def test_a_secret_that_libvirt_refuses_is_not_called_good(play: Play, secret: list[str]) -> None:
    status, out, err, stub = play(scenario(fails=["setLaunchSecurityState"]), *secret)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "resume" not in called(stub)
    status, out, err, _ = play(scenario(fails=["resume"]), *secret)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "It has the secret, but is still paused" in err
    assert "virsh resume" in err


# ---------------------------------------------------------------- a hostile host

BOMB = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(12)
) + "]><domain>&m;</domain>"  # fmt: skip
HOSTILE: dict[str, Any] = {
    "an entity bomb": BOMB,
    "an external entity": "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain>&a;</domain>",
    "10 MB of nesting": "<a>" * 3_500_000,
    "deep nesting": "<a>" * 5000 + "</a>" * 5000,
    "many elements": f"<domain>{'<a/>' * 50_000}</domain>",
    "no XML": "hello",
    "nothing": "",
    "a character that XML has not": "<domain>\0</domain>",
    "a list": [],
    "no text": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_of_the_host_is_one_line(play: Play, name: str) -> None:
    for part in ("xml", "capabilities"):
        status, out, err, _ = play(es_scenario(**{part: HOSTILE[name]}), "-i", *WHOLE, *KERNEL_OPTIONS, "-n", "4")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("ERROR: --domain: received from libvirt ")
        assert "root:" not in err
        assert len(err) < 300


@pytest.mark.parametrize(
    "broken",
    [
        {"sev-measurement": 5},
        {"sev-measurement": "short"},
        {"sev-measurement": "A" * 10**6},
        {"sev-api-major": "x"},
        {"sev-api-minor": 256},
        {"sev-build-id": -1},
        {"sev-policy": 1 << 40},
        {"sev-policy": None},
    ],
)
def test_broken_launch_security_information_is_one_line(play: Play, broken: dict[str, Any]) -> None:
    status, out, err, _ = play(scenario(info={**info(), **broken}), *WHOLE)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"--{next(iter(broken)).removeprefix('sev-')}" in err
    assert len(err) < 300


@pytest.mark.parametrize("report", [{}, None, [], {"sev-snp-policy": 0x30000}])
def test_no_launch_security_information_is_one_line(play: Play, report: Any) -> None:
    status, out, err, _ = play(scenario(info=report), *WHOLE)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "without sev-measurement" in err


def test_the_host_cannot_name_standard_input(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    image = io.BytesIO(FIRMWARE.read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(image))
    status, _, err, _ = play(scenario(host="local", xml=xml(os="<loader>-</loader>")), "-i")
    assert status == 2
    assert "'./-': no such file" in err
    assert image.tell() == 0


def elements(content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """XML of the elements that are looked at, in any order, number and nesting, with any text and attributes."""
    boot = ["os", "loader", "nvram", "kernel", "initrd", "cmdline"]
    tags = st.sampled_from([*boot, "launchSecurity", "dhCert", "session", "host", "cpu", "signature"])
    values = st.sampled_from(["sev", "sev-snp", "yes", "no", "25", "-1", "x", "", "/none", "-"])
    names = st.sampled_from(["type", "kernelHashes", "family", "model", "stepping"])
    attributes = st.dictionaries(names, values).map(
        lambda known: "".join(f" {name}='{value}'" for name, value in known.items())
    )
    inside = st.one_of(content, st.lists(content, max_size=4).map("".join))
    return st.tuples(tags, attributes, inside).map(lambda one: f"<{one[0]}{one[1]}>{one[2]}</{one[0]}>")


TEXT = st.sampled_from(["", "AAAA", "-", "/dev/null", "/none", "console=ttyS0", str(FIRMWARE), str(KERNEL)])
TREES = st.recursive(TEXT, elements, max_leaves=12)
DOCUMENTS = st.one_of(
    st.sampled_from(list(CONFIGURATIONS.values())),
    st.lists(TREES, max_size=4).map(lambda parts: f"<domain>{''.join(parts)}</domain>"),
    st.text(max_size=20),
    st.none(),
)
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9), st.lists(st.integers(), max_size=2))
SCENARIOS = st.fixed_dictionaries(
    {
        "host": st.sampled_from(["local", "elsewhere", "", None]),
        "active": st.sampled_from([1, 1, 1, 0, -1, None]),
        "state": st.sampled_from([3, 3, 3, 1, 0, "x", None]),
        "cpus": st.one_of(st.integers(0, 5000), ANYTHING),
        "xml": DOCUMENTS,
        "capabilities": st.one_of(st.just(CAPABILITIES), DOCUMENTS),
        "info": st.one_of(
            st.just(info()),
            st.just(info(policy=5)),
            st.dictionaries(st.sampled_from(list(info())), ANYTHING).map(lambda some: {**info(), **some}),
            ANYTHING,
        ),
        "fails": st.one_of(st.just([]), st.lists(st.sampled_from(CALLS), max_size=1)),
    }
)
OPTIONS = st.lists(
    st.sampled_from([WHOLE, KERNEL_OPTIONS, CPU_OPTIONS, REPORT_OPTIONS, ["-i"], ["-g"], ["-n", "2"]]), max_size=4
).map(lambda parts: [word for part in parts for word in part])


@given(content=SCENARIOS, options=OPTIONS)
@settings(max_examples=many(300, 60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_host_says_is_a_verdict_or_one_line(play: Play, content: Any, options: list[str]) -> None:
    status, out, err, _ = play(content, *options)
    assert status in (0, 1, 2, 4, 5, 6), err
    if status >= 2:
        assert (out, err[:7], err.count("\n")) == ("", "ERROR: ", 1)
        assert len(err) < 900


@given(content=SCENARIOS, has_firmware=st.booleans(), policy=st.sampled_from([None, 1, 5]))
@settings(max_examples=many(300, 60))
def test_only_what_the_measure_covers_comes_from_the_host(content: Any, has_firmware: bool, policy: int | None) -> None:
    """Unless that is wanted, whatever the host says."""
    own = {"firmware": str(FIRMWARE) if has_firmware else None, "policy": policy, "measurement": None}
    try:
        inputs = complete_inputs(Guest("", "guest", load_stub(content)), own)
    except SevlabError:
        return
    assert {name for name in inputs if own.get(name) is None} <= set(REPORTED)
    assert all(inputs[name] == value for name, value in own.items() if value is not None)
    assert content["host"] != "local"
    assert content["active"]
    assert content["state"] == 3


def test_a_configuration_that_is_not_checked_still_gives_nothing(play: Play) -> None:
    status, _, _, _ = play(scenario(xml="<network/>"), *WHOLE, "-g")
    assert status == 0
    status, _, err, _ = play(scenario(host="local", xml=f"<network><os>{LOADER}</os></network>"), "-ig")
    assert status == 2
    assert "--firmware: received nothing" in err


def test_an_empty_command_line_is_one(play: Play) -> None:
    """QEMU hashes an empty text for it, as it does without a command line."""
    measured = info(digest=load_launch(Policy(1), firmware=str(FIRMWARE), kernel=str(KERNEL)).digest)
    boot = f"{LOADER}<kernel>{KERNEL}</kernel>"
    for line, status in (("<cmdline/>", 0), ("", 0), ("<cmdline> </cmdline>", 1), ("<cmdline>x</cmdline>", 1)):
        content = scenario(host="local", info=measured, xml=xml(os=boot + line, hashes="yes"))
        assert play(content, "-i")[0] == status, line


# ---------------------------------------------------------------- what it costs, and what it needs


def test_nothing_of_it_is_loaded_without_a_domain() -> None:
    program = (
        "import sys; from sevlab.cli import main; main(sys.argv[1:]);"
        "print({'sevlab.cases.libvirt', 'sevlab.cases', 'xml', 'socket', 'libvirt'} & set(sys.modules) or 'none')"
    )
    words = ["validate", "--tk", str(TK), *WHOLE, *REPORT_OPTIONS, "-c", "qemu:///system", "-ig"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stdout == "OK: Looks good to me\nnone\n"


@pytest.mark.parametrize(("module", "package"), [("libvirt", "python3-libvirt"), ("defusedxml", "python3-defusedxml")])
def test_a_missing_module_is_one_line_that_tells_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", load_stub(scenario()))
    monkeypatch.setitem(sys.modules, module, None)
    status = main(["validate", "-o", "guest", "--tk", str(TK), *WHOLE])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"ERROR: --domain: received a Python that cannot import {module} ")
    assert package in err
