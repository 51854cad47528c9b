"""What a search starts from: the inputs, with their files read once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..cpu import cpu_signature
from ..digest import load_sha256
from ..firmware import load_ovmf
from ..formats.kernel_hashes import hash_cmdline
from ..formats.ovmf import Ovmf, parse_ovmf
from ..inputs import load_vmsa, parse_number
from ..launch import DEFAULT_PROFILE, SKU
from .fold import Cpus, Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .candidates import Candidate
    from .given import Given


class Start:
    """What is given, with its files read once. Hypotheses make their options from it."""

    #: Inputs whose file may be empty.
    MAY_BE_EMPTY: tuple[str, ...] = ("initrd",)
    ovmf: Ovmf | None
    base_image: Any

    def __init__(self, given: Given, files: Sequence[Candidate] = ()) -> None:
        self.given, self.files = given, files
        self.nothing = hashlib.sha256(b"").digest()
        launch = given.launch
        self.read_firmware()
        self.kernel = self._hash("kernel")
        self.initrd = self._hash("initrd")
        self.cmdline = hash_cmdline(launch.get("cmdline"))
        self.count = parse_number(launch["num_cpus"], "num_cpus", 4096) if "num_cpus" in launch else None
        self.cpus = self.read_cpus()

    def read_firmware(self) -> None:
        """Read the firmware; without one, its digest stands for it."""
        launch = self.given.launch
        self.ovmf = load_ovmf(str(launch["firmware"])) if "firmware" in launch else None
        self.base_image = self.image(self.ovmf.image) if self.ovmf else Image(self.given.digest, None, 0, None)

    def _hash(self, name: str) -> bytes | None:
        if name not in self.given.launch:
            return None
        return load_sha256(self.given.launch[name], name, empty=name in self.MAY_BE_EMPTY)

    def read_cpus(self) -> Cpus | None:
        """Return how virtual CPUs start, None where nothing is given."""
        launch = self.given.launch
        if "vmsa_cpu0" in launch:
            return self._cpu_files()
        features = parse_number(launch.get("guest_features", 0), "guest_features", (1 << 64) - 1)
        return Cpus(launch.get("profile", DEFAULT_PROFILE), self.signature, features, None, None, None)

    def _cpu_files(self) -> Cpus:
        launch = self.given.launch
        pages = [
            load_vmsa(str(launch[name])).to_bytes() if name in launch else None for name in ("vmsa_cpu0", "vmsa_cpu1")
        ]
        return Cpus(None, None, None, None, *pages)

    @property
    def signature(self) -> int | None:
        """The CPU signature that was given, None without."""
        launch = self.given.launch
        if "cpu_signature" in launch:
            return parse_number(launch["cpu_signature"], "cpu_signature", 0xFFFFFFFF)
        if "cpu_family" not in launch:
            return None
        return cpu_signature(*(parse_number(launch[name], name, 270) for name in SKU))

    def image(self, raw: bytes) -> Any:
        """Return these bytes as a firmware image; None for what cannot be one."""
        running = hashlib.sha256(raw)
        return Image(running.digest(), running, len(raw), parse_ovmf(raw).reset_address)

    def candidate(self, file: Candidate) -> Any:
        """Return a candidate as a firmware image; None for what cannot be one."""
        return Image(*file[1:5])

    def joined(self, path: str) -> Any:
        """Return the firmware with another file before it, as in a combined image."""
        assert self.ovmf is not None
        return self.image(load_ovmf(path).image + self.ovmf.image)
