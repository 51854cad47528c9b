"""Two VMSAs, field by field, and what each difference does to the launch."""

from __future__ import annotations

from collections import namedtuple

from ..layout.diff import Comparison, sides
from ..layout.page import Banner, Paragraph, Table, View
from .vmsa import DIGEST, EFFECTS, HARMLESS, Field, Vmsa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..layout.rows import Layout, Row


class Difference(namedtuple("Difference", "effect reported computed")):
    """A field that differs: what that does (a key of ``EFFECTS``), and its span on either side."""

    __slots__ = ()


class VmsaComparison(Comparison):
    """Two VMSAs, field by field. *names* says what the two sides are called."""

    def __init__(self, reported: Layout, computed: Layout, names: tuple[str, str] = ("reported", "computed")) -> None:
        super().__init__(reported, computed)
        self.names = names

    @property
    def differences(self) -> list[Difference]:
        """Every field that differs, in the page's order."""
        ours, theirs = self.reported.to_bytes(), self.computed.to_bytes()
        return [
            Difference(self._effect(row), one, other)
            for row in Vmsa.rows
            if row.cut(ours) != row.cut(theirs)
            for one, other in zip(row.spans(ours), row.spans(theirs), strict=True)
            if one.raw != other.raw
        ]

    def _effect(self, row: Row) -> str:
        """Return what a difference in this row does. A page is one of SEV-SNP when its features say so."""
        effect = row.effect if isinstance(row, Field) else DIGEST
        is_snp = all(
            Vmsa.from_bytes(side.to_bytes()).sev_features.snp_active for side in (self.reported, self.computed)
        )
        return DIGEST if effect == HARMLESS and not is_snp else effect

    def explain(self) -> View:
        """Show every field that differs with what the difference does, and what these words mean."""
        found = self.differences
        if not found:
            return View(Banner("The same: all 4096 bytes are equal.", "green"))
        rows = [[one.name, f"0x{one.offset:03x}", effect, *sides(one, other), one.doc] for effect, one, other in found]
        fields = f"{len(found)} field{'s' if len(found) > 1 else ''}"
        count = f"{len(self.marked)} byte{'s' if len(self.marked) > 1 else ''}"
        return View(
            Banner(f"Different: {fields}, {count} of 4096.", "pink"),
            Table(
                ["field", "offset", "difference", *self.names, "meaning"],
                rows,
                tints=[one.tint for _, one, _ in found],
                mono=[0, 1, 3, 4],
            ),
            *(
                Paragraph(f"{name}: {words}")
                for name, words in EFFECTS.items()
                if name in {one.effect for one in found}
            ),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as JSON-ready data; each side goes by its name in lower case."""
        first, second = (name.lower() for name in self.names)
        return {
            "status": "match" if self.matches else "mismatch",
            "bytes": len(self.marked),
            "differences": [
                {
                    "name": one.name,
                    "offset": one.offset,
                    "size": one.size,
                    "effect": effect,
                    first: {"hex": one.raw.hex(), "text": one.text},
                    second: {"hex": other.raw.hex(), "text": other.text},
                    "meaning": one.doc,
                }
                for effect, one, other in self.differences
            ],
            "effects": EFFECTS,
        }
