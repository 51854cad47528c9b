"""The host: does what QEMU does with the same inputs, and answers as QEMU and libvirt do.

Nobody has to trust it, and that is the point: :attr:`Host.tamper` changes any one thing it does.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from ..digest import Hashed
from ..formats.launch_measure import Measurement
from ..formats.policy import Policy
from ..launch import load_launch
from .memory import PAGE
from .platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
