"""Case files: every input of one launch in one TOML file, so that a validation can be repeated and handed on.

Files stand in it by path and SHA-256, so a changed file is told. Keys stand in it by path alone: never the key, and no
hash of it either, because a hash lets whoever reads the case test guesses of the key, and a changed key shows itself
as a mismatch anyway. The format is described, for people who write one by hand, in docs/case.md.
"""

from __future__ import annotations

from .found import record_explanation
from .lines import find_line
from .load import load_case
from .model import Case, Change, hash_file, hash_files, make_case
from .reader import is_bundle, parse_case, read_case
from .rows import (
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
    Row,
)
from .writer import format_case, write_case

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
