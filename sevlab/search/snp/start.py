"""What a search for SEV-SNP starts from: the inputs, with their files read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.ovmf import parse_ovmf
from ...inputs import parse_bytes, parse_number
from ...profiles import SNP_PROFILES
from ...snp.load import load_image
from ..fold import Cpus
from ..start import Start
from .firmware import Firmware, measure_firmware

if TYPE_CHECKING:
    from typing import Any

    from ..candidates import Candidate
    from .given import SnpGiven


class SnpStart(Start):
    """What is given, with its files read once. Hypotheses make their options from it."""

    MAY_BE_EMPTY = ("kernel", "initrd")
    cpus: Cpus
    given: SnpGiven  # type: ignore[assignment]  # of what is given the base class reads what both have

    def read_firmware(self) -> None:
        """Read the firmware and what stands in its place or beside it."""
        launch = self.given.launch
        image = load_image(str(launch["firmware"]))
        self.ovmf = image.ovmf
        self.base_image = measure_firmware(*image)
        self.svsm: Firmware | None = measure_firmware(*load_image(str(launch["svsm"]))) if "svsm" in launch else None
        #: Bytes of the variable store, 0 without an SVSM.
        self.vars_size = int(str(self.given.shown.get("vars_size", 0)), 0)
        value = launch.get("ovmf_hash")
        #: The digest in the place of the firmware's own, None without.
        self.ovmf_hash = parse_bytes(value, "ovmf_hash", 48) if isinstance(value, str) else value

    def read_cpus(self) -> Cpus:
        """Return how virtual CPUs start. SEV_FEATURES are None where they are left to the profile or to the files."""
        launch = self.given.launch
        if "vmsa_cpu0" in launch:
            return self._cpu_files()
        features = None
        if "guest_features" in launch:
            features = parse_number(launch["guest_features"], "guest_features", (1 << 64) - 1)
        return Cpus(self.given.shown["profile"], self.signature, features, None, None, None)

    @property
    def features(self) -> int | None:
        """SEV_FEATURES as given, or else as the profile has them; None for registers from files."""
        return features_of(self.cpus.profile, self.cpus.features)

    def image(self, raw: bytes) -> Any:
        """Return these bytes as a firmware image; None for what cannot be one."""
        return measure_firmware(parse_ovmf(raw))

    def candidate(self, file: Candidate) -> Any:
        """Return a candidate as a firmware image; None for what cannot be one."""
        return file.image


def features_of(profile: str | None, features: int | None) -> int | None:
    """Return the SEV_FEATURES that were given, or else the profile's; None for registers from files."""
    if features is None and profile is not None:
        return int(SNP_PROFILES[profile].features)
    return features
