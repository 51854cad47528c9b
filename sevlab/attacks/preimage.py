"""A17: another message with the same AES-CMAC, which is easy for everybody who knows the key (EntrySign).

CMAC's chain can be walked in both directions: ``C[j] = E(C[j-1] ^ M[j])`` and ``C[j-1] = D(C[j]) ^ M[j]``. So write any
message, leave one block open, walk forward to it from zero and back to it from the tag that is wanted, and solve:
``M[j] = D(C[j]) ^ C[j-1]``. A hash must not allow that, and CMAC was never made to be one.

Source: CVE-2024-56161; incidents A17; NIST SP 800-38B.
"""

from __future__ import annotations

from ..errors import InputError
from ..layout.span import Explainable
from ..simulator.cmac import BLOCK, EXAMPLE_KEY, BlockCipher, compute_cmac, links, masked_blocks, masks
from ..simulator.microcode import Patch, write_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..layout.views import View

#: What stands in the open block until it is solved.
OPEN = "(open)"


class Preimage(Explainable):
    """A message whose AES-CMAC is a given tag.

    ``message`` is it whole, ``index`` the number of the block that was solved (from 0), ``block`` what came out (16
    bytes), ``links`` are the chain's links after each block (16 bytes each), of which the last is the tag.
    """

    def __init__(self, message: bytes, index: int, chain: list[bytes]) -> None:
        self.message, self.index, self.links = message, index, chain
        self.block = message[BLOCK * index : BLOCK * (index + 1)]

    def explain(self) -> View:
        """Show the chain block by block, and from which side each link was computed."""
        from ..layout.views import Banner, Table, View

        rows = []
        for number, link in enumerate(self.links):
            block = self.message[BLOCK * number : BLOCK * (number + 1)]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in block)
            last = number == len(self.links) - 1
            way = "from zero on" if number < self.index else "given" if last else "back from the tag"
            rows.append(
                [str(number), text, link.hex(), way + (", and this block solved" if number == self.index else "")]
            )
        colours = ["pink" if number == self.index else "" for number in range(len(rows))]
        words = f"The tag is {self.links[-1].hex()}; block {self.index} makes it so"
        return View(
            Banner(words, "pink"),
            Table(
                ["block", "content", "link after it", "how the link is known"], rows, colours=colours, mono=[0, 1, 2]
            ),
        )


def solve_block(message: bytes, index: int, tag: bytes, key: bytes = EXAMPLE_KEY) -> Preimage:
    """Return *message* with its block *index* (from 0) replaced, so that its AES-CMAC under *key* is *tag* (16 bytes).

    Raises :class:`~sevlab.errors.InputError` for a block that is not whole, or not there, and for a tag or a key of
    another length.
    """
    for name, raw in (("tag", tag), ("key", key)):
        if len(raw) != BLOCK:
            raise InputError(name, f"{len(raw)} bytes", f"{BLOCK} bytes")
    if not 0 <= index < len(message) // BLOCK:
        raise InputError("index", str(index), f"a whole block of the message, 0 to {len(message) // BLOCK - 1}")
    cipher = BlockCipher(key)
    blocks = masked_blocks(cipher, message)
    before = links(cipher, blocks[:index])
    link = int.from_bytes(tag, "big")
    after = [link]
    for block in reversed(blocks[index + 1 :]):
        link = cipher.decrypt(link) ^ block
        after.insert(0, link)
    solved = cipher.decrypt(link) ^ (before[-1] if before else 0)
    if index == len(blocks) - 1:
        solved ^= masks(cipher)[0]
    start = BLOCK * index
    whole = message[:start] + solved.to_bytes(BLOCK, "big") + message[start + BLOCK :]
    return Preimage(whole, index, [one.to_bytes(BLOCK, "big") for one in (*before, *after)])


def forge_patch(genuine: Patch, steps: Iterable[str], key: bytes = EXAMPLE_KEY) -> tuple[Patch, Preimage]:
    """Return a microcode patch with other *steps* under the signature of a genuine one, and how its block was solved.

    One of the steps is :data:`OPEN`; it is replaced by what comes out. Raises :class:`~sevlab.errors.InputError` for
    steps of which none is open.
    """
    listed = list(steps)
    if OPEN not in listed:
        raise InputError("steps", f"{len(listed)} steps, none of them {OPEN}", "one step that is open, to be solved")
    found = solve_block(write_body(listed), listed.index(OPEN), compute_cmac(genuine.body, key), key)
    return Patch(found.message, genuine.signature), found
