"""Byte structures declared once.

A layout is a class whose rows read like the table of its specification. From the rows come parsing, building, the
text table, the byte map, the field-by-field comparison, the reference page and the property tests::

    class Measurement(Layout, size=48, spec="AMD 55766, LAUNCH_MEASURE"):
        measure: bytes = at(0x00, 32, "The HMAC.", type=bytes)
        mnonce: bytes = at(0x20, 16, "A random number of the firmware.", type=bytes)

A declaration is checked when it is imported: its rows must follow each other without gap or overlap and fill ``size``
bytes. An instance is nothing but its bytes; a field is read from them when asked for. So any bytes of the right length
parse, build back to themselves, and are never re-encoded: an unexpected value is a *finding* on its field, because
people open this tool when the evidence is wrong, and it must not throw the evidence away.

A later version of a structure is a subclass; its rows replace the rows that they overlap.
"""

from __future__ import annotations

from operator import attrgetter

from ..errors import LayoutError, checked
from .bits import Bits, title
from .span import COLOURS, Explainable, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

    from .compare import Comparison
    from .views import View


class Row:
    """One row of a layout: offset and size in bytes, type, meaning. Its class gives it a name and a colour."""

    name = colour = ""

    def __init__(self, offset: int, size: int, doc: str, type: type, const: Any = None, colour: str = "") -> None:
        self.offset, self.size, self.end = offset, size, offset + size
        self.doc, self.type, self.const, self.fixed_colour = doc, type, const, colour
        self.is_reserved = type is Reserved

    def __get__(self, instance: Layout | None, owner: type) -> Any:
        return self if instance is None else self.decode(instance.to_bytes()[self.offset : self.end])

    def cut(self, raw: bytes) -> bytes:
        return raw[self.offset : self.end]

    def decode(self, raw: bytes) -> Any:
        """Turn this row's bytes into its value: a number (little-endian), bytes, or a structure within."""
        if issubclass(self.type, int):
            return self.type(int.from_bytes(raw, "little"))
        make: Any = self.type.from_bytes if issubclass(self.type, Layout) else self.type
        return make(raw)

    def encode(self, value: Any) -> bytes:
        """Turn a value into this row's bytes; raises LayoutError when it does not fit."""
        if isinstance(value, Layout):
            value = value.to_bytes()
        if issubclass(self.type, int):
            if not isinstance(value, int):
                raise LayoutError(self.name, type(value).__name__, "a whole number")
            if not 0 <= value < 1 << 8 * self.size:
                raise LayoutError(self.name, str(value), f"0 to {(1 << 8 * self.size) - 1}")
            return int(value).to_bytes(self.size, "little")
        if not isinstance(value, bytes | bytearray | memoryview) or len(value) != self.size:
            received = f"{len(value)} bytes" if isinstance(value, bytes | bytearray) else type(value).__name__
            raise LayoutError(self.name, received, f"{self.size} bytes")
        return bytes(value)

    def text(self, value: Any) -> str:
        """Return the value for people. Numbers come in decimal and hex, since mixing them up is a classic."""
        if hasattr(value, "text"):
            return str(value.text)
        if isinstance(value, int):
            return str(value) if value < 10 else f"{value} (0x{value:x})"
        return value.hex() if any(value) else f"{self.size} zero bytes"

    def finding(self, value: Any) -> str:
        """Return what is unexpected about the value; "" when nothing is."""
        if self.is_reserved and any(value):
            return "not 0, and not known to sevlab"
        if self.const is not None and value != self.const:
            if isinstance(self.const, int):
                return f"must be 0x{self.const:0{2 * self.size}x}"
            return f"must be {self.text(self.const)}"
        return "; ".join(value.findings()) if isinstance(value, Bits) else ""

    def spans(self, raw: bytes) -> list[Span]:
        """Return this row of the structure *raw*, ready to be shown; a structure within gives a span per field."""
        mine = self.cut(raw)
        value = self.decode(mine)
        if isinstance(value, Layout):
            name, at, doc = self.name, self.offset, self.doc
            return [
                span._replace(name=f"{name}.{span.name}", offset=at + span.offset, doc=f"{doc} {span.doc}")
                for span in value.spans()
            ]
        text, finding = self.text(value), self.finding(value)
        return [Span(self.name, self.offset, self.size, mine, value, text, self.doc, self.colour, finding)]


class Reserved(bytes):
    """The type of bytes that must be zero."""


class Hex(int):
    """The type of a number that people read in hex only: an address, a register."""

    @property
    def text(self) -> str:
        return f"0x{int(self):x}"


class Named(int):
    """A number with a meaning of its own. ``NAMES`` maps numbers to names."""

    NAMES: ClassVar[dict[int, str]] = {}

    @property
    def text(self) -> str:
        """The number in hex, and its name."""
        return f"0x{int(self):04x} ({self.NAMES.get(int(self), 'unknown')})"

    @property
    def short(self) -> str:
        """The name alone, or the number in hex."""
        return self.NAMES.get(int(self), f"0x{int(self):x}").split(",")[0]


def at(offset: int, size: int, doc: str, *, type: type = int, const: Any = None, colour: str = "") -> Any:
    """Declare a field: *offset* and *size* in bytes, *doc* one sentence.

    *type* is ``int`` (unsigned, little-endian), ``bytes``, a subclass of these such as :class:`Hex` or a :class:`Bits`
    class, or another :class:`Layout` of the same size. Its ``text`` property, if any, is what people read. *const* is
    the value the field must have. *colour* fixes the colour of a field that appears in several structures.
    """
    return Row(offset, size, doc, type, const, colour)


def reserved(offset: int, size: int) -> Any:
    """Declare bytes that must be zero."""
    return Row(offset, size, "Reserved, must be 0.", Reserved, None, "grey")


class Layout(Explainable):
    """A byte structure of fixed size. Subclass it to declare one; with size 0, to share rows between several.

    ``Name(field=value, ...)`` builds one; constant and reserved fields may be left out. :meth:`from_bytes` takes any
    bytes of the right length.
    """

    size: ClassVar[int]
    spec: ClassVar[str]
    rows: ClassVar[tuple[Row, ...]]
    __slots__ = ("_raw",)
    _raw: bytes

    def __init_subclass__(cls, *, size: int, spec: str) -> None:
        cls.size, cls.spec, cls.rows = size, spec, ()
        if not size:
            return
        # A class's own rows replace those that they overlap in its bases.
        rows: list[Row] = []
        for base in reversed(cls.__mro__):
            own = []
            for name, row in vars(base).items():
                if isinstance(row, Row):
                    row.name = name
                    own.append(row)
            rows = [old for old in rows if not any(new.offset < old.end and old.offset < new.end for new in own)] + own
        rows.sort(key=attrgetter("offset"))
        free = [colour for colour in COLOURS if colour not in ("grey", *(row.fixed_colour for row in rows))]
        free = free or list(COLOURS)
        position = 0
        for number, row in enumerate(rows):
            if row.offset != position:
                raise TypeError(f"{cls.__name__}.{row.name} is at 0x{row.offset:x}, but 0x{position:x} is next")
            position = row.end
            if vars(cls).get(row.name) is not row:
                from copy import copy  # not above: validate needs no structure that inherits its rows

                rows[number] = row = copy(row)
            row.colour = row.fixed_colour or free[number % len(free)]
            if row.colour not in COLOURS:
                raise TypeError(f"{cls.__name__}.{row.name} has no such colour: {row.colour}")
        if position != size:
            raise TypeError(f"{cls.__name__} declares {position} bytes of {size}")
        cls.rows = tuple(rows)

    def __init__(self, **values: Any) -> None:
        parts = []
        for row in self.rows:
            if row.name in values:
                parts.append(row.encode(values.pop(row.name)))
            elif row.is_reserved:
                parts.append(bytes(row.size))
            elif row.const is not None:
                parts.append(row.encode(row.const))
            else:
                raise TypeError(f"{type(self).__name__} needs {row.name}")
        if values:
            raise TypeError(f"{type(self).__name__} has no field named {sorted(values)[0]!r}")
        object.__setattr__(self, "_raw", b"".join(parts))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} does not change; use replace({name}=...)")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parse exactly ``size`` bytes; any content is accepted. Raises LayoutError for another length."""
        if len(raw) != cls.size:
            raise LayoutError(cls.__name__, f"{len(raw)} bytes", f"{cls.size} bytes")
        self = cls.__new__(cls)
        object.__setattr__(self, "_raw", bytes(raw))
        return self

    def to_bytes(self) -> bytes:
        """Return the bytes, exactly as they came in or were built."""
        return self._raw

    def replace(self, **changes: Any) -> Self:
        """Return a copy in which only the named fields differ, such as ``replace(**{"cs.base": 0})``."""
        known = {row.name: row for row in self.rows}
        raw = bytearray(self._raw)
        for name, value in changes.items():
            first, _, rest = name.partition(".")
            row = known.get(first)
            if row is None or (rest and not issubclass(row.type, Layout)):
                raise TypeError(f"{type(self).__name__} has no field named {name!r}")
            if rest:
                value = row.decode(row.cut(bytes(raw))).replace(**{rest: value})
            raw[row.offset : row.end] = row.encode(value)
        return self.from_bytes(bytes(raw))

    def spans(self) -> list[Span]:
        """Return every field, in order, ready to be shown."""
        return [span for row in self.rows for span in row.spans(self._raw)]

    def findings(self) -> list[str]:
        """Return a sentence for every field whose value is not allowed."""
        return [f"{span.name}: {span.finding}" for span in self.spans() if span.finding]

    def explain(self) -> View:
        from .bytemap import explain_spans
        from .views import Heading, View

        return View(Heading(f"{title(type(self))} ({self.size} bytes)"), explain_spans(self.spans()))

    def compare(self, computed: Layout) -> Comparison:
        """Compare this structure, the reported one, with the *computed* one, field by field."""
        from .compare import Comparison

        self._check_kind(computed)
        return Comparison(self.spans(), computed.spans())

    def _check_kind(self, computed: Layout) -> None:
        if type(computed) is not type(self):
            raise LayoutError("compare", type(computed).__name__, f"{type(self).__name__} on both sides")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._raw == self._raw

    def __hash__(self) -> int:
        return hash((type(self), self._raw))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_bytes(bytes.fromhex('{self._raw.hex()}'))"


@checked
def compare(reported: Layout, computed: Layout) -> Comparison:
    """Compare two structures of one kind, field by field; raise LayoutError only when they are of different kinds."""
    return reported.compare(computed)
