"""Where AMD's key server (KDS) has a certificate. Nothing here asks it; people decide when their machines talk.

The VCEK is asked for by chip and by REPORTED_TCB, from which the signing key is made; with CURRENT_TCB (F38), with the
parts in another product's places (F40), in hex (F39) or with 64 bytes of a Turin's name (F42) comes another
certificate, or none.

Source: snp-launch 8 (AMD 57230).
"""

from __future__ import annotations

from ..formats.vcek import HWID_SIZES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..formats.report import Tcb

HOST = "https://kdsintf.amd.com"


def chain_path(product: str, *, vlek: bool = False) -> str:
    """Return the path of the two certificates above a leaf (PEM: ASK or ASVK, then ARK)."""
    return f"{_top(vlek)}/{product}/cert_chain"


def crl_path(product: str, *, vlek: bool = False) -> str:
    """Return the path of the list of revoked certificates (DER)."""
    return f"{_top(vlek)}/{product}/crl"


def vcek_path(product: str, chip_id: bytes, tcb: Tcb) -> str:
    """Return the path of a VCEK (DER): for a chip, as a report names it (64 bytes), and for a TCB.

    Numbers are decimal, of at least two digits, as AMD's examples have them.
    """
    parts = "&".join(f"{name}SPL={value:02d}" for name, value in tcb.parts.items())
    return f"{_top(False)}/{product}/{chip_id[: HWID_SIZES[product]].hex()}?{parts}"


def _top(vlek: bool) -> str:
    return f"/{'vlek' if vlek else 'vcek'}/v1"
