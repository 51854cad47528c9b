"""The verifier zoo: reports with certificates that one careless check would let through, and the truth about each.

A verifier of attestation reports that accepts what it should is only half tested. Each animal is a report, its
certificates and what its owner wanted, below a made-up root; :data:`LAPSES` are the careless checks, and every bad
animal names the one that would accept it. :func:`zoo` makes them, :func:`run_zoo` tries a verifier on them.
"""

from __future__ import annotations

from .animal import BAD, CONTROL, OPEN, Animal, Given
from .command import run_zoo_command
from .files import AT, zoo_files, zoo_table
from .keeper import zoo
from .lapse import LAPSES, Lapse, judge
from .trial import Outcome, Trial, run_zoo

__all__ = [
    "AT",
    "BAD",
    "CONTROL",
    "LAPSES",
    "OPEN",
    "Animal",
    "Given",
    "Lapse",
    "Outcome",
    "Trial",
    "judge",
    "run_zoo",
    "run_zoo_command",
    "zoo",
    "zoo_files",
    "zoo_table",
]
