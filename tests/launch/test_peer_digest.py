"""``sevlab digest`` against sev-snp-measure, and the digests that were published with it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sevlab.cli import main
from sevlab.formats.policy import Policy
from sevlab.launch.inputs import load_launch
from sevlab.launch.vmm import CPU_MODELS
from tests.peers import ovmf_images, run, why_no_ovmf
from tests.shared_data import shared_data

pytestmark = pytest.mark.peer

peer = pytest.importorskip("sevsnpmeasure.guest", reason="no sev-snp-measure: pip install sev-snp-measure")
SEED, NEEDED = 5, 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digests")
    (folder / "kernel").write_bytes(random.Random(SEED).randbytes(4000))
    (folder / "initrd").write_bytes(random.Random(SEED + 1).randbytes(4000))
    (folder / "empty").write_bytes(b"")
    return folder


def theirs(*options: str, folder: Path) -> str:
    import sys

    done = run([str(Path(sys.executable).with_name("sev-snp-measure")), *options], folder)
    assert done.status == 0, done.err
    return done.out.strip()


def ours(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["digest", *options]) == 0
    return capsys.readouterr().out.strip()


def test_registers_and_counts_agree_in_process() -> None:
    if why := why_no_ovmf():
        pytest.skip(why)
    from sevsnpmeasure import vcpu_types, vmm_types
    from sevsnpmeasure.sev_mode import SevMode

    chance = random.Random(SEED)
    compared = 0
    images = [str(image) for image in ovmf_images()[:2]]
    vmms = {"qemu": vmm_types.VMMType.QEMU, "ec2": vmm_types.VMMType.ec2, "gce": vmm_types.VMMType.gce}
    assert set(vcpu_types.CPU_SIGS) <= set(CPU_MODELS)
    for name, signature in vcpu_types.CPU_SIGS.items():
        for profile, vmm in vmms.items():
            for count in (1, 255, *(chance.randrange(2, 255) for _ in range(5))):
                image = chance.choice(images)
                expected = peer.calc_launch_digest(
                    SevMode.SEV_ES, count, signature, image, None, None, None, 0, "", vmm_type=vmm
                )
                cpu = CPU_MODELS[name]
                launch = load_launch(
                    Policy().replace(es=1),
                    firmware=image,
                    num_cpus=count,
                    profile=profile,
                    cpu_signature=cpu.signature if hasattr(cpu, "signature") else cpu,
                )
                assert launch.digest == bytes(expected), (name, profile, count)
                compared += 1
    assert compared >= NEEDED


@pytest.mark.parametrize("form", ["hex", "base64"])
def test_the_command_prints_what_the_peer_prints(
    folder: Path, capsys: pytest.CaptureFixture[str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why := why_no_ovmf():
        pytest.skip(why)
    monkeypatch.chdir(folder)
    for options in (
        ("--mode", "sev"),
        ("--mode", "seves", "--vcpus", "3", "--vcpu-type", "EPYC-Rome"),
        ("--mode", "seves", "--vcpus", "2", "--vcpu-sig", "0x800f12"),
        ("--mode", "seves", "--vcpus", "2", "--vcpu-family", "25", "--vcpu-model", "17", "--vcpu-stepping", "0"),
        ("--mode", "seves", "--vcpus", "4", "--vmm-type", "ec2"),
        ("--mode", "seves", "--vcpus", "4", "--vmm-type", "gce", "--vcpu-type", "EPYC"),
    ):
        given = (*options, "--ovmf", str(ovmf_images()[0]), "--output-format", form)
        assert ours(capsys, *given) == theirs(*given, folder=folder)


def test_kernels_agree_over_a_real_footer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(shared_data("firmware", "ovmf_AmdSev_suffix.bin"))
    kernel = ("--kernel", str(folder / "kernel"))
    for mode in (("--mode", "sev"), ("--mode", "seves", "--vcpus", "2", "--vcpu-type", "EPYC-Milan")):
        for initrd in ((), ("--initrd", str(folder / "initrd")), ("--initrd", str(folder / "empty"))):
            for append in ((), ("--append", "console=ttyS0 "), ("--append", "")):
                given = (*mode, "--ovmf", image, *kernel, *initrd, *append)
                assert ours(capsys, *given) == theirs(*given, folder=folder), given


#: Made with sev-snp-measure's own firmware end, as the incident list of this project gives it.
GOLDEN = "8f765dfabc127fc0a938a0744a3103ec15864d7d794eb4c398aa976b6d6ab16c"


def test_the_golden_digest_without_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    image = str(shared_data("firmware", "ovmf_AmdSev_suffix.bin"))
    assert ours(capsys, "--mode", "sev", "--ovmf", image) == GOLDEN


def test_the_registers_written_are_the_peers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if why := why_no_ovmf():
        pytest.skip(why)
    given = (
        "--mode",
        "seves",
        "--vcpus",
        "2",
        "--vcpu-type",
        "EPYC-v4",
        "--ovmf",
        str(ovmf_images()[0]),
        "--dump-vmsa",
    )
    for place in ("theirs", "ours"):
        (folder / place).mkdir()
    theirs(*given, folder=folder / "theirs")
    monkeypatch.chdir(folder / "ours")
    ours(capsys, *given)
    for name in ("vmsa0.bin", "vmsa1.bin"):
        assert (folder / "ours" / name).read_bytes() == (folder / "theirs" / name).read_bytes()
    assert main(["digest", *given]) == 2
    assert "vmsa0.bin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--mode", "snp"), "--vcpu-type: received nothing"),
        (("--mode", "snp", "--vcpus", "1", "--vcpu-sig", "1", "--svsm", "x"), "--svsm: received it with --mode snp"),
        (("--mode", "snp:svsm", "--vcpus", "1", "--vcpu-sig", "1"), "--svsm: received nothing"),
        (("--mode", "sev", "--trace"), "--trace: received it with --mode sev"),
        (("--mode", "sev", "--snp-ovmf-hash", "00"), "--snp-ovmf-hash: received it with --mode sev"),
        (("--mode", "snp", "--vmm-type", "kvm"), "--vmm-type: received 'kvm'"),
        (("--mode", "snp", "--vmm-type", "gce", "--profile", "ec2"), "--profile: received 'ec2' with --vmm-type gce"),
        (("--mode", "x"), "--mode: received 'x'"),
        (("--mode", "seves"), "--vcpu-type: received nothing"),
        (("--mode", "seves", "--vcpu-type", "EPYC"), "--vcpus: received nothing"),
        (("--mode", "seves", "--vcpu-type", "EPYC", "--vcpus", "0"), "--vcpus: received '0'"),
        (("--mode", "seves", "--vcpu-type", "EPIC", "--vcpus", "1"), "--vcpu-type: received 'EPIC'"),
        (("--mode", "seves", "--vmm-type", "ec2", "--profile", "qemu", "--vcpus", "1"), "--profile: received 'qemu'"),
        (("--mode", "sev", "--initrd", "x"), "--initrd: received it without --kernel"),
        (("--mode", "sev", "--kernel", "kernel"), "--kernel: received one for"),
    ],
)
def test_misuse_is_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "fw.fd").write_bytes(bytes(4096))
    assert main(["digest", *options, "--ovmf", "fw.fd"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"ERROR: {told}")
    assert err.count("\n") == 1
