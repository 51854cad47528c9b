"""What a search starts from: the inputs with their files read once, and the folder of candidates."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import InputError, quoted
from ..formats.kernel_hashes import hash_cmdline
from ..formats.ovmf import Ovmf, parse_ovmf
from ..launch.inputs import BLOB_LIMIT, DEFAULT_PROFILE, FIRMWARE_LIMIT, Sha256, load_ovmf, load_sha256, read_cpus
from ..launch.reading import CHUNK, open_input
from ..launch.snp import DEFAULT_PROFILE as DEFAULT_SNP_PROFILE
from ..launch.snp import SVSM_PROFILE, load_image, parse_ovmf_hash
from ..launch.vmm import PROFILES, SNP_PROFILES, Profile
from .digests import Cpus, Firmware, Image, measure_firmware
from .model import MISSING

if TYPE_CHECKING:
    from .inputs import Reading, SearchInputs, SevInputs, SnpInputs


#: Most files of a folder that are read.
FILES_LIMIT = 20_000
#: Images are parsed (for where further CPUs start) when they have at most so many bytes, and at least those of a table.
_SMALLEST = 256


@dataclass(frozen=True)
class Candidate:
    """A file that may have been loaded: as an image of SEV, as one of SEV-SNP (None if it cannot be one, or was not
    measured), and whether it is only a variable store."""

    path: str
    image: Image
    firmware: Firmware | None = None
    is_vars: bool = False


class Start(ABC):
    """What is given, with its files read once. Hypotheses make their options from it."""

    #: Inputs whose file may be empty.
    MAY_BE_EMPTY: tuple[str, ...] = ("initrd",)
    ovmf: Ovmf | None
    base_image: Image | Firmware
    #: The SVSM image of SEV-SNP, None without one.
    svsm: Firmware | None = None

    def __init__(self, inputs: SearchInputs, files: Sequence[Candidate] = ()) -> None:
        self.files, self.launch = files, inputs.launch
        self.nothing = hashlib.sha256(b"").digest()
        self.kernel = self._hash(self.launch.kernel, "kernel")
        self.initrd = self._hash(self.launch.initrd, "initrd")
        self.cmdline = hash_cmdline(self.launch.cmdline)

    def _hash(self, path: str | Sha256 | None, name: str) -> bytes | None:
        return None if path is None else load_sha256(path, name, empty=name in self.MAY_BE_EMPTY)

    def read_cpus(self, default: str, known: Mapping[str, Profile], features: int | None) -> None:
        """Read how virtual CPUs start: with the *default* profile and these *features* unless others were given."""
        given = read_cpus(self.launch, default, known)
        #: Number of virtual CPUs and CPU signature that were given, None without.
        self.count, self.signature = given.count, given.signature
        if given.boot is not None:
            further = None if given.further is None else given.further.to_bytes()
            self.cpus = Cpus(None, None, None, boot=given.boot.to_bytes(), further=further)
            return
        if self.launch.guest_features is not None:
            features = given.features
        self.cpus = Cpus(self.launch.profile or default, given.signature, features)

    def values(self, reading: Reading | None) -> dict[str, Any]:
        """Return the value given of each parameter that all launches have; MISSING for what was not given."""
        cpus = self.cpus
        return {
            "firmware": self.base_image,
            "kernel": self.kernel,
            "initrd": self.initrd or self.nothing,
            "cmdline": self.cmdline,
            "profile": cpus.profile,
            "model": MISSING if cpus.boot is None and cpus.signature is None else cpus.signature,
            "features": cpus.features,
            "reset": None,
            "count": MISSING if self.count is None else self.count,
            "measurement": MISSING if reading is None else reading.value,
        }

    @abstractmethod
    def image(self, raw: bytes) -> Image | Firmware | None:
        """Return these bytes as a firmware image; None if they cannot be one."""

    @abstractmethod
    def candidate(self, file: Candidate) -> Image | Firmware | None:
        """Return a candidate as a firmware image; None if it cannot be one."""

    def joined(self, path: str) -> Image | Firmware | None:
        """Return the firmware with another file before it, as in a combined image."""
        assert self.ovmf is not None
        return self.image(load_ovmf(path).image + self.ovmf.image)


class SevStart(Start):
    """The start of a search for SEV and SEV-ES. Instead of a firmware, its digest may be known."""

    base_image: Image

    def __init__(self, inputs: SevInputs, files: Sequence[Candidate] = ()) -> None:
        self.inputs = inputs
        path = inputs.launch.firmware
        self.ovmf = None if path is None else load_ovmf(str(path))
        self.base_image = self.image(self.ovmf.image) if self.ovmf else Image(inputs.digest, None, 0, None)
        super().__init__(inputs, files)
        self.read_cpus(DEFAULT_PROFILE, PROFILES, 0)

    def image(self, raw: bytes) -> Image:
        running = hashlib.sha256(raw)
        return Image(running.digest(), running, len(raw), parse_ovmf(raw).reset_address)

    def candidate(self, file: Candidate) -> Image:
        return file.image


class SnpStart(Start):
    """The start of a search for SEV-SNP."""

    MAY_BE_EMPTY = ("kernel", "initrd")
    base_image: Firmware

    def __init__(self, inputs: SnpInputs, files: Sequence[Candidate] = ()) -> None:
        self.inputs, launch = inputs, inputs.launch
        self.ovmf, self.base_image = self._load(launch.firmware)
        if launch.svsm is not None:
            self.svsm = self._load(launch.svsm)[1]
        super().__init__(inputs, files)
        #: Size of the variable store, 0 without an SVSM.
        self.vars_size = int(str(inputs.shown.get("vars_size", 0)))
        #: The digest that replaces the firmware's own, None without.
        self.ovmf_hash = None if launch.ovmf_hash is None else parse_ovmf_hash(launch.ovmf_hash)
        self.read_cpus(DEFAULT_SNP_PROFILE if self.svsm is None else SVSM_PROFILE, SNP_PROFILES, None)

    @staticmethod
    def _load(path: object) -> tuple[Ovmf, Firmware]:
        image = load_image(str(path))
        firmware = measure_firmware(image.ovmf, image.contents)
        assert firmware is not None  # load_image refuses all but whole pages
        return image.ovmf, firmware

    @property
    def features(self) -> int | None:
        """SEV_FEATURES as given, or else those of the profile; None for registers from files."""
        return features_of(self.cpus.profile, self.cpus.features)

    def image(self, raw: bytes) -> Firmware | None:
        return measure_firmware(parse_ovmf(raw))

    def candidate(self, file: Candidate) -> Firmware | None:
        return file.firmware


def features_of(profile: str | None, features: int | None) -> int | None:
    """Return the SEV_FEATURES that were given, or else the profile's; None for registers from files."""
    if features is None and profile is not None:
        return int(SNP_PROFILES[profile].features)
    return features


def read_candidates(
    folder: str, name: str = "candidates", enough: Callable[[str], bool] = lambda now: False, *, snp: bool = False
) -> tuple[list[Candidate], list[str]]:
    """Read and hash every file in *folder*; return them, and a sentence for everything that was left out.

    Files of the same content count once. Folders within are not entered. *enough* is asked before each file, and
    after each MiB of it, with its name, and stops the reading when it returns true. With *snp* files are measured as
    firmware of SEV-SNP too. Raises :class:`~sevlab.errors.InputError` with *name* for a folder that cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a folder's name"
        raise InputError(name, f"{quoted(folder)}: {reason.lower()}", "a folder of files") from None
    found: dict[bytes, Candidate] = {}
    unread: list[str] = []
    others = 0
    for number, file in enumerate(names):
        left_out = f"{len(names) - number} of {len(names)} files in {quoted(folder)}: time or number did not allow it"
        if number >= FILES_LIMIT or enough(file):
            unread.append(left_out)
            break
        path = os.path.join(folder, file)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                others += 1
                continue
            candidate = _read(path, name, snp, lambda: enough(file))  # noqa: B023
            if candidate is None:
                unread.append(left_out)
                break
        except (InputError, OSError, ValueError) as error:
            reason = error.received if isinstance(error, InputError) else getattr(error, "strerror", None) or str(error)
            unread.append(f"{quoted(path)}: it cannot be read ({reason})")
            continue
        if candidate.image.size:
            found.setdefault(candidate.image.digest, candidate)
    if others:
        unread.append(f"{others} of {len(names)} entries in {quoted(folder)}: not plain files; folders are not entered")
    return list(found.values()), unread


def _read(path: str, name: str, snp: bool, enough: Callable[[], bool]) -> Candidate | None:
    """Read and hash a file; return None when there was not enough time for it."""
    whole, size = BytesIO(), 0
    with open_input(path, name, hashed=True, brief=True) as stream:
        while chunk := stream.read(CHUNK):
            if enough():
                return None
            size += len(chunk)
            if size > BLOB_LIMIT:
                received = f"{quoted(path)}, more than {BLOB_LIMIT >> 20} MiB"
                raise InputError(name, received, "a kernel, initrd or firmware")
            if size <= FIRMWARE_LIMIT:
                whole.write(chunk)
        assert stream.hashed is not None
        running = stream.hashed[1]
    digest = running.copy().digest()
    if not _SMALLEST <= size <= FIRMWARE_LIMIT:
        return Candidate(path, Image(digest, running, size, None))
    ovmf = parse_ovmf(whole.getvalue())  # unlike bytes() of a bytearray, this is no copy
    image = Image(digest, running, size, ovmf.reset_address)
    return Candidate(path, image, measure_firmware(ovmf) if snp else None, ovmf.kind_key == "vars")
