"""Attacks on attestation, each run against the simulator: with the fault that it exploits, and without.

::

    A01       invalid_curve  a point on the wrong curve extracts the private key of a PDH (CVE-2019-9836)
    A02, A23  leaked_keys    a chip's leaked key makes a fake platform (arXiv 1908.11680), or a report (2605.12990)
    A04       launch_order   measured pieces at different addresses are a different program (CVE-2021-26311)
    A08       keystream      a session and a secret packet used twice
    A09, A10  kernel_swap    a kernel that is not the owner's, and a guest firmware that notices and goes on
    A16       badram         the launch digest of another guest, put back as ciphertext (CVE-2024-21944)
    A17       entrysign      a different microcode patch under the same AES-CMAC (CVE-2024-56161)

Formats and formulae are the real ones. Nothing here reaches hardware: the platforms under attack are simulated
(:mod:`sevlab.simulator`) and protect nothing.
"""

from __future__ import annotations

from ... import hand_on

_NAMES = {
    "badram": ("replay_context",),
    "common": ("attempt", "judge"),
    "entrysign": ("Core", "compute_cmac", "hash_patch", "sign_patch", "solve_block", "write_body"),
    "invalid_curve": (
        *("TOY_PRIME", "ToyPlatform", "find_points", "join_residues"),
        *("learn_residue", "load_points", "steal_pdh", "steal_toy"),
    ),
    "kernel_swap": (
        *("VERIFIERS", "boot_blobs", "compare_verifiers", "make_table", "read_blobs", "swap_kernel", "verify_blob"),
    ),
    "keystream": ("replay_secret",),
    "launch_order": (
        *("INSTRUCTIONS", "Piece", "cut", "launch_block_pages", "launch_blocks"),
        *("load_block_pages", "program", "run_blocks"),
    ),
    "leaked_keys": ("Impostor", "migrate", "mint_report"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
