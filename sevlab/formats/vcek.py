"""The certificates above an attestation report: how they are named, and what AMD's own extensions carry.

All are X.509. The ARK (root) signs itself, the ASK and the ASVK; the ASK signs a chip's VCEK, the ASVK a cloud's VLEK.
Data only: :mod:`sevlab.report` reads and judges them.

Source: snp-launch 7 (AMD 57230, VCEK certificate and KDS interface).
"""

from __future__ import annotations

import re

from .report import TURIN_CHIP_ID

ARK, ASK, ASVK, VCEK, VLEK = "ARK", "ASK", "ASVK", "VCEK", "VLEK"
#: The common name of each certificate's subject; ``{}`` is the product.
SUBJECTS = {ARK: "ARK-{}", ASK: "SEV-{}", ASVK: "SEV-VLEK-{}", VCEK: "SEV-VCEK", VLEK: "SEV-VLEK"}
#: Who signs each.
SIGNERS = {ARK: ARK, ASK: ARK, ASVK: ARK, VCEK: ASK, VLEK: ASVK}

_PREFIX = "1.3.6.1.4.1.3704.1"
STRUCT_VERSION, PRODUCT_NAME = f"{_PREFIX}.1", f"{_PREFIX}.2"
HWID, CSP_ID = f"{_PREFIX}.4", f"{_PREFIX}.5"
#: The extension for each part of the TCB. ``fmc`` is Turin's alone.
SPL = {
    "fmc": f"{_PREFIX}.3.9",
    "bl": f"{_PREFIX}.3.1",
    "tee": f"{_PREFIX}.3.2",
    "snp": f"{_PREFIX}.3.3",
    "ucode": f"{_PREFIX}.3.8",
}
#: Parts without a meaning so far; always 0. Turin lacks the first.
RESERVED_SPL = {f"spl_{number}": f"{_PREFIX}.3.{number}" for number in (4, 5, 6, 7)}
#: What each extension is called.
EXTENSIONS = {
    STRUCT_VERSION: "structVersion",
    PRODUCT_NAME: "productName",
    **{oid: f"{part}SPL" for part, oid in SPL.items()},
    **{oid: name.upper() for name, oid in RESERVED_SPL.items()},
    HWID: "HWID",
    CSP_ID: "CSP_ID",
}
#: Bytes of a chip's name in its certificate, and in the address that asks for it.
HWID_SIZES = {"Milan": 64, "Genoa": 64, "Turin": TURIN_CHIP_ID}
STRUCT_VERSIONS = {"Milan": 0, "Genoa": 0, "Turin": 1}

#: AMD's roots by the SHA-256 of the certificate (DER), and the products below them (snp-launch 7.5).
ROOTS = {
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "Milan",
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "Genoa",
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "Turin",
}


def tell_kind(common_name: str) -> tuple[str, str]:
    """Return what a certificate is by its subject's common name, and its product; ("", "") for an unknown name.

    The name of a leaf holds no product. Leaves come first: "SEV-VCEK" is not the ASK of a product "VCEK" (F43).
    """
    for kind in (VCEK, VLEK, ARK, ASVK, ASK):
        if found := re.fullmatch(SUBJECTS[kind].format("([A-Za-z0-9]{1,20})"), common_name):
            return kind, found[1] if found.groups() else ""
    return "", ""
