"""Attacks on attestation, each run against the simulator: with the fault it lives on, and without.

::

    A01       invalid_curve  an owner's point of another curve takes the PDH's private number out (CVE-2019-9836)
    A02, A23  leaked_keys    a chip's leaked key makes a fake platform (arXiv 1908.11680), or a report (2605.12990)
    A04       launch_order   measured pieces at other addresses are another program (CVE-2021-26311)
    A07       common         a policy that allows debugging opens the guest's memory
    A08       keystream      one keystream twice, and one session twice
    A09, A10  kernel_swap    another kernel than the owner's, and a firmware that finds it and goes on
    A16       badram         another guest's launch digest, put back as ciphertext (CVE-2024-21944)
    A17       entrysign      another microcode patch under the same AES-CMAC (CVE-2024-56161)

Formats and formulae are the real ones. Nothing here reaches hardware: the platforms that are attacked are
:mod:`sevlab.simulator`'s, and they protect nothing.
"""

from __future__ import annotations

from .badram import replay_context
from .common import allow_debug, attempt, debug_page, judge
from .entrysign import OPEN, forge_patch, solve_block
from .invalid_curve import (
    FILE,
    TOY_PRIME,
    Residue,
    SmallPoint,
    ToyPlatform,
    find_points,
    join_residues,
    learn_residue,
    load_points,
    lost_platform,
    steal_pdh,
    steal_toy,
)
from .kernel_swap import VERIFIERS, boot_blobs, compare_verifiers, make_table, read_blobs, swap_kernel, verify_blob
from .keystream import distance, neighbours, replay_secret, xor
from .launch_order import (
    INSTRUCTIONS,
    Piece,
    cut,
    launch_block_pages,
    launch_blocks,
    load_block_pages,
    program,
    run_blocks,
    swap,
)
from .leaked_keys import Impostor, migrate, mint_report

__all__ = [
    "FILE",
    "INSTRUCTIONS",
    "OPEN",
    "TOY_PRIME",
    "VERIFIERS",
    "Impostor",
    "Piece",
    "Residue",
    "SmallPoint",
    "ToyPlatform",
    "allow_debug",
    "attempt",
    "boot_blobs",
    "compare_verifiers",
    "cut",
    "debug_page",
    "distance",
    "find_points",
    "forge_patch",
    "join_residues",
    "judge",
    "launch_block_pages",
    "launch_blocks",
    "learn_residue",
    "load_block_pages",
    "load_points",
    "lost_platform",
    "make_table",
    "migrate",
    "mint_report",
    "neighbours",
    "program",
    "read_blobs",
    "replay_context",
    "replay_secret",
    "run_blocks",
    "solve_block",
    "steal_pdh",
    "steal_toy",
    "swap",
    "swap_kernel",
    "verify_blob",
    "xor",
]
