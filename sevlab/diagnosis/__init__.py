"""Which wrong input explains a mismatch."""

from __future__ import annotations

from .. import hand_on

_HOME = {"CaseDiagnosis": "case", "Diagnosis": "result", "Explanation": "result"}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
