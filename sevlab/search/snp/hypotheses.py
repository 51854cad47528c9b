"""Everything that is tried, in one list. Of equal values on one axis, the first hypothesis that has it names it."""

from __future__ import annotations

from ..hypothesis import Hypothesis
from .mistakes.cpus import CPUS
from .mistakes.loaded import LOADED
from .mistakes.pages import PAGES
from .mistakes.reported import REPORTED

HYPOTHESES: tuple[Hypothesis, ...] = (*LOADED, *PAGES, *CPUS, *REPORTED)
