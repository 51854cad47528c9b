"""The exercises of the attack labs: each a question, what solves it, and a hint for wrong answers.

:mod:`sevlab.exercises` asks and marks them with all others.
"""

from __future__ import annotations

import hashlib
from itertools import permutations

from ..formats.policy import Policy, SnpPolicy
from ..simulator.cmac import BLOCK
from ..simulator.snp.context import ContextPage
from .blobs import SUCCESS, boot_blobs, make_table
from .blocks import INSTRUCTIONS, program, run_blocks
from .keystream import LOST_PIN
from .preimage import solve_block
from .toy import LOST_PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The order of the point that the first question asks about.
_ORDER = 13


def _open_orders() -> int:
    """Return in how many orders of the five blocks the secret leaves the guest in clear."""
    secret = b"in clear"
    return sum(secret in run_blocks(program(order), secret) for order in permutations(INSTRUCTIONS))


#: What a host hands to a firmware; the content does not matter.
_BLOBS = {"kernel": b"kernel", "initrd": b"initrd", "cmdline": b"cmdline\0"}
_HASHES = {name: hashlib.sha256(content).digest() for name, content in _BLOBS.items()}


def _accepted(hashes: dict[str, bytes], **swapped: bytes) -> list[str]:
    """Return the blobs that a hardened firmware accepts under a table of these hashes, some blobs swapped."""
    answers = boot_blobs(make_table(hashes), {**_BLOBS, **swapped}).answers
    return [answer.blob for answer in answers if answer.status == SUCCESS]


def _swappable(*entries: str) -> set[str]:
    """Return the blobs that can be swapped under a table with these entries alone."""
    hashes = {name: _HASHES[name] for name in entries}
    return {name for name in _BLOBS if name in _accepted(hashes, **{name: b"another"})}


def _digest_blocks() -> int:
    """Return how many blocks of encrypted memory the launch digest touches."""
    place = next(row for row in ContextPage.rows if row.name == "launch_digest")
    return (place.offset + place.size - 1) // BLOCK - place.offset // BLOCK + 1


TASKS: dict[str, tuple[str, Callable[[], object], str]] = {
    "pdh-guesses": (
        f"How many LAUNCH_STARTs does a point of order {_ORDER} take at most?",
        lambda: _ORDER // 2,
        "a point and its opposite have one x, and so have k and -k; when all these fail, k is 0",
    ),
    "lost-toy": (
        "Which private number has attacks.lost_platform()? It is a toy platform over the usual toy field.",
        lambda: LOST_PRIVATE,
        "attacks.steal_toy does to it what the cells above did to the other one",
    ),
    "impostor-policies": (
        "Under how many policies, 0 to 63, does a platform send its guest to an impostor without an owner's key?",
        lambda: sum(not (Policy(number).nosend or Policy(number).domain) for number in range(64)),
        "two of the six bits stop it; with both of them clear, the others may be anything",
    ),
    "open-orders": (
        "In how many orders of the program's five blocks does the secret leave the guest in clear?",
        _open_orders,
        "itertools.permutations(INSTRUCTIONS) gives the orders, attacks.run_blocks what each sends out",
    ),
    "debug-policy": (
        "Which number is the SEV-SNP policy 0x30000 when it allows debugging as well?",
        lambda: int(SnpPolicy(0x30000).replace(debug=1)),
        "it is bit 19, and in SEV-SNP it allows when it is 1",
    ),
    "lost-neighbour": (
        "The IVs of the two packets of attacks.neighbours() differ by one. The first holds b'x' * 48. And the other?",
        lambda: LOST_PIN,
        "the second stream is the first from byte 16 on; the secret starts at byte 40 of each table; no key is needed",
    ),
    "kept-table": (
        "A host keeps the owner's table and swaps only the command line. How many blobs does a hardened firmware take?",
        lambda: len(_accepted(_HASHES, cmdline=b"another\0")),
        "blobs are fetched in the order kernel, initrd, cmdline, and the machine stops at the first that is wrong",
    ),
    "short-table": (
        "The table has an entry for the kernel alone. Which blobs can a host swap under a hardened firmware? (a list)",
        lambda: _swappable("kernel"),
        "attacks.make_table takes any entries, and attacks.boot_blobs says what becomes of each blob",
    ),
    "digest-blocks": (
        "Memory is encrypted in blocks of 16 bytes. How many of them hold the launch digest in a context page?",
        _digest_blocks,
        "it has 48 bytes and begins at 0x460; does a block begin there?",
    ),
    "zero-tag": (
        "Which 16 bytes behind b'A' * 32 make the AES-CMAC under the example key 16 zero bytes? (hex)",
        lambda: solve_block(b"A" * 32 + bytes(BLOCK), 2, bytes(BLOCK)).block.hex(),
        "attacks.solve_block takes a message with any 16 bytes there, the number of the block, and the tag",
    ),
    "minted-chip": (
        "A minted report names another chip than its certificate does. Which check fails? (its name)",
        lambda: "chip id",
        "attacks.mint_report takes chip_id=..., and attacks.judge(...).failed lists what fails",
    ),
}
