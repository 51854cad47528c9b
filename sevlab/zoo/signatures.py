"""Bad reports whose signature is wrong, missing, or by a key that may not make it."""

from __future__ import annotations

from ..formats.report import NO_KEY, VLEK, parse_report
from ..formats.sev_certs import SCALAR
from .animal import Animal, bad
from .naive import ORDER
from .platform import CHIPS, CSP, MALLORY, MEASUREMENT, OTHER_MEASUREMENT, SERVER, edited, given, tcb_of, unsigned, vlek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .animal import Given


def wrong_signatures() -> list[Animal]:
    """Return them."""
    plain, elsewhere = given(), given(measurement=OTHER_MEASUREMENT)
    wrong, r = "the signature is wrong", int.from_bytes(parse_report(plain.report).r, "little")
    return [
        bad(
            "flipped-bit",
            "one bit of GUEST_SVN changed",
            "bytes were changed after signing",
            wrong,
            "signature",
            edited(plain, guest_svn=1),
            "F35",
        ),
        bad(
            "edited-measurement",
            "the measurement of another guest replaced by the wanted one",
            "bytes were changed after signing",
            wrong,
            "signature",
            edited(elsewhere, measurement=MEASUREMENT),
            "F35",
        ),
        bad(
            "other-key",
            "signed with a key that is not the leaf's",
            "somebody else signed it",
            wrong,
            "signature",
            given(key=MALLORY.vcek_key("Milan", CHIPS["Milan"], tcb_of("Milan"))),
            "F35",
        ),
        bad(
            "zero-signature",
            "r and s are zero",
            "nobody signed it; with naive arithmetic the sum comes out right all the same (CVE-2022-21449)",
            "nobody signed it",
            "range",
            plain._replace(report=unsigned()),
        ),
        bad(
            "r-above-order",
            "r is r plus the order of the curve",
            "r is not below the order, as it must be",
            wrong,
            "range",
            edited(plain, r=(r + ORDER).to_bytes(SCALAR, "little")),
        ),
        bad(
            "no-signing-key",
            "KEY_INFO says that no key signed, and none did",
            "nobody vouches for it",
            "no key signed it",
            "no-key",
            plain._replace(report=unsigned(key_info=NO_KEY << 2)),
        ),
        bad(
            "reserved-changed",
            "a reserved byte changed after signing",
            "a reader that drops reserved bytes before it verifies does not see them",
            "the signature is wrong for the bytes as they came",
            "put-together",
            edited(plain, reserved_4c=b"\x01\0\0\0"),
            "F41",
            ("report signature",),
        ),
        bad(
            "vlek-as-vcek",
            "KEY_INFO says VCEK, a cloud's VLEK signed",
            "the report names one key and another signed",
            "the leaf is no VCEK",
            "signing-key",
            _vlek_as_vcek(),
        ),
        bad(
            "vcek-as-vlek",
            "KEY_INFO says VLEK, a chip's VCEK signed",
            "the report names one key and another signed; its chip id is zero, as a VLEK's may be",
            "the leaf is no VLEK",
            "signing-key",
            _vcek_as_vlek(),
        ),
    ]


def _vlek_as_vcek() -> Given:
    tcb = tcb_of("Milan")
    others = {"chain": SERVER.chain("Milan", vlek=True)}
    return given(key=SERVER.vlek_key("Milan", CSP, tcb), leaf=vlek("Milan", CSP, tcb), others=others)


def _vcek_as_vlek() -> Given:
    key = SERVER.vcek_key("Milan", CHIPS["Milan"], tcb_of("Milan"))
    return given(key_info=VLEK << 2, chip_id=bytes(64), key=key)
