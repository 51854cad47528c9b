"""The search: which change of input explains a measurement that does not match.

:mod:`~sevlab.search.mistakes` declares every mistake that is looked for, :mod:`~sevlab.search.space` combines them,
:mod:`~sevlab.search.engine` tries them, and :mod:`~sevlab.search.diagnosis` says what was found.
"""

from __future__ import annotations

from .course import BUDGET
from .diagnose import diagnose
from .diagnosis import Diagnosis, Explanation
from .engine import Progress

__all__ = ["BUDGET", "Diagnosis", "Explanation", "Progress", "diagnose"]
