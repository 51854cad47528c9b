"""Points of small prime order on curves y**2 = x**3 - 3x + b over the field of P-384, with other b than P-384's.

``points.json`` holds 129 of them, of the orders 3 to 997, 1022 bits in all. They were computed for sevlab: the points
of 287 random curves were counted (PARI), each with its twist, and a random point was multiplied by the number of points
over the prime. Counting is what takes hours; that a point has its order is checked in milliseconds.

Source: CVE-2019-9836; incidents A01.
"""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path

from ..formats.sev_certs import P384, SCALAR, EccKey
from ..simulator.curve import PRIME

#: Where the points are.
FILE = Path(__file__).with_name("points.json")


class SmallPoint(namedtuple("SmallPoint", "order b x y")):
    """A point (x, y) of the curve with this b; adding it *order* times gives the point at infinity."""

    __slots__ = ()

    @property
    def xy(self) -> tuple[int, int]:
        """The point as :mod:`sevlab.simulator.curve` takes it."""
        return self.x, self.y

    @property
    def key(self) -> EccKey:
        """The point as a certificate holds it, which says that it is one of P-384 (0x404 bytes)."""
        qx, qy = (number.to_bytes(SCALAR, "little") for number in self.xy)
        return EccKey(curve=P384, qx=qx, qy=qy)

    def is_on_curve(self, prime: int = PRIME) -> bool:
        """Whether y**2 = x**3 - 3x + b, modulo *prime*."""
        return bool((self.y**2 - self.x**3 + 3 * self.x - self.b) % prime == 0)

    def __repr__(self) -> str:
        return f"<point of order {self.order}, x = {self.x:x}>"


def load_points() -> list[SmallPoint]:
    """Return the points that come with sevlab, by rising order."""
    stored = json.loads(FILE.read_text(encoding="ascii"))["points"]
    points = (SmallPoint(one["order"], *(int(one[name], 16) for name in ("b", "x", "y"))) for one in stored)
    return sorted(points)
