"""A progress bar for notebooks, by tqdm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from ..errors import escaped

if TYPE_CHECKING:
    from .engine import Progress

#: A search shorter than this, in seconds, shows no bar.
DELAY = 1.0


class Bar:
    """Shows how much of the budget (seconds) is spent, what is tried now, and how fast."""

    def __init__(self, budget: float) -> None:
        form = "{l_bar}{bar}| {n:.0f} of {total:.0f} s{postfix}"
        self._bar = tqdm(total=budget, bar_format=form, delay=DELAY, leave=False)

    def __call__(self, progress: Progress) -> None:
        """Show how far the search is."""
        words = f"{progress.tried:,} tried, {progress.rate:,.0f}/s, now {progress.now}"
        self._bar.set_postfix_str(escaped(words), refresh=False)
        self._bar.update(progress.seconds - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
