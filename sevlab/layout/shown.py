"""What shows itself: printing it, or ending a notebook's cell with it, shows the page that ``explain()`` returns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .page import View


class Shown:
    """Something with a page: text for ``print``, HTML for a notebook, both from one ``explain()``."""

    __slots__ = ()

    if TYPE_CHECKING:

        def explain(self) -> View: ...

    def __str__(self) -> str:
        return self.explain().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.explain().html()
