"""One case of the zoo: what a verifier is given, and whether it must accept that."""

from __future__ import annotations

import hashlib
from collections import namedtuple

from ..data import INCIDENTS
from ..report import parse_chain
from .lapse import LAPSES, Lapse

#: What an animal is, by its ground truth.
CONTROL, BAD, OPEN = "control", "bad", "open"


class Given(
    namedtuple(
        "Given",
        "report vcek chain crl root product measurement report_data host_data id_key_digest min_tcb vmpl policy",
    )
):
    """What a verifier is given.

    From outside, and not to be believed: ``report`` (1184 bytes, unless its length is the matter), ``vcek`` (the leaf,
    DER; that of a VLEK in some), ``chain`` (what signs the leaf and the ARK, PEM), ``crl`` (DER).

    From its owner, and true: ``root`` (the one ARK to trust, DER), ``product`` (whose root that is: "Milan", "Genoa" or
    "Turin"), and what the guest must be: ``measurement`` (48 bytes), ``report_data`` (64), ``host_data`` (32),
    ``id_key_digest`` (48), ``min_tcb`` (text), ``vmpl`` and ``policy`` (numbers). A policy that allows debugging or
    migration must be refused.
    """

    __slots__ = ()

    @property
    def ask(self) -> bytes:
        """The certificate in ``chain`` that signs leaves, DER."""
        return parse_chain(self.chain, "chain")[0].der

    @property
    def ark(self) -> bytes:
        """The root in ``chain``, DER; whether it is ``root`` is for the verifier to see."""
        return parse_chain(self.chain, "chain")[1].der

    @property
    def root_sha256(self) -> str:
        """The SHA-256 of the root to trust, as lower-case hex."""
        return hashlib.sha256(self.root).hexdigest()


class Animal(namedtuple("Animal", "key title wrong right accept given lapse lines incident", defaults=(None, (), ""))):
    """A report with its certificates, and the truth about it.

    ``key`` names it, ``title`` says what it is, ``wrong`` what is wrong with it, ``right`` what a right verifier says.
    ``accept`` is True for a control, which must be accepted; False for a bad one, which must not; None where right
    verifiers may differ. ``lapse`` is the careless check that would let a bad one through, ``lines`` are the lines of
    sevlab's own checklist that refuse it, ``incident`` is the key of a public incident or attack that it stands for.
    """

    __slots__ = ()
    lapse: Lapse | None

    @property
    def kind(self) -> str:
        """ "control", "bad" or "open"."""
        return {True: CONTROL, False: BAD, None: OPEN}[self.accept]

    @property
    def incident_name(self) -> str:
        """The incident in one phrase, with its source; "" for none."""
        return INCIDENTS[self.incident].name if self.incident else ""

    @property
    def sentence(self) -> str:
        """What is wrong with it, and the careless check that would not see it."""
        return f"{self.wrong}. Careless: {self.lapse.title}" if self.lapse is not None else str(self.wrong)


def bad(
    key: str,
    title: str,
    wrong: str,
    right: str,
    lapse: str,
    given: Given,
    incident: str = "",
    lines: tuple[str, ...] = (),
) -> Animal:
    """Return an animal that must not be accepted. *lines* are named where they are not those of its *lapse*."""
    careless = LAPSES[lapse]
    return Animal(key, title, wrong, f"refuses it: {right}", False, given, careless, lines or careless.lines, incident)
