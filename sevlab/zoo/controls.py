"""Genuine reports, which must be accepted, and odd ones, about which right verifiers may differ."""

from __future__ import annotations

from ..formats.report import parse_report
from ..formats.sev_certs import SCALAR
from .animal import Animal
from .lapse import LAPSES
from .naive import ORDER
from .platform import OTHER_CSP, SERVER, edited, given, tcb_of, vcek, vlek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .animal import Given

_ACCEPT = "accepts it"
#: A chip id that begins as an OCTET STRING of all its rest would.
_LIKE_DER = bytes([0x04, 62]) + bytes(range(0x81, 0x81 + 62))


def controls() -> list[Animal]:
    """Return the genuine ones."""
    behind: dict[str, Any] = {
        "current_tcb": tcb_of("Milan", snp=26, ucode=222),
        "committed_tcb": tcb_of("Milan", snp=25),
        "launch_tcb": tcb_of("Milan", snp=25),
    }
    return [
        _control("milan-v2", "a Milan's report of version 2", given("Milan", 2)),
        _control("milan-v3", "a Milan's report of version 3", given("Milan", 3)),
        _control("genoa-v3", "a Genoa's report of version 3", given("Genoa", 3)),
        _control("turin-v5", "a Turin's report of version 5; its chip id has 8 bytes", given("Turin", 5), "F42"),
        _control("milan-vlek", "a Milan's report, signed with a cloud's key (VLEK)", given(kind="vlek")),
        _control("tcb-behind", "REPORTED_TCB is older than CURRENT_TCB, and new enough", given(**behind), "F38"),
        _control("mirrored-s", "s of the signature is the order minus s, which ECDSA allows", _mirrored()),
        _control("chip-like-der", "a chip id whose bytes could be read as DER", given(**_chip_like_der())),
    ]


def odd_ones() -> list[Animal]:
    """Return those about which right verifiers may differ."""
    plain = given()
    return [
        Animal(
            "masked-chip-id",
            "the chip id is zero, as where the host masks it",
            "which chip it was is not told, so HWID cannot be compared",
            "says that it cannot tell the chip; whether that will do is for the owner",
            None,
            given(chip_id=bytes(64)),
        ),
        Animal(
            "version-4",
            "a report of version 4",
            "sources contradict each other about version 4",
            "refuses it, or verifies the signature and reads only what all versions share",
            None,
            given(version=4),
        ),
        Animal(
            "later-bit",
            "a genuine bit where version 3 has reserved bytes",
            "the firmware says something that version 3 does not know; the signature covers it",
            "accepts the bytes as they came, or refuses what it does not know; it must not drop them (F41)",
            None,
            given(reserved_1f8=b"\x0f" + bytes(167)),
            incident="F41",
        ),
        Animal(
            "trailing-bytes",
            "16 bytes behind the report",
            "the file is longer than a report",
            "refuses the length, or takes the 1184 bytes and nothing else",
            None,
            plain._replace(report=plain.report + bytes(range(16))),
            LAPSES["length"],
        ),
        Animal(
            "after-signature",
            "bytes behind r and s are not zero",
            "no signature covers them, so anybody may have put them there",
            "refuses them, or looks at r and s alone",
            None,
            edited(plain, reserved_330=b"\x01" + bytes(367)),
        ),
        Animal(
            "other-cloud",
            "signed with the VLEK of another cloud",
            f"CSP_ID is {OTHER_CSP!r}; nothing in a report tells the cloud",
            "shows CSP_ID; whether it is the owner's cloud, only the owner can say",
            None,
            _other_cloud(),
        ),
    ]


def _control(key: str, title: str, what: Given, incident: str = "") -> Animal:
    return Animal(key, title, "nothing", _ACCEPT, True, what, incident=incident)


def _mirrored() -> Given:
    plain = given()
    s = int.from_bytes(parse_report(plain.report).s, "little")
    return edited(plain, s=(ORDER - s).to_bytes(SCALAR, "little"))


def _chip_like_der() -> dict[str, Any]:
    tcb = tcb_of("Milan")
    return {
        "chip_id": _LIKE_DER,
        "leaf": vcek("Milan", _LIKE_DER, tcb),
        "key": SERVER.vcek_key("Milan", _LIKE_DER, tcb),
    }


def _other_cloud() -> Given:
    tcb = tcb_of("Milan")
    key, leaf = SERVER.vlek_key("Milan", OTHER_CSP, tcb), vlek("Milan", OTHER_CSP, tcb)
    return given(kind="vlek", key=key, leaf=leaf)
