"""The attack of :mod:`~sevlab.attacks.pdh` on a field so small that points of small order are found while you wait.

Over the field of P-384 somebody has to count the points of curves for an hour. Here that is not even needed. The order
of a random point divides a number within 2 * sqrt(prime) of prime + 1 (Hasse), which baby steps and giant steps find
(Shanks). If a small prime divides that, a multiple of the point has this prime for its order.

Source: incidents A01 (toy curve).
"""

from __future__ import annotations

import hashlib
from math import isqrt

from ..errors import InputError
from ..simulator.curve import add, multiply
from ..simulator.status import demand
from .pdh import Residue, join_residues, learn_residue
from .points import SmallPoint

#: The prime of the field, unless somebody chooses another: 2**32 - 5.
TOY_PRIME = 4294967291
#: Below this a prime is; above it the search for points takes minutes.
TOY_LIMIT = 1 << 48
#: b of the toy platform's own curve, and the largest order that is looked for. P-384 itself has a prime number of
#: points; of this curve nobody counted them.
TOY_B, LARGEST = 7, 199
#: Bases for which the test of Fermat and Miller is exact up to 2**64.
_BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


class ToyPlatform:
    """A platform over a small field. ``launch_start`` is all it does; ``launches`` counts.

    *private* is its private number, 1 to *prime*; *checks* says whether it looks at the point first, and refuses it as
    a firmware does. Raises :class:`~sevlab.errors.InputError` for numbers that cannot be.
    """

    def __init__(self, private: int, prime: int = TOY_PRIME, *, checks: bool = False) -> None:
        self.prime, self.checks, self.launches = check_prime(prime), checks, 0
        if not 0 < private <= prime:
            raise InputError("private", str(private), f"a number from 1 to {prime}")
        self._private = private

    def launch_start(self, point: tuple[int, int], guessed: bytes) -> bool:
        """Multiply the owner's point; say whether *guessed* (32 bytes) is the SHA-256 of the x that came out."""
        self.launches += 1
        x, y = point
        right = not self.checks or (y * y - x**3 + 3 * x - TOY_B) % self.prime == 0
        demand(right, "INVALID_CERTIFICATE", "the owner's key is no point of the curve")
        product = multiply(point, self._private, self.prime)
        return seal(product[0] if product else 0) == guessed


def seal(x: int) -> bytes:
    """Return what stands for wrap_mac here: SHA-256 (32 bytes) of x as 8 bytes, big-endian."""
    return hashlib.sha256(x.to_bytes(8, "big")).digest()


def check_prime(prime: int) -> int:
    """Return a prime that can be used here; raises :class:`~sevlab.errors.InputError` for any other number."""
    needed = f"a prime that leaves 3 when divided by 4, from 1003 to 2**{TOY_LIMIT.bit_length() - 1}"
    if not 1000 < prime < TOY_LIMIT or prime % 4 != 3 or not all(_passes(prime, base) for base in _BASES):
        raise InputError("prime", str(prime), needed, str(TOY_PRIME))
    return prime


def _passes(prime: int, base: int) -> bool:
    """Whether the strong test of Fermat holds; for a number that leaves 3 when divided by 4 it is one power."""
    return pow(base, (prime - 1) // 2, prime) in (1, prime - 1)


def find_points(prime: int = TOY_PRIME) -> list[SmallPoint]:
    """Return points of different small prime orders, whose product is larger than the square of any private number.

    The same prime gives the same points. Raises :class:`~sevlab.errors.InputError` for what is no such prime.
    """
    check_prime(prime)
    wanted = [number for number in range(3, LARGEST + 1, 2) if all(number % odd for odd in range(3, number, 2))]
    found: dict[int, SmallPoint] = {}
    product, b = 1, 2  # y**2 = x**3 - 3x + 2 and - 2 have a double point: they are no curves
    while product <= prime * prime:
        b += 1
        if b == TOY_B:
            continue
        xy = _point(b, prime)
        number = _multiple(xy, prime)
        for order in wanted:
            if order in found or number % order:
                continue
            small = _of_order(xy, number, order, prime)
            if small is not None:
                found[order] = SmallPoint(order, b, *small)
                product *= order
    return sorted(found.values())


def _point(b: int, prime: int) -> tuple[int, int]:
    """Return a point of the curve with this b: the first with x from 1 whose y is not 0."""
    x = 0
    while True:
        x += 1
        square = (x**3 - 3 * x + b) % prime
        y = pow(square, (prime + 1) // 4, prime)
        if y and y * y % prime == square:
            return x, y


def _multiple(point: tuple[int, int], prime: int) -> int:
    """Return a number within 2 * sqrt(prime) of prime + 1 that takes the point to infinity."""
    steps = isqrt(2 * isqrt(prime)) + 2
    babies: dict[int, int] = {}
    baby = None
    for count in range(1, steps + 1):
        baby = add(baby, point, prime)
        if baby is None:
            return count * ((prime + 1) // count)
        babies[baby[0]] = count
    stride = multiply(point, 2 * steps + 1, prime)
    first = prime + 1 - 2 * isqrt(prime) - 1
    giant = multiply(point, first, prime)
    for number in range(first, prime + 2 + 2 * isqrt(prime) + 2 * steps + 1, 2 * steps + 1):
        if giant is None:
            return number
        near = babies.get(giant[0], 0)
        for candidate in (number - near, number + near):
            if near and multiply(point, candidate, prime) is None:
                return candidate
        giant = add(giant, stride, prime)
    raise AssertionError("every point's order divides a number in this range")


def _of_order(point: tuple[int, int], number: int, order: int, prime: int) -> tuple[int, int] | None:
    """Return a multiple of the point that has this prime order, None when there is none."""
    while number % order == 0:
        number //= order
    multiple = multiply(point, number, prime)
    while multiple is not None:
        following = multiply(multiple, order, prime)
        if following is None:
            return multiple
        multiple = following
    return None


def steal_toy(platform: ToyPlatform, points: list[SmallPoint] | None = None) -> tuple[int | None, list[Residue]]:
    """Return a toy platform's private number, None when it cannot be told, and the residues that were learnt.

    Raises :class:`~sevlab.simulator.status.FirmwareError` when the platform looks at the points.
    """
    residues = []
    for point in find_points(platform.prime) if points is None else points:

        def guess(x: int, xy: tuple[int, int] = point.xy) -> bool:
            return platform.launch_start(xy, seal(x))

        residues.append(learn_residue(point, guess, platform.prime))
    return join_residues(residues), residues


#: What nobody wrote down of a toy platform; students find it.
LOST_PRIVATE = int.from_bytes(hashlib.sha256(b"a toy platform").digest()[:4], "big") % (TOY_PRIME - 1) + 1


def lost_platform() -> ToyPlatform:
    """Return a toy platform whose private number nobody wrote down."""
    return ToyPlatform(LOST_PRIVATE)
