"""The diagnosis: which wrong input explains a mismatch.

:mod:`~sevlab.diagnosis.hypotheses_sev` and :mod:`~sevlab.diagnosis.hypotheses_snp` declare every mistake that is looked
for, :mod:`~sevlab.diagnosis.sev` and :mod:`~sevlab.diagnosis.snp` combine them, :mod:`~sevlab.diagnosis.run` searches,
and :mod:`~sevlab.diagnosis.result` is what was found.
"""

from __future__ import annotations

from .engine import Progress
from .result import Diagnosis, Explanation
from .run import BUDGET, diagnose

__all__ = ["BUDGET", "Diagnosis", "Explanation", "Progress", "diagnose"]
