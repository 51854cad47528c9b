"""What the leaf says against what the report says: product, TCB, chip.

A signature proves that some key made it; these checks prove whose key.

Sources: snp-launch 6.3, 7.2 and 7.3; vmsa 3.3.
"""

from __future__ import annotations

from ..errors import quoted
from ..formats.report import TCB_FORMS, MilanTcb, Report, Tcb, TurinTcb, tell_product
from ..formats.vcek import EXTENSIONS, HWID_SIZES, RESERVED_SPL, SPL, STRUCT_VERSION, STRUCT_VERSIONS, VLEK
from .certificate import Certificate, integer
from .check import Check, failed, judged, not_done, passed

_NO_LEAF = "no leaf certificate was given"


def check_version(report: Report) -> Check:
    """Are all fields of the report known?"""
    if report.is_known:
        return passed("version", f"version {report.VERSION}")
    words = "its signature covers all bytes, but only the fields that all versions share are read"
    return not_done("version", f"version {report.version} is not known: {words}")


def check_extensions(leaf: Certificate | None) -> Check:
    """Are all of AMD's extensions there that such a leaf must have, and are they well formed?"""
    name = "extensions"
    if leaf is None:
        return not_done(name, _NO_LEAF)
    product, faults = leaf.product, []
    if product not in TCB_FORMS:
        return failed(name, f"productName is {quoted(leaf.product_name) if leaf.product_name else 'missing'}")
    missing = [EXTENSIONS[SPL[part]] for part in TCB_FORMS[product].part_names() if part not in leaf.parts]
    if missing:
        faults.append(f"{', '.join(missing)} missing, or no number from 0 to 255")
    if integer(leaf.extensions.get(STRUCT_VERSION, b"")) != STRUCT_VERSIONS[product]:
        faults.append(f"structVersion is not {STRUCT_VERSIONS[product]}, as on {product}")
    foreign = set(SPL) - set(TCB_FORMS[product].part_names())
    faults += [
        f"{EXTENSIONS[SPL[part]]}, which {product} does not have" for part in foreign if SPL[part] in leaf.extensions
    ]
    for part, oid in RESERVED_SPL.items():
        if integer(leaf.extensions.get(oid, b"\x02\x01\x00")) != 0:
            faults.append(f"{part.upper()}, which is reserved, is not 0")
    if leaf.kind == VLEK and not leaf.csp_id:
        faults.append("CSP_ID is missing, or no text")
    if leaf.kind != VLEK and len(leaf.hwid) != HWID_SIZES[product]:
        received = f"{len(leaf.hwid)} bytes" if leaf.hwid else "missing"
        faults.append(f"HWID is {received}, not {HWID_SIZES[product]} bytes as on {product}")
    return judged(
        name,
        faults,
        f"those for {', '.join(leaf.parts)}, product and {'cloud' if leaf.kind == VLEK else 'chip'} are there",
    )


def check_product(report: Report, leaf: Certificate | None) -> Check:
    """Is the leaf of the product that made the report? Version 2 does not name its processor (F13)."""
    name = "processor"
    if leaf is None:
        return not_done(name, _NO_LEAF)
    told, cpuid = tell_product(report.to_bytes()), report.cpuid
    words = "" if cpuid is None else "CPUID family 0x{:x}, model 0x{:x}, stepping {}".format(*cpuid)
    if cpuid is not None and not told:
        return failed(name, f"{words} is that of no known product")
    if told and leaf.product not in told.split(" or "):
        why = words or f"a chip id of {'8 bytes' if told == 'Turin' else 'more than 8 bytes'}"
        return failed(name, f"{why} means {told}; the certificate is for {quoted(leaf.product)}", "F13")
    if cpuid is not None:
        return passed(name, f"{words}: {told}, as the certificate")
    if not report.is_known:
        return not_done(name, "where an unknown version names its processor is not known")
    why = "version 2 does not name its processor"
    fits = f"the chip id fits {told}" if told else "the chip id is masked"
    return not_done(name, f"{why}; {fits}, the certificate says {leaf.product}")


def check_tcb(report: Report, leaf: Certificate | None) -> Check:
    """Is the leaf for REPORTED_TCB, from which the signing key is made? Part by part, never as one number."""
    name = "TCB"
    if leaf is None:
        return not_done(name, _NO_LEAF)
    form = TCB_FORMS.get(leaf.product)
    if form is None or set(leaf.parts) != set(form.part_names()):
        return failed(name, "the certificate does not name every part of its TCB")
    reported, current = (_read(form, report, field) for field in ("reported_tcb", "current_tcb"))
    mine = f"the certificate is for {_words(leaf.parts)}"
    if leaf.parts == reported.parts and not reported.findings():
        return passed(name, f"{mine}, which is REPORTED_TCB")
    if leaf.parts == current.parts:
        return failed(name, f"{mine}, which is CURRENT_TCB; REPORTED_TCB is {_words(reported.parts)}", "F38")
    for other, product in ((MilanTcb, "a Milan or Genoa"), (TurinTcb, "a Turin")):
        swapped = _read(other, report, "reported_tcb").parts
        if other is not form and all(leaf.parts[part] == swapped[part] for part in leaf.parts if part in swapped):
            why = f"{mine}, which REPORTED_TCB is when read as {product}'s; read as a {leaf.product}'s it is"
            return failed(name, f"{why} {_words(reported.parts)}", "F40")
    if leaf.parts == reported.parts:
        return failed(name, f"{mine}, but {reported.findings()[0]}")
    differ = [
        f"{part} is {leaf.parts[part]}, reported {value}"
        for part, value in reported.parts.items()
        if leaf.parts[part] != value
    ]
    return failed(name, f"the certificate is for another TCB: {', '.join(differ)}")


def check_chip(report: Report, leaf: Certificate | None, csp_id: str | None = None) -> Check:
    """Is the leaf for the chip that made the report? A VLEK is for a cloud: for the one that was wanted, *csp_id*?"""
    name, chip_id = "chip id", report.chip_id
    if leaf is None and tell_product(report.to_bytes()) == "Turin":
        size = HWID_SIZES["Turin"]
        return not_done(name, f"{_NO_LEAF}; a Turin's is asked for by the first {size} bytes of CHIP_ID alone", "F42")
    if leaf is None:
        return not_done(name, _NO_LEAF)
    if csp_id is not None:
        words = f"CSP_ID is {quoted(leaf.csp_id)}" if leaf.kind == VLEK else f"a {leaf.kind or 'leaf'} names no cloud"
        if leaf.kind == VLEK and leaf.csp_id == csp_id:
            return passed(name, f"{words}, the cloud that was wanted")
        return failed(name, f"{words}, wanted was {quoted(csp_id)}")
    if leaf.kind == VLEK:
        return not_done(name, f"a VLEK names no chip but a cloud: CSP_ID is {quoted(leaf.csp_id)}; is it yours?")
    if not any(chip_id):
        return not_done(name, "CHIP_ID is zero: the host masks it, so the report does not tell its chip")
    hwid, size = leaf.hwid, HWID_SIZES.get(leaf.product, 0)
    if hwid and len(hwid) == size and hwid == chip_id[:size] and not any(chip_id[size:]):
        return passed(name, f"HWID is CHIP_ID: {hwid[:8].hex()}{'...' if size > 8 else ''} ({size} bytes)")
    if not hwid:
        return failed(name, "the certificate has no HWID")
    if len(hwid) != size or (hwid == chip_id[:size] and any(chip_id[size:])):
        why = f"HWID has {len(hwid)} bytes, a {leaf.product}'s chip id {size}"
        filled = len(chip_id.rstrip(b"\0"))
        return failed(name, f"{why}, and CHIP_ID fills {filled} of {len(chip_id)}", "F42")
    return failed(
        name, f"the certificate is for the chip {hwid[:8].hex()}..., CHIP_ID is {chip_id[:8].hex()}...", "F43"
    )


def _read(form: type[Tcb], report: Report, field: str) -> Tcb:
    """Return a TCB of a report in a given form, whatever form the report was parsed in."""
    value = getattr(report, field)
    return form.from_bytes(value.to_bytes() if isinstance(value, Tcb) else value)


def _words(parts: dict[str, int]) -> str:
    return ", ".join(f"{part} {value}" for part, value in parts.items())
