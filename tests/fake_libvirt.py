"""Scenarios for the stub of libvirt in ``tests/stub``, and the launches they tell of, made from the samples."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from sevlab.labs import samples
from tests.peers import REAL_TOOL, ROOT, SYSTEM_PYTHON, Run, run

STUB = ROOT / "tests" / "stub"
SAMPLES = ROOT / "notebooks" / "samples"
FIRMWARE, TK = SAMPLES / "firmware-kernel.fd", SAMPLES / "tk.bin"
KERNEL, INITRD, CMDLINE = SAMPLES / "kernel.bin", SAMPLES / "initrd.bin", "console=ttyS0"
MNONCE = bytes(range(0x60, 0x70))
UUID = "6d8c6a5e-2f3b-4c1d-8e9f-0a1b2c3d4e5f"

WHOLE = ["-f", str(FIRMWARE)]
KERNEL_OPTIONS = ["-k", str(KERNEL), "-r", str(INITRD), "-e", CMDLINE]
CPU_OPTIONS = ["-n", "4", "--cpu-family", "25", "--cpu-model", "1", "--cpu-stepping", "1"]

CAPABILITIES = """<capabilities><host><cpu><signature family='25' model='1' stepping='1'/></cpu></host><guest><arch>
<domain type='qemu'></domain><domain type='kvm'><machine>q35</machine></domain></arch></guest></capabilities>"""
LOADER = f"<loader>{FIRMWARE}</loader>"
BOOT = f"{LOADER}<kernel>{KERNEL}</kernel><initrd>{INITRD}</initrd><cmdline>{CMDLINE}</cmdline>"


def info(policy: int = 1, measurement: str = "", digest: bytes = b"") -> dict[str, Any]:
    """What libvirt reports of a launch, of the firmware alone unless a *digest* is given."""
    loaded = digest or hashlib.sha256(FIRMWARE.read_bytes()).digest()
    message = struct.pack("<4BI", 4, 0, 22, 13, policy) + loaded + MNONCE
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
    lines = (line.split(":", 1) for line in (SAMPLES / "launch-es.txt").read_text().splitlines() if line)
    text = {key.strip(): value.strip() for key, value in lines}
    return {name: value if name == "sev-measurement" else int(value, 0) for name, value in text.items()}


#: The options that give all that libvirt would report of ``info()``.
REPORT_OPTIONS = [word for name, value in info().items() for word in (f"--{name.removeprefix('sev-')}", str(value))]


def xml(
    *,
    security: str = "sev",
    blobs: Sequence[str] = ("dhCert", "session"),
    os: str = LOADER,
    hashes: str = "",
) -> str:
    """A domain's configuration."""
    inside = "".join(f"<{tag}>AAAA</{tag}>" for tag in blobs)
    attribute = f" kernelHashes='{hashes}'" if hashes else ""
    secured = f"<launchSecurity type='{security}'{attribute}>{inside}</launchSecurity>" if security else ""
    return f"<domain type='kvm'><name>guest</name><os>{os}</os>{secured}</domain>"


CONFIGURATIONS = {
    "plain": xml(),
    "no security": xml(security=""),
    "SNP": xml(security="sev-snp"),
    "no dhCert": xml(blobs=["session"]),
    "no session": xml(blobs=["dhCert"]),
    "two sessions": xml(blobs=["dhCert", "session", "session"]),
    "nvram": xml(os=f"{LOADER}<nvram>/none</nvram>"),
    "no loader": xml(os=""),
    "two loaders": xml(os=LOADER * 2),
    "kernel": xml(os=BOOT),
    "kernel measured": xml(os=BOOT, hashes="yes"),
    "kernel not measured": xml(os=BOOT, hashes="no"),
    "hashes without kernel": xml(hashes="yes"),
    "another document": "<network/>",
    "within another element": f"<domstatus>{xml()}</domstatus>",
}


def scenario(**changes: Any) -> dict[str, Any]:
    """A paused guest elsewhere whose launch is good, with some changes."""
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


def es_scenario(**changes: Any) -> dict[str, Any]:
    """The same for a guest with SEV-ES and a measured kernel."""
    return scenario(**{"info": info_es(), "xml": CONFIGURATIONS["kernel measured"], **changes})


def load_stub(content: dict[str, Any]) -> ModuleType:
    """Return the stub as a module of this process, playing *content*; its ``calls`` lists what it was asked."""
    spec = importlib.util.spec_from_file_location("libvirt", STUB / "libvirt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.scenario = content
    return module


class Stub:
    """A folder with one scenario, for processes."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, folder / "log"
        (folder / "scenario.json").write_text(json.dumps({**content, "log": str(self.log)}))

    def run(self, command: Sequence[str], stdin: bytes = b"") -> Run:
        variables = {"PYTHONPATH": f"{STUB}:{ROOT}", "FAKE_LIBVIRT": str(self.folder / "scenario.json")}
        self.log.write_text("")
        return run(command, self.folder, stdin, variables)

    def ours(self, *options: str, stdin: bytes = b"") -> Run:
        return self.run([sys.executable, "-m", "sevlab", "validate", "--tk", str(TK), *options], stdin)

    def real(self, *options: str, stdin: bytes = b"") -> Run:
        return self.run([str(SYSTEM_PYTHON), str(REAL_TOOL), "--tk", str(TK), *options], stdin)

    def calls(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]
