"""The guest's owner: checks the platform, makes the keys, judges the launch, sends the secret, or refuses."""

from __future__ import annotations

import secrets

from ..chain import ROOTS, Chain
from ..errors import SevlabError
from ..evidence import load_evidence
from ..formats.launch_measure import OldMeasureMessage
from ..formats.policy import Policy
from ..formats.sev_certs import PDH
from ..secret import SecretPacket, build_secret
from ..session import Session, make_session
from ..verify import Verdict, compare_measure
from .status import NEW_MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Refusal(SevlabError):
    """The owner does not go on. ``why`` is a sentence, ``evidence`` what it rests on (a verdict)."""

    def __init__(self, why: str, evidence: object = None) -> None:
        super().__init__(why)
        self.why, self.evidence = why, evidence


class Owner:
    """The owner of one guest.

    *inputs* are what is to be loaded, by the names of :func:`sevlab.load_launch`; *policy* is the guest policy;
    *secret* are pairs of a name and bytes that the guest gets when the launch is right; *roots* are the root keys that
    are trusted.
    """

    def __init__(
        self,
        inputs: dict[str, Any],
        policy: int,
        secret: Sequence[tuple[str, bytes]] = (),
        *,
        roots: dict[str, str] = ROOTS,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.inputs, self.policy, self.secret = dict(inputs), Policy(policy), list(secret)
        self.roots, self._random = roots, random
        self.session: Session | None = None
        #: Whether the firmware that was judged makes the messages of API before 0.17.
        self._old = False

    def start(self, chain: Chain) -> Session:
        """Check the platform's certificates, and make the session of this launch. Raises :class:`Refusal`."""
        verdict = chain.verify(self.roots)
        if not verdict.matches:
            raise Refusal("the platform's certificates do not hold", verdict)
        self.session = make_session(chain[PDH], self.policy, random=self._random)
        return self.session

    def judge(self, reported: dict[str, Any]) -> Verdict:
        """Set the reported measure against what follows from the owner's own inputs.

        *reported* has the measurement (base64), API version and build. The policy is the owner's own. Raises
        :class:`Refusal` when the measures differ.
        """
        if self.session is None:
            raise Refusal("there is no session yet")
        given = {name: value for name, value in reported.items() if name != "policy"}
        given |= {"policy": self.policy, "tik": self.session.tik, "tek": self.session.tek, **self.inputs}
        evidence = load_evidence(**given)
        verdict = compare_measure(evidence)
        self._old = (evidence.api_major, evidence.api_minor) < NEW_MESSAGES
        if self._old:
            known = {"policy": evidence.policy, "digest": evidence.digest, "mnonce": evidence.measurement.mnonce}
            verdict = Verdict(evidence, OldMeasureMessage(**known))
        if not verdict.matches:
            raise Refusal("the measurement does not match", verdict)
        return verdict

    def pack(self, verdict: Verdict) -> SecretPacket:
        """Pack the secret for the launch that was judged to be right."""
        if self.session is None or not verdict.matches:
            raise Refusal("no secret is sent to a launch that was not validated")
        iv = self._random(16)
        return build_secret(self.secret, self.session.tik, self.session.tek, verdict.reported, iv=iv, old=self._old)
