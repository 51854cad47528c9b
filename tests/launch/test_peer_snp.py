"""``sevlab digest`` of SEV-SNP against sev-snp-measure: every mode, VMM, CPU type and number of CPUs."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from sevlab.cli import main
from sevlab.formats.ovmf import parse_ovmf
from sevlab.formats.ovmf_tables import RESET_BLOCK
from sevlab.launch.snp import has_hashes, load_ovmf_digest, load_snp_launch
from sevlab.launch.vmm import CPU_MODELS
from tests.made_images import RESET, entry, image, snp_image, svsm_image, tail
from tests.peers import ovmf_images, run
from tests.shared_data import shared_data
from tests.soak import many

pytestmark = pytest.mark.peer

peer = pytest.importorskip("sevsnpmeasure.guest", reason="no sev-snp-measure: pip install sev-snp-measure")
SEED, NEEDED = 7, many(600, 260)
FEATURES = (0, 1, 0x20, 0x21, 0x201, (1 << 64) - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snp")
    chance = random.Random(SEED)
    (folder / "kernel").write_bytes(chance.randbytes(4000))
    (folder / "initrd").write_bytes(chance.randbytes(4000))
    (folder / "vars").write_bytes(bytes(0x84000))
    for number in range(4):
        (folder / f"made{number}.fd").write_bytes(snp_image(pages=1 + 5 * number, seed=number))
        sections = ((0x0, 0x9E000, 1), (0x9E000, 0x1000, 2), (0x9F000, 0x1000, 3))
        svsm = svsm_image(sections, pages=2 + number, seed=number, start=0x1000 * number + 7)
        (folder / f"svsm{number}.bin").write_bytes(svsm)
    return folder


def images(folder: Path) -> list[Path]:
    """The images that both programs take: the real ends, Debian's own, and made ones."""
    ends = [shared_data("firmware", name) for name in ("ovmf_AmdSev_suffix.bin", "ovmf_OvmfX64_suffix.bin")]
    return [*ends, *sorted(folder.glob("made*.fd")), *ovmf_images()]


def vmm(name: str) -> Any:
    from sevsnpmeasure.vmm_types import VMMType

    return VMMType[name]


def mode(name: str) -> Any:
    from sevsnpmeasure.sev_mode import SevMode

    return SevMode.from_str(name)


def test_hundreds_of_launches_agree_in_process(folder: Path) -> None:
    from sevsnpmeasure.vcpu_types import CPU_SIGS

    chance = random.Random(SEED)
    assert set(CPU_SIGS) <= set(CPU_MODELS)
    everything = [(name, kind) for name in CPU_SIGS for kind in ("QEMU", "ec2", "gce")]
    counts = [*range(1, 256)]
    chance.shuffle(counts)
    known = images(folder)
    with_hashes = {path: has_hashes(parse_ovmf(path.read_bytes())) for path in known}
    seen: set[Any] = set()
    for number in range(NEEDED):
        (name, kind), count = everything[number % len(everything)], counts[number % len(counts)]
        path, features = known[number % len(known)], chance.choice(FEATURES)
        inputs: dict[str, Any] = {}
        if with_hashes[path] and chance.random() < 0.7:
            inputs["kernel"] = str(folder / "kernel")
            if chance.random() < 0.5:
                inputs["initrd"] = str(folder / "initrd")
            if chance.random() < 0.7:
                inputs["cmdline"] = chance.choice(("", "console=ttyS0", "a  b ", "ümlaut"))
        after = load_ovmf_digest(str(path)).hex() if chance.random() < 0.2 else ""
        reported = peer.calc_launch_digest(
            *(mode("snp"), count, CPU_SIGS[name], str(path), inputs.get("kernel"), inputs.get("initrd")),
            *(inputs.get("cmdline"), features, after),
            vmm_type=vmm(kind),
        )
        computed = load_snp_launch(
            firmware=path,
            num_cpus=count,
            cpu_signature=CPU_MODELS[name].signature,
            profile=kind.lower(),
            guest_features=features,
            ovmf_hash=after or None,
            **inputs,
        )
        assert computed.digest == bytes(reported), (name, kind, count, path, features, inputs, after)
        seen |= {name, kind, count, path, features}
    assert seen >= {*CPU_SIGS, "QEMU", "ec2", "gce", *range(1, 256), *known, *FEATURES}


def test_the_digest_after_the_firmware_agrees(folder: Path) -> None:
    for path in images(folder):
        assert load_ovmf_digest(str(path)) == peer.calc_snp_ovmf_hash(str(path))


def test_svsm_launches_agree_in_process(folder: Path) -> None:
    chance = random.Random(SEED)
    for number in range(60):
        path, count = chance.choice(images(folder)), chance.randrange(1, 256)
        svsm, size = folder / f"svsm{number % 4}.bin", chance.choice((0x84000, 0x20000, 0x1000))
        signature = chance.choice([cpu.signature for cpu in CPU_MODELS.values()])
        reported = peer.calc_launch_digest(
            *(mode("snp:svsm"), count, signature, str(path), None, None, None, 1),
            svsm_file=str(svsm),
            ovmf_vars_size=size,
        )
        computed = load_snp_launch(firmware=path, svsm=svsm, vars_size=size, num_cpus=count, cpu_signature=signature)
        assert computed.digest == bytes(reported), (path, svsm, size, count)


def theirs(*options: str, folder: Path) -> str:
    done = run([str(Path(sys.executable).with_name("sev-snp-measure")), *options], folder)
    assert (done.status, done.err) == (0, "")
    return done.out.strip()


def ours(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["digest", *options]) == 0
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("form", ["hex", "base64"])
def test_the_command_prints_what_the_peer_prints(
    folder: Path, capsys: pytest.CaptureFixture[str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    seed = load_ovmf_digest("made1.fd").hex()
    kernel = ("--kernel", "kernel", "--initrd", "initrd", "--append", "console=ttyS0 ")
    for options in (
        ("--mode", "snp", "--vcpus", "1", "--vcpu-type", "EPYC-v4"),
        ("--mode", "snp", "--vcpus", "4", "--vcpu-sig", "0x830f10", *kernel),
        ("--mode", "snp", "--vcpus", "2", "--vcpu-family", "25", "--vcpu-model", "17", "--vcpu-stepping", "0"),
        ("--mode", "snp", "--vcpus", "255", "--vmm-type", "ec2", "--guest-features", "0x21"),
        ("--mode", "snp", "--vcpus", "8", "--vmm-type", "gce", *kernel),
        ("--mode", "snp", "--vcpus", "8", "--vcpu-type", "EPYC-Turin", "--snp-ovmf-hash", seed),
        (
            "--mode",
            "snp:svsm",
            "--vcpus",
            "3",
            "--vcpu-type",
            "EPYC-v4",
            "--svsm",
            "svsm1.bin",
            "--vars-size",
            "131072",
        ),
        ("--mode", "snp:svsm", "--vcpus", "3", "--vcpu-type", "EPYC", "--svsm", "svsm2.bin", "--vars-file", "vars"),
    ):
        given = (*options, "--ovmf", "made1.fd", "--output-format", form)
        assert ours(capsys, *given) == theirs(*given, folder=folder), given
    given = ("--mode", "snp:ovmf-hash", "--ovmf", "made1.fd")
    assert ours(capsys, *given) == theirs(*given, folder=folder)


@pytest.mark.parametrize("kind", ["snp", "svsm"])
def test_the_registers_written_are_the_peers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    given = ["--mode", "snp", "--vcpus", "3", "--vcpu-type", "EPYC-v4", "--ovmf", str(folder / "made2.fd")]
    if kind == "svsm":
        given[1] = "snp:svsm"
        given += ["--svsm", str(folder / "svsm1.bin"), "--vars-size", "4096"]
    for place in ("theirs", "ours"):
        (folder / kind / place).mkdir(parents=True)
    theirs(*given, "--dump-vmsa", folder=folder / kind / "theirs")
    monkeypatch.chdir(folder / kind / "ours")
    ours(capsys, *given, "--dump-vmsa")
    for name in ("vmsa0.bin", "vmsa1.bin", "vmsa2.bin"):
        assert Path(name).read_bytes() == (folder / kind / "theirs" / name).read_bytes()


def test_the_trace_and_the_json_are_the_chain(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.chdir(folder)
    given = ("--mode", "snp", "--vcpus", "2", "--vcpu-type", "EPYC-v4", "--ovmf", "made0.fd", "--kernel", "kernel")
    digest = ours(capsys, *given)
    trace = [line.split(maxsplit=5) for line in ours(capsys, *given, "--trace").splitlines()]
    assert trace[-1][4:] == [digest, "vCPU 1"]
    assert {row[2] for row in trace} == {"NORMAL", "ZERO", "SECRETS", "CPUID", "VMSA"}
    data = json.loads(ours(capsys, *given, "--json", "--trace"))
    assert data["digest"] == data["regions"][-1]["digest_after"] == digest
    assert [link["digest_after"] for link in data["links"]] == [row[4] for row in trace]
    assert [f"0x{link['gpa']:012x}" for link in data["links"]] == [row[1] for row in trace]


def test_the_peer_is_silent_where_we_warn(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "plain.fd").write_bytes(image(tail(entry(RESET_BLOCK, RESET.to_bytes(4, "little")))))
    given = ("--mode", "snp", "--vcpus", "2", "--vcpu-type", "EPYC", "--ovmf", "plain.fd")
    assert main(["digest", *given]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == theirs(*given, folder=folder)
    assert "WARNING: firmware: no SEV-SNP metadata in this firmware" in said.err
