"""A verifier tried on the animals: what it let through, and what it refused wrongly."""

from __future__ import annotations

from collections import namedtuple

from ..layout.span import Explainable
from .animal import BAD, CONTROL, OPEN, Animal
from .keeper import zoo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..layout.views import Block, View
    from .animal import Given

#: Most characters that are kept of what a verifier said.
LONGEST = 160


class Outcome(namedtuple("Outcome", "animal accepted answered words", defaults=(True, ""))):
    """What a verifier did with an animal: whether it ``accepted``, whether it ``answered`` at all, and its ``words``.

    A verifier that was stopped, or was ended by a signal, did not answer; that counts as not accepted.
    """

    __slots__ = ()
    animal: Animal

    @property
    def is_right(self) -> bool:
        """Whether that is what it must do; anything is right for an animal that is open."""
        truth: bool | None = self.animal.accept
        return truth is None or truth == self.accepted

    @property
    def verdict(self) -> str:
        """What it did, in a word or two."""
        return "no answer" if not self.answered else "accepted" if self.accepted else "refused"

    @property
    def sentence(self) -> str:
        """What the animal is, and what was said of it."""
        how = "Said:" if self.answered else "It was"
        return f"{self.animal.title}. {how} {self.words}" if self.words else str(self.animal.title)

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as JSON-ready data."""
        animal = self.animal
        return {
            "key": animal.key,
            "kind": animal.kind,
            "accepted": self.accepted,
            "answered": self.answered,
            "right": self.is_right,
            "lapse": animal.lapse.key if animal.lapse is not None else "",
            "words": self.words,
        }


class Trial(Explainable):
    """What came of trying a verifier: ``outcomes``, one for each animal."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)

    def __getitem__(self, key: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.animal.key == key)

    def of(self, kind: str) -> list[Outcome]:
        """Return the outcomes for "control", "bad" or "open" animals."""
        return [outcome for outcome in self.outcomes if outcome.animal.kind == kind]

    @property
    def let_through(self) -> list[Outcome]:
        """Bad ones that were accepted."""
        return [outcome for outcome in self.of(BAD) if not outcome.is_right]

    @property
    def wrongly_refused(self) -> list[Outcome]:
        """Controls that were not accepted."""
        return [outcome for outcome in self.of(CONTROL) if not outcome.is_right]

    @property
    def passes(self) -> bool:
        """True when nothing bad was accepted, and every control was."""
        return not self.let_through and not self.wrongly_refused

    def as_dict(self) -> dict[str, object]:
        """Return the trial as JSON-ready data."""
        return {
            "status": "pass" if self.passes else "fail",
            "let_through": [outcome.animal.key for outcome in self.let_through],
            "wrongly_refused": [outcome.animal.key for outcome in self.wrongly_refused],
            "no_answer": [outcome.animal.key for outcome in self.outcomes if not outcome.answered],
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }

    def explain(self) -> View:
        """Show the answer, then what went wrong, then every animal."""
        from ..layout.views import Banner, Heading, Paragraph, Table, View

        blocks: list[Block] = [Banner(self._words(), "green" if self.passes else "pink")]
        if self.outcomes and not any(outcome.accepted for outcome in self.outcomes):
            first = self.outcomes[0]
            said = f" For {first.animal.key}: {first.words}" if first.words else ""
            blocks.append(Paragraph(f"It accepted nothing at all. Is it called in the right way?{said}"))
        if self.let_through:
            rows = [[o.animal.key, o.animal.sentence] for o in self.let_through]
            blocks += [Heading("Let through"), Table(["animal", "what is wrong, and the careless check"], rows)]
        if self.wrongly_refused:
            rows = [[o.animal.key, o.sentence] for o in self.wrongly_refused]
            blocks += [Heading("Genuine, and not accepted"), Table(["animal", "what it is, and what was said"], rows)]
        header = ["animal", "truth", "verdict", "what it is, and what was said"]
        rows = [[o.animal.key, o.animal.kind, o.verdict, o.sentence] for o in self.outcomes]
        colours = ["grey" if o.animal.accept is None else "green" if o.is_right else "pink" for o in self.outcomes]
        blocks += [Heading("Every animal"), Table(header, rows, colours)]
        if self.of(OPEN):
            blocks.append(Paragraph("About those that are open right verifiers may differ; they do not count."))
        return View(*blocks)

    def _words(self) -> str:
        bad, good = len(self.of(BAD)), len(self.of(CONTROL))
        through, refused = len(self.let_through), len(self.wrongly_refused)
        silent = sum(not outcome.answered for outcome in self.outcomes)
        more = f"; {silent} without an answer" if silent else ""
        if self.passes:
            return f"OK: none of {bad} bad ones accepted, all of {good} genuine ones{more}"
        return f"ERROR: {through} of {bad} bad ones accepted, {refused} of {good} genuine ones not{more}"


def run_zoo(verifier: Callable[[Given], object], only: Iterable[str] = ()) -> Trial:
    """Try a verifier on every animal, or on those of some keys.

    *verifier* is called with a :class:`~sevlab.zoo.Given`, and accepts when it returns something true. It refuses when
    it returns something false, or raises; a function that raises on failure and returns None has to be wrapped. Raises
    :class:`~sevlab.errors.InputError` for an unknown key.
    """
    return Trial(_try(verifier, animal) for animal in zoo(only))


def _try(verifier: Callable[[Given], object], animal: Animal) -> Outcome:
    try:
        said = verifier(animal.given)
        return Outcome(animal, bool(said), True, "" if isinstance(said, bool) else shown(type(said).__name__))
    except Exception as error:
        return Outcome(animal, False, True, shown(f"{type(error).__name__}: {error}"))


def shown(text: str) -> str:
    """Return somebody else's words on one line, and not too many."""
    line = " ".join(text[: 4 * LONGEST].split())
    line = "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in line)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
