"""What the tests of widgets share."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets
import pytest


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()
