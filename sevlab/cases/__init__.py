"""What people have: pastes, captures, case files, bundles, coverage, libvirt."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "Bundle": "bundle",
    "Capture": "capture",
    "Case": "case",
    "CaseVerdict": "verify",
    "Coverage": "coverage",
    "advise_case": "verify",
    "cover_case": "coverage",
    "cover_command_line": "coverage",
    "cover_domain": "coverage",
    "explain_case": "verify",
    "load_bundle": "bundle",
    "make_case": "case",
    "open_case": "bundle",
    "pack_case": "bundle",
    "parse_anything": "recognize",
    "parse_command_line": "qemu_cmdline",
    "parse_dmesg": "sources",
    "parse_domain": "domain_xml",
    "parse_domlaunchsecinfo": "sources",
    "parse_qmp": "sources",
    "read_case": "case_toml",
    "record_explanation": "case_toml",
    "redact_case": "redact",
    "unpack_bundle": "bundle",
    "write_case": "case_toml",
}

__all__ = sorted(_HOME)

__getattr__ = hand_on(__name__, _HOME)
