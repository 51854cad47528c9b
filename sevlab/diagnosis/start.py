"""What a search starts from: the inputs, with their files read once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import namedtuple
from io import BytesIO
from typing import TYPE_CHECKING

from ..cpu import cpu_signature
from ..digest import BLOB_LIMIT, load_sha256
from ..errors import InputError, quoted
from ..firmware import load_ovmf
from ..formats.hashtable import hash_cmdline
from ..formats.ovmf import Ovmf, parse_ovmf
from ..inputs import FIRMWARE_LIMIT, load_vmsa, parse_bytes, parse_number
from ..launch import DEFAULT_PROFILE, SKU
from ..profiles import SNP_PROFILES
from ..reading import CHUNK, open_input
from ..snp.load import load_image
from .digests import Cpus, Firmware, Image, measure_firmware

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..formats.ovmf import Ovmf
    from .inputs import Given, SnpGiven


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


#: Most files of a folder that are read.
FILES_LIMIT = 20_000
#: Images are parsed (for where further CPUs start) when they have at most so many bytes, and at least those of a table.
_SMALLEST = 256


class Candidate(namedtuple("Candidate", "path digest running size reset_address is_vars image", defaults=(None,))):
    """One file: its path, its SHA-256 and the hash to go on from, its size in bytes; as firmware, where further CPUs
    start (or None), whether it is a variable store alone, and what else its reader made of it."""

    __slots__ = ()


def read_candidates(
    folder: str,
    name: str = "candidates",
    enough: Callable[[str], bool] = lambda now: False,
    measure: Callable[[Ovmf], Any] = lambda ovmf: None,
) -> tuple[list[Candidate], list[str]]:
    """Read and hash every file in *folder*; return them, and a sentence for each thing that was left out.

    Files of the same content count once. Folders within are not entered. *enough* is asked before each file, and
    after each MiB of it, with its name, and stops the reading when it answers true. What *measure* makes of a file that
    may be firmware is the candidate's ``image``. Raises :class:`~sevlab.errors.InputError` with *name* for a folder
    that cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a folder's name"
        raise InputError(name, f"{quoted(folder)}: {reason.lower()}", "a folder of files") from None
    found: dict[bytes, Candidate] = {}
    unread: list[str] = []
    folders = 0
    for number, file in enumerate(names):
        left_out = f"{len(names) - number} of {len(names)} files in {quoted(folder)}: time or number did not allow it"
        if number >= FILES_LIMIT or enough(file):
            unread.append(left_out)
            break
        path = os.path.join(folder, file)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                folders += 1
                continue
            candidate = _read(path, name, measure, lambda: enough(file))  # noqa: B023
            if candidate is None:
                unread.append(left_out)
                break
        except (InputError, OSError, ValueError) as error:
            reason = error.received if isinstance(error, InputError) else getattr(error, "strerror", None) or str(error)
            unread.append(f"{quoted(path)}: it cannot be read ({reason})")
            continue
        if candidate.size:
            found.setdefault(candidate.digest, candidate)
    if folders:
        unread.append(f"{folders} entries of {quoted(folder)}: they are no plain files, and folders are not entered")
    return list(found.values()), unread


def _read(path: str, name: str, measure: Callable[[Ovmf], Any], enough: Callable[[], bool]) -> Candidate | None:
    """Read and hash a file; return None when there was not enough time for it."""
    whole, size = BytesIO(), 0
    with open_input(path, name, hashed=True, brief=True) as stream:
        while chunk := stream.read(CHUNK):
            if enough():
                return None
            size += len(chunk)
            if size > BLOB_LIMIT:
                raise InputError(
                    name, f"{quoted(path)}, more than {BLOB_LIMIT >> 20} MiB", "a kernel, initrd or firmware"
                )
            if size <= FIRMWARE_LIMIT:
                whole.write(chunk)
        assert stream.hashed is not None
        running = stream.hashed[1]
    reset, is_vars, image = None, False, None
    if _SMALLEST <= size <= FIRMWARE_LIMIT:
        ovmf = parse_ovmf(whole.getvalue())  # other than bytes() of a bytearray, this is no copy
        reset, is_vars, image = ovmf.reset_address, ovmf.kind_key == "vars", measure(ovmf)
    return Candidate(path, running.copy().digest(), running, size, reset, is_vars, image)


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
