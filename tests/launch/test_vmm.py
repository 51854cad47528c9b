"""Initial CPU states by VMM: real digests, the real tool's pages, and the CPU signature."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sevlab import InputError, Vmsa, build_vmsa, compare, load_ovmf
from sevlab.cli.vmsa import describe_signature
from sevlab.formats.kernel_hashes import build_kernel_hashes
from sevlab.formats.vmsa import EFFECTS
from sevlab.launch.vmm import (
    CPU_MODELS,
    PROFILES,
    cpu_signature,
    parse_cpu_model,
    recognize_vmsa,
    split_signature,
)
from tests.paths import DOCS
from tests.shared_data import shared_data

TURIN, START = 0x00B00F00, 0x0080B004

# Pages and digests of others


@pytest.mark.parametrize(
    ("profile", "cpu", "features", "sha256"),
    [
        ("qemu", 0, 1, "2ca0f425912adf0b2269b36bc1082dbbb26f797f0272608901380223c54e99bf"),
        ("qemu", 1, 1, "d587d963078fd78f09b02dcffe77f473b95c4b8e9e0179ff1db57e8121d2f6fe"),
        ("qemu-legacy", 0, 0, "a435d24405b00d5a370a122984668b085d16a1683cc9d42364bde370834a5c96"),
        ("ec2", 0, 1, "d6c9d0409668043e96874082e992eb1a08393f1ad6f3c1be450e51bc2cc66004"),
        ("gce", 0, 1, "a2b1355de1e1f11159d4cfaa28a748c6d19f63b330a7cb09696eda0c5f2f8ab8"),
    ],
)
def test_pages_have_the_known_hashes(profile: str, cpu: int, features: int, sha256: str) -> None:
    """vmsa section 6: hashes of the pages, made by other tools' code."""
    page = build_vmsa(profile, cpu=cpu, signature=TURIN, reset_address=START, sev_features=features)
    assert hashlib.sha256(page.to_bytes()).hexdigest() == sha256


@pytest.mark.parametrize(
    ("cpus", "digest"),
    [
        (1, "847aa3366a5b210ba4d888e44be9dde9af8233c68b16438c352ef75a9da517c1"),
        (2, "f2bc39f55344e2c3b25f5a2adc41df75b9914b4747218a94a1e8b60acbdc6552"),
    ],
)
def test_launch_digests_of_sev_es_are_the_golden_ones(cpus: int, digest: str) -> None:
    """incidents section 2, mode SEV-ES: firmware, hash table, then one page per CPU, under one SHA-256."""
    path = shared_data("firmware", "ovmf_AmdSev_suffix.bin")
    table = build_kernel_hashes(hashlib.sha256(b"").digest(), None, "console=ttyS0 loglevel=7")
    signature = parse_cpu_model("EPYC-v4").signature
    start = load_ovmf(str(path)).reset_address
    pages = [build_vmsa("qemu", cpu=cpu, signature=signature, reset_address=start) for cpu in range(cpus)]
    loaded = path.read_bytes() + table.to_bytes() + b"".join(page.to_bytes() for page in pages)
    assert hashlib.sha256(loaded).hexdigest() == digest


REAL_TOOL, SYSTEM_PYTHON = Path("/usr/bin/virt-qemu-sev-validate"), "/usr/bin/python3"

# Runs under the system's python, which has the libraries the tool needs. It reads cases from standard input and
# prints the tool's pages; then, for every field the tool declares, a page in which only this field is not zero.
_DRIVER = """
import importlib.machinery, importlib.util, json, sys
loader = importlib.machinery.SourceFileLoader("tool", sys.argv[1])
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("tool", loader))
sys.dont_write_bytecode = True
loader.exec_module(tool)
pages = []
for family, model, stepping, start in json.load(sys.stdin):
    page = tool.VMSA()
    page.amd64_cpu_init(); page.kvm_cpu_init(); page.qemu_cpu_init()
    page.cpu_sku(family, model, stepping)
    boot = page.pack()
    page.reset_addr(start)
    pages.append([boot.hex(), page.pack().hex()])
fields = {}
for field in tool.VMSA().fields:
    if field.fmt != tool.Field.ARRAY:
        page = tool.VMSA()
        setattr(page, field.name, 0x5A)
        fields[field.name] = page.pack().hex()
json.dump([pages, fields], sys.stdout)
"""


def real_pages(cases: list[tuple[int, int, int, int]]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the pages that libvirt's tool builds: for each case, and one for each field."""
    if not REAL_TOOL.exists():
        pytest.skip(f"no {REAL_TOOL}: install Debian's package libvirt-clients-qemu")
    command = [SYSTEM_PYTHON, "-I", "-c", _DRIVER, str(REAL_TOOL)]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=300)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{REAL_TOOL} lacks a library: reinstall Debian's package libvirt-clients-qemu")
    assert done.returncode == 0, done.stderr
    pages, fields = json.loads(done.stdout)
    return pages, fields


@pytest.mark.peer
def test_legacy_pages_equal_those_of_libvirt() -> None:
    chance = random.Random(20241)
    cases = [(0, 0, 0, 1), (15, 255, 15, 0xFFFFFFFF), (16, 0, 0, 0xFFFF), (270, 255, 15, 0x10000), (25, 1, 1, START)]
    cases += [
        (chance.randrange(271), chance.randrange(256), chance.randrange(16), chance.randrange(1, 1 << 32))
        for _ in range(300)
    ]
    pages, _ = real_pages(cases)
    for (family, model, stepping, start), (boot, application) in zip(cases, pages, strict=True):
        signature = cpu_signature(family, model, stepping)
        assert build_vmsa("qemu-legacy", signature=signature).to_bytes().hex() == boot
        ours = build_vmsa("qemu-legacy", cpu=1, signature=signature, reset_address=start)
        assert ours.to_bytes().hex() == application


@pytest.mark.peer
def test_fields_lie_where_libvirt_has_them() -> None:
    """Up to 0x390; from there on the tool uses the older naming (vmsa 1.3)."""
    _, fields = real_pages([])
    seen = 0
    for name, raw in fields.items():
        ours = [span for span in Vmsa.from_bytes(bytes.fromhex(raw)).spans() if any(span.raw)]
        if len(ours) != 1 or ours[0].offset >= 0x390 or name.startswith("reserved"):
            continue
        register, _, part = name.rpartition("_")
        assert ours[0].name in (name, f"{register}.{part}")
        assert ours[0].value == 0x5A
        seen += 1
    assert seen > 70


@pytest.mark.peer
@pytest.mark.parametrize("profile", ["qemu", "ec2", "gce"])
def test_pages_equal_those_of_sev_snp_measure(profile: str) -> None:
    reason = "no sev-snp-measure: pip install sev-snp-measure (0.0.13 or later)"
    theirs = pytest.importorskip("sevsnpmeasure.vmsa", reason=reason)
    mode = pytest.importorskip("sevsnpmeasure.sev_mode").SevMode.SEV_SNP
    vmm = next(kind for kind in pytest.importorskip("sevsnpmeasure.vmm_types").VMMType if kind.name.lower() == profile)
    for name, signature in pytest.importorskip("sevsnpmeasure.vcpu_types").CPU_SIGS.items():
        assert parse_cpu_model(name).signature == signature
        for features in (0, 0x1, 0x21):
            for cpu, page in enumerate(theirs.VMSA(mode, START, signature, features, vmm).pages(3)):
                ours = build_vmsa(profile, cpu=cpu, signature=signature, reset_address=START, sev_features=features)
                assert ours.to_bytes() == bytes(page)


# What profiles say


@pytest.mark.parametrize("profile", list(PROFILES))
def test_boot_and_application_processors_differ_only_where_they_start(profile: str) -> None:
    boot = build_vmsa(profile, signature=TURIN)
    application = build_vmsa(profile, cpu=1, signature=TURIN, reset_address=START)
    bytes_ = [*range(0x18, 0x1C), 0x178, 0x179]
    if profile.startswith("ec2"):
        bytes_ = [0x12, *bytes_]
    assert set(compare(boot, application).marked) <= set(bytes_)
    assert compare(boot, application).differing == (["cs.attrib"] if 0x12 in bytes_ else []) + ["cs.base", "rip"]
    assert (application.cs.base, application.rip) == (0x00800000, 0xB004)
    assert build_vmsa(profile, cpu=255, signature=TURIN, reset_address=START) == application


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ("qemu", "qemu-legacy", ["mxcsr", "x87_fcw"]),
        ("ec2", "ec2-rdx0", ["rdx"]),
        ("gce", "qemu-legacy", ["g_pat", "rdx"]),
        ("ec2", "qemu-legacy", ["cs.attrib", "ss.attrib", "tr.attrib", "rdx"]),
    ],
)
def test_profiles_differ_as_the_incidents_say(one: str, other: str, differing: list[str]) -> None:
    assert compare(build_vmsa(one, signature=TURIN), build_vmsa(other, signature=TURIN)).differing == differing


def test_the_five_profiles_are_there_and_say_where_they_come_from() -> None:
    assert list(PROFILES) == ["qemu", "qemu-legacy", "ec2", "ec2-rdx0", "gce"]
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.summary.endswith(".")
        assert profile.source in str(profile).replace("\n", " ")
        assert profile.since in str(profile).replace("\n", " ")


def test_the_manual_page_has_every_profile_and_every_effect() -> None:
    page = (DOCS / "vmsa.md").read_text(encoding="utf-8")
    for word, sentence in EFFECTS.items():
        assert f"| {word} | {sentence} |" in page
    for profile in PROFILES.values():
        assert f"| `{profile.name}` | {profile.summary} | {profile.since} | {profile.source} |" in page


@given(
    st.sampled_from(list(PROFILES)), st.integers(0, 1), st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFFFFFFFFFF),
)  # fmt: skip
@example("ec2", 1, 0, 0xFFFFFFF0, 0)
def test_a_page_is_recognized_as_what_it_is(profile: str, cpu: int, signature: int, start: int, features: int) -> None:
    page = build_vmsa(profile, cpu=cpu, signature=signature, reset_address=start, sev_features=features)
    if cpu and start == 0xFFFFFFF0:
        return  # an application processor that starts at the reset vector looks like the boot processor
    found = [(p.name, is_boot) for p, is_boot, differing in recognize_vmsa(page) if not differing]
    assert (profile, cpu == 0) in found


@given(st.integers(0, 1 << 32).map(lambda seed: random.Random(seed).randbytes(4096)))
@example(bytes(4096))
@example(b"\xff" * 4096)
def test_any_page_can_be_asked_about(raw: bytes) -> None:
    assert len(recognize_vmsa(Vmsa.from_bytes(raw))) == len(PROFILES)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"profile": "krun"}, "one of qemu, qemu-legacy"),
        ({"signature": None}, "profile qemu puts it into RDX"),
        ({"signature": -1}, "signature"),
        ({"signature": 1 << 32}, "signature"),
        ({"cpu": -1}, "cpu"),
        ({"cpu": 1}, "SEV-ES reset block"),
        ({"cpu": 1, "reset_address": 0}, "QEMU refuses"),
        ({"cpu": 1, "reset_address": 1 << 32}, "reset_address"),
        ({"sev_features": 1 << 64}, "sev_features"),
        ({"sev_features": -1}, "sev_features"),
        ({"cpu": True}, "cpu"),
        ({"signature": 1.5}, "signature"),
    ],
)
def test_unusable_values_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        build_vmsa(**{"profile": "qemu", "signature": TURIN, **values})
    assert "\n" not in str(caught.value)


# The CPU signature

MODELS = {
    (23, 1, 2): (0x00800F12, ["EPYC", "EPYC-IBPB", *(f"EPYC-v{n}" for n in range(1, 6))]),
    (23, 49, 0): (0x00830F10, ["EPYC-Rome", *(f"EPYC-Rome-v{n}" for n in range(1, 6))]),
    (25, 1, 1): (0x00A00F11, ["EPYC-Milan", *(f"EPYC-Milan-v{n}" for n in range(1, 5))]),
    (25, 17, 0): (0x00A10F10, ["EPYC-Genoa", *(f"EPYC-Genoa-v{n}" for n in range(1, 4))]),
    (26, 0, 0): (0x00B00F00, ["EPYC-Turin", "EPYC-Turin-v1", "EPYC-Turin-v2"]),
}


def test_the_models_are_those_of_qemu() -> None:
    """vmsa 3.2, and QEMU 11.1.3."""
    known = {name: (cpu, signature) for cpu, (signature, names) in MODELS.items() for name in names}
    assert {name: (tuple(cpu), cpu.signature) for name, cpu in CPU_MODELS.items()} == known
    assert all(parse_cpu_model(name) == CPU_MODELS[name] for name in known)


@given(st.integers(0, 270), st.integers(0, 255), st.integers(0, 15))
def test_a_signature_splits_into_what_it_was_made_of(family: int, model: int, stepping: int) -> None:
    assert split_signature(cpu_signature(family, model, stepping)) == (family, model, stepping)


@given(st.integers(0, 0xFFFFFFFF))
def test_every_number_is_a_signature_or_refused(number: int) -> None:
    try:
        cpu = split_signature(number)
    except InputError:
        assert "no CPU signature" in describe_signature(number)
    else:
        assert cpu.signature == number


@pytest.mark.parametrize(
    ("values", "name"),
    [((271, 0, 0), "family"), ((-1, 0, 0), "family"), ((0, 256, 0), "model"), ((0, 0, 16), "stepping")],
)
def test_a_number_out_of_range_is_named(values: tuple[int, int, int], name: str) -> None:
    with pytest.raises(InputError) as caught:
        cpu_signature(*values)
    assert caught.value.input == name


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("epyc-milan", "EPYC-Milan"),
        ("EPYC-V4,+svm", "EPYC-v4"),
        ("EPYC-Rom", "EPYC-Rome"),
        ("EPYC-Turin-v9", "EPYC-Turin-v1"),
        ("host", "/proc/cpuinfo"),
        ("", ""),
        ("Skylake-Server", ""),
        ("E" * 100_000, ""),
    ],
)
def test_an_unknown_model_gets_its_nearest(name: str, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_cpu_model(name, "--vcpu-type")
    assert caught.value.input == "--vcpu-type"
    assert advice in caught.value.advice
    assert bool(advice) == bool(caught.value.advice)
    assert len(str(caught.value)) < 400
