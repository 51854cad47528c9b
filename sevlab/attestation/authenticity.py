"""Who made a report: its signature, the certificates up to AMD's root, and what the leaf says of product, TCB and chip.

A signature proves that some key made it; what the leaf says proves whose key. A signature that lacks a certificate is
*cannot tell*, and then nothing is decided.

Sources: snp-launch 6 and 7; vmsa 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from ..errors import quoted
from ..formats.id_block import ECDSA_P384_SHA384
from ..formats.report import SIGNED, TCB_FORMS, MilanTcb, Report, ReportV2, Tcb, TurinTcb
from ..formats.sev_certs import ECDSA_SHA384
from ..formats.vcek import (
    ARK,
    ASK,
    ASVK,
    EXTENSIONS,
    HWID_SIZES,
    RESERVED_SPL,
    SIGNERS,
    SPL,
    STRUCT_VERSION,
    STRUCT_VERSIONS,
    VCEK,
    VLEK,
)
from ..launch.verify import CANNOT_TELL, MATCH, MISMATCH, NOT_CHECKED, Check
from .certificates import Certificate, Certificates, RevocationList, integer
from .crypto import ecdsa_fault, pss_fault
from .verdict import judged

#: The TCBs of a report; every version has them at the same places.
_TCBS = tuple(row for row in ReportV2.rows if issubclass(row.type, Tcb))
_NONE_SIGNED = "no key signed this report: the chip's key is masked by the host, and no VLEK is loaded"
#: Object identifiers of the two extensions that a certificate may mark as critical: these are understood.
_BASIC, _USAGE = "2.5.29.19", "2.5.29.15"


def check_authenticity(
    report: Report,
    told: str,
    leaf: Certificate | None,
    given: Certificates,
    trusted: Mapping[str, str],
    at: datetime,
    csp_id: str | None = None,
) -> list[Check]:
    """Make every check of who made a report. *told* is the product that the report's own bytes name, "" for none.

    *trusted* are root certificates by SHA-256 (hex), *at* is when certificates must be valid, *csp_id* the cloud that a
    VLEK must be for.
    """
    kind = leaf.kind if leaf is not None and leaf.is_leaf else report.key_info.signer
    above = ASVK if kind == VLEK else ASK
    checks = [
        check_signing_key(report, leaf),
        check_version(report),
        check_report_signature(report, leaf),
        check_signed_by("leaf signature", leaf, given.ask, (kind if kind in (VCEK, VLEK) else "leaf", above)),
        check_signed_by("ASK signature", given.ask, given.ark, (above, ARK)),
        check_signed_by("ARK signature", given.ark, given.ark, (ARK, ARK)),
        check_root(given.ark, trusted),
        check_names(leaf, given),
        check_products(leaf, given),
        check_uses(leaf, given),
        check_validity(leaf, given, at),
        check_revocation(leaf, given, at),
    ]
    if leaf is not None:
        last = check_extensions(leaf), check_product(report, leaf, told), check_tcb(report, leaf)
        return [*checks, *last, check_chip(report, leaf, csp_id)]
    no_leaf = "no leaf certificate was given"
    checks += [Check(name, NOT_CHECKED, no_leaf) for name in ("extensions", "processor", "TCB")]
    turin = f"; a Turin's is asked for by the first {HWID_SIZES['Turin']} bytes of CHIP_ID alone" * (told == "Turin")
    return [*checks, Check("chip id", NOT_CHECKED, no_leaf + turin, incident="F42" if turin else "")]


def check_signing_key(report: Report, leaf: Certificate | None) -> Check:
    """Is the leaf of the kind that KEY_INFO names?"""
    info = report.key_info
    fault = ""
    if info.signer == "none":
        fault = _NONE_SIGNED
    elif info.signer == "unknown":
        fault = f"KEY_INFO names the unknown key {info.signing_key}"
    elif info.mask_chip_key and info.signer == VCEK:
        fault = "KEY_INFO says that the chip's key is masked, and that it signed: both cannot be"
    if leaf is None:
        note = fault or f"KEY_INFO names a {info.signer}, and none was given"
        return Check("signing key", CANNOT_TELL if fault else NOT_CHECKED, note)
    if not fault and leaf.kind != info.signer:
        fault = f"KEY_INFO names a {info.signer}, the certificate is for {quoted(leaf.common_name)}"
    return judged("signing key", fault, f"{info.signer}, as KEY_INFO says")


def check_report_signature(report: Report, leaf: Certificate | None) -> Check:
    """Did the leaf's key sign the report's first 672 bytes?"""
    name, raw, signer = "report signature", report.to_bytes(), report.key_info.signer
    if not any(raw[SIGNED:]):
        note = _NONE_SIGNED if signer == "none" else "the signature is zero: nobody signed this report"
        return Check(name, CANNOT_TELL if leaf is None else MISMATCH, note)
    if leaf is None:
        return Check(name, CANNOT_TELL, f"no {signer} was given, so nobody vouches for this report")
    if report.signature_algo != ECDSA_P384_SHA384:
        return Check(name, MISMATCH, f"SIGNATURE_ALGO is {report.signature_algo.text}; only 1 is known")
    key = leaf.ecc_key
    if key is None:
        return Check(name, MISMATCH, f"the {leaf.kind or 'leaf'}'s key is not a point on P-384")
    fault = ecdsa_fault(key, raw[SIGNED:], report.signed, ECDSA_SHA384)
    if fault:
        for what, other in _rewritten(report):
            if not ecdsa_fault(key, raw[SIGNED:], other[:SIGNED], ECDSA_SHA384):
                note = f"{fault}, but right once {what}: something rewrote the report"
                return Check(name, MISMATCH, note, incident="F41")
    return judged(name, fault, f"ECDSA P-384, SHA-384, over bytes 0 to 0x{SIGNED - 1:x} as they came")


def _rewritten(report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield what the report may have been before a program took it apart and wrote it again."""
    raw = report.to_bytes()
    emptied = bytearray(raw)
    for row in report.rows:
        if row.is_reserved and row.offset < SIGNED:
            emptied[row.offset : row.offset + row.size] = bytes(row.size)
    yield "its reserved bytes are zero", bytes(emptied)
    for reader, writer, product in ((TurinTcb, MilanTcb, "Milan or Genoa"), (MilanTcb, TurinTcb, "Turin")):
        words = f"the parts of its TCBs are where a {product} has them"
        yield words, _rearranged(raw, reader, writer)
        yield f"{words} and reserved bytes are zero", _rearranged(bytes(emptied), reader, writer)


def _rearranged(raw: bytes, reader: type[Tcb], writer: type[Tcb]) -> bytes:
    """Return a report with the parts of every TCB where another product has them."""
    made = bytearray(raw)
    for row in _TCBS:
        parts = reader.from_bytes(row.cut(raw)).parts
        moved = writer(**{part: parts.get(part, 0) for part in writer.part_names()})
        made[row.offset : row.offset + row.size] = moved.to_bytes()
    return bytes(made)


def check_signed_by(name: str, one: Certificate | None, signer: Certificate | None, kinds: tuple[str, str]) -> Check:
    """Did *signer* sign *one*? *kinds* are what to call them."""
    if one is None or signer is None:
        missing = dict.fromkeys(kind for kind, given in zip(kinds, (one, signer), strict=True) if given is None)
        return Check(name, CANNOT_TELL, f"no {' and no '.join(missing)} was given")
    by = "itself" if one is signer else f"the {kinds[1]}"
    return judged(name, signature_fault(one, signer), f"{kinds[0]} signed by {by}: RSASSA-PSS, SHA-384")


def signature_fault(signed: Certificate | RevocationList, signer: Certificate) -> str:
    """Check a signature of RSASSA-PSS with SHA-384; return what is wrong with it, "" for nothing."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if signed.algorithm_fault:
        return signed.algorithm_fault
    if not isinstance(signer.key, RSAPublicKey):
        return f"the key of {quoted(signer.common_name)} is not an RSA key"
    fault = pss_fault(signer.key, signed.signature, signed.tbs)
    return f"{fault}: the key of {quoted(signer.common_name)} did not make it" if fault else ""


def check_root(ark: Certificate | None, roots: Mapping[str, str]) -> Check:
    """Is the ARK a trusted one? It is known by the SHA-256 of its bytes; nothing above it could vouch for it."""
    if ark is None:
        return Check("ARK known", CANNOT_TELL, "no ARK was given")
    fault = "" if ark.sha256 in roots else f"SHA-256 {ark.sha256} is not that of a known root"
    return judged("ARK known", fault, f"{roots.get(ark.sha256)}: SHA-256 {ark.sha256}")


def _given(leaf: Certificate | None, certificates: Certificates) -> list[Certificate]:
    return [one for one in (certificates.ark, certificates.ask, leaf) if one is not None]


def check_names(leaf: Certificate | None, certificates: Certificates) -> Check:
    """Does each certificate name the one above it, and is each what its place needs?"""
    ask, ark = certificates.ask, certificates.ark
    faults = []
    if leaf is not None and not leaf.is_leaf:
        faults.append(f"the leaf is for {quoted(leaf.common_name)}, which is neither VCEK nor VLEK")
    if ask is not None and ask.kind not in ((SIGNERS[leaf.kind],) if leaf and leaf.is_leaf else (ASK, ASVK)):
        faults.append(f"{quoted(ask.common_name)} is not the name of what signs a {leaf.kind if leaf else 'leaf'}")
    if ark is not None and ark.kind != ARK:
        faults.append(f"{quoted(ark.common_name)} is not the name of a root")
    for one, signer in ((leaf, ask), (ask, ark), (ark, ark)):
        if one is not None and signer is not None and one.issuer != signer.subject:
            faults.append(f"{quoted(one.common_name)} names another issuer than {quoted(signer.common_name)}")
    if not faults and None in (leaf, ask, ark):
        return Check("names", NOT_CHECKED, "certificates are missing")
    return judged("names", "; ".join(faults), " <- ".join(one.common_name for one in _given(leaf, certificates)))


def check_products(leaf: Certificate | None, certificates: Certificates) -> Check:
    """Are all certificates of one product?"""
    name, given = "one product", _given(leaf, certificates)
    if not given:
        return Check(name, NOT_CHECKED, "no certificates were given")
    told = ", ".join(f"{one.kind or 'a certificate'}: {quoted(one.product or 'none')[1:-1]}" for one in given)
    if len({one.product for one in given}) > 1:
        return Check(name, MISMATCH, f"the certificates are of several products ({told})", incident="F13")
    product = given[0].product
    return judged(name, "" if product in TCB_FORMS else f"not a known product ({told})", product)


def check_uses(leaf: Certificate | None, certificates: Certificates) -> Check:
    """May each key do what it did? Authorities sign certificates; a leaf must not."""
    faults = []
    for one, place in ((certificates.ark, ARK), (certificates.ask, "ASK"), (leaf, "leaf")):
        if one is None:
            continue
        called = one.kind or place
        faults += [f"{called}: its {what} cannot be read" for what in one.unread]
        if unknown := sorted(one.critical - {_BASIC, _USAGE}):
            faults.append(f"{called}: the critical extension {unknown[0]} is not known")
        authority = bool(getattr(one.basic, "ca", False))
        signs = one.usage is not None and one.usage.key_cert_sign
        if place == "leaf":
            faults += ["the leaf may sign certificates"] if authority or signs else []
        elif not (authority and signs):
            faults.append(f"{called}: it must not sign certificates")
        elif place == ARK and getattr(one.basic, "path_length", None) == 0:
            faults.append("ARK: it must not sign for an authority")
    if not faults and None in (leaf, certificates.ask, certificates.ark):
        return Check("key usage", NOT_CHECKED, "certificates are missing")
    note = "ARK and ASK are authorities that sign certificates, the leaf is not"
    return judged("key usage", "; ".join(faults), note)


def check_validity(leaf: Certificate | None, certificates: Certificates, at: datetime) -> Check:
    """Are all certificates valid at a moment?"""
    name, moment, faults, ends = "validity", f"{at:%Y-%m-%d %H:%M:%S} UTC", [], []
    given = _given(leaf, certificates)
    if not given:
        return Check(name, NOT_CHECKED, "no certificates were given")
    for one in given:
        called = one.kind or quoted(one.common_name)
        if one.not_before is None or one.not_after is None:
            faults.append(f"{called}: its dates cannot be read")
        elif at < one.not_before:
            faults.append(f"{called}: not valid before {one.not_before:%Y-%m-%d}")
        elif at > one.not_after:
            faults.append(f"{called}: expired on {one.not_after:%Y-%m-%d}")
        else:
            ends.append(one.not_after)
    if faults:
        return Check(name, MISMATCH, f"at {moment}: {'; '.join(faults)}")
    return Check(name, MATCH, f"all are valid at {moment}; the first expires on {min(ends):%Y-%m-%d}")


def check_revocation(leaf: Certificate | None, certificates: Certificates, at: datetime) -> Check:
    """Is any certificate on a list of revoked ones? One list of the ARK must be whole and hold at that moment.

    A certificate that any list of the ARK names is revoked, even if that list is old or limited. Lists of other
    issuers are named and not used.
    """
    name, crls, ark = "revocation", certificates.crls, certificates.ark
    if not crls:
        return Check(name, NOT_CHECKED, "no list of revoked certificates (CRL) was given")
    if ark is None:
        return Check(name, CANNOT_TELL, "no ARK was given to check the CRL with")
    given = [one for one in _given(leaf, certificates) if one.serial > 0]
    faults: list[str] = []
    aside: list[str] = []
    whole: list[RevocationList] = []
    for number, crl in enumerate(crls, 1):
        called = "the CRL" if len(crls) == 1 else f"CRL {number} of {len(crls)}"
        if crl.issuer != ark.subject:
            aside.append(f"{called} is one of {quoted(crl.issuer_name)}, not of {quoted(ark.common_name)}")
            continue
        if fault := signature_fault(crl, ark):
            faults.append(f"{called}'s own signature: {fault}")
            continue
        faults += [
            f"{one.kind or quoted(one.common_name)} is revoked (serial number 0x{one.serial:x})"
            for one in given
            if one.serial in (crl.revoked or ())
        ]
        faults += [f"{called} {limit}" for limit in crl.faults]
        if crl.faults or crl.this_update is None or crl.next_update is None:
            continue
        if crl.this_update <= at <= crl.next_update:
            whole.append(crl)
        else:
            dates = f"{crl.this_update:%Y-%m-%d} to {crl.next_update:%Y-%m-%d}"
            aside.append(f"{called} holds from {dates}, not at {at:%Y-%m-%d}")
    if ark.usage is None or not ark.usage.crl_sign:
        faults.append("the ARK must not sign lists of revoked certificates")
    if faults or not whole:
        return Check(name, MISMATCH, "; ".join(dict.fromkeys([*faults, *aside])))
    count = len(frozenset().union(*(crl.revoked or () for crl in whole)))
    note = f"{' and '.join(one.kind or 'another' for one in given)} not among {count} revoked"
    if leaf is not None and leaf.serial == 0:
        note += f"; every {leaf.kind} has serial number 0, so no list can name this one"
    return Check(name, MATCH, "; ".join([note, *(f"not used: {words}" for words in aside)]))


def check_version(report: Report) -> Check:
    """Are all fields of the report known?"""
    if report.is_known:
        return Check("version", MATCH, f"version {report.VERSION}")
    words = "its signature covers all bytes, but only the fields that all versions share are read"
    return Check("version", NOT_CHECKED, f"version {report.version} is not known: {words}")


def check_extensions(leaf: Certificate) -> Check:
    """Does the leaf have all of AMD's extensions that it must have, and are they well formed?"""
    name, product, faults = "extensions", leaf.product, []
    if product not in TCB_FORMS:
        received = quoted(leaf.product_name) if leaf.product_name else "missing"
        return Check(name, MISMATCH, f"productName is {received}")
    parts = TCB_FORMS[product].part_names()
    if missing := [EXTENSIONS[SPL[part]] for part in parts if part not in leaf.parts]:
        faults.append(f"{', '.join(missing)} missing, or not a number from 0 to 255")
    if integer(leaf.extensions.get(STRUCT_VERSION, b"")) != STRUCT_VERSIONS[product]:
        faults.append(f"structVersion is not {STRUCT_VERSIONS[product]}, as on {product}")
    foreign = [oid for part, oid in SPL.items() if part not in parts and oid in leaf.extensions]
    faults += [f"{EXTENSIONS[oid]}, which {product} does not have" for oid in foreign]
    for part, oid in RESERVED_SPL.items():
        if integer(leaf.extensions.get(oid, b"\x02\x01\x00")) != 0:
            faults.append(f"{part.upper()}, which is reserved, is not 0")
    if leaf.kind == VLEK and not leaf.csp_id:
        faults.append("CSP_ID is missing, or not a text")
    if leaf.kind != VLEK and len(leaf.hwid) != HWID_SIZES[product]:
        received = f"{len(leaf.hwid)} bytes" if leaf.hwid else "missing"
        faults.append(f"HWID is {received}, not {HWID_SIZES[product]} bytes as on {product}")
    owner = "cloud" if leaf.kind == VLEK else "chip"
    return judged(name, "; ".join(faults), f"those for {', '.join(leaf.parts)}, product and {owner} are there")


def check_product(report: Report, leaf: Certificate, told: str) -> Check:
    """Is the leaf of the product that made the report, as *told* by its bytes? Version 2 does not name it (F13)."""
    name, cpuid = "processor", report.cpuid
    words = "" if cpuid is None else "CPUID family 0x{:x}, model 0x{:x}, stepping {}".format(*cpuid)
    if cpuid is not None and not told:
        return Check(name, MISMATCH, f"{words} is not that of a known product")
    if told and leaf.product not in told.split(" or "):
        why = words or f"a chip id of {'8 bytes' if told == 'Turin' else 'more than 8 bytes'}"
        note = f"{why} means {told}; the certificate is for {quoted(leaf.product)}"
        return Check(name, MISMATCH, note, incident="F13")
    if cpuid is not None:
        return Check(name, MATCH, f"{words}: {told}, as the certificate")
    if not report.is_known:
        return Check(name, NOT_CHECKED, "where an unknown version names its processor is not known")
    fits = f"the chip id fits {told}" if told else "the chip id is masked"
    note = f"version 2 does not name its processor; {fits}, the certificate says {leaf.product}"
    return Check(name, NOT_CHECKED, note)


def check_tcb(report: Report, leaf: Certificate) -> Check:
    """Is the leaf for REPORTED_TCB, from which the signing key is made? Part by part, never as one number."""
    name, form = "TCB", TCB_FORMS.get(leaf.product)
    if form is None or set(leaf.parts) != set(form.part_names()):
        return Check(name, MISMATCH, "the certificate does not name every part of its TCB")
    reported, current = (_read(form, report, field) for field in ("reported_tcb", "current_tcb"))
    mine, is_ = f"the certificate is for {_words(leaf.parts)}", f"REPORTED_TCB is {_words(reported.parts)}"
    if leaf.parts == reported.parts and not reported.findings():
        return Check(name, MATCH, f"{mine}, which is REPORTED_TCB")
    if leaf.parts == current.parts:
        return Check(name, MISMATCH, f"{mine}, which is CURRENT_TCB; {is_}", incident="F38")
    for other, product in ((MilanTcb, "a Milan or Genoa"), (TurinTcb, "a Turin")):
        swapped = _read(other, report, "reported_tcb").parts
        if other is not form and all(leaf.parts[part] == swapped[part] for part in leaf.parts if part in swapped):
            why = f"{mine}, which REPORTED_TCB is when read as {product}'s; read as a {leaf.product}'s it is"
            return Check(name, MISMATCH, f"{why} {_words(reported.parts)}", incident="F40")
    if leaf.parts == reported.parts:
        return Check(name, MISMATCH, f"{mine}, but {reported.findings()[0]}")
    differ = [
        f"{part} is {leaf.parts[part]}, reported {value}"
        for part, value in reported.parts.items()
        if leaf.parts[part] != value
    ]
    return Check(name, MISMATCH, f"the certificate is for another TCB: {', '.join(differ)}")


def check_chip(report: Report, leaf: Certificate, csp_id: str | None) -> Check:
    """Is the leaf for the chip that made the report? A VLEK is for a cloud: is it the required one, *csp_id*?"""
    name, chip_id = "chip id", report.chip_id
    if csp_id is not None:
        words = f"CSP_ID is {quoted(leaf.csp_id)}" if leaf.kind == VLEK else f"a {leaf.kind or 'leaf'} names no cloud"
        fault = "" if leaf.kind == VLEK and leaf.csp_id == csp_id else f"{words}, required is {quoted(csp_id)}"
        return judged(name, fault, f"{words}, the cloud that is required")
    if leaf.kind == VLEK:
        note = f"a VLEK names no chip but a cloud: CSP_ID is {quoted(leaf.csp_id)}; is it yours?"
        return Check(name, NOT_CHECKED, note)
    if not any(chip_id):
        return Check(name, NOT_CHECKED, "CHIP_ID is zero: the host masks it, so the report does not name its chip")
    hwid, size = leaf.hwid, HWID_SIZES.get(leaf.product, 0)
    if not hwid:
        return Check(name, MISMATCH, "the certificate has no HWID")
    if len(hwid) == size and chip_id == hwid.ljust(len(chip_id), b"\0"):
        return Check(name, MATCH, f"HWID is CHIP_ID: {hwid[:8].hex()}{'...' if size > 8 else ''} ({size} bytes)")
    if len(hwid) != size or hwid == chip_id[:size]:
        filled = len(chip_id.rstrip(b"\0"))
        why = f"HWID has {len(hwid)} bytes, a {leaf.product}'s chip id {size}"
        return Check(name, MISMATCH, f"{why}, and CHIP_ID fills {filled} of {len(chip_id)}", incident="F42")
    note = f"the certificate is for the chip {hwid[:8].hex()}..., CHIP_ID is {chip_id[:8].hex()}..."
    return Check(name, MISMATCH, note, incident="F43")


def _read(form: type[Tcb], report: Report, field: str) -> Tcb:
    value = getattr(report, field)
    return form.from_bytes(value.to_bytes() if isinstance(value, Tcb) else value)


def _words(parts: dict[str, int]) -> str:
    return ", ".join(f"{part} {value}" for part, value in parts.items())
