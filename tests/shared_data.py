"""Real data that lives beside the checkout, not in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_data(*parts: str) -> Path:
    """Return a path in the shared data: below $SEVLAB_SHARED, or in the checkout's sibling. Skip when it is absent."""
    root = os.environ.get("SEVLAB_SHARED") or Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(root).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {path}: set SEVLAB_SHARED to the folder of the shared data")
    return path
