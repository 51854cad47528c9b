"""Attacks on attestation, each run against the simulator: with the fault it lives on, and without.

::

    A01  points, pdh, toy    an owner's point of another curve takes the PDH's private number out (CVE-2019-9836)
    A02  impostor            a chip's leaked key makes a platform that is none (arXiv 1908.11680)
    A04  blocks              measured pieces at other addresses are another program (CVE-2021-26311)
    A07  debugging           a policy that allows debugging opens the guest's memory
    A08  keystream           one keystream twice, and one session twice
    A09  kernel              another kernel than the owner's, with and without a table of hashes
    A10  blobs               a firmware that finds a wrong kernel, and goes on
    A16  context             another guest's launch digest, put back as ciphertext (CVE-2024-21944)
    A17  preimage            another microcode patch under the same AES-CMAC (CVE-2024-56161)
    A23  mint                reports from nowhere, with a chip's leaked seed (arXiv 2605.12990)

Formats and formulae are the real ones. Nothing here reaches hardware: the platforms that are attacked are
:mod:`sevlab.simulator`'s, and they protect nothing.
"""

from __future__ import annotations

from .attempt import Attempt, attempt
from .blobs import VERIFIERS, Answer, Boot, boot_blobs, compare_verifiers, make_table, verify_blob
from .blocks import (
    INSTRUCTIONS,
    BlockLaunch,
    Piece,
    cut,
    launch_block_pages,
    launch_blocks,
    load_block_pages,
    program,
    run_blocks,
    swap,
)
from .context import ContextReplay, replay_context
from .debugging import allow_debug, debug_page
from .impostor import Haul, Impostor, migrate
from .kernel import KernelSwap, read_blobs, swap_kernel
from .keystream import LOST_PIN, Replay, distance, neighbours, replay_secret, xor
from .mint import mint_report
from .owner import judge
from .pdh import PdhTheft, Residue, join_residues, learn_residue, steal_pdh
from .points import FILE, SmallPoint, load_points
from .preimage import OPEN, Preimage, forge_patch, solve_block
from .tasks import TASKS
from .toy import LOST_PRIVATE, TOY_PRIME, ToyPlatform, find_points, lost_platform, steal_toy

__all__ = [
    "FILE",
    "INSTRUCTIONS",
    "LOST_PIN",
    "LOST_PRIVATE",
    "OPEN",
    "TASKS",
    "TOY_PRIME",
    "VERIFIERS",
    "Answer",
    "Attempt",
    "BlockLaunch",
    "Boot",
    "ContextReplay",
    "Haul",
    "Impostor",
    "KernelSwap",
    "PdhTheft",
    "Piece",
    "Preimage",
    "Replay",
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
