"""What several tests of cases are given."""

from __future__ import annotations

import pytest

from tests.cases.sample_cases import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
