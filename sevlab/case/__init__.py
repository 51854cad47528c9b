"""Case files: every input of one launch in one TOML file, so that a validation can be repeated and handed on.

Files stand in it by path and SHA-256, so a changed file is told. Keys stand in it by path alone: never the key, and no
hash of it either, because a hash lets whoever reads the case test guesses of the key, and a changed key shows itself
as a mismatch anyway. The format is described, for people who write one by hand, in docs/case.md.
"""

from __future__ import annotations

from .case import (
    ABOUT,
    BY_NAME,
    CASE_LIMIT,
    CPU_LIMIT,
    FILE_LIMIT,
    FORMAT,
    LAUNCH,
    MODES,
    ROWS,
    SNP,
    SNP_LAUNCH,
    Case,
    Change,
    Row,
    hash_file,
    hash_files,
    make_case,
)
from .case_toml import (
    find_line,
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
    "CASE_LIMIT",
    "CPU_LIMIT",
    "FILE_LIMIT",
    "FORMAT",
    "LAUNCH",
    "MODES",
    "ROWS",
    "SNP",
    "SNP_LAUNCH",
    "Case",
    "Change",
    "Row",
    "find_line",
    "format_case",
    "hash_file",
    "hash_files",
    "is_bundle",
    "load_case",
    "make_case",
    "parse_case",
    "read_case",
    "record_explanation",
    "write_case",
]
