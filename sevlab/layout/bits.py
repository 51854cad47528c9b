"""Integers whose bits have names.

Every bit of a guest policy is a decision. Declaring the bits once, with what each means and what the host may do when
it is clear, gives parsing, text, tables and checkboxes::

    class Policy(Bits, size=4, spec="AMD 55766, guest policy"):
        nodbg = bit(0, "Debugging is refused.", governs="DBG_DECRYPT, DBG_ENCRYPT", clear="...")
        reserved_6 = reserved_bits(6, 10)
        api_major = bit(16, "Minimum firmware API major version.", width=8)
"""

from __future__ import annotations

from ..errors import LayoutError
from .span import Explainable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar, Self

    from .views import View


class Bit:
    """One named bit, or run of bits, counted from the least significant.

    ``doc`` is what it means when set, ``governs`` names the firmware commands that it affects, ``clear`` is what the
    host may do while it is clear. ``limit`` is the largest value that the bits can hold, ``mask``
    the integer in which exactly these bits are set.
    """

    name = ""

    def __init__(self, low: int, width: int, doc: str, governs: str, clear: str, reserved: bool) -> None:
        self.low, self.width, self.doc = low, width, doc
        self.limit = (1 << width) - 1
        self.mask = self.limit << low
        self.governs, self.clear, self.reserved = governs, clear, reserved

    def __get__(self, instance: Bits | None, owner: type) -> Any:
        return self if instance is None else int(instance) >> self.low & self.limit

    @property
    def is_flag(self) -> bool:
        """Whether it is a single bit with a meaning, shown as a checkbox."""
        return self.width == 1 and not self.reserved

    @property
    def position(self) -> str:
        """Where it is, as specifications write it: ``2`` or ``23:16``."""
        return str(self.low) if self.width == 1 else f"{self.low + self.width - 1}:{self.low}"


def bit(low: int, doc: str, *, width: int = 1, governs: str = "", clear: str = "") -> Any:
    """Declare a named bit (or *width* bits from *low* upward) of a :class:`Bits` class."""
    return Bit(low, width, doc, governs, clear, reserved=False)


def reserved_bits(low: int, width: int) -> Any:
    """Declare bits that have no meaning yet. One that is set is a finding, never an exception."""
    return Bit(low, width, "Reserved, must be 0.", "", "", reserved=True)


class Bits(Explainable, int):
    """An unsigned little-endian integer of ``size`` bytes with named bits. Subclass it to declare the bits.

    Any number of the right width is accepted: reserved bits that are set are reported by :meth:`findings`. A number
    that does not fit raises :class:`~sevlab.errors.LayoutError`.
    """

    size: ClassVar[int]
    spec: ClassVar[str]
    rows: ClassVar[tuple[Bit, ...]]

    def __init_subclass__(cls, *, size: int, spec: str) -> None:
        cls.size, cls.spec = size, spec
        position, rows = 0, []
        for name, row in vars(cls).items():
            if isinstance(row, Bit):
                row.name = name
                if row.low != position:
                    raise TypeError(f"{cls.__name__}.{name} starts at bit {row.low}, but bit {position} is next")
                position += row.width
                rows.append(row)
        if position != 8 * size:
            raise TypeError(f"{cls.__name__} declares {position} bits, but {size} bytes hold {8 * size}")
        cls.rows = tuple(rows)

    def __new__(cls, value: int = 0) -> Self:
        if not 0 <= value < 1 << 8 * cls.size:
            raise LayoutError(cls.__name__, hex(value), f"an unsigned number of {8 * cls.size} bits")
        return super().__new__(cls, value)

    def replace(self, **changes: int) -> Self:
        """Return a copy with named bits changed; LayoutError for a value too large, TypeError for an unknown name."""
        number = int(self)
        known = {row.name: row for row in self.rows}
        for name, value in changes.items():
            if (row := known.get(name)) is None:
                raise TypeError(f"{type(self).__name__} has no bits named {name!r}")
            if not 0 <= value <= row.limit:
                raise LayoutError(f"{type(self).__name__}.{name}", str(value), f"0 to {row.limit}")
            number = number & ~row.mask | value << row.low
        return type(self)(number)

    def items(self) -> Iterator[tuple[Bit, int]]:
        """Yield every declared row with its value in this number, from bit 0 upward."""
        return ((row, int(self) >> row.low & row.limit) for row in self.rows)

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the single bits that are set, upper case, from bit 0 upward."""
        return tuple(row.name.upper() for row, value in self.items() if row.is_flag and value)

    @property
    def text(self) -> str:
        """The number for people: hex, then the names of what is set."""
        parts = list(self.flags)
        parts += [f"{row.name.upper()}={v}" for row, v in self.items() if v and not row.is_flag and not row.reserved]
        return f"0x{int(self):0{2 * self.size}x} ({', '.join(parts) or 'no bit set'})"

    def findings(self) -> list[str]:
        """Return a sentence for every reserved run of bits that is not zero."""
        return [
            f"reserved bits {row.position} hold 0x{value:x}, not known to sevlab"
            for row, value in self.items()
            if row.reserved and value
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(0x{int(self):x})"

    def __format__(self, format_spec: str) -> str:
        return format(int(self), format_spec) if format_spec else self.text

    def explain(self) -> View:
        from .views import Heading, Table, View

        rows = []
        for row, value in self.items():
            name = row.name.upper() if not row.reserved else "reserved"
            words = f"{row.doc} Set, and not known to sevlab." if row.reserved and value else row.doc
            if row.clear and not value:
                words = f"Not set: {row.clear} (If set: {row.doc})"
            rows.append([row.position, name, str(value), row.governs or "-", words])
        return View(
            Heading(f"{title(type(self))}: {self.text}"),
            Table(["bits", "name", "value", "governs", "meaning"], rows, mono=[0, 1, 2]),
        )


def title(declared: type) -> str:
    """Return what a declared structure is called: the first line of its docstring, without the full stop."""
    return (declared.__doc__ or declared.__name__).split("\n")[0].rstrip(".")
