"""Case files: every input of one launch in one TOML file, so that a validation can be repeated and handed on.

Files are named by path and SHA-256, so a changed file is noticed. Keys are named by path alone, without a hash: it
would let whoever reads the case test guesses of the key. docs/case.md describes the format.
"""

from __future__ import annotations

from .case import (
    ABOUT,
    BY_NAME,
    LAUNCH,
    MODES,
    ROWS,
    SNP,
    SNP_LAUNCH,
    Case,
    Change,
    Row,
    hash_file,
    make_case,
)
from .case_toml import (
    format_case,
    is_bundle,
    load_case,
    parse_case,
    read_case,
    record_explanation,
    write_case,
)

__all__ = [
    "ABOUT",
    "BY_NAME",
    "LAUNCH",
    "MODES",
    "ROWS",
    "SNP",
    "SNP_LAUNCH",
    "Case",
    "Change",
    "Row",
    "format_case",
    "hash_file",
    "is_bundle",
    "load_case",
    "make_case",
    "parse_case",
    "read_case",
    "record_explanation",
    "write_case",
]
