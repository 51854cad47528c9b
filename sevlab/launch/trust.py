"""What a check and a whole verdict can come to, and what a verdict takes on the word of the case that it judges.

A check that was not made never counts as passed: where evidence is missing (a report, a certificate, a key of one's
own), the outcome is :data:`NOT_DECIDED`. A requirement that nobody gave is a question that was not asked; it is listed,
and decides nothing.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


#: The four states of a check. *Not checked*: nobody asked, or an earlier check stopped it. *Cannot tell*: it was asked,
#: and what was given does not decide it.
MATCH, MISMATCH, NOT_CHECKED, CANNOT_TELL = "match", "mismatch", "not checked", "cannot tell"

#: A whole verdict's ``status`` is MATCH, MISMATCH or one of these.
NOT_DECIDED, UNUSABLE = "not_decided", "unusable"

#: Inputs that prove something, so that it matters whose they are.
_KEYS = ("tik", "tek", "tk")


class Trust(namedtuple("Trust", "names bundled own wants", defaults=((), False, False, False))):
    """What a verdict trusts and took from the case that it judges.

    ``names`` are keys of the case: key files, and what is wanted of a report. ``bundled`` says that the case's files
    came with it, ``own`` that the user says that the case is theirs, ``wants`` that the measurement which is wanted
    follows from the case's files.
    """

    __slots__ = ()

    @property
    def keys(self) -> list[str]:
        """The key files among the names."""
        return [name for name in self.names if name in _KEYS]

    @property
    def wishes(self) -> list[str]:
        """What is wanted of a report, among the names."""
        return [name for name in self.names if name not in _KEYS]

    @property
    def is_doubtful(self) -> bool:
        """Whether a key comes from the same stranger as what it is to prove."""
        return bool(self.keys) and self.bundled and not self.own

    @property
    def words(self) -> str:
        """What a doubtful verdict says first, after the value that it is about."""
        one = len(self.keys) == 1
        return (
            f"is consistent with the key{'s' * (not one)} in the bundle ({', '.join(self.keys)}), but "
            f"{'a key' if one else 'keys'} of your own {'is' if one else 'are'} missing"
        )

    @property
    def notes(self) -> list[str]:
        """Sentences about whose word is taken; none where the case is the user's own."""
        if self.own:
            return []
        found = []
        if self.keys:
            one = len(self.keys) == 1
            taken = f"{' and '.join(self.keys)} {'was' if one else 'were'} taken from the"
            if self.bundled:
                found.append(
                    f"{taken} bundle, whose sender can make any measurement match with {'it' if one else 'them'}. "
                    "Give --tk, or --tik and --tek, from files of your own; or --own-case if the bundle is yours"
                )
            else:
                found.append(
                    f"{taken} case: the verdict holds only if {'that key is' if one else 'those keys are'} yours"
                )
        if self.wishes:
            found.append(f"wanted by the case, not by you: {', '.join(self.wishes)}")
        return found

    def wanted_by(self, names: Iterable[str]) -> str:
        """Return who wanted the inputs of these names: "you", "the case", or "you and the case"."""
        asked = list(names)
        theirs = [] if self.own else [name for name in asked if self.wanted_this(name)]
        if not theirs:
            return "you"
        return "the case" if len(theirs) == len(asked) else "you and the case"

    def wanted_this(self, name: str) -> bool:
        """Whether the case is what wants this input of a report, such as "measurement"."""
        return (name == "measurement" and self.wants) or f"snp-{name.replace('_', '-')}" in self.names
