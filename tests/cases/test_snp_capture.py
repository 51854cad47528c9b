"""SEV-SNP guests, captured from their command line or domain XML: the digest that follows is sev-snp-measure's.

The texts are written anew after public ones, which are named; paths stand for the project's own samples.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import sevlab
from sevlab.cases.recognize import parse_anything
from sevlab.cli import main
from tests.paths import SAMPLES

OBJECT = "-object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1"
LINK = "-machine q35,confidential-guest-support=sev0"
KERNEL = "-kernel kernel.bin -initrd initrd.bin"
XML = """\
<domain type='kvm'>
  <name>snp</name>
  <vcpu>{cpus}</vcpu>
  <os><loader type='rom' stateless='yes'>firmware-snp.fd</loader>{kernel}</os>
  <cpu mode='custom'><model>{model}</model></cpu>
  <launchSecurity type='sev-snp'{attributes}>
    <cbitpos>51</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x00030000</policy>{more}
  </launchSecurity>
</domain>
"""
#: After: a text, the CPU's name for sev-snp-measure, the number of CPUs, and the command line (None: no kernel).
GUESTS: dict[str, tuple[str, str, int, str | None]] = {
    "https://www.qemu.org/docs/master/system/i386/amd-memory-encryption.html": (
        f"qemu-system-x86_64 -accel kvm {LINK} {OBJECT} -bios firmware-snp.fd -cpu EPYC-v4",
        *("EPYC-v4", 1, None),
    ),
    "https://github.com/AMDESE/AMDSEV/blob/snp-latest/launch-qemu.sh": (
        "qemu-system-x86_64 \\\n -enable-kvm \\\n -cpu EPYC-v4 \\\n -machine q35 \\\n -smp 4,maxcpus=255 \\\n -m 2048M "
        "\\\n -machine memory-encryption=sev0,vmport=off \\\n -object sev-snp-guest,id=sev0,policy=0x30000,cbitpos=51,"
        "reduced-phys-bits=1 \\\n -bios firmware-snp.fd \\\n -nographic",
        *("EPYC-v4", 4, None),
    ),
    "https://github.com/AMDESE/AMDSEV/blob/snp-latest/launch-qemu.sh with -kernel": (
        f"qemu-system-x86_64 -enable-kvm -cpu EPYC-Milan -smp 2 {LINK} {OBJECT},kernel-hashes=on "
        f"-bios firmware-snp.fd {KERNEL} -append 'console=ttyS0 root=/dev/sda1'",
        *("EPYC-Milan", 2, "console=ttyS0 root=/dev/sda1"),
    ),
    "https://github.com/kata-containers/kata-containers (a log of its shim)": (
        'level=info msg="launching /opt/kata/bin/qemu-system-x86_64 with: [-name sandbox-1 -machine q35,accel=kvm,'
        "confidential-guest-support=snp -object sev-snp-guest,id=snp,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on,"
        "policy=196608 -cpu EPYC-v4 -smp 1,cores=1,threads=1,sockets=240,maxcpus=240 -bios firmware-snp.fd "
        '-kernel kernel.bin -initrd initrd.bin -append console=hvc0 quiet]" name=containerd-shim-v2',
        *("EPYC-v4", 1, "console=hvc0 quiet"),
    ),
    "https://github.com/confidential-containers (host-data)": (
        f"qemu-system-x86_64 {LINK} {OBJECT},host-data={'A' * 43}=,kernel-hashes=on -cpu EPYC-Genoa -smp 8 "
        f"-bios firmware-snp.fd {KERNEL} -append ''",
        *("EPYC-Genoa", 8, ""),
    ),
    "https://github.com/virtee/sev-snp-measure/blob/main/README.md (ID block)": (
        f"qemu-system-x86_64 {LINK} {OBJECT},policy=0x30000,id-block={'A' * 128},id-auth={'A' * 100},"
        "author-key-enabled=on -cpu EPYC-v4 -smp 16 -bios firmware-snp.fd",
        *("EPYC-v4", 16, None),
    ),
    "https://gitlab.com/qemu-project/qemu (JSON objects, as libvirt writes them)": (
        "LC_ALL=C \\\n/usr/bin/qemu-system-x86_64 \\\n-name guest=snp,debug-threads=on \\\n-machine pc-q35-10.0,"
        "usb=off,confidential-guest-support=lsec0 \\\n-accel kvm \\\n-cpu EPYC-Milan-v2 \\\n-bios firmware-snp.fd \\\n"
        '-smp 4,sockets=4,cores=1,threads=1 \\\n-object \'{"qom-type":"sev-snp-guest","id":"lsec0","cbitpos":51,'
        '"reduced-phys-bits":1,"policy":196608}\' \\\n-msg timestamp=on',
        *("EPYC-Milan-v2", 4, None),
    ),
    "https://libvirt.org/formatdomain.html#launch-security (sev-snp)": (
        XML.format(cpus=2, model="EPYC-Milan", kernel="", attributes="", more=""),
        *("EPYC-Milan", 2, None),
    ),
    "https://libvirt.org/formatdomain.html#launch-security (kernelHashes, hostData)": (
        XML.format(
            cpus=4,
            model="EPYC-Genoa",
            kernel="<kernel>kernel.bin</kernel><initrd>initrd.bin</initrd><cmdline>console=ttyS0</cmdline>",
            attributes=" authorKey='yes' vcek='no' kernelHashes='yes'",
            more=f"<hostData>{'A' * 43}=</hostData><guestVisibleWorkarounds>{'A' * 22}==</guestVisibleWorkarounds>",
        ),
        *("EPYC-Genoa", 4, "console=ttyS0"),
    ),
    "https://www.proxmox.com/ (qm showcmd)": (
        f"/usr/bin/kvm -id 100 -name 'snp,debug-threads=on' -cpu EPYC-v4 -smp '3,sockets=1,cores=3,maxcpus=3' "
        f"{LINK} {OBJECT},policy=0xb0000,kernel-hashes=on -bios firmware-snp.fd {KERNEL} -append 'quiet'",
        *("EPYC-v4", 3, "quiet"),
    ),
}


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLES)


@pytest.mark.peer
@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("source", GUESTS)
def test_the_digest_of_a_captured_guest_is_the_peer_s(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = pytest.importorskip("sevsnpmeasure.guest", reason="no sev-snp-measure: pip install sev-snp-measure")
    from sevsnpmeasure.sev_mode import SevMode
    from sevsnpmeasure.vcpu_types import CPU_SIGS
    from sevsnpmeasure.vmm_types import VMMType

    text, cpu, count, cmdline = GUESTS[source]
    (tmp_path / "text").write_text(text)
    option = "--xml" if text.startswith("<") else "--qemu-cmdline"
    words = ["--candidates", str(SAMPLES), "-o", str(tmp_path / "case.toml")]
    assert main(["capture", option, str(tmp_path / "text"), *words]) == 0
    out = capsys.readouterr().out
    assert "Complete: everything that digest needs is there" in out
    assert main(["digest", "--case", str(tmp_path / "case.toml")]) == 0
    ours = capsys.readouterr().out.strip()
    files = {name: SAMPLES / f"{name}.bin" for name in ("kernel", "initrd")}
    given = {} if cmdline is None else {name: str(path) for name, path in files.items()}
    theirs = peer.calc_launch_digest(
        *(SevMode.SEV_SNP, count, CPU_SIGS[cpu], str(SAMPLES / "firmware-snp.fd")),
        *(given.get("kernel"), given.get("initrd"), cmdline, 0x1),
        vmm_type=VMMType.QEMU,
    )
    assert ours == theirs.hex()


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("source", GUESTS)
def test_a_case_of_snp_takes_no_requirement_from_the_host(source: str) -> None:
    capture = parse_anything(GUESTS[source][0])
    assert capture.is_snp
    assert capture.chosen["mode"].value == "snp"
    assert not [name for name in capture.inputs if name.startswith("snp_")]
    assert "require what you want" in str(capture.explain()) or "policy=" not in GUESTS[source][0]


@pytest.mark.usefixtures("there")
def test_the_case_goes_on_to_diagnose_and_report_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = sevlab.simulate_snp_launch(
        {"firmware": "firmware-snp.fd", "num_cpus": 3, "cpu_signature": 0xA00F11}, seed=b"captured"
    )
    (tmp_path / "report.bin").write_bytes(run.report)
    (tmp_path / "text").write_text(f"qemu-system-x86_64 {LINK} {OBJECT} -cpu EPYC-Milan -smp 4 -bios firmware-snp.fd")
    case = str(tmp_path / "case.toml")
    assert main(["capture", "--qemu-cmdline", str(tmp_path / "text"), "--candidates", str(SAMPLES), "-o", case]) == 0
    assert f"sevlab digest --case {case}" in capsys.readouterr().out
    assert main(["diagnose", "--case", case, "--report", str(tmp_path / "report.bin")]) == 1
    out = capsys.readouterr().out
    assert out.lstrip().startswith("EXPLAINED")
    assert "--vcpus" in out
    assert main(["report", "verify", str(tmp_path / "report.bin"), "--case", case]) == 1
