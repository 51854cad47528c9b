"""The exercises of the attack labs: each a question, what solves it, and a hint for wrong answers.

:mod:`sevlab.exercises` asks and marks them with all others.
"""

from __future__ import annotations

from itertools import permutations

from ..formats.policy import Policy
from ..formats.snppolicy import SnpPolicy
from .blocks import INSTRUCTIONS, program, run_blocks
from .keystream import LOST_PIN
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


TASKS: dict[str, tuple[str, Callable[[], object], str]] = {
    "pdh-guesses": (
        f"How many LAUNCH_STARTs does a point of order {_ORDER} take at most?",
        lambda: 1 + _ORDER // 2,
        "a point and its opposite have one x, and so have k and -k; k = 0 is one more guess",
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
}
