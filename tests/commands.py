"""A command of each verb that prints something, for tests of what holds for all verbs alike."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sevlab.attestation.session import make_session, seeded
from sevlab.formats.sev_certs import PDH
from sevlab.labs import sample_files, samples
from sevlab.labs.assignment import write_assignment
from sevlab.labs.snp_samples import snp_launch
from sevlab.launch.keys import SecretBytes
from sevlab.simulator.identity import Identity
from tests.peers import ROOT

#: What of the commands does not end with 0: the sample is no whole OVMF, and a vulnerability applies.
STATUS = {"ovmf": 1, "advise": 1}
CASES = ROOT / "notebooks" / "incidents" / "cases"


def write_inputs(folder: Path) -> None:
    """Write all files that :func:`commands` reads."""
    sample_files.write_samples(folder)
    identity = Identity(seeded(b"commands"), (1, 55))
    session = make_session(identity.certificates[PDH], samples.POLICY)
    key = ec.derive_private_key(12345, ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = {
        "platform.cert": b"".join(one.to_bytes() for one in identity.chain.certificates.values()),
        "pdh.key": identity.keys[PDH].reveal(),
        "godh": session.godh.to_bytes(),
        "session": session.blob.to_bytes(),
        "id.pem": key,
        "passphrase": b"a passphrase",
        "digest": snp_launch().digest,
        "course.key": bytes(range(32)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "course.key").chmod(0o600)
    write_assignment(str(folder / "ada"), SecretBytes(contents["course.key"]), "ada", 1, 1, "FOLDER")


def commands(folder: Path) -> dict[str, list[str]]:
    """Return a command of each verb, which prints something. Its files are in *folder*; STATUS has what is not 0."""
    lines = (line.split(":", 1) for line in (folder / "launch.txt").read_text().splitlines() if line)
    host = {name.strip().removeprefix("sev-"): value.strip() for name, value in lines}
    reported = [f"--{name}={value}" for name, value in host.items()]
    launch = [*reported, f"--firmware={folder}/firmware.fd", f"--tk={folder}/tk.bin"]
    snp = ["--mode=snp", f"--ovmf={folder}/firmware-snp.fd", "--vcpus=1", "--vcpu-type=EPYC-Milan"]
    certificates = [f"--vcek={folder}/vcek-snp.der", f"--chain={folder}/chain-snp.pem", "--at=2026-01-01"]
    root = f"--trust-root={folder}/ark-snp.der"
    measurement = f"--measurement={(folder / 'digest').read_bytes().hex()}"
    blob = f"--launch-measure-blob={host['measurement']}"
    keys = [f"--tik={folder}/tik.bin", f"--tek={folder}/tek.bin"]
    course = f"--course-key={folder}/course.key"
    return {
        "validate": launch,
        "explain": launch,
        "diagnose": launch,
        "digest": snp,
        "measure": [*reported[1:], blob, keys[0], f"--firmware={folder}/firmware.fd"],
        "secret": [
            *("build", *keys, blob, f"--secret=luks-key:{folder}/passphrase", "--force"),
            *(f"{folder}/header", f"{folder}/payload"),
        ],
        "ovmf": [f"{folder}/firmware-snp.fd"],
        "vmsa": ["build", "-", "--cpu=0", "--vcpu-type=EPYC-Milan"],
        "profiles": [],
        "capture": [f"--domlaunchsecinfo={folder}/launch.txt", "-o", "-"],
        "case": ["show", str(CASES / "F01.sevcase")],
        "coverage": [f"--case={CASES / 'F27.sevcase'}"],
        "report": ["verify", f"{folder}/report-snp.bin", *certificates, root, measurement],
        "advise": [f"--report={folder}/report-snp.bin"],
        "verifier-suite": ["list", "--only=milan-v2"],
        "chain": ["show", f"{folder}/platform.cert"],
        "session": ["open", f"--pdh-key={folder}/pdh.key", f"{folder}/godh", f"{folder}/session"],
        "id-block": ["build", measurement, f"--idkey={folder}/id.pem"],
        "lab": ["--copy-only", f"{folder}/notebooks"],
        "assignment": [course, "--student=bob", "-n1", f"{mkdtemp(dir=folder)}/new"],
        "grade": [course, f"{folder}/ada"],
    }
