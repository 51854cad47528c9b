"""The rules of what the launch measurement of SEV and SEV-ES covers: ``data/coverage.toml``, where the sources are."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


MEASURED, NOT_MEASURED, BREAKS = "measured", "not measured", "breaks measurement"


@dataclass(frozen=True)
class Rule:
    """``paths`` are patterns of a part's path; ``when`` is a condition of :class:`.Setup`, "" for always."""

    label: str
    paths: tuple[str, ...]
    reason: str
    when: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """One pattern for all paths: a hostile configuration can have thousands of parts."""
        return re.compile("|".join(map(translate, self.paths)))


#: The first that fits decides.
RULES = tuple(
    Rule(**{**row, "paths": tuple(row["paths"])})
    for row in tomllib.loads(Path(__file__).parents[1].joinpath("data", "coverage.toml").read_text("utf-8"))["rule"]
)

_UNKNOWN = "Not known to sevlab. SEV measures only firmware, kernel hashes and CPU state."


def find_rule(path: str, holds: Callable[[str], bool]) -> Rule:
    """Return the first rule that fits a part's path and whose condition holds."""
    for rule in RULES:
        if rule.pattern.match(path) and holds(rule.when):
            return rule
    return Rule(NOT_MEASURED, ("*",), _UNKNOWN)
