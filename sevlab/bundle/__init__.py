"""Bundles: a case file and every file it names, in one ``.sevcase`` file that is safe to send and safe to receive.

A bundle is a zip archive of three kinds of members: ``manifest.json`` (what is in it), ``case.toml`` (a case file) and
``blobs/HASH`` (a file, named by its SHA-256). :mod:`.archive` lets nothing else in, :mod:`.bundle` reads, unpacks and
writes, :mod:`.redact` leaves the firmware out where the mathematics allows it, :mod:`.verdict` verifies a case, and
:mod:`.show` prints it. The format is described in docs/case-format.md.
"""

from __future__ import annotations

from .bundle import VERSION, Bundle, Manifest, load_bundle, open_case, pack_case, unpack_bundle
from .redact import redact_case
from .show import explain_case
from .verdict import CaseVerdict, advise_case, verify_case

__all__ = [
    "VERSION",
    "Bundle",
    "CaseVerdict",
    "Manifest",
    "advise_case",
    "explain_case",
    "load_bundle",
    "open_case",
    "pack_case",
    "redact_case",
    "unpack_bundle",
    "verify_case",
]
