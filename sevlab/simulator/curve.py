"""Points of any curve y**2 = x**3 - 3x + b over the field of P-384: what a firmware computes that does not look.

Adding points never uses b. So a point of another curve, with another b, is multiplied without complaint, and on a curve
with few points the result tells something about the private number (CVE-2019-9836). For the fault switch only: nothing
here is safe for real keys.
"""

from __future__ import annotations

#: The prime of the field of P-384 (FIPS 186-4, D.1.2.4).
PRIME = 2**384 - 2**128 - 2**96 + 2**32 - 1

TYPE_CHECKING = False
if TYPE_CHECKING:
    Point = tuple[int, int] | None


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points; None is the point at infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % PRIME == 0:
        return None
    top, bottom = (3 * x1 * x1 - 3, 2 * y1) if one == other else (y2 - y1, x2 - x1)
    slope = top * pow(bottom, -1, PRIME) % PRIME
    x = (slope * slope - x1 - x2) % PRIME
    return x, (slope * (x1 - x) - y1) % PRIME


def multiply(point: Point, number: int) -> Point:
    """Return *number* times a point."""
    # A certificate's coordinate has 72 bytes, more than the field: x and x + PRIME are the same point.
    if point is not None:
        point = point[0] % PRIME, point[1] % PRIME
    result: Point = None
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result
