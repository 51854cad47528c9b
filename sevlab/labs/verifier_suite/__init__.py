"""A test suite for verifiers of attestation reports: what one flaw would accept, and what must be accepted.

A verifier that accepts what it should is only half tested. Each test case is a report, its certificates and its owner's
requirements, below a fake root. :data:`FLAWS` are flaws of verifiers, and every invalid test case names the one that
would accept it. :func:`load_cases` returns the test cases, :func:`run_verifier_suite` runs a verifier.
"""

from __future__ import annotations

from ... import hand_on

_NAMES = {
    "cases": ("ACCEPTABLE", "FLAWS", "INVALID", "VALID", "Flaw", "TestCase", "VerifierInput", "verify_input"),
    "run": ("Results", "run_suite_command", "run_verifier_suite", "suite_files", "suite_table", "write_suite"),
    "vectors": ("load_cases",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
