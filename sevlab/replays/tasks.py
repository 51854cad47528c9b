"""The exercises of the incident notebooks: each a question, what solves it, and a hint for wrong answers.

:mod:`sevlab.exercises` asks and marks them with all others.
"""

from __future__ import annotations

import hashlib
from itertools import product

from ..data import HOSTS
from ..formats.kernel_hashes import build_kernel_hashes
from ..formats.report import SIGNED, SIZE, MilanTcb, TurinTcb
from ..predictions import compute_predictions
from ..profiles import build_vmsa
from ..samples import CMDLINE
from . import NOTEBOOKS, catalogue
from .replay import FILES, GUEST, MILAN
from .rows import REPLAYS, measured_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The TCB that was shown wrongly (F40).
_SHOWN = MilanTcb(bl=4, tee=0, snp=24, ucode=219)
_SHAPES, _FEATURES = (1, 2, 4, 8, 16), (0x1, 0x21)
_NEWEST = "6.10 and newer"


def _changed(one: str, other: str, signature: int | None) -> int:
    """Return how many bytes of a save area two profiles make otherwise."""
    pages = (build_vmsa(name, signature=signature, sev_features=1).to_bytes() for name in (one, other))
    return sum(left != right for left, right in zip(*pages, strict=True))


def _changed_hashes() -> int:
    """Return how many entries of the table are others once bytes were appended to the kernel."""
    hashes = {name: hashlib.sha256(FILES[name]()).digest() for name in ("vmlinuz", "vmlinuz-received", "initrd.img")}
    one, other = (
        build_kernel_hashes(hashes[kernel], hashes["initrd.img"], CMDLINE) for kernel in ("vmlinuz", "vmlinuz-received")
    )
    return len(one.compare(other).differing)


def _without_kernel() -> int:
    """Return how many hosts of the notebook's cases measured no kernel. Those of plain SEV have none to begin with."""
    rows = [REPLAYS[key] for key in NOTEBOOKS["F16-hash-section"]]
    launched = [{**({} if row.make is measured_case else GUEST), **row.owner, **row.host} for row in rows]
    return sum(inputs.get("kernel") is None for inputs in launched)


def _releases_right() -> int:
    assert _NEWEST in HOSTS
    return len(compute_predictions().right_about(_NEWEST))


def _without_bundle() -> int:
    return sum(not entry.has_bundle for entry in catalogue().of("certificates").entries)


TASKS: dict[str, tuple[str, Callable[[], object], str]] = {
    "no-bundle": (
        "Of how many incidents with certificates is there no bundle?",
        _without_bundle,
        "catalogue.of('certificates').entries, and has_bundle of each",
    ),
    "control-words": (
        "How many bytes of one save area are others under the profile qemu than under qemu-legacy?",
        lambda: _changed("qemu", "qemu-legacy", MILAN),
        "sevlab.compare two pages of sevlab.build_vmsa with one signature; len(marked) counts bytes",
    ),
    "right-releases": (
        f"How many rows of the matrix are right about the host '{_NEWEST}'?",
        _releases_right,
        "matrix.right_about(name) lists them",
    ),
    "rdx-bytes": (
        "How many bytes of one save area did EC2 change?",
        lambda: _changed("ec2", "ec2-rdx0", None),
        "0x600 has two bytes that are not both other than before",
    ),
    "half-fixed": (
        "Two causes, each mended or not: how many of the four digests are the reported one?",
        lambda: sum(all(mended) for mended in product((False, True), repeat=2)),
        "print the four digests of the cell above and compare each",
    ),
    "shapes": (
        f"One image, {', '.join(map(str, _SHAPES))} virtual CPUs, with and without DebugSwap: how many digests?",
        lambda: len(_SHAPES) * len(_FEATURES),
        "each kind of host has its own chain, and each number of CPUs is another place in it",
    ),
    "no-kernel": (
        "In how many of the cases of this notebook is there no kernel in the reported digest?",
        _without_kernel,
        "a kernel is in it when one was given, and the search did not take it away",
    ),
    "appended-hashes": (
        "Bytes are appended to the kernel. How many of the three hashes of the table change?",
        _changed_hashes,
        "the table has a hash of the kernel, of the initrd, and of the command line, each by itself",
    ),
    "hex-build": (
        "A tool reads the build 25, which is decimal, as hex. Which build is then in the message?",
        lambda: int("25", 16),
        "2 * 16 + 5",
    ),
    "first-part": (
        "The eight bytes of the Milan above are read as a Turin's. Which number does FMC get?",
        lambda: TurinTcb.from_bytes(_SHOWN.to_bytes()).parts["fmc"],
        "FMC is the first byte of a Turin's TCB; the issue printed another number, which is one more slip",
    ),
    "unsigned-bytes": (
        "How many bytes of a report does its signature not cover?",
        lambda: SIZE - SIGNED,
        "the signature covers all bytes before its own field, and none from there on",
    ),
}
