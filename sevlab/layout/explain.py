"""What a structure looks like: spans, layouts and bits as pages."""

from __future__ import annotations

from .bytemap import ByteMap, legend, short_legend
from .page import Heading, Paragraph, Table, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bits import Bits
    from .rows import Layout
    from .span import Span

#: Largest structure shown byte by byte, in bytes. Of a larger one, the fields that are not zero are listed.
LARGE = 256


def explain_spans(spans: Sequence[Span], marked: Sequence[int] = ()) -> View:
    """Show fields as a byte map and a table. *marked* are byte offsets to point out with ``*``.

    More than :data:`LARGE` bytes have no byte map; then the table holds only the fields that are not zero.
    """
    raw = b"".join(span.raw for span in spans)
    if len(raw) <= LARGE:
        return View(ByteMap(spans, marked), legend(spans))
    words = f"{raw.count(0)} of {len(raw)} bytes are zero."
    if not any(raw):
        return View(Paragraph(words))
    return View(Paragraph(f"{words} These fields are not; fields that are not listed are zero."), short_legend(spans))


def explain_layout(layout: Layout) -> View:
    """Show a structure: its bytes, then every field; see :func:`explain_spans`."""
    return View(Heading(f"{title(type(layout))} ({layout.size} bytes)"), explain_spans(layout.spans()))


def title(declared: type) -> str:
    """Return what a declared structure is called: the first line of its docstring, without the full stop."""
    return (declared.__doc__ or declared.__name__).split("\n")[0].rstrip(".")


def explain_bits(bits: Bits) -> View:
    """Show a number bit by bit: what each means, what it governs, what the host may do without it."""
    rows = []
    for row, value in bits.items():
        name = row.name.upper() if not row.reserved else "reserved"
        finding = " Must be 0!" if row.reserved and value else ""
        words = f"Not set: {row.clear} (If set: {row.doc})" if row.clear and not value else row.doc + finding
        rows.append([row.position, name, str(value), row.governs or "-", words])
    return View(
        Heading(f"{title(type(bits))}: {bits.text}"),
        Table(["bits", "name", "value", "governs", "meaning"], rows, mono=[0, 1, 2]),
    )
