"""Points of any curve y**2 = x**3 - 3x + b over the field of P-384, as a firmware without the check multiplies them.

Adding points never uses b. So a point of another curve, with another b, is multiplied without complaint, and on a curve
with few points the result reveals something about the private number (CVE-2019-9836). Nothing here is safe for real
keys.
"""

from __future__ import annotations

from functools import lru_cache

Point = tuple[int, int] | None

#: The prime of the field of P-384 (FIPS 186-4, D.1.2.4).
PRIME = 2**384 - 2**128 - 2**96 + 2**32 - 1


def add(one: Point, other: Point, prime: int = PRIME) -> Point:
    """Return the sum of two points; None is the point at infinity. *prime* is that of the field."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % prime == 0:
        return None
    top, bottom = (3 * x1 * x1 - 3, 2 * y1) if one == other else (y2 - y1, x2 - x1)
    slope = top * pow(bottom, -1, prime) % prime
    x = (slope * slope - x1 - x2) % prime
    return x, (slope * (x1 - x) - y1) % prime


# An attack asks for one product again and again, to see whether it guessed it: the last few are kept.
@lru_cache(maxsize=8)
def multiply(point: Point, number: int, prime: int = PRIME) -> Point:
    """Return *number* times a point."""
    # A certificate's coordinate has 72 bytes, more than the field: x and x + prime are the same point.
    if point is not None:
        point = point[0] % prime, point[1] % prime
    result: Point = None
    while number:
        if number & 1:
            result = add(result, point, prime)
        point, number = add(point, point, prime), number >> 1
    return result
