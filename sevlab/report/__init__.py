"""Attestation reports of SEV-SNP: read from a file, shown, and verified up to AMD's root.

:mod:`.authenticity` checks who made a report, :mod:`.wanted` whether it says what the owner wanted. :mod:`.verify` runs
all checks, :mod:`.verdict` holds them, :mod:`.show` shows a report without judging it.
"""

from __future__ import annotations

from .bundle import FILES, Certificates, load_certificates, parse_bundle
from .certificate import Certificate, RevocationList, parse_certificate, parse_chain, parse_crl, parse_crls
from .load import ReportFile, load_report, load_report_file, read_report
from .show import explain_report, report_as_dict, vcek_urls
from .verdict import ReportVerdict
from .verify import parse_moment, verify_report
from .wanted import Wanted, parse_wanted

__all__ = [
    "FILES",
    "Certificate",
    "Certificates",
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
