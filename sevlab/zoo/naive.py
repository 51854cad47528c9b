"""ECDSA on P-384 as somebody writes it who leaves out one line: that r and s must be from 1 to the order minus 1.

With both zero the inverse of s, taken as a power, is zero, the sum of points is the point at infinity, and its x, taken
as zero, equals r: every message is signed by everybody (CVE-2022-21449). Source of the numbers: FIPS 186-4, D.1.2.4.
"""

from __future__ import annotations

import hashlib

from ..formats.report import parse_report
from ..report import parse_certificate
from ..simulator.curve import add, multiply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .animal import Given

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
BASE = (
    0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
)


def naive_signature(given: Given) -> bool:
    """Verify a report's signature without looking at the size of r and s."""
    report, key = parse_report(given.report), parse_certificate(given.vcek).ecc_key
    if key is None:
        return False
    r, s, x, y = (int.from_bytes(part, "little") for part in (report.r, report.s, key.qx, key.qy))
    hashed = int.from_bytes(hashlib.sha384(report.signed).digest(), "big")
    inverse = pow(s, ORDER - 2, ORDER)
    point = add(multiply(BASE, hashed * inverse % ORDER), multiply((x, y), r * inverse % ORDER))
    return ((0 if point is None else point[0]) - r) % ORDER == 0
