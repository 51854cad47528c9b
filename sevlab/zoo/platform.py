"""The made-up platforms that the animals' reports come from, and the owner who asks for them.

Everything is the same to the last byte each time. Certificates are valid from 2025-07-01 until 2045, longer than AMD's,
so that a verifier that asks the clock finds them valid for years.
"""

from __future__ import annotations

from functools import cache

from ..chain import ecdsa_sign
from ..formats.report import (
    ECDSA_P384_SHA384,
    SIGNED,
    SIZE,
    TCB_FORMS,
    VCEK,
    VLEK,
    MilanTcb,
    Tcb,
    TurinTcb,
    parse_report,
)
from ..formats.sev_certs import ECDSA_SHA384
from ..formats.vcek import ARK, ASK, ASVK, SUBJECTS
from ..simulator.kds import KeyServer
from .animal import Given
from .edit import redate, reseal, reseal_crl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: What stands for AMD, and somebody who has keys of their own and none of AMD's.
SERVER, MALLORY = KeyServer(b"sevlab, the zoo"), KeyServer(b"sevlab, the zoo, from outside")
#: The cloud whose VLEK signs, and another one.
CSP, OTHER_CSP = "zoo.example", "elsewhere.example"
FIRST_DAY, LAST_DAY = "250701", "450101"
CHIPS = {
    "Milan": bytes(range(0x40, 0x80)),
    "Genoa": bytes(range(0x80, 0xC0)),
    "Turin": bytes(range(0xC0, 0xC8)) + bytes(56),
}
OTHER_CHIP = bytes(range(0x01, 0x41))
#: Family, model and stepping.
CPUS = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}
_PARTS = {"fmc": 1, "bl": 4, "tee": 1, "snp": 24, "ucode": 219}
#: What the owner wants.
POLICY, DEBUG, MIGRATE = 0x30000, 0xB0000, 0x70000
MEASUREMENT, OTHER_MEASUREMENT = bytes(range(0x10, 0x40)), bytes(range(0x50, 0x80))
REPORT_DATA, HOST_DATA = bytes(range(0xA0, 0xE0)), bytes(range(0xE0, 0x100))
ID_KEY_DIGEST = bytes(range(0x20, 0x50))
MIN_TCB = "snp=20,ucode=200"


def tcb_of(product: str, **changes: int) -> Tcb:
    """Return a TCB of a product's form, some parts changed."""
    form: type[MilanTcb | TurinTcb] = MilanTcb if TCB_FORMS[product] is MilanTcb else TurinTcb
    parts = _PARTS | changes
    return form(**{part: parts[part] for part in form.part_names()})


def unsigned(product: str = "Milan", version: int = 3, *, vlek: bool = False, **changes: Any) -> bytes:
    """Return a report that says what the owner wants, before it is signed; *changes* are fields of it."""
    report = parse_report(version.to_bytes(4, "little") + bytes(SIZE - 4), product)
    fields: dict[str, Any] = {
        "policy": POLICY,
        "signature_algo": ECDSA_P384_SHA384,
        "key_info": (VLEK if vlek else VCEK) << 2,
        "platform_info": 0x25 if version > 2 else 0x01,
        "report_data": REPORT_DATA,
        "measurement": MEASUREMENT,
        "host_data": HOST_DATA,
        "id_key_digest": ID_KEY_DIGEST,
        "report_id": bytes(range(0x60, 0x80)),
        "report_id_ma": b"\xff" * 32,
        "chip_id": bytes(64) if vlek else CHIPS[product],
        **dict.fromkeys(("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"), tcb_of(product)),
    }
    if report.cpuid is not None:
        fields |= dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), CPUS[product], strict=True))
    minor = {2: 55, 3: 56}.get(version, 58)
    fields |= {
        f"{when}_{part}": value
        for when in ("current", "committed")
        for part, value in (("build", 25), ("minor", minor), ("major", 1))
    }
    return bytes(report.replace(**(fields | changes)).to_bytes())


def sign(raw: bytes, key: Any) -> bytes:
    """Sign a report."""
    return raw[:SIGNED] + ecdsa_sign(key, raw[:SIGNED], ECDSA_SHA384).to_bytes()


def name_of(kind: str, product: str) -> str:
    """Return the name of an authority, after which its made-up key is called."""
    return SUBJECTS[kind].format(product)


@cache
def vcek(product: str, chip_id: bytes, tcb: Tcb) -> bytes:
    """Return the certificate of a chip's key at a TCB (DER)."""
    return reseal(redate(SERVER.vcek(product, chip_id, tcb), FIRST_DAY, LAST_DAY), name_of(ASK, product))


@cache
def vlek(product: str, csp_id: str, tcb: Tcb) -> bytes:
    """Return the certificate of a cloud's key at a TCB (DER)."""
    return reseal(redate(SERVER.vlek(product, csp_id, tcb), FIRST_DAY, LAST_DAY), name_of(ASVK, product))


@cache
def crl(product: str, revoked: Iterable[int] = ()) -> bytes:
    """Return the list of revoked certificates (DER); *revoked* is a tuple of serial numbers."""
    return reseal_crl(redate(SERVER.crl(product, revoked), FIRST_DAY, LAST_DAY), name_of(ARK, product))


def given(
    product: str = "Milan",
    version: int = 3,
    *,
    key: Any = None,
    report: bytes | None = None,
    leaf: bytes | None = None,
    kind: str = "vcek",
    others: dict[str, Any] | None = None,
    **changes: Any,
) -> Given:
    """Return what a verifier is given for a genuine report, some of it changed.

    *changes* are fields of the report, which is then signed with *key*, or with that of the chip or the cloud (*kind*
    is "vcek" or "vlek") at its REPORTED_TCB. A whole *report*, the *leaf*, and *others* take the place of what is made.
    """
    by_cloud = kind == "vlek"
    raw = unsigned(product, version, vlek=by_cloud, **changes)
    said = parse_report(raw, product)
    chip, tcb = CHIPS[product], said.reported_tcb
    if leaf is None:
        leaf = vlek(product, CSP, tcb) if by_cloud else vcek(product, chip, tcb)
    if report is None:
        mine = SERVER.vlek_key(product, CSP, tcb) if by_cloud else SERVER.vcek_key(product, chip, tcb)
        report = sign(raw, key or mine)
    made = Given(
        report,
        leaf,
        SERVER.chain(product, vlek=by_cloud),
        crl(product),
        SERVER.ark(product),
        product,
        MEASUREMENT,
        REPORT_DATA,
        HOST_DATA,
        ID_KEY_DIGEST,
        MIN_TCB,
        0,
        POLICY,
    )
    return made._replace(**(others or {}))


def edited(one: Given, **changes: Any) -> Given:
    """Change fields of a report after it was signed."""
    return one._replace(report=parse_report(one.report).replace(**changes).to_bytes())
