"""``python -m sevlab`` is the same as ``sevlab``."""

import sys

from .cli import main

sys.exit(main())
