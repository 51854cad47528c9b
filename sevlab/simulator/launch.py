"""A whole launch: owner, host and secure processor, from the certificates to the secret in the guest.

The transcript records what the three parties send to each other, byte by byte, and what each computes in between.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ..attestation.session import seeded
from ..errors import SevlabError
from ..formats.secret import SecretTable
from ..launch.keys import SecretBytes
from ..launch.verify import Verdict
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Table, View, hex_lines, narrow
from .identity import sample_roots
from .parties import MESSAGE_SIZES, SECRET_AT, Host, Owner, Refusal
from .psp import SECRET_LIMIT, Platform
from .status import FirmwareError

OWNER, HOST, PSP, GUEST = "owner", "host", "secure processor", "guest"
#: The colour of each party.
COLOUR_OF = {OWNER: "green", HOST: "orange", PSP: "blue", GUEST: "purple"}
#: Of longer messages the beginning and the end are shown.
_SHOWN = 32


@dataclass(frozen=True)
class Entry:
    """One line: a message, or something that a party computes, which has no receiver."""

    sender: str
    receiver: str
    name: str
    raw: bytes | SecretBytes
    doc: str

    @property
    def is_message(self) -> bool:
        """Whether it is sent."""
        return bool(self.receiver)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.raw)


class Transcript(Explainable):
    """The record of one launch: entries in their order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def send(self, sender: str, receiver: str, name: str, raw: bytes, doc: str) -> bytes:
        """Record a message; return its bytes."""
        self.entries.append(Entry(sender, receiver, name, raw, doc))
        return raw

    def compute(self, party: str, name: str, raw: bytes | SecretBytes, doc: str) -> None:
        """Record what a party computes for itself."""
        self.entries.append(Entry(party, "", name, raw, doc))

    @property
    def messages(self) -> list[Entry]:
        """What was sent."""
        return [entry for entry in self.entries if entry.is_message]

    def explain(self) -> View:
        """Show the time line."""
        rows = []
        for number, entry in enumerate(self.entries, 1):
            way = f"{entry.sender}\n-> {entry.receiver}" if entry.is_message else f"{entry.sender}\n   computes"
            rows.append([str(number), way, narrow(entry.name, 24), str(entry.size), _bytes(entry.raw), entry.doc])
        colours = [COLOUR_OF[entry.sender] for entry in self.entries]
        header = ["", "who", "what", "bytes", "content", "meaning"]
        return View(Heading("The launch, message by message"), Table(header, rows, colours=colours, mono=[0, 3, 4]))


def _bytes(raw: bytes | SecretBytes) -> str:
    if not isinstance(raw, bytes):
        return repr(raw)
    if len(raw) <= _SHOWN:
        return hex_lines(raw, 8)
    return f"{hex_lines(raw[:16], 8)}\n...\n{hex_lines(raw[-8:], 8)}"


class Simulation(Explainable):
    """One run: its transcript, and in ``caught`` who stopped it and how; None if it succeeded."""

    SUCCESS: ClassVar[str]

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.caught: tuple[str, SevlabError] | None = None

    def explain(self) -> View:
        """Show how it ended, then every message."""
        banner = Banner(f"OK: {self.SUCCESS}", "green")
        if self.caught is not None:
            banner = Banner("CAUGHT by the {}: {}".format(*self.caught), "pink")
        return View(banner, *self.transcript.explain().blocks)


class SimulatedLaunch(Simulation):
    """A simulated launch of SEV or SEV-ES. ``caught`` is None when it went through, else who noticed, and how."""

    SUCCESS = "The guest runs and has its secret"

    def __init__(self, platform: Platform, host: Host, owner: Owner, again: Callable[..., SimulatedLaunch]) -> None:
        super().__init__()
        self._again = again
        self.platform, self.host, self.owner = platform, host, owner
        self.verdict: Verdict | None = None

    @property
    def secrets_in_guest(self) -> list[bytes]:
        """The secrets that the guest finds in its memory; none if it does not run."""
        guest = self.platform.guests.get(self.host.handle)
        if guest is None or guest.state != "RUNNING":
            return []
        table = SecretTable(self.platform.memory.read(SECRET_AT, SECRET_LIMIT, guest.key.reveal()))
        return [entry.data for entry in table.entries]

    def again(self, tamper: dict[str, Callable[[bytes], bytes]]) -> SimulatedLaunch:
        """Return the same launch with a tampering host: see *tamper* of :func:`simulate_launch`."""
        return self._again(tamper=tamper)

    @property
    def changeable(self) -> dict[str, int]:
        """What a host could change, and how many bytes it has: steps of the launch, and messages."""
        steps = Host(self.platform, self.host.inputs, self.host.policy).steps()
        return {**{name: len(raw) for name, raw in steps}, **MESSAGE_SIZES}


def simulate_launch(
    inputs: Mapping[str, object],
    policy: int,
    secret: Sequence[tuple[str, bytes]] = (("luks-key", b"a sample passphrase"),),
    *,
    tamper: dict[str, Callable[[bytes], bytes]] | None = None,
    seed: bytes | None = None,
    api: tuple[int, int] = (1, 55),
    build: int = 25,
    faults: frozenset[str] | set[str] = frozenset(),
) -> SimulatedLaunch:
    """Launch a guest with all three parties, and return the result.

    *inputs* are as in :func:`sevlab.load_launch`; *secret* are pairs of a name and bytes; *tamper* says what the host
    changes (see :class:`Host`); a run with a *seed* can be repeated; *api*, *build* and *faults* are those of the
    :class:`~sevlab.simulator.psp.Platform`. What the owner or the firmware refuses is not raised: it is in ``caught``.
    """
    random = secrets.token_bytes if seed is None else seeded(seed)
    platform = Platform(api=api, build=build, random=random, faults=faults)
    host, owner = Host(platform, inputs, policy), Owner(inputs, policy, secret, roots=sample_roots(), random=random)
    host.tamper = dict(tamper or {})
    again = partial(simulate_launch, inputs, policy, secret, seed=seed, api=api, build=build, faults=faults)
    run = SimulatedLaunch(platform, host, owner, again)
    try:
        _launch(run)
    except Refusal as refusal:
        run.caught = OWNER, refusal
    except FirmwareError as error:
        run.caught = PSP, error
    return run


def _launch(run: SimulatedLaunch) -> None:
    platform, host, owner, record = run.platform, run.host, run.owner, run.transcript
    platform.init()
    chain = platform.pdh_cert_export()
    record.send(PSP, HOST, "certificates", chain.to_bytes(), "PDH, PEK, OCA, CEK, and the root's ASK and ARK.")
    record.send(HOST, OWNER, "certificates", chain.to_bytes(), "The same. The owner checks every link.")
    session = owner.start(chain)
    record.compute(OWNER, "TEK", session.tek, "Encrypts secrets; made for this launch.")
    record.compute(OWNER, "TIK", session.tik, "Proves who made a message; made for this launch.")
    wrapping = SecretBytes(session.keys.kek + session.keys.kik)
    record.compute(OWNER, "KEK, KIK", wrapping, "From the point shared with the PDH.")
    godh, blob = session.godh.to_bytes(), session.blob.to_bytes()
    record.send(OWNER, HOST, "GODH certificate", godh, "The owner's half of the key exchange.")
    record.send(OWNER, HOST, "launch session", blob, "TEK and TIK, wrapped; two MACs.")
    passed = host.changed("godh", godh) + host.changed("session", blob)
    record.send(HOST, PSP, "LAUNCH_START", passed, "Both, and the policy.")

    def loading(name: str, address: int, raw: bytes) -> None:
        command = "LAUNCH_UPDATE_VMSA" if name.startswith("vCPU") else "LAUNCH_UPDATE_DATA"
        record.send(HOST, PSP, f"{command} ({name})", raw, f"Hashed, then encrypted in place at 0x{address:x}.")

    measurement = host.start(godh, blob, loading)
    guest = platform.guests[host.handle]
    record.compute(PSP, "launch digest", guest.digest, "SHA-256 over all of it.")
    record.send(PSP, HOST, "LAUNCH_MEASURE", measurement.to_bytes(), "The measure and its nonce.")
    text = host.domlaunchsecinfo().encode()
    record.send(HOST, OWNER, "domlaunchsecinfo", text, "The same as text, with the versions.")
    run.verdict = owner.judge(host.reported)
    record.compute(OWNER, "measure", run.verdict.computed, "From the owner's own files: equal to the reported one.")
    packet = owner.pack(run.verdict)
    header, payload = packet.header.to_bytes(), packet.payload
    record.send(OWNER, HOST, "secret packet", header + payload, "Encrypted under the TEK, bound to this measure.")
    passed = host.changed("secret header", header) + host.changed("secret payload", payload)
    record.send(HOST, PSP, "LAUNCH_SECRET", passed, "The same.")
    host.inject(header, payload)
    record.compute(PSP, "LAUNCH_FINISH", b"", "Keys wiped; the guest runs.")
