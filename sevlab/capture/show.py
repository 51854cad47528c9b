"""A capture on a page."""

from __future__ import annotations

from ..layout.views import Banner, Heading, Paragraph, Table, View
from .found import FACTS, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..layout.views import Block
    from .found import Capture

_CELL = 40
_STARRED = (
    "* Named by the host. Compare it with what you meant to run: a measurement that matches such an input shows that "
    "the host ran what it says, not that it ran what you want."
)


def explain_capture(capture: Capture) -> View:
    """Show what was understood, what contradicts, what was left out and what is missing."""
    left_out, missing, contradictions = capture.left_out, capture.missing, capture.contradictions
    rows = [
        [name.replace("_", "-") + " *" * one.named_by_host, _wrapped(shown(one.value, 200)), one.where]
        for name, one in capture.chosen.items()
        if name not in left_out
    ]
    blocks: list[Block] = [_banner(len(missing), len(contradictions))]
    if rows:
        colours = ["grey" if name in FACTS else "blue" for name in capture.chosen if name not in left_out]
        blocks += [Heading("Understood"), Table(["what", "value", "from"], rows, colours, mono=[1])]
        if any(one.named_by_host for one in capture.chosen.values()):
            blocks.append(Paragraph(_STARRED))
    if contradictions:
        rows = [[one.name.replace("_", "-"), str(one).partition(": ")[2]] for one in contradictions]
        blocks += [Heading("Contradictions"), Table(["what", "which"], rows, ["pink"] * len(rows))]
    if left_out:
        rows = [[name.replace("_", "-"), why] for name, why in left_out.items()]
        blocks += [Heading("Left out of the case"), Table(["what", "why"], rows, ["grey"] * len(rows))]
    if missing:
        ways: dict[str, list[str]] = {}
        for one in missing:
            ways.setdefault(f"{one.why}. {one.how}.", []).append(one.name.replace("_", "-"))
        rows = [["\n".join(names), words] for words, names in ways.items()]
        blocks += [Heading("Missing"), Table(["what", "why, and what would give it"], rows, ["orange"] * len(rows))]
    if capture.remarks:
        rows = [[one.source or "capture", one.words] for one in capture.remarks]
        blocks += [Heading("Remarks"), Table(["source", "remark"], rows)]
    return View(*blocks)


def _banner(missing: int, contradictions: int) -> Banner:
    words = "Complete: everything that validate needs is there" if not missing else f"Incomplete: {missing} missing"
    if contradictions:
        words += f"; {contradictions} contradiction{'s' if contradictions > 1 else ''} between sources"
    return Banner(words, "pink" if contradictions else "orange" if missing else "green")


def _wrapped(text: str) -> str:
    return "\n".join(text[start : start + _CELL] for start in range(0, len(text), _CELL))
