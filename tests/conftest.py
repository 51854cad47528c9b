"""What every test shares."""

from __future__ import annotations

import os

from hypothesis import settings

# How long an example may take is not tested: on a busy machine it fails good code. Speed is for `make bench`.
# What continuous integration says of a commit must not depend on its luck: there the same examples come each time. At
# home they differ, and find what is left to find.
settings.register_profile("sevlab", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("sevlab")
