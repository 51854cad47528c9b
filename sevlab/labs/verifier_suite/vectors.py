"""The bytes of the test cases: reports and certificates that one flaw of a verifier would accept, and valid ones.

data/verifier_suite.toml describes them. Certificates are valid from 2025-07-01 until 2045, longer than AMD's, so that a
verifier that uses the clock can be tested for years.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any

from ...attestation.certificates import parse_certificate
from ...attestation.crypto import ecdsa_sign
from ...data import read_table
from ...errors import InputError, quoted
from ...formats.id_block import ECDSA_P384_SHA384
from ...formats.report import NO_KEY, SIGNED, SIZE, TCB_FORMS, VCEK, VLEK, Tcb, parse_report
from ...formats.sev_certs import ECDSA_SHA384, SCALAR
from ...formats.vcek import ARK, ASK, ASVK, SPL, SUBJECTS
from ...simulator.kds import KeyServer
from . import der_edit as edit
from .cases import FLAWS, INVALID, ORDER, TestCase, VerifierInput

#: The fake KDS, and an attacker with keys of their own.
SERVER, MALLORY = KeyServer(b"sevlab, the verifier suite"), KeyServer(b"sevlab, the verifier suite, from outside")
#: The owner's cloud, and another one.
CSP, OTHER_CSP = "suite.example", "elsewhere.example"
FIRST_DAY, LAST_DAY = "250701", "450101"
CHIPS = {
    "Milan": bytes(range(0x40, 0x80)),
    "Genoa": bytes(range(0x80, 0xC0)),
    "Turin": bytes(range(0xC0, 0xC8)) + bytes(56),
}
OTHER_CHIP = bytes(range(0x01, 0x41))
#: A chip id that could be read as an OCTET STRING in DER.
_LIKE_DER = bytes([0x04, 62]) + bytes(range(0x81, 0x81 + 62))
#: Family, model and stepping.
CPUS = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}
_PARTS = {"fmc": 1, "bl": 4, "tee": 1, "snp": 24, "ucode": 219}
_OLD_SNP = 8
#: What the owner requires.
POLICY, DEBUG, MIGRATE = 0x30000, 0xB0000, 0x70000
MEASUREMENT, OTHER_MEASUREMENT = bytes(range(0x10, 0x40)), bytes(range(0x50, 0x80))
REPORT_DATA, HOST_DATA = bytes(range(0xA0, 0xE0)), bytes(range(0xE0, 0x100))
ID_KEY_DIGEST = bytes(range(0x20, 0x50))
MIN_TCB = "snp=20,ucode=200"
#: The names of keys for a chain made at home.
_HOME_ROOT, _HOME_ASK = "ARK", "ASK"


def tcb_of(product: str, **changes: int) -> Tcb:
    """Return a TCB in a product's form, with some parts changed."""
    form, parts = TCB_FORMS[product], _PARTS | changes
    return form(**{part: parts[part] for part in form.part_names()})


def unsigned(product: str = "Milan", version: int = 3, *, vlek: bool = False, **changes: Any) -> bytes:
    """Return a report that meets the requirements, before it is signed; *changes* are fields of it."""
    report = parse_report(version.to_bytes(4, "little") + bytes(SIZE - 4), product)
    firmware = {"major": 1, "minor": {2: 55, 3: 56}.get(version, 58), "build": 25}
    fields: dict[str, object] = {
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
        **_tcbs(tcb_of(product)),
        **({} if report.cpuid is None else _cpuid(product)),
        **{f"{which}_{part}": number for which in ("current", "committed") for part, number in firmware.items()},
    }
    return bytes(report.replace(**(fields | changes)).to_bytes())


def _cpuid(product: str) -> dict[str, Any]:
    return dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), CPUS[product], strict=True))


def _tcbs(tcb: Tcb) -> dict[str, Any]:
    return dict.fromkeys(("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"), tcb)


def _name_of(kind: str, product: str = "Milan") -> str:
    """Return the name of an authority, which is also that of its fake key."""
    return SUBJECTS[kind].format(product)


@cache
def vcek(product: str, chip_id: bytes, tcb: Tcb) -> bytes:
    """Return the certificate of a chip's key at a TCB (DER)."""
    return edit.reseal(edit.redate(SERVER.vcek(product, chip_id, tcb), FIRST_DAY, LAST_DAY), _name_of(ASK, product))


@cache
def vlek(product: str, csp_id: str, tcb: Tcb) -> bytes:
    """Return the certificate of a cloud's key at a TCB (DER)."""
    return edit.reseal(edit.redate(SERVER.vlek(product, csp_id, tcb), FIRST_DAY, LAST_DAY), _name_of(ASVK, product))


@cache
def crl(product: str, revoked: tuple[int, ...] = ()) -> bytes:
    """Return the list of certificates revoked by serial number (DER)."""
    return edit.reseal_crl(edit.redate(SERVER.crl(product, revoked), FIRST_DAY, LAST_DAY), _name_of(ARK, product))


def make_input(
    product: str = "Milan",
    version: int = 3,
    *,
    key: Any = None,
    leaf: Any = None,
    by_cloud: bool = False,
    **changes: Any,
) -> VerifierInput:
    """Return the input for a genuine report, with some *changes* to its fields.

    It is signed with *key*, by default that of the chip, or *by_cloud* that of the cloud, at its REPORTED_TCB, to which
    the default *leaf* (DER) belongs.
    """
    raw = unsigned(product, version, vlek=by_cloud, **changes)
    tcb = parse_report(raw, product).reported_tcb
    if leaf is None:
        leaf = vlek(product, CSP, tcb) if by_cloud else vcek(product, CHIPS[product], tcb)
    if key is None:
        key = SERVER.vlek_key(product, CSP, tcb) if by_cloud else SERVER.vcek_key(product, CHIPS[product], tcb)
    return VerifierInput(
        report=raw[:SIGNED] + ecdsa_sign(key, raw[:SIGNED], ECDSA_SHA384).to_bytes(),
        vcek=leaf,
        chain=SERVER.chain(product, vlek=by_cloud),
        crl=crl(product),
        root=SERVER.ark(product),
        product=product,
        measurement=MEASUREMENT,
        report_data=REPORT_DATA,
        host_data=HOST_DATA,
        id_key_digest=ID_KEY_DIGEST,
        min_tcb=MIN_TCB,
        vmpl=0,
        policy=POLICY,
    )


def _edited(one: VerifierInput, **changes: Any) -> VerifierInput:
    return replace(one, report=parse_report(one.report).replace(**changes).to_bytes())


def _signer(chip_id: bytes, tcb: Tcb, product: str = "Milan") -> dict[str, Any]:
    """Return the key and leaf of a chip at a TCB, whatever the report says."""
    return {"key": SERVER.vcek_key(product, chip_id, tcb), "leaf": vcek(product, chip_id, tcb)}


def _valid() -> dict[str, VerifierInput]:
    plain, newer, between = make_input(), tcb_of("Milan", snp=26, ucode=222), tcb_of("Milan", snp=25)
    s = int.from_bytes(parse_report(plain.report).s, "little")
    return {
        "milan-v2": make_input("Milan", 2),
        "milan-v3": plain,
        "genoa-v3": make_input("Genoa", 3),
        "turin-v5": make_input("Turin", 5),
        "milan-vlek": make_input(by_cloud=True),
        "tcb-behind": make_input(current_tcb=newer, committed_tcb=between, launch_tcb=between),
        "mirrored-s": _edited(plain, s=(ORDER - s).to_bytes(SCALAR, "little")),
        "chip-like-der": make_input(chip_id=_LIKE_DER, **_signer(_LIKE_DER, tcb_of("Milan"))),
    }


def _wrong_signatures() -> dict[str, VerifierInput]:
    plain, tcb = make_input(), tcb_of("Milan")
    r = int.from_bytes(parse_report(plain.report).r, "little")
    cloud = make_input(key=SERVER.vlek_key("Milan", CSP, tcb), leaf=vlek("Milan", CSP, tcb))
    chip_key = SERVER.vcek_key("Milan", CHIPS["Milan"], tcb)
    return {
        "flipped-bit": _edited(plain, guest_svn=1),
        "edited-measurement": _edited(make_input(measurement=OTHER_MEASUREMENT), measurement=MEASUREMENT),
        "other-key": make_input(key=MALLORY.vcek_key("Milan", CHIPS["Milan"], tcb)),
        "zero-signature": replace(plain, report=unsigned()),
        "r-above-order": _edited(plain, r=(r + ORDER).to_bytes(SCALAR, "little")),
        "no-signing-key": replace(plain, report=unsigned(key_info=NO_KEY << 2)),
        "reserved-changed": _edited(plain, reserved_4c=b"\x01\0\0\0"),
        "vlek-as-vcek": replace(cloud, chain=SERVER.chain("Milan", vlek=True)),
        "vcek-as-vlek": make_input(key_info=VLEK << 2, chip_id=bytes(64), key=chip_key),
    }


def _wrong_chains() -> dict[str, VerifierInput]:
    """Certificates with a wrong signature, of an unknown root, out of date, revoked, or for a different use."""
    plain, chip = make_input(), CHIPS["Milan"]
    leaf, ask, ark = plain.vcek, SERVER.ask("Milan"), SERVER.ark("Milan")
    own = MALLORY.vcek_key("Milan", chip, tcb_of("Milan"))  # a key that AMD did not certify
    old = tcb_of("Milan", snp=_OLD_SNP)
    altered = edit.change_number(vcek("Milan", chip, old), SPL["snp"], _PARTS["snp"])
    home_leaf = edit.reseal(edit.rekey_ec(leaf, own), _HOME_ASK)
    home_ask = edit.rekey_rsa(ask, _name_of(ASK), _HOME_ASK)
    home_root = edit.reseal(edit.rekey_rsa(ark, _name_of(ARK), _HOME_ROOT), _HOME_ROOT)
    at_home = make_input(key=own, leaf=home_leaf)
    data_ask = edit.reseal(edit.for_data_only(ask), _name_of(ARK))
    return {
        "other-chain": replace(make_input("Genoa"), report=plain.report, vcek=leaf),
        "altered-vcek": make_input(key=SERVER.vcek_key("Milan", chip, old), leaf=altered),
        "unsigned-vcek": make_input(key=own, leaf=edit.rekey_ec(leaf, own)[:-256] + bytes(256)),
        "forged-ask": replace(at_home, chain=edit.pem(edit.reseal(home_ask, _HOME_ASK)) + edit.pem(ark)),
        "home-made-root": replace(
            at_home,
            chain=edit.pem(edit.reseal(home_ask, _HOME_ROOT)) + edit.pem(home_root),
            crl=edit.reseal_crl(crl("Milan"), _HOME_ROOT),
        ),
        "ask-for-data": replace(plain, chain=edit.pem(data_ask) + edit.pem(ark)),
        "expired-vcek": make_input(leaf=edit.reseal(edit.redate(leaf, "180101", "250101"), _name_of(ASK))),
        "early-vcek": make_input(leaf=edit.reseal(edit.redate(leaf, "440101", "450101"), _name_of(ASK))),
        "revoked-ask": replace(plain, crl=crl("Milan", (parse_certificate(ask).serial,))),
    }


def _wrong_leaves() -> dict[str, VerifierInput]:
    """Genuine leaves for a chip, TCB or product that is not the report's: one certified key claims to be another."""
    new, old, current = tcb_of("Milan"), tcb_of("Milan", snp=_OLD_SNP), tcb_of("Milan", snp=26)
    chip, turin = CHIPS["Milan"], CHIPS["Turin"]
    ancient, claimed = tcb_of("Turin", fmc=3, bl=1, tee=4, snp=0), tcb_of("Turin", fmc=1, bl=4)
    without = edit.reseal(edit.rename_extension(vcek("Milan", chip, new), SPL["ucode"]), _name_of(ASK))
    return {
        "other-chip": make_input(**_signer(OTHER_CHIP, new)),
        "longer-chip-id": make_input("Turin", 5, chip_id=turin[:8] + bytes(range(56))),
        "older-leaf": make_input(**_signer(chip, old)),
        "current-leaf": make_input(**_signer(chip, current), current_tcb=current),
        "tcb-as-milan": make_input("Turin", 5, **_signer(turin, ancient, "Turin"), reported_tcb=claimed),
        "missing-number": make_input(leaf=without),
        "other-product": make_input("Genoa", 3, **_cpuid("Milan")),
    }


def _not_required() -> dict[str, VerifierInput]:
    newer = tcb_of("Milan", snp=_OLD_SNP)
    return {
        "other-measurement": make_input(measurement=OTHER_MEASUREMENT),
        "debug-policy": make_input(policy=DEBUG),
        "migration-policy": make_input(policy=MIGRATE),
        "wrong-vmpl": make_input(vmpl=3),
        "replayed": make_input(report_data=bytes(range(0x01, 0x41))),
        "other-host-data": make_input(host_data=bytes(range(32))),
        "other-id-key": make_input(id_key_digest=bytes(range(0x70, 0xA0))),
        "old-tcb": make_input(**_tcbs(tcb_of("Milan", bl=3, tee=0, snp=_OLD_SNP, ucode=115))),
        "old-below-new": make_input(reported_tcb=newer, launch_tcb=newer, committed_tcb=newer),
    }


def _acceptable() -> dict[str, VerifierInput]:
    plain, tcb = make_input(), tcb_of("Milan")
    key, leaf = SERVER.vlek_key("Milan", OTHER_CSP, tcb), vlek("Milan", OTHER_CSP, tcb)
    return {
        "masked-chip-id": make_input(chip_id=bytes(64)),
        "version-4": make_input(version=4),
        "later-bit": make_input(reserved_1f8=b"\x0f" + bytes(167)),
        "trailing-bytes": replace(plain, report=plain.report + bytes(range(16))),
        "after-signature": _edited(plain, reserved_330=b"\x01" + bytes(367)),
        "other-cloud": make_input(by_cloud=True, key=key, leaf=leaf),
    }


@cache
def _all_cases() -> dict[str, TestCase]:
    rows, cases = read_table("verifier_suite")["cases"], {}
    for make in (_valid, _wrong_signatures, _wrong_chains, _wrong_leaves, _not_required, _acceptable):
        for key, made in make().items():
            row = rows[key]
            flaw = FLAWS[row.pop("flaw")] if "flaw" in row else None
            checks = tuple(row.pop("checks", flaw.checks if flaw is not None and row["result"] == INVALID else ()))
            cases[key] = TestCase(key, input=made, flaw=flaw, checks=checks, **row)
    return cases


def load_cases(only: Iterable[str] = (), name: str = "only") -> list[TestCase]:
    """Return every test case, or only those with some keys; raises InputError with *name* for an unknown key."""
    cases, chosen = _all_cases(), set(only)
    for key in sorted(chosen - set(cases)):
        near = get_close_matches(key[:40], sorted(cases), n=3, cutoff=0.4)
        raise InputError(name, quoted(key), "keys of test cases", " or ".join(near) or "sevlab verifier-suite list")
    return [case for key, case in cases.items() if not chosen or key in chosen]
