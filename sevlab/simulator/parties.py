"""The parties around the secure processor: the host, who starts the guest, and the guest's owner.

The host does what QEMU does with the same inputs, and answers as QEMU and libvirt do. Nobody has to trust it:
:attr:`Host.tamper` changes any one thing it does. The owner checks the platform, makes the keys, compares the measure,
and sends the secret, or refuses.
"""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..attestation.secret import SecretPacket, build_secret
from ..attestation.session import Session, make_session
from ..attestation.sev_chain import ROOTS, Chain
from ..errors import SevlabError
from ..formats.launch_measure import Measurement, OldMeasureMessage
from ..formats.page_info import PAGE
from ..formats.policy import Policy
from ..formats.sev_certs import PDH
from ..launch.evidence import load_evidence
from ..launch.inputs import load_launch
from ..launch.sev import Hashed
from ..launch.verify import Verdict, compare_measure
from .psp import NEW_MESSAGES, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


#: Where the firmware goes in our small memory, and where the secret. The digest binds neither.
FIRMWARE_AT, SECRET_AT = 0x100000, 0x80000

#: What can be changed on the way beside the steps of the launch: messages, and how many bytes each has at least.
MESSAGE_SIZES = {"godh": 2084, "session": 128, "measurement": 48, "secret header": 52, "secret payload": 64}


class Host:
    """A host with a platform, and the inputs that it was told to start the guest with.

    *inputs* are as in :func:`sevlab.load_launch`. ``tamper`` maps the name of a step (``firmware``, ``kernel hashes``,
    ``vCPU 1``) or of a message (:data:`MESSAGE_SIZES`) to a function that changes its bytes.
    """

    def __init__(self, platform: Platform, inputs: dict[str, Any], policy: int) -> None:
        self.platform, self.inputs, self.policy = platform, dict(inputs), Policy(policy)
        self.tamper: dict[str, Callable[[bytes], bytes]] = {}
        self.handle = 0
        self.measurement: Measurement | None = None

    def changed(self, name: str, raw: bytes) -> bytes:
        """Return bytes as this host passes them on."""
        change = self.tamper.get(name)
        return raw if change is None else change(raw)

    def steps(self) -> list[tuple[str, bytes]]:
        """Return what is loaded, in order: names and bytes."""
        launch = load_launch(self.policy, **self.inputs)
        steps = []
        for step in launch.steps:
            whole = isinstance(step.content, Hashed)
            raw = Path(str(self.inputs["firmware"])).read_bytes() if whole else step.content
            steps.append((step.name, self.changed(step.name, raw)))
        return steps

    def start(
        self, godh: bytes, session: bytes, loading: Callable[[str, int, bytes], None] = lambda name, address, raw: None
    ) -> Measurement:
        """Launch the guest up to the measurement; *loading* is told of every step: name, address, bytes.

        Raises :class:`~sevlab.simulator.status.FirmwareError` for what the firmware refuses.
        """
        psp = self.platform
        self.handle = psp.launch_start(self.policy, self.changed("godh", godh), self.changed("session", session))
        psp.activate(self.handle, 1)
        address = FIRMWARE_AT
        for name, raw in self.steps():
            psp.memory.write(address, raw)
            update = psp.launch_update_vmsa if name.startswith("vCPU") else psp.launch_update_data
            update(self.handle, address, len(raw))
            loading(name, address, raw)
            address += -(-len(raw) // PAGE) * PAGE
        reported = psp.launch_measure(self.handle)
        self.measurement = Measurement.from_bytes(self.changed("measurement", reported.to_bytes()))
        return self.measurement

    def inject(self, header: bytes, payload: bytes) -> None:
        """Hand a secret's packet to the firmware, and let the guest run."""
        header, payload = self.changed("secret header", header), self.changed("secret payload", payload)
        self.platform.launch_secret(self.handle, header, SECRET_AT, payload)
        self.platform.launch_finish(self.handle)

    # --- what it tells, in the forms of QEMU and libvirt

    @property
    def reported(self) -> dict[str, Any]:
        """What the host reports, by the names of validate's options."""
        status = self.platform.platform_status()
        text = base64.b64encode(self.measurement.to_bytes()).decode() if self.measurement else ""
        numbers = {name: status[name] for name in ("api_major", "api_minor", "build_id")}
        return {"measurement": text, **numbers, "policy": int(self.policy)}

    def domlaunchsecinfo(self) -> str:
        """Return what ``virsh domlaunchsecinfo`` prints."""
        lines = (f"sev-{name.replace('_', '-'):<11}: {value}\n" for name, value in self.reported.items())
        return "".join(lines) + "\n"

    def query_sev(self) -> str:
        """Return QMP's answer to ``query-sev``."""
        numbers = {name.replace("_", "-"): value for name, value in self.reported.items() if name != "measurement"}
        state = {"LUPDATE": "launch-update", "LSECRET": "launch-secret", "RUNNING": "running"}
        guest = self.platform.guests.get(self.handle)
        known = state.get(guest.state, "uninit") if guest else "uninit"
        return json.dumps({"return": {"enabled": True, **numbers, "state": known, "handle": self.handle}})

    def query_sev_launch_measure(self) -> str:
        """Return QMP's answer to ``query-sev-launch-measure``."""
        return json.dumps({"return": {"data": self.reported["measurement"]}})


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
