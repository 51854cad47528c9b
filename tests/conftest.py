"""What every test shares."""

from __future__ import annotations

from hypothesis import settings

# How long an example may take is not tested: on a busy machine it fails good code. Speed is for `make bench`.
settings.register_profile("sevlab", deadline=None)
settings.load_profile("sevlab")
