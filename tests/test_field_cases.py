"""Inputs that went wrong for people, each with its right answer: the rows of the shared cases."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sevlab.cases.recognize import parse_anything
from sevlab.cli import main
from tests.paths import SAMPLES
from tests.peers import ovmf_images

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
if "SEVLAB_SHARED" in os.environ:
    CASES = Path(os.environ["SEVLAB_SHARED"]).parent / "cases"

pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the inputs that went wrong are not at hand")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command, each in one line."""
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, " ".join(captured.out.split()), " ".join(captured.err.split())


def case(*parts: str) -> str:
    return str(CASES.joinpath(*parts))


# Command lines


def test_the_newer_vm_type_is_validated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The host's guest was made with legacy-vm-type=off, so its registers are those of the profile qemu."""
    firmware = next((path for path in ovmf_images() if path.name == "OVMF.fd"), None)
    if firmware is None:
        pytest.skip("no OVMF.fd: apt-get install ovmf")
    texts = ["--qemu-cmdline", case("qemu-lines", "legacy-vm-type-off.txt"), "--domlaunchsecinfo"]
    texts.append(case("qemu-lines", "legacy-vm-type-off.domlaunchsecinfo.txt"))
    made = str(tmp_path / "case.toml")
    own = ["--firmware", str(firmware), "--tk", str(SAMPLES / "tk.bin"), "-o", made]
    status, out, _ = said(capsys, "capture", *texts, *own)
    assert status == 0
    assert "profile * qemu" in out
    assert 'profile = "qemu"' in Path(made).read_text()
    status, out, _ = said(capsys, "coverage", "--qemu-cmdline", texts[1])
    assert "M measured legacy-vm-type=off By way of the registers" in out


@pytest.mark.parametrize(
    ("name", "firmware", "count"),
    [
        ("libvirt-log-two-launches.txt", "/new/OVMF.fd", 2),
        ("markdown-bold.txt", "firmware.fd", 2),
        ("argv-json.txt", "firmware.fd", 2),
        ("kata-go-slice.log", "firmware.fd", 2),
    ],
)
def test_a_command_line_is_read(name: str, firmware: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    for captured in (
        parse_anything(Path(case("qemu-lines", name)).read_text()),
        parse_anything(f"It says:\n\n{Path(case('qemu-lines', name)).read_text()}\n\nThanks!\n"),
    ):
        chosen = {found: one.value for found, one in captured.chosen.items()}
        assert (chosen["firmware"], chosen["num_cpus"], chosen["policy"]) == (firmware, count, 5)
        assert "does not use SEV" not in str(captured.explain())
    status, out, _ = said(capsys, "coverage", "--qemu-cmdline", case("qemu-lines", name))
    assert status == 0
    assert "(absent) -object" not in out


@pytest.mark.parametrize("verb", ["capture", "coverage"])
def test_virt_install_is_named_with_the_way_on(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, verb, "--qemu-cmdline", case("qemu-lines", "virt-install.txt"))
    assert (status, out) == (2, "")
    assert "virsh dumpxml" in err
    assert "virt-install --print-xml" in err


def test_an_igvm_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "capture", "--qemu-cmdline", case("qemu-lines", "igvm-cfg.txt"))
    assert "The launch is that of an IGVM file (svsm.igvm)" in out
    assert "Incomplete" in out


# Reported values, SEV-SNP


@pytest.mark.parametrize(
    ("name", "count"), [("json-camel.json", 5), ("wrapped-measurement.txt", 5), ("hmp-info-sev.txt", 3)]
)
@pytest.mark.parametrize("option", ["--domlaunchsecinfo", "--qmp"])
def test_reported_values_are_found(
    name: str, count: int, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = said(capsys, "capture", option, case("measure-sources", name), "--json", "-o", str(tmp_path / "c"))
    found = json.loads(out)["found"]
    assert status == 0
    assert len(found) == count
    assert {one["name"]: one["value"] for one in found}["build_id"] == 15


def test_dmesg_without_a_colon_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "capture", "--dmesg", case("measure-sources", "dmesg-no-colon.txt"))
    assert status == 0
    assert "api-minor 22" in out
    assert "build-id 7" in out


def test_an_snp_guest_is_captured_and_labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["--qemu-cmdline", case("snp", "cmdline.txt"), "--qmp", case("snp", "query-sev.json")]
    status, out, _ = said(capsys, "capture", *texts, "-o", str(tmp_path / "case.toml"))
    assert status == 0
    assert "mode snp" in out
    assert 'mode = "snp"' in (tmp_path / "case.toml").read_text()
    status, out, _ = said(capsys, "coverage", "--qemu-cmdline", case("snp", "cmdline.txt"))
    assert status == 0
    assert "1 in the report but not in the digest [R]" in out


# Certificates and ID blocks


def test_the_list_of_the_issuer_is_chosen_and_another_product_s_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    folder = CASES / "cert-forms"
    words = ["report", "verify", str(folder / "crl-report.bin"), "--at", "2026-01-15"]
    for name in ("vcek", "ask", "ark"):
        words += [f"--{name}", str(folder / f"crl-{name}.der")]
    words += ["--trust-root", str(folder / "crl-ark.der"), "--crl"]
    for name in ("crl-milan.der", "crl-genoa-then-milan.pem"):
        _, out, _ = said(capsys, *words, str(folder / name))
        assert "revocation match" in out, name
    _, out, _ = said(capsys, *words, str(folder / "crl-genoa.der"))
    assert "revocation mismatch the CRL is one of 'ARK-Genoa', not of 'ARK-Milan'" in out
    assert "signature is wrong" not in out


def test_a_chain_without_amd_s_part_could_not_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("exported-without-ask-ark.cert", "query-sev-capabilities.json"):
        status, out, _ = said(capsys, "chain", "verify", case("chain-forms", name))
        assert status == 1
        assert "4 of 8 links could not be checked" in out
        assert "no ASK and no ARK was given" in out
        assert "sevctl export --full" in out
        assert "do not hold" not in out


def test_an_id_block_as_a_dump_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(
        capsys, "id-block", "show", case("id-block", "block.xxd"), case("id-block", "auth-no-author-key.bin")
    )
    assert status == 0
    assert out.startswith("The ID block (96 bytes)")


# Reports


def test_what_a_real_chip_signs_is_not_odd(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "report", "show", case("turin-v5-platform-info-bit6.bin"))
    assert status == 0
    assert "IOMMU_WRITE_SAFE" in out
    assert "FINDING" not in out
    assert "not known" not in out


@pytest.mark.parametrize("size", [32, 48])
def test_a_short_value_is_refused_and_the_padded_form_offered(size: int, capsys: pytest.CaptureFixture[str]) -> None:
    report = str(SAMPLES / "report-snp.bin")
    status, _, err = said(capsys, "report", "verify", report, "--report-data", "ab" * size)
    assert status == 2
    assert "zeros:HEX" in err
    status, out, _ = said(capsys, "report", "verify", report, "--report-data", "zeros:" + "ab" * size)
    assert status == 1
    assert ("ab" * size + "00" * (64 - size)) in out.replace(" ", "")
