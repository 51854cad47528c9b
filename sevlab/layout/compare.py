"""Two values of one structure, field by field: *reported* against *computed*."""

from __future__ import annotations

from ..arguments import checked
from ..errors import LayoutError
from .bytemap import LARGE
from .span import Span, letters
from .views import Banner, Heading, Table, View, hex_lines, narrow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .structure import Layout


class Comparison:
    """Every field of two structures, side by side. It never raises because they differ."""

    def __init__(self, reported: Layout, computed: Layout) -> None:
        if type(reported) is not type(computed):
            raise LayoutError("compare", f"{type(computed).__name__}", f"{type(reported).__name__} on both sides")
        self.reported, self.computed = reported, computed
        #: Pairs of spans, reported first, in the structure's order.
        self.pairs: list[tuple[Span, Span]] = list(zip(reported.spans(), computed.spans(), strict=True))

    @property
    def differing(self) -> list[str]:
        """Names of the fields that differ, in order."""
        return [ours.name for ours, theirs in self.pairs if ours.raw != theirs.raw]

    @property
    def matches(self) -> bool:
        """True when every byte is the same."""
        return not self.differing

    @property
    def marked(self) -> list[int]:
        """Offsets of the bytes that differ."""
        both = zip(self.reported.to_bytes(), self.computed.to_bytes(), strict=True)
        return [i for i, (ours, theirs) in enumerate(both) if ours != theirs]

    def explain(self) -> View:
        """Show both sides of every field, and which differ. Of a large structure, only fields that differ are shown."""
        from .bytemap import ByteMap

        words = "All fields match" if self.matches else f"Fields that differ: {', '.join(self.differing)}"
        banner = Banner(words, "green" if self.matches else "pink")
        if self.reported.size > LARGE:
            return View(banner, *([] if self.matches else [self._short()]))
        rows = [
            [
                label,
                reported.name,
                "match" if reported.raw == computed.raw else "MISMATCH *",
                hex_lines(reported.raw, 8),
                hex_lines(computed.raw, 8),
            ]
            for label, (reported, computed) in zip(letters(len(self.pairs)), self.pairs, strict=True)
        ]
        return View(
            banner,
            Table(
                ["", "field", "state", "reported", "computed"],
                rows,
                colours=[reported.colour for reported, _ in self.pairs],
                mono=[0, 1, 3, 4],
            ),
            Heading("reported (* marks a byte that differs)"),
            ByteMap([reported for reported, _ in self.pairs], self.marked),
            Heading("computed (* marks a byte that differs)"),
            ByteMap([computed for _, computed in self.pairs], self.marked),
        )

    def _short(self) -> Table:
        """Return the fields that differ, by value."""
        pairs = [(ours, theirs) for ours, theirs in self.pairs if ours.raw != theirs.raw]
        rows = [[ours.name, f"0x{ours.offset:03x}", *sides(ours, theirs), ours.doc] for ours, theirs in pairs]
        header = ["field", "offset", "reported", "computed", "meaning"]
        return Table(header, rows, colours=[ours.colour for ours, _ in pairs], mono=[0, 1, 2, 3])

    def __str__(self) -> str:
        return self.explain().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.explain().html()


def sides(ours: Span, theirs: Span) -> tuple[str, str]:
    """Return both values of a field for narrow columns: numbers as they are, of bytes the first eight that differ."""
    if isinstance(ours.value, int):
        return narrow(ours.text), narrow(theirs.text)
    start = next(i for i in range(ours.size) if ours.raw[i] != theirs.raw[i])
    first, second = (
        f"at 0x{ours.offset + start:03x}:\n{hex_lines(s.raw[start : start + 8], 4)}" for s in (ours, theirs)
    )
    return first, second


@checked
def compare(reported: Layout, computed: Layout) -> Comparison:
    """Compare two structures of the same kind, field by field.

    Raises :class:`~sevlab.errors.LayoutError` only when they are of different kinds.
    """
    return reported.compare(computed)
