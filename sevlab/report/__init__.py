"""Attestation reports of SEV-SNP: read from a file, shown, and verified up to AMD's root.

Who made the report follows from signatures (:mod:`.signature`, :mod:`.links`) and from what the certificate says of
itself (:mod:`.binding`); what it says is compared with what the owner wanted (:mod:`.wanted`). :mod:`.verify` asks all
of it, :mod:`.verdict` holds the checklist, :mod:`.show` shows a report without judging it.
"""

from __future__ import annotations

from .bundle import FILES, Certificates, load_certificates, parse_bundle
from .certificate import Certificate, RevocationList, parse_certificate, parse_chain, parse_crl, parse_crls
from .check import FAIL, NOT_DONE, PASS, Check
from .load import ReportFile, load_report, load_report_file, read_report
from .show import explain_report, report_as_dict, vcek_urls
from .verdict import ReportVerdict
from .verify import parse_moment, verify_report
from .wanted import Wanted, parse_wanted

__all__ = [
    "FAIL",
    "FILES",
    "NOT_DONE",
    "PASS",
    "Certificate",
    "Certificates",
    "Check",
    "ReportFile",
    "ReportVerdict",
    "RevocationList",
    "Wanted",
    "explain_report",
    "load_certificates",
    "load_report",
    "load_report_file",
    "parse_bundle",
    "parse_certificate",
    "parse_chain",
    "parse_crl",
    "parse_crls",
    "parse_moment",
    "parse_wanted",
    "read_report",
    "report_as_dict",
    "vcek_urls",
    "verify_report",
]
