"""Two values of one structure, field by field: *reported* against *computed*."""

from __future__ import annotations

from .span import Explainable, Span, letters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .views import Table, View


class Comparison(Explainable):
    """Every field of two structures of one kind, side by side. It never raises because they differ."""

    def __init__(self, reported: Sequence[Span], computed: Sequence[Span]) -> None:
        #: Pairs of spans, reported first, in the structure's order.
        self.pairs: list[tuple[Span, Span]] = list(zip(reported, computed, strict=True))

    @property
    def differing(self) -> list[str]:
        return [ours.name for ours, theirs in self.pairs if ours.raw != theirs.raw]

    @property
    def matches(self) -> bool:
        return not self.differing

    @property
    def marked(self) -> list[int]:
        return [
            ours.offset + i
            for ours, theirs in self.pairs
            for i, (one, other) in enumerate(zip(ours.raw, theirs.raw, strict=True))
            if one != other
        ]

    def explain(self) -> View:
        from .bytemap import LARGE, ByteMap
        from .views import Banner, Heading, Table, View, hex_lines

        words = "All fields match" if self.matches else f"Fields that differ: {', '.join(self.differing)}"
        banner = Banner(words, "green" if self.matches else "pink")
        if sum(span.size for span, _ in self.pairs) > LARGE:
            return View(banner, *([] if self.matches else [self._short()]))
        states = ["match" if one.raw == other.raw else "MISMATCH *" for one, other in self.pairs]
        rows = [
            [label, one.name, state, hex_lines(one.raw, 8), hex_lines(other.raw, 8)]
            for label, state, (one, other) in zip(letters(len(states)), states, self.pairs, strict=True)
        ]
        header, colours = ["", "field", "state", "reported", "computed"], [span.colour for span, _ in self.pairs]
        return View(
            banner,
            Table(header, rows, colours=colours, mono=[0, 1, 3, 4]),
            Heading("reported (* marks a byte that differs)"),
            ByteMap([reported for reported, _ in self.pairs], self.marked),
            Heading("computed (* marks a byte that differs)"),
            ByteMap([computed for _, computed in self.pairs], self.marked),
        )

    def _short(self) -> Table:
        from .views import Table

        pairs = [(ours, theirs) for ours, theirs in self.pairs if ours.raw != theirs.raw]
        rows = [[ours.name, f"0x{ours.offset:03x}", *sides(ours, theirs), ours.doc] for ours, theirs in pairs]
        header = ["field", "offset", "reported", "computed", "meaning"]
        return Table(header, rows, colours=[ours.colour for ours, _ in pairs], mono=[0, 1, 2, 3])


def sides(ours: Span, theirs: Span) -> tuple[str, str]:
    """Return both values of a field for narrow columns: numbers as they are, of bytes the first eight that differ."""
    from .views import hex_lines, narrow

    if isinstance(ours.value, int):
        return narrow(ours.text), narrow(theirs.text)
    start = next(i for i in range(ours.size) if ours.raw[i] != theirs.raw[i])
    first, second = (
        f"at 0x{ours.offset + start:03x}:\n{hex_lines(s.raw[start : start + 8], 4)}" for s in (ours, theirs)
    )
    return first, second
