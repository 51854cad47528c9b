"""The parties around the secure processor: the host, who starts the guest, and the guest's owner.

The host does what QEMU does with the same inputs, and answers as QEMU and libvirt do. Nobody has to trust it:
:attr:`Carrier.tamper` changes any one thing it does. The owner checks the platform, makes the keys, compares the
measure, and sends the secret, or refuses.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

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

#: Where the guest firmware is in our small memory, and where the secret. The digest binds neither.
FIRMWARE_AT, SECRET_AT = 0x100000, 0x80000
#: Messages that a host can change, beside the steps of the launch, and how many bytes each has at least.
MESSAGE_SIZES = {"godh": 2084, "session": 128, "measurement": 48, "secret header": 52, "secret payload": 64}


class Reported(TypedDict):
    """What a host reports, by the names of validate's options; the measurement is base64."""

    measurement: str
    api_major: int
    api_minor: int
    build_id: int
    policy: int


class Carrier:
    """A host that passes bytes on. ``tamper`` maps a step or a message to a function that changes its bytes."""

    def __init__(self) -> None:
        self.tamper: dict[str, Callable[[bytes], bytes]] = {}

    def changed(self, name: str, raw: bytes) -> bytes:
        """Return bytes as this host passes them on."""
        change = self.tamper.get(name)
        return raw if change is None else change(raw)


class Host(Carrier):
    """A host with a platform, and the inputs that it starts the guest with (as in :func:`sevlab.load_launch`).

    ``tamper`` has names of steps (``firmware``, ``kernel hashes``, ``vCPU 1``) and of messages (:data:`MESSAGE_SIZES`).
    """

    def __init__(self, platform: Platform, inputs: Mapping[str, object], policy: int) -> None:
        super().__init__()
        self.platform, self.inputs, self.policy = platform, dict(inputs), Policy(policy)
        self.handle = 0
        self.measurement: Measurement | None = None

    def steps(self) -> list[tuple[str, bytes]]:
        """Return what is loaded, in order: names and bytes."""
        launch = load_launch(self.policy, **self.inputs)
        whole = Path(str(self.inputs["firmware"])).read_bytes()
        raws = [(one.name, whole if isinstance(one.content, Hashed) else one.content) for one in launch.steps]
        return [(name, self.changed(name, raw)) for name, raw in raws]

    def start(
        self, godh: bytes, session: bytes, loading: Callable[[str, int, bytes], None] = lambda name, address, raw: None
    ) -> Measurement:
        """Launch the guest up to the measurement; *loading* gets name, address, bytes of each step. May be refused."""
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

    @property
    def reported(self) -> Reported:
        """What the host reports."""
        (major, minor), build = self.platform.api, self.platform.build
        text = base64.b64encode(self.measurement.to_bytes()).decode() if self.measurement else ""
        return Reported(measurement=text, api_major=major, api_minor=minor, build_id=build, policy=int(self.policy))

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
    """The owner stops. ``why`` is a sentence, ``evidence`` the verdict that it rests on."""

    def __init__(self, why: str, evidence: object = None) -> None:
        super().__init__(why)
        self.why, self.evidence = why, evidence


class Owner:
    """The owner of one guest.

    *inputs* say what to load, as in :func:`sevlab.load_launch`; *policy* is the guest policy; *secret* are pairs of a
    name and bytes that the guest gets when the launch is right; *roots* are the root keys that are trusted.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        policy: int,
        secret: Sequence[tuple[str, bytes]] = (),
        *,
        roots: dict[str, str] = ROOTS,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.inputs, self.policy, self.secret = dict(inputs), Policy(policy), list(secret)
        self.roots, self._random = roots, random
        self.session: Session | None = None
        #: Whether the SEV firmware makes the messages of API before 0.17.
        self._old = False

    def start(self, chain: Chain) -> Session:
        """Check the platform's certificates, and make the session of this launch. Raises :class:`Refusal`."""
        verdict = chain.verify(self.roots)
        if not verdict.matches:
            raise Refusal("the platform's certificates do not hold", verdict)
        self.session = make_session(chain[PDH], self.policy, random=self._random)
        return self.session

    def judge(self, reported: Reported) -> Verdict:
        """Compare the reported measure with that of the owner's own inputs and policy. Raises :class:`Refusal`."""
        if self.session is None:
            raise Refusal("there is no session yet")
        evidence = load_evidence(
            measurement=reported["measurement"],
            api_major=reported["api_major"],
            api_minor=reported["api_minor"],
            build_id=reported["build_id"],
            policy=self.policy,
            tik=self.session.tik,
            tek=self.session.tek,
            **self.inputs,  # type: ignore[arg-type]
        )
        self._old = (evidence.api_major, evidence.api_minor) < NEW_MESSAGES
        if self._old:
            mnonce = evidence.measurement.mnonce
            message = OldMeasureMessage(policy=evidence.policy, digest=evidence.digest, mnonce=mnonce)
            verdict = Verdict(evidence, message)
        else:
            verdict = compare_measure(evidence)
        if not verdict.matches:
            raise Refusal("the measurement does not match", verdict)
        return verdict

    def pack(self, verdict: Verdict) -> SecretPacket:
        """Pack the secret for a launch whose measure matches."""
        if self.session is None or not verdict.matches:
            raise Refusal("no secret is sent to a launch that was not validated")
        iv = self._random(16)
        return build_secret(self.secret, self.session.tik, self.session.tek, verdict.reported, iv=iv, old=self._old)
