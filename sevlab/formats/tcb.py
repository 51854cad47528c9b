"""TCB_VERSION: how new each part of a platform's trusted computing base (TCB) is.

Eight bytes, one for each part, each a security version number (SVN): it grows with every fix that closes a hole.
Turin's order is another one than Milan's and Genoa's, so the same eight bytes mean different things (incident F40).
Never compare them as one number: a newer microcode does not make up for an older boot loader.

Sources: snp-launch 6.3 (AMD 56860, TCB_VERSION; AMD 57230; the sev crate).
"""

from __future__ import annotations

from ..layout.rows import Layout, at, reserved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC = "AMD 56860 (SNP ABI), TCB_VERSION"
#: The parts in the order in which they are shown and asked for. Not every product has all.
PARTS = ("fmc", "bl", "tee", "snp", "ucode")
#: What each part is.
PART_DOCS = {
    "fmc": "FMC, the secure processor's first mutable code",
    "bl": "the secure processor's boot loader",
    "tee": "the secure processor's operating system (TEE)",
    "snp": "the SEV-SNP firmware",
    "ucode": "the CPU's microcode",
}


def _part(offset: int, name: str) -> int:
    part: int = at(offset, 1, f"SVN of {PART_DOCS[name]}.")
    return part


class Tcb(Layout, size=0, spec=SPEC):
    """A TCB version, in whichever of its forms."""

    @classmethod
    def part_names(cls) -> tuple[str, ...]:
        """Return the parts this form has, in the order of :data:`PARTS`."""
        names = {row.name for row in cls.rows}
        return tuple(name for name in PARTS if name in names)

    @property
    def parts(self) -> dict[str, int]:
        """Every part's SVN, 0 to 255, in the order of :data:`PARTS`."""
        return {name: getattr(self, name) for name in self.part_names()}

    @property
    def text(self) -> str:
        """The parts for people."""
        return ", ".join(f"{name} {value}" for name, value in self.parts.items())

    def below(self, least: Mapping[str, int]) -> list[str]:
        """Return the parts that are older than *least* asks for; a part that this product does not have is 0."""
        mine = self.parts
        return [name for name, value in least.items() if mine.get(name, 0) < value]


class MilanTcb(Tcb, size=8, spec=SPEC + ", Milan and Genoa"):
    """TCB version of Milan, Genoa, Bergamo and Siena."""

    bl: int = _part(0, "bl")
    tee: int = _part(1, "tee")
    reserved_2: bytes = reserved(2, 4)
    snp: int = _part(6, "snp")
    ucode: int = _part(7, "ucode")


class TurinTcb(Tcb, size=8, spec=SPEC + ", Turin"):
    """TCB version of Turin."""

    fmc: int = _part(0, "fmc")
    bl: int = _part(1, "bl")
    tee: int = _part(2, "tee")
    snp: int = _part(3, "snp")
    reserved_4: bytes = reserved(4, 3)
    ucode: int = _part(7, "ucode")
