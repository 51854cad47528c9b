"""Exercises of the attacks and the incidents."""

from __future__ import annotations

import hashlib
from itertools import permutations, product
from typing import TYPE_CHECKING

from ...formats.kernel_hashes import build_kernel_hashes
from ...formats.policy import Policy, SnpPolicy
from ...formats.report import SIGNED, SIZE, MilanTcb, TurinTcb
from ...launch.vmm import build_vmsa
from ...simulator.snp_platform import ContextPage
from .. import samples
from ..attacks.entrysign import BLOCK, solve_block
from ..attacks.invalid_curve import LOST_PRIVATE
from ..attacks.kernel_swap import SUCCESS, boot_blobs, make_table
from ..attacks.keystream import LOST_PIN
from ..attacks.launch_order import INSTRUCTIONS, program, run_blocks
from ..incidents import NOTEBOOKS, catalogue
from ..incidents.replays import FILES, GUEST, MILAN, REPLAYS, measured_case
from ..predictions import compute_predictions
from . import Task

if TYPE_CHECKING:
    pass

# Attacks


def _open_orders() -> int:
    """Return the number of orders of the five blocks in which the secret leaves the guest in clear."""
    secret = b"in clear"
    return sum(secret in run_blocks(program(order), secret) for order in permutations(INSTRUCTIONS))


#: What a host provides to the guest firmware; the content does not matter.
_BLOBS = {"kernel": b"kernel", "initrd": b"initrd", "cmdline": b"cmdline\0"}
_BLOB_HASHES = {name: hashlib.sha256(content).digest() for name, content in _BLOBS.items()}


def _accepted(hashes: dict[str, bytes], **swapped: bytes) -> list[str]:
    """Return the blobs that a hardened firmware accepts under a table of these hashes, with some blobs swapped."""
    answers = boot_blobs(make_table(hashes), {**_BLOBS, **swapped}).answers
    return [answer.blob for answer in answers if answer.status == SUCCESS]


def _swappable(*entries: str) -> set[str]:
    """Return the blobs that can be swapped if the table only has these entries."""
    hashes = {name: _BLOB_HASHES[name] for name in entries}
    return {name for name in _BLOBS if name in _accepted(hashes, **{name: b"another"})}


def _digest_blocks() -> int:
    place = next(row for row in ContextPage.rows if row.name == "launch_digest")
    return (place.offset + place.size - 1) // BLOCK - place.offset // BLOCK + 1


# Incidents

#: The TCB that was shown wrongly (F40).
_SHOWN = MilanTcb(bl=4, tee=0, snp=24, ucode=219)


def _changed(one: str, other: str, signature: int | None) -> int:
    """Return how many bytes of a save area differ between two profiles."""
    pages = (build_vmsa(name, signature=signature, sev_features=1).to_bytes() for name in (one, other))
    return sum(left != right for left, right in zip(*pages, strict=True))


def _changed_hashes() -> int:
    """Return how many entries of the table change when bytes are appended to the kernel."""
    names = ("vmlinuz", "vmlinuz-received", "initrd.img")
    one, other, initrd = (hashlib.sha256(FILES[name]()).digest() for name in names)
    tables = [build_kernel_hashes(kernel, initrd, samples.CMDLINE) for kernel in (one, other)]
    return len(tables[0].compare(tables[1]).differing)


def _without_kernel() -> int:
    """Return how many hosts of the notebook's cases measured no kernel; those of plain SEV never have one."""
    rows = [REPLAYS[key] for key in NOTEBOOKS["F16-hash-section"]]
    launched = [{**({} if row.make is measured_case else GUEST), **row.owner, **row.host} for row in rows]
    return sum(inputs.get("kernel") is None for inputs in launched)


#: How each exercise is made.
TASKS = {
    "pdh-guesses": lambda chance: Task(13 // 2),
    "lost-toy": lambda chance: Task(LOST_PRIVATE),
    "impostor-policies": lambda chance: Task(
        sum(not (Policy(number).nosend or Policy(number).domain) for number in range(64))
    ),
    "open-orders": lambda chance: Task(_open_orders()),
    "debug-policy": lambda chance: Task(int(SnpPolicy(0x30000).replace(debug=1))),
    "lost-neighbour": lambda chance: Task(LOST_PIN),
    "kept-table": lambda chance: Task(len(_accepted(_BLOB_HASHES, cmdline=b"another\0"))),
    "short-table": lambda chance: Task(_swappable("kernel")),
    "digest-blocks": lambda chance: Task(_digest_blocks()),
    "zero-tag": lambda chance: Task(solve_block(b"A" * 32 + bytes(BLOCK), 2, bytes(BLOCK)).block.hex()),
    "minted-chip": lambda chance: Task("chip id"),
    "no-bundle": lambda chance: Task(sum(not entry.has_bundle for entry in catalogue().of("certificates").entries)),
    "control-words": lambda chance: Task(_changed("qemu", "qemu-legacy", MILAN)),
    "right-releases": lambda chance: Task(len(compute_predictions().right_about("6.10 and newer"))),
    "rdx-bytes": lambda chance: Task(_changed("ec2", "ec2-rdx0", None)),
    "half-fixed": lambda chance: Task(sum(all(fixed) for fixed in product((False, True), repeat=2))),
    "shapes": lambda chance: Task(len((1, 2, 4, 8, 16)) * len((0x1, 0x21))),
    "no-kernel": lambda chance: Task(_without_kernel()),
    "appended-hashes": lambda chance: Task(_changed_hashes()),
    "hex-build": lambda chance: Task(int("25", 16)),
    "first-part": lambda chance: Task(TurinTcb.from_bytes(_SHOWN.to_bytes()).parts["fmc"]),
    "unsigned-bytes": lambda chance: Task(SIZE - SIGNED),
}
