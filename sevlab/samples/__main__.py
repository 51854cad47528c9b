"""``python -m sevlab.samples FOLDER``: write the samples."""

from __future__ import annotations

import sys

from . import write_samples

write_samples(sys.argv[1] if len(sys.argv) > 1 else "samples")
