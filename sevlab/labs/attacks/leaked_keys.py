"""A02 and A23: what can be signed with a chip's private keys.

A02: AMD's signature says that a CEK is in a genuine chip. With its private key an attacker can sign a PEK, and so
a PDH. To everybody who checks the chain this is a genuine platform. When a guest is sent to it, its memory arrives
encrypted under a TEK that the impostor can unwrap.

A23: the VCEK of a chip follows from its seed and a TCB version. As long as the seed is secret, firmware of an old TCB
cannot make the key of a newer one; that gives a minimum TCB its value. The seed gives all of the chip's keys, even
those for TCBs that no firmware ever had. How a real key follows from the seed is not known to us. Here any TCB's key
follows in one step, which is our own simplification.

Sources: incidents A02 (arXiv 1908.11680), A23 (arXiv 2605.12990, abstract); sev-launch 9.2 and 10.5; snp-launch 6.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ...attestation.crypto import aes_ctr, ecdsa_sign
from ...attestation.session import OpenedSession, open_session
from ...attestation.sev_chain import Chain
from ...formats.report import Report
from ...formats.secret import SecretHeader
from ...formats.sev_certs import CEK, ECDSA_SHA384, OCA, PDH, PEK, SessionBlob, SevCertificate
from ...launch.keys import SecretBytes
from ...simulator.identity import Identity
from ...simulator.psp import SECRET_LIMIT, Platform
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.status import FirmwareError


class Impostor:
    """Certificates of a platform that does not exist, and the private key of its PDH.

    *cek* is the private key of a chip's CEK (48 bytes, big-endian), *certificate* the CEK that AMD signed. *random*
    returns random bytes; *api* is the version of the SEV API in the certificates.
    """

    def __init__(
        self,
        cek: SecretBytes,
        certificate: SevCertificate,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        api: tuple[int, int] = (1, 55),
    ) -> None:
        self._identity = Identity(random, api, (cek, certificate))

    @property
    def chain(self) -> Chain:
        """All six certificates, as a platform exports them."""
        return self._identity.chain

    @property
    def private(self) -> SecretBytes:
        """The private key of the PDH (48 bytes, big-endian), which never leaves a genuine platform."""
        return self._identity.keys[PDH]

    def open(self, blob: SessionBlob, certificate: SevCertificate, policy: int | None = None) -> OpenedSession:
        """Open a session for this platform, made by an owner or a sender with this *certificate*."""
        return open_session(blob, certificate, self.private, policy)


@dataclass(repr=False)
class Haul:
    """What an impostor got: the opened session, memory in clear by address, and the sender's refusal, if any."""

    session: OpenedSession | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    caught: FirmwareError | None = None

    def __repr__(self) -> str:
        if self.caught is not None:
            return f"REFUSED: {self.caught}"
        size = sum(map(len, self.parts.values()))
        return f"{size} bytes of the guest's memory in clear, in {len(self.parts)} piece{'s' * (len(self.parts) != 1)}"


def migrate(platform: Platform, handle: int, impostor: Impostor, ranges: Iterable[tuple[int, int]]) -> Haul:
    """Play the host that sends a guest to an impostor: SEND_START, SEND_UPDATE_DATA for every range, SEND_CANCEL.

    *ranges* are addresses and sizes in bytes. After SEND_CANCEL the guest keeps running, and its owner notices nothing.
    Never raises on a refusal.
    """
    haul, chain = Haul(), impostor.chain
    rest = b"".join(chain[usage].to_bytes() for usage in (PEK, OCA, CEK))
    pdh = chain[PDH].to_bytes()
    try:
        blob = platform.send_start(handle, pdh, rest, chain.to_bytes()[len(pdh) + len(rest) :])
        policy = int(platform.guest_status(handle)["policy"])
        haul.session = impostor.open(blob, platform.pdh_cert_export()[PDH], policy)
        for address, size in ranges:
            haul.parts[address] = b"".join(_pieces(platform, handle, haul.session, address, size))
        platform.send_cancel(handle)
    except FirmwareError as refusal:
        haul.caught = refusal
    return haul


def _pieces(platform: Platform, handle: int, session: OpenedSession, address: int, size: int) -> Iterable[bytes]:
    for start in range(address, address + size, SECRET_LIMIT):
        length = min(SECRET_LIMIT, address + size - start)
        header, payload = platform.send_update_data(handle, start, length)
        assert session.tek is not None, "the session was packed for this PDH"
        yield aes_ctr(session.tek.reveal(), SecretHeader.from_bytes(header).iv, payload)


#: The highest possible security version number.
HIGHEST = 255
_TCBS = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")


def mint_report(platform: SnpPlatform, like: Report, svn: int = HIGHEST, **changes: Any) -> Report:
    """Return a forged report: *like* another one, with each part of each TCB at *svn*, and *changes*.

    It is signed with the VCEK that the platform's leaked seed gives for that TCB. Raises
    :class:`~sevlab.simulator.status.FirmwareError` if the seed has not leaked.
    """
    key_of = platform.leak()
    tcb = platform.make_tcb(dict.fromkeys(platform.current.tcb.parts, svn))
    report = like.replace(**{**dict.fromkeys(_TCBS, tcb), **changes})
    made = ecdsa_sign(key_of(report.reported_tcb), report.signed, ECDSA_SHA384)
    return report.replace(r=made.r, s=made.s)
