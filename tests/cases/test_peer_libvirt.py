"""``sevlab validate --domain`` against libvirt's own tool, both over the same stub of libvirt.

And over the real libvirt of Debian, whose test driver has guests that do not need a hypervisor.
"""

from __future__ import annotations

import base64
import importlib.util
import itertools
import json
import random
import socket
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sevlab.attestation.secret import open_secret
from sevlab.cli.validate import validate_parser
from sevlab.formats.policy import Policy
from sevlab.labs import samples
from sevlab.launch.inputs import load_launch
from tests.fake_libvirt import (
    BOOT,
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
    Stub,
    es_scenario,
    info,
    info_es,
    scenario,
    xml,
)
from tests.peers import REAL_TOOL, ROOT, SYSTEM_PYTHON, Run, run, why_no_real_tool
from tests.soak import many

pytestmark = pytest.mark.peer

MANUAL = (ROOT / "docs" / "validate.md").read_text(encoding="utf-8")
SEED = 9
#: libvirt 9.0's exit status and ours. Its 6 is any error; here an input is at fault, so ours is 2.
STATUS = {0: 0, 1: 1, 2: 2, 3: 6, 4: 4, 5: 5, 6: 2}
BAD = {"info": info(measurement=base64.b64encode(bytes(48)).decode())}

GUEST = ["-o", "guest"]
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


@pytest.fixture(autouse=True)
def real_tool() -> None:
    if why := why_no_real_tool():
        pytest.skip(why)


# ---------------------------------------------------------------- the two must agree


def cases() -> list[tuple[dict[str, Any], list[str]]]:
    """Some of all combinations, each value of each part among them many times."""
    hosts = [("elsewhere", 1, 3)] * 4 + [("local", 1, 3)] * 2 + [("elsewhere", 1, 1), ("elsewhere", 0, 5)]
    states = [{"host": host, "active": active, "state": state} for host, active, state in hosts]
    reports = [info(), info(policy=0), BAD["info"], info_es()]
    everything = list(itertools.product(states, CONFIGURATIONS.values(), reports, OPTIONS.values(), FLAGS.values()))
    chosen = random.Random(SEED).sample(everything, many(160, 60))
    # The ways to a good verdict are few among all combinations.
    good = [
        (scenario(), WHOLE),
        (scenario(host="local"), ["-i"]),
        (scenario(state=1), [*WHOLE, "-i"]),
        (scenario(xml=CONFIGURATIONS["nvram"]), [*WHOLE, "-i"]),
        (scenario(xml=CONFIGURATIONS["SNP"]), [*WHOLE, "-g"]),
        (es_scenario(), OPTIONS["all"]),
        (es_scenario(), [*OPTIONS["firmware and kernel"], "-i"]),
        (es_scenario(host="local"), ["-i"]),
        (es_scenario(host="local", state=1), [*OPTIONS["firmware and CPUs"], "-i"]),
    ]
    return [
        *((content, [*options, *GUEST]) for content, options in good),
        *(
            (scenario(**state, xml=configuration, info=report), [*options, *flags, *GUEST])
            for state, configuration, report, options, flags in chosen
        ),
    ]


def all_over(folder: Path, made: Sequence[tuple[dict[str, Any], list[str]]]) -> list[tuple[Any, list[str], Run, Run]]:
    """Run both programs over every scenario, two at a time."""

    def both(number: int) -> tuple[Any, list[str], Run, Run]:
        content, options = made[number]
        stub = Stub(folder / str(number), content)
        return content, options, stub.real(*options), stub.ours(*options)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(both, range(len(made))))


def test_verdict_and_status_are_the_real_tool_s(tmp_path: Path) -> None:
    seen: Counter[int] = Counter()
    for content, options, real, ours in all_over(tmp_path, cases()):
        seen[real.status] += 1
        assert ours.status == STATUS[real.status], (options, content, real.err, ours.err)
        if real.status in (0, 1):
            assert ours.first_line == real.first_line
        else:
            assert (ours.out, ours.err[:7], ours.err.count("\n")) == ("", "ERROR: ", 1)
    assert all(seen[status] >= many(9, 2) for status in (0, 1, 2, 3, 4, 5)), seen


#: Misuse and broken answers of the host, each of which both refuse: by the same status, through the table.
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "both forms of keys": (scenario(), ["--tik", str(TK)]),
    "initrd without kernel": (es_scenario(host="local"), ["-i", "-r", str(INITRD)]),
    "command line without kernel": (es_scenario(host="local"), ["-i", "-e", "x"]),
    "a model alone": (es_scenario(), [*WHOLE, *KERNEL_OPTIONS, "-i", "--cpu-model", "9"]),
    "registers of further CPUs": (es_scenario(), [*WHOLE, *KERNEL_OPTIONS, "-i", "-n", "4", "-1", str(FIRMWARE)]),
    "files and numbers": (es_scenario(), [*OPTIONS["all"], "-0", str(FIRMWARE)]),
    "a secret's header alone": (scenario(), [*WHOLE, "--secret-header", "header"]),
    "a secret without a name": (scenario(), [*WHOLE, "-s", "key"]),
    "nothing about the launch": (scenario(info={}), WHOLE),
    "no measurement": (scenario(info={**info_es(), "sev-measurement": 5}), WHOLE),
    "a broken measurement": (scenario(info={**info(), "sev-measurement": "short"}), WHOLE),
    "a version over 255": (scenario(info={**info(), "sev-api-minor": 256}), WHOLE),
    "a negative build": (scenario(info={**info(), "sev-build-id": -1}), WHOLE),
    "a policy of 41 bits": (scenario(info={**info(), "sev-policy": 1 << 40}), WHOLE),
    "a policy that is none": (scenario(info={**info(), "sev-policy": None}), WHOLE),
    "CPUs that are no number": (es_scenario(cpus="x"), [*WHOLE, *KERNEL_OPTIONS, "-i"]),
    "no signature": (es_scenario(capabilities="<capabilities/>"), [*WHOLE, *KERNEL_OPTIONS, "-i"]),
    "two signatures": (
        es_scenario(capabilities=CAPABILITIES.replace("</cpu>", "<signature/></cpu>")),
        [*WHOLE, *KERNEL_OPTIONS, "-i"],
    ),
    "a signature that is no number": (
        es_scenario(capabilities=CAPABILITIES.replace("25", "x")),
        [*WHOLE, *KERNEL_OPTIONS, "-i"],
    ),
    "a signature without a family": (
        es_scenario(capabilities=CAPABILITIES.replace("family='25'", "")),
        [*WHOLE, *KERNEL_OPTIONS, "-i"],
    ),
    "capabilities of another kind": (
        es_scenario(capabilities=CAPABILITIES.replace("capabilities>", "nothing>")),
        [*WHOLE, *KERNEL_OPTIONS, "-i"],
    ),
    "a loader that is not there": (scenario(host="local", xml=xml(os="<loader>/none</loader>")), ["-i"]),
    "a loader without a path": (scenario(host="local", xml=xml(os="<loader/>")), ["-i"]),
    "no domain's configuration, unchecked": (scenario(host="local", xml="<network/>"), ["-ig"]),
    "a secret that libvirt refuses": (
        scenario(fails=["setLaunchSecurityState"]),
        [*WHOLE, "-s", f"luks-key:{TK}"],
    ),
    "a guest that does not go on": (scenario(fails=["resume"]), [*WHOLE, "-s", f"luks-key:{TK}"]),
    **{
        f"{call} fails": (es_scenario(fails=[call]), [*WHOLE, *KERNEL_OPTIONS, "-i"])
        for call in ("open", "getHostname", "lookupByName", "isActive", "info", "XMLDesc", "launchSecurityInfo")
    },
    "getCapabilities fails": (es_scenario(fails=["getCapabilities"]), [*WHOLE, *KERNEL_OPTIONS, "-i"]),
    "no domain of this name": (scenario(), [*WHOLE, "-o", "other"]),
    "no domain of this number": (scenario(), [*WHOLE, "-o", "8"]),
    "no domain of this UUID": (scenario(), [*WHOLE, "-o", UUID.replace("6", "7")]),
    "XML with a bomb of entities": (
        scenario(xml="<!DOCTYPE d [<!ENTITY a '&b;&b;'><!ENTITY b '&a;&a;'>]><domain>&a;</domain>"),
        WHOLE,
    ),
    "XML with an external entity": (
        scenario(xml="<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain>&a;</domain>"),
        WHOLE,
    ),
    "XML of 10 MB of nesting": (scenario(xml="<a>" * 3_500_000), WHOLE),
    "XML that is nested deeply": (scenario(xml="<a>" * 5000 + "</a>" * 5000), WHOLE),
    "no XML": (scenario(xml="hello"), WHOLE),
    "empty XML": (scenario(xml=""), WHOLE),
    "no text as XML": (scenario(xml=None), WHOLE),
}


def test_what_both_refuse(tmp_path: Path) -> None:
    for name, (_, options, real, ours) in zip(
        REFUSED,
        all_over(tmp_path, [(content, [*GUEST, *options]) for content, options in REFUSED.values()]),
        strict=True,
    ):
        assert (real.status >= 2, ours.status) == (True, STATUS[real.status]), (name, options, real, ours)
        assert (ours.out, ours.err[:7], ours.err.count("\n")) == ("", "ERROR: ", 1), name


def test_a_secret_is_handed_over_and_the_guest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a sample passphrase")
    options = [*GUEST, *WHOLE, "-s", f"luks-key:{tmp_path / 'key'}"]
    stub = Stub(tmp_path / "stub", scenario())
    seen = []
    for program in (stub.real, stub.ours):
        done = program(*options)
        assert (done.status, done.out.splitlines()) == (0, ["OK: Looks good to me", "OK: Injected 1 secrets"])
        calls = stub.calls()
        assert [call[0] for call in calls[-2:]] == ["setLaunchSecurityState", "resume"]
        _, values, flags = calls[-2]
        assert (sorted(values), flags) == (["sev-secret", "sev-secret-header"], 0)
        measure = base64.b64decode(info()["sev-measurement"])[:32]
        header, payload = (base64.b64decode(values[name]) for name in ("sev-secret-header", "sev-secret"))
        opened = open_secret(header, payload, samples.TIK, samples.TEK, measure)
        assert opened.matches
        seen.append([entry.data for entry in opened.table.entries])
    assert seen[0] == seen[1] == [b"a sample passphrase"]


def test_a_guest_that_does_not_match_is_not_touched_by_either(tmp_path: Path) -> None:
    stub = Stub(tmp_path, scenario(**BAD))
    for program in (stub.real, stub.ours):
        assert program(*GUEST, *WHOLE, "-s", f"luks-key:{TK}").status == 1
        assert not {"setLaunchSecurityState", "resume"} & {call[0] for call in stub.calls()}


PREFIXES = r"""
import argparse, importlib.machinery, importlib.util, json, sys
loader = importlib.machinery.SourceFileLoader("tool", sys.argv[1])
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("tool", loader))
sys.dont_write_bytecode = True
loader.exec_module(tool)
argparse.ArgumentParser.parse_args = lambda self: self
parser = tool.parse_command_line()
words = [word for word in parser._option_string_actions if word.startswith("--")]
prefixes = {word[:end] for word in words for end in range(3, len(word) + 1)}
found = {}
for prefix in prefixes:
    whole = parser._option_string_actions.get(prefix)
    matches = [whole] if whole else [match[0] for match in parser._get_option_tuples(prefix)]
    found[prefix] = matches[0].dest if len(matches) == 1 else None
print(json.dumps(found))
"""


def test_every_short_form_of_a_word_means_the_same() -> None:
    """Also those beside options of our own, such as --p for --policy and --profile."""
    done = run([str(SYSTEM_PYTHON), "-c", PREFIXES, str(REAL_TOOL)])
    theirs = json.loads(done.out)
    parser = validate_parser()
    ours = {}
    for prefix in theirs:
        whole = parser._option_string_actions.get(prefix)
        matches = [whole] if whole else [match[0] for match in parser._get_option_tuples(prefix)]
        ours[prefix] = matches[0].dest if len(matches) == 1 else None
    assert ours == theirs
    wanted = {"connect": "--con", "domain": "--do", "insecure": "--ins", "ignore_config": "--ig"}
    assert {name: theirs[word] for name, word in wanted.items()} == {name: name for name in wanted}
    assert theirs["--in"] is None


# ---------------------------------------------------------------- where the two differ on purpose


@dataclass(frozen=True)
class Difference:
    """A scenario on which the two differ: exit status and something each says. The manual has a row for it."""

    input: str
    content: dict[str, Any]
    options: list[str]
    real: tuple[int, str]
    ours: tuple[int, str]
    name: str = "guest"


GOOD = (0, "OK: Looks good to me")
WITH_KERNEL = info(digest=load_launch(Policy(1), firmware=str(FIRMWARE), kernel=str(KERNEL)).digest)
DIFFERENCES = [
    Difference(
        "domain: a name of hex digits, such as `deadbeef`",
        *(scenario(name="deadbeef"), WHOLE, (6, "Domain not found"), GOOD, "deadbeef"),
    ),
    Difference("domain: a UUID in capitals", scenario(), WHOLE, (6, "Domain not found"), GOOD, UUID.upper()),
    Difference(
        "domain: all that libvirt reports given as options, and it reports nothing",
        *(scenario(info={}), [*WHOLE, *REPORT_OPTIONS], (2, "'api-major' not reported"), GOOD),
    ),
    Difference(
        "domain: capabilities that libvirt does not give, and none are needed",
        *(scenario(fails=["getCapabilities"]), WHOLE, (6, "getCapabilities was refused"), GOOD),
    ),
    Difference(
        "domain: an empty `<cmdline>` that is taken with `--insecure`",
        scenario(host="local", info=WITH_KERNEL, xml=xml(os=BOOT.partition("<initrd")[0] + "<cmdline/>", hashes="yes")),
        *(["-i"], (6, "'NoneType' object"), GOOD),
    ),
    Difference(
        "domain: a kernel of no bytes that is taken with `--insecure`",
        scenario(host="local", xml=xml(os=f"{LOADER}<kernel>/dev/null</kernel>", hashes="yes")),
        *(["-i"], (1, "does not match"), (2, "--kernel (from libvirt): received '/dev/null', an empty file")),
    ),
    Difference(
        "domain: no CPU that is taken with `--insecure`",
        *(es_scenario(cpus=0), [*WHOLE, *KERNEL_OPTIONS, "-i"]),
        *((1, "does not match"), (2, "--num-cpus (from libvirt): received '0'")),
    ),
    Difference(
        "domain: XML with a document type",
        *(scenario(xml=f"<!DOCTYPE domain>{xml()}"), WHOLE, GOOD, (2, "a document type")),
    ),
    Difference(
        "domain: XML nested more than 64 deep",
        scenario(xml=xml().replace("<os>", f"{'<a>' * 100}{'</a>' * 100}<os>")),
        *(WHOLE, GOOD, (2, "nested more than 64 deep")),
    ),
    Difference(
        "domain: XML of more than 20000 elements",
        *(scenario(xml=xml().replace("<os>", "<a/>" * 20_000 + "<os>")), WHOLE, GOOD, (2, "more than 20000 elements")),
    ),
    Difference(
        "domain: XML of more than 1 MiB",
        *(scenario(xml=xml() + " " * (1 << 20)), WHOLE, GOOD, (2, "needed the XML of its domain, at most 1 MiB")),
    ),
    Difference(
        "domain: a hypervisor on this machine, and a file that is missing",
        *(scenario(host="local"), ["-f", "none"], (6, "No such file"), (6, "a hypervisor on this machine")),
    ),
    *(
        Difference(
            "domain: a hypervisor on this machine that answers another of its names, or an address of it",
            *(scenario(host=host), WHOLE, GOOD, (6, "a hypervisor on this machine")),
        )
        for host in (f"{socket.gethostname()}.example.org", f"{socket.gethostname()}.", "localhost", "127.0.0.1")
    ),
    Difference(
        "domain: a hypervisor that does not say its name",
        *(scenario(host=""), WHOLE, GOOD, (6, "a hypervisor that does not say where it is")),
    ),
    Difference(
        "`--secret-header` and `--secret-payload` with a domain",
        scenario(),
        [*WHOLE, "-s", f"luks-key:{TK}", "--secret-header", "header", "--secret-payload", "payload"],
        *(GOOD, GOOD),
    ),
    Difference(
        "`--inject-secret`, and libvirt refuses the secret",
        *(scenario(fails=["setLaunchSecurityState"]), [*WHOLE, "-s", f"luks-key:{TK}"]),
        *((6, "OK: Looks good to me"), (2, "setLaunchSecurityState was refused")),
    ),
]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=[one.input for one in DIFFERENCES])
def test_difference_is_as_told(difference: Difference, tmp_path: Path) -> None:
    stub = Stub(tmp_path, difference.content)
    options = ["-o", difference.name, *difference.options]
    written = []
    for program, (status, says) in ((stub.real, difference.real), (stub.ours, difference.ours)):
        done = program(*options)
        assert done.status == status, done
        assert says in done.out + done.err
        written.append((tmp_path / "header").exists())
    assert written == [False, "--secret-header" in options]
    if difference.ours[0]:
        assert (done.out, done.err[:7], done.err.count("\n")) == ("", "ERROR: ", 1)
    row = f"| {difference.input} | {difference.real[0]} | {difference.ours[0]} |"
    assert any(line.startswith(row) for line in MANUAL.splitlines()), row


def test_the_manual_has_the_table_of_statuses() -> None:
    for theirs, ours in STATUS.items():
        if theirs > 2:
            assert f"| {ours} | {theirs} |" in MANUAL, (theirs, ours)


# ---------------------------------------------------------------- over the real libvirt

TEST_DOMAIN = """
<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
  <name>{name}</name><memory>1024</memory><vcpu>2</vcpu>
  <os><type arch='x86_64'>hvm</type>{os}</os>
  <launchSecurity type='sev'{hashes}>
    <cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x1</policy>{blobs}
  </launchSecurity>
  <test:runstate>{state}</test:runstate>
</domain>
"""
BLOBS = "<dhCert>AAAA</dhCert><session>AAAA</session>"
LOADED = f"<loader type='rom'>{FIRMWARE}</loader>"
TEST_DOMAINS = {
    "good": {},
    "running": {"state": 1},
    "off": {"state": 5},
    "nocert": {"blobs": "<session>AAAA</session>"},
    "nosession": {"blobs": "<dhCert>AAAA</dhCert>"},
    "kernel": {"os": f"{LOADED}<kernel>{KERNEL}</kernel>"},
    "measured": {"os": f"{LOADED}<kernel>{KERNEL}</kernel>", "hashes": " kernelHashes='yes'"},
}


class RealLibvirt:
    """Debian's Python with Debian's libvirt, whose test driver runs the domains of a file."""

    def __init__(self, folder: Path) -> None:
        text = "".join(
            TEST_DOMAIN.format(**{"name": name, "os": LOADED, "hashes": "", "blobs": BLOBS, "state": 3, **changes})
            for name, changes in TEST_DOMAINS.items()
        )
        (folder / "node.xml").write_text(f"<node>{text}</node>")
        # Debian's Python need not have defusedxml, which is pure Python.
        found = importlib.util.find_spec("defusedxml")
        assert found is not None
        assert found.submodule_search_locations is not None
        (folder / "defusedxml").symlink_to(found.submodule_search_locations[0])
        self.folder = folder

    def run(self, program: Sequence[str], options: Sequence[str]) -> Run:
        connection = ["-c", f"test://{self.folder / 'node.xml'}", "--tk", str(TK)]
        variables = {"PYTHONPATH": f"{self.folder}:{ROOT}"}
        return run([str(SYSTEM_PYTHON), *program, *connection, *options], self.folder, variables=variables)

    def both(self, *options: str) -> tuple[Run, Run]:
        return self.run([str(REAL_TOOL)], options), self.run(["-m", "sevlab", "validate"], options)


@pytest.fixture(scope="module")
def real_libvirt(tmp_path_factory: pytest.TempPathFactory) -> RealLibvirt:
    return RealLibvirt(tmp_path_factory.mktemp("libvirt"))


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["-o", "good"], 6, "a hypervisor on this machine"),
        (["-o", "off", "-i"], 5, "which does not run"),
        (["-o", "nocert", "-i"], 4, "without one <dhCert>"),
        (["-o", "nosession", "-i"], 4, "without one <session>"),
        (["-o", "good", "-i", "-k", str(KERNEL)], 2, "the domain does not measure it"),
        (["-o", "nobody", "-i"], 2, "'Domain not found'"),
        (["-o", "99", "-i"], 2, "'Domain not found'"),
        (["-o", UUID, "-i"], 2, "'Domain not found'"),
        (["-o", "\udcff", "-i"], 2, "surrogates not allowed"),
        (["-o", "good", "-i", "-c", "nothing://"], 2, "--connect: received 'nothing://'"),
    ],
)
def test_refusals_over_the_real_libvirt(real_libvirt: RealLibvirt, options: list[str], status: int, says: str) -> None:
    real, ours = real_libvirt.both(*options)
    assert (ours.status, STATUS[real.status]) == (status, status), (real, ours)
    assert (ours.out, ours.err.count("\n")) == ("", 1)  # libvirt's own lines are not among them
    assert says in ours.err


def test_verdicts_over_the_real_libvirt(real_libvirt: RealLibvirt) -> None:
    """Its test driver tells nothing about launch security, so that is given, and the original cannot go this far."""
    for name in ("good", "running"):
        real, ours = real_libvirt.both("-o", name, "-i", *REPORT_OPTIONS)
        assert (real.status, ours.status, ours.out) == (6, 0, "OK: Looks good to me\n"), ours
        assert "launch" in real.err.lower()
    _, ours = real_libvirt.both("-o", "measured", "-i", *REPORT_OPTIONS)
    assert ours.status == 1  # the kernel counts
    measured = ["--measurement", WITH_KERNEL["sev-measurement"]]
    _, ours = real_libvirt.both("-o", "measured", "-i", *REPORT_OPTIONS, *measured)
    assert (ours.status, ours.out) == (0, "OK: Looks good to me\n")
