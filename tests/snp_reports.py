"""Reports of made-up platforms, signed, with the certificates for them; and a real one with its own."""

from __future__ import annotations

import base64
from datetime import timedelta
from functools import cache
from typing import Any

from cryptography import x509
from hypothesis import strategies as st

from sevlab.attestation.certificates import (
    Certificates,
    parse_bundle,
    parse_certificate,
)
from sevlab.attestation.crypto import ecdsa_sign
from sevlab.attestation.report import ReportVerdict, verify_report
from sevlab.errors import InputError
from sevlab.formats.report import SIGNED, SIZE, TCB_FORMS, VLEK, MilanTcb, Tcb, TurinTcb, parse_report
from sevlab.formats.sev_certs import ECDSA_SHA384
from sevlab.formats.vcek import (
    KINDS,
    CertTableEntry,
    TableGuid,
)
from sevlab.simulator import kds
from sevlab.simulator.kds import MOMENT, KeyServer
from tests.shared_data import shared_data

SERVER = KeyServer(b"tests")
CSP = "cloud.example"
CHIPS = {"Milan": bytes(range(1, 65)), "Genoa": bytes(range(101, 165)), "Turin": bytes(range(1, 9)) + bytes(56)}
CPUS = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}
_PARTS = {"fmc": 1, "bl": 4, "tee": 0, "snp": 24, "ucode": 219}
TCBS: dict[str, Tcb] = {
    name: form(**{part: _PARTS[part] for part in form.part_names()}) for name, form in TCB_FORMS.items()
}
OTHER_FORM = {"Milan": TurinTcb, "Genoa": TurinTcb, "Turin": MilanTcb}


def unsigned(product: str = "Milan", version: int = 3, *, vlek: bool = False, **changes: Any) -> bytes:
    """Return a report before it is signed; *changes* are fields of the report."""
    raw = version.to_bytes(4, "little") + bytes(SIZE - 4)
    tcb = TCBS[product]
    fields: dict[str, Any] = {
        "policy": 0x30000,
        "signature_algo": 1,
        "key_info": VLEK << 2 if vlek else 0,
        "report_data": bytes(range(64)),
        "measurement": bytes(range(48, 96)),
        "report_id": b"\x11" * 32,
        "report_id_ma": b"\xff" * 32,
        "chip_id": bytes(64) if vlek else CHIPS[product],
        **dict.fromkeys(("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"), tcb),
    }
    report = parse_report(raw, product)
    if report.cpuid is not None:
        fields |= dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), CPUS[product], strict=True))
    return bytes(report.replace(**(fields | changes)).to_bytes())


def signed(raw: bytes, key: Any) -> bytes:
    """Sign a report."""
    return raw[:SIGNED] + ecdsa_sign(key, raw[:SIGNED], ECDSA_SHA384).to_bytes()


def make(product: str = "Milan", version: int = 3, *, vlek: bool = False, **changes: Any) -> bytes:
    """Return a signed report of a made-up platform."""
    raw = unsigned(product, version, vlek=vlek, **changes)
    reported = parse_report(raw, product).reported_tcb
    if vlek:
        return signed(raw, SERVER.vlek_key(product, CSP, reported))
    return signed(raw, SERVER.vcek_key(product, CHIPS[product], reported))


def certificates(
    product: str = "Milan", *, vlek: bool = False, crl: bytes | None = None, **raws: bytes
) -> Certificates:
    """Return the certificates for it; *raws* replace some."""
    return parse_bundle(**(_ders(product, vlek) | {"crl": crl} | raws))


@cache
def _ders(product: str, vlek: bool) -> dict[str, bytes | None]:
    tcb = TCBS[product]
    if vlek:
        return {"vlek": SERVER.vlek(product, CSP, tcb), "ask": SERVER.asvk(product), "ark": SERVER.ark(product)}
    return {"vcek": SERVER.vcek(product, CHIPS[product], tcb), "ask": SERVER.ask(product), "ark": SERVER.ark(product)}


def table(**parts: bytes) -> bytes:
    """Lay a certificate table out, by the facts: entries, an end of zeros, then the certificates."""
    guids = {kind: bytes.fromhex(guid.replace("-", "")) for guid, kind in KINDS.items()}
    offset, entries, body = CertTableEntry.size * (len(parts) + 1), b"", b""
    for kind, raw in parts.items():
        entries += CertTableEntry(guid=TableGuid(guids[kind]), offset=offset + len(body), length=len(raw)).to_bytes()
        body += raw
    return entries + bytes(CertTableEntry.size) + body


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


#: A moment within all dates of the real certificates.
REAL_MOMENT = "2024-01-01"


@cache
def real(name: str) -> bytes:
    return shared_data("snp", name).read_bytes()


@cache
def real_ders() -> dict[str, bytes]:
    return {
        "vcek": real("milan-v2-vcek.der"),
        "ask": parse_certificate(real("milan-ask.pem")).der,
        "ark": parse_certificate(real("milan-ark.pem")).der,
    }


def real_verdict(report: bytes = b"", **raws: bytes) -> ReportVerdict:
    return verify_report(report or real("milan-v2-report.bin"), parse_bundle(**(real_ders() | raws)), at=REAL_MOMENT)


def made_verdict(raw: bytes, given: Certificates, **wanted: Any) -> ReportVerdict:
    return verify_report(raw, given, roots=SERVER.roots, at=MOMENT, **wanted)


def states(verdict: ReportVerdict) -> dict[str, str]:
    return {check.name: check.state for check in verdict.checks}


def failures(verdict: ReportVerdict) -> list[str]:
    return [check.name for check in verdict.failed]


def one_line(error: InputError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 400


def anything(seed: bytes) -> st.SearchStrategy[bytes]:
    """Bytes at random, or *seed* cut, lengthened, or with some bytes changed."""

    def changed(changes: list[tuple[int, int]]) -> bytes:
        raw = bytearray(seed)
        for place, value in changes:
            raw[place % len(raw)] = value
        return bytes(raw)

    some = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6).map(changed)
    cut = st.integers(0, len(seed)).map(lambda end: seed[:end])
    return st.one_of(st.binary(max_size=300), some, cut, st.binary(max_size=8).map(lambda more: seed + more))


def crl(
    *serials: int,
    product: str = "Milan",
    days: tuple[int, int] = (-30, 30),
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    entry: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:
    """Make a list (DER) that the made-up ARK of a product signed."""
    start, end = (MOMENT + timedelta(days=number) for number in days)
    builder = x509.CertificateRevocationListBuilder(kds._name("ARK", product), start, end)
    for value, is_critical in extensions:
        builder = builder.add_extension(value, is_critical)
    for serial in serials:
        one = x509.RevokedCertificateBuilder(serial, start)
        for value, is_critical in entry:
            one = one.add_extension(value, is_critical)
        builder = builder.add_revoked_certificate(one.build())
    return kds._signed(builder, "ARK", product)


def crl_pem(*ders: bytes) -> bytes:
    return b"".join(pem(der).replace(b"CERTIFICATE", b"X509 CRL") for der in ders)
