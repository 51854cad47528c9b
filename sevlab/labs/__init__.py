"""Samples, exercises, classroom, incidents, attacks, verifier suite."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "Exercises": "exercises",
    "Predictions": "predictions",
    "compute_predictions": "predictions",
    "explain_profile": "predictions",
    "broken_launch": "classroom",
    "show_measures": "ribbon",
    "show_message": "ribbon",
    "run_verifier_suite": "verifier_suite.run",
}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
