"""Every parser, as a function of bytes that may raise nothing but sevlab's own errors.

``make fuzz`` feeds them with atheris, which watches what code each input reaches, and keeps what reaches new code in
``tests/corpus``. ``make test`` feeds them with that corpus and with what Hypothesis makes (tests/test_fuzz.py).

    python -m tests.fuzz [--seconds N] [TARGET ...]
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import sevlab
from sevlab.attestation.certificates import parse_bundle, parse_certificate, parse_chain, parse_crls
from sevlab.attestation.id_block import load_id_block, verify_id_block
from sevlab.attestation.report import read_report, verify_report
from sevlab.cases.bundle import open_case
from sevlab.cases.case_toml import parse_case
from sevlab.cases.recognize import parse_anything
from sevlab.cases.verify import verify_case
from sevlab.errors import SevlabError
from sevlab.formats.page_info import PAGE
from sevlab.formats.secret import SecretTable
from sevlab.formats.sev_certs import SessionBlob, parse_certificates
from sevlab.formats.vcek import read_cert_table
from sevlab.formats.vmsa import Vmsa
from sevlab.launch.inputs import LaunchInputs
from sevlab.launch.snp import SnpLaunch, load_sections, make_image, register_regions
from sevlab.launch.values import parse_bytes, parse_measurement
from sevlab.launch.vmm import SNP_PROFILES, build_vmsa, recognize_vmsa

ROOT = Path(__file__).parent
CORPUS = ROOT / "corpus"
SAMPLES = ROOT.parent / "notebooks" / "samples"
#: A moment at which the samples' certificates are valid.
MOMENT = "2026-01-01"
#: Largest input, in bytes.
LIMIT = 16 << 10


@cache
def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def ovmf(raw: bytes) -> None:
    found = sevlab.formats.ovmf.parse_ovmf(raw)
    found.as_dict()
    assert str(found)


def snp_launch(raw: bytes) -> None:
    """A firmware image of whole pages, launched by one host or another."""
    profile = list(SNP_PROFILES.values())[raw[-1] % len(SNP_PROFILES) if raw else 0]
    image = make_image(raw[: len(raw) // PAGE * PAGE])
    regions = load_sections(image, profile.pages, LaunchInputs(), [].append)
    boot = build_vmsa("qemu", signature=0)
    launch = SnpLaunch([*regions, *register_regions(boot, boot, 2, profile)])
    assert str(launch)


def report(raw: bytes) -> None:
    found = read_report(raw).report
    found.as_dict()
    assert str(found)
    assert not verify_report(found, at=MOMENT).matches


def certificate(raw: bytes) -> None:
    for parse in (parse_certificate, parse_chain, parse_crls):
        with suppress(SevlabError):
            parse(raw)


def certificate_table(raw: bytes) -> None:
    read_cert_table(raw)
    parse_bundle(certs=raw)


def verified(raw: bytes) -> None:
    """One of report, leaf and chain in the place of the sample's: none but the sample itself may verify."""
    parts = {"report": "report-snp.bin", "vcek": "vcek-snp.der", "chain": "chain-snp.pem"}
    name = list(parts)[raw[0] % 3] if raw else "report"
    given = {one: sample(file) for one, file in parts.items()} | {name: raw[1:]}
    certificates = parse_bundle(vcek=given["vcek"], chain=given["chain"])
    found = read_report(given["report"]).report
    roots = {hashlib.sha256(sample("ark-snp.der")).hexdigest(): "Milan"}
    genuine = read_report(sample("report-snp.bin")).report
    verdict = verify_report(found, certificates, roots=roots, at=MOMENT, measurement=genuine.measurement)
    assert str(verdict)
    if verdict.matches:
        assert found == genuine
        assert certificates.vcek is not None
        assert certificates.vcek.der == sample("vcek-snp.der")


def id_block(raw: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        signed = load_id_block(file.name)
    assert str(signed)
    assert not verify_id_block(signed, measurement=bytes(48)).matches


def bundle(raw: bytes) -> None:
    """A bundle from a stranger; nothing but the bundle is there afterwards, whatever came of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sevcase"
        path.write_bytes(raw)
        try:
            with open_case(str(path)) as case:
                assert str(sevlab.cases.verify.explain_case(case))
                with suppress(SevlabError):
                    verify_case(case, at=MOMENT)
        finally:
            assert [one.name for one in Path(folder).iterdir()] == ["x.sevcase"]


def vmsa(raw: bytes) -> None:
    page = Vmsa.from_bytes(raw[:PAGE].ljust(PAGE, b"\0"))
    recognize_vmsa(page)
    assert str(page)


def legacy(raw: bytes) -> None:
    """Certificates of legacy SEV, the session, and the table of secrets."""
    with suppress(SevlabError):
        assert all(str(one) for one in parse_certificates(raw))
    assert str(SessionBlob.from_bytes(raw[: SessionBlob.size].ljust(SessionBlob.size, b"\0")))
    assert str(SecretTable(raw))


def texts(raw: bytes) -> None:
    """What people paste."""
    text = raw.decode("utf-8", "replace")
    for parse in (
        parse_anything,
        parse_measurement,
        lambda text: parse_bytes(text, "x", 48),
        lambda text: parse_case(text, "case.toml"),
    ):
        with suppress(SevlabError):
            assert str(parse(text))


Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        *(ovmf, snp_launch, report, certificate, certificate_table, verified, id_block, bundle, vmsa, legacy, texts),
    )
}


def seeds(name: str) -> list[bytes]:
    """Good inputs of a target, from which others are made."""
    found = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    files = {
        "ovmf": ("firmware-snp.fd", "firmware-kernel.fd"),
        "snp_launch": ("firmware-snp.fd",),
        "report": ("report-snp.bin",),
        "certificate": ("vcek-snp.der", "ark-snp.der", "chain-snp.pem"),
        "texts": ("launch.txt", "launch-es.txt"),
    }
    good = [sample(file)[-LIMIT:] for file in files.get(name, ())]
    if name == "verified":
        parts = ("report-snp.bin", "vcek-snp.der", "chain-snp.pem")
        good = [bytes([number]) + sample(part) for number, part in enumerate(parts)]
    return [*good, *found]


def attempt(target: Target, raw: bytes) -> None:
    """Feed one input. sevlab's own errors are answers; they must be one line."""
    try:
        target(raw)
    except SevlabError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of several lines: {error}") from error


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; atheris ends the process."""
    import atheris

    target = TARGETS[name]
    atheris.instrument_all()
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as start:
        for number, raw in enumerate(seeds(name)):
            (Path(start) / str(number)).write_bytes(raw)
        options = [f"-max_total_time={seconds}", f"-max_len={LIMIT}", "-timeout=10", "-rss_limit_mb=2048"]
        options += ["-artifact_prefix=build/", "-reduce_inputs=1"]
        atheris.Setup([sys.argv[0], *options, str(folder), start], lambda raw: attempt(target, raw))
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz parsers with atheris.")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="for each target (default: %(default)s)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    args = parser.parse_args()
    unknown = [name for name in args.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target is named {unknown[0]}")
    if len(args.targets) == 1:
        fuzz(args.targets[0], args.seconds)
    status = 0
    for name in args.targets or TARGETS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(args.seconds), name]
        status |= subprocess.run(command).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
