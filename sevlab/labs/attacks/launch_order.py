"""A04: measured pieces at different addresses. The digest of SEV and SEV-ES covers what is loaded, but not where.

The program here is text in blocks of 16 bytes, one instruction each, which makes the effect of shuffling visible. The
launch is the real one: LAUNCH_START with a session, LAUNCH_UPDATE_DATA for every piece, LAUNCH_MEASURE, a secret.

AMD's published firmware wants addresses and lengths in multiples of 16 bytes. We did not check which size the paper
about this attack used. Source: CVE-2021-26311; incidents A04; sev-launch 3, snp-launch 2.1.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...attestation.crypto import aes_ctr
from ...attestation.id_block import DEFAULT_POLICY
from ...attestation.secret import build_secret
from ...attestation.session import derive_key, make_session
from ...errors import InputError, quoted
from ...formats.launch_measure import Measurement, MeasureMessage
from ...formats.page_info import NORMAL, PAGE
from ...formats.secret import SecretTable
from ...formats.sev_certs import PDH
from ...launch.keys import SecretBytes
from ...launch.measure import compute_measure
from ...launch.pages import Region, hash_pages
from ...launch.sev import compute_digest
from ...launch.snp import SnpLaunch
from ...simulator.parties import FIRMWARE_AT, SECRET_AT
from ...simulator.psp import BLOCK, SECRET_LIMIT, Platform
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.snp_host import CONTEXT_AT, SnpHost

#: The guest's program: take the secret, encrypt it, send it out, forget it, stop.
INSTRUCTIONS = ("LOAD SECRET", "ENCRYPT", "SEND", "FORGET", "HALT")
#: NODBG: the host cannot simply read the memory.
POLICY = 0x1


@dataclass(frozen=True, repr=False)
class Piece:
    """Bytes that one command loads, and their address."""

    address: int
    raw: bytes

    def __repr__(self) -> str:
        shown = self.raw.decode("ascii", "replace").strip() if len(self.raw) == BLOCK else f"{len(self.raw)} bytes"
        return f"0x{self.address:x}: {shown}"


def program(instructions: Iterable[str] = INSTRUCTIONS) -> bytes:
    """Return a program: each instruction in 16 bytes, padded with spaces; InputError for one that is too long."""
    blocks = [one.encode().ljust(BLOCK) for one in instructions]
    for block in blocks:
        if len(block) > BLOCK:
            raise InputError("instruction", quoted(block.decode()), f"text of at most {BLOCK} bytes")
    return b"".join(blocks)


def run_blocks(memory: bytes, secret: bytes) -> list[bytes]:
    """Run the guest's memory, block by block, and return everything that it sends out.

    A block that is not an instruction does nothing. Encryption is AES-128-CTR under a key that only the guest has.
    """
    sent, register = [], b""
    for place in range(0, len(memory), BLOCK):
        word = memory[place : place + BLOCK].rstrip().decode("ascii", "replace")
        if word == "LOAD SECRET":
            register = secret
        elif word == "ENCRYPT":
            register = aes_ctr(derive_key(secret, "disk"), bytes(BLOCK), register)
        elif word == "SEND":
            sent.append(register)
        elif word == "FORGET":
            register = b""
        elif word == "HALT":
            break
    return sent


def cut(raw: bytes, size: int = BLOCK, address: int = FIRMWARE_AT) -> list[Piece]:
    """Return *raw* in pieces of *size* bytes, each at its own address."""
    return [Piece(address + place, raw[place : place + size]) for place in range(0, len(raw), size)]


class BlockLaunch:
    """A guest that was launched in pieces.

    ``measurement`` is the firmware's (48 bytes), ``message`` the owner's, from the program that it meant to load;
    ``matches`` says whether the measures agree. ``memory`` is what the guest runs, ``secret`` what the owner sent it
    (b"" if the measures differ), ``sent`` what the guest then sends out.
    """

    def __init__(self, digest: bytes, measurement: Measurement, message: MeasureMessage, tik: SecretBytes) -> None:
        self.digest, self.measurement, self.message = digest, measurement, message
        self.matches = compute_measure(message, tik) == measurement.measure
        self.memory, self.secret = b"", b""
        self.sent: list[bytes] = []

    @property
    def blocks(self) -> list[str]:
        """The guest's memory as text, block by block."""
        return [piece.raw.decode("ascii", "replace").rstrip() for piece in cut(self.memory)]

    def __repr__(self) -> str:
        return "The owner's measure matches" if self.matches else "The owner's measure does not match"


def launch_blocks(
    pieces: Sequence[Piece],
    *,
    meant: bytes | None = None,
    secret: bytes = b"a sample passphrase",
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> BlockLaunch:
    """Launch a guest from pieces in their order, let the owner check the measure, send the secret, run the program.

    *meant* is what the owner means to load, by default the pieces' bytes. *random* returns random bytes. Raises
    :class:`~sevlab.simulator.status.FirmwareError` for pieces that the firmware refuses.
    """
    platform = Platform(random=random)
    platform.init()
    session = make_session(platform.pdh_cert_export()[PDH], POLICY, random=random)
    handle = platform.launch_start(POLICY, session.godh.to_bytes(), session.blob.to_bytes())
    platform.activate(handle, 1)
    for piece in pieces:
        platform.memory.write(piece.address, piece.raw)
        platform.launch_update_data(handle, piece.address, len(piece.raw))
    measurement = platform.launch_measure(handle)
    meant = b"".join(piece.raw for piece in pieces) if meant is None else meant
    message = MeasureMessage(
        api_major=platform.api[0],
        api_minor=platform.api[1],
        build_id=platform.build,
        policy=session.policy,
        digest=compute_digest([meant]),
        mnonce=measurement.mnonce,
    )
    launch = BlockLaunch(platform.guests[handle].digest, measurement, message, session.tik)
    if launch.matches:
        packet = build_secret([("luks-key", secret)], session.tik, session.tek, measurement.measure, iv=random(BLOCK))
        platform.launch_secret(handle, packet.header.to_bytes(), SECRET_AT, packet.payload)
        platform.launch_finish(handle)
        table = SecretTable(platform.read_as_guest(handle, SECRET_AT, SECRET_LIMIT))
        launch.secret = table.entries[0].data
    first = min(piece.address for piece in pieces)
    size = max(piece.address + len(piece.raw) for piece in pieces) - first
    launch.memory = platform.read_as_guest(handle, first, size)
    launch.sent = run_blocks(launch.memory, launch.secret)
    return launch


def launch_block_pages(pieces: Sequence[Piece]) -> SnpLaunch:
    """Return the pieces as a SEV-SNP launch, which measures whole pages: block n becomes the start of page n."""
    base = min(piece.address for piece in pieces)
    regions = []
    for piece in pieces:
        page = piece.raw.ljust(PAGE, b"\0")
        gpa = FIRMWARE_AT + (piece.address - base) // BLOCK * PAGE
        name = piece.raw.decode("ascii", "replace").strip()
        regions.append(Region(name, NORMAL, gpa, hash_pages(page), "One block, at the start of a page.", page))
    return SnpLaunch(regions)


def load_block_pages(launch: SnpLaunch) -> bytes:
    """Load a launch's pages on a simulated SEV-SNP platform; return the launch digest of its firmware."""
    platform = SnpPlatform()
    platform.snp_init()
    SnpHost(platform, {}, DEFAULT_POLICY, launch.regions).launch()
    return platform.contexts[CONTEXT_AT].digest
