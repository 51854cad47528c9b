"""Coverage: which parts of a guest's configuration does the launch measurement cover?

Every part gets one of three labels. *Measured*: change it and the measure changes. *Not measured*: the host can change
it unseen. *Breaks measurement*: with it, no measurement can be trusted, or none is made. The rules are data, in
:mod:`.coverage_rules`.
"""

from __future__ import annotations

from .coverage import Coverage, Line, Part, Setup, cover_case, cover_command_line, cover_domain
from .coverage_rules import BREAKS, MEASURED, NOT_MEASURED, RULES, Rule

__all__ = [
    "BREAKS",
    "MEASURED",
    "NOT_MEASURED",
    "RULES",
    "Coverage",
    "Line",
    "Part",
    "Rule",
    "Setup",
    "cover_case",
    "cover_command_line",
    "cover_domain",
]
