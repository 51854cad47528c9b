"""The search for SEV-SNP: which change of input explains the launch digest that a report tells.

The course of the search, its axes and what it says are those of :mod:`sevlab.search`. Here is what differs: a
candidate is no HMAC but the end of a chain of pages (:mod:`~sevlab.search.snp.fold`), and other things go wrong
(:mod:`~sevlab.search.snp.mistakes`).
"""

from __future__ import annotations

from .diagnose import diagnose_snp
from .explanation import SnpDiagnosis, SnpExplanation

__all__ = ["SnpDiagnosis", "SnpExplanation", "diagnose_snp"]
