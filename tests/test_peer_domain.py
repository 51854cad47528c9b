"""``sevlab validate --domain`` against libvirt's own tool, both over the same stub of libvirt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import random
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sevlab import open_secret, samples
from tests.fake_libvirt import SOURCE
from tests.peers import REAL_TOOL, ROOT, SYSTEM_PYTHON, Run, run, sys, why_no_real_tool

MANUAL = ROOT / "docs" / "validate.md"
SAMPLES = ROOT / "notebooks" / "samples"
SEED = 9
#: libvirt 9.0's exit status and ours. Its 6 is any error; here an input is at fault, so ours is 2.
STATUS = {0: 0, 1: 1, 2: 2, 3: 6, 4: 4, 5: 5, 6: 2}

MNONCE = bytes(range(0x60, 0x70))
FIRMWARE = SAMPLES / "firmware-kernel.fd"
KERNEL, INITRD, CMDLINE = SAMPLES / "kernel.bin", SAMPLES / "initrd.bin", "console=ttyS0"
CAPABILITIES = "<capabilities><host><cpu><signature family='25' model='1' stepping='1'/></cpu></host></capabilities>"


def launch_text(name: str) -> dict[str, str]:
    lines = (line.split(":", 1) for line in (SAMPLES / name).read_text().splitlines() if line)
    return {key.strip(): value.strip() for key, value in lines}


def info(policy: int = 1, measurement: str = "") -> dict[str, Any]:
    """What libvirt reports of a launch of the firmware alone."""
    message = struct.pack("<4BI", 4, 0, 22, 13, policy) + hashlib.sha256(FIRMWARE.read_bytes()).digest() + MNONCE
    good = base64.b64encode(hmac.digest(samples.TIK, message, "sha256") + MNONCE).decode()
    return {
        "sev-measurement": measurement or good,
        "sev-api-major": 0,
        "sev-api-minor": 22,
        "sev-build-id": 13,
        "sev-policy": policy,
    }


def info_es() -> dict[str, Any]:
    """What libvirt reports of the sample with kernel and registers."""
    text = launch_text("launch-es.txt")
    return {name: value if name == "sev-measurement" else int(value, 0) for name, value in text.items()}


def xml(
    *,
    security: str = "sev",
    blobs: Sequence[str] = ("dhCert", "session"),
    os: str = f"<loader>{FIRMWARE}</loader>",
    hashes: str = "",
) -> str:
    inside = "".join(f"<{tag}>AAAA</{tag}>" for tag in blobs)
    attribute = f" kernelHashes='{hashes}'" if hashes else ""
    secured = f"<launchSecurity type='{security}'{attribute}>{inside}</launchSecurity>" if security else ""
    return f"<domain type='kvm'><name>guest</name><os>{os}</os>{secured}</domain>"


LOADER = f"<loader>{FIRMWARE}</loader>"
BOOT = f"{LOADER}<kernel>{KERNEL}</kernel><initrd>{INITRD}</initrd><cmdline>{CMDLINE}</cmdline>"
CONFIGURATIONS = {
    "plain": xml(),
    "no security": xml(security=""),
    "SNP": xml(security="sev-snp"),
    "no dhCert": xml(blobs=["session"]),
    "no session": xml(blobs=["dhCert"]),
    "nvram": xml(os=f"{LOADER}<nvram>/none</nvram>"),
    "no loader": xml(os=""),
    "two loaders": xml(os=LOADER * 2),
    "kernel": xml(os=BOOT),
    "kernel measured": xml(os=BOOT, hashes="yes"),
    "kernel not measured": xml(os=BOOT, hashes="no"),
    "hashes without kernel": xml(hashes="yes"),
}
WHOLE = ["-f", str(FIRMWARE)]
KERNEL_OPTIONS = ["-k", str(KERNEL), "-r", str(INITRD), "-e", CMDLINE]
CPU_OPTIONS = ["-n", "4", "--cpu-family", "25", "--cpu-model", "1", "--cpu-stepping", "1"]
OPTIONS = {
    "all": [*WHOLE, *KERNEL_OPTIONS, *CPU_OPTIONS],
    "firmware": WHOLE,
    "firmware and kernel": [*WHOLE, *KERNEL_OPTIONS],
    "firmware and CPUs": [*WHOLE, *CPU_OPTIONS],
    "none": [],
    "the report too": [*WHOLE, "--api-minor", "22", "--policy", "1"],
    "a wrong build": [*WHOLE, "--build-id", "14"],
}
FLAGS = {"": [], "-i": ["-i"], "-g": ["-g"], "-ig": ["-i", "-g"]}


def scenario(**changes: Any) -> dict[str, Any]:
    return {
        "host": "elsewhere",
        "active": 1,
        "state": 3,
        "cpus": 4,
        "capabilities": CAPABILITIES,
        "xml": CONFIGURATIONS["plain"],
        "info": info(),
        "fails": [],
        **changes,
    }


class Stub:
    """A folder with the stub and one scenario."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        self.folder, self.log = folder, folder / "log"
        (folder / "libvirt.py").write_text(SOURCE)
        (folder / "scenario.json").write_text(json.dumps({**content, "log": str(self.log)}))

    def run(self, command: Sequence[str]) -> Run:
        variables = {"PYTHONPATH": f"{self.folder}:{ROOT}", "FAKE_LIBVIRT": str(self.folder / "scenario.json")}
        self.log.write_text("")
        return run(command, self.folder, variables=variables)

    def ours(self, *options: str) -> Run:
        return self.run([sys.executable, "-m", "sevlab", "validate", "--tk", str(SAMPLES / "tk.bin"), *options])

    def real(self, *options: str) -> Run:
        return self.run([str(SYSTEM_PYTHON), str(REAL_TOOL), "--tk", str(SAMPLES / "tk.bin"), *options])

    def calls(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def cases() -> list[tuple[dict[str, Any], list[str]]]:
    """Some of all combinations, each value of each part among them many times."""
    hosts = [("elsewhere", 1, 3)] * 3 + [("local", 1, 3), ("elsewhere", 1, 1), ("elsewhere", 0, 5)]
    states = [{"host": host, "active": active, "state": state} for host, active, state in hosts]
    reports = [info(), info(policy=0), info(measurement=base64.b64encode(bytes(48)).decode()), info_es()]
    everything = list(itertools.product(states, CONFIGURATIONS.values(), reports, OPTIONS.values(), FLAGS.values()))
    chosen = random.Random(SEED).sample(everything, 160)
    return [
        (scenario(**state, xml=configuration, info=report), [*options, *flags, "-o", "guest"])
        for state, configuration, report, options, flags in chosen
    ]


@pytest.mark.peer
def test_verdict_and_status_are_the_real_tool_s(tmp_path: Path) -> None:
    if why := why_no_real_tool():
        pytest.skip(why)

    def both(number: int, content: dict[str, Any], options: list[str]) -> tuple[Any, ...]:
        stub = Stub(tmp_path / str(number), content)
        real, ours = stub.real(*options), stub.ours(*options)
        return content, options, real, ours

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda pair: both(pair[0], *pair[1]), enumerate(cases())))
    seen = set()
    for content, options, real, ours in results:
        seen.add(real.status)
        assert "Traceback" not in ours.err
        assert ours.status == STATUS[real.status], (options, content, real.err, ours.err)
        if real.status in (0, 1):
            assert ours.first_line == real.first_line
        else:
            assert (ours.out, ours.err[:7], ours.err.count("\n")) == ("", "ERROR: ", 1)
    assert seen >= {0, 1, 2, 3, 4, 5}


@pytest.mark.peer
def test_a_secret_is_handed_over_and_the_guest_goes_on(tmp_path: Path) -> None:
    if why := why_no_real_tool():
        pytest.skip(why)
    (tmp_path / "key").write_bytes(b"a sample passphrase")
    options = ["-o", "guest", "-f", str(FIRMWARE), "-s", f"luks-key:{tmp_path / 'key'}"]
    stub = Stub(tmp_path / "stub", scenario())
    seen = []
    for result in (stub.real(*options), None):
        done = result or stub.ours(*options)
        assert (done.status, done.out.splitlines()) == (0, ["OK: Looks good to me", "OK: Injected 1 secrets"])
        calls = stub.calls()
        assert [call[0] for call in calls[-2:]] == ["setLaunchSecurityState", "resume"]
        values = calls[-2][1]
        measure = base64.b64decode(info()["sev-measurement"])[:32]
        header, payload = (base64.b64decode(values[name]) for name in ("sev-secret-header", "sev-secret"))
        opened = open_secret(header, payload, samples.TIK, samples.TEK, measure)
        assert opened.opens
        seen.append([entry.data for entry in opened.table.entries])
    assert seen[0] == seen[1] == [b"a sample passphrase"]


def test_a_guest_that_does_not_match_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a sample passphrase")
    stub = Stub(tmp_path / "stub", scenario(info=info(measurement=base64.b64encode(bytes(48)).decode())))
    done = stub.ours("-o", "guest", "-f", str(FIRMWARE), "-s", f"luks-key:{tmp_path / 'key'}")
    assert done.status == 1
    assert not {"setLaunchSecurityState", "resume"} & {call[0] for call in stub.calls()}
    done = stub.ours("-o", "guest", "-f", str(FIRMWARE), "-s", f"luks-key:{tmp_path / 'none'}")
    assert done.status == 2


CALLS = ("open", "getHostname", "lookupByName", "isActive", "info", "XMLDesc", "launchSecurityInfo", "getCapabilities")


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_libvirt_refuses_is_one_line(call: str, tmp_path: Path) -> None:
    """The original ends with 6, "an error"; here an input is at fault."""
    stub = Stub(tmp_path / "stub", scenario(fails=[call], info=info_es(), xml=CONFIGURATIONS["kernel measured"]))
    options = [
        "-o",
        "guest",
        "-f",
        str(FIRMWARE),
        *KERNEL_OPTIONS,
        *(("-i",) if call == "getCapabilities" else ("-n", "4")),
    ]
    done = stub.ours(*options)
    assert done.status == 2, done
    assert done.err.count("\n") == 1
    assert f"{call} was refused" in done.err
    if not why_no_real_tool():
        assert stub.real(*options).status == 6


BOMB = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(12)
) + "]><domain>&m;</domain>"  # fmt: skip
HOSTILE = {
    "an entity bomb": BOMB,
    "an external entity": "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain>&a;</domain>",
    "10 MB of nesting": "<a>" * 3_000_000,
    "deep nesting": "<a>" * 5000 + "</a>" * 5000,
    "no XML": "hello",
    "nothing": "",
    "another document": "<network/>",
    "a list": [],
    "no text": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_of_the_host_is_one_line(name: str, tmp_path: Path) -> None:
    for part in ("xml", "capabilities"):
        content = scenario(info=info_es(), **{"xml": CONFIGURATIONS["kernel measured"], part: HOSTILE[name]})
        stub = Stub(tmp_path / part, content)
        done = stub.ours("-o", "guest", "-i", "-f", str(FIRMWARE), *KERNEL_OPTIONS, "-n", "4")
        assert done.status in (2, 4), done
        assert (done.out, done.err.count("\n")) == ("", 1)
        assert "passwd" not in done.out
        assert len(done.err) < 600


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"sev-measurement": 5},
        {"sev-measurement": "short"},
        {"sev-api-major": "x"},
        {"sev-api-minor": 256},
        {"sev-build-id": -1},
        {"sev-policy": 1 << 40},
        {"sev-policy": None},
    ],
)
def test_broken_launch_security_information_is_one_line(broken: dict[str, Any], tmp_path: Path) -> None:
    report = {**info(), **broken} if broken else {}
    done = Stub(tmp_path / "stub", scenario(info=report)).ours("-o", "guest", "-f", str(FIRMWARE))
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("7", ["lookupByID", 7]),
        ("guest", ["lookupByName", "guest"]),
        ("deadbeef", ["lookupByName", "deadbeef"]),  # the original takes it for a UUID
        ("6d8c6a5e-2f3b-4c1d-8e9f-0a1b2c3d4e5f", ["lookupByUUIDString", "6d8c6a5e-2f3b-4c1d-8e9f-0a1b2c3d4e5f"]),
    ],
)
def test_a_domain_is_found_by_number_name_and_uuid(name: str, call: list[Any], tmp_path: Path) -> None:
    stub = Stub(tmp_path / "stub", scenario())
    assert stub.ours("-o", name, "-f", str(FIRMWARE), "-c", "qemu+ssh://host/system").status == 0
    calls = stub.calls()
    assert calls[0] == ["open", "qemu+ssh://host/system"]
    assert call in calls


def test_without_libvirt_one_line_tells_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise ImportError('none')")
    command = [sys.executable, "-m", "sevlab", "validate", "-o", "guest", "--tk", str(SAMPLES / "tk.bin")]
    done = run(command, tmp_path, variables={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "python3-libvirt" in done.err


def test_keys_are_asked_for_before_libvirt_is(tmp_path: Path) -> None:
    stub = Stub(tmp_path / "stub", scenario())
    done = stub.run([sys.executable, "-m", "sevlab", "validate", "-o", "guest"])
    assert (done.status, stub.calls()) == (2, [])
    assert "--tk" in done.err


def test_the_manual_has_the_table_of_statuses() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    for theirs, ours in STATUS.items():
        if theirs > 2:
            assert f"| {ours} | {theirs} |" in text, (theirs, ours)
