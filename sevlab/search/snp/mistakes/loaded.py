"""Mistakes in what is loaded that only SEV-SNP knows. Those about files in general are SEV's too, and are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....formats.ovmf import BUILDS
from ....snp.order import has_hashes
from ...hypothesis import Hypothesis, Option
from ...mistakes.loaded import FIRMWARE, KERNEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..start import SnpStart


def _own_hash(start: SnpStart) -> Iterator[Option]:
    if start.ovmf_hash is not None:
        yield Option(None, None)


def _candidate_svsms(start: SnpStart) -> Iterator[Option]:
    for file in start.files if start.svsm is not None else ():
        if file.image is not None and file.image.entry is not None:
            yield Option(file.image, file.path)


def _stores(start: SnpStart) -> Iterator[Option]:
    if start.svsm is not None:
        for size in (0, *dict.fromkeys(store for _, _, store in BUILDS)):
            yield Option(size, size)


def _unhashed(start: SnpStart) -> Iterator[Option]:
    if "kernel" in start.given.launch and not has_hashes(start.base_image):
        yield Option(None, None)


LOADED = (
    *FIRMWARE,
    Hypothesis(
        "digest of another firmware",
        "ovmf_hash",
        0.6,
        _own_hash,
        "The digest given in the firmware's place is not that of this firmware file: it was computed from another "
        "build. Compute it again (sevlab digest --mode snp:ovmf-hash), or leave it out.",
        ("F25",),
    ),
    Hypothesis(
        "another SVSM image",
        "svsm",
        0.6,
        _candidate_svsms,
        "The host loaded another SVSM image, for example of another release.",
        ("F25",),
    ),
    Hypothesis(
        "another size of the variable store",
        "vars",
        0.4,
        _stores,
        "The SVSM image lies below the firmware's variable store, so the size of the store decides its address, which "
        "is measured. Give the size of the OVMF_VARS file that the host uses.",
        ("F21",),
    ),
    Hypothesis(
        "firmware without a section for kernel hashes",
        "kernel",
        0.8,
        _unhashed,
        "This firmware has no section for kernel hashes, so nothing of the kernel is measured. Let the host use the "
        "AmdSev build of OVMF if the kernel is to be measured: others have a section too since edk2-stable202511, but "
        "no code that checks the hashes.",
        ("F16", "A09"),
    ),
    *KERNEL,
)
