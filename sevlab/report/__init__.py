"""Attestation reports of SEV-SNP: read from a file, shown, and verified up to AMD's root.

:mod:`.authenticity` checks who made a report, :mod:`.requirements` whether it says what the owner requires.
:mod:`.verify` runs all checks, :mod:`.show` shows a report without judging it.
"""

from __future__ import annotations

from .certificates import (
    FILES,
    Certificate,
    Certificates,
    RevocationList,
    load_certificates,
    parse_bundle,
    parse_certificate,
    parse_chain,
    parse_crl,
    parse_crls,
)
from .load import ReportFile, load_report, load_report_file, read_report
from .requirements import REQUIREMENTS, Requirements, parse_requirements
from .show import explain_report, report_as_dict, vcek_urls
from .verify import ReportVerdict, parse_moment, verify_report

__all__ = [
    "FILES",
    "REQUIREMENTS",
    "Certificate",
    "Certificates",
    "ReportFile",
    "ReportVerdict",
    "Requirements",
    "RevocationList",
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
    "parse_requirements",
    "read_report",
    "report_as_dict",
    "vcek_urls",
    "verify_report",
]
