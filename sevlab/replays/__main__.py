"""``python -m sevlab.replays FOLDER``: write the bundles."""

from __future__ import annotations

import sys

from . import write_replays

write_replays(sys.argv[1] if len(sys.argv) > 1 else "cases")
