"""A test suite for verifiers of attestation reports: what one flaw would accept, and what must be accepted.

A verifier that accepts what it should is only half tested. Each test case is a report, its certificates and what its
owner requires, below a made-up root. :data:`FLAWS` are flaws of verifiers, and every invalid test case names the one
that would accept it. :func:`load_cases` returns the test cases, :func:`run_verifier_suite` runs a verifier.
"""

from __future__ import annotations

from .cases import ACCEPTABLE, FLAWS, INVALID, VALID, Flaw, TestCase, VerifierInput, verify_input
from .run import AT, Outcome, Results, run_suite_command, run_verifier_suite, suite_files, suite_table, write_suite
from .vectors import load_cases

__all__ = [
    "ACCEPTABLE",
    "AT",
    "FLAWS",
    "INVALID",
    "VALID",
    "Flaw",
    "Outcome",
    "Results",
    "TestCase",
    "VerifierInput",
    "load_cases",
    "run_suite_command",
    "run_verifier_suite",
    "suite_files",
    "suite_table",
    "verify_input",
    "write_suite",
]
