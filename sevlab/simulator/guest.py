"""What the secure processor keeps of one guest."""

from __future__ import annotations

import hashlib

from ..formats.policy import Policy
from ..keys import Secret
from .status import demand

#: From where a guest may go where (sev-launch 1.2). Every state may end in UNINIT, by DECOMMISSION.
MOVES = {
    "UNINIT": {"LUPDATE", "RUPDATE"},
    "LUPDATE": {"LSECRET"},
    "LSECRET": {"RUNNING"},
    "RUNNING": {"SUPDATE"},
    "SUPDATE": {"SENT", "RUNNING"},
    "RUPDATE": {"RUNNING"},
    "SENT": set[str](),
}


class Guest:
    """One guest: policy, state, address space number (0: not active), keys, and the hash over what was loaded."""

    def __init__(self, policy: int) -> None:
        self.policy = Policy(policy)
        self.state, self.asid = "UNINIT", 0
        self.shared: Secret | None = None
        self.tek, self.tik = Secret(bytes(16)), Secret(bytes(16))
        self.running = hashlib.sha256()
        #: Pages of the guest that the host put elsewhere: page number of the guest, page number of the machine.
        self.pages: dict[int, int] = {}
        self.digest, self.measure = bytes(32), bytes(32)

    @property
    def key(self) -> Secret:
        """The memory key (32 bytes)."""
        assert self.shared is not None, "a guest gets its key when it is admitted"
        return self.shared

    def move(self, state: str) -> None:
        """Go to another state; only the moves of the specification exist."""
        if state not in MOVES[self.state]:
            raise AssertionError(f"{self.state} does not go to {state}")
        self.state = state

    def demand(self, *states: str) -> None:
        """Refuse a command that needs another state."""
        demand(self.state in states, "INVALID_GUEST_STATE", f"{self.state}; needed {' or '.join(states)}")

    def wipe(self) -> None:
        """Forget the keys of the launch."""
        self.tek, self.tik = Secret(bytes(16)), Secret(bytes(16))
