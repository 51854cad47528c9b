"""What a search starts from: the inputs, with their files read once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..cpu import cpu_signature
from ..digest import BLOB_LIMIT, load_hashed
from ..firmware import load_ovmf
from ..formats.hashtable import hash_cmdline
from ..formats.ovmf import Ovmf, parse_ovmf
from ..inputs import load_vmsa, parse_number
from ..launch import DEFAULT_PROFILE
from .fold import Cpus, Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .candidates import Candidate
    from .given import Given

_SKU = ("cpu_family", "cpu_model", "cpu_stepping")


class Start:
    """What is given, with its files read once. Hypotheses make their options from it."""

    def __init__(self, given: Given, files: Sequence[Candidate] = ()) -> None:
        self.given, self.files = given, files
        self.nothing = hashlib.sha256(b"").digest()
        launch = given.launch
        self.ovmf: Ovmf | None = load_ovmf(str(launch["firmware"])) if "firmware" in launch else None
        self.base_image = self.image(self.ovmf.image) if self.ovmf else Image(given.digest, None, 0, None)
        self.kernel = self._hash("kernel")
        self.initrd = self._hash("initrd")
        self.cmdline = hash_cmdline(launch.get("cmdline"))
        self.count = parse_number(launch["num_cpus"], "num_cpus", 4096) if "num_cpus" in launch else None
        self.cpus = self._cpus()

    def _hash(self, name: str) -> bytes | None:
        if name not in self.given.launch:
            return None
        return load_hashed(str(self.given.launch[name]), name, limit=BLOB_LIMIT, empty=name == "initrd").digest

    def _cpus(self) -> Cpus | None:
        launch = self.given.launch
        if "vmsa_cpu0" in launch:
            pages = [
                load_vmsa(str(launch[name])).to_bytes() if name in launch else None
                for name in ("vmsa_cpu0", "vmsa_cpu1")
            ]
            return Cpus(None, None, None, None, *pages)
        signature = None
        if "cpu_family" in launch:
            numbers = (parse_number(launch[name], name, 270) for name in _SKU)
            signature = cpu_signature(*numbers)
        features = parse_number(launch.get("guest_features", 0), "guest_features", (1 << 64) - 1)
        return Cpus(launch.get("profile", DEFAULT_PROFILE), signature, features, None, None, None)

    def image(self, raw: bytes) -> Image:
        """Return these bytes as a firmware image."""
        running = hashlib.sha256(raw)
        return Image(running.digest(), running, len(raw), parse_ovmf(raw).reset_address)

    def joined(self, path: str) -> Image:
        """Return the firmware with another file before it, as in a combined image."""
        assert self.ovmf is not None
        return self.image(load_ovmf(path).image + self.ovmf.image)
