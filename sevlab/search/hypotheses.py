"""Everything that is tried, in one list. Of equal values on one axis, the first hypothesis that has it names it."""

from __future__ import annotations

from .hypothesis import Hypothesis
from .mistakes.cpus import CPUS
from .mistakes.host import POLICY, numbers
from .mistakes.loaded import FIRMWARE, KERNEL
from .mistakes.wire import WIRE

HYPOTHESES: tuple[Hypothesis, ...] = (*numbers(), *POLICY, *WIRE, *FIRMWARE, *KERNEL, *CPUS)
